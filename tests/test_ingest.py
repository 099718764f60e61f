from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.answers import read_answers
from curation.errors import RunDirectoryError
from curation.ingest import SOURCE_REJECTS, ingest, read_ingested, read_questions, referenced_paths
from curation.journal import Journal, content_key
from curation.rundir import RunDirectory
from curation.schema import SCHEMA_VERSION, Question, SourceReject, question_id
from curation.shards import read_rows, replace_folder


def question(number: int) -> Question:
    path, problem = f"Folder/{number // 3}.mp4", f"What is {number}?"
    return Question(
        question_id(path, problem, ()), number, problem, (), "video", "numerical", f"<answer>{number}</answer>", path,
        None, None,
    )  # fmt: skip


def ingest_numbers(directory: RunDirectory, numbers: list[int], *, name: str = "v1", shard_size: int = 4):
    def records() -> Iterator[Question | SourceReject]:
        for number in numbers:
            yield question(number) if number >= 0 else SourceReject("q.json", -number, "missing_field", "no 'path'")

    return ingest(directory, records, source_fingerprint=name, shard_size=shard_size, progress=lambda _: None)


def answer_all_questions(directory: RunDirectory, num_shards: int) -> None:
    for shard in range(num_shards):
        with Journal(directory.journal(shard, "generate")) as journal:
            for asked in read_questions(directory, shard):
                entry = dict.fromkeys(("stop_reason", "model", "failure", "detail"))
                journal.append(entry | {"key": f"key {asked.id}", "id": asked.id, "text": asked.problem})


def found_answers(directory: RunDirectory, num_shards: int) -> dict[str, set[str]]:
    return {
        asked.id: {
            a.text or "" for key, a in read_answers(directory.journal(shard, "generate")).items() if asked.id in key
        }
        for shard in range(num_shards)
        for asked in read_questions(directory, shard)
    }


def test_questions_keep_their_order_and_rejects_their_file_and_place(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    ingested = ingest_numbers(directory, [0, 1, -3, 2, 3, 4, -7])
    assert (ingested.num_questions, ingested.num_rejects, ingested.num_shards) == (5, 2, 2)
    assert [q for shard in range(2) for q in read_questions(directory, shard)] == [question(n) for n in range(5)]
    rejects = read_rows(directory.questions / SOURCE_REJECTS)
    assert [row["rejected_by"] for row in rejects] == ["source:missing_field"] * 2
    assert rejects[1]["detail"] == "q.json record 7: no 'path'"
    assert rejects[0]["id"] != rejects[1]["id"]
    assert referenced_paths(directory, 2) == ["Folder/0.mp4", "Folder/1.mp4"]


def test_unchanged_source_is_not_read_again(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    first = ingest_numbers(directory, [0, 1])

    def never() -> Iterator[Question]:
        raise AssertionError("the source was read again")

    again = ingest(directory, never, source_fingerprint="v1", shard_size=4, progress=lambda _: None)
    assert again == first == read_ingested(directory)


@pytest.mark.parametrize("numbers", [[*range(20, 26), *range(12)], list(range(5, 12)), list(range(12))])
def test_paid_answers_follow_their_question_when_the_source_changes(tmp_path: Path, numbers: list[int]):
    directory = RunDirectory(tmp_path / "run")
    answer_all_questions(directory, ingest_numbers(directory, list(range(12))).num_shards)
    changed = ingest_numbers(directory, numbers, name="v2", shard_size=5)
    answers = found_answers(directory, changed.num_shards)
    assert answers == {question(n).id: ({question(n).problem} if n < 12 else set()) for n in numbers}
    back = ingest_numbers(directory, list(range(12)), name="v1")
    assert found_answers(directory, back.num_shards) == {question(n).id: {question(n).problem} for n in range(12)}


def test_kill_between_the_renames_of_the_journals_loses_no_answer(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    answer_all_questions(directory, ingest_numbers(directory, list(range(12))).num_shards)
    directory.journals.rename(directory.root / "journal.old")
    changed = ingest_numbers(directory, list(range(12)), name="v2", shard_size=5)
    assert all(found_answers(directory, changed.num_shards).values())


def test_kill_after_the_journals_moved_is_mended_also_when_the_old_source_comes_back(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path / "run")
    answer_all_questions(directory, ingest_numbers(directory, list(range(12))).num_shards)

    def killed(fresh: Path, target: Path) -> None:
        if target == directory.questions:
            raise KeyboardInterrupt
        replace_folder(fresh, target)

    monkeypatch.setattr("curation.ingest.replace_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        ingest_numbers(directory, list(range(6, 12)), name="v2", shard_size=5)
    monkeypatch.undo()
    back = ingest_numbers(directory, list(range(12)))
    assert found_answers(directory, back.num_shards) == {question(n).id: {question(n).problem} for n in range(12)}


def test_changed_source_is_refused_while_judge_batches_are_out(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    ingest_numbers(directory, [0, 1])
    with Journal(directory.journal(0, "verify.batches")) as journal:
        journal.append({"step": "intent", "chunk": 1, "keys": ["k"], "at": "2026-11-01T00:00:00+00:00"})
        journal.append({"step": "submitted", "chunk": 1, "batch": "msgbatch_1"})
        with pytest.raises(RunDirectoryError, match="msgbatch_1"):
            ingest_numbers(directory, [0, 1, 2], name="v2")
        journal.append({"step": "collected", "chunk": 1})
    assert ingest_numbers(directory, [0, 1, 2], name="v2").num_questions == 3


def test_a_run_of_before_is_read_again_by_the_new_rules_but_not_while_batches_are_out(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path / "run")
    ingest_numbers(directory, [0, 1, 2])
    index = directory.questions / "ingest.json"
    old = content_key("ingest", SCHEMA_VERSION, "v1", 4)
    index.write_text(read_ingested(directory).model_copy(update={"fingerprint": old}).model_dump_json())
    with monkeypatch.context() as patch:
        patch.setattr("curation.ingest._outstanding_batches", lambda _: ["batch_1"])
        assert ingest_numbers(directory, [0, -1, 2]).num_questions == 3
    assert ingest_numbers(directory, [0, -1, 2]).num_questions == 2

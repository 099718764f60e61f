"""The authors' release, imported: every record is a row, and says what their record says."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import release_import
from curation.commands import import_release as command
from curation.errors import ConfigError, RunDirectoryError, UserError
from curation.provenance import read_provenance
from curation.release_import import GENERATOR, ReleaseHeld, import_release, write_configs
from curation.report import Report
from curation.schema import CONFIGS, QUESTION
from curation.stats import measure
from curation.tasks import score_answer
from curation.trace import BLOCKS, Trace, TraceFormatError
from tests.folders import kept_row
from tests.hub import LoopbackHub, client_environment
from tests.publisher import Publisher
from tests.release_parts import COT, GOLD, RL, from_row, nasty_records, record, stringified, write_parts

Row = dict[str, Any]


def read(folder: Path, config: str) -> list[Row]:
    stem = {"cot": "data/train", "rejected": "rejected/rejected", "rl": "rl/rl"}[config]
    return [row for file in sorted(folder.glob(f"{stem}-*.parquet")) for row in pq.read_table(file).to_pylist()]


def imported(
    tmp_path: Path, cot: list[Any], rl: list[Any] | None = None, **settings: Any
) -> tuple[Path, Report, ReleaseHeld]:
    parts = write_parts(tmp_path / "cot", COT, cot)
    rl_parts = [] if rl is None else write_parts(tmp_path / "rl", RL, rl, 3)
    out = tmp_path / "out"
    given = {"licenses": {}, "progress": lambda _: None} | settings
    report, held = import_release(out, parts, rl_parts, **given)
    return out, report, held


def refusal(*words: str | Path) -> str:
    """The one line that the command ends with."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["import-release", *map(str, words)])
    with pytest.raises(UserError) as error:
        args.command(args)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_our_own_dataset_in_the_shape_of_the_release_comes_back_as_it_was(tmp_path):
    rows = []
    for number, (problem_type, gold) in enumerate(GOLD.items()):
        options = ["A. red", "B. blue"] if problem_type == "multiple choice" else []
        for answer in (gold, f"{gold} indeed", "A"):
            changes = {"problem_type": problem_type, "solution": f"<answer>{gold}</answer>", "options": options}
            changes |= {"score": score_answer(problem_type, answer, gold, options=options), "answer": answer}
            rows.append(kept_row(10 * number + len(rows), **changes))
    out, _, _ = imported(tmp_path, [from_row(row) for row in rows])
    found = read(out, "cot")
    same = [*(name for name in QUESTION.names if name not in ("id", "license")), *BLOCKS, "score"]
    assert [[row[name] for name in same] for row in found] == [[row[name] for name in same] for row in rows]
    assert read(out, "rejected") == []


traces = st.builds(lambda *texts: texts, *[st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)] * 3)


@settings(max_examples=25)
@given(st.lists(traces, min_size=1, max_size=20))
def test_any_valid_trace_survives_and_agrees_with_its_own_fields(texts):
    kept = []
    for observation, think, answer in texts:
        try:
            kept.append(Trace(observation, think, answer))
        except TraceFormatError:
            continue
    kept = [trace for trace in kept if "\0" not in "".join((trace.observation, trace.think, trace.answer))]
    said = [{name: getattr(trace, name) for name in BLOCKS} for trace in kept]
    records = [record(n, trace=blocks, problem_type="free-form") for n, blocks in enumerate(said)]
    with tempfile.TemporaryDirectory() as folder:
        parts = write_parts(Path(folder), COT, [*records, record(999)])
        held = write_configs(
            Path(folder) / "out", parts, licenses={}, count_tokens=lambda texts: [None] * len(texts), progress=print
        )
        rows = read(Path(folder) / "out", "cot")
    assert [{name: row[name] for name in BLOCKS} for row in rows[:-1]] == said
    assert held.cot.flags["fields_disagree"] == 0


@pytest.mark.parametrize("name", nasty_records())
def test_each_nasty_record_is_one_row_with_its_reason_or_its_flag(tmp_path, name):
    nasty = nasty_records()[name]
    out, report, held = imported(tmp_path, [record(1), nasty, record(2)])
    kept, rejected = read(out, "cot"), read(out, "rejected")
    outcome = name.split(",")[0]
    if ":" in outcome:
        assert len(kept) == 2
        assert [row["rejected_by"] for row in rejected] == [outcome]
        assert held.cot.reasons == {outcome: 1}
        assert rejected[0]["detail"]
    else:
        assert rejected == []
        assert outcome in kept[1]["flags"]
        assert held.cot.flags[outcome] == 1
    assert report.funnel.num_read == 3


def test_what_is_no_trace_is_rejected_with_its_text_and_its_question(tmp_path):
    raw = "<observation>a</observation>\n<think>b</think> <answer>B</answer> and more\n"
    out, _, _ = imported(tmp_path, [record(5, output=raw), record(6)])
    (row,) = read(out, "rejected")
    assert (row["rejected_by"], row["completion"]) == ("filter:format", raw)
    assert (row["problem"], row["generator"], row["observation"]) == (record(5)["problem"], GENERATOR, None)


@pytest.mark.parametrize("null", [None, float("nan"), "None", "nan", "null", "<NA>", ""])
@pytest.mark.parametrize("name", ["data_source", "problem_id", "reward", "select", "clean_version", "options"])
def test_null_is_null_in_both_files_however_it_is_written(tmp_path, name, null):
    changed = {"problem_type": "OCR", name: null}
    rl = [record(3, **changed), stringified(record(4, **changed))]
    out, _, held = imported(tmp_path, [record(1, **changed), record(2)], rl)
    assert read(out, "rejected") == []
    if name in release_import.UNDOCUMENTED:
        assert held.cot.metadata[name]["null"] == 1 and held.rl.metadata[name] == {"null": 2}
    else:
        rows = [read(out, "cot")[0], *read(out, "rl")]
        assert [row[name] or None for row in rows] == [None] * 3


def test_completion_written_as_null_is_none_and_an_empty_one_is_one(tmp_path):
    out, _, _ = imported(tmp_path, [record(n, output=text) for n, text in enumerate(("None", float("nan"), ""))])
    assert [row["rejected_by"] for row in read(out, "rejected")] == [
        "generate:no_output",
        "generate:no_output",
        "filter:format",
    ]


def test_options_of_numpy_are_as_many_as_they_were(tmp_path):
    options = "['A. it is\\n red' \"B. it's\"\n 'C. a, b']"
    rl = [stringified(record(3, problem_type="multiple choice")) | {"options": options}]
    out, _, _ = imported(tmp_path, [record(1)], rl)
    assert read(out, "rl")[0]["options"] == ["A. it is\n red", "B. it's", "C. a, b"]


def test_refused_record_keeps_its_completion_and_whatever_else_could_be_read(tmp_path):
    refused = record(5, problem_type="riddle")
    rl = [stringified(record(6, solution="12")), stringified(record(7))]
    out, report, _ = imported(tmp_path, [record(1), refused], rl, licenses={"CLEVRER": "cc0-1.0"})
    from_cot, from_rl = read(out, "rejected")
    assert from_cot["completion"] == refused["output"] and from_cot["problem_type"] is None
    for row, raw in ((from_cot, refused), (from_rl, record(6))):
        for name in ("problem", "options", "path", "data_source", "data_type", "problem_id"):
            assert row[name] == raw[name]
        assert row["license"] == "cc0-1.0"
    assert [tally.num_rejected for tally in report.licenses if tally.value == "cc0-1.0"] == [2]


def test_duplicates_and_what_is_no_object_are_rows_and_the_first_of_equals_stays(tmp_path):
    again = record(1, trace={"think": "Based on the observations, another thought."})
    out, report, held = imported(tmp_path, [record(1), 5, None, again, "x", record(2)])
    assert [row["problem_id"] for row in read(out, "cot")] == [1, 2]
    rejected = read(out, "rejected")
    reasons = ["source:not_an_object", "source:not_an_object", "source:duplicate", "source:not_an_object"]
    assert [row["rejected_by"] for row in rejected] == reasons
    assert rejected[2]["completion"] == again["output"]
    assert rejected[2]["detail"].startswith(
        f"{COT}.part2of2.json.gz record 1: same question as record 1 of {COT}.part1"
    )
    assert (held.cot.num_records, held.cot.num_questions, report.funnel.num_read) == (6, 2, 6)


def test_nothing_that_the_release_does_not_carry_is_made_up(tmp_path):
    out, report, _ = imported(tmp_path, [record(1)])
    (row,) = read(out, "cot")
    absent = [name for name in CONFIGS["cot"].names if row[name] is None]
    assert absent == [
        "license", "verdict", "verdict_reason", "observation_tokens", "think_tokens", "overlaps", "media_sha256",
        "media_duration_s", "media_num_frames", "prompt_sha256", "judge", "judge_prompt_sha256", "attempt",
    ]  # fmt: skip
    assert [(tally.value, tally.num_kept) for tally in report.verdicts] == [(None, 1)]


@pytest.mark.parametrize(
    "said",
    [
        {"process": "{think}"},
        {"process": "<think>\n{think}\n</think>\n<answer>{answer}</answer>"},
        {"process": None, "observation": None, "answer": None},
        {"process": ..., "observation": ..., "answer": ...},
        {"observation": "<observation> {observation}\n</observation>"},
        {"answer": "<answer>{answer}</answer>"},
        {"answer": "{answer}."},
    ],
)
def test_fields_that_say_the_same_in_other_dress_do_not_disagree(tmp_path, said):
    plain = record(5)
    blocks = {"observation": plain["observation"], "think": plain["process"][7:-8], "answer": plain["answer"]}
    changes = {name: text.format(**blocks) if isinstance(text, str) else text for name, text in said.items()}
    _, _, held = imported(tmp_path, [record(5, **changes)])
    assert held.cot.flags["fields_disagree"] == 0


def test_gold_answer_beside_a_wrong_trace_is_no_disagreement_but_a_low_score(tmp_path):
    out, _, _ = imported(tmp_path, [record(5, trace={"answer": "A"}), record(7, trace={"answer": "STOP AHEAD NOW"})])
    wrong, close = read(out, "cot")
    assert (wrong["score"], wrong["flags"]) == (0.0, ["score_below_threshold"])
    assert close["score"] == pytest.approx(0.5)
    assert close["flags"] == ["score_below_threshold"]


def test_score_of_exactly_the_threshold_is_not_below_it(tmp_path):
    gold = "one two three four five"
    changes = {"problem_type": "OCR", "solution": f"<answer>{gold}</answer>", "answer": gold}
    out, _, _ = imported(tmp_path, [record(1, trace={"answer": "one two three x y"}, **changes)])
    (row,) = read(out, "cot")
    assert row["score"] == pytest.approx(0.6)
    assert row["flags"] == []


def test_questions_for_rl_come_from_the_rl_file_and_its_broken_records_are_rows_too(tmp_path):
    rl = [stringified(record(n)) for n in range(9)]
    rl += [stringified(record(9, problem_type="riddle")), rl[0], 7]
    out, report, held = imported(tmp_path, [record(n) for n in range(5)], rl)
    cot = {row["id"]: {name: row[name] for name in QUESTION.names} for row in read(out, "cot")}
    questions = {row["id"]: row for row in read(out, "rl")}
    assert len(questions) == 9
    assert cot.items() <= questions.items()
    assert held.rl is not None
    assert (held.rl.num_records, held.rl.num_questions) == (12, 9)
    assert sorted(row["rejected_by"] for row in read(out, "rejected")) == sorted(held.rl.reasons)
    assert (report.funnel.num_read, report.funnel.num_kept, report.num_rl) == (8, 5, 9)


def test_without_the_rl_file_its_config_holds_the_questions_of_the_traces(tmp_path):
    out, report, _ = imported(tmp_path, [record(1), record(2, output="torn"), record(3)])
    assert [row["problem_id"] for row in read(out, "rl")] == [1, 3]
    assert report.num_rl == 2


def test_undocumented_fields_are_counted_in_both_spellings_and_not_interpreted(tmp_path):
    values = [{"reward": 1.0, "select": True}, {"reward": 0.5, "select": False}, {"reward": 1.0, "select": ...}]
    cot = [record(n, clean_version="3D is text", **changes) for n, changes in enumerate(values)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out, _, held = imported(tmp_path, cot, [stringified(fields) for fields in cot])
    assert held.rl is not None
    for file in (held.cot, held.rl):
        assert file.metadata == {
            "reward": {"1.0": 2, "0.5": 1},
            "select": {"true": 1, "false": 1, "absent": 1},
            "clean_version": {'"3D is text"': 3},
        }
    note = read_provenance(out).note
    assert note is not None
    assert "reward: 1.0 (2), 0.5 (1); select: true (1), false (1), absent (1)" in note


def test_licences_are_given_by_source_or_folder_and_else_not_known(tmp_path):
    cot = [record(1), record(2, data_source="STAR"), record(3, data_source=None, path="./NeXT-QA/a.mp4")]
    out, _, _ = imported(tmp_path, cot, licenses={"STAR": "apache-2.0", "NeXT-QA": "mit"})
    assert [row["license"] for row in read(out, "cot")] == [None, "apache-2.0", "mit"]


def test_tokens_are_counted_with_the_given_tokenizer(tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    said = {"observation": "one two three", "think": "one two"}
    cot = [record(1, output="torn"), record(2, trace=said)]
    out, _, _ = imported(tmp_path, cot, tokenizer=str(tmp_path / "tokenizer.json"))
    (row,) = read(out, "cot")
    assert (row["observation_tokens"], row["think_tokens"]) == (3, 2)
    assert read_provenance(out).tokenizer == ".../tokenizer.json"


def test_large_configs_are_spread_over_eight_files_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(release_import, "_ONE_FILE_ROWS", 20)
    monkeypatch.setattr(release_import, "_PART_ROWS", 7)
    cot = [record(n, **({"output": "torn"} if n % 10 == 0 else {})) for n in range(50)]
    out, _, _ = imported(tmp_path, cot)
    assert len(list((out / "data").iterdir())) == len(list((out / "rl").iterdir())) == 8
    assert len(list((out / "rejected").iterdir())) == 1
    assert [row["problem_id"] for row in read(out, "cot")] == [n for n in range(50) if n % 10]


def test_folder_is_described_like_ours_and_adds_up(tmp_path):
    cot = [record(n) for n in range(8)] + list(nasty_records().values())
    out, report, _ = imported(tmp_path, cot, [stringified(record(n)) for n in range(20)])
    assert measure(out) == report == Report.model_validate_json((out / "stats/report.json").read_text())
    assert report.funnel.num_read == len(cot)
    _, front, body = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    sizes = {part["config_name"]: part["splits"][0]["num_examples"] for part in yaml.safe_load(front)["dataset_info"]}
    assert sizes == {config: len(read(out, config)) for config in CONFIGS}
    assert "authors' data release" in body
    assert read_provenance(out).source == "release"
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "data", "plots", "rejected", "rl", "stats"]
    assert str(tmp_path) not in "".join(path.read_text() for path in out.rglob("*") if path.suffix in (".md", ".json"))


def test_every_config_loads_with_datasets_in_a_fresh_process(tmp_path):
    out, _, _ = imported(tmp_path, [record(1), record(2), 3], [stringified(record(n)) for n in range(4)])
    script = """
import json, sys
from datasets import load_dataset
found = {}
for config in ("cot", "rejected", "rl"):
    rows = load_dataset(sys.argv[1], config, split="train")
    assert rows.to_list() == list(load_dataset(sys.argv[1], config, split="train", streaming=True))
    found[config] = len(rows)
print(json.dumps(found))
"""
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run([sys.executable, "-c", script, str(out)], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"cot": 2, "rejected": 1, "rl": 4}


def test_it_is_published_and_loaded_by_its_tag_like_any_dataset_of_ours(tmp_path):
    out, _, _ = imported(tmp_path, [record(1), record(2), 3])
    with LoopbackHub(tmp_path / "hub") as hub:
        environment = client_environment(hub.url, tmp_path / "home", "hf_writer")
        with Publisher(environment, tmp_path / "log") as publisher:
            ended = publisher.run("publish", out, "--repo", "org/authors", "--version", "1.0.0")  # and read back
    assert ended.status == 0, ended.text
    assert "2 cot, 1 rejected, 2 rl" in ended.text


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no such part", "cannot read"),
        ("torn", "breaks off"),
        ("second part left out", "part2of2 is missing"),
        ("twice", "given twice"),
        ("parts of two files", "not parts of one file"),
        ("rl file as cot", "is the RL file"),
        ("questions without traces", "no record has a field `output`"),
        ("empty list", "no record has a field `output`"),
        ("no json", "is no JSON"),
        ("something else as rl", "is a question"),
    ],
)
def test_wrong_files_are_one_line_and_leave_nothing_behind(tmp_path, fault, message):
    cot = write_parts(tmp_path / "files", COT, [record(n) for n in range(40)])
    rl = write_parts(tmp_path / "files", RL, [stringified(record(n)) for n in range(40)], 3)
    other = tmp_path / "files" / "other.json"
    words: list[Any] = [*cot, "--rl", *rl]
    match fault:
        case "no such part":
            cot[1].unlink()
        case "torn":
            cot[1].write_bytes(cot[1].read_bytes()[:-30])
        case "second part left out":
            words = [cot[0]]
        case "twice":
            words = [*cot, cot[0]]
        case "parts of two files":
            words = [*cot, *rl]
        case "rl file as cot":
            words = rl
        case "questions without traces":
            other.write_text(json.dumps([record(1, output=...)]))
            words = [other]
        case "empty list":
            other.write_text("[]")
            words = [other]
        case "no json":
            other.write_bytes(gzip.compress(b"PAR1...."))
            words = [other]
        case "something else as rl":
            other.write_text('[{"a": 1}, 2]')
            words = [*cot, "--rl", other]
    assert message in refusal(tmp_path / "made" / "out", "--cot", *words)
    assert not (tmp_path / "made").exists() or not list((tmp_path / "made").iterdir())


def test_parts_are_taken_by_their_number_whatever_their_order(tmp_path):
    parts = write_parts(tmp_path, COT, [record(n) for n in range(22)], 11)
    import_release(tmp_path / "out", sorted(parts), licenses={}, progress=lambda _: None)
    assert [row["problem_id"] for row in read(tmp_path / "out", "cot")] == list(range(22))


def test_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunDirectoryError, match="holds something"):
        imported(tmp_path, [record(1)])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("pair", ["CLEVRER", "=mit", "CLEVRER="])
def test_licence_without_a_source_or_a_name_is_one_line(tmp_path, pair):
    with pytest.raises(ConfigError, match="SOURCE=LICENCE"):
        command._parse_licenses([pair])


def test_the_command_shows_what_it_found_and_where_it_lies(tmp_path, capsys):
    parts = write_parts(tmp_path, COT, [record(n) for n in range(5)] + list(nasty_records().values()))
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    words = ["import-release", tmp_path / "out", "--cot", *parts, "--license-of", "CLEVRER=cc0-1.0", "STAR=mit"]
    args = parser.parse_args([*map(str, words), "--license-of", "X=y", "--json", str(tmp_path / "a" / "report.json")])
    assert args.license_of == ["CLEVRER=cc0-1.0", "STAR=mit", "X=y"]
    assert args.command(args) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "score_below_threshold (1)" in shown
    assert f"dataset {tmp_path / 'out'}" in shown
    assert Report.model_validate_json((tmp_path / "a" / "report.json").read_text()).funnel.num_kept == 10

"""Labels of the viewer: on the disk at once, one history for many writers, read by `curation calibrate`."""

import inspect
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.labels import (
    LABELS,
    MIN_LABELS,
    MOST_NAME,
    MOST_NOTE,
    LabelError,
    LabelStore,
    clean_name,
    hash_observation,
)
from app.sampling import design, drawn_from, stratified_sample
from curation.agreement import how_weighted, load_labels, measure_agreement, with_design
from curation.errors import SourceError
from curation.schema import INSUFFICIENT, SUFFICIENT
from curation.statistics import cohens_kappa
from tests.folders import kept_row, rejected_row, write_folder

ROOT = Path(__file__).parent.parent


def label(store: LabelStore, row_id: str, label: str = "sufficient", labeller: str = "ann", **changes: Any) -> None:
    saved = {"dataset": "org/name@c0ffee", "note": "", "observation_sha256": hash_observation(f"seen {row_id}")}
    store.save(**{**saved, "row_id": row_id, "label": label, "labeller": labeller, **changes})


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels.sqlite")


def words_of(labels: Sequence[Any]) -> list[tuple[str, str]]:
    return [(each.labeller, each.label) for each in labels]


# ---- saving


def test_a_label_is_there_for_whoever_opens_the_file_next(store):
    before = datetime.now(UTC).replace(microsecond=0)
    label(store, "q1", "insufficient", note="no colour")
    (found,) = LabelStore(store.path).of("q1")
    assert (found.row_id, found.label, found.labeller, found.note) == ("q1", "insufficient", "ann", "no colour")
    assert found.dataset == "org/name@c0ffee"
    assert found.observation_sha256 == hash_observation("seen q1")
    at = datetime.fromisoformat(found.labelled_at)
    assert at.utcoffset().total_seconds() == 0 and at.microsecond == 0
    assert before <= at <= datetime.now(UTC)


def test_a_second_labeller_stands_beside_the_first_and_each_may_change_his_mind(store):
    label(store, "q1", "sufficient", "ann")
    label(store, "q1", "insufficient", "bob")
    label(store, "q1", "cannot_tell", "ann")
    assert words_of(store.of("q1")) == [("bob", "insufficient"), ("ann", "cannot_tell")]
    assert words_of(store.of("q1", " bob ")) == [("bob", "insufficient")]
    assert store.count() == {"sufficient": 0, "insufficient": 1, "cannot_tell": 1}
    assert store.count("ann") == {"sufficient": 0, "insufficient": 0, "cannot_tell": 1}
    assert store.labelled_ids("bob") == {"q1"}
    assert store.labelled_ids("") == store.labelled_ids("cy") == set()


def test_the_history_keeps_what_was_overruled_or_taken_back(store):
    label(store, "q1", "sufficient")
    label(store, "q1", "insufficient")
    store.undo("ann")
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("SELECT label FROM labels").fetchall() == [("sufficient",), ("insufficient",)]
    connection.close()


def test_undo_takes_back_the_last_label_of_this_labeller_alone(store):
    label(store, "q1", "sufficient")
    label(store, "q2", "sufficient")
    label(store, "q2", "insufficient")
    label(store, "q3", "sufficient", "bob")
    assert store.undo("ann").label == "insufficient"
    assert words_of(store.of("q2")) == [("ann", "sufficient")]
    assert store.undo("ann").row_id == "q2"
    assert store.of("q2") == []
    label(store, "q2", "cannot_tell")
    assert [store.undo("ann").row_id, store.undo("ann").row_id, store.undo("ann")] == ["q2", "q1", None]
    assert store.labelled_ids("bob") == {"q3"}
    assert store.undo("nobody") is None


def test_the_store_is_blind_to_the_judge(store):
    label(store, "q1")
    assert "verdict" not in inspect.signature(LabelStore.save).parameters
    assert b"verdict" not in store.path.read_bytes()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("pq"), st.sampled_from([*LABELS, "undo"]))))
def test_the_store_agrees_with_a_list_that_is_walked_by_hand(tmp_path_factory, steps):
    store = LabelStore(tmp_path_factory.mktemp("labels") / "labels.sqlite")
    history: list[tuple[str, str, str]] = []
    for labeller, row_id, word in steps:
        if word == "undo":
            store.undo(labeller)
            if mine := [place for place, row in enumerate(history) if row[0] == labeller]:
                del history[mine[-1]]
        else:
            label(store, row_id, word, labeller)
            history.append((labeller, row_id, word))
    last = {(labeller, row_id): word for labeller, row_id, word in history}
    for row_id in "pq":
        expected = {labeller: word for (labeller, of), word in last.items() if of == row_id}
        assert dict(words_of(store.of(row_id))) == expected
    assert store.count() == {word: Counter(last.values())[word] for word in LABELS}


@given(st.text(max_size=200))
def test_a_note_is_kept_letter_by_letter(tmp_path_factory, note):
    store = LabelStore(tmp_path_factory.mktemp("labels") / "labels.sqlite")
    label(store, "q1", note=note)
    assert store.of("q1")[0].note == note


@pytest.mark.parametrize(
    "note",
    [
        "<script>alert(1)</script>",
        "'); DROP TABLE labels; --",
        "a\x00b\r\n\u202eevil",
        "=1+1",
        "\ufeff",
        "n" * MOST_NOTE,
    ],
)
def test_a_hostile_note_is_only_text(store, tmp_path, note):
    label(store, "q1", note=note)
    assert store.of("q1")[0].note == note
    store.export(tmp_path / "export.parquet", lambda ids: {each: row_of(each) for each in ids})
    assert pl.read_parquet(tmp_path / "export.parquet")["note"].to_list() == [note]


def test_half_a_character_from_a_browser_is_replaced_and_does_not_lose_the_label(store):
    label(store, "q1", note="a\ud800b\udc00", labeller="an\udfffn")
    (found,) = store.of("q1")
    assert found.note == "a\ufffdb\ufffd"
    assert store.labelled_ids("an\udfffn") == {"q1"}


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("  Ann\t Lee\n", "Ann Lee"),
        ("ann\u202e\u200b\x00", "ann"),
        ("a\u2028b", "a b"),
        ("<b>ann</b>", "<b>ann</b>"),
        ("e\u0301ve", "\u00e9ve"),
        ("\u200b \x07", ""),
    ],
)
def test_a_name_is_one_line_of_visible_characters(name, cleaned):
    assert clean_name(name) == cleaned


@given(st.text())
def test_cleaning_a_name_again_changes_nothing(name):
    assert clean_name(clean_name(name)) == clean_name(name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": "yes"}, "a label is sufficient, insufficient, cannot_tell, not 'yes'"),
        ({"labeller": " \u200b"}, "no labeller"),
        ({"labeller": "a" * (MOST_NAME + 1)}, f"at most {MOST_NAME}"),
        ({"note": "n" * (MOST_NOTE + 1)}, "4,001 characters"),
        ({"row_id": ""}, "no id"),
        ({"row_id": "q\ud800"}, "no id"),
        ({"observation_sha256": "text"}, "no SHA-256"),
    ],
)
def test_what_cannot_be_a_label_is_refused_in_one_line(store, changes, says):
    with pytest.raises(LabelError) as raised:
        label(store, **{"row_id": "q1", **changes})
    assert says in str(raised.value)
    assert "NOT saved" in str(raised.value) and "\n" not in str(raised.value)
    assert sum(store.count().values()) == 0


# ---- crashes, two at once, broken disks

SAVE = """
import os, signal, sys
from pathlib import Path
from app.labels import LabelStore
store = LabelStore(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    store.save(row_id=f"q{number}", dataset="d", label="sufficient", labeller=sys.argv[2], observation_sha256="0" * 64)
    print(number, flush=True)
if len(sys.argv) > 4:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start(store: Path, labeller: str, num: int, *more: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", SAVE, str(store), labeller, str(num), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_label_outlives_a_kill_right_after_it_was_saved(tmp_path):
    path = tmp_path / "labels.sqlite"
    process = start(path, "ann", 1, "kill")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert LabelStore(path).labelled_ids("ann") == {"q0"}


def test_whatever_was_reported_as_saved_outlives_a_kill_in_the_midst_of_saving(tmp_path):
    path = tmp_path / "labels.sqlite"
    process = start(path, "ann", 10_000)
    reported = [process.stdout.readline().strip() for _ in range(30)]
    process.kill()
    reported += process.communicate(timeout=60)[0].split()
    store = LabelStore(path)
    assert {f"q{number}" for number in reported} <= store.labelled_ids("ann")
    label(store, "next")
    assert "next" in store.labelled_ids("ann")


def test_two_processes_that_label_at_once_lose_nothing(tmp_path):
    path = tmp_path / "labels.sqlite"
    processes = [start(path, name, 200) for name in ("ann", "bob")]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    store = LabelStore(path)
    assert [sum(store.count(name).values()) for name in ("ann", "bob")] == [200, 200]
    assert len(store.of("q7")) == 2


def test_threads_that_make_the_file_and_label_at_once_lose_nothing(tmp_path):
    path = tmp_path / "new" / "labels.sqlite"

    def work(number: int) -> None:
        for place in range(10):
            label(LabelStore(path), f"q{place}", labeller=f"person {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sum(LabelStore(path).count().values()) == 80


def test_a_label_waits_for_another_writer(store):
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(label, store, "q1")
        assert store.of("q1") == []  # who only reads does not wait
        other.execute("COMMIT")
        saving.result(timeout=30)
    other.close()
    assert len(store.of("q1")) == 1


def test_a_full_disk_is_one_line_and_the_label_is_not_saved(store):
    label(store, "q1")
    program = (
        "import resource, sys; from pathlib import Path; from app.labels import LabelStore, LabelError\n"
        "store = LabelStore(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: store.save(row_id='q2', dataset='d', label='sufficient', labeller='ann', observation_sha256='0' * 64)\n"
        "except LabelError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(store.path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert "the label of 'q2' was NOT saved" in done.stdout and done.stdout.count("\n") == 1
    assert store.labelled_ids("ann") == {"q1"}
    label(store, "q2")
    assert store.labelled_ids("ann") == {"q1", "q2"}


def test_a_read_only_file_is_one_line_and_the_label_is_not_saved(store):
    label(store, "q1")
    before = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write to any file, and there is no setpriv to give that up")
        before = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override"]
    program = (
        "import sys; from pathlib import Path; from app.labels import LabelStore, LabelError\n"
        "store = LabelStore(Path(sys.argv[1])); store.path.chmod(0o444); store.path.parent.chmod(0o555)\n"
        "try: store.save(row_id='q2', dataset='d', label='sufficient', labeller='ann', observation_sha256='0' * 64)\n"
        "except LabelError as error: print(error)\n"
    )
    command = [*before, sys.executable, "-c", program, str(store.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    store.path.parent.chmod(0o755)
    store.path.chmod(0o644)
    assert done.stderr == ""
    assert "the label of 'q2' was NOT saved" in done.stdout and done.stdout.count("\n") == 1
    assert store.labelled_ids("ann") == {"q1"}


def test_a_file_that_was_removed_is_not_begun_anew_in_silence(store):
    label(store, "q1")
    store.path.unlink()
    with pytest.raises(LabelError, match="NOT saved"):
        label(store, "q2")
    assert not store.path.exists()


def _text(path: Path) -> None:
    path.write_text("id,label\nq1,sufficient\n" * 100)


def _directory(path: Path) -> None:
    path.mkdir()


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE labels (a)")
    connection.close()


def _newer(path: Path) -> None:
    LabelStore(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()


@pytest.mark.parametrize("make", [_text, _directory, _other_database, _newer])
def test_a_file_that_is_no_label_store_is_refused_and_left_as_it_is(tmp_path, make):
    path = tmp_path / "labels.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(LabelError) as raised:
        LabelStore(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match="cannot keep labels"):
        LabelStore(tmp_path / "file" / "labels.sqlite")


def test_a_path_with_marks_that_mean_something_in_an_address_is_a_path(tmp_path):
    store = LabelStore(tmp_path / "100% ?mode=ro#x" / "labels.sqlite")
    label(store, "q1")
    assert store.path.exists() and len(store.of("q1")) == 1


# ---- export and agreement


def row_of(row_id: str, **changes: Any) -> dict[str, Any]:
    return kept_row(1) | {"id": row_id, "observation": f"seen {row_id}"} | changes


def test_an_export_is_read_by_calibrate_with_the_dataset_and_without(tmp_path, store):
    kept = [kept_row(number, verdict="sufficient") for number in range(24)]
    rejected = [rejected_row(number, "verify:insufficient") for number in range(24, 30)]
    folder = write_folder(tmp_path / "dataset", kept, rejected)
    rows = {row["id"]: row for row in (*kept, *rejected)}
    for number, row in enumerate(rows.values()):
        for labeller in ("ann", "bob\u00e9"):
            word = "insufficient" if number >= 26 else "cannot_tell" if number == 0 else "sufficient"
            label(
                store, row["id"], word, labeller, observation_sha256=hash_observation(row["observation"]), note="n,\n"
            )
    export = tmp_path / "export.parquet"
    assert store.export(export, lambda ids: {each: rows[each] for each in ids}) == 60
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "curation", "calibrate", str(export), "--json", str(result)]
    done = subprocess.run(
        [*command, "--dataset", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    calibration = json.loads(result.read_text())
    assert (calibration["num_labels"], calibration["num_outdated"]) == (60, 0)
    assert calibration["labellers"] == ["ann", "bob\u00e9"]
    agreement = calibration["judges"][0]["agreement"]
    assert (agreement["both_sufficient"], agreement["both_insufficient"]) == (23, 4)
    assert (agreement["human_only_sufficient"], agreement["num_cannot_tell"]) == (2, 1)
    # The very numbers that the viewer shows.
    shown = store.agreement({row_id: row["verdict"] for row_id, row in rows.items()})
    assert shown.model_dump(mode="json") == agreement
    from curation.labelled import load_label_file

    alone = load_label_file(export, None)
    assert alone.questions[kept[3]["id"]].observation == kept[3]["observation"]
    assert alone.questions[kept[3]["id"]].question.options == ("A. red", "B. blue", "C. green")


def test_labels_of_another_observation_or_of_no_row_are_not_exported(tmp_path, store):
    label(store, "q1")
    label(store, "q1", "insufficient", observation_sha256=hash_observation("an older text"))
    label(store, "gone")
    label(store, "empty")
    rows = {"q1": row_of("q1"), "empty": row_of("empty", observation=None)}

    def find(ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        assert len(set(ids)) == len(ids)
        return {each: rows[each] for each in ids if each in rows}

    assert len(store.of("q1")) == 2  # each about its own text
    assert words_of(store.current(find)) == [("ann", "sufficient")]
    assert store.export(tmp_path / "export.parquet", find) == 1
    assert pl.read_parquet(tmp_path / "export.parquet")["label"].to_list() == ["sufficient"]


def test_an_export_of_nothing_has_the_columns_all_the_same(tmp_path, store):
    assert store.export(tmp_path / "new" / "export.parquet", lambda ids: {}) == 0
    frame = pl.read_parquet(tmp_path / "new" / "export.parquet")
    assert {"id", "label", "labeller", "options"} <= set(frame.columns) and frame.schema["options"] == pl.List(
        pl.String
    )


def test_an_export_that_fails_is_one_line_and_keeps_the_old_one(tmp_path, store):
    label(store, "q1")
    (tmp_path / "export.parquet").mkdir()
    with pytest.raises(LabelError, match="NOT exported") as raised:
        store.export(tmp_path / "export.parquet", lambda ids: {"q1": row_of("q1")})
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.glob("*.tmp")] == []
    with pytest.raises(LabelError, match=r"\*\.parquet"):
        store.export(tmp_path / "export.csv", lambda ids: {})


def test_agreement_is_shown_after_enough_decided_questions(store):
    verdicts = {f"q{number}": "sufficient" for number in range(100)}
    for number in range(MIN_LABELS - 1):
        label(store, f"q{number}", "sufficient" if number else "insufficient")
        label(store, f"q{number}", "sufficient" if number else "insufficient", "bob")
    label(store, "q50", "cannot_tell")
    label(store, "elsewhere")
    label(store, "q51", "sufficient", "ann")
    label(store, "q51", "insufficient", "bob")
    assert store.agreement(verdicts) is None
    label(store, "q60")
    agreement = store.agreement(verdicts)
    assert (agreement.accuracy.num, agreement.accuracy.total) == (MIN_LABELS - 1, MIN_LABELS)
    assert (agreement.num_disputed, agreement.num_cannot_tell, agreement.num_unknown_ids) == (1, 1, 1)


def test_a_question_without_a_verdict_is_counted_apart_and_never_averaged_in(store):
    for number in range(MIN_LABELS):
        label(store, f"q{number}")
    agreement = store.agreement(dict.fromkeys((f"q{number}" for number in range(MIN_LABELS)), None))
    assert (agreement.accuracy.total, agreement.accuracy.share, agreement.num_unscored) == (0, None, MIN_LABELS)
    assert store.agreement({}) is None


def test_agreement_leaves_out_labels_of_another_observation(store):
    for number in range(MIN_LABELS):
        label(store, f"q{number}", observation_sha256=hash_observation("an older text"))
    verdicts = {f"q{number}": "insufficient" for number in range(MIN_LABELS)}
    assert store.agreement(verdicts).accuracy.num == 0
    assert store.agreement(verdicts, lambda ids: {each: row_of(each) for each in ids}) is None


# ---- the agreement of a dataset, from a sample that was drawn stratum by stratum


def judged_facts(rng, num_rows, share_sufficient, right):
    """Facts of rows, and what people would say of each. right: by verdict, how often the judge agrees with them."""
    kinds = ["multiple choice", "OCR", "free-form"]
    verdicts = [SUFFICIENT if rng.random() < share_sufficient else INSUFFICIENT for _ in range(num_rows)]
    other = {SUFFICIENT: INSUFFICIENT, INSUFFICIENT: SUFFICIENT}
    truth = [verdict if rng.random() < right[verdict] else other[verdict] for verdict in verdicts]
    facts = pl.DataFrame(
        {
            "id": [f"q{number}" for number in range(num_rows)],
            "problem_type": [rng.choice(kinds) for _ in range(num_rows)],
            "verdict": verdicts,
            "observation_words": 9,
        }
    )
    return facts, dict(zip(facts["id"], truth, strict=True))


def sampled_agreement(facts, truth, num, seed):
    ids = [facts["id"][place] for place in stratified_sample(drawn_from(facts), num, seed)]
    labels = pl.DataFrame({"id": ids, "label": [truth[each] for each in ids]}).with_columns(labeller=pl.lit("ann"))
    return measure_agreement(facts.select("id", "verdict"), with_design(labels, design(facts)))


@pytest.mark.parametrize(
    ("share_sufficient", "right"),
    [
        (0.9, {SUFFICIENT: 0.97, INSUFFICIENT: 0.70}),
        (0.5, {SUFFICIENT: 0.9, INSUFFICIENT: 0.9}),
        (0.97, {SUFFICIENT: 0.99, INSUFFICIENT: 0.4}),
        (0.2, {SUFFICIENT: 0.5, INSUFFICIENT: 0.95}),
        (1.0, {SUFFICIENT: 0.93, INSUFFICIENT: 0.0}),
    ],
)
def test_the_agreement_is_the_datasets_although_rare_verdicts_are_drawn_as_often_as_frequent_ones(
    share_sufficient, right
):
    rng = random.Random(7)
    facts, truth = judged_facts(rng, 5_000, share_sufficient, right)
    pairs = list(zip(facts["verdict"], (truth[each] for each in facts["id"]), strict=True))
    true_share = sum(first == second for first, second in pairs) / len(pairs)
    true_kappa = cohens_kappa(Counter(pairs))
    found = [sampled_agreement(facts, truth, 240, seed) for seed in range(60)]
    assert mean(each.accuracy.share for each in found) == pytest.approx(true_share, abs=0.01)
    assert mean(each.kappa for each in found) == pytest.approx(true_kappa, abs=0.03)
    num_inside = sum(each.accuracy.low <= true_share <= each.accuracy.high for each in found)
    assert num_inside >= 55
    assert mean(each.accuracy.high - each.accuracy.low for each in found) < 0.14
    assert {each.coverage for each in found} == {1.0}


def test_what_lies_in_strata_without_a_label_is_said():
    facts, truth = judged_facts(random.Random(1), 2_000, 0.9, {SUFFICIENT: 0.9, INSUFFICIENT: 0.9})
    only = facts.filter(pl.col("problem_type") == "OCR")
    labels = pl.DataFrame({"id": only["id"][:50], "label": [truth[each] for each in only["id"][:50]]})
    found = measure_agreement(
        facts.select("id", "verdict"), with_design(labels.with_columns(labeller=pl.lit("ann")), design(facts))
    )
    assert found.coverage == pytest.approx(only.height / facts.height)
    assert "no label yet" in how_weighted(found)


def test_labels_without_a_design_are_counted_as_they_are_and_said_to_be():
    facts, truth = judged_facts(random.Random(1), 500, 0.9, {SUFFICIENT: 0.9, INSUFFICIENT: 0.5})
    ids = [facts["id"][place] for place in stratified_sample(facts, 100, 1)]
    labels = pl.DataFrame({"id": ids, "label": [truth[each] for each in ids]}).with_columns(labeller=pl.lit("ann"))
    found = measure_agreement(facts.select("id", "verdict"), labels)
    assert found.accuracy.share == found.accuracy.num / 100
    assert (found.num_strata, found.coverage) == (None, None)
    assert "as they are" in how_weighted(found)


def test_one_stratum_is_weighted_to_the_same_figures_as_none():
    labels = pl.DataFrame(
        {"id": ["a", "b", "c"], "label": [SUFFICIENT, INSUFFICIENT, SUFFICIENT], "labeller": ["x"] * 3}
    )
    verdicts = pl.DataFrame({"id": ["a", "b", "c"], "verdict": [SUFFICIENT, SUFFICIENT, SUFFICIENT]})
    sizes = {"stratum": 1, "stratum_rows": 900, "population_rows": 900}
    plain, weighted = (
        measure_agreement(verdicts, each)
        for each in (labels, labels.with_columns(pl.lit(size).alias(name) for name, size in sizes.items()))
    )
    assert weighted.accuracy == plain.accuracy
    assert weighted.kappa == plain.kappa


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_an_export_carries_the_sizes_and_calibrate_counts_as_the_page_does(tmp_path, store, suffix):
    rng = random.Random(3)
    facts, truth = judged_facts(rng, 800, 0.85, {SUFFICIENT: 0.95, INSUFFICIENT: 0.6})
    drawn = [facts["id"][place] for place in stratified_sample(drawn_from(facts), 120, 5)]
    rows = {each: row_of(each) for each in drawn}
    for each in drawn:
        store.save(
            row_id=each,
            dataset="d",
            label=truth[each],
            labeller="ann",
            observation_sha256=hash_observation(rows[each]["observation"]),
        )
    chosen = lambda ids: {each: rows[each] for each in ids}  # noqa: E731
    verdicts = dict(facts.select("id", "verdict").iter_rows())
    shown = store.agreement(verdicts, chosen, design(facts))
    store.export(tmp_path / "labels.parquet", chosen, design(facts))
    exported = pl.read_parquet(tmp_path / "labels.parquet").with_columns(options=pl.lit("[]"))
    path = tmp_path / f"labels{suffix}"
    {".parquet": exported.write_parquet, ".csv": exported.write_csv, ".jsonl": exported.write_ndjson}[suffix](path)
    measured = measure_agreement(facts.select("id", "verdict"), load_labels(path))
    assert measured == shown
    assert shown.accuracy.share != shown.accuracy.num / shown.accuracy.total
    assert shown.num_strata == 6


def test_sizes_that_contradict_each_other_are_one_line(tmp_path):
    path = tmp_path / "labels.csv"
    for rows in (
        "a,sufficient,1,10,30\nb,sufficient,1,12,30",
        "a,sufficient,1,,30",
        "a,sufficient,1,50,30",
        "a,sufficient,x,1,1",
    ):
        path.write_text(f"id,label,stratum,stratum_rows,population_rows\n{rows}\n")
        with pytest.raises(SourceError) as caught:
            load_labels(path)
        assert len(str(caught.value).splitlines()) == 1


def test_rows_are_drawn_from_the_strata_that_the_design_names():
    facts = pl.DataFrame(
        {
            "id": ["a", "b", None, "c", "d", "a", "e"],
            "problem_type": ["OCR", None, "OCR", None, "OCR", "OCR", "OCR"],
            "verdict": [SUFFICIENT, INSUFFICIENT, SUFFICIENT, INSUFFICIENT, None, INSUFFICIENT, SUFFICIENT],
            "observation_words": [3, 3, 3, 3, 3, 3, None],
        }
    )
    assert dict(design(facts).select("id", "stratum_rows").iter_rows()) == {"a": 1, "b": 2, "c": 2}
    unjudged = facts.with_columns(verdict=pl.lit(None, pl.String))
    assert dict(design(unjudged).select("id", "stratum_rows").iter_rows()) == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert set(design(unjudged)["population_rows"]) == {4}


# ---- samples

STRATA = st.tuples(
    st.sampled_from(["multiple choice", "OCR", "free-form", None]),
    st.sampled_from(["sufficient", "insufficient", None]),
)


def facts_of(strata: Sequence[tuple[str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(strata, schema={"problem_type": pl.String, "verdict": pl.String}, orient="row")


@given(st.lists(STRATA, max_size=80), st.integers(-1, 100), st.integers(0, 5), st.sets(st.integers(0, 80), max_size=30))
def test_a_sample_spreads_over_all_strata_and_takes_none_that_is_excluded(strata, num, seed, excluded):
    facts = facts_of(strata)
    places = stratified_sample(facts, num, seed, excluded)
    free = [place for place in range(len(strata)) if place not in excluded]
    assert len(set(places)) == len(places) == max(0, min(num, len(free)))
    assert set(places) <= set(free)
    assert places == stratified_sample(facts, num, seed, excluded)
    there = Counter(strata[place] for place in free)
    drawn = Counter(strata[place] for place in places)
    if num >= len(there):
        assert set(drawn) == set(there)
    # A stratum gives less than another only when it has no more.
    most = max(drawn.values(), default=0)
    assert all(drawn[stratum] >= min(there[stratum], most - 1) for stratum in there)


def test_a_rare_stratum_is_present_and_no_stratum_has_a_place_in_the_order():
    common = [("multiple choice", "sufficient")] * 5_000
    rare = [("OCR", "insufficient"), ("regression", None)]
    facts = facts_of(common + rare)
    samples = [stratified_sample(facts, 10, seed) for seed in range(20)]
    assert all({5_000, 5_001} <= set(places) for places in samples)
    assert len({places.index(5_000) for places in samples}) > 3
    assert len({tuple(places) for places in samples}) == 20


def test_fewer_than_there_are_strata_leaves_none_out_for_ever():
    facts = facts_of([("OCR", "sufficient"), ("OCR", None), ("numerical", "sufficient")])
    assert {stratified_sample(facts, 1, seed)[0] for seed in range(30)} == {0, 1, 2}


def test_rows_without_an_observation_are_not_drawn_and_places_are_kept():
    facts = facts_of([("OCR", "sufficient")] * 3).with_columns(observation_words=pl.Series([5, None, 0]))
    assert sorted(stratified_sample(facts, 5, 1)) == [0, 2]
    named = facts.with_columns(place=pl.Series([70, 80, 90]))
    assert sorted(stratified_sample(named, 5, 1)) == [70, 90]
    assert stratified_sample(named, 5, 1, excluded={70}) == [90]


def test_columns_that_are_all_null_are_one_stratum():
    facts = pl.DataFrame({"problem_type": ["OCR"] * 4, "verdict": [None] * 4})
    assert sorted(stratified_sample(facts, 9, 1)) == [0, 1, 2, 3]


def test_what_was_labelled_does_not_come_again(store):
    facts = facts_of([(["OCR", "numerical"][place % 3 == 0], None) for place in range(50)])
    seen: set[int] = set()
    while places := stratified_sample(facts, 7, 3, excluded={int(each) for each in store.labelled_ids("ann")}):
        assert not seen & set(places)
        seen |= set(places)
        for place in places:
            label(store, str(place))
    assert len(seen) == 50

"""`make lmms-check` without lmms-eval: what it writes, how it compares, and that its table is of what it writes."""

from dataclasses import replace
from string import Formatter

import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from tests.lmms.check import KNOWN, WORLDS, make_pairs, other_videos, our_figure
from tests.lmms.comparison import KnownDifferences, Outcome, Pair, find_faults, listing, load_known, table
from tests.lmms.reference import FILTERS, row_score, task_name, uid_of, write_yamls
from tests.lmms.tasks import TASKS
from tests.lmms.world import MISTAGGED, hub_folder, write_world
from training.benchmarks.results import read_rows, result_folder

EQUAL = Pair("Video-MME", "stock", "right", "video_mme 000-1", "C", "C", 1.0, 1.0)
SMALL = Pair("Video-MME", "stock", "small letter", "video_mme 001-1", "C", "c", 1.0, 0.0)
JUDGED = Pair("TempCompass yes_no", "stock", "true", "tempcompass yes_no/0", "yes", "True", 0.0, None, "judged")
EMPTY = Pair("MVBench", "stock", "empty", "mvbench action_count/3", "B", "", 0.0, None, "left out")


def known(*listed, reasons=("because",)):
    """Each: a pair and in how many rows it is known to differ."""
    differences = {}
    for pair, num_rows in listed:
        entry = {"reader": pair.reader, "outcome": pair.outcome, "reason": "because", "rows": {pair.form: num_rows}}
        differences.setdefault(pair.rule, []).append(entry)
    return KnownDifferences.model_validate({"reasons": dict.fromkeys(reasons, "."), "differences": differences})


NONE_KNOWN = known(reasons=())


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    root = tmp_path_factory.mktemp("lmms")
    return root, {world: write_world(root, world, outputs_of) for world, outputs_of in WORLDS.items()}


# --- the comparison ---------------------------------------------------------------------------------------------------


def test_equal_scores_need_no_entry():
    assert EQUAL.outcome is Outcome.EQUAL and find_faults([EQUAL], NONE_KNOWN) == []
    assert replace(EQUAL, ours=0.1 + 0.2, theirs=0.3).outcome is Outcome.EQUAL  # MRA is a mean of tenths


def test_a_difference_that_is_not_listed_is_a_fault_and_names_its_row():
    (fault,) = find_faults([EQUAL, SMALL], NONE_KNOWN)
    assert "'small letter': ours is higher in 1 rows, listed are 0" in fault
    assert "video_mme 001-1: gold 'C', output 'c', ours 1, theirs 0" in fault


def test_a_listed_difference_is_no_fault_in_just_so_many_rows():
    pairs = [SMALL, replace(SMALL, uid="video_mme 002-1")]
    assert find_faults(pairs, known((SMALL, 2))) == []
    assert "in 2 rows, listed are 3" in find_faults(pairs, known((SMALL, 3)))[0]
    assert "in 2 rows, listed are 1" in find_faults(pairs, known((SMALL, 1)))[0]


def test_a_listed_difference_that_is_gone_is_a_fault():
    assert "in 0 rows, listed are 1" in find_faults([replace(SMALL, theirs=1.0)], known((SMALL, 1)))[0]
    assert len(find_faults([], known((SMALL, 1)))) == 1


def test_a_difference_the_other_way_round_is_not_the_listed_one():
    assert len(find_faults([replace(SMALL, ours=0.0, theirs=1.0)], known((SMALL, 1)))) == 2
    assert len(find_faults([replace(SMALL, reader="answer_tag")], known((SMALL, 1)))) == 2


@pytest.mark.parametrize("pair", [JUDGED, EMPTY])
def test_no_score_is_not_zero(pair):
    assert pair.ours == 0 and pair.outcome is not Outcome.EQUAL
    assert len(find_faults([pair], NONE_KNOWN)) == 1
    assert find_faults([pair], known((pair, 1))) == []


def test_a_table_of_differences_has_one_reason_each_and_a_sentence_for_every_reason():
    with pytest.raises(ValidationError, match="listed twice"):
        known((SMALL, 1), (SMALL, 1))
    with pytest.raises(ValidationError, match="what is equal"):
        known((EQUAL, 1))
    with pytest.raises(ValidationError, match="without a use"):
        known((SMALL, 1), reasons=("because", "never"))
    with pytest.raises(ValidationError, match="without a sentence"):
        known((SMALL, 1), reasons=())
    with pytest.raises(ValidationError, match="greater than 0"):
        known((SMALL, 0))


def test_the_table_counts_every_row_and_what_is_not_listed():
    lines = list(table([EQUAL, SMALL, JUDGED, EMPTY], known((SMALL, 1), (JUDGED, 1))))
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "Video-MME stock 2 1 1: because 1",
        "TempCompass yes_no stock 1 0 1: because 1",
        "MVBench stock 1 0 1: NOT LISTED 1",
    ]
    assert "    Video-MME, stock, ours is higher: small letter (1)" in listing(known((SMALL, 1)))


# --- the committed table ----------------------------------------------------------------------------------------------


def test_every_listed_difference_is_of_a_form_that_is_written_and_in_no_more_rows(worlds):
    _, written = worlds
    num_rows = {}
    for one in written["varied"]:
        for reader in FILTERS:
            num_rows[one.rule, reader, one.form] = num_rows.get((one.rule, reader, one.form), 0) + 1
    for (rule, reader, form, _), _, listed in load_known(KNOWN).listed():
        assert listed <= num_rows.get((rule, reader, form), 0), (rule, reader, form)


def test_the_bare_answer_is_scored_alike_everywhere():
    bare = {"right", "wrong", "right, white space around it"}
    differing = {key[2] for key, _, _ in load_known(KNOWN).listed() if key[0] != MISTAGGED}
    assert differing.isdisjoint(bare)


# --- what both sides score --------------------------------------------------------------------------------------------


def test_saved_predictions_are_those_that_were_written(worlds):
    root, written = worlds
    for world, own in written.items():
        for benchmark in {one.task.benchmark for one in own}:
            rows = read_rows(result_folder(root / world / "run", benchmark, "direct"))
            assert rows == [one.row for one in own if one.task.benchmark == benchmark]
    assert {one.rule for one in written["varied"]} - {one.rule for one in written["plain"]} == {MISTAGGED}


def test_plain_answers_are_right_or_wrong_by_our_rules(worlds):
    _, written = worlds
    for one in written["plain"]:
        assert one.row.failure is None
        assert one.row.score == 1 if one.form == "right" else one.row.score < 1, one.row
    assert {one.form for one in written["plain"]} == {"right", "wrong"}


def test_the_ids_that_lmms_eval_s_rows_are_given_are_ours(worlds):
    root, written = worlds
    for task in TASKS:
        hub = hub_folder(root, "varied", task)
        docs = pq.read_table(hub / task.part / f"{task.split}-00000-of-00001.parquet").to_pylist()
        entry = {"uid": task.uid}
        assert [uid_of(entry, doc, place) for place, doc in enumerate(docs)] == [
            one.row.id for one in written["varied"] if one.task == task
        ]
        assert {name for _, name, _, _ in Formatter().parse(task.uid)} - {None} <= {*docs[0], "doc_id"}


def test_each_row_is_paired_with_its_own_score_and_tags_by_both_readers(worlds):
    _, written = worlds
    own = [one for one in written["varied"] if one.task.name == "videomme"]
    scores = [
        {"world": "varied", "task": one.task.name, "filter": reader, "uid": one.row.id, "score": one.row.score}
        | {"why": "", "video": str(one.video)}
        for one in own
        for reader in FILTERS
    ]
    pairs = list(make_pairs("varied", own, {"rows": scores}))
    assert all(pair.outcome is Outcome.EQUAL for pair in pairs)
    assert {pair.form for pair in pairs if pair.reader == "answer_tag"} == {
        one.form for one in own if "<" in one.row.output
    }
    assert {pair.form for pair in pairs if pair.reader == "stock"} == {one.form for one in own}
    assert list(other_videos("varied", own, {"rows": scores})) == []
    scores[0]["video"] = scores[1]["video"] = "elsewhere.mp4"
    assert len(list(other_videos("varied", own, {"rows": scores}))) == 1


def test_our_figures_are_those_of_the_tasks(worlds):
    root, _ = worlds
    figures = {task.name: our_figure(root, task) for task in TASKS}
    assert figures["mvbench_action_sequence"] == 1 and figures["mvbench_action_localization"] == 0
    assert figures["tempcompass_yes_no"] == pytest.approx(2 / 3)
    assert len(set(figures.values())) > 4  # not all or nothing


# --- the reference, as far as it needs no lmms-eval -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "logged", "expected"),
    [
        ("vsibench", {"vsibench_overall": {"accuracy": 1.0}}, (1.0, "")),
        ("vsibench", {"vsibench_overall": {"MRA:.5:.95:.05": 0.6}}, (0.6, "")),
        ("videomme", {"videomme_perception_score": {"score": 0.0}}, (0.0, "")),
        ("mmvu_val", {"accuracy": {"correct": 1}}, (1.0, "")),
        ("mvbench_action_count", {"mvbench_accuracy": {"pred_answer": "B", "score": 1}}, (1.0, "")),
        ("mvbench_action_count", {"mvbench_accuracy": {"pred_answer": "", "score": 0}}, (None, "left out")),
        ("tempcompass_yes_no", {"avg_accuracy": {"rating": 0, "match_success": True}}, (0.0, "")),
        ("tempcompass_yes_no", {"avg_accuracy": {"rating": 0, "match_success": False}}, (None, "judged")),
    ],
)
def test_t8_t9_a_row_that_lmms_eval_leaves_out_or_to_a_judge_has_no_score(task, logged, expected):
    assert row_score(task, logged) == expected


def test_every_task_is_extended_for_both_readers_without_a_word_of_lmms_eval(tmp_path):
    plan = [{"world": "plain", "task": "vsibench", "yaml": "vsibench/vsibench.yaml", "dataset_path": "/data"}]
    write_yamls(tmp_path / "yamls", tmp_path / "tasks", plan)
    found = {file.stem: yaml.safe_load(file.read_text()) for file in (tmp_path / "yamls").iterdir()}
    assert set(found) == {task_name("plain", reader, "vsibench") for reader in FILTERS}
    for name, settings in found.items():
        assert settings["task"] == name and settings["dataset_path"] == "/data"
        assert settings["include"] == str(tmp_path / "tasks" / "vsibench/vsibench.yaml")
        assert settings["filter_list"][0]["filter"][-1] == {"function": "take_first"}

"""The report of benchmark runs: figures worked out by hand, and what must never stand in one table."""

import io
import re
from html.parser import HTMLParser
from itertools import combinations, product

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from curation.config import load_config
from curation.errors import ConfigError, RunDirectoryError
from curation.statistics import wilson_interval
from tests.browser import Browser
from tests.hub.cards import check_card
from tests.scored_runs import SEVEN, fingerprint, result_of, scored_rows, write_score
from tests.training_runs import write_run
from training.benchmarks.__main__ import main
from training.benchmarks.accounts import account_table, group_tables, rows_table, score_table
from training.benchmarks.comparisons import compare_results
from training.benchmarks.conditions import Conditions
from training.benchmarks.eval_results import card_scores, scores_of_model
from training.benchmarks.fingerprint import MixedFingerprints, same_table
from training.benchmarks.generating import model_revision
from training.benchmarks.grouping import Entry, Group, group_entries
from training.benchmarks.loaders.layout import NOT_MULTIPLE_CHOICE
from training.benchmarks.loaders.loading import UNREADABLE_GOLD
from training.benchmarks.loaders.tempcompass import NO_CHOICE
from training.benchmarks.published import PAPER_MAIN, published_table
from training.benchmarks.report import print_tables, write_benchmark_report
from training.benchmarks.report_pictures import score_pictures
from training.benchmarks.report_sources import load_sources, variant_of
from training.benchmarks.results import ShownMedia, find_results, result_folder, write_result
from training.benchmarks.scoring import Failure
from training.benchmarks.sources import BEYOND_LIMIT
from training.benchmarks.tables import (
    average,
    gap_of,
    incomparable,
    part_of,
    published_reference,
    signed,
    table_one,
    table_two,
)
from training.config import ModelConfig, TrainConfig
from training.described_model import write_card
from training.rundir import TrainingRun

HOSTILE = "<img src=x onerror=alert(1)> | `[x](javascript:1)` \x1b[31m\u202e"
NARROW = "\u00a0"


def entry(benchmark, num_right=60, prompt="trace", *, model="ours", variant=None, rows=None, made=None, **changes):
    scored = scored_rows(benchmark, num_right, **(rows or {}))
    result, _ = result_of(fingerprint(benchmark, prompt, num_rows=len(scored), **(made or {})), scored, **changes)
    return Entry(model, variant, result.counted.num_rows, result)


def whole(benchmark, num_right=60, prompt="trace", **settings):
    """A score of all the questions that count in the paper, under its conditions."""
    table = published_table(PAPER_MAIN)
    num_rows = table.conditions(published_reference(), benchmark).num_questions
    settings = {"shown": ShownMedia(num_parts=0, num_pictures=0)} | settings
    return entry(benchmark, num_right, prompt, rows={"num_rows": num_rows} | settings.pop("rows", {}), **settings)


def seven(first=10, step=10, **settings):
    """Scores of 10 %, 20 % ... 70 % on the seven, so that their average is 40 %."""
    return [entry(name, first + step * place, **settings) for place, name in enumerate(SEVEN)]


def row_of(table, name, nth=0):
    """heading -> cell of the nth row with that name."""
    rows = [row for row in table.rows if row.name == name]
    return dict(zip(table.headings[1:], rows[nth].cells, strict=True))


def only(entries, prompt="trace"):
    (group,) = (group for group in group_entries(entries) if group.prompt == prompt)
    return group


# --- Table 1 ----------------------------------------------------------------------------------------------------------


def test_a_cell_of_ours_is_per_cent_with_wilsons_interval():
    cells = row_of(table_one(only([entry("mmvu", 60)]), published_reference()), "ours")
    assert cells["MMVU"].text == "60.0"
    assert cells["MMVU"].note == f"[50.2,{NARROW}69.1]"  # Wilson's, of 60 of 100


def test_published_rows_and_ours_are_two_groups_and_null_is_a_dash():
    table = table_one(only([entry("mmvu")]), published_reference())
    headings = [place for place, row in enumerate(table.rows) if not row.cells]
    assert [table.rows[place].name for place in headings] == ["Published", "Ours, measured here"]
    published = published_table(PAPER_MAIN).rows
    assert [row.name for row in table.rows[1 : headings[1]]] == [row.name for row in published]
    assert row_of(table, "LLaVA-OneVision-7B")["VCR-Bench"].text == "-"
    assert row_of(table, "VideoP2R (7B)")["average"].text == "58.7"
    assert "0.0" not in {cell.text for row in table.rows for cell in row.cells}


def test_the_gap_to_the_published_row_is_newcombes_and_inside_the_noise_where_it_is():
    cells = row_of(table_one(only([whole("mmvu", 385)]), published_reference()), "gap to VideoP2R (7B)")
    assert cells["MMVU"].text == "-3.8"  # 61.6 - 65.4
    ours, theirs = wilson_interval(385, 625), wilson_interval(0.654 * 625, 625)
    low = -0.038 - ((0.616 - ours[0]) ** 2 + (theirs[1] - 0.654) ** 2) ** 0.5
    high = -0.038 + ((ours[1] - 0.616) ** 2 + (0.654 - theirs[0]) ** 2) ** 0.5
    assert cells["MMVU"].note == f"[{100 * low:+.1f},{NARROW}{100 * high:+.1f}] inside the noise"
    far = row_of(table_one(only([whole("mmvu", 125)]), published_reference()), "gap to VideoP2R (7B)")
    assert far["MMVU"].text == "-45.4" and far["MMVU"].note.endswith(" lower")
    own = whole("mmvu", 385, prompt_form="think-answer")
    other = row_of(table_one(only([own]), published_reference("Video-R1")), "gap to Video-R1")
    assert other["MMVU"].text == "-2.2"  # 61.6 - 63.8


def test_a_gap_that_is_none_has_no_negative_zero():
    assert signed(-0.0004) == signed(0.0) == "+0.0" and signed(-0.0006) == "-0.1"


def test_an_unknown_published_row_is_one_line_that_names_those_there_are():
    with pytest.raises(ConfigError, match=r"no row 'VideoP2R'; it has .*VideoP2R \(7B\)"):
        published_reference("VideoP2R")


def test_the_average_is_over_all_seven_or_it_is_a_dash_with_the_reason():
    group = only([*seven(), entry("shapes", 100)])
    assert average(group, "ours") == pytest.approx(0.4)
    assert row_of(table_one(group, published_reference()), "ours")["average"].text == "40.0"  # without the demo's 100
    lacking = only([*seven()[:-1], entry("shapes", 100)])
    table = table_one(lacking, published_reference())
    assert average(lacking, "ours") is None
    assert row_of(table, "ours")["average"].text == "-" and row_of(table, "ours")["average"].note == "6 of 7"
    assert "it lacks Video-MME here" in table.note


def test_a_benchmark_of_which_no_row_counts_has_no_score_and_makes_no_average():
    none_counts = entry("vcr_bench", 60, rows={"kind": "open"})
    assert none_counts.result.overall is None
    group = only([found for found in seven() if found.result.benchmark != "vcr_bench"] + [none_counts])
    cells = row_of(table_one(group, published_reference()), "ours")
    assert (cells["VCR-Bench"].text, cells["VCR-Bench"].note) == ("-", "no row counts")
    assert cells["average"].text == "-"


def test_the_demo_is_marked_as_another_benchmark_and_has_no_published_figure():
    table = table_one(only([entry("shapes", 80)]), published_reference())
    title = "Demo world (another benchmark)"
    assert table.headings[-1] == title and row_of(table, "ours")[title].text == "80.0"
    assert row_of(table, "gap to VideoP2R (7B)")[title].text == "-"
    assert {row.cells[-1].text for row in table.rows[1:12]} == {"-"}  # of every published row
    assert "another benchmark" in table.note
    assert "Demo world" not in " ".join(table_one(only([entry("mmvu")]), published_reference()).headings)


def test_missing_videos_and_parts_are_said_in_the_cell():
    failures = [Failure.MISSING_VIDEO] * 3
    found = entry("mvbench", 50, rows={"failures": failures}, num_published=4000)
    cells = row_of(table_one(only([found]), published_reference()), "ours")
    assert cells["MVBench"].note.endswith("; 3 without video; 100 of 4,000 rows")
    whole = [*seven()[:4], found, *seven()[5:]]
    table = table_one(only(whole), published_reference())
    assert row_of(table, "ours")["average"].note == "of parts"
    assert "Of ours only a part was asked of MVBench." in table.note


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"num_published": 100}, None),
        ({"num_published": None}, None),
        ({"num_published": 101}, "100 of 101 rows"),
        ({"num_published": 160, "left_out": {"open question": 60}}, None),
        ({"num_published": 160, "left_out": {"open question": 10, BEYOND_LIMIT: 50}}, "100 of 150 rows"),
        ({"num_published": None, "left_out": {BEYOND_LIMIT: 50}}, "100 of 150 rows"),
        ({"num_published": 90}, None),
        ({"num_published": 160, "left_out": {NOT_MULTIPLE_CHOICE: 57, UNREADABLE_GOLD: 3}}, "100 of 103 rows"),
        ({"num_published": None, "left_out": {UNREADABLE_GOLD: 3}}, "100 of 103 rows"),
        ({"num_published": 140, "left_out": {NO_CHOICE: 40}}, "100 of 140 rows"),
    ],
)
def test_rows_that_the_protocol_leaves_out_make_no_part_but_a_limit_does(changes, part):
    assert part_of(entry("mmvu", **changes).result) == part


@pytest.mark.parametrize(
    ("made", "changes", "reason"),
    [
        ({}, {}, None),
        ({"frames__num_frames": 16}, {}, "16 frames, not 32"),
        ({"frames__max_pixels": 100_352}, {}, "100,352 pixels, not 200,704"),
        ({"frames__sent_as": "images"}, {}, "clips sent as images, not video"),
        ({"frames__reader": "server"}, {}, "frames sampled by the server, not client"),
        ({}, {"engine": "openai"}, "sampled by not recorded by this result"),
        ({"code_version": "scoring-2.2"}, {"engine": "openai"}, None),
        ({"protocol": "official"}, {}, "official rules, not videor1"),
        ({"decoding__temperature": 1.0}, {}, "temperature 1.0, not 0.01"),
        ({"decoding__top_p": 1.0}, {}, "top_p 1.0, not 0.001"),
        ({"decoding__max_tokens": 64}, {}, "64 tokens, not 1,024"),
        ({"decoding__temperature": 1.0, "decoding__max_tokens": 64}, {}, "temperature 1.0, not 0.01 and 1 more"),
        ({"decoding__further": '{"top_p": 1.0}'}, {}, 'sampled with {"top_p": 1.0} too'),
        ({}, {"prompt_form": "think-answer"}, "asked for think-answer, not observation-think-answer"),
        ({}, {"shown": ShownMedia(num_parts=1, num_pictures=0)}, "parts of videos, not whole videos"),
        ({}, {"shown": ShownMedia(num_parts=0, num_pictures=1)}, "exam pictures beside the video, not in the video"),
        ({}, {"shown": None}, None),  # of the first version: MMVU has neither parts nor pictures
        ({}, {"rows": {"num_rows": 624}}, "624 questions, not 625"),
        ({}, {"rows": {"failures": [Failure.MISSING_VIDEO] * 3}}, "3 questions without their video"),
    ],
)
def test_no_gap_is_stated_to_a_figure_that_was_measured_otherwise(made, changes, reason):
    found = whole("mmvu", made=made, **changes)
    table = published_table(PAPER_MAIN)
    assert incomparable(found.result, published_reference(), table) == reason
    gap = gap_of(found, published_reference(), table)
    assert gap.reason == (reason and f"measured otherwise: {reason}") and (gap.gap is None) == (reason is not None)


@pytest.mark.parametrize("field", Conditions.model_fields)
def test_a_condition_that_the_source_does_not_state_is_comparable_with_nothing(field):
    table = published_table(PAPER_MAIN)
    row = published_reference().model_copy(update={"otherwise": {field: None}})
    found = whole("mmvu")
    reason = f"{field.removeprefix('num_').replace('_', ' ')} not stated by the source"
    assert incomparable(found.result, row, table) == reason and gap_of(found, row, table).gap is None


def test_what_a_result_of_the_first_version_does_not_record_is_comparable_with_nothing():
    table = published_table(PAPER_MAIN)
    reasons = {
        name: incomparable(whole(name, shown=None).result, published_reference(), table)
        for name in SEVEN
        if name != "tempcompass"
    }
    unrecorded = {"mvbench": "videos not recorded by this result", "videommmu": "pictures not recorded by this result"}
    assert {name: reason for name, reason in reasons.items() if reason} == unrecorded


def test_each_published_model_is_compared_under_its_own_conditions():
    table = published_table(PAPER_MAIN)
    rows = {row.name: row for row in table.rows}

    def reason(name, benchmark="mmvu", **changes):
        return incomparable(whole(benchmark, **changes).result, rows[name], table)

    assert reason("VideoP2R (7B)") is None is reason("VideoP2R (3B)")
    assert reason("Qwen2.5-VL-7B") == "asked for observation-think-answer, not think-answer"
    assert reason("Qwen2.5-VL-7B", prompt_form="think-answer") is None
    assert reason("Qwen2.5-VL-7B", "videommmu", prompt_form="think-answer") == "whole videos, not question clips"
    assert reason("Time-R1") == "prompt not stated by the source"
    assert reason("LongVA-7B", "video_mme").startswith("prompt not stated by the source and ")
    tempcompass = incomparable(entry("tempcompass").result, rows["VideoP2R (7B)"], table)
    assert tempcompass == "questions not stated by the source"


def test_a_row_without_a_gap_says_why_in_its_cell():
    made = {"decoding__temperature": 1.0}
    cells = row_of(table_one(only([whole("mmvu", made=made)]), published_reference()), "gap to VideoP2R (7B)")
    assert (cells["MMVU"].text, cells["MMVU"].note) == ("-", "measured otherwise: temperature 1.0, not 0.01")


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_a_direct_baseline_that_was_not_run_has_a_row_that_says_so():
    trace, direct = group_entries(seven())
    assert (direct.prompt, direct.entries, direct.absent) == ("direct", (), ("ours",))
    cells = row_of(table_one(direct, published_reference()), "ours")
    assert {cells[title].text for title in ("VSI-Bench", "Video-MME", "average")} == {"not run"}
    assert row_of(table_one(trace, published_reference()), "ours")["average"].text == "40.0"


def test_a_baseline_that_was_run_on_some_benchmarks_says_not_run_for_the_others():
    _, direct = group_entries([entry("mmvu"), entry("mvbench"), entry("mmvu", 55, "direct")])
    cells = row_of(table_one(direct, published_reference()), "ours")
    assert (cells["MMVU"].text, cells["MVBench"].text, cells["VSI-Bench"].text) == ("55.0", "not run", "-")


def test_direct_answers_alone_leave_the_reasoning_row_not_run():
    trace, direct = group_entries([entry("mmvu", 55, "direct")])
    assert row_of(table_one(trace, published_reference()), "ours")["MMVU"].text == "not run"
    assert "VideoP2R (7B)" not in {row.name for row in table_one(direct, published_reference()).rows}


# --- fingerprints -----------------------------------------------------------------------------------------------------


def test_scores_made_in_another_way_get_a_table_of_their_own_that_says_what_differs():
    entries = [entry("mmvu", 60), entry("mmvu", 70, model="other", made={"frames__num_frames": 16})]
    first, second, _ = group_entries(entries)
    assert first.models == ("ours",) and second.models == ("other",)
    assert first.differs == () and second.differs == ("frames.num_frames is 16, not 32",)
    assert (first.title, second.title) == ("reasoning prompt (1 of 2)", "reasoning prompt (2 of 2)")
    for group, text in ((first, "70.0"), (second, "60.0")):
        assert text not in {
            cell.text for row in table_one(group, published_reference()).rows[-2:] for cell in row.cells
        }


def test_another_revision_of_one_benchmark_moves_that_score_alone():
    made = {"dataset_revision": "ff" * 20}
    entries = [*seven(), *seven(model="other")[:-1], entry("video_mme", 70, model="other", made=made)]
    first, second, _ = group_entries(entries)
    assert first.models == ("ours", "other") and second.benchmarks == ("video_mme",)
    assert second.differs == (f"Video-MME: dataset_revision is {'ff' * 6}f..., not {'ab' * 6}a...",)
    cells = row_of(table_one(first, published_reference()), "other")
    assert (cells["Video-MME"].note, cells["average"].text) == ("in another table", "-")


def test_a_table_of_mixed_fingerprints_cannot_be_made():
    mixed = Group("trace", (entry("mmvu"), entry("mvbench", made={"frames__num_frames": 16})))
    for make in (lambda: table_one(mixed, published_reference()), lambda: table_two(mixed)):
        with pytest.raises(MixedFingerprints, match=r"num_frames is 32 .* and 16"):
            make()


_WAYS = st.fixed_dictionaries(
    {},
    optional={
        "frames__num_frames": st.sampled_from((16, 32)),
        "dataset_revision": st.sampled_from(("r1", "r2")),
        "protocol": st.sampled_from(("videor1", "official")),
        "judge": st.sampled_from((None, "a judge")),
    },
)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(list(product(("a", "b", "c"), ("mmvu", "mvbench", "shapes"), ("trace", "direct", "own")))),
        _WAYS,
        max_size=9,
    )
)
def test_whatever_was_run_every_score_stands_in_one_table_and_no_table_mixes(made):
    rows = {"num_rows": 4}
    entries = [
        entry(benchmark, 2, prompt, model=model, made=ways, rows=rows)
        for (model, benchmark, prompt), ways in made.items()
    ]
    groups = group_entries(entries)
    placed = [id(found) for group in groups for found in group.entries]
    assert sorted(placed) == sorted(map(id, entries))
    assert {group.prompt for group in groups} >= {"trace", "direct"}
    for group in groups:
        same_table(found.result.fingerprint for found in group.entries)
        places = [(found.model, found.result.benchmark) for found in group.entries]
        assert len(set(places)) == len(places)
        names = {row.name for row in table_one(group, published_reference()).rows}
        assert {*group.models, *group.absent} <= names
    for one, other in combinations(groups, 2):
        if one.prompt == other.prompt:  # a second table only where it has to be
            with pytest.raises(MixedFingerprints):
                same_table(found.result.fingerprint for found in (*one.entries, *other.entries))


# --- Table 2 ----------------------------------------------------------------------------------------------------------


def test_variants_of_ours_stand_below_the_published_row_of_the_same_variant():
    group = only([whole("mmvu", 375, model="a", variant="full"), whole("mmvu", 250, model="b", variant="sft_only")])
    table = table_two(group)
    names = [row.name for row in table.rows]
    assert names[:3] == ["published: full", "ours: full, a", "gap to full"]
    assert names[3:6] == ["published: SFT only", "ours: sft_only, b", "gap to SFT only"]
    assert row_of(table, "gap to SFT only")["MMVU"].text == "-21.6"  # 40.0 - 61.6
    assert "Not run: rl_only, grpo," in table.note and "full" not in table.note.split("Not run:")[1]


def test_no_perception_reward_stands_below_the_row_that_the_paper_gives_both():
    table = table_two(only([entry("mmvu", model="a", variant="no_perception_reward")]))
    names = [row.name for row in table.rows]
    assert names[names.index("ours: no_perception_reward, a") - 1].startswith("published: process-agnostic RL (GRPO)")


def test_there_is_no_table_two_without_a_variant_or_of_direct_answers():
    assert table_two(only([entry("mmvu")])) is None
    assert table_two(only([entry("mmvu", prompt="direct", variant="full")], "direct")) is None


def test_the_variant_is_of_the_model_that_the_run_directory_trained_last(tmp_path):
    (tmp_path / "config.yaml").write_text("variant: full\n")
    assert variant_of(tmp_path, str(tmp_path / "rl" / "model")) == "full"
    assert variant_of(tmp_path, str(tmp_path / "sft" / "model")) is None  # not what the variant ends with
    assert variant_of(tmp_path, "Qwen/Qwen2.5-VL-7B-Instruct") is None
    assert variant_of(tmp_path / "none", "x/rl/model") is None
    branch = tmp_path / "compare" / "grpo-seed1"
    branch.mkdir(parents=True)
    (branch / "config.yaml").write_text("variant: rl_only\n")  # it begins with a finished SFT
    assert variant_of(branch, str(branch / "rl" / "model")) == "grpo"
    (tmp_path / "config.yaml").write_text("variant: [a\n")
    assert variant_of(tmp_path, str(tmp_path / "rl" / "model")) is None


# --- what stands behind -----------------------------------------------------------------------------------------------


def test_groups_are_scored_over_all_their_rows_with_their_macro_mean():
    rows = {"num_rows": 6, "groups": {"duration": ["short", "medium", "long"]}, "failures": [Failure.MISSING_VIDEO]}
    group = only([entry("video_mme", 3, rows=rows)])  # right are 0, 1, 2: one of two in each
    (table,) = group_tables(group, "video_mme")
    assert table.headings == ("Video-MME by duration, %", "ours")
    assert [row.name for row in table.rows] == ["short", "medium", "long", "mean of these"]
    low, high = wilson_interval(1, 2)
    interval = f"[{100 * low:.1f},{NARROW}{100 * high:.1f}]"
    assert table.rows[0].cells[0].text == "50.0" and table.rows[0].cells[0].note == f"{interval} of 2, 1 without video"
    assert table.rows[1].cells[0].note == f"{interval} of 2"
    assert table.rows[-1].cells[0].text == "50.0"


def test_durations_are_in_their_order_whatever_the_first_row_is():
    rows = {"num_rows": 3, "groups": {"duration": ["long", "short", "medium"], "subject": ["z", "a", "m"]}}
    by_duration, by_subject = group_tables(only([entry("video_mme", 1, rows=rows)]), "video_mme")
    assert [row.name for row in by_duration.rows[:3]] == ["short", "medium", "long"]
    assert [row.name for row in by_subject.rows[:3]] == ["z", "a", "m"]


def test_a_published_cross_is_drawn_only_beside_what_was_measured_like_it(tmp_path):
    for name, made in (("same", {}), ("other", {"frames__num_frames": 16})):
        write_score(tmp_path / name, "mmvu", 375, made=made, rows={"num_rows": 625})
        group = group_entries([source.entry for source in load_sources([tmp_path / name])])[0]
        (drawn,) = score_pictures([group], published_reference(), tmp_path)
        assert ("A cross stands" in drawn.meaning) == (name == "same")


def test_a_group_of_one_value_is_no_table_and_a_model_without_a_value_has_a_dash():
    alone = {"num_rows": 2, "groups": {"task": ["a"]}}
    assert group_tables(only([entry("mmvu", 1, rows=alone)]), "mmvu") == []
    both = {"num_rows": 2, "groups": {"task": ["a", "b"]}}
    group = only([entry("mmvu", 1, model="one", rows=alone), entry("mmvu", 1, model="two", rows=both)])
    (table,) = group_tables(group, "mmvu")
    assert [cell.text for cell in table.rows[1].cells] == ["-", "0.0"]  # a score of zero is no dash


def test_parse_failures_and_the_lenient_reading_are_beside_the_score_never_in_it():
    failures = [Failure.UNPARSED] * 10 + [Failure.MISSING_VIDEO] * 5
    group = only([entry("mmvu", 60, rows={"failures": failures, "num_lenient": 4}, left_out={"open-ended": 375})])
    cells = row_of(account_table(group), "MMVU")
    assert {title: cell.text for title, cell in cells.items()} == {
        "rows": "100",
        "in the score": "100",
        "score, %": "60.0",
        "lenient, %": "64.0",
        "in form": f"85.0{NARROW}%",
        "missing video": "5",
        "unparsed": "10",
    }
    cells = row_of(rows_table(group), "MMVU")
    assert (cells["without video"].text, cells["left out"].text) == ("5", "open-ended 375")


def test_the_score_table_has_the_gap_of_the_reasoning_prompt_only():
    trace, direct = group_entries([whole("mmvu", 375), whole("mmvu", 300, "direct")])
    cells = row_of(score_table(trace, published_reference()), "MMVU")
    assert (cells["score"].text, cells["VideoP2R (7B)"].text, cells["gap"].text) == ("60.0", "65.4", "-5.4")
    assert score_table(direct, published_reference()).headings == ("direct answer, %", "score", "95 %", "questions")


# --- pages and terminals ----------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a browser would load or run, and the text that it would show."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.words.append(text)


def write_seven(run_dir, *, model="org/model-7b", prompts=("trace", "direct"), shift=0, **changes):
    for prompt in prompts:
        for place, name in enumerate((*SEVEN, "shapes")):
            rows = {"groups": {"task": ["one", "two"]}, "failures": [Failure.UNPARSED] * 2}
            write_score(run_dir, name, 20 + 5 * place + shift, prompt, rows=rows, model=model, **changes)
    return run_dir


def test_the_page_needs_nothing_else_and_hostile_names_stay_text(tmp_path):
    run = write_seven(tmp_path / "run", model=HOSTILE)
    rows = {"groups": {HOSTILE: [HOSTILE, "b"], "task": [HOSTILE, "c"]}}
    write_score(tmp_path / "other", "mmvu", 50, model="b", rows=rows, source=HOSTILE, left_out={HOSTILE: 3})
    page = write_benchmark_report(run, against=[tmp_path / "other"]).read_text()
    seen = Seen(page)
    assert {tag for tag, _ in seen.tags} & {"script", "link", "iframe", "object"} == set()
    sources = [values["src"] for tag, values in seen.tags if tag == "img"]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not any(name.startswith("on") for _, values in seen.tags for name in values)
    text = " ".join(seen.words)
    assert "<img src=x onerror=alert(1)>" in text and "\x1b" not in page and "\u202e" not in page


def test_markdown_has_the_same_content_and_pipes_in_names_make_no_cells(tmp_path):
    run = write_seven(tmp_path / "run", model=HOSTILE)
    page = write_benchmark_report(run).read_text()
    text = (run / "benchmark" / "report.md").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert len(headings) == len(re.findall(r"^## ", text, re.M)) > 10
    assert not re.search(r"(?<!\\)<img", text) and "](javascript" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    pictures = re.findall(r"!\[.*?\]\((report/[\w.]+)\)", text)
    assert pictures and all((run / "benchmark" / name).is_file() for name in pictures)


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_a_terminal_and_no_figure_is_cut(tmp_path, width):
    run = write_seven(tmp_path / "run", model="Qwen/Qwen2.5-VL-7B-Instruct", prompts=("trace",))
    write_score(run, "vsi_bench", 1026, model="Qwen/Qwen2.5-VL-7B-Instruct", rows={"num_rows": 5130})
    shown = io.StringIO()
    print_tables(run, console=Console(width=width, file=shown))
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= width and "\u2026" not in text
    ours = [line for line in text.splitlines() if line.startswith("Qwen/Qwen2.5")]
    assert any(re.search(r"20\.0 +25\.0 +30\.0 +35\.0 +40\.0 +45\.0 +50\.0 +35\.0 +55\.0", line) for line in ours)
    assert "-16.8" in text and "lower" in text and "measured" in text
    assert "not run with the direct answer" in " ".join(text.split())


def test_a_terminal_gets_no_markup_and_no_control_codes(tmp_path):
    run = write_seven(tmp_path / "run", model="[red]x[/] \x1b[31m", prompts=("trace",))
    shown = io.StringIO()
    print_tables(run, console=Console(width=120, file=shown))
    assert "[red]x[/]" in shown.getvalue() and "\x1b" not in shown.getvalue()


def test_the_report_of_the_demo_shows_ours_beside_the_published_and_says_that_it_is_another_benchmark(tmp_path):
    made = {"frames__num_frames": 4, "frames__max_pixels": 3136}
    write_score(tmp_path, "shapes", 80, made=made)
    write_score(tmp_path, "shapes", 75, "direct", made=made)
    words = " ".join(" ".join(Seen(write_benchmark_report(tmp_path).read_text()).words).split())
    assert "VideoP2R (7B) 36.8 55.0 65.4 51.0 68.1 74.5 60.0 58.7 -" in words
    assert "Demo world (another benchmark)" in words and "lacks all seven here" in words


def test_a_run_without_a_finished_benchmark_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "has no finished benchmark" in error and error.count("\n") == 1
    with pytest.raises(RunDirectoryError):
        write_benchmark_report(tmp_path)


def test_no_width_of_a_window_makes_the_page_scroll_sideways(tmp_path):
    run = write_seven(tmp_path / "run", model="Qwen/" + "x" * 300)
    page = write_benchmark_report(run)
    with Browser.start(width=1280) as browser:
        for width in (1280, 390):
            browser.resize(width, 900)
            browser.driver.get(page.as_uri())
            assert browser.script("return document.documentElement.scrollWidth <= window.innerWidth")
            # what is wider than its place scrolls there
            wide = "return [...document.querySelectorAll('table')].filter(t => !t.closest('.scroll')).length"
            assert browser.script(wide) == 0


def test_two_models_of_one_name_keep_two_rows(tmp_path):
    for name in ("one", "two"):
        write_score(tmp_path / name, "mmvu", 60, model="org/same")
    models = {source.entry.model for source in load_sources([tmp_path / "one", tmp_path / "two"])}
    assert models == {"org/same (one)", "org/same (two)"}
    again = load_sources([tmp_path / "one", tmp_path / "two" / ".." / "one"])
    assert len(again) == 1


def test_a_folder_is_named_by_its_last_parts_not_by_the_path_of_this_machine(tmp_path):
    write_score(tmp_path / "run", "mmvu", 60, model=str(tmp_path / "run" / "rl" / "model"))
    page = write_benchmark_report(tmp_path / "run").read_text()
    assert "run/rl/model" in page and str(tmp_path) not in page


def test_an_effective_number_narrower_than_the_rows_is_what_a_gap_is_over(tmp_path):
    """VSI-Bench is the mean of two halves: 90 letters and 10 numbers say as much as 36 rows."""
    letters, numbers = scored_rows("vsi_bench", 45, num_rows=90), scored_rows("x", 5, num_rows=10, kind="regression")
    result, rows = result_of(fingerprint("vsi_bench", num_rows=100), [*letters, *numbers])
    write_result(result_folder(tmp_path, "vsi_bench", "trace"), result, rows)
    (source,) = load_sources([tmp_path])
    assert source.entry.num_effective == 36  # 1 / (0.25 / 90 + 0.25 / 10)


# --- comparisons ------------------------------------------------------------------------------------------------------


def test_compare_says_inside_the_noise_and_higher_where_it_is_so(tmp_path, capsys):
    for name, right in (("a", (52, 90)), ("b", (50, 50))):
        write_score(tmp_path / name, "mmvu", right[0], model=name)
        write_score(tmp_path / name, "mvbench", right[1], model=name)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    lines = {line.split()[0]: " ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["MMVU"].startswith("MMVU 100 2 0 +2.0 0.50")  # two discordant pairs: 2 / 4
    assert "inside the" in lines["MMVU"] and lines["MVBench"].endswith("higher")


def test_compare_refuses_another_way_of_measuring_in_one_line(tmp_path, capsys):
    write_score(tmp_path / "a", "mmvu", 60)
    write_score(tmp_path / "b", "mmvu", 60, made={"frames__num_frames": 16})
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    error = capsys.readouterr().err
    assert "frames.num_frames is 32 for one and 16 for the other" in error and error.count("\n") == 1


def test_compare_of_one_run_is_of_its_prompts_and_nothing_else_may_differ(tmp_path, capsys):
    write_score(tmp_path, "mmvu", 60)
    assert main(["compare", str(tmp_path)]) == 2
    assert "no score with the prompt 'direct'; it has trace" in capsys.readouterr().err
    write_score(tmp_path, "mmvu", 40, "direct")
    assert main(["compare", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "+20.0" in out and "higher" in out
    write_score(tmp_path, "mmvu", 40, "direct", made={"decoding__temperature": 0.7})
    assert main(["compare", str(tmp_path)]) == 2
    assert "decoding.temperature" in capsys.readouterr().err


def test_compare_names_a_benchmark_that_only_one_has_and_fails_without_a_common_one(tmp_path, capsys):
    write_score(tmp_path / "a", "mmvu", 60)
    write_score(tmp_path / "a", "mvbench", 60)
    write_score(tmp_path / "b", "mmvu", 60)
    write_score(tmp_path / "c", "tempcompass", 60)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "in one of them only: mvbench" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "c")]) == 2
    assert "no benchmark that both have" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "a")]) == 2


def test_a_comparison_is_under_the_weights_of_the_overall(tmp_path):
    """On VSI-Bench ten numbers weigh as much as ninety letters."""
    for name, right in (("a", 10), ("b", 0)):
        rows = [*scored_rows("v", 45, num_rows=90), *scored_rows("w", right, num_rows=10, kind="regression")]
        result = result_of(fingerprint("vsi_bench"), rows)
        write_result(result_folder(tmp_path / name, "vsi_bench", "trace"), *result)
    (compared,) = compare_results(find_results(tmp_path / "a"), find_results(tmp_path / "b"))
    assert compared.comparison.difference == pytest.approx(0.5) and compared.comparison.verdict == "higher"


def test_the_report_compares_with_another_run_and_says_what_cannot_be_compared(tmp_path):
    run = write_seven(tmp_path / "run", model="a")
    other = write_seven(tmp_path / "other", model="b", prompts=("trace",), shift=-10)
    write_score(other, "mmvu", 30, model="b", made={"decoding__max_tokens": 64})
    words = " ".join(" ".join(Seen(write_benchmark_report(run, against=[other]).read_text()).words).split())
    assert "a against b, reasoning prompt" in words
    assert "Not compared: scores of MMVU cannot be compared: decoding.max_tokens is 1024 for one and 64" in words
    assert "b: not run with the direct answer" in words
    assert "Made in another way than the first table: decoding.max_tokens is 64, not 1,024" in words


# --- the model card ---------------------------------------------------------------------------------------------------


def test_card_scores_name_the_hub_repository_only_for_whole_benchmarks():
    results = [entry("shapes", 80).result, entry("mmvu", 60).result, entry("mvbench", 50, num_published=4000).result]
    found = {score.benchmark: score for score in card_scores(results)}
    assert list(found) == ["MMVU", "MVBench (100 of 4,000 rows)", "Demo world"]
    assert [score.repo for score in found.values()] == ["yale-nlp/MMVU", None, None]
    assert found["MMVU"].interval == pytest.approx(wilson_interval(60, 100))
    assert card_scores([entry("vcr_bench", 60, rows={"kind": "open"}).result]) == ()


def test_the_card_of_a_trained_model_lists_its_own_scores_with_revision_and_source(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "rl" / "model").mkdir(parents=True, exist_ok=True)
    (run / "rl" / "model" / "config.json").write_text("{}")
    own = {"model": str(run / "rl" / "model")}
    own["model_revision"] = model_revision(ModelConfig(name=own["model"]))
    for prompt in ("trace", "direct"):
        write_score(run, "mmvu", 60, prompt, **own)
        write_score(run, "shapes", 80, prompt, **own)
    write_score(run, "mvbench", 10, model=str(run / "sft" / "model"))  # another model's
    write_score(run, "video_mme", 10, model=own["model"], model_revision="sha256:00")  # of weights that are gone
    assert {score.benchmark for score in scores_of_model(TrainingRun(run), "rl")} == {"MMVU", "Demo world"}
    path = write_card(load_config(TrainConfig, run / "config.yaml", []), TrainingRun(run), "org/mine")
    text = path.read_text()
    assert check_card(text) == ([], []) and "MVBench" not in text and "Video-MME" not in text
    results = ModelCard(text).data.eval_results
    assert {result.dataset_config for result in results} == {"videor1, prompt trace", "videor1, prompt direct"}
    for result in results:
        assert (result.dataset_type, result.dataset_name) == ("yale-nlp/MMVU", "MMVU")
        assert (result.task_type, result.metric_type) == ("video-text-to-text", "accuracy")
        assert result.metric_value == pytest.approx(0.6) and result.verified is False
        assert result.dataset_revision == "ab" * 20 and result.source_url == "https://huggingface.co/org/mine"
    trace, direct = text.split("Protocol `")[1:]
    assert "reasoning prompt" in trace and "direct answer" in direct and "mean of" not in text
    assert "| Demo world | mean score | 100 | 80.0 |" in trace


def test_a_card_without_a_repository_has_no_source_and_still_validates(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "rl" / "model").mkdir(parents=True, exist_ok=True)
    write_score(run, "mmvu", 60, model=str(run / "rl" / "model"), model_revision=None)  # a server does not say
    text = write_card(load_config(TrainConfig, run / "config.yaml", []), TrainingRun(run)).read_text()
    (result,) = ModelCard(text).data.eval_results
    assert result.source_url is None and check_card(text) == ([], [])
    assert str(tmp_path) not in text

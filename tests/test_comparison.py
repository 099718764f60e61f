import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from curation.errors import RunDirectoryError
from tests.training_runs import evaluation
from training.comparison import mean_of, print_comparison, summarise
from training.evaluation_facts import SampledScores

SEEDS = (0, 1, 2)


def model(name, accuracy, sufficient, **changes):
    found = evaluation("rl", accuracy, sufficient)
    return found.model_copy(update={"model": name, "sum_score": accuracy * found.num_questions, **changes})


def scores():
    sft = model("sft", 0.50, 0.60)
    found = {("sft_only", seed): sft for seed in SEEDS}
    for seed, (grpo, full) in enumerate(((0.52, 0.55), (0.54, 0.57), (0.53, 0.59))):
        found["grpo", seed] = model(f"grpo{seed}", grpo, 0.55)
        found["full", seed] = model(f"full{seed}", full, 0.70 + seed / 100)
    return found


def by_name(summaries):
    return {summary.variant: summary for summary in summaries}


def test_means_and_paired_differences_are_those_computed_by_hand():
    found = by_name(summarise(scores()))
    assert list(found) == ["sft_only", "grpo", "full"] and found["full"].seeds == SEEDS
    accuracy = found["full"].shares["Accuracy"]
    assert accuracy.mean == pytest.approx(0.57) and accuracy.half_width == pytest.approx(4.303 * 0.02 / math.sqrt(3))
    over_grpo = found["full"].differences["Accuracy", "grpo"]
    assert over_grpo.values == pytest.approx((0.03, 0.03, 0.06)) and over_grpo.mean == pytest.approx(0.04)
    assert over_grpo.half_width == pytest.approx(4.303 * math.sqrt(3e-4) / math.sqrt(3))
    assert found["full"].differences["Accuracy", "sft_only"].mean == pytest.approx(0.07)
    assert ("Accuracy", "sft_only") not in found["sft_only"].differences


def test_one_checkpoint_listed_for_every_seed_has_no_spread_over_seeds():
    found = by_name(summarise(scores()))
    assert found["sft_only"].shares["Accuracy"].half_width is None
    assert found["full"].differences["Accuracy", "sft_only"].half_width > 0


def test_one_seed_has_no_interval():
    found = by_name(summarise({key: value for key, value in scores().items() if key[1] == 0}))
    assert found["full"].shares["Accuracy"].interval is None
    assert found["full"].differences["Accuracy", "grpo"].half_width is None


def test_difference_is_over_the_seeds_that_both_have():
    found = scores()
    del found["grpo", 1]
    assert len(by_name(summarise(found))["full"].differences["Accuracy", "grpo"].values) == 2


def test_seed_that_nobody_judged_leaves_no_share_instead_of_a_mean_of_the_rest():
    found = scores()
    found["full", 1] = found["full", 1].model_copy(update={"num_judged": 0, "num_sufficient": 0})
    summary = by_name(summarise(found))["full"]
    assert summary.shares["Sufficient observations"] is None
    assert ("Sufficient observations", "grpo") not in summary.differences
    assert summary.shares["Accuracy"] is not None


def test_scores_over_different_questions_are_not_compared():
    found = scores() | {("full", 3): evaluation("rl", 0.5, 0.5, num_questions=500)}
    with pytest.raises(RunDirectoryError, match=r"\[500, 1000\]"):
        summarise(found)


def test_nothing_to_compare_is_an_empty_table(tmp_path):
    assert summarise({}) == []
    assert print_comparison([], tmp_path, Console(file=io.StringIO())).is_file()


def test_table_is_printed_and_lies_as_a_page_with_pictures(tmp_path):
    out = io.StringIO()
    page = print_comparison(summarise(scores()), tmp_path / "compare", Console(file=out, width=140))
    printed = out.getvalue().replace("\u00a0", " ")
    assert "57.0 %" in printed and "+4.0" in printed and "+- 5.0" in printed and "1,000 questions" in printed
    text = page.read_text().replace("\u00a0", " ")
    assert "57.0 %" in text and "<script" not in text and text.count("data:image/png") == 2
    assert {path.name for path in page.parent.iterdir()} == {"comparison.html", "accuracy.png", "sufficient.png"}


def test_sampled_scores_have_a_table_and_a_picture_of_their_own(tmp_path):
    sampled = SampledScores(temperature=1.0, num_well_formed=900, sum_score=450.0, num_judged=1000, num_sufficient=425)
    found = {key: one.model_copy(update={"sampled": sampled}) for key, one in scores().items()}
    out = io.StringIO()
    page = print_comparison(summarise(found), tmp_path, Console(file=out, width=80))
    printed = out.getvalue().replace("\u00a0", " ")
    assert "Held-out accuracy, sampled" in printed and "45.0 %" in printed and "42.5 %" in printed
    assert (page.parent / "accuracy_sampled.png").is_file() and (page.parent / "sufficient_sampled.png").is_file()


def test_hostile_variant_name_is_shown_and_not_run(tmp_path):
    hostile = "[bold]<script>x</script>"
    out = io.StringIO()
    page = print_comparison(summarise({(hostile, 0): model("m", 0.5, 0.5)}), tmp_path, Console(file=out, width=140))
    assert "[bold]" in out.getvalue() and "<script" not in page.read_text()


def test_mean_of_no_seed_is_an_error():
    with pytest.raises(ValueError, match="no seed"):
        mean_of([])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_interval_holds_its_mean_and_equal_values_have_no_width(values):
    found = mean_of(values)
    low, high = found.interval
    assert low <= found.mean <= high
    assert mean_of([values[0]] * len(values)).half_width == pytest.approx(0, abs=1e-12)

"""Paired tests against known values, and what they must never claim."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import RunDirectoryError
from curation.statistics import mcnemar_exact, wilson_interval
from training.benchmarks.statistics import (
    bootstrap_interval,
    compare_scores,
    effective_number,
    gap_to_published,
    sign_flip_test,
    weighted_interval,
)

scores = st.floats(0, 1)


def ids(values):
    return {f"q{place}": float(value) for place, value in enumerate(values)}


def compare(ours, theirs, **settings):
    return compare_scores(ids(ours), ids(theirs), num_resamples=999, **settings)


# --- random signs and the bootstrap -----------------------------------------------------------------------------------


def test_random_signs_agree_with_all_signs_written_out():
    differences = [0.3, -0.1, 0.4, 0.25, 0.05, -0.2, 0.6, 0.15]
    observed = abs(math.fsum(differences))
    flipped = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product((1, -1), repeat=8)]
    exact = sum(total >= observed - 1e-9 for total in flipped) / 2**8
    assert sign_flip_test(differences, seed=1) == pytest.approx(exact, abs=0.015)


def test_random_signs_agree_with_mcnemar_on_right_and_wrong():
    assert sign_flip_test([1.0] * 9 + [-1.0] + [0.0] * 90, seed=0) == pytest.approx(mcnemar_exact(9, 1), abs=0.006)


def test_the_bootstrap_interval_is_the_normal_one_where_there_are_many_questions():
    differences = [1.0] * 60 + [-1.0] * 40 + [0.0] * 300
    mean, variance = 20 / 400, (100 / 400) - (20 / 400) ** 2
    half = 1.96 * math.sqrt(variance / 400)
    assert bootstrap_interval(differences, seed=0) == pytest.approx((mean - half, mean + half), abs=0.006)


def test_equal_scores_are_no_difference_and_p_is_1_not_nan():
    comparison = compare([0.1, 0.5, 1.0], [0.1, 0.5, 1.0])
    assert (comparison.difference, comparison.interval, comparison.p_value) == (0, (0, 0), 1)
    assert comparison.verdict == "inside the noise"


def test_one_question_never_tells_two_models_apart():
    assert compare([1], [0]).verdict == "inside the noise"
    assert compare([0.9], [0.2]).verdict == "inside the noise"  # though its bootstrap has no width


def test_the_same_seed_gives_the_same_figures_and_the_order_of_the_rows_does_not_count():
    ours, theirs = ids([0.1, 0.9, 0.4, 0.7, 0.3]), ids([0.2, 0.5, 0.3, 0.1, 0.3])
    first = compare_scores(ours, theirs, seed=3, num_resamples=999)
    assert first == compare_scores(dict(reversed(ours.items())), theirs, seed=3, num_resamples=999)


@settings(max_examples=40)
@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=30))
def test_a_comparison_holds_its_own_figures_and_mirrors(pairs):
    ours, theirs = zip(*pairs, strict=True)
    forth, back = compare(ours, theirs), compare(theirs, ours)
    assert -1 <= forth.interval[0] <= forth.interval[1] <= 1 and 0 < forth.p_value <= 1
    assert forth.difference == pytest.approx(-back.difference) and forth.num_higher == back.num_lower
    assert forth.num_higher + forth.num_lower <= forth.num_questions == len(pairs)


# --- what a comparison decides ----------------------------------------------------------------------------------------


def test_a_gap_inside_the_noise_is_called_that():
    ours, theirs = [1] * 52 + [0] * 48, [1] * 48 + [0] * 52
    comparison = compare(ours, theirs)
    assert comparison.difference == pytest.approx(0.04) and comparison.test == "McNemar, exact"
    assert comparison.p_value == pytest.approx(2 / 16) and comparison.verdict == "inside the noise"


def test_a_gap_beyond_the_noise_has_a_direction():
    ours, theirs = [1] * 60 + [0] * 40, [1] * 40 + [0] * 60
    assert compare(ours, theirs).verdict == "higher" and compare(theirs, ours).verdict == "lower"


def test_pairing_finds_what_two_separate_intervals_hide():
    ours, theirs = [1] * 510 + [0] * 490, [1] * 500 + [0] * 500
    assert compare(ours, theirs).verdict == "higher"
    assert gap_to_published(0.51, 0.50, 1_000).verdict == "inside the noise"


def test_scores_between_0_and_1_take_the_sign_flips():
    ours, theirs = [0.6, 0.7, 0.9, 0.4] * 10, [0.5, 0.6, 0.8, 0.3] * 10
    comparison = compare(ours, theirs)
    assert comparison.test == "sign flips" and comparison.p_value == 0.001 and comparison.verdict == "higher"


def test_weights_make_it_the_difference_of_the_overall_not_of_the_rows():
    ours, theirs = [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]
    weights = ids([0.25, 0.25, 0.125, 0.125, 0.125, 0.125])
    assert compare(ours, theirs).difference == pytest.approx(1 / 6)
    weighted = compare(ours, theirs, weights=weights)
    assert weighted.difference == pytest.approx(0.5 - 0.125) and weighted.test == "sign flips"
    even = compare(ours, theirs, weights=ids([2.0] * 6))
    assert even == compare(ours, theirs)


def test_a_question_of_weight_zero_is_no_part_of_the_comparison():
    weights = ids([1, 1, 1, 0])
    assert compare([1, 0, 1, 0.5], [0, 0, 1, 0], weights=weights) == compare([1, 0, 1], [0, 0, 1])
    with pytest.raises(RunDirectoryError, match="no question counts"):
        compare([1], [0], weights=ids([0]))


def test_result_files_over_different_questions_are_not_compared():
    with pytest.raises(RunDirectoryError, match="'q2'"):
        compare([1, 0, 1], [1, 0])
    with pytest.raises(RunDirectoryError, match="neither"):
        compare([], [])


def test_a_score_outside_0_to_1_is_an_error():
    with pytest.raises(ValueError, match="score lies"):
        compare([60.0], [55.0])
    with pytest.raises(ValueError, match="score lies"):
        compare([math.nan], [0.5])


# --- one model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_questions", "points"), [(625, 3.8), (900, 3.2), (1_034, 3.0), (2_700, 1.8), (4_000, 1.5), (7_540, 1.1)]
)
def test_t14_the_noise_of_each_benchmark_is_the_one_the_reference_lists(num_questions, points):
    low, high = wilson_interval(0.6 * num_questions, num_questions)
    assert 100 * (high - low) / 2 == pytest.approx(points, abs=0.06)


def test_t14_a_reproduction_of_videorft_on_mmvu_is_inside_the_noise():
    assert gap_to_published(0.648, 0.685, 625).verdict == "inside the noise"
    assert gap_to_published(0.600, 0.685, 625).verdict == "lower"


def test_newcombe_interval_is_the_one_of_his_paper():
    gap = gap_to_published(0.5, 0.5, 10)  # both Wilson intervals are [0.2366, 0.7634]
    assert gap.interval == pytest.approx((-0.3725, 0.3725), abs=1e-4)
    with pytest.raises(ValueError, match="no question"):
        gap_to_published(0.5, 0.5, 0)


def test_a_weighted_interval_is_wilsons_where_all_weigh_the_same():
    assert weighted_interval([1, 0, 1, 1], [3, 3, 3, 3]) == wilson_interval(3, 4)
    assert effective_number([1, 1, 1, 0]) == 3
    assert weighted_interval([1.0], [0.0]) is None and weighted_interval([], []) is None


@given(st.lists(st.tuples(scores, st.floats(0.01, 10)), min_size=1, max_size=30))
def test_a_weighted_interval_holds_its_mean_and_is_never_narrower_than_that_of_as_many_equal_weights(pairs):
    values, weights = zip(*pairs, strict=True)
    mean = math.fsum(value * weight for value, weight in pairs) / math.fsum(weights)
    low, high = weighted_interval(values, weights)
    assert 0 <= low <= mean + 1e-9 and mean - 1e-9 <= high <= 1
    even = wilson_interval(min(1, mean) * len(pairs), len(pairs))
    assert high - low >= even[1] - even[0] - 1e-9

"""Wilson, kappa and McNemar: each is built once, and everything that shows one shows the same."""

import math
import re
from collections import Counter
from pathlib import Path
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.report import Share
from curation.statistics import Z_95, cohens_kappa, kappa_of_two, mcnemar_exact, wilson_interval

ROOT = Path(__file__).parent.parent


def test_the_quantile_is_that_of_the_normal_distribution_and_stands_in_one_file():
    assert pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-14) == Z_95
    sources = [path for package in ("curation", "training", "app") for path in (ROOT / package).rglob("*.py")]
    found = [
        path.name for path in sources if re.search(r"\b1\.96\d*\b|\b1\.959\d*\b", path.read_text(encoding="utf-8"))
    ]
    assert found == ["statistics.py"]


@given(total=st.integers(1, 10_000), data=st.data())
def test_a_share_has_wilsons_interval(total, data):
    num = data.draw(st.integers(0, total))
    share = Share.of(num, total)
    assert (share.low, share.high) == wilson_interval(num, total)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"))))
def test_kappa_of_two_is_kappa_of_any_categories(pairs):
    binary = [(first == "a", second == "a") for first, second in pairs]
    counts = Counter(binary)
    cells = (counts[True, True], counts[True, False], counts[False, True], counts[False, False])
    assert kappa_of_two(*cells) == cohens_kappa(counts)


@given(st.tuples(*[st.integers(0, 50)] * 4))
def test_kappa_is_symmetric_and_bounded(counts):
    both_yes, judge_only, human_only, both_no = counts
    kappa = kappa_of_two(both_yes, judge_only, human_only, both_no)
    assert kappa == kappa_of_two(both_yes, human_only, judge_only, both_no)
    assert kappa is None or -1 <= kappa <= 1
    assert judge_only or human_only or kappa in (None, 1)


def test_kappa_equals_a_worked_example():
    kappa = kappa_of_two(20, 5, 10, 15)
    assert kappa is not None and math.isclose(kappa, 0.4)


@pytest.mark.parametrize(
    ("num_higher", "num_lower", "p_value"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (0, 5, 2 / 32),
        (0, 6, 2 / 64),
        (1, 9, 2 * 11 / 1024),
        (9, 1, 2 * 11 / 1024),
        (2, 8, 2 * 56 / 1024),
        (4, 16, 2 * 6_196 / 2**20),  # 1 + 20 + 190 + 1140 + 4845
    ],
)
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(num_higher, num_lower, p_value):
    assert mcnemar_exact(num_higher, num_lower) == pytest.approx(p_value, rel=1e-12)


def test_mcnemar_of_a_whole_benchmark_neither_overflows_nor_takes_the_wrong_tail():
    assert mcnemar_exact(3_770, 3_770) == 1.0
    normal = 2 * NormalDist().cdf(-(200 - 1) / math.sqrt(4_000))
    assert mcnemar_exact(2_100, 1_900) == pytest.approx(normal, rel=0.01)
    assert mcnemar_exact(7_540, 0) == 0.0 or mcnemar_exact(7_540, 0) < 1e-300


def test_a_negative_count_is_an_error():
    with pytest.raises(ValueError, match="not negative"):
        mcnemar_exact(-1, 3)


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (6, 0, 0.03125), (1, 9, 22 / 1024), (3, 10, 756 / 8192)],
)
def test_mcnemar_equals_the_binomial_worked_out_by_hand(first, second, p_value):
    assert mcnemar_exact(first, second) == pytest.approx(p_value, rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_symmetric_a_probability_and_equals_the_plain_sum(first, second):
    p_value = mcnemar_exact(first, second)
    assert p_value == mcnemar_exact(second, first)
    assert 0 < p_value <= 1
    total = first + second
    plain = 2 * sum(math.comb(total, count) for count in range(min(first, second) + 1)) / 2**total
    assert p_value == pytest.approx(min(1.0, plain))


def test_mcnemar_of_many_questions_is_a_small_number_and_no_overflow():
    assert 0 <= mcnemar_exact(0, 5000) < 1e-300
    assert mcnemar_exact(2500, 2500) == 1.0

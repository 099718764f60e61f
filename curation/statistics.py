"""The few statistics that every table needs, each of them once: Wilson's interval, Cohen's kappa, McNemar's test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import sqrt
from typing import Final

Z_95: Final = 1.959963984540054  # two-sided 95 % of the standard normal distribution
_ROUNDING: Final = 1e-6  # what a sum of scores may lie above their number


def wilson_interval(num_hits: float, num_trials: int, z: float = Z_95) -> tuple[float, float] | None:
    """Return Wilson's score interval of a share (Wilson 1927), both ends in [0, 1]; None when there were no trials.

    Unlike the normal interval it stays inside [0, 1], also at 0 and at `num_trials`. num_hits may be a sum of scores in
    [0, 1]: such a score varies less than a coin with its mean, so the interval is then on the safe side. Raises
    ValueError when num_hits lies outside [0, num_trials].
    """
    check_sum(num_hits, num_trials)
    if num_trials == 0:
        return None
    return _wilson(min(1.0, num_hits / num_trials), num_trials, z)


def _wilson(share: float, num_trials: float, z: float) -> tuple[float, float]:
    shrink = 1 + z**2 / num_trials
    centre = (share + z**2 / (2 * num_trials)) / shrink
    half = z / shrink * sqrt(share * (1 - share) / num_trials + z**2 / (4 * num_trials**2))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def stratified_interval(strata: Sequence[tuple[int, int, int]], z: float = Z_95) -> tuple[float, float, float] | None:
    """Return (share, low, high) of a population that was sampled stratum by stratum; None without a trial.

    strata: (size in the population, hits, trials); those without trials are left out. The share is the mean of the
    strata's shares, weighted by size. Its interval is Wilson's at an effective number of trials (Dean and Pagano 2015):
    the trials over Kish's design effect of the weights (1965), or as many as have the variance that the strata show
    (Korn and Graubard 1998), whichever are fewer. It is on the safe side where the strata differ; one stratum gives
    Wilson's own.
    """
    sampled = [(size, num_hits / num_trials, num_trials) for size, num_hits, num_trials in strata if num_trials]
    if not sampled:
        return None
    total = sum(size for size, _, _ in sampled)
    weighted = [(size / total, mean, num_trials) for size, mean, num_trials in sampled]
    share = min(1.0, sum(weight * mean for weight, mean, _ in weighted))
    num_effective = 1 / sum(weight**2 / num_trials for weight, _, num_trials in weighted)
    variance = sum(weight**2 * mean * (1 - mean) / num_trials for weight, mean, num_trials in weighted)
    if variance > 0:
        num_effective = min(num_effective, share * (1 - share) / variance)
    return share, *_wilson(share, num_effective, z)


def check_sum(total: float, num_trials: int) -> None:
    """Raise ValueError unless `total` can be the sum of `num_trials` scores in [0, 1]."""
    if not 0 <= total <= num_trials + _ROUNDING:
        raise ValueError(f"a sum of {num_trials} scores in [0, 1] cannot be {total}")


def cohens_kappa(counts: Mapping[tuple[Hashable, Hashable], int]) -> float | None:
    """Return Cohen's kappa (1960), agreement beyond chance in [-1, 1], over any number of categories.

    counts: how many cases each pair (first reader's category, second reader's) has. None when there are none, or when
    chance alone explains all of them: the sums stay integers, so that this is exact.
    """
    num = sum(counts.values())
    firsts: Counter[Hashable] = Counter()
    seconds: Counter[Hashable] = Counter()
    for (first, second), count in counts.items():
        firsts[first] += count
        seconds[second] += count
    num_equal = sum(count for (first, second), count in counts.items() if first == second)
    chance = sum(count * seconds[category] for category, count in firsts.items())  # expected agreement, times num
    return None if chance == num**2 else (num_equal * num - chance) / (num**2 - chance)


def kappa_of_two(both: int, only_first: int, only_second: int, neither: int) -> float | None:
    """Return `cohens_kappa` of two readers who say yes or no."""
    yes, no = True, False
    return cohens_kappa({(yes, yes): both, (yes, no): only_first, (no, yes): only_second, (no, no): neither})


def mcnemar_exact(num_only_first: int, num_only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: is a coin that falls this unevenly a fair one?

    The counts are of the cases that exactly one of the two got right. 1 without any. Raises ValueError for a count
    below 0.
    """
    if min(num_only_first, num_only_second) < 0:
        raise ValueError(f"counts are not negative: {num_only_first}, {num_only_second}")
    num_differing = num_only_first + num_only_second
    # The sum of the binomial coefficients up to the smaller count, as integers: exact however small the p-value.
    ways = tail = 1
    for count in range(min(num_only_first, num_only_second)):
        ways = ways * (num_differing - count) // (count + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << num_differing))

"""Is a gap between two models more than chance? If not, it is called inside the noise.

Two models that answered the same questions are compared question by question. The test flips the sign of each
difference (for right and wrong this is McNemar's, and exact); the interval comes from drawing the questions anew (the
paired bootstrap). A gap counts only where both say so. Against a published figure there are no pairs, and the interval
is Newcombe's. All of it is about the choice of questions alone: not about the seed of a training, nor that questions
about one video hang together, which makes every interval here a little too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from curation.errors import RunDirectoryError
from curation.statistics import mcnemar_exact, wilson_interval

Verdict = Literal["higher", "lower", "inside the noise"]
PairedTest = Literal["McNemar, exact", "sign flips"]
Interval = tuple[float, float]
Floats = NDArray[np.float64]

ALPHA: Final = 0.05
NUM_RESAMPLES: Final = 9_999  # with the observed one 10,000: no p-value is below 1e-4
_CHUNK: Final = 1 << 22  # random numbers held at once
_TIE: Final = 1e-9  # sums this close are equal: they differ by rounding only


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours minus theirs, in [-1, 1], on the same questions.

    num_higher, num_lower: questions where ours scored higher, lower. interval: 95 %, paired bootstrap.
    """

    num_questions: int
    num_higher: int
    num_lower: int
    difference: float
    interval: Interval
    p_value: float
    test: PairedTest

    @property
    def verdict(self) -> Verdict:
        """Inside the noise unless both the test and the interval tell the models apart."""
        return "inside the noise" if self.p_value >= ALPHA else _verdict(self.interval)


@dataclass(frozen=True, slots=True)
class Gap:
    """Ours minus a figure of which only the mean is known, and its 95 % interval."""

    difference: float
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        """Inside the noise when the interval holds 0."""
        return _verdict(self.interval)


def compare_scores(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Comparison:
    """Compare two models by their score in [0, 1] per question id; `weights` (not negative) are those of the overall.

    Without weights every question counts the same; one of weight 0 is left out. Raises RunDirectoryError when the two
    did not answer the same questions or none counts, ValueError for a score outside [0, 1].
    """
    check_same_questions(ours, theirs)
    for scores in (ours, theirs):
        if outside := next((score for score in scores.values() if not 0 <= score <= 1), None):
            raise ValueError(f"a score lies in [0, 1], not {outside}")
    ids = sorted(name for name in ours if weights is None or weights[name] > 0)
    if not ids:
        raise RunDirectoryError("no question counts in the overall of this benchmark, so there is nothing to compare.")
    differences = np.array([ours[name] - theirs[name] for name in ids])
    num_higher, num_lower = int((differences > _TIE).sum()), int((differences < -_TIE).sum())
    is_binary = all(scores[name] in (0.0, 1.0) for scores in (ours, theirs) for name in ids)
    if weights is not None:
        share = np.array([weights[name] for name in ids])
        differences = differences * share * (len(ids) / share.sum())
        is_binary = is_binary and bool(np.ptp(share) <= _TIE * share.max())
    return Comparison(
        num_questions=len(ids),
        num_higher=num_higher,
        num_lower=num_lower,
        difference=fsum(differences) / len(ids),
        interval=bootstrap_interval(differences, seed=seed, num_resamples=num_resamples),
        p_value=(
            mcnemar_exact(num_higher, num_lower)
            if is_binary
            else sign_flip_test(differences, seed=seed, num_resamples=num_resamples)
        ),
        test="McNemar, exact" if is_binary else "sign flips",
    )


def sign_flip_test(differences: Sequence[float] | Floats, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> float:
    """Two-sided p-value of a mean of paired differences: how often do random signs give one as large?

    The observed signs count as one of the draws (Phipson and Smyth 2010), so it is never 0; 1 when all are equal.
    """
    values = _filled(differences)
    sizes = np.abs(values[values != 0])
    observed = abs(fsum(values))

    def draw(rng: np.random.Generator, num: int) -> Floats:
        return np.asarray(sizes.sum() - 2 * (rng.random((num, len(sizes)), dtype=np.float32) < 0.5) @ sizes)

    num_as_large = int((np.abs(_draw(draw, len(sizes), seed, num_resamples)) >= observed - _TIE).sum())
    return (1 + num_as_large) / (1 + num_resamples)


def bootstrap_interval(
    differences: Sequence[float] | Floats, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """95 % percentile interval of the mean of paired differences, over questions drawn with replacement."""
    values = _filled(differences)

    def draw(rng: np.random.Generator, num: int) -> Floats:
        return np.asarray(values[rng.integers(0, len(values), (num, len(values)), dtype=np.int32)].mean(axis=1))

    means = _draw(draw, len(values), seed, num_resamples)
    low, high = np.quantile(means, (ALPHA / 2, 1 - ALPHA / 2))
    return float(low), float(high)


def gap_to_published(share: float, published: float, num_questions: float) -> Gap:
    """Ours minus a published score, both in [0, 1] and over the same number of questions (Newcombe 1998, method 10).

    The pairs are not published, so the interval is that of unpaired samples: on the safe side. `num_questions` may be
    an effective number; it is rounded down. Raises ValueError below 1.
    """
    ours, theirs = (wilson_interval(mean * int(num_questions), int(num_questions)) for mean in (share, published))
    if ours is None or theirs is None:
        raise ValueError("there is no gap over no question")
    difference = share - published
    low = sqrt((share - ours[0]) ** 2 + (theirs[1] - published) ** 2)
    high = sqrt((ours[1] - share) ** 2 + (published - theirs[0]) ** 2)
    return Gap(difference, (max(-1.0, difference - low), min(1.0, difference + high)))


def weighted_interval(scores: Sequence[float], weights: Sequence[float]) -> Interval | None:
    """Wilson's 95 % interval of a weighted mean of scores in [0, 1]; None without any weight."""
    num_effective = effective_number(weights)
    if num_effective == 0:
        return None
    mean = fsum(score * weight for score, weight in zip(scores, weights, strict=True)) / fsum(weights)
    return wilson_interval(min(1.0, mean) * num_effective, num_effective)


def effective_number(weights: Sequence[float]) -> int:
    """How many equally weighted questions say as much as these (Kish 1965), rounded down; 0 without any weight."""
    squares = fsum(weight**2 for weight in weights)
    return int(fsum(weights) ** 2 / squares + _TIE) if squares else 0


def check_same_questions(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    """Raises RunDirectoryError unless both answered the same questions, and at least one."""
    if not ours and not theirs:
        raise RunDirectoryError("neither result file holds a question; run the benchmark stage first.")
    if lone := sorted(ours.keys() ^ theirs.keys()):
        raise RunDirectoryError(
            f"the result files answer different questions: {len(lone):,} stand in one only, such as {lone[0]!r}. "
            "Finish both runs on the same benchmark and revision, then compare."
        )


def _verdict(interval: Interval) -> Verdict:
    low, high = interval
    if low > _TIE:
        return "higher"
    return "lower" if high < -_TIE else "inside the noise"


def _filled(values: Sequence[float] | Floats) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise ValueError("paired differences are finite numbers, and at least one")
    return array


def _draw(draw: Callable[[np.random.Generator, int], Floats], num_values: int, seed: int, num_resamples: int) -> Floats:
    """`num_resamples` draws, a bounded number at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, num_values))
    sizes = (min(step, num_resamples - start) for start in range(0, num_resamples, step))
    return np.concatenate([draw(rng, size) for size in sizes])

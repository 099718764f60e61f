"""How far two readers agree who put each case into one of several categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agreement:
    """num: cases that both read. kappa: Cohen's, agreement beyond chance, at most 1; null where chance explains all."""

    num: int
    num_equal: int
    kappa: float | None

    @property
    def share(self) -> float | None:
        """Of the cases that both read; None without any."""
        return self.num_equal / self.num if self.num else None


def measure_agreement(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Cohen's kappa (1960) over any number of categories. Counts stay integers, so that "chance explains all" is
    exact."""
    num, num_equal = len(pairs), sum(left == right for left, right in pairs)
    lefts, rights = Counter(left for left, _ in pairs), Counter(right for _, right in pairs)
    chance = sum(lefts[category] * rights[category] for category in lefts)  # expected agreement, times num ** 2
    kappa = None if chance == num**2 else (num_equal * num - chance) / (num**2 - chance)
    return Agreement(num, num_equal, kappa)

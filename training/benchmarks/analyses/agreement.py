"""How far two readers agree who put each case into one of several categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from curation.statistics import cohens_kappa


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
    """Count the pairs (first reader's category, second reader's) that are equal."""
    return Agreement(len(pairs), sum(first == second for first, second in pairs), cohens_kappa(Counter(pairs)))

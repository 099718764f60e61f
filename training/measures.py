"""What a held-out evaluation is read for: its three shares, and the models that they are of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from training.evaluation_facts import EvaluatedStage, Evaluation

MODEL_TITLES: Final[Mapping[EvaluatedStage, str]] = {"base": "before", "sft": "after SFT", "rl": "after RL"}


@dataclass(frozen=True, slots=True)
class Measure:
    """A share of an evaluation. count: (sum of scores in [0, 1], over how many)."""

    name: str
    count: Callable[[Evaluation], tuple[float, int]]

    def share(self, evaluation: Evaluation) -> float | None:
        """In [0, 1]; None when it is over nothing."""
        total, number = self.count(evaluation)
        return total / number if number else None


ACCURACY: Final = Measure("Accuracy", lambda found: (found.sum_score, found.num_questions))
MEASURES: Final = (
    ACCURACY,
    Measure("Sufficient observations", lambda found: (found.num_sufficient, found.num_judged)),
    Measure("Well-formed traces", lambda found: (found.num_well_formed, found.num_questions)),
)

"""What a held-out evaluation is read for: its shares, and the models that they are of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from training.evaluation_facts import EvaluatedStage, Evaluation

MODEL_TITLES: Final[Mapping[EvaluatedStage, str]] = {"base": "before", "sft": "after SFT", "rl": "after RL"}


@dataclass(frozen=True, slots=True)
class Measure:
    """A share of an evaluation. count: (sum of scores in [0, 1], over how many). slug: in names of files."""

    name: str
    slug: str
    count: Callable[[Evaluation], tuple[float, int]]

    def share(self, evaluation: Evaluation) -> float | None:
        """In [0, 1]; None when it is over nothing."""
        total, number = self.count(evaluation)
        return total / number if number else None


ACCURACY: Final = Measure("Accuracy", "accuracy", lambda found: (found.sum_score, found.num_questions))
SUFFICIENT: Final = Measure(
    "Sufficient observations", "sufficient", lambda found: (found.num_sufficient, found.num_judged)
)
WELL_FORMED: Final = Measure(
    "Well-formed traces", "well-formed", lambda found: (found.num_well_formed, found.num_questions)
)
SAMPLED_ACCURACY: Final = Measure(
    "Accuracy, sampled",
    "accuracy_sampled",
    lambda found: (0.0, 0) if found.sampled is None else (found.sampled.sum_score, found.num_questions),
)
SAMPLED_SUFFICIENT: Final = Measure(
    "Sufficient observations, sampled",
    "sufficient_sampled",
    lambda found: (0.0, 0) if found.sampled is None else (found.sampled.num_sufficient, found.sampled.num_judged),
)


def measures_of(evaluations: Collection[Evaluation]) -> tuple[Measure, ...]:
    """Those of greedy decoding, and of sampling where somebody sampled."""
    is_sampled = any(evaluation.sampled is not None for evaluation in evaluations)
    return (ACCURACY, SUFFICIENT, *((SAMPLED_ACCURACY, SAMPLED_SUFFICIENT) if is_sampled else ()), WELL_FORMED)

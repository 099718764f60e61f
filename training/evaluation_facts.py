"""The held-out scores of one model, evaluation/{base,sft,rl}.json, and how sure they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from curation.errors import RunDirectoryError
from curation.statistics import check_sum

EvaluatedStage = Literal["base", "sft", "rl"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KindScore(_Part):
    """Questions of one kind. sum_score: of their scores in [0, 1]. majority_score: the mean score of always giving
    the kind's most frequent answer."""

    kind: Annotated[str, Field(min_length=1)]
    num_questions: NonNegativeInt
    sum_score: NonNegativeFloat
    majority_score: Share

    @model_validator(mode="after")
    def _sum_fits(self) -> Self:
        check_sum(self.sum_score, self.num_questions)
        return self


class SampledScores(_Part):
    """The same questions answered once more, by chance: what RL trains is the distribution that it samples from."""

    temperature: Annotated[float, Field(gt=0)]
    num_well_formed: NonNegativeInt
    sum_score: NonNegativeFloat
    num_judged: NonNegativeInt
    num_sufficient: NonNegativeInt


class Evaluation(_Part):
    """Counts and sums of greedy completions, never means, so that nothing unscored hides in a denominator.

    model: folder or hub name. num_judged: observations with a verdict; the others are in no share. majority_score: of
    the most frequent answer of each kind, over all questions. seconds: wall time. sampled: None when it was not asked.
    """

    model: Annotated[str, Field(min_length=1)]
    stage: EvaluatedStage
    num_questions: NonNegativeInt
    num_well_formed: NonNegativeInt
    sum_score: NonNegativeFloat
    num_judged: NonNegativeInt
    num_sufficient: NonNegativeInt
    by_kind: tuple[KindScore, ...]
    majority_score: Share
    seconds: NonNegativeFloat
    sampled: SampledScores | None = None

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        for found in (self, self.sampled) if self.sampled is not None else (self,):
            check_sum(found.sum_score, self.num_questions)
            if found.num_well_formed > self.num_questions or found.num_judged > self.num_questions:
                raise ValueError(f"num_well_formed and num_judged are at most num_questions, {self.num_questions}")
            if found.num_sufficient > found.num_judged:
                raise ValueError(f"num_sufficient {found.num_sufficient} is more than num_judged {found.num_judged}")
        if sum(kind.num_questions for kind in self.by_kind) != self.num_questions:
            raise ValueError(f"by_kind does not sum to num_questions, {self.num_questions}")
        return self

    @property
    def accuracy(self) -> float | None:
        """The mean score in [0, 1], malformed completions at 0; None without questions."""
        return _ratio(self.sum_score, self.num_questions)

    @property
    def well_formed_share(self) -> float | None:
        """Of all questions; None without questions."""
        return _ratio(self.num_well_formed, self.num_questions)

    @property
    def sufficient_share(self) -> float | None:
        """Of the judged observations; None when none was judged."""
        return _ratio(self.num_sufficient, self.num_judged)


def load_evaluation(path: Path) -> Evaluation | None:
    """None when it was not evaluated (yet). Raises RunDirectoryError that names the field."""
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise RunDirectoryError(
            f"{path} is no evaluation: {place}: {fault['msg']}. Delete it and evaluate again."
        ) from error


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".tmp")
    written.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    written.replace(path)


def _ratio(total: float, count: int) -> float | None:
    return min(1.0, total / count) if count else None

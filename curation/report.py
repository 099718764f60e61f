"""The shape of report.json: what `stats.measure` finds and tables, plots and the card show.

Every number is a count of rows or derived from counts; null means that it was not measured, never zero. The order of
fields and of rows is fixed and nothing depends on the clock, so that the same dataset gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from curation.statistics import stratified_interval, wilson_interval


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Part):
    """`num` of `total`, with its 95 % Wilson interval; null where the total is zero.

    A share that `of_strata` makes is that of the population, which is not num / total.
    """

    num: int
    total: int
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, num: int, total: int) -> Self:
        """Raises ValueError when `num` lies outside [0, total]."""
        interval = wilson_interval(num, total)
        if interval is None:
            return cls(num=num, total=0, share=None, low=None, high=None)
        return cls(num=num, total=total, share=num / total, low=interval[0], high=interval[1])

    @classmethod
    def of_strata(cls, strata: Sequence[tuple[int, int, int]]) -> Self:
        """strata: (size in the population, hits, trials), as `stratified_interval` takes them."""
        num, total = (sum(stratum[place] for stratum in strata) for place in (1, 2))
        share, low, high = stratified_interval(strata) or (None, None, None)
        return cls(num=num, total=total, share=share, low=low, high=high)


class Reason(_Part):
    """One reason of one step, as `rejected_by` names them."""

    reason: str
    num_rows: int


class Step(_Part):
    """A step of the funnel: num_in = num_rejected + num_left."""

    step: str
    num_in: int
    num_rejected: int
    num_left: int
    reasons: tuple[Reason, ...]


class Funnel(_Part):
    """read -> source -> media -> generate -> filter -> verify = kept. It cannot be built unless it adds up."""

    num_read: int
    num_kept: int
    num_rejected: int
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        left = self.num_read
        for step in self.steps:
            if step.num_in != left or step.num_rejected != sum(reason.num_rows for reason in step.reasons):
                raise ValueError(f"step {step.step} does not add up")
            left -= step.num_rejected
            if step.num_left != left:
                raise ValueError(f"step {step.step} leaves {step.num_left}, expected {left}")
        if left != self.num_kept or self.num_kept + self.num_rejected != self.num_read:
            raise ValueError(f"{self.num_kept} kept and {self.num_rejected} rejected do not make {self.num_read} read")
        return self


class Survival(_Part):
    """Kept among all questions read of one group. `value` is null for rows whose group is not known.

    `paper` is the share that VideoP2R's two tables imply, null where it gives none.
    """

    by: Literal["all", "problem_type", "data_type", "data_source"]
    value: str | None
    kept: Share
    paper: float | None


class Cell(_Part):
    """One cell of the composition table (VideoP2R Table 3), among the rows of a known type and modality."""

    problem_type: str
    data_type: str
    num_read: int
    num_kept: int


class Lengths(_Part):
    """Lengths of one segment over the kept rows of a problem type (null = all), in one unit.

    Quantiles are over the `num_measured` rows that have a length. `window` is the segment's range of the RL length
    reward (VideoP2R section 3.2, R_len), in tokens; null for words.
    """

    segment: Literal["observation", "think"]
    unit: Literal["words", "tokens"]
    problem_type: str | None
    num_rows: int
    num_measured: int
    mean: float | None
    p5: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None
    window: tuple[int, int] | None
    in_window: Share | None

    @property
    def summary(self) -> tuple[float | None, ...]:
        """mean, p5, p25, p50, p75, p95."""
        return (self.mean, self.p5, self.p25, self.p50, self.p75, self.p95)


class Histogram(_Part):
    """Kept rows per length: bin i holds [i * bin_width, (i + 1) * bin_width); the last one also all that is longer."""

    segment: Literal["observation", "think"]
    unit: Literal["words", "tokens"]
    bin_width: int
    counts: tuple[int, ...]


class Duplicates(_Part):
    """Distinct texts among the kept rows; normalised = lower case without punctuation."""

    over: Literal["problem", "problem and path", "observation", "think"]
    form: Literal["exact", "normalised"]
    num_rows: int
    num_distinct: int

    @property
    def num_extra(self) -> int:
        """Rows that repeat an earlier one."""
        return self.num_rows - self.num_distinct


class Letter(_Part):
    """How often an option letter is right, and how often it is answered; multiple choice only. Null = no letter."""

    letter: str | None
    num_gold_read: int
    num_gold_kept: int
    num_answered_kept: int


class TopAnswer(_Part):
    """One of the most frequent answers among the kept rows of a type, cut to 80 characters."""

    problem_type: str
    answer: str
    num_rows: int


class Tally(_Part):
    """Rows that carry a value; null = not computed."""

    value: str | int | None
    num_kept: int
    num_rejected: int


class Attribution(_Part):
    """Rows by the collection that their question comes from and its licence; null = not known."""

    data_source: str | None
    license: str | None
    num_kept: int
    num_rejected: int


class Maker(_Part):
    """A model with the prompt it was given; null = this row never reached it."""

    model: str | None
    prompt_sha256: str | None
    num_kept: int
    num_rejected: int


class Scores(_Part):
    """Task scores in ten bins of 0.1, the last one closed at 1.0; rows without a score are in no bin."""

    kept: tuple[int, ...]
    rejected: tuple[int, ...]
    num_unscored_kept: int
    num_unscored_rejected: int
    mean_kept: float | None


class Agreement(_Part):
    """The judge against human labels, over the questions that both decided.

    Counted apart and never averaged in: questions whose labellers disagree (disputed), that no human could tell or
    that are not labelled yet, whose verdict is null (unscored), and labels for ids that this dataset does not have.

    num_strata: the questions were drawn from strata of a dataset, and accuracy and kappa are the dataset's: weighted by
    the sizes of so many strata. Null: they are those of the questions as they are. coverage: the share of the rows that
    lies in these strata; what lies in the others nobody has labelled.
    """

    accuracy: Share
    kappa: float | None
    both_sufficient: int
    both_insufficient: int
    judge_only_sufficient: int
    human_only_sufficient: int
    num_disputed: int
    num_cannot_tell: int
    num_unlabelled: int
    num_unscored: int
    num_unknown_ids: int
    num_strata: int | None = None
    coverage: float | None = None


class Report(_Part):
    """Everything that is measured on one dataset folder."""

    schema_version: int
    funnel: Funnel
    num_rl: int
    survival: tuple[Survival, ...]
    composition: tuple[Cell, ...]
    lengths: tuple[Lengths, ...]
    histograms: tuple[Histogram, ...]
    duplicates: tuple[Duplicates, ...]
    letters: tuple[Letter, ...]
    top_answers: tuple[TopAnswer, ...]
    scores: Scores
    verdicts: tuple[Tally, ...]
    flags: tuple[Tally, ...]
    overlaps: tuple[Tally, ...]
    attempts: tuple[Tally, ...]
    licenses: tuple[Tally, ...]
    attribution: tuple[Attribution, ...]
    generators: tuple[Maker, ...]
    judges: tuple[Maker, ...]
    agreement: Agreement | None

    @property
    def table3(self) -> tuple[tuple[str, int, int], ...]:
        """Problem type, kept image rows, kept video rows, in the form of VideoP2R Table 3; `total` comes last."""
        kept = {(cell.problem_type, cell.data_type): cell.num_kept for cell in self.composition}
        kinds = dict.fromkeys(cell.problem_type for cell in self.composition)
        rows = tuple((kind, kept.get((kind, "image"), 0), kept.get((kind, "video"), 0)) for kind in kinds)
        return (*rows, ("total", sum(row[1] for row in rows), sum(row[2] for row in rows)))


def percent(share: float | None) -> str:
    """`79.4 %`; what was not measured is a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def plain(text: str, most: int = 28) -> str:
    """A name from the data for one line of a table or picture: no control characters, cut to `most` characters."""
    line = "".join(char if char.isprintable() else "?" for char in text)
    return line if len(line) <= most else line[: most - 3] + "..."

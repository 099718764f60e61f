"""A dataset of ours beside the authors' release: which questions both have, whether both accept them, how traces differ.

Pure: two dataset folders in our columns go in (theirs by release_import), one `ReleaseComparison` comes out. Every
number is a count of rows or derived from counts; null means that it could not be measured, never zero.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from curation.facts import Segment
from curation.report import Reason, Share
from curation.stats import Unit


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


By = Literal["all", "problem_type", "data_source"]


class Ours(_Part):
    """Our side. Read are all records that were questions, whatever became of them."""

    name: str
    num_read: int
    num_accepted: int


class Theirs(_Part):
    """One file of the release: its records, those that are questions, and why the others are none.

    Of the CoT file every question counts as accepted by its authors. `num_traces` are those whose completion follows
    the template, so that its segments can be compared; null for the RL file, whose completions are not looked at.
    """

    num_records: int
    num_questions: int
    num_traces: int | None
    rejected: tuple[Reason, ...]


class Overlap(_Part):
    """Questions by id: those that we read beside those of one of their files, in one group.

    A shared question is in the group that our row names. num_near: of num_only_theirs, those for which a question of
    num_only_ours has the same path and problem, so that only the options differ.
    """

    file: Literal["cot", "rl"]
    by: By
    value: str | None
    num_shared: int
    num_only_ours: int
    num_only_theirs: int
    num_near: int


class Acceptance(_Part):
    """Who accepts a question of the universe, in one group. `agree` = both or neither; kappa is null without spread."""

    by: By
    value: str | None
    num_both: int
    num_only_ours: int
    num_only_theirs: int
    num_neither: int
    agree: Share
    kappa: float | None


class Quantiles(_Part):
    """Of one length over the `num_rows` traces that have it; null without one."""

    num_rows: int
    mean: float | None
    p5: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None

    @property
    def summary(self) -> tuple[float | None, ...]:
        """mean, p5, p25, p50, p75, p95."""
        return (self.mean, self.p5, self.p25, self.p50, self.p75, self.p95)


class LengthPair(_Part):
    """One segment's length. scope: every trace of each side, or only the questions where both sides have one."""

    segment: Segment
    unit: Unit
    scope: Literal["every", "shared"]
    ours: Quantiles
    theirs: Quantiles


class HistogramPair(_Part):
    """Traces per length: bin i holds [i * bin_width, (i + 1) * bin_width); the last one also all that is longer."""

    segment: Segment
    unit: Unit
    bin_width: int
    ours: tuple[int, ...]
    theirs: tuple[int, ...]


class ScorePair(_Part):
    """Task scores of the traces of a problem type (null = all), by our scorer, in ten bins of 0.1, the last closed.

    theirs_below: traces of theirs under the paper's threshold (VideoP2R section 3.2) by our scorer.
    """

    problem_type: str | None
    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    ours_mean: float | None
    theirs_mean: float | None
    theirs_below: Share


class Same(_Part):
    """Over the questions where both sides have a trace. Answers are the same when our scorer gives one the full score
    against the other; texts are the same to the letter. num_other_gold: their solution is not ours."""

    answer: Share
    observation: Share
    think: Share
    trace: Share
    num_other_gold: int


class ReleaseComparison(_Part):
    """Everything that is compared.

    tokenizer: what both sides' tokens were counted with, null = not counted. universe: the questions that `acceptance`
    is over: all that we read, or only those that their RL file has too, which they have certainly seen.
    num_outside: questions that both files share but that lie outside this universe. not_ours: why we rejected what
    they accept, by our `rejected_by`.
    """

    ours: Ours
    cot: Theirs
    rl: Theirs | None
    tokenizer: str | None
    overlaps: tuple[Overlap, ...]
    universe: Literal["read", "read and in the RL file"]
    num_outside: int
    acceptance: tuple[Acceptance, ...]
    not_ours: tuple[Reason, ...]
    lengths: tuple[LengthPair, ...]
    histograms: tuple[HistogramPair, ...]
    scores: tuple[ScorePair, ...]
    same: Same

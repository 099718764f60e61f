"""A dataset of ours beside the authors' release: questions both have, who accepts them, how the traces differ.

Pure: the facts of two sides go in (theirs by release_import, both by release_facts), one `ReleaseComparison` comes out.
Every number is a count of rows or derived from counts; null means that it could not be measured, never zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from curation.facts import SEGMENTS, Segment
from curation.filters import SCORE_TOLERANCE, FilterConfig
from curation.release_facts import Side
from curation.report import Reason, Share
from curation.schema import PROBLEM_TYPES
from curation.statistics import kappa_of_two
from curation.stats import HISTOGRAM_BINS, QUANTILES, UNITS, Unit
from curation.tasks import score_answer


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


def compare(
    ours: Side,
    theirs: Side,
    asked: pl.DataFrame | None = None,
    *,
    name: str,
    cot: Theirs,
    rl: Theirs | None = None,
    tokenizer: str | None = None,
) -> ReleaseComparison:
    """Compare our side with their CoT file; `asked` are the questions of their RL file, None when it is not given.

    What they accept are all questions of the CoT file, also one whose completion does not follow the template.
    """
    read, accepted = ours.questions, ours.questions.filter(pl.col("rejected_by").is_null())
    listed = theirs.questions
    universe = read if asked is None else read.join(asked, on="id", how="semi")
    outside = read.join(listed, on="id", how="semi").join(universe, on="id", how="anti")
    judged = universe.select(
        "problem_type",
        "data_source",
        "rejected_by",
        ours=pl.col("rejected_by").is_null(),
        theirs=pl.col("id").is_in(listed["id"].implode()),
    )
    not_ours = judged.filter(pl.col("theirs") & ~pl.col("ours"))
    pairs = ours.traces.join(theirs.traces, on="id", suffix="_theirs", maintain_order="left")
    return ReleaseComparison(
        ours=Ours(name=name, num_read=read.height, num_accepted=accepted.height),
        cot=cot,
        rl=rl,
        tokenizer=tokenizer,
        overlaps=(*_overlaps("cot", read, listed), *(() if asked is None else _overlaps("rl", read, asked))),
        universe="read" if asked is None else "read and in the RL file",
        num_outside=outside.height,
        acceptance=tuple(_acceptance(by, value, rows) for by, value, rows in _groups(judged)),
        not_ours=tuple(
            Reason(reason=reason, num_rows=count)
            for reason, count in sorted(Counter(not_ours["rejected_by"]).items(), key=lambda row: (-row[1], row[0]))
        ),
        lengths=tuple(_lengths(ours.traces, theirs.traces, pairs)),
        histograms=tuple(
            _histogram(segment, unit, ours.traces, theirs.traces) for segment in SEGMENTS for unit in UNITS
        ),
        scores=tuple(_scores(kind, ours.traces, theirs.traces) for kind in (None, *PROBLEM_TYPES)),
        same=_same(pairs, read.join(listed, on="id", suffix="_theirs")),
    )


def _groups(rows: pl.DataFrame) -> Iterator[tuple[By, str | None, pl.DataFrame]]:
    """All rows, then by problem type in its order, then by source, the largest first; unknown ones last, as null."""
    yield "all", None, rows
    for kind in PROBLEM_TYPES:
        yield "problem_type", kind, rows.filter(pl.col("problem_type") == kind)
    sizes = Counter(rows["data_source"])
    for source in sorted(sizes, key=lambda name: (name is None, -sizes[name], name)):
        yield "data_source", source, rows.filter(pl.col("data_source").eq_missing(pl.lit(source, pl.String)))


def _overlaps(file: Literal["cot", "rl"], read: pl.DataFrame, listed: pl.DataFrame) -> Iterator[Overlap]:
    only_ours = read.join(listed, on="id", how="anti")
    only_theirs = listed.join(read, on="id", how="anti")
    near = only_theirs["near"].is_in(only_ours["near"].implode())
    columns = ("problem_type", "data_source")
    marked = pl.concat(
        [
            read.join(listed, on="id", how="semi").select(*columns, where=pl.lit("shared")),
            only_ours.select(*columns, where=pl.lit("ours")),
            only_theirs.filter(~near).select(*columns, where=pl.lit("theirs")),
            only_theirs.filter(near).select(*columns, where=pl.lit("near")),
        ]
    )
    for by, value, rows in _groups(marked):
        counts = Counter(rows["where"])
        yield Overlap(
            file=file,
            by=by,
            value=value,
            num_shared=counts["shared"],
            num_only_ours=counts["ours"],
            num_only_theirs=counts["theirs"] + counts["near"],
            num_near=counts["near"],
        )


def _acceptance(by: By, value: str | None, judged: pl.DataFrame) -> Acceptance:
    counts = Counter(judged.select("ours", "theirs").iter_rows())
    both, only_ours = counts[True, True], counts[True, False]
    only_theirs, neither = counts[False, True], counts[False, False]
    return Acceptance(
        by=by,
        value=value,
        num_both=both,
        num_only_ours=only_ours,
        num_only_theirs=only_theirs,
        num_neither=neither,
        agree=Share.of(both + neither, judged.height),
        kappa=kappa_of_two(both, only_ours, only_theirs, neither),
    )


def _lengths(ours: pl.DataFrame, theirs: pl.DataFrame, pairs: pl.DataFrame) -> Iterator[LengthPair]:
    for segment in SEGMENTS:
        for unit in UNITS:
            column = f"{segment}_{unit}"
            both = (_quantiles(pairs[column]), _quantiles(pairs[f"{column}_theirs"]))
            every = (_quantiles(ours[column]), _quantiles(theirs[column]))
            yield LengthPair(segment=segment, unit=unit, scope="every", ours=every[0], theirs=every[1])
            yield LengthPair(segment=segment, unit=unit, scope="shared", ours=both[0], theirs=both[1])


def _quantiles(lengths: pl.Series) -> Quantiles:
    known = lengths.drop_nulls().to_frame("length")
    summary = known.select(
        pl.col("length").mean().alias("mean"),
        *(pl.col("length").quantile(share, "linear").alias(name) for name, share in QUANTILES.items()),
    )
    return Quantiles(num_rows=known.height, **summary.row(0, named=True))


def _histogram(segment: Segment, unit: Unit, ours: pl.DataFrame, theirs: pl.DataFrame) -> HistogramPair:
    sides = [side[f"{segment}_{unit}"].drop_nulls() for side in (ours, theirs)]
    # The longest thousandth shares the last bin, or a single loop of 8,000 words would flatten the picture.
    longest = int(pl.concat(sides).quantile(0.999, "lower") or 0)
    width = max(1, ceil(longest / HISTOGRAM_BINS))
    last_bin = longest // width
    counts = [Counter((lengths // width).clip(upper_bound=last_bin)) for lengths in sides]
    bins = range(last_bin + 1) if any(counts) else ()
    left, right = (tuple(count[place] for place in bins) for count in counts)
    return HistogramPair(segment=segment, unit=unit, bin_width=width, ours=left, theirs=right)


def _scores(kind: str | None, ours: pl.DataFrame, theirs: pl.DataFrame) -> ScorePair:
    sides = [side if kind is None else side.filter(pl.col("problem_type") == kind) for side in (ours, theirs)]
    left, right = (side["score"].drop_nulls() for side in sides)
    below = right < FilterConfig().min_score - SCORE_TOLERANCE
    return ScorePair(
        problem_type=kind,
        ours=_ten_bins(left),
        theirs=_ten_bins(right),
        ours_mean=None if left.is_empty() else float(left.to_numpy().mean()),
        theirs_mean=None if right.is_empty() else float(right.to_numpy().mean()),
        theirs_below=Share.of(int(below.sum()), right.len()),
    )


def _ten_bins(scores: pl.Series) -> tuple[int, ...]:
    counts = Counter((scores * 10).floor().cast(pl.Int64).clip(upper_bound=9))
    return tuple(counts[place] for place in range(10))


def _same(pairs: pl.DataFrame, shared: pl.DataFrame) -> Same:
    texts = {segment: pairs[f"{segment}_hash"] == pairs[f"{segment}_hash_theirs"] for segment in SEGMENTS}
    answers = pairs["answer"] == pairs["answer_theirs"]
    columns = ("problem_type", "answer", "answer_theirs", "options")
    num_same = int(answers.sum()) + sum(
        _same_answer(*row) for row in pairs.filter(~answers).select(columns).iter_rows()
    )
    identical = texts["observation"] & texts["think"] & answers
    return Same(
        answer=Share.of(num_same, pairs.height),
        observation=Share.of(int(texts["observation"].sum()), pairs.height),
        think=Share.of(int(texts["think"].sum()), pairs.height),
        trace=Share.of(int(identical.sum()), pairs.height),
        num_other_gold=int((shared["solution"] != shared["solution_theirs"]).sum()),
    )


def _same_answer(problem_type: str, answer: str, other: str, options: list[str]) -> bool:
    return score_answer(problem_type, answer, other, options=options) >= 1 - SCORE_TOLERANCE

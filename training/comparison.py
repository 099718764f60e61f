"""Variants side by side, over seeds: does the method help, and by more than chance?

Each variant's mean over seeds has a 95 % t-interval, and so has its difference to a reference, seed by seed. These
intervals are about the seeds of RL: the held-out questions and the SFT checkpoint are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ConsoleTable
from rich.text import Text

from curation.errors import RunDirectoryError
from training.evaluation_facts import Evaluation
from training.measures import WELL_FORMED, Measure, measures_of
from training.plots import draw_seeds, write_figure
from training.report_html import Cell, Picture, Row, Section, Table, picture, write_page
from training.report_words import DASH, NARROW, percent

REFERENCES: Final = ("sft_only", "grpo")
# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom. Beyond 30 the last one is a little too wide.
_T_95: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NOTE: Final = (
    "Means over the seeds of RL; +- is the 95 % interval (Student's t). Differences are taken seed by seed, in "
    "percentage points; one whose interval holds 0 shows nothing. All start from one SFT checkpoint and answer the "
    "same questions, so that neither's chance is in an interval."
)


@dataclass(frozen=True, slots=True)
class SeedMean:
    """values: one a seed. half_width: of the 95 % t-interval; None for fewer than two models, which have no spread."""

    values: tuple[float, ...]
    half_width: float | None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return fmean(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.half_width is None else (self.mean - self.half_width, self.mean + self.half_width)


@dataclass(frozen=True, slots=True)
class VariantSummary:
    """One variant. shares: measure -> its mean; None where a seed has no such share (nothing was judged).

    differences: (measure, reference variant) -> variant minus reference, over the seeds that both have.
    measures: those that were taken, of any variant.
    """

    variant: str
    seeds: tuple[int, ...]
    num_questions: int
    shares: Mapping[str, SeedMean | None]
    differences: Mapping[tuple[str, str], SeedMean]
    measures: tuple[Measure, ...]


def summarise(evaluations: Mapping[tuple[str, int], Evaluation]) -> list[VariantSummary]:
    """One summary a variant, in the order of `evaluations`, whose keys are (variant, seed).

    Raises RunDirectoryError when the scores are not over equally many questions.
    """
    by_variant: dict[str, dict[int, Evaluation]] = {}
    for (variant, seed), evaluation in evaluations.items():
        by_variant.setdefault(variant, {})[seed] = evaluation
    counts = {evaluation.num_questions for evaluation in evaluations.values()}
    if len(counts) > 1:
        raise RunDirectoryError(
            f"the variants were scored on different numbers of questions, {sorted(counts)}, and cannot be compared. "
            "Delete their evaluation/ folders and run the comparison again."
        )
    measures = measures_of(evaluations.values())
    return [
        VariantSummary(
            variant,
            tuple(found),
            next(iter(found.values())).num_questions,
            {measure.name: _mean_share(measure, found) for measure in measures},
            {
                (measure.name, reference): difference
                for measure in measures
                for reference in REFERENCES
                if reference != variant
                and (difference := _difference(measure, found, by_variant.get(reference, {}))) is not None
            },
            measures,
        )
        for variant, found in by_variant.items()
    ]


def mean_of(values: Sequence[float]) -> SeedMean:
    """The mean of independent values and its interval. Raises ValueError without any."""
    if not values:
        raise ValueError("there is no mean of no seed")
    if len(values) == 1:
        return SeedMean(tuple(values), None)
    quantile = _T_95[min(len(values) - 1, len(_T_95)) - 1]
    return SeedMean(tuple(values), quantile * stdev(values) / sqrt(len(values)))


def print_comparison(summaries: Sequence[VariantSummary], folder: Path, console: Console | None = None) -> Path:
    """Print a table for each measure; write comparison.html and its pictures to `folder`. Returns the page."""
    page = _tabulate(summaries)
    console = console or Console()
    for measure in _measures(summaries):  # one below the other, so that they fit 80 columns
        console.print(_console_table(summaries, measure))
    console.print(page.note, style="dim", highlight=False)
    folder.mkdir(parents=True, exist_ok=True)
    return write_page(
        folder / "comparison.html",
        title="Variants side by side",
        subtitle=", ".join(summary.variant for summary in summaries),
        tiles=(),
        problems=(),
        sections=(Section("Held-out scores", tables=(page,), pictures=tuple(_draw(summaries, folder))),),
    )


def _mean_share(measure: Measure, found: Mapping[int, Evaluation]) -> SeedMean | None:
    shares = [measure.share(evaluation) for evaluation in found.values()]
    values = [share for share in shares if share is not None]
    if len(values) < len(shares):
        return None
    is_one_model = len({evaluation.model for evaluation in found.values()}) == 1
    return SeedMean(tuple(values), None) if is_one_model else mean_of(values)


def _difference(
    measure: Measure, found: Mapping[int, Evaluation], reference: Mapping[int, Evaluation]
) -> SeedMean | None:
    """None without a seed that both have. Where the reference is one model, the spread is that of the variant."""
    differences = []
    for seed in found:
        if seed in reference:
            ours, theirs = measure.share(found[seed]), measure.share(reference[seed])
            if ours is None or theirs is None:
                return None
            differences.append(ours - theirs)
    return mean_of(differences) if differences else None


def _console_table(summaries: Sequence[VariantSummary], measure: Measure) -> ConsoleTable:
    references = [name for name in REFERENCES if any(name == summary.variant for summary in summaries)]
    title = f"Held-out {measure.name.lower()}, percent"
    table = ConsoleTable(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("variant", no_wrap=True)
    for heading in ("seeds", "mean", *(f"over {reference}" for reference in references)):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        cells = [
            _share(summary.shares[measure.name]),
            *(_points(summary.differences.get((measure.name, reference))) for reference in references),
        ]
        texts = (f"{cell.text} {cell.note}".strip().replace(NARROW, " ") for cell in cells)
        table.add_row(*(Text(text) for text in (summary.variant, str(len(summary.seeds)), *texts)))
    return table


def _tabulate(summaries: Sequence[VariantSummary]) -> Table:
    references = [name for name in REFERENCES if any(name == summary.variant for summary in summaries)]
    named = _headed(summaries)
    headings = ["variant", "seeds"]
    for measure in named:
        headings += [measure.name.lower(), *(f"over {reference}" for reference in references)]
    headings.append(WELL_FORMED.name.lower())
    rows = []
    for summary in summaries:
        cells = [Cell(str(len(summary.seeds)))]
        for measure in named:
            cells.append(_share(summary.shares[measure.name]))
            cells += [_points(summary.differences.get((measure.name, reference))) for reference in references]
        cells.append(_share(summary.shares[WELL_FORMED.name]))
        rows.append(Row(summary.variant, tuple(cells)))
    num_questions = f" {summaries[0].num_questions:,} questions." if summaries else ""
    return Table(tuple(headings), tuple(rows), _NOTE + num_questions)


def _measures(summaries: Sequence[VariantSummary]) -> tuple[Measure, ...]:
    return summaries[0].measures if summaries else ()


def _headed(summaries: Sequence[VariantSummary]) -> list[Measure]:
    """What is worth a picture: well-formed is nearly always all."""
    return [measure for measure in _measures(summaries) if measure is not WELL_FORMED]


def _share(mean: SeedMean | None) -> Cell:
    return Cell(DASH) if mean is None else Cell(percent(mean.mean), _half(mean))


def _points(mean: SeedMean | None) -> Cell:
    return Cell(DASH) if mean is None else Cell(f"{100 * mean.mean:+.1f}", _half(mean))


def _half(mean: SeedMean) -> str:
    return "" if mean.half_width is None else f"+-{NARROW}{100 * mean.half_width:.1f}"


def _draw(summaries: Sequence[VariantSummary], folder: Path) -> list[Picture]:
    pictures = []
    for measure in _headed(summaries):
        rows = [
            (summary.variant, share.values, share.interval)
            for summary in summaries
            if (share := summary.shares[measure.name]) is not None
        ]
        if not rows:
            continue
        path = folder / f"{measure.slug}.png"
        write_figure(partial(draw_seeds, rows, unit=f"{measure.name.lower()}, %"), path)
        reading = ", ".join(f"{name} {percent(fmean(values))}" for name, values, _ in rows)
        meaning = "Dots: seeds. Diamond: their mean, with its 95 % interval. The axis does not begin at 0."
        pictures.append(picture(path, title=measure.name, meaning=meaning, reading=reading))
    return pictures

"""The report as PNG pictures for the card: five figures in one plain style.

Colours are from the Okabe-Ito palette, which colour-blind readers can tell apart. The bytes depend on the report and
the version of matplotlib only: no clock, no software stamp, no font that matplotlib does not bring along.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from curation.calibration import PAPER_JUDGES, Calibration
from curation.release_compare import HistogramPair, ReleaseComparison
from curation.report import Histogram, Report, Share, Step, Survival, plain

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
ORANGE: Final = "#D55E00"
GREEN: Final = "#009E73"
GREY: Final = "#6B6B6B"
WIDTH_IN: Final = 8.0
DPI: Final = 150  # 1,200 pixels: sharp at the 800 of a card, also on dense screens
REASON_CHARS: Final = 46
PATCH: Final = {"facecolor": "white", "linewidth": 0, "alpha": 0.85, "pad": 1}  # behind a text that lines may cross
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.parse_math": False,  # a "$" in a reason is a dollar
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
}


def write_plots(report: Report, out_dir: Path, calibration: Calibration | None = None) -> list[Path]:
    """Write `funnel.png`, `survival.png`, `composition.png`, `lengths.png` and `scores.png`, with a calibration also
    `judges.png`; returns their paths."""
    drawings: dict[str, Callable[[], Figure]] = {
        "funnel": partial(draw_funnel, report),
        "survival": partial(draw_survival, report),
        "composition": partial(draw_composition, report),
        "lengths": partial(draw_lengths, report),
        "scores": partial(draw_scores, report),
    }
    if calibration is not None:
        drawings["judges"] = partial(draw_judges, calibration)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in drawings.items():
        path = out_dir / f"{name}.png"
        write_figure(draw, path)
        paths.append(path)
    return paths


def write_figure(draw: Callable[[], Figure], path: Path) -> None:
    """Draw in our style and write a PNG, whatever the name ends in."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc of the user must not change the dataset's pictures
        mpl.rcParams.update(STYLE)
        # Without the stamp a new patch release of matplotlib would change every picture of the dataset.
        draw().savefig(path, dpi=DPI, format="png", metadata={"Software": None})


def draw_funnel(report: Report) -> Figure:
    """What is left after each step, with what the step rejected and its most frequent reasons."""
    funnel = report.funnel
    figure, axes = _figure(0.55 * (len(funnel.steps) + 1) + 0.6)
    left = [funnel.num_read, *(step.num_left for step in funnel.steps)]
    rejected = [0, *(step.num_rejected for step in funnel.steps)]
    places = range(len(left))
    axes.barh(places, left, color=BLUE, height=0.62)
    axes.barh(places, rejected, left=left, color=ORANGE, alpha=0.6, height=0.62)
    names = ["read", *(f"after {step.step}" for step in funnel.steps)]
    most = max(funnel.num_read, 1)
    axes.set_yticks(
        places,
        [f"{name}\n{count:,} ({100 * count / most:.1f} %)" for name, count in zip(names, left, strict=True)],
        fontsize=9,
    )
    axes.invert_yaxis()
    for place, step in enumerate(funnel.steps, start=1):
        _note_right(axes, left[place - 1], place, _rejections(step))
    axes.set_xlim(0, most * 1.75)
    axes.set_title("Questions left after each step, and what the step rejected")
    _hide_x(axes)
    return figure


def draw_survival(report: Report) -> Figure:
    """Survival by type and modality with its 95 % interval, beside what the paper's tables imply."""
    rows = [row for row in report.survival if row.by == "all" or (row.paper is not None and row.value is not None)]
    figure, axes = _figure(0.4 * len(rows) + 1.3)
    for place, row in enumerate(rows):
        _draw_survivor(axes, place, row)
    axes.set_yticks(range(len(rows)), [row.value or "all" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-1, 101)  # room for a dot at either end
    axes.grid(axis="x")
    axes.set_xlabel("kept of all questions read, %")
    axes.set_title("Survival beside the paper's")
    axes.plot([], [], "o", color=BLUE, label="this dataset (95 % interval)")
    axes.plot([], [], "D", color=ORANGE, markerfacecolor="none", label="VideoP2R, from its tables")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def draw_composition(report: Report) -> Figure:
    """Kept traces by problem type, split into image and video."""
    rows = report.table3[:-1]
    figure, axes = _figure(0.45 * len(rows) + 1.1)
    places = range(len(rows))
    images, videos = [row[1] for row in rows], [row[2] for row in rows]
    axes.barh(places, images, color=SKY, height=0.62, label="image")
    axes.barh(places, videos, left=images, color=BLUE, height=0.62, label="video")
    axes.set_yticks(places, [row[0] for row in rows])
    axes.invert_yaxis()
    for place, (image, video) in enumerate(zip(images, videos, strict=True)):
        _note_right(axes, image + video, place, f"{image:,} image, {video:,} video")
    most = max((image + video for image, video in zip(images, videos, strict=True)), default=0)
    axes.set_xlim(0, max(most, 1) * 1.4)
    axes.set_title("Kept traces by problem type and modality")
    axes.legend(loc="lower right")
    _hide_x(axes)
    return figure


def draw_lengths(report: Report) -> Figure:
    """Histograms of both segments: words and, when they were measured, tokens with the window of the RL reward."""
    units = [unit for unit in ("words", "tokens") if any(h.counts for h in report.histograms if h.unit == unit)]
    units = units or ["words"]
    figure = Figure(figsize=(WIDTH_IN, 4.6 if len(units) == 2 else 2.6), layout="constrained")
    grid = figure.subplots(len(units), 2, squeeze=False)
    for row, unit in enumerate(units):
        for column, segment in enumerate(("observation", "think")):
            histogram = next(h for h in report.histograms if (h.segment, h.unit) == (segment, unit))
            _draw_histogram(grid[row, column], histogram, report)
    return figure


def draw_scores(report: Report) -> Figure:
    """Task scores of kept and of rejected traces, each on its own scale; rows without a score are in no bar."""
    scores = report.scores
    figure = Figure(figsize=(WIDTH_IN, 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, counts, name, num_unscored, colour in (
        (above, scores.kept, "kept", scores.num_unscored_kept, BLUE),
        (below, scores.rejected, "rejected", scores.num_unscored_rejected, ORANGE),
    ):
        axes.bar([place / 10 + 0.05 for place in range(10)], counts, width=0.09, color=colour)
        for place, count in enumerate(counts):
            if count:
                _note_above(axes, place / 10 + 0.05, count)
        axes.set_title(f"Task scores of the {name} ({num_unscored:,} more have none)")
        axes.set_ylim(0, 1.25 * max(*counts, 1))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    below.set_xticks([place / 10 for place in range(11)])
    below.set_xlim(0, 1)
    return figure


def draw_judges(calibration: Calibration) -> Figure:
    """Each judge's agreement with the labels and its 95 % interval, the paper's judges below (other questions)."""
    ours = [(plain(judge.name), judge.agreement.accuracy) for judge in calibration.judges]
    papers = [(f"paper: {paper.name}", paper.accuracy) for paper in PAPER_JUDGES]
    rows = [*((*row, BLUE) for row in ours), *((*row, ORANGE) for row in papers)]
    figure, axes = _figure(0.4 * len(rows) + 1.3)
    for place, (_, share, colour) in enumerate(rows):
        _draw_interval(axes, place, share, colour)
    axes.axhline(len(ours) - 0.5, color=GREY, linewidth=0.8)
    if calibration.majority.share is not None:
        always = 100 * calibration.majority.share
        axes.plot([always, always], [-0.6, len(ours) - 0.5], color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [f"{name} ({share.total:,})" for name, share, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-1, 101)
    axes.grid(axis="x")
    axes.set_xlabel("agreement with the labels, %; dashed: one and the same verdict for all")
    axes.set_title("Judges against labels (number of labels)")
    return figure


def draw_release_lengths(comparison: ReleaseComparison) -> Figure:
    """Both segments' lengths, ours over theirs, as shares of each side's traces; tokens when they were counted."""
    units = [
        unit for unit in ("words", "tokens") if any(h.ours or h.theirs for h in comparison.histograms if h.unit == unit)
    ]
    units = units or ["words"]
    figure = Figure(figsize=(WIDTH_IN, 2.6 * len(units) + 0.3), layout="constrained")
    grid = figure.subplots(len(units), 2, squeeze=False)
    for row, unit in enumerate(units):
        for column, segment in enumerate(("observation", "think")):
            pair = next(h for h in comparison.histograms if (h.segment, h.unit) == (segment, unit))
            _draw_pair(grid[row, column], pair)
    grid[0, 0].plot([], [], color=BLUE, linewidth=2, label="this dataset")
    grid[0, 0].plot([], [], color=ORANGE, linewidth=2, label="the authors' release")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _draw_pair(axes: Axes, pair: HistogramPair) -> None:
    axes.set_title(f"{pair.segment}: % of traces per {pair.bin_width} {pair.unit}")
    edges = [place * pair.bin_width for place in range(max(len(pair.ours), 1) + 1)]
    for counts, colour in ((pair.theirs, ORANGE), (pair.ours, BLUE)):
        if total := sum(counts):
            shares = [100 * count / total for count in counts]
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.18)
            axes.stairs(shares, edges, color=colour, linewidth=1.4)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _draw_interval(axes: Axes, place: int, share: Share, colour: str) -> None:
    if share.share is None or share.low is None or share.high is None:
        axes.text(50, place, "nothing to compare", ha="center", va="center", color=GREY, fontsize=9)
        return
    axes.plot([100 * share.low, 100 * share.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(100 * share.share, place, "o", color=colour, markersize=6)


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, figure.subplots()


def _draw_survivor(axes: Axes, place: int, row: Survival) -> None:
    if row.paper is not None:
        axes.plot(100 * row.paper, place, "D", color=ORANGE, markerfacecolor="none", markersize=8, markeredgewidth=1.6)
    if row.kept.share is not None:
        _draw_interval(axes, place, row.kept, BLUE)


def _draw_histogram(axes: Axes, histogram: Histogram, report: Report) -> None:
    per = f"{histogram.bin_width} {histogram.unit}" if histogram.bin_width > 1 else histogram.unit.removesuffix("s")
    axes.set_title(f"{histogram.segment}: rows per {per}")
    if not histogram.counts:
        axes.text(0.5, 0.5, "no rows", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    width = histogram.bin_width
    lengths = next(
        row
        for row in report.lengths
        if (row.segment, row.unit, row.problem_type) == (histogram.segment, histogram.unit, None)
    )
    edges = [place * width for place in range(len(histogram.counts))]
    axes.bar(edges, histogram.counts, width=width, align="edge", color=BLUE, linewidth=0)
    top = max(histogram.counts)
    if lengths.window is not None:
        axes.axvspan(*lengths.window, color=GREEN, alpha=0.18, linewidth=0, zorder=0)
        low, high = lengths.window
        axes.text((low + high) / 2, 1.13 * top, f"RL {low}-{high}", ha="center", color=GREEN, fontsize=9, bbox=PATCH)
    longest = max(len(histogram.counts) * width, (lengths.window or (0, 0))[1] * 1.05)
    if lengths.p50 is not None:
        axes.axvline(lengths.p50, color="black", linewidth=1, linestyle="--")
        to_the_left = lengths.p50 > longest / 2
        axes.annotate(
            f"median {lengths.p50:.0f}",
            (lengths.p50, 1.02 * top),
            xytext=(-4 if to_the_left else 4, 0),
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            fontsize=9,
        )
    axes.set_ylim(0, 1.25 * top)
    axes.set_xlim(0, longest)
    _count_axis(axes)


def _rejections(step: Step) -> str:
    """Two lines: how many, and as many of the most frequent reasons as the picture has room for."""
    if not step.num_rejected:
        return ""
    named = ""
    for place, reason in enumerate(step.reasons):
        longer = f"{named}{', ' if place else ''}{plain(reason.reason)} {reason.num_rows:,}"
        if len(longer) > REASON_CHARS:
            named += ", ..." if place else "..."
            break
        named = longer
    return f"-{step.num_rejected:,}\n{named}"


def _note_right(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)


def _note_above(axes: Axes, x: float, count: int) -> None:
    axes.annotate(f"{count:,}", (x, count), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8)


def _hide_x(axes: Axes) -> None:
    """The numbers stand beside the bars."""
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)


def _count_axis(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.grid(axis="y")

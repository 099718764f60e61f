"""The panels of the report as PNG pictures: each logged value faint, their running mean on top.

A picture is as wide as a phone shows it and twice as dense, so that its text can be read there as well as in columns
on a desk. The bytes depend on the metrics and the version of matplotlib only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from training.panels import SHARE, Band, Panel
from training.run_record import Metrics, Points

INK: Final = "#1c2330"
SOFT: Final = "#5a6474"
SIZE_IN: Final = (4.2, 2.7)
DPI: Final = 200
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b8c0cc",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#e4e8ee",
    "xtick.color": "#b8c0cc",
    "ytick.color": "#b8c0cc",
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_FEW_POINTS: Final = 12  # below this every value stands for itself
_MEAN_SHARE: Final = 0.05  # of the logged values, on both sides together
_LEAST_SPAN: Final = 1e-12


def write_figure(draw: Callable[[], Figure], path: Path) -> None:
    """Draw in our style and write a PNG; a matplotlibrc of the user changes nothing."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        draw().savefig(path, dpi=DPI, format="png", metadata={"Software": None})


def mean_window(num_points: int) -> int:
    """Over how many logged values the running mean goes, an odd number; 1 = no mean is drawn."""
    return 1 if num_points < _FEW_POINTS else max(5, round(_MEAN_SHARE * num_points)) | 1


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean over the `window` values round each one, fewer at the ends, so that nothing is shifted in time."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    half = window // 2
    means = []
    for place in range(len(values)):
        start, end = max(0, place - half), min(len(values), place + half + 1)
        means.append((sums[end] - sums[start]) / (end - start))
    return means


def draw_panel(panel: Panel, metrics: Metrics) -> Figure:
    """One panel over the updates; at least one of its lines must have a point."""
    figure = Figure(figsize=SIZE_IN, layout="constrained")
    axes = figure.subplots()
    drawn = [line for line in panel.lines if metrics.series.get(line.metric)]
    lowest, highest = 0.0, panel.most or 0.0
    for line in drawn:
        points = metrics.series[line.metric]
        _draw_line(axes, points, line.colour, line.label)
        lowest = min(lowest, *(value for _, value in points))
        highest = max(highest, *(value for _, value in points))
    for band in panel.bands:
        _draw_band(axes, band)
        highest = max(highest, band.high)
    span = highest - lowest
    if span < _LEAST_SPAN:
        span = 0.1
    axes.set_ylim(lowest - (0.06 * span if lowest < 0 else 0.02 * span), lowest + 1.06 * span)
    axes.set_xlim(0, 1.02 * max(1, metrics.last_update or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda update, _: f"{update:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if panel.unit == SHARE:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}" if value else "0"))
    axes.set_xlabel("update")
    axes.set_ylabel(panel.unit)
    if len(panel.lines) > 1:
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.4, columnspacing=1.4, borderaxespad=0.2)
    return figure


def draw_intervals(
    rows: Sequence[tuple[str, float, tuple[float, float] | None]], *, unit: str, marks: Mapping[str, float]
) -> Figure:
    """Shares in [0, 1] as dots with their intervals, one a row from the top down. marks: name -> a dashed line."""
    figure = Figure(figsize=(SIZE_IN[0], 0.42 * len(rows) + 0.9 + (0.25 if marks else 0)), layout="constrained")
    axes = figure.subplots()
    for place, (_, share, interval) in enumerate(rows):
        if interval is not None:
            axes.plot([100 * end for end in interval], [place, place], color="#4866b8", linewidth=2.4)
        axes.plot(100 * share, place, "o", color="#4866b8", markersize=6)
    for name, share in marks.items():
        axes.axvline(100 * share, color=SOFT, linewidth=1, linestyle="--", label=f"{name} {100 * share:.1f} %")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-2, 102)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(unit)
    if marks:
        figure.legend(loc="outside upper left", handlelength=1.8, borderaxespad=0.2)
    return figure


def draw_seeds(rows: Sequence[tuple[str, Sequence[float], tuple[float, float] | None]], *, unit: str) -> Figure:
    """Shares in [0, 1] of several seeds, one variant a row: each seed faint, their mean, and its interval if any.

    The axis does not begin at 0, since variants lie close to each other.
    """
    figure = Figure(figsize=(SIZE_IN[0], 0.5 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots()
    for place, (_, values, interval) in enumerate(rows):
        if interval is not None:
            axes.plot([100 * end for end in interval], [place, place], color="#4866b8", linewidth=2.4)
        axes.plot(100 * sum(values) / len(values), place, "D", color="#4866b8", markersize=6)
        axes.plot([100 * value for value in values], [place] * len(values), "o", color=INK, alpha=0.6, markersize=3)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(unit)
    return figure


def _draw_line(axes: Axes, points: Points, colour: str, label: str) -> None:
    updates = [update for update, _ in points]
    values = [value for _, value in points]
    window = mean_window(len(points))
    if window == 1:
        axes.plot(updates, values, color=colour, linewidth=1.6, marker="o", markersize=3.5, label=label)
        return
    axes.plot(updates, values, color=colour, linewidth=0, marker="o", markersize=1.8, markeredgewidth=0, alpha=0.28)
    axes.plot(updates, running_mean(values, window), color=colour, linewidth=1.8, label=label)


def _draw_band(axes: Axes, band: Band) -> None:
    axes.axhspan(band.low, band.high, color=band.colour, alpha=0.09, linewidth=0, zorder=0)
    for edge in (band.low, band.high):
        axes.axhline(edge, color=band.colour, alpha=0.35, linewidth=0.8, zorder=0)

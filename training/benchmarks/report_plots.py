"""Pictures of scores with their intervals: ours beside one published row, and ours by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from training.plots import INK, SIZE_IN

OURS: Final = ("#4866b8", "#b7791f", "#3f8f63", "#9a4a8c")  # one a model; further models take them again
PUBLISHED: Final = "#5a6474"
_SPREAD: Final = 0.5  # of a line's height, over which the models of one benchmark are drawn


@dataclass(frozen=True, slots=True)
class Mark:
    """A score in [0, 1] with its interval, if it has one."""

    share: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One benchmark, or one value of a group. ours: one mark a model, None where it has none."""

    name: str
    ours: tuple[Mark | None, ...]
    published: float | None = None


def draw_scores(lines: Sequence[Line], models: Sequence[str], *, published: str | None, unit: str) -> Figure:
    """Ours as dots with intervals, the published row as crosses; lines from the top down.

    models: names of `ours`, for the legend. published: name of that row, None where none is drawn.
    """
    legend = len(models) + (published is not None)
    height = max(0.42, 0.26 * len(models)) * len(lines) + 0.8 + 0.2 * legend
    figure = Figure(figsize=(SIZE_IN[0], height), layout="constrained")
    axes = figure.subplots()
    offsets = [_SPREAD * ((place + 0.5) / len(models) - 0.5) for place in range(len(models))] if models else []
    for number, (model, offset) in enumerate(zip(models, offsets, strict=True)):
        colour, label = OURS[number % len(OURS)], f"ours: {model}"
        for place, line in enumerate(lines):
            mark = line.ours[number]
            if mark is None:
                continue
            if mark.interval is not None:
                axes.plot([100 * end for end in mark.interval], [place + offset] * 2, color=colour, linewidth=2.2)
            axes.plot(100 * mark.share, place + offset, "o", color=colour, markersize=5.5, label=label)
            label = "_"  # one line of the legend a model
    if published is not None:
        drawn = [(100 * line.published, place) for place, line in enumerate(lines) if line.published is not None]
        shares, places = [share for share, _ in drawn], [place for _, place in drawn]
        axes.plot(
            shares, places, "x", color=PUBLISHED, markersize=7, markeredgewidth=1.8, label=f"published: {published}"
        )
    axes.set_yticks(range(len(lines)), [line.name for line in lines], color=INK)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(-2, 102)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(unit)
    if legend:
        figure.legend(loc="outside upper left", handlelength=1.2, borderaxespad=0.2)
    return figure

"""Advantage collapse to look at: runs side by side, curves over the updates, and the page with both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from training.advantages import COLLAPSED_WIDTH
from training.benchmarks.analyses.collapse import REWARDS, RunCollapse, as_record, interval_of
from training.benchmarks.analyses.outputs import between, print_lines, print_table, write_json
from training.panels import BOTH, PERCEPTION, PLAIN, REASONING, SHARE, Line, Panel
from training.plots import draw_intervals, draw_panel, mean_window, write_figure
from training.report_html import Cell, Picture, Row, Section, Table, picture, write_page
from training.report_words import DASH, percent
from training.run_record import Metrics

_COLOURS: Final = (PERCEPTION, BOTH, REASONING, PLAIN, "#2b8a3e", "#c2255c", "#495057", "#868e96")
_OF_REWARD: Final = {"perception": PERCEPTION, "reasoning": REASONING, "grpo": BOTH, "both": PLAIN}
_MEANING: Final = {
    "perception": "Share of groups whose perception rewards are (nearly) equal.",
    "reasoning": "Share of groups whose reasoning rewards are (nearly) equal.",
    "grpo": "Share of groups whose summed rewards are (nearly) equal: what plain GRPO would lose.",
    "both": "Share of groups from which nothing is learned, because no process tells their rollouts apart.",
}
_HEADINGS: Final = ("P", "R", "GRPO", "P and R")  # as REWARDS
_NOTE: Final = (
    f"Share of groups whose scored rewards span at most {COLLAPSED_WIDTH:g}, counted as in training, with Wilson's "
    "95 % interval over the groups. Masked rollouts are left out; groups with fewer than two scored ones are not "
    "counted. Compare a PA-GRPO run's `P and R` with a GRPO run's."
)
_TREND_NOTE: Final = "The share in the first tenth of the updates > in the last tenth."


def show_collapse(runs: Sequence[RunCollapse], problems: Sequence[str], folder: Path, console: Console) -> Path:
    """Print the tables; write collapse.json, collapse.html and its pictures. Returns the page.

    problems: runs that could not be measured, a line each.
    """
    totals, trends = _totals(runs), _trends(runs)
    print_table("Collapsed groups", totals, console)
    print_table("In the course of the training", trends, console)
    remarks = (*problems, *(f"{run.name}: {problem}" for run in runs for problem in run.problems))
    print_lines(remarks, console)
    write_json(folder / "collapse.json", as_record(runs, problems))
    return write_page(
        folder / "collapse.html",
        title="Advantage collapse",
        subtitle=", ".join(run.name for run in runs),
        tiles=(),
        problems=remarks,
        sections=(
            Section("Over the updates", lead=_how_drawn(runs), pictures=tuple(_draw_curves(runs, folder))),
            Section("All updates", tables=(totals, trends), pictures=(_draw_totals(runs, folder),)),
        ),
    )


def _totals(runs: Sequence[RunCollapse]) -> Table:
    rows = []
    for run in runs:
        totals = [run.total(reward) for reward in REWARDS]
        shares = (Cell(percent(total.share), between(interval_of(total))) for total in totals)
        rows.append(Row(run.name, (Cell(f"{run.num_groups:,}"), *shares)))
    return Table(("run", "groups", *_HEADINGS), tuple(rows), _NOTE)


def _trends(runs: Sequence[RunCollapse]) -> Table:
    rows = []
    for run in runs:
        shares = (run.ends(reward) for reward in REWARDS)
        cells = (Cell(f"{_plain(first)} > {_plain(last)}") for first, last in shares)
        rows.append(Row(run.name, (Cell(f"{len(run.updates):,}"), *cells)))
    return Table(("run", "updates", *(f"{heading}, %" for heading in _HEADINGS)), tuple(rows), _TREND_NOTE)


def _plain(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.1f}"


def _how_drawn(runs: Sequence[RunCollapse]) -> str:
    window = max(mean_window(len(run.updates)) for run in runs)
    return (
        "Each update is a point." if window == 1 else f"Dots: updates. Line: their running mean, over up to {window}."
    )


def _draw_curves(runs: Sequence[RunCollapse], folder: Path) -> list[Picture]:
    """One run: a picture with a line a reward. Several: a picture a reward with a line a run."""
    if len(runs) == 1:
        lines = tuple(Line(f"{runs[0].name} {reward}", words, _OF_REWARD[reward]) for reward, words in REWARDS.items())
        return [_draw_panel(Panel("collapse", "Collapsed groups", SHARE, _MEANING["both"], lines, 1.0), runs, folder)]
    panels = (
        Panel(
            f"collapse_{reward}",
            f"Collapsed groups: {words}",
            SHARE,
            _MEANING[reward],
            tuple(
                Line(f"{run.name} {reward}", run.name, _COLOURS[place % len(_COLOURS)])
                for place, run in enumerate(runs)
            ),
            1.0,
        )
        for reward, words in REWARDS.items()
        if any(run.points(reward) for run in runs)
    )
    return [_draw_panel(panel, runs, folder) for panel in panels]


def _draw_panel(panel: Panel, runs: Sequence[RunCollapse], folder: Path) -> Picture:
    series = {f"{run.name} {reward}": run.points(reward) for run in runs for reward in REWARDS}
    metrics = Metrics(series, max(run.updates[-1].step for run in runs), 0)
    path = folder / f"{panel.name}.png"
    write_figure(partial(draw_panel, panel, metrics), path)
    reading = ", ".join(f"{line.label} {_mean(series[line.metric])}" for line in panel.lines)
    return picture(path, title=panel.title, meaning=panel.meaning, reading=f"Mean: {reading}")


def _draw_totals(runs: Sequence[RunCollapse], folder: Path) -> Picture:
    rows = [
        (words if len(runs) == 1 else f"{words}: {run.name}", total.share, interval_of(total))
        for reward, words in REWARDS.items()
        for run in runs
        if (total := run.total(reward)).share is not None
    ]
    shown = [(name, share, interval) for name, share, interval in rows if share is not None]
    path = folder / "collapse_means.png"
    write_figure(partial(draw_intervals, shown, unit="collapsed groups, %", marks={}), path)
    reading = ", ".join(f"{name} {percent(share)}" for name, share, _ in shown)
    return picture(path, title="All updates together", meaning="With 95 % intervals.", reading=reading)


def _mean(points: Sequence[tuple[int, float]]) -> str:
    return percent(sum(share for _, share in points) / len(points)) if points else DASH

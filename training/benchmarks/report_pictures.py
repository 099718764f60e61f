"""The pictures of the report: ours with intervals beside one published row, and by group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from curation.statistics import wilson_interval
from training.benchmarks.accounts import values_of
from training.benchmarks.grouping import DEMO, Entry, Group, shown, title_of
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import PAPER_MAIN, PublishedRow, published_table
from training.benchmarks.report_plots import Line, Mark, draw_scores
from training.benchmarks.results import BenchmarkResult
from training.benchmarks.tables import incomparable
from training.plots import write_figure
from training.report_html import Picture, picture
from training.report_words import DASH, percent

_DRAWN_GROUPS: Final = ("duration", "difficulty", "task", "dimension")
_MOST_LINES: Final = 24  # of a picture by group


def score_pictures(groups: Sequence[Group], reference: PublishedRow, folder: Path) -> tuple[Picture, ...]:
    """One a group that has scores, into `folder`; the published row beside the reasoning prompt, which it used too."""
    pictures = []
    for place, group in enumerate(group for group in groups if group.entries):
        names = group.benchmarks
        lines = [
            Line(
                title_of(name),
                tuple(_mark(group.find(model, name)) for model in group.models),
                _published(group, name, reference),
            )
            for name in names
        ]
        beside = reference.name if any(line.published is not None for line in lines) else None
        notes = ["With 95 % intervals."]
        notes += ["A cross stands only where ours was measured as the published figure was."] if beside else []
        notes += ["The demo world is another benchmark than the seven."] if DEMO in names else []
        title, meaning = f"Score by benchmark, {group.title}", " ".join(notes)
        pictures.append(_draw(lines, group.models, beside, folder / f"scores_{place}.png", title, meaning))
    return tuple(pictures)


def group_pictures(group: Group, benchmark: str, folder: Path, place: int) -> tuple[Picture, ...]:
    """By duration, difficulty, task and dimension, where there are some values. place: of the group, for file names."""
    entries = [entry for entry in group.entries if entry.result.benchmark == benchmark]
    pictures = []
    for name in _DRAWN_GROUPS if benchmark in TITLES else ():  # whose name can be a file's
        values = values_of(entries, name)
        if not 2 <= len(values) <= _MOST_LINES:
            continue
        lines = [
            Line(shown(value, most=28), tuple(_group_mark(entry.result, name, value) for entry in entries))
            for value in values
        ]
        models = [entry.model for entry in entries]
        path = folder / f"{benchmark}_{name}_{place}.png"
        title, meaning = f"{title_of(benchmark)} by {name}", "With 95 % intervals."
        pictures.append(_draw(lines, models, None, path, title, meaning))
    return tuple(pictures)


def _draw(
    lines: Sequence[Line], models: Sequence[str], published: str | None, path: Path, title: str, meaning: str
) -> Picture:
    names = [shown(model, most=36) for model in models]
    write_figure(partial(draw_scores, lines, names, published=published, unit="score, %"), path)
    return picture(path, title=title, meaning=meaning, reading=_reading(lines))


def _mark(entry: Entry | None) -> Mark | None:
    if entry is None or entry.result.overall is None:
        return None
    return Mark(entry.result.overall, entry.result.interval)


def _group_mark(result: BenchmarkResult, name: str, value: str) -> Mark | None:
    found = result.groups.get(name, {}).get(value)
    if found is None or found.mean is None:
        return None
    return Mark(min(1.0, found.mean), wilson_interval(min(found.sum_score, found.num_rows), found.num_rows))


def _reading(lines: Sequence[Line]) -> str:
    words = []
    for line in lines:
        shares = [percent(mark.share) for mark in line.ours if mark is not None]
        words.append(f"{line.name} {' and '.join(shares) or DASH}")
    return ", ".join(words)


def _published(group: Group, benchmark: str, reference: PublishedRow) -> float | None:
    """In [0, 1]; only where a score of ours was measured as it was, as far as is known."""
    score, table = reference.scores.get(benchmark), published_table(PAPER_MAIN)
    entries = [entry for entry in group.entries if entry.result.benchmark == benchmark]
    is_alike = any(incomparable(entry.result, reference, table) is None for entry in entries)
    return score / 100 if score is not None and group.prompt == "trace" and is_alike else None

"""The breakdown to look at: a table of lengths and one of groups for each benchmark, and a picture of each part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from training.benchmarks.analyses.breakdown import Breakdown, LengthBreakdown, Part, as_record
from training.benchmarks.analyses.outputs import between, print_table, write_json
from training.plots import draw_intervals, write_figure
from training.report_html import Cell, Picture, Row, Section, Table, picture, write_page
from training.report_words import NARROW, percent

MOST_DRAWN: Final = 40  # values of a group in one picture
_LABEL_CHARS: Final = 30  # of a value in a picture; the tables have all of it
_INDENT: Final = 2 * NARROW  # which a page does not swallow
_HEADINGS: Final = ("", "answers", "accuracy", "95 %", "in form")
_UNSAFE: Final = re.compile(r"[^a-z0-9]+")
_NOTE: Final = (
    "Wilson's 95 % intervals. in form: the share whose answer could be read; the others count as wrong. Lengths are in "
    "bins of equally many answers; hard questions get long answers as well, so a slope need not be an effect of length."
)


def show_breakdown(found: Sequence[Breakdown], title: str, folder: Path, console: Console) -> Path:
    """Print the tables; write breakdown.json, breakdown.html and the pictures. Returns the page."""
    write_json(folder / "breakdown.json", {"results": [as_record(each) for each in found]})
    sections = []
    for each in found:
        tables = [table for table in (_lengths(each), _groups(each)) if table.rows]
        for name, table in zip(("by length", "by group"), tables, strict=False):
            heading = f"{each.title}: {name}" if len(tables) > 1 else each.title
            print_table(heading, table, console)
        sections.append(
            Section(each.title, lead=_lead(each), tables=tuple(tables), pictures=tuple(_draw(each, folder)))
        )
    console.print(_NOTE, style="dim", highlight=False, markup=False)
    return write_page(
        folder / "breakdown.html",
        title="Accuracy, broken down",
        subtitle=title,
        tiles=(),
        problems=(),
        sections=sections,
    )


def _lead(found: Breakdown) -> str:
    outside = found.every.num_answers - found.counted.num_answers
    words = f"Accuracy {percent(found.counted.mean)} over {found.counted.num_answers:,} answers, each once. "
    if outside:
        words += f"{outside:,} more are no part of the overall: they are in the groups, not in the lengths. "
    return words + _NOTE


def _lengths(found: Breakdown) -> Table:
    rows = []
    for by in found.lengths:
        rows.append(_heading_row(by.segment))
        rows += [_row(f"{_INDENT}{name}", part) for name, part in _named_bins(by)]
    return Table(_HEADINGS, tuple(rows))


def _groups(found: Breakdown) -> Table:
    rows = []
    for group, parts in _shown_groups(found):
        rows.append(_heading_row(group))
        rows += [_row(f"{_INDENT}{value}", part) for value, part in parts]
    return Table(_HEADINGS, tuple(rows))


def _shown_groups(found: Breakdown) -> Iterator[tuple[str, list[tuple[str, Part]]]]:
    """Those that part the answers, and in another way than one before."""
    seen = []
    for group, parts in found.groups.items():
        if len(parts) > 1 and parts not in seen:
            yield group, list(parts.items())
        seen.append(parts)


def _named_bins(by: LengthBreakdown) -> list[tuple[str, Part]]:
    rows = []
    for each in by.bins:
        lengths = f"{each.least:,}" if each.least == each.most else f"{each.least:,} to {each.most:,}"
        rows.append((f"{lengths} {by.unit if each.most != 1 else by.unit[:-1]}", each.part))
    if by.without.num_answers:
        rows.append(("no completion" if by.segment == "completion" else "not well-formed", by.without))
    return rows


def _heading_row(name: str) -> Row:
    return Row(name, tuple(Cell("") for _ in _HEADINGS[1:]))


def _row(name: str, part: Part) -> Row:
    in_form = percent(part.num_in_form / part.num_answers) if part.num_answers else ""
    cells = (f"{part.num_answers:,}", percent(part.mean), between(part.interval), in_form)
    return Row(name, tuple(Cell(cell) for cell in cells))


def _draw(found: Breakdown, folder: Path) -> Iterator[Picture]:
    for by in found.lengths:
        title = f"By the length of the {by.segment}"
        yield _draw_parts(found, title, _named_bins(by), folder, f"{by.segment}_length")
    for group, parts in _shown_groups(found):
        largest = sorted(parts, key=lambda entry: -entry[1].num_answers)[:MOST_DRAWN]
        shown = [entry for entry in parts if entry in largest]
        note = "" if len(shown) == len(parts) else f"the {MOST_DRAWN} largest of {len(parts)}"
        yield _draw_parts(found, f"By {group}", shown, folder, f"by_{group}", note)


def _draw_parts(
    found: Breakdown, title: str, parts: Sequence[tuple[str, Part]], folder: Path, name: str, note: str = ""
) -> Picture:
    rows = [(_label(value), part.mean, part.interval) for value, part in parts]
    known = [(label, mean, interval) for label, mean, interval in rows if mean is not None]
    marks = {} if found.counted.mean is None else {"all": found.counted.mean}
    path = folder / f"{_file_name(found.name)}-{_file_name(name)}.png"
    write_figure(partial(draw_intervals, known, unit="accuracy, %", marks=marks), path)
    reading = ", ".join(f"{label}: {percent(mean)}" for label, mean, _ in known)
    return picture(path, title=title, meaning=f"With 95 % intervals{f'; {note}' if note else ''}.", reading=reading)


def _label(value: str) -> str:
    return value if len(value) <= _LABEL_CHARS else f"{value[: _LABEL_CHARS - 2]}.."


def _file_name(name: str) -> str:
    """A benchmark's own words for a group may hold anything."""
    return _UNSAFE.sub("_", name.lower()).strip("_") or "group"

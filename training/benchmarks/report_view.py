"""The sections of a report as Markdown and in a terminal; training.report_html makes the page of them.

All of it is text from outside as much as our own, so Markdown is escaped and a terminal gets no markup and no codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ConsoleTable
from rich.text import Text

from curation.markdown import escape, fence
from training.benchmarks.tables import NOT_RUN
from training.report_html import Cell, Section, Table, Tile

_MOST_CHARS: Final = 5_000
# Where a heading or a cell may break, so that the paper's nine columns fit 80 characters.
_BROKEN: Final = {
    "VSI-Bench": "VSI-\nBench",
    "VideoMMMU": "Video\nMMMU",
    "VCR-Bench": "VCR-\nBench",
    "MVBench": "MV\nBench",
    "TempCompass": "Temp\nCompass",
    "Video-MME": "Video\nMME",
    "Demo world (another benchmark)": "Demo\nworld",
    "average": "avg",
    NOT_RUN: "not\nrun",
}


def write_markdown(
    path: Path,
    *,
    title: str,
    subtitle: str,
    tiles: Sequence[Tile],
    sections: Sequence[Section],
    pictures: str,
) -> Path:
    """The same content as the page. pictures: the folder they lie in, beside the file. Whole or not at all."""
    parts = [f"# {_line(title)}", _line(subtitle)]
    if tiles:
        parts.append("\n".join(f"- {_line(tile.name)}: **{_line(tile.value)}** {_line(tile.note)}" for tile in tiles))
    for section in sections:
        parts += _section(section, pictures)
    written = path.with_suffix(".md.tmp")
    written.write_text("\n\n".join(part.rstrip() for part in parts if part) + "\n", encoding="utf-8", errors="replace")
    written.replace(path)
    return path


def print_table(table: Table, console: Console, *, with_notes: bool = True) -> None:
    """One table with its caption; notes of cells stand below their figures. Fits 80 columns where figures are short."""
    corner, *headings = table.headings
    shown = ConsoleTable(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    shown.add_column(Text(corner), overflow="fold")
    for heading in headings:
        shown.add_column(
            Text(_BROKEN.get(heading, heading)), justify="right" if table.is_wide else "left", overflow="fold"
        )
    for row in table.rows:
        if not row.cells:
            shown.add_section()
            shown.add_row(Text(_plain(row.name), style="dim"))
            continue
        shown.add_row(Text(_plain(row.name)), *(_console_cell(cell, with_notes) for cell in row.cells))
    console.print(shown)
    if table.note:
        console.print(Text(_plain(table.note), style="dim"))
    console.print()


def _console_cell(cell: Cell, with_note: bool) -> Text:
    text = Text(_BROKEN.get(cell.text, _plain(cell.text)))
    if with_note and cell.note:
        text.append(f"\n{_plain(cell.note)}", style="dim")
    return text


def _section(section: Section, pictures: str) -> Iterator[str]:
    yield f"## {_line(section.title)}"
    yield _line(section.lead)
    for absence in section.absences:
        yield f"> {_line(absence)}"
    for table in section.tables:
        yield _table(table)
        yield _line(table.note)
    for picture in section.pictures:
        yield f"![{_line(picture.title)}]({pictures}/{picture.name})"
        yield f"{_line(picture.meaning)} {_line(picture.reading)}"
    if section.code:
        yield fence(section.code, "text")


def _table(table: Table) -> str:
    """Rows without cells are lines in bold. A pipe in a cell is escaped, a line break is a space."""
    numbers = "---:" if table.is_wide else "---"
    lines = [_pipes(table.headings), "|".join(("", "---", *([numbers] * (len(table.headings) - 1)), ""))]
    for row in table.rows:
        if row.cells:
            lines.append(_pipes((row.name, *(f"{cell.text} {cell.note}".strip() for cell in row.cells))))
        else:
            lines.append(f"| **{_line(row.name)}** {'| ' * len(table.headings)}".rstrip())
    return "\n".join(lines)


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_line(cell) for cell in cells)} |"


def _line(text: str) -> str:
    return escape(text, most=_MOST_CHARS)


def _plain(text: str) -> str:
    """One line without control characters."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))

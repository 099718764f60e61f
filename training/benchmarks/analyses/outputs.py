"""What every analysis leaves: figures as JSON, and tables that read the same in the terminal and on the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ConsoleTable
from rich.text import Text

from training.benchmarks import results
from training.report_html import Table
from training.report_words import NARROW

FOLDER: Final = "analyses"  # below benchmark/ of a run directory


def analysis_folder(run_dir: Path, name: str) -> Path:
    """Where one analysis of a run lies."""
    return run_dir / results.FOLDER / FOLDER / name


def write_json(path: Path, record: Mapping[str, Any]) -> Path:
    """Whole or not at all. Raises ValueError for NaN, which JSON has no word for: what is not known is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".tmp")
    written.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return written.replace(path)


def print_table(title: str, table: Table, console: Console) -> None:
    """A table of the page, for 80 columns: the note of a cell stands below its text."""
    shown = ConsoleTable(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    name, *headings = table.headings
    shown.add_column(Text(name), overflow="fold", min_width=12)
    for heading in headings:
        shown.add_column(Text(heading), justify="right", no_wrap=True)
    for row in table.rows:
        lines = (f"{cell.text}\n{cell.note}" if cell.note else cell.text for cell in row.cells)
        shown.add_row(Text(row.name.replace(NARROW, " ")), *(Text(line.replace(NARROW, " ")) for line in lines))
    console.print(shown)
    if table.note:
        console.print(table.note, style="dim", highlight=False, markup=False)


def print_lines(lines: tuple[str, ...], console: Console) -> None:
    """Remarks, one a line, as they are."""
    for line in lines:
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)


def between(interval: tuple[float, float] | None) -> str:
    """An interval of shares in percent, as narrow as can be; nothing for None."""
    return "" if interval is None else f"{100 * interval[0]:.1f}-{100 * interval[1]:.1f}"

"""A report as one HTML page that needs nothing else: pictures inside, no script, no address outside.

Every text is escaped by the template, and a content security policy forbids the page to load or to run anything.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import jinja2

TEMPLATE: Final = "training_report.html.j2"


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that a reader wants first."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """Of a table. note: small, below it."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. Without cells it is a heading over the lines that follow."""

    name: str
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """headings: one more than a row has cells."""

    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    is_wide: bool = True  # over the whole page, numbers to the right; else as wide as its text, which is to the left


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG as it lies on the disk, file `name`. reading: its last values in words, for who cannot see it."""

    title: str
    meaning: str
    reading: str
    base64: str
    width: int
    height: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """absences: what is not there yet, one sentence each. code: shown as it is."""

    title: str
    lead: str = ""
    absences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    code: str = ""


def picture(path: Path, *, title: str, meaning: str, reading: str) -> Picture:
    """Of a PNG file."""
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # the first chunk, IHDR, begins with both
    return Picture(title, meaning, reading, base64.b64encode(content).decode("ascii"), width, height, path.name)


def write_page(
    path: Path,
    *,
    title: str,
    subtitle: str,
    tiles: Sequence[Tile],
    problems: Sequence[str],
    sections: Sequence[Section],
) -> Path:
    """Whole or not at all; characters that UTF-8 cannot hold become question marks. Returns the path."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("cards").joinpath(name).read_text("utf-8")),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(TEMPLATE).render(
        title=title, subtitle=subtitle, tiles=tiles, problems=problems, sections=sections
    )
    written = path.with_suffix(".tmp")
    written.write_bytes(text.encode("utf-8", "replace"))
    written.replace(path)
    return path

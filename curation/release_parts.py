"""The parts of one file of the authors' release: all of them, in order, and of the right file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from curation.errors import SourceError
from curation.sources.reading import RawRecord, display_names, iter_records

_NAME: Final = re.compile(r"(?P<stem>.+)\.part(?P<number>[0-9]{1,4})of(?P<total>[0-9]{1,4})\.")
_HEAD_RECORDS: Final = 100


def in_order(paths: Sequence[Path]) -> list[Path]:
    """The parts of one file, by number where their names have one (`X.part1of2.json.gz`).

    Raises SourceError when one is missing, given twice or of another file: that half of a release was imported would
    not be noticed later.
    """
    if twice := [path for place, path in enumerate(paths) if path in paths[:place]]:
        raise SourceError(f"{twice[0]} is given twice. Give every part of the file once.")
    names = [_NAME.match(path.name) for path in paths]
    files = [(name["stem"], name["total"]) if name else None for name in names]
    if other := next((place for place, file in enumerate(files) if file != files[0]), None):
        raise SourceError(f"{paths[0].name} and {paths[other].name} are not parts of one file. Give the parts of one.")
    if not paths or files[0] is None:
        return list(paths)
    stem, total = files[0]
    numbers = [int(name["number"]) for name in names if name]
    expected = range(1, int(total) + 1)
    if missing := next((number for number in expected if number not in numbers), None):
        raise SourceError(f"{stem}.part{missing}of{total} is missing. Give all {total} parts of {stem}.")
    if len(numbers) > len(expected):
        raise SourceError(f"{len(numbers)} files are given for the {total} parts of {stem}. Give every part once.")
    return [path for _, path in sorted(zip(numbers, paths, strict=True))]


def refuse_another_file(paths: Sequence[Path]) -> None:
    """Raises SourceError when the first records show that these are not the CoT parts."""
    head = islice(iter_records(paths, display_names(paths)), _HEAD_RECORDS)
    records = [entry.value for entry in head if isinstance(entry, RawRecord) and isinstance(entry.value, Mapping)]
    if not any("output" in record for record in records):
        raise SourceError(f"{paths[0]} holds no traces: no record has a field `output`. Give the CoT parts.")
    if all(isinstance(value, str) for record in records for value in record.values()):
        raise SourceError(f"{paths[0]} is the RL file: every value is a string. Give the CoT parts, and this as --rl.")

"""The authors' data release: gzip JSON parts, and a file in which every value is a string (paper.md section 8).

Parts are JSON lists of their own today; JSON lines and slices of one stream are read as well (reading.py). Only the
questions are taken here. `iter_records` gives whole records, so that traces can be imported with the same reader.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from curation.schema import SourceReject
from curation.sources import reading
from curation.sources.reading import RawRecord, display_names

STRINGIFIED: Final = ("options", "reward", "select", "clean_version")
_MAX_LITERAL_CHARS: Final = 100_000


def iter_records(paths: Sequence[Path]) -> Iterator[RawRecord | SourceReject]:
    """The release's records with lists, numbers and booleans as such again. Raises SourceError."""
    for record in reading.iter_records(paths, display_names(paths)):
        if isinstance(record, RawRecord) and isinstance(record.value, dict):
            restored = {name: parse_literal(record.value[name]) for name in STRINGIFIED if name in record.value}
            record = replace(record, value=record.value | restored)
        yield record


def parse_literal(value: object) -> object:
    """Undo str() or json.dumps(): "['A. x', 'B. y']", "[]", "True", "0.5", "None". What is no literal stays as it is.

    Nothing is evaluated, and a text too long for a literal is not even parsed.
    """
    if not isinstance(value, str) or len(value) > _MAX_LITERAL_CHARS:
        return value
    text = value.strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # not JSON: Python's own spelling is the other candidate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # "3D model" is prose, and no bad number
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return value

"""The authors' data release: gzip JSON parts, and a file in which every value is a string (paper.md section 8).

Parts are JSON lists of their own today; JSON lines and slices of one stream are read as well (reading.py). Only the
questions are taken here. `iter_records` gives whole records, so that traces can be imported with the same reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from curation.schema import SourceReject
from curation.sources import reading
from curation.sources.literals import is_null, parse_literal
from curation.sources.reading import RawRecord, display_names

STRINGIFIED: Final = ("options", "reward", "select", "clean_version")
# Every field of theirs that may be null: in the RL file, and after a data frame, a null is a text or NaN.
_FIELDS: Final = (
    "problem",
    "solution",
    "answer",
    "path",
    "data_source",
    "data_type",
    "problem_type",
    "observation",
    "process",
    "output",
    "problem_id",
)


def iter_records(paths: Sequence[Path]) -> Iterator[RawRecord | SourceReject]:
    """The release's records with nulls, lists, numbers and booleans as such again. Raises SourceError."""
    for record in reading.iter_records(paths, display_names(paths)):
        if isinstance(record, RawRecord) and isinstance(record.value, dict):
            value = record.value
            # An empty text stays one: a completion may be empty.
            filled = {name: value[name] for name in _FIELDS if value.get(name, "") != ""}
            nulls = {name: None for name, text in filled.items() if is_null(text)}
            restored = {name: parse_literal(value[name]) for name in STRINGIFIED if name in value}
            record = replace(record, value=value | nulls | restored)
        yield record

"""Annotation files into rows: JSON lists, JSON lines, Parquet and TSV, every column checked."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from training.benchmarks.loaders.layout import BenchmarkError, Columns, Row

SUFFIXES: Final = (".json", ".jsonl", ".parquet", ".tsv")


def read_rows(
    files: Mapping[str, tuple[tuple[str, Path], ...]],
    *,
    title: str,
    repo: str,
    columns: Columns,
) -> Iterator[Row]:
    """The rows of each part, in order. files: part -> (name, file). Raises BenchmarkError."""
    for part, named in files.items():
        number = 0
        for name, file in named:
            checked: set[frozenset[str]] = set()
            for record, values in enumerate(_read(title, name, file), start=1):
                place = f"{name}:{record}"
                if not isinstance(values, dict):
                    raise BenchmarkError(f"{title}, {place}: expected an object, found {type(values).__name__}.")
                if (found := frozenset(values)) not in checked:
                    if fault := columns.fault(found):
                        raise BenchmarkError(
                            f"{title}, {place}: it {fault}. This loader knows the layout of {repo}: name a revision "
                            "that has it."
                        )
                    checked.add(found)
                yield Row(title, part, number, place, values)
                number += 1
        if number == 0:
            raise BenchmarkError(f"{title}: {', '.join(name for name, _ in named)} holds no rows. Fetch it again.")


def hash_files(files: Sequence[tuple[str, Path]]) -> str:
    """The revision of (name, file) that no hub knows: the same for the same names and bytes. Raises BenchmarkError."""
    digest = hashlib.sha256()
    for name, file in files:
        try:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise BenchmarkError(f"cannot read {file}: {error.strerror or error}. Fetch it again.") from error
        digest.update(f"{name}\0{content}\n".encode())
    return f"files-{digest.hexdigest()[:12]}"


def _read(title: str, name: str, file: Path) -> Iterator[Any]:
    try:
        match file.suffix if file.suffix in SUFFIXES else Path(name).suffix:
            case ".parquet":
                yield from _parquet(file)
            case ".jsonl":
                with file.open(encoding="utf-8") as stream:
                    yield from (json.loads(line) for line in stream if line.strip())
            case ".tsv":
                # A field may hold a picture; the limit is the C long.
                csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
                with file.open(encoding="utf-8-sig", newline="") as stream:
                    yield from _tsv(title, name, stream)
            case ".json":
                found = json.loads(file.read_bytes())
                if not isinstance(found, list):
                    raise BenchmarkError(f"{title}: {name} is no JSON list, as it is in the layout that is known.")
                yield from found
            case suffix:
                raise BenchmarkError(f"{title}: cannot read {name}; {suffix or 'no suffix'} is none of {SUFFIXES}.")
    except BenchmarkError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BenchmarkError(f"{title}: cannot read {name}: {reason}. Fetch it again.") from error


def _tsv(title: str, name: str, stream: TextIO) -> Iterator[Any]:
    """A line with more fields than the header has shifted its columns."""
    for record, values in enumerate(csv.DictReader(stream, delimiter="\t"), start=1):
        if None in values:
            raise BenchmarkError(f"{title}, {name}:{record}: it has more fields than the header. Fetch it again.")
        yield values


def _parquet(file: Path) -> Iterator[Any]:
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=256):
            yield from batch.to_pylist()

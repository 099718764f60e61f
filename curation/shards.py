"""Parquet on disk: zstd, page index, content-defined chunks, row groups of at most 10,000 rows, atomic replacement.

polars cannot write content-defined chunks or a page index, so pyarrow writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 10_000
_FINGERPRINT = b"videop2r.fingerprint"


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, *, fingerprint: str = "") -> None:
    """Write one file atomically; `fingerprint` names what the rows depend on."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_suffix(".tmp")
    with open_writer(torn, schema.with_metadata({_FINGERPRINT: fingerprint.encode()})) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
    torn.replace(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Every row as plain Python values."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint that a finished file was written with; None when there is no such file."""
    if not path.exists():
        return None
    metadata: Mapping[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(_FINGERPRINT, b"").decode()


def write_split(stem: Path, parts: Iterable[Path], schema: pa.Schema, *, num_files: int) -> int:
    """Join finished shards, in order, into `STEM-00000-of-0000N.parquet`. Returns the number of rows.

    Rows are spread evenly; there is always at least one file, so that an empty config still has its columns (and no row
    group: `datasets` cannot stream one without rows).
    """
    parts = list(parts)
    num_rows: int = sum(pq.read_metadata(part).num_rows for part in parts)
    rows_per_file = max(1, -(-num_rows // num_files))
    num_files = max(1, -(-num_rows // rows_per_file))
    stem.parent.mkdir(parents=True, exist_ok=True)
    tables = _regroup(parts, schema, rows_per_file)
    for number in range(num_files):
        path = stem.with_name(f"{stem.name}-{number:05d}-of-{num_files:05d}.parquet")
        with open_writer(path, schema) as writer:
            remaining = min(rows_per_file, num_rows - number * rows_per_file)
            while remaining > 0:
                table = next(tables)
                writer.write_table(table)
                remaining -= table.num_rows
    return num_rows


def replace_folder(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of `target`. A kill never leaves a mixture; `restore_folder` mends what it may leave."""
    restore_folder(target)
    old = _old(target)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Undo a `replace_folder` that was killed between its two renames."""
    if not target.exists() and _old(target).exists():
        _old(target).rename(target)


def write_text(path: Path, text: str) -> None:
    """Write a small file atomically."""
    torn = path.with_name(path.name + ".tmp")
    torn.write_text(text, encoding="utf-8")
    torn.replace(path)


def _old(target: Path) -> Path:
    return target.with_name(target.name + ".old")


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer with the settings that every file of ours is written with."""
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True, use_content_defined_chunking=True)


def _regroup(parts: list[Path], schema: pa.Schema, rows_per_file: int) -> Iterator[pa.Table]:
    """Tables of at most ROW_GROUP_ROWS rows, cut where a file ends."""
    pending: list[pa.Table] = []
    num_pending = 0
    num_in_file = 0
    for part in parts:
        table = pq.read_table(part, schema=schema).replace_schema_metadata(None)
        while table.num_rows:
            room = min(ROW_GROUP_ROWS - num_pending, rows_per_file - num_in_file)
            pending.append(table.slice(0, room))
            num_pending += pending[-1].num_rows
            num_in_file += pending[-1].num_rows
            table = table.slice(room)
            if num_pending == ROW_GROUP_ROWS or num_in_file == rows_per_file:
                yield pa.concat_tables(pending)
                pending, num_pending = [], 0
                num_in_file %= rows_per_file
    if pending:
        yield pa.concat_tables(pending)

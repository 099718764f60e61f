"""Which row lies in which file of a version: rows stay where the version before had them, new ones are appended.

A file whose rows did not change is taken over byte for byte, so nothing of it is uploaded again, whatever wrote it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.shards import ROW_GROUP_ROWS, open_writer

Rows = npt.NDArray[np.int64]  # (num_rows,) places in the table of the new rows

# Up to here one file; above, at least MIN_FILES, so that as many workers can stream (reference: 130 MB per 162K rows).
ONE_FILE_ROWS: Final = 100_000
MIN_FILES: Final = 8
MOST_ROWS_PER_FILE: Final = 20_000
NUM_WRITERS: Final = 2


def lay_out(parts: Sequence[Path], base: Sequence[Path], stem: Path, schema: pa.Schema) -> None:
    """Write the rows of `parts` to `STEM-00000-of-0000N.parquet`, in the order of the files `base`, if there are any.

    Memory: all rows of the config, and NUM_WRITERS files of them twice.
    """
    table = pa.concat_tables([pq.read_table(part).select(schema.names).cast(schema) for part in parts])
    table = table.replace_schema_metadata(None)
    files = _assign(table["id"], base)
    stem.parent.mkdir(parents=True, exist_ok=True)
    targets = [stem.with_name(f"{stem.name}-{number:05d}-of-{len(files):05d}.parquet") for number in range(len(files))]
    with ThreadPoolExecutor(NUM_WRITERS) as pool:  # Arrow compresses outside the interpreter's lock
        for _ in pool.map(partial(_write, table), files, targets):
            pass  # raises what the writer raised
    del table
    pa.default_memory_pool().release_unused()  # or the next config's rows would come on top of what these took


def rows_per_file(num_rows: int) -> int:
    """How many rows a file of a config takes at most."""
    if num_rows <= ONE_FILE_ROWS:
        return ONE_FILE_ROWS
    return min(MOST_ROWS_PER_FILE, -(-num_rows // MIN_FILES))


@dataclass(frozen=True, slots=True)
class _File:
    """The rows of one file, in order, and the file of the version before that it goes on from, if there is one."""

    rows: Rows
    base: Path | None = None


def _assign(ids: pa.ChunkedArray, base: Sequence[Path]) -> list[_File]:
    """Which rows go into which file. An id that occurs again is matched with its next occurrence."""
    most = rows_per_file(len(ids))
    new = _numbered(ids).with_row_index("row")
    old = [_numbered(pq.read_table(file, columns=["id"])["id"]).with_columns(file=n) for n, file in enumerate(base)]
    before = pl.concat([_NO_ROWS, *old]).with_columns(occurrence=pl.int_range(pl.len()).over("id"))
    kept = before.join(new, on=["id", "occurrence"], how="inner", nulls_equal=True, maintain_order="left")
    fresh = new.join(before, on=["id", "occurrence"], how="anti", nulls_equal=True, maintain_order="left")
    files = [_File(_places(kept.filter(file=number)), path) for number, path in enumerate(base)]
    files = [file for file in files if file.rows.size]
    appended = _places(fresh)
    if files and (room := most - files[-1].rows.size) > 0:
        files[-1] = _File(np.concatenate([files[-1].rows, appended[:room]]), files[-1].base)
        appended = appended[room:]
    files += _cut(appended, most)
    if len(ids) > ONE_FILE_ROWS and len(files) < MIN_FILES:
        files = _cut(np.concatenate([file.rows for file in files]), most)
    return files or [_File(np.empty(0, np.int64))]


def _take(table: pa.Table, rows: Rows) -> pa.Table:
    """The rows in one chunk a column, so that the bytes written do not depend on how they were read."""
    is_run = rows.size > 0 and bool((np.diff(rows) == 1).all())  # as in every first version: no need to gather
    chosen = table.slice(rows[0], rows.size) if is_run else table.take(pa.array(rows))
    return chosen.combine_chunks()


def _cut(rows: Rows, most: int) -> list[_File]:
    return [_File(rows[start : start + most]) for start in range(0, rows.size, most)]


def _places(frame: pl.DataFrame) -> Rows:
    return frame["row"].to_numpy().astype(np.int64)


_NO_ROWS: Final = pl.DataFrame(schema={"id": pl.String, "occurrence": pl.Int64, "file": pl.Int32})


def _numbered(ids: pa.ChunkedArray) -> pl.DataFrame:
    frame = pl.DataFrame({"id": pl.Series(ids.cast(pa.large_string()))}, schema={"id": pl.String})
    return frame.with_columns(occurrence=pl.int_range(pl.len()).over("id"))


def _write(table: pa.Table, file: _File, target: Path) -> None:
    rows = _take(table, file.rows)
    if _copy_unchanged(rows, file.base, target):
        return
    with open_writer(target, rows.schema) as writer:
        if rows.num_rows:  # an empty config must have no row group: `datasets` cannot stream one
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)


def _copy_unchanged(rows: pa.Table, base: Path | None, target: Path) -> bool:
    """Take the base file over when it holds exactly these rows under exactly this schema."""
    if base is None or pq.read_metadata(base).num_rows != rows.num_rows:
        return False
    before = pq.read_table(base).replace_schema_metadata(None)
    if not before.schema.equals(rows.schema) or not before.equals(rows):
        return False
    shutil.copyfile(base, target)
    return True

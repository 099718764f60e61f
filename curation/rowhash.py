"""A hash of rows, whatever files, row groups or compression they lie in.

sha256 over the rows as JSON lines (polars' spelling: keys in column order, null spelled out), in file order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import RunDirectoryError

_BATCH_ROWS = 10_000


def hash_rows(files: Iterable[Path], columns: Sequence[str] | None = None) -> str:
    """64 hex digits over the rows of Parquet files, in order. Raises RunDirectoryError for one that cannot be read."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                    update(digest.update, pa.Table.from_batches([batch]))
        except (OSError, pa.ArrowException) as error:
            raise RunDirectoryError(f"cannot read {file}: {str(error).splitlines()[0]}") from error
    return digest.hexdigest()


def hash_tables(tables: Iterable[pa.Table]) -> str:
    """The same over tables in memory: equal rows give an equal hash."""
    digest = hashlib.sha256()
    for table in tables:
        for start in range(0, table.num_rows, _BATCH_ROWS):
            update(digest.update, table.slice(start, _BATCH_ROWS))
    return digest.hexdigest()


def update(feed: Callable[[bytes], object], table: pa.Table) -> None:
    """Feed the rows to a digest. Column types that only differ in width (string, large_string) spell the same."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    feed(frame.write_ndjson().encode())

"""The column `overlaps` of a dataset folder, from checks/overlaps.parquet.

Only this column changes: rows, their order, files and row groups stay. Files are replaced one by one, each in one step;
after a kill the rest is done by calling it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import RunDirectoryError
from curation.facts import config_files
from curation.shards import open_writer

DETAILS_FILE: Final = "checks/overlaps.parquet"
MARKED_CONFIGS: Final = ("cot", "rejected")
# One line per row and benchmark; a row without any has one line whose benchmark is null. kinds and matched belong
# together, one entry a kind of evidence.
DETAILS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("media_sha256", pa.string()),
        ("benchmark", pa.string()),
        ("kinds", pa.list_(pa.string())),
        ("matched", pa.list_(pa.string())),
    ]
)
_KEY: Final = ("id", "media_sha256")


def write_details(path: Path, details: Iterable[Mapping[str, object]]) -> None:
    """Write checks/overlaps.parquet in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_name(path.name + ".tmp")
    with open_writer(torn, DETAILS) as writer:
        writer.write_table(pa.Table.from_pylist(list(details), schema=DETAILS))
    torn.replace(path)


def apply_overlaps(dataset_dir: Path, overlaps_file: Path) -> None:
    """Fill `overlaps` of the accepted and rejected rows: names in order, [] = none found, null = not in the file.

    A row is known by its id and media_sha256 together, so that a result never passes on to other bytes. A file that
    says so already is left as it is. Raises RunDirectoryError when a file cannot be read.
    """
    marks = _read_marks(overlaps_file)
    for config in MARKED_CONFIGS:
        for file in config_files(dataset_dir, config):
            _mark_file(file, marks)


def _read_marks(overlaps_file: Path) -> pl.DataFrame:
    """Columns id, media_sha256, overlaps."""
    try:
        table = pq.read_table(overlaps_file, columns=[*_KEY, "benchmark"])
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"cannot read {overlaps_file}: {str(error).splitlines()[0]} Delete it, or run overlaps again."
        ) from error
    details = pl.from_arrow(table)
    assert isinstance(details, pl.DataFrame)
    return details.group_by(*_KEY).agg(overlaps=pl.col("benchmark").drop_nulls().unique().sort())


def _mark_file(file: Path, marks: pl.DataFrame) -> None:
    try:
        with pq.ParquetFile(file) as parquet:
            schema: pa.Schema = parquet.schema_arrow
            before = parquet.read(columns=[*_KEY, "overlaps"])
            column = _marks_of(before, marks, schema.field("overlaps").type)
            if column.equals(before["overlaps"]):
                return
            torn = file.with_name(file.name + ".tmp")
            with open_writer(torn, schema) as writer:
                start = 0
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group)
                    marked = column.slice(start, table.num_rows)
                    place = schema.get_field_index("overlaps")
                    writer.write_table(table.set_column(place, schema.field(place), marked), table.num_rows)
                    start += table.num_rows
    except (OSError, KeyError, pa.ArrowException) as error:
        raise RunDirectoryError(f"cannot mark {file}: {str(error).splitlines()[0]} Run the pipeline again.") from error
    torn.replace(file)


def _marks_of(rows: pa.Table, marks: pl.DataFrame, dtype: pa.DataType) -> pa.ChunkedArray:
    """One list per row, in the order of the rows; null where the row is not known."""
    keys = pl.from_arrow(rows.select(list(_KEY)))
    assert isinstance(keys, pl.DataFrame)
    known = keys.join(marks, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
    named: Sequence[list[str] | None] = known.with_columns(
        pl.when(pl.col("id").is_not_null()).then(pl.col("overlaps"))
    )["overlaps"].to_list()
    return pa.chunked_array([pa.array(named, dtype)], dtype)

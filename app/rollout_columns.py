"""How a file of rollouts that has other columns than curation.schema.ROLLOUT is read as if it had these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from curation.schema import INSUFFICIENT, ROLLOUT, SUFFICIENT

# Beyond it a number is no reward, advantage or token count, and would only spoil means and bars.
MOST_NUMBER: Final = 1e9


@dataclass(frozen=True, slots=True)
class FittedFile:
    """A file with the columns of ROLLOUT, and is_malformed and is_masked, which are null where nobody can know.

    missing: columns that the file lacks or has in a type that cannot be theirs; they are null here. num_unfit: by
    column, how many of its values cannot be theirs; they are null here too.
    """

    path: Path
    scan: pl.LazyFrame
    missing: tuple[str, ...]
    num_unfit: Mapping[str, int]


def fit_file(path: Path) -> FittedFile:
    """Read a file's footer and count what does not fit. Raises OSError or PolarsError when it cannot be read."""
    scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    types = scan.collect_schema()
    fitted = {field.name: _fit(field, types[field.name]) for field in ROLLOUT if field.name in types}
    usable = {name: column for name, column in fitted.items() if column is not None}
    unfit = [(pl.col(name).is_not_null() & column.is_null()).sum().alias(name) for name, column in usable.items()]
    counts = scan.select(unfit).collect(engine="streaming").row(0, named=True) if unfit else {}
    absent = {field.name: pl.lit(None, _dtype(field)) for field in ROLLOUT if field.name not in usable}
    unknown = pl.lit(None, pl.Boolean)
    columns = scan.select(**usable).with_columns(**absent)
    return FittedFile(
        path,
        columns.with_columns(
            is_malformed=pl.col("answer").is_null() if "answer" in usable else unknown,
            is_masked=pl.col("verdict").is_null() if "verdict" in usable else unknown,
        ),
        tuple(absent),
        {name: count for name, count in counts.items() if count},
    )


def _dtype(field: pa.Field) -> pl.DataType:
    return pl.String() if field.type == pa.string() else pl.Int64() if field.type == pa.int64() else pl.Float64()


def _fit(field: pa.Field, dtype: pl.DataType) -> pl.Expr | None:
    """The column in the published type, null where a value cannot be it; null when none of that type can."""
    column = pl.col(field.name)
    is_number = dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)
    if not is_number and dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    match _dtype(field):
        case pl.String():
            text = column.cast(pl.String)
            return pl.when(text.is_in([SUFFICIENT, INSUFFICIENT])).then(text) if field.name == "verdict" else text
        case pl.Int64() if dtype.is_integer():
            return column.cast(pl.Int64, strict=False)
        case wanted:
            number = column.cast(pl.String).cast(pl.Float64, strict=False) if not is_number else column.cast(pl.Float64)
            is_fit = number.is_between(-MOST_NUMBER, MOST_NUMBER)
            if wanted == pl.Int64:
                is_fit &= number == number.floor()
            return pl.when(is_fit).then(number.cast(wanted, strict=False))

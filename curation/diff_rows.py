"""The rows of one config as hashes, and which old row is which new one.

    Parquet files -> scan_config -> ConfigRows (lazy, typed) -> hash_rows -> match_rows -> pairs of row numbers

A value becomes a 64-bit hash while the file streams by; null stays null. Only the values of the same row and column
are compared by it, so that two different ones pass for equal with a chance of 2^-64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.datatypes import DataTypeClass

from curation.errors import RunDirectoryError
from curation.schema import CONFIG_FILES

# These few values are kept as text, to be named in a reason.
NAMED: Final = ("generator", "judge", "rejected_by")
# What a row says about itself, whether or not the other side has such a column.
_OWN: Final = ("id", "problem_type", "rejected_by")
_PREFIX: Final = "="  # of the compared columns, so that none can be taken for a row's own


@dataclass(frozen=True, slots=True)
class ConfigRows:
    """The files of one config: column -> type, widths apart, and the rows cast to these types."""

    types: Mapping[str, pl.DataType]
    rows: pl.LazyFrame


def scan_config(folder: Path, config: str) -> ConfigRows | None:
    """The config's rows, not read yet; None when the folder has no such config.

    Raises RunDirectoryError when a file cannot be read, or when its columns contradict another file's.
    """
    files = sorted(folder.glob(f"{CONFIG_FILES[config]}-*.parquet"))
    if not files:
        return None
    with reading(folder):
        scans = [pl.scan_parquet(file, glob=False, hive_partitioning=False) for file in files]
        schemas = [scan.collect_schema() for scan in scans]
    types = {name: _comparable(dtype) for name, dtype in schemas[0].items()}
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        others = {name: _comparable(dtype) for name, dtype in schema.items()}
        joined = {name: join_types(dtype, others.get(name)) for name, dtype in types.items()}
        wrong = sorted({*others} ^ {*types} | {name for name, dtype in joined.items() if dtype is None})
        if wrong:
            raise RunDirectoryError(
                f"{file} and {files[0].name} disagree on the column {wrong[0]!r}. Write them again."
            )
        types = {name: dtype for name, dtype in joined.items() if dtype is not None}
    casts = [pl.col(name).cast(_concrete(dtype)) for name, dtype in types.items()]
    return ConfigRows(types, pl.concat([scan.select(casts) for scan in scans]))


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns what polars says of unreadable Parquet into one line. Raises RunDirectoryError."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunDirectoryError(f"cannot read the Parquet files of {folder}: {line}") from error


def _comparable(dtype: pl.DataType) -> pl.DataType:
    """The type without what is only width or encoding: a dictionary is its values, an array is a list."""
    match dtype:
        case pl.Int8() | pl.Int16() | pl.Int32():
            return pl.Int64()
        case pl.UInt8() | pl.UInt16() | pl.UInt32():
            return pl.UInt64()
        case pl.Categorical() | pl.Enum():
            return pl.String()
        case pl.List() | pl.Array():
            return pl.List(_comparable(_instance(dtype.inner)))
        case pl.Struct():
            return pl.Struct({field.name: _comparable(_instance(field.dtype)) for field in dtype.fields})
    return dtype


def join_types(one: pl.DataType, other: pl.DataType | None) -> pl.DataType | None:
    """The type in which both can be compared; None when they contradict. A column that is all null may lack its type.

    Two floats are compared in the narrower one, for 0.1 is another number in the wider.
    """
    match one, other:
        case _, None:
            return None
        case pl.Null(), _:
            return other
        case _, pl.Null():
            return one
        case pl.List(), pl.List():
            inner = join_types(_instance(one.inner), _instance(other.inner))
            return None if inner is None else pl.List(inner)
        case pl.Float32() | pl.Float64(), pl.Float32() | pl.Float64():
            return pl.Float64() if one == other == pl.Float64() else pl.Float32()
    return one if one == other else None


def _concrete(dtype: pl.DataType) -> pl.DataType:
    """Columns without a type are read as texts."""
    if isinstance(dtype, pl.Null):
        return pl.String()
    return pl.List(_concrete(_instance(dtype.inner))) if isinstance(dtype, pl.List) else dtype


def _instance(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype


def hash_rows(side: ConfigRows, shared: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """One small row per row: `id`, `problem_type` and `rejected_by` as text (null where there is no such column), and
    for each shared column `=NAME`: its hash, or its text when it is one of NAMED.
    """
    own = [_text(name, side.types).alias(name) for name in _OWN]
    values = []
    for name, dtype in shared.items():
        column = pl.col(name).cast(_concrete(dtype))
        hashed: pl.Expr = pl.when(column.is_not_null()).then(column.hash())
        if name in NAMED:
            hashed = (column if _is_plain(dtype) else hashed).cast(pl.String)
        values.append(hashed.alias(_PREFIX + name))
    return side.rows.select(*own, *values)


def compared(name: str) -> str:
    """Where `hash_rows` keeps the shared column `name`."""
    return _PREFIX + name


def _text(name: str, types: Mapping[str, pl.DataType]) -> pl.Expr:
    return pl.col(name).cast(pl.String) if name in types and _is_plain(types[name]) else pl.lit(None, pl.String)


def _is_plain(dtype: pl.DataType) -> bool:
    """One text stands for one value."""
    return isinstance(dtype, pl.String | pl.Boolean | pl.Null) or dtype.is_integer()


def match_rows(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Row numbers (old, new) of each row that both sides have; each number stands there at most once.

    A row is its id. Where an id stands more than once, equal rows are matched first, then those with the same reason
    and detail, then the others, in an order that does not depend on the files. Without an id only equal rows match.
    """
    sides = [frame.with_row_index("row") for frame in (old, new)]
    repeated = pl.concat([side.filter(pl.col("id").is_duplicated()).select("id") for side in sides])
    is_rare = pl.col("id").is_null() | pl.col("id").is_in(repeated["id"].drop_nulls().unique().implode())
    pairs = [_join([side.filter(~is_rare) for side in sides], ["id"])]
    columns = [name for name in old.columns if name.startswith(_PREFIX)]
    content = pl.struct(columns).hash() if columns else pl.lit(0, pl.UInt64)
    # Sorted by what they hold, so that the order in the files does not decide which of them match.
    left = [side.filter(is_rare).with_columns(content=content).sort(columns) for side in sides]
    detail = [compared("detail")] if compared("detail") in columns else []
    for keys in (["id", "content"], ["id", "rejected_by", *detail], ["id", "rejected_by"], ["id"]):
        numbered = [side.with_columns(nth=pl.int_range(pl.len()).over(keys)) for side in left]
        pairs.append(_join(numbered, [*keys, "nth"]))
        left = [
            side.join(pairs[-1], left_on="row", right_on=name, how="anti", maintain_order="left").drop_nulls("id")
            for side, name in zip(left, ("old", "new"), strict=True)
        ]
    return pl.concat(pairs)


def _join(sides: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    """The pairs of rows (old, new) that agree in all keys; a null agrees with a null."""
    old, new = sides
    joined = old.select(*keys, old="row").join(new.select(*keys, new="row"), on=list(keys), nulls_equal=True)
    return joined.select("old", "new")


def shared_types(old: ConfigRows, new: ConfigRows) -> dict[str, pl.DataType]:
    """The columns that both sides have in the same type, in the old order."""
    joined = {name: join_types(dtype, new.types.get(name)) for name, dtype in old.types.items()}
    return {name: dtype for name, dtype in joined.items() if dtype is not None}

"""The Parquet files of a dataset folder, whoever wrote them, read in the columns and types that are published.

A column that a file lacks, or holds in a type that means something else, is null and `missing`; further columns
are left alone. What differs in form only - string widths, dictionaries, counts stored as floats - is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.datatypes import DataTypeClass

from curation.errors import RunDirectoryError
from curation.report import plain
from curation.schema import CONFIG_FILES, CONFIGS, REJECTED

# Both kinds of row in one shape: what only a rejected row has is null in an accepted one.
COLUMNS: Final[dict[str, pl.DataType]] = dict(pl.DataFrame(REJECTED.empty_table()).schema)

_NUMBERED: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")
_TEXTUAL: Final = (pl.Categorical, pl.Enum, pl.Binary, pl.Boolean)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file. rows: the columns of COLUMNS.

    recorded: those that the file has; mistyped: those that it has in a type of another meaning, with it; further: what
    it has besides. stamp: (change time in ns, bytes) when it was opened.
    """

    path: Path
    config: str
    num_rows: int
    rows: pl.LazyFrame
    recorded: tuple[str, ...]
    mistyped: tuple[str, ...]
    further: tuple[str, ...]
    stamp: tuple[int, int]

    @property
    def missing(self) -> tuple[str, ...]:
        """The columns of its config that it does not have."""
        return tuple(name for name in CONFIGS[self.config].names if name not in self.recorded)


def find_shards(folder: Path, config: str) -> list[Path]:
    """The files of one config, in order; there may be none."""
    return sorted(folder.glob(f"{CONFIG_FILES[config]}-*.parquet"))


def open_shard(path: Path, config: str) -> Shard:
    """Read the footer. Raises RunDirectoryError when the file is no Parquet file, or torn."""
    try:
        found = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        types = found.collect_schema()
        num_rows = found.select(pl.len()).collect().item()
        stamp = _stamp(path)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise unreadable([path], error) from error
    expressions = {name: _read_as(name, types.get(name), wanted) for name, wanted in COLUMNS.items()}
    return Shard(
        path=path,
        config=config,
        num_rows=num_rows,
        # with_columns first: a selection of nothing but nulls would have one row.
        rows=found.with_columns(
            pl.lit(None, COLUMNS[name]).alias(name) if expression is None else expression
            for name, expression in expressions.items()
        ).select(*COLUMNS),
        recorded=tuple(name for name, expression in expressions.items() if expression is not None),
        mistyped=tuple(f"{name} as {types[name]}" for name in COLUMNS if expressions[name] is None and name in types),
        further=tuple(sorted(set(types) - set(COLUMNS))),
        stamp=stamp,
    )


def read(shards: Sequence[Shard], scans: Iterable[pl.LazyFrame]) -> pl.DataFrame:
    """One table of what the scans of these shards give, in their order, streamed.

    Raises RunDirectoryError when a file cannot be read or is no longer the one that was opened: its rows would appear
    in the place of others.
    """
    paths = [shard.path for shard in shards]
    try:
        if changed := [shard.path for shard in shards if _stamp(shard.path) != shard.stamp]:
            raise RunDirectoryError(f"{changed[0]} was replaced while it was open. Start the viewer again.")
        return pl.concat(scans).collect(engine="streaming")
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise unreadable(paths, error) from error


def describe_shards(config: str, shards: Sequence[Shard]) -> list[str]:
    """What a reader should know about the files of one config, a line each."""
    if not shards:
        return [f"There are no rows of config {config}: no {CONFIG_FILES[config]}-*.parquet."]
    notes = []
    for lacking in dict.fromkeys(shard.missing for shard in shards if shard.missing):
        num_files = sum(shard.missing == lacking for shard in shards)
        where = "" if num_files == len(shards) else f" in {num_files} of {len(shards)} files"
        notes.append(f"Config {config} does not record {', '.join(lacking)}{where}.")
    if mistyped := sorted({column for shard in shards for column in shard.mistyped}):
        notes.append(f"Config {config} has columns of another type, which are not read: {_join(mistyped)}.")
    if further := sorted({name for shard in shards for name in shard.further}):
        notes.append(f"Config {config} has further columns, which are not shown: {_join(further)}.")
    return [*notes, *_describe_numbering([shard.path for shard in shards])]


def unreadable(paths: Sequence[Path], error: BaseException) -> RunDirectoryError:
    """One line for what a reader of Parquet says in several."""
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0].parent.parent}"
    reason = " ".join((str(error).splitlines() or [type(error).__name__])[0].split())
    return RunDirectoryError(f"cannot read {where}: {reason:.200}. Make the dataset again, or download it again.")


def _describe_numbering(paths: Sequence[Path]) -> list[str]:
    """Files that name themselves 00001-of-00004 tell whether all four are there, and no others."""
    numbered = [match for path in paths if (match := _NUMBERED.fullmatch(path.stem))]
    counts = {int(match["count"]) for match in numbered}
    if not numbered or (counts == {len(paths)} and len(numbered) == len(paths)):
        return []
    names = ", ".join(path.name for path in paths[:8])
    return [f"{paths[0].parent.name}/ is not one complete set of files, so rows may be missing or double: {names}."]


def _join(names: Sequence[str]) -> str:
    return plain(", ".join(names), 300)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _read_as(name: str, found: pl.DataType | None, wanted: pl.DataType) -> pl.Expr | None:
    """The column in the wanted type; None when it is not there or can have no such meaning.

    A number that is not finite was not measured: NaN is how a float column says null.
    """
    column = pl.col(name)
    if found is None:
        return None
    if found == pl.Null:
        return column.cast(wanted)
    if wanted == pl.String:
        return column.cast(wanted) if _is_text(found) else None
    if wanted == pl.List(pl.String):
        holds_text = isinstance(found, pl.List | pl.Array) and (found.inner == pl.Null or _is_text(found.inner))
        return column.cast(wanted) if holds_text else None
    if found.is_float() or found.is_decimal():
        column = column.cast(pl.Float64)
        column = pl.when(column.is_finite()).then(column)
    elif not found.is_integer():
        return None
    return column.cast(wanted).alias(name)


def _is_text(found: pl.DataType | DataTypeClass) -> bool:
    return found == pl.String or found.is_numeric() or isinstance(found, _TEXTUAL)

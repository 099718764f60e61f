"""Two versions of a dataset, row by row: what was added, removed and changed, and why as far as the rows say it.

A row is its `id`. Each value becomes a 64-bit hash on the way in, so the texts are never in memory at once, and two
versions of a row are compared column by column. Neither the order of rows and columns nor the cut into files and row
groups is a change, nor a type that differs in width only. Null is a value of its own; NaN equals NaN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, model_validator

from curation.diff_reasons import CONFIG_IS_GONE, CONFIG_IS_NEW, Frames, explain_changed, explain_moved, has_changed
from curation.diff_rows import ConfigRows, hash_rows, match_rows, reading, scan_config, shared_types
from curation.errors import RunDirectoryError
from curation.schema import CONFIG_FILES, PROBLEM_TYPES

Kind = Literal["added", "removed", "changed"]
RowKind = Literal["added", "removed", "changed", "same"]
KINDS: Final[tuple[Kind, ...]] = ("added", "removed", "changed")
ROW_KINDS: Final[tuple[RowKind, ...]] = (*KINDS, "same")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowCounts(_Part):
    """old rows = removed + changed + same; new rows = added + changed + same."""

    added: int
    removed: int
    changed: int
    same: int


class TypeCounts(RowCounts):
    """The same for one problem type: that of the new row, of the old one where it was removed; null = not known."""

    problem_type: str | None


class Retyped(_Part):
    """A column whose type changed. Its values are not compared."""

    column: str
    old: str
    new: str


class ColumnCount(_Part):
    """In how many rows a column changed."""

    column: str
    num_rows: int


class Reason(_Part):
    """Why rows were added, removed or changed. A row has one reason; `explained` is False where the rows say none."""

    kind: Kind
    reason: str
    explained: bool
    num_rows: int


class ConfigDiff(_Part):
    """One config. num_old or num_new is null when that side does not have the config. It cannot be built unless it
    adds up.

    Rows are compared over the columns that both sides have in the same type. `changed_columns` counts the changed rows
    by column, `unexplained_columns` those of them where nothing explains that this column changed.
    """

    config: str
    num_old: int | None
    num_new: int | None
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_retyped: tuple[Retyped, ...] = ()
    rows: RowCounts
    by_type: tuple[TypeCounts, ...]
    changed_columns: tuple[ColumnCount, ...]
    unexplained_columns: tuple[ColumnCount, ...]
    reasons: tuple[Reason, ...]

    @property
    def change(self) -> Literal["schema", "rows", "nothing"]:
        """What kind of change this is, the greatest one."""
        if None in (self.num_old, self.num_new) or self.columns_added or self.columns_removed or self.columns_retyped:
            return "schema"
        return "rows" if self.num_touched else "nothing"

    @property
    def num_touched(self) -> int:
        """Rows that were added, removed or changed."""
        return self.rows.added + self.rows.removed + self.rows.changed

    def reasons_for(self, kind: Kind) -> tuple[Reason, ...]:
        """The reasons of one kind of change."""
        return tuple(reason for reason in self.reasons if reason.kind == kind)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        rows = self.rows
        if (self.num_old or 0) != rows.removed + rows.changed + rows.same:
            raise ValueError(f"{self.config}: the old rows do not add up")
        if (self.num_new or 0) != rows.added + rows.changed + rows.same:
            raise ValueError(f"{self.config}: the new rows do not add up")
        for name in ROW_KINDS:
            if sum(getattr(counts, name) for counts in self.by_type) != getattr(rows, name):
                raise ValueError(f"{self.config}: the {name} rows of the problem types do not add up")
        for kind in KINDS:
            if sum(reason.num_rows for reason in self.reasons_for(kind)) != getattr(rows, kind):
                raise ValueError(f"{self.config}: the reasons of the {kind} rows do not add up")
        return self


class DatasetDiff(_Part):
    """Two dataset folders. A schema version is null where the folder does not say it."""

    old: str
    new: str
    old_schema_version: int | None
    new_schema_version: int | None
    configs: tuple[ConfigDiff, ...]

    @property
    def change(self) -> Literal["schema", "rows", "nothing"]:
        """The greatest change of all configs; another schema version is a change of the schema."""
        changes = {config.change for config in self.configs}
        if self.schema_version_changed or "schema" in changes:
            return "schema"
        return "rows" if "rows" in changes else "nothing"

    @property
    def schema_version_changed(self) -> bool:
        """Whether both folders say their schema version, and not the same."""
        return len({self.old_schema_version, self.new_schema_version} - {None}) > 1


def diff_folders(old: Path, new: Path, *, old_name: str, new_name: str) -> DatasetDiff:
    """Compare two dataset folders. Raises RunDirectoryError when one is none, or cannot be read."""
    scans = {config: (scan_config(old, config), scan_config(new, config)) for config in CONFIG_FILES}
    for place, folder in enumerate((old, new)):
        if all(sides[place] is None for sides in scans.values()):
            raise RunDirectoryError(f"{folder} holds no {CONFIG_FILES['cot']}-*.parquet. Name a dataset folder.")
    old_rows: dict[str, pl.DataFrame] = {}
    new_rows: dict[str, pl.DataFrame] = {}
    for config, (was, now) in scans.items():
        shared = shared_types(was, now) if was and now else {}
        for folder, side, rows in ((old, was, old_rows), (new, now, new_rows)):
            if side:
                with reading(folder):
                    rows[config] = hash_rows(side, shared).collect(engine="streaming")
    configs = []
    for config, sides in scans.items():
        match sides:
            case ConfigRows() as was, ConfigRows() as now:
                configs.append(_compare(config, was, now, old_rows, new_rows))
            case ConfigRows(), None:
                configs.append(_one_sided(config, "removed", old_rows[config]))
            case None, ConfigRows():
                configs.append(_one_sided(config, "added", new_rows[config]))
    return DatasetDiff(
        old=old_name,
        new=new_name,
        old_schema_version=_schema_version(old),
        new_schema_version=_schema_version(new),
        configs=tuple(configs),
    )


def _compare(config: str, was: ConfigRows, now: ConfigRows, old_rows: Frames, new_rows: Frames) -> ConfigDiff:
    """A config that both sides have."""
    shared = shared_types(was, now)
    old, new = old_rows[config], new_rows[config]
    pairs = match_rows(old, new)
    both = pl.concat([old[pairs["old"]], new[pairs["new"]].select(pl.all().name.suffix("_right"))], how="horizontal")
    differs = both.select(has_changed(name).alias(name) for name in shared)
    is_changed = differs.select(pl.any_horizontal(pl.lit(False), *shared)).to_series()
    removed, added = _others(old, pairs["old"]), _others(new, pairs["new"])
    changed_reasons, unexplained = explain_changed(both.filter(is_changed), shared)
    return _config_diff(
        config,
        num_old=old.height,
        num_new=new.height,
        columns_added=tuple(sorted(set(now.types) - set(was.types))),
        columns_removed=tuple(sorted(set(was.types) - set(now.types))),
        columns_retyped=tuple(
            Retyped(column=name, old=str(was.types[name]), new=str(now.types[name]))
            for name in was.types
            if name in now.types and name not in shared
        ),
        types={
            "added": added["problem_type"],
            "removed": removed["problem_type"],
            "changed": both.filter(is_changed)["problem_type_right"],
            "same": both.filter(~is_changed)["problem_type_right"],
        },
        changed_columns={name: int(differs[name].sum()) for name in shared},
        unexplained_columns=unexplained,
        reasons={
            "added": explain_moved("added", config, added["id"], new_rows, old_rows),
            "removed": explain_moved("removed", config, removed["id"], old_rows, new_rows),
            "changed": changed_reasons,
        },
    )


def _one_sided(config: str, kind: Literal["added", "removed"], rows: pl.DataFrame) -> ConfigDiff:
    """A config that only one side has: all its rows were added or removed with it."""
    reason = CONFIG_IS_NEW if kind == "added" else CONFIG_IS_GONE
    return _config_diff(
        config,
        num_old=None if kind == "added" else rows.height,
        num_new=rows.height if kind == "added" else None,
        types={kind: rows["problem_type"]},
        reasons={kind: rows.with_columns(reason=pl.lit(reason), explained=pl.lit(True))},
    )


def _config_diff(
    config: str,
    *,
    types: Mapping[RowKind, pl.Series],
    reasons: Mapping[Kind, pl.DataFrame],
    changed_columns: Mapping[str, int] = MappingProxyType({}),
    unexplained_columns: Mapping[str, int] = MappingProxyType({}),
    **columns: Any,
) -> ConfigDiff:
    """Counts what is given as one entry a row: the problem type, the reason."""
    by_type: dict[str | None, dict[str, int]] = {}
    for kind, names in types.items():
        for name, count in names.value_counts().iter_rows():
            by_type.setdefault(name, dict.fromkeys(ROW_KINDS, 0))[kind] = count
    return ConfigDiff(
        config=config,
        rows=RowCounts(**{kind: types[kind].len() if kind in types else 0 for kind in ROW_KINDS}),
        by_type=tuple(TypeCounts(problem_type=name, **by_type[name]) for name in sorted(by_type, key=_type_order)),
        changed_columns=_column_counts(changed_columns),
        unexplained_columns=_column_counts(unexplained_columns),
        reasons=tuple(
            Reason(kind=kind, reason=reason, explained=explained, num_rows=count)
            for kind, rows in reasons.items()
            for reason, explained, count in rows.group_by("reason", "explained")
            .len()
            .sort("len", "reason", descending=[True, False])
            .iter_rows()
        ),
        **columns,
    )


def _others(rows: pl.DataFrame, matched: pl.Series) -> pl.DataFrame:
    return rows.with_row_index("row").join(matched.rename("row").to_frame(), on="row", how="anti")


def _column_counts(counts: Mapping[str, int]) -> tuple[ColumnCount, ...]:
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return tuple(ColumnCount(column=name, num_rows=count) for name, count in ordered if count)


def _type_order(name: str | None) -> tuple[bool, int, str]:
    """The paper's order, then other names, then those without one."""
    return name is None, PROBLEM_TYPES.index(name) if name in PROBLEM_TYPES else len(PROBLEM_TYPES), name or ""


def _schema_version(folder: Path) -> int | None:
    """What stats/report.json of a published folder says; None when there is none. Raises RunDirectoryError."""
    path = folder / "stats" / "report.json"
    if not path.exists():
        return None
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path} does not say its schema_version. Delete it, or write it again.") from error
    if not isinstance(version, int) or isinstance(version, bool):
        raise RunDirectoryError(f"{path} has the schema_version {version!r}, which is no whole number.")
    return version

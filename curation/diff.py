"""Two versions of a dataset, row by row: what was added, removed and changed, and why as far as the rows say it.

A row is its `id`. Each value becomes a 64-bit hash on the way in, so the texts are never in memory at once, and two
versions of a row are compared column by column. Neither the order of rows and columns nor the cut into files and row
groups is a change, nor a type that differs in width only. Null is a value of its own; NaN equals NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Kind = Literal["added", "removed", "changed"]


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
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: tuple[Retyped, ...]
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
        return "rows" if self.rows.added or self.rows.removed or self.rows.changed else "nothing"

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
        for name in RowCounts.model_fields:
            if sum(getattr(counts, name) for counts in self.by_type) != getattr(rows, name):
                raise ValueError(f"{self.config}: the {name} rows of the problem types do not add up")
        for kind in ("added", "removed", "changed"):
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
        versions = {self.old_schema_version, self.new_schema_version} - {None}
        changes = {config.change for config in self.configs}
        if len(versions) > 1 or "schema" in changes:
            return "schema"
        return "rows" if "rows" in changes else "nothing"


def diff_folders(old: Path, new: Path, *, old_name: str, new_name: str) -> DatasetDiff:
    """Compare two dataset folders. Raises RunDirectoryError when one is none, or cannot be read."""
    raise NotImplementedError

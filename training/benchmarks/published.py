"""Published figures as files with their source (published/*.json): shown beside ours, never mixed in with them.

A published figure has no fingerprint, so it never stands in a row of ours; `protocol` says how it was measured, as far
as its source does, and `by_benchmark` and a row's `otherwise` what of that is another there. Scores are in per cent and
as printed; null is "not published", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curation.errors import ConfigError
from training.benchmarks.conditions import Conditions

Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(min_length=1)]
PAPER_MAIN: Final = "paper_main"  # VideoP2R, Table 1
PAPER_ABLATIONS: Final = "paper_ablations"  # VideoP2R, Table 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedRow(_Part):
    """One model. scores: benchmark -> per cent. average: as printed, of the seven. variant: ours of the same kind.

    otherwise, by_benchmark: fields of the conditions that are others than the table's, for all of it or a benchmark.
    """

    name: Name
    variant: Name | None = None
    scores: Mapping[str, Percent | None]
    average: Percent | None
    otherwise: Mapping[str, Any] = {}
    by_benchmark: Mapping[str, Mapping[str, Any]] = {}
    note: str = ""


class PublishedTable(_Part):
    """A table and where it is from. measure: what its numbers are. protocol: how, with `by_benchmark` in its place."""

    title: Name
    source: Name
    measure: Name
    protocol: Conditions
    by_benchmark: Mapping[str, Mapping[str, Any]] = {}
    note: str
    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _conditions_are_whole(self) -> Self:
        for row in self.rows:
            for benchmark in {**self.by_benchmark, **row.by_benchmark, **row.scores}:
                self.conditions(row, benchmark)
        return self

    def conditions(self, row: PublishedRow, benchmark: str) -> Conditions:
        """How one figure was measured."""
        changes = (self.by_benchmark.get(benchmark, {}), row.otherwise, row.by_benchmark.get(benchmark, {}))
        values = self.protocol.model_dump()
        for changed in changes:
            values |= changed
        return Conditions.model_validate(values)


def published_names() -> tuple[str, ...]:
    """The tables there are, sorted."""
    names = (entry.name for entry in (files(__package__) / "published").iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


@cache
def published_table(name: str) -> PublishedTable:
    """Raises ConfigError for a table that is not there."""
    if name not in published_names():
        raise ConfigError(f"there is no published table {name!r}; there are {', '.join(published_names())}.")
    return PublishedTable.model_validate_json((files(__package__) / "published" / f"{name}.json").read_bytes())


def published_rows(name: str) -> tuple[PublishedRow, ...]:
    """The rows of one table, in the order of their source. Raises ConfigError for a table that is not there."""
    return published_table(name).rows

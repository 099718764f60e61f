"""Published figures as files with their source (published/*.json): shown beside ours, never mixed in with them.

A published figure has no fingerprint, so it never stands in a row of ours; `protocol` says how it was measured, as far
as its source does. Scores are in per cent and as printed; null is "not published", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from curation.errors import ConfigError

Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(min_length=1)]
PAPER_MAIN: Final = "paper_main"  # VideoP2R, Table 1
PAPER_ABLATIONS: Final = "paper_ablations"  # VideoP2R, Table 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedProtocol(_Part):
    """How the table was measured. num_frames: at most, a video; max_pixels: of a frame; null is unknown or varying."""

    num_frames: PositiveInt | None
    max_pixels: PositiveInt | None
    rules: Name


class PublishedRow(_Part):
    """One model. scores: benchmark -> per cent. average: as printed, of the seven. variant: ours of the same kind."""

    name: Name
    variant: Name | None = None
    scores: Mapping[str, Percent | None]
    average: Percent | None
    note: str = ""


class PublishedTable(_Part):
    """A table and where it is from. measure: what its numbers are."""

    title: Name
    source: Name
    measure: Name
    protocol: PublishedProtocol
    note: str
    rows: Annotated[tuple[PublishedRow, ...], Field(min_length=1)]


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

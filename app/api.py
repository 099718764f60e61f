"""The typed API of the viewer, for scripts: a row by id, search, statistics.

    from gradio_client import Client
    Client("http://127.0.0.1:7860").predict("red ball", "type=OCR", 1, api_name="/search")

A filter is written as in the viewer's address: `type=OCR&score=0.6..`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypedDict
from urllib.parse import parse_qsl

import polars as pl

from app.filters import Filter
from app.opened import Opened
from app.rows import NoSuchRowError
from curation.errors import UserError


class FilterError(UserError, ValueError):
    """A filter that cannot be meant; unlike an address, a script is told and gets no rows."""


class Found(TypedDict):
    """One page of rows. Pages count from 1 and hold 50 rows."""

    dataset: str
    version: str
    num_matching: int
    page: int
    num_pages: int
    rows: list[dict[str, Any]]


class Statistics(TypedDict):
    """Counts over the rows that match; a null category is counted as such, and means are over what was measured."""

    dataset: str
    version: str
    num_accepted: int
    num_rejected: int
    by_problem_type: dict[str, int]
    by_data_type: dict[str, int]
    by_verdict: dict[str, int]
    by_rejection: dict[str, int]
    mean_score: float | None
    mean_observation_tokens: float | None
    mean_think_tokens: float | None


def read_filter(text: str) -> Filter:
    """Raises FilterError."""
    filter, ignored = Filter.from_query(dict(parse_qsl(text.removeprefix("?"), keep_blank_values=True)))
    if ignored:
        raise FilterError(f"the filter {text!r:.120} cannot be read: {' '.join(ignored)}")
    return filter


def get_row(opened: Opened, row_id: str) -> dict[str, Any]:
    """Every column; `path` is called `media_path`, for whatever has a key `path` Gradio takes for a file of its own.

    Raises NoSuchRowError.
    """
    place = opened.dataset.find(row_id)
    if place is None:
        raise NoSuchRowError(f"{opened.shown} has no row with the id {row_id!r:.80}.")
    row = opened.dataset.row(place)
    return {"media_path" if name == "path" else name: value for name, value in row.items()}


def search(opened: Opened, text: str, filter: str, page: int) -> Found:
    """Raises UserError."""
    asked = read_filter(filter)
    words = " ".join(part for part in (asked.text, text) if part)
    try:
        chosen = Filter.model_validate(asked.model_dump() | {"text": words, "page": page})
    except ValueError as error:
        raise FilterError(f"text or page cannot be searched: {str(error).splitlines()[-2].strip():.200}") from error
    found = opened.dataset.page(chosen)
    return Found(
        dataset=opened.dataset.shown,
        version=opened.version,
        num_matching=found.num_matching,
        page=found.number,
        num_pages=found.num_pages,
        rows=[asdict(row) for row in found.rows],
    )


def count(opened: Opened, filter: str) -> Statistics:
    """Raises UserError."""
    facts = opened.dataset.facts(read_filter(filter), with_texts=False)

    def tally(column: str) -> dict[str, int]:
        counts = facts.group_by(column).len().sort("len", column, descending=[True, False])
        return {"null" if value is None else value: num for value, num in counts.iter_rows()}

    def mean(column: str) -> float | None:
        found = facts.select(pl.col(column).mean()).item()
        return None if found is None else float(found)

    num_accepted = int((facts["config"] == "cot").sum())
    return Statistics(
        dataset=opened.dataset.shown,
        version=opened.version,
        num_accepted=num_accepted,
        num_rejected=facts.height - num_accepted,
        by_problem_type=tally("problem_type"),
        by_data_type=tally("data_type"),
        by_verdict=tally("verdict"),
        by_rejection={reason: num for reason, num in tally("rejected_by").items() if reason != "null"},
        mean_score=mean("score"),
        mean_observation_tokens=mean("observation_tokens"),
        mean_think_tokens=mean("think_tokens"),
    )

"""A filter as polars reads it: which rows of the index match, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from app.filters import ANY, NONE, UNKNOWN, Filter

# Columns whose null is a value that can be asked for.
CATEGORIES: Final = ("problem_type", "data_type", "data_source", "verdict")


def matches(filter: Filter) -> pl.Expr:
    """All conditions but the search of the texts."""
    config = pl.col("config")
    conditions = [config.is_not_null() if filter.rows == "all" else config == filter.rows]
    for name in CATEGORIES:
        if values := getattr(filter, name):
            conditions.append(_is_any_of(name, values))
    if filter.rejected_by:
        conditions.append(pl.any_horizontal(_is_rejected_by(reason) for reason in filter.rejected_by))
    if filter.flag:
        conditions.append(pl.any_horizontal(pl.col("flags").list.contains(flag) for flag in filter.flag))
    if filter.overlap:
        conditions.append(pl.any_horizontal(_has_overlap(overlap) for overlap in filter.overlap))
    for name in ("observation_tokens", "think_tokens", "score"):
        least, most = getattr(filter, name)
        if least is not None:
            conditions.append(pl.col(name) >= least)
        if most is not None:
            conditions.append(pl.col(name) <= most)
    return pl.all_horizontal(condition.fill_null(False) for condition in conditions)


def in_order(rows: pl.DataFrame, filter: Filter) -> pl.DataFrame:
    """Sorted; what has no value comes last either way, and ties keep the order of the dataset."""
    if filter.sort == "order":
        return rows.sort("place", descending=filter.descending)
    return rows.sort(filter.sort, "place", descending=[filter.descending, False], nulls_last=True)


def _is_any_of(column: str, values: Sequence[str]) -> pl.Expr:
    named = pl.col(column).is_in(list(values)).fill_null(False)
    return named | pl.col(column).is_null() if NONE in values else named


def _is_rejected_by(reason: str) -> pl.Expr:
    if reason.endswith(":"):
        return pl.col("rejected_by").str.starts_with(reason)
    return pl.col("rejected_by") == reason


def _has_overlap(overlap: str) -> pl.Expr:
    overlaps = pl.col("overlaps")
    kinds = {ANY: overlaps.list.len() > 0, NONE: overlaps.list.len() == 0, UNKNOWN: overlaps.is_null()}
    return kinds.get(overlap, overlaps.list.contains(overlap))

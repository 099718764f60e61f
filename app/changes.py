"""What changed between two versions of a dataset, counted from their facts: which questions, and what of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

MOST_EXAMPLES: Final = 20
# What can differ of a question that both have; a row may be counted in several.
KINDS: Final = ("trace", "state", "verdict", "score")
_COLUMNS: Final = {"trace": "trace_hash", "state": "state", "verdict": "verdict", "score": "score"}


@dataclass(frozen=True, slots=True)
class Changes:
    """Questions by problem type (null = all): columns problem_type, added, removed, same, changed and one of each kind.

    "state": accepted, or rejected by another reason. examples: ids of changed questions, the first ones. Rows without
    an id, and further rows of the same id, are not compared.
    """

    counts: pl.DataFrame
    examples: tuple[str, ...]


def find_changes(before: pl.DataFrame, after: pl.DataFrame) -> Changes:
    """before, after: `Dataset.facts` of all rows."""
    pairs = _questions(before).join(_questions(after), on="id", how="full", suffix="_after", coalesce=True)
    is_added, is_removed = pl.col("is_here").is_null(), pl.col("is_here_after").is_null()
    in_both = ~(is_added | is_removed)
    differs = {
        kind: in_both & pl.col(column).ne_missing(pl.col(f"{column}_after")) for kind, column in _COLUMNS.items()
    }
    marked = pairs.select(
        "id",
        problem_type=pl.coalesce("problem_type_after", "problem_type"),
        added=is_added,
        removed=is_removed,
        changed=pl.any_horizontal(differs.values()),
        same=in_both & ~pl.any_horizontal(differs.values()),
        **differs,
    )
    figures = [pl.col(name).sum() for name in ("added", "removed", "same", "changed", *KINDS)]
    by_type = marked.group_by("problem_type").agg(figures).sort("same", "problem_type", descending=[True, False])
    total = marked.select(pl.lit(None, pl.String).alias("problem_type"), *figures)
    examples = marked.filter("changed")["id"].head(MOST_EXAMPLES)
    return Changes(
        pl.concat([total, by_type.with_columns(pl.col("problem_type").fill_null("not recorded"))]), tuple(examples)
    )


def _questions(facts: pl.DataFrame) -> pl.DataFrame:
    """One row an id, of the accepted row where there are several."""
    return (
        facts.filter(pl.col("id").is_not_null())
        .unique("id", keep="first", maintain_order=True)
        .select(
            "id",
            "problem_type",
            "trace_hash",
            "verdict",
            "score",
            state=pl.when(pl.col("config") == "cot").then(pl.lit("accepted")).otherwise(pl.col("rejected_by")),
            is_here=pl.lit(True),
        )
    )

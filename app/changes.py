"""What changed between two versions of a dataset, counted from their facts: which questions, and what of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

# What can differ of a question that both have; a row may be counted in several. "missing": a verdict or a score that
# only one of them has, which is not another one.
KINDS: Final = ("trace", "state", "verdict", "score", "missing")
ANY: Final = "changed"
_JUDGED: Final = ("verdict", "score")


@dataclass(frozen=True, slots=True)
class Changes:
    """Questions by problem type (null = all): columns problem_type, added, removed, same, changed and one of each kind.

    "state": accepted, or rejected by another reason. questions: those that changed, in the order of the later version:
    columns id, changed and one of each kind. Rows without an id, and further rows of the same id, are not compared.
    """

    counts: pl.DataFrame
    questions: pl.DataFrame


def find_changes(before: pl.DataFrame, after: pl.DataFrame) -> Changes:
    """before, after: `Dataset.facts` of all rows."""
    pairs = _questions(before).join(
        _questions(after), on="id", how="full", suffix="_after", coalesce=True, maintain_order="right_left"
    )
    is_added, is_removed = pl.col("is_here").is_null(), pl.col("is_here_after").is_null()
    in_both = ~(is_added | is_removed)
    differs = {
        "trace": pl.col("trace_hash").ne_missing(pl.col("trace_hash_after")),
        "state": pl.col("state").ne_missing(pl.col("state_after")),
        **{name: pl.col(name).ne(pl.col(f"{name}_after")).fill_null(False) for name in _JUDGED},
        "missing": pl.any_horizontal(pl.col(name).is_null() != pl.col(f"{name}_after").is_null() for name in _JUDGED),
    }
    differs = {kind: in_both & expression for kind, expression in differs.items()}
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
    counts = pl.concat([total, by_type.with_columns(pl.col("problem_type").fill_null("not recorded"))])
    return Changes(counts, marked.filter(ANY).select("id", ANY, *KINDS))


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

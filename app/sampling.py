"""Which traces to label next: a random draw in which rare kinds of trace are present too.

Rare kinds are drawn more often than they occur, so whoever counts the labels has to weight them: `design` says from
which stratum of what size each row was drawn.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from itertools import islice, zip_longest
from typing import Final

import polars as pl

from curation.agreement import DESIGN

STRATUM: Final = ("problem_type", "verdict")


def drawn_from(facts: pl.DataFrame) -> pl.DataFrame:
    """The rows that a sample is drawn from: those that a judge decided on, or all with an observation if none has."""
    observed = facts.filter(pl.col("id").is_not_null() & pl.col("observation_words").is_not_null())
    judged = observed.filter(pl.col("verdict").is_not_null())
    return (judged if judged.height else observed).unique("id", keep="first", maintain_order=True)


def design(facts: pl.DataFrame) -> pl.DataFrame:
    """Of every row that may be drawn: its id, and the columns of agreement.DESIGN."""
    rows = drawn_from(facts).select("id", pl.col(STRATUM).cast(pl.String))
    strata = rows.group_by(STRATUM).agg(stratum_rows=pl.len().cast(pl.Int64)).sort(STRATUM)
    numbered = strata.with_columns(stratum=pl.int_range(1, pl.len() + 1), population_rows=pl.lit(rows.height, pl.Int64))
    joined = rows.join(numbered, on=STRATUM, how="left", nulls_equal=True, maintain_order="left")
    return joined.select("id", *DESIGN)


def stratified_sample(facts: pl.DataFrame, num: int, seed: int, excluded: Collection[int] = ()) -> list[int]:
    """Up to `num` places, spread evenly over problem type and verdict; the same seed draws the same places.

    facts: columns problem_type and verdict; a row's place is its column `place`, or else where it stands in `facts`.
    Rows whose `observation_words` is null have no observation to label and are never drawn. excluded: places that the
    labeller has been to already.
    Every stratum gives as many as any other until it is exhausted. The order is shuffled at the end, for whoever
    labels must not be able to tell the verdict from it.
    """
    if num < 1:
        return []
    places = facts if "place" in facts.columns else facts.with_columns(place=pl.int_range(pl.len()))
    if "observation_words" in facts.columns:
        places = places.filter(pl.col("observation_words").is_not_null())
    strata = (
        places.filter(~pl.col("place").is_in(list(excluded)))
        .select(pl.col(STRATUM).cast(pl.String), "place")
        .group_by(STRATUM, maintain_order=True)
        .agg("place")
        .sort(STRATUM)["place"]
        .to_list()
    )
    rng = random.Random(seed)
    rng.shuffle(strata)  # when there are more strata than places to draw, none is always left out
    draws = [rng.sample(places, min(num, len(places))) for places in strata]
    turns = (place for turn in zip_longest(*draws) for place in turn if place is not None)
    chosen = list(islice(turns, num))
    rng.shuffle(chosen)
    return chosen

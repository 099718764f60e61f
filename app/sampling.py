"""Which traces to label next: a random draw in which rare kinds of trace are present too."""

from __future__ import annotations

import random
from collections.abc import Collection
from itertools import islice, zip_longest
from typing import Final

import polars as pl

STRATUM: Final = ("problem_type", "verdict")


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
    drawn_from = facts if "place" in facts.columns else facts.with_columns(place=pl.int_range(pl.len()))
    if "observation_words" in facts.columns:
        drawn_from = drawn_from.filter(pl.col("observation_words").is_not_null())
    strata = (
        drawn_from.filter(~pl.col("place").is_in(list(excluded)))
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

"""Traces of the terse level: a sentence for each shape, in one wording, and a think of one sentence.

About forty words with both openings, so that a tiny model that writes them spends its tokens on what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence

from curation.trace import OBSERVATION_OPENING, THINK_OPENING
from curation.world.language import state
from curation.world.queries import KINDS, Query
from curation.world.scenes import Fact


def terse_observation(query: Query, told: Sequence[Fact]) -> str:
    """What has to be noticed, then a sentence for each fact."""
    topic = KINDS[query.kind].topic.format(a=query.a, b=query.b, many=f"{query.a.bare}s")
    return " ".join([f"{OBSERVATION_OPENING} {topic}.", *(state(fact, 0) for fact in told)])


def terse_think(value: str, answer: str) -> str:
    """From the value to the answer, which is its letter where there are options."""
    conclusion = f"I come to {value}." if answer == value else f"only {value} fits, so I take {answer}."
    return f"{THINK_OPENING} {conclusion}"

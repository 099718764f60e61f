"""The judge in the RL loop: the same definition as in curation, asked while the model computes log-probabilities.

with RewardJudge(config.judge, folder, rank) as judge:
    pending = judge.start(asks)         # never blocks: the requests are on their way
    ...                                 # the log-prob passes of policy and reference
    judged = pending.wait()             # one Judged an ask, in order
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from curation.judge import Verdict
from curation.schema import Question


@dataclass(frozen=True, slots=True)
class JudgeAsk:
    """One observation to be judged, without its tags, and the question that it was written for."""

    question: Question
    observation: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one ask. Null is not zero: without a verdict the perception reward is masked.

    detail: why there is no verdict, else None. is_cached: known before this step. latency_s: from start() to the
    answer; None when it was cached or has not come. cost_usd: what this ask cost now; 0 where it was cached or equal
    to another of its step.
    """

    verdict: Verdict | None
    detail: str | None
    is_cached: bool
    latency_s: float | None
    cost_usd: float


class PendingVerdicts(Protocol):
    """The asks of one step, on their way."""

    def wait(self) -> list[Judged]:
        """One Judged an ask, in order. Raises UserError with one line when training has to stop."""
        ...


class ObservationJudge(Protocol):
    """Whoever gives verdicts in training."""

    def start(self, asks: Sequence[JudgeAsk]) -> PendingVerdicts:
        """Ask, and return at once."""
        ...

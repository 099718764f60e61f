"""What one generation produced, on all processes: the completions with their verdicts, rewards and advantages."""

from __future__ import annotations

from dataclasses import dataclass

from training.judging import Judged
from training.processes import BlockTokens
from training.rewards import RolloutReward


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion.

    group: its prompt, counted from 0 within the generation; number: which one of its group, from 0. judged: None when
    the judge was not asked. advantages: what its tokens of each process are trained with; None where the reward is
    masked or not paid. lengths: of its blocks; completion_tokens: all that were sampled, the end of turn included.
    """

    group: int
    number: int
    question_id: str
    completion: str
    judged: Judged | None
    reward: RolloutReward
    perception_advantage: float | None
    reasoning_advantage: float | None
    lengths: BlockTokens
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Rollouts:
    """In the order of the prompts, groups adjacent. step: the first update that is made from them, from 1."""

    step: int
    rows: tuple[Rollout, ...]

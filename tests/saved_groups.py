"""Rollout files of trainings that never took place, written by what writes real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curation.judge import Verdict
from training.judging import Judged
from training.processes import BlockTokens
from training.rewards import ProcessReward, RolloutReward
from training.rollouts import RolloutProvenance, write_rollouts
from training.sampled import Rollout, Rollouts

ORIGIN = RolloutProvenance("org/policy", None, None, None)
MASKED = None
GOOD = "<observation>a red ball</observation> <think>it is red</think><answer>B</answer>"


def process(total: float | None) -> ProcessReward:
    """Of a well-formed segment; None is masked."""
    return ProcessReward(None, 1.0, None, None, 9) if total is None else ProcessReward(total - 1, 1.0, 0.0, total, 9)


def rollout(
    group: int,
    number: int,
    perception: ProcessReward | None,
    reasoning: ProcessReward | None,
    *,
    question_id: str = "q",
    completion: str = GOOD,
    verdict: bool | None = True,
) -> Rollout:
    judged = Judged(None if verdict is None else Verdict(verdict, "why"), None, False, 0.1, 0.0)
    reward = RolloutReward(perception, reasoning)
    lengths = BlockTokens(9, 6, 3)
    return Rollout(group, number, question_id, completion, judged, reward, None, None, lengths, 20)


def write_groups(
    run_dir: Path, step: int, groups: Sequence[tuple[Sequence[float | None] | None, Sequence[float] | None]]
) -> Path:
    """One update. groups: the rewards of P and of R, rollout by rollout; None in place of them = not rewarded."""
    rows = []
    for place, (perception, reasoning) in enumerate(groups):
        size = len(perception or reasoning or ())
        for number in range(size):
            rows.append(
                rollout(
                    place,
                    number,
                    None if perception is None else process(perception[number]),
                    None if reasoning is None else process(reasoning[number]),
                )
            )
    return write_rollouts(run_dir / "rollouts", Rollouts(step, tuple(rows)), ORIGIN)

"""The numbers of PA-GRPO, per process and over all rollouts of a step (VideoP2R, training curves and collapse).

A table holds one row a rollout, NaN where a number does not exist: masked, not rewarded, not well-formed. It is one
tensor so that one collective gathers it. A metric without any number is absent; it is not 0.

Names end in the axes of their tensor: B completions of all processes, C columns, N processes.
"""
# ruff: noqa: N803, N806

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from training.advantages import measure_collapse
from training.judging import Judged
from training.rewards import ProcessReward, RolloutReward
from training.shortcuts import Shortcuts

PROCESSES: Final = ("perception", "reasoning")
_PARTS: Final = ("reward", "accuracy", "format", "length", "tokens")
TOTAL: Final = "grpo"  # the sum of the rewards, as plain GRPO would pay it
TOKENS: Final = "tokens/completion"
# Whatever is rewarded: the share of observations that give the answer away, and of words that repeat earlier ones.
_SHORTCUTS: Final = ("perception/leaks", "perception/repetition", "reasoning/repetition")
_COLUMNS: Final = (*(f"{process}/{part}" for process in PROCESSES for part in _PARTS), *_SHORTCUTS, TOTAL, TOKENS)

_JUDGE_COUNTS: Final = ("asked", "null", "cached", "timed", "latency_s", "cost_usd")


def reward_table(
    rewards: Sequence[RolloutReward],
    shortcuts: Sequence[Shortcuts],
    completion_tokens: Sequence[int],
    device: torch.device,
) -> Tensor:
    """(B, C) float32 of this process's rollouts."""
    rows = [
        [*_parts(reward.perception), *_parts(reward.reasoning), *_measured(found), reward.total, float(tokens)]
        for reward, found, tokens in zip(rewards, shortcuts, completion_tokens, strict=True)
    ]
    known = [[math.nan if value is None else value for value in row] for row in rows]
    return torch.tensor(known, dtype=torch.float32, device=device).view(len(rows), len(_COLUMNS))


def column(table_BC: Tensor, name: str) -> Tensor:
    """(B,)"""
    return table_BC[:, _COLUMNS.index(name)]


def rollout_metrics(table_BC: Tensor, advantages: Mapping[str, Tensor], group_size: int) -> dict[str, float]:
    """Means over the rollouts that have the number. advantages: (B,) of each process, 0 where it is masked."""
    found = {name: _mean(column(table_BC, name)) for name in _COLUMNS if name != TOTAL}
    for process in PROCESSES:
        scored_B = ~column(table_BC, f"{process}/reward").isnan()
        rewarded_B = ~column(table_BC, f"{process}/format").isnan()
        found[f"{process}/masked"] = _mean((~scored_B[rewarded_B]).float())
        if scored_B.sum() > 1:
            found[f"{process}/advantage_std"] = float(advantages[process][scored_B].std())
        found[f"collapse/{process}"] = measure_collapse(column(table_BC, f"{process}/reward"), group_size).share
    found[f"collapse/{TOTAL}"] = measure_collapse(column(table_BC, TOTAL), group_size).share
    return _known(found)


def judge_counts(judged: Sequence[Judged], device: torch.device) -> Tensor:
    """(1, C) float64: what this process's judge did in one step."""
    latencies = [entry.latency_s for entry in judged if entry.latency_s is not None]
    counts = [
        len(judged),
        sum(entry.verdict is None for entry in judged),
        sum(entry.is_cached for entry in judged),
        len(latencies),
        sum(latencies),
        sum(entry.cost_usd for entry in judged),
    ]
    return torch.tensor([counts], dtype=torch.float64, device=device)


def judge_metrics(counts_NC: Tensor) -> dict[str, float]:
    """Of all processes; empty when nobody was asked."""
    counts = dict(zip(_JUDGE_COUNTS, counts_NC.sum(dim=0).tolist(), strict=True))
    if not counts["asked"]:
        return {}
    latency = counts["latency_s"] / counts["timed"] if counts["timed"] else None
    return _known(
        {
            "judge/latency_s": latency,
            "judge/null_share": counts["null"] / counts["asked"],
            "judge/cached_share": counts["cached"] / counts["asked"],
            "judge/cost_usd": counts["cost_usd"],
        }
    )


def segment_sums(values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
    """(P * (V + 1),) float32: of each process the sum of each value over its tokens, then the number of these."""
    sums = []
    for mask_BT in masks.values():
        sums += [*((value_BT * mask_BT).sum() for value_BT in values.values()), mask_BT.sum()]
    return torch.stack([entry.float() for entry in sums])


def segment_means(sums: Tensor, names: Sequence[str], processes: Sequence[str]) -> dict[str, float]:
    """The inverse of `segment_sums`: process/name -> mean over its tokens; absent for a process without tokens."""
    rows = sums.view(len(processes), len(names) + 1).tolist()
    return {
        f"{process}/{name}": total / count
        for process, (*totals, count) in zip(processes, rows, strict=True)
        for name, total in zip(names, totals, strict=True)
        if count
    }


def _parts(process: ProcessReward | None) -> Iterator[float | None]:
    if process is None:
        yield from [None] * len(_PARTS)
    else:
        yield from (process.total, process.accuracy, process.format, process.length, process.tokens)


def _measured(found: Shortcuts) -> tuple[float | None, ...]:
    return (found.leaks_answer, found.perception_repetition, found.reasoning_repetition)


def _mean(values_B: Tensor) -> float | None:
    mean = float(values_B.nanmean())
    return None if math.isnan(mean) else mean


def _known(found: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in found.items() if value is not None}

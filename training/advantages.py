"""Advantages of process-aware GRPO (VideoP2R eq. 6): each process against its own group, each on its own tokens.

    A_i,k = (R_i,k - mean_j R_j,k) / (std_j R_j,k + eps)    over the scored rollouts j of one prompt, k in {P, R}

NaN marks a masked reward (null is not zero). `std` is the unbiased one (Bessel) and eps 1e-4, as in TRL 1.16, so that
with R_P = R_R every token gets what stock GRPO gives it. `scale` may divide by the deviation of the batch instead, or
by nothing (Dr. GRPO).

Normalization. TRL's loss (`loss_type: grpo`) averages over the T = n_P + n_R tokens of a completion:

    L = 1/T sum_t l_t(a_t)                  l_t(a) = -min(rho_t a, clip(rho_t) a)

"completion": a_t = A_k for t in segment k. Then L = sum_k (n_k / T) mean_{t in k} l_t(A_k): a process weighs what its
share of the tokens is. "segment": every segment's mean is to weigh the same, L = 1/K sum_k mean_{t in k} l_t(A_k) over
the K segments that have tokens. Since s > 0 can be drawn into the minimum, l_t(s a) = s l_t(a), so it is enough to set

    a_t = s_k A_k,   s_k = T / (K n_k):     1/T sum_k s_k n_k mean_{t in k} l_t(A_k) = 1/K sum_k mean_{t in k} l_t(A_k)

The s_k average to 1 over a completion, so the policy term keeps its size against the KL term, which stays a mean over
the completion. The paper's sum over k instead of its mean is twice that, a factor of the learning rate and of 1/beta.
The algebra needs a mean per completion: of TRL's losses, only `loss_type: grpo` has both.

Names end in the axes of their tensor: P prompts, G rollouts each (adjacent), B = P * G completions, T tokens.
"""
# ruff: noqa: N803, N806

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from training.segments import SegmentMasks

Normalization = Literal["completion", "segment"]
Scale = Literal["group", "batch", "none"]

EPS: Final = 1e-4  # TRL's, added to the standard deviation
# Rewards of a group this close teach nothing: an advantage divides by their deviation, and what is left of it is noise.
COLLAPSED_WIDTH: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Collapse:
    """How many of the groups with at least two scored rollouts have (nearly) equal rewards."""

    num_groups: int
    num_collapsed: int

    @property
    def share(self) -> float | None:
        """None without groups."""
        return self.num_collapsed / self.num_groups if self.num_groups else None


def stack_rewards(rewards: Sequence[float | None], device: torch.device | str | None = None) -> Tensor:
    """(B,) float32 of the rewards of one process; None, masked, becomes NaN."""
    values = [float("nan") if reward is None else reward for reward in rewards]
    return torch.tensor(values, dtype=torch.float32, device=device)


def group_advantages(rewards_B: Tensor, group_size: int, eps: float = EPS, scale: Scale = "group") -> Tensor:
    """Score each rollout against its own group.

    rewards_B: float (B,), NaN where masked. scale: what the distance from the group's mean is divided by: the deviation
    of the group, that of all scored rewards of the batch, or nothing. Returns (B,): zero mean over the scored rollouts
    of a group; exactly zero where a rollout is masked, where a group ties, and where fewer than two of it are scored.
    Raises ValueError for
    another shape or type, an infinite reward, or a B that is no multiple of `group_size`.
    """
    rewards_PG = _grouped(rewards_B, group_size)
    scored_PG = ~rewards_PG.isnan()
    mean_P1 = rewards_PG.nanmean(dim=1, keepdim=True)
    count_P1 = scored_PG.sum(dim=1, keepdim=True)
    advantages_PG = rewards_PG - mean_P1
    if scale == "group":
        advantages_PG = advantages_PG / (_deviation(rewards_PG) + eps)
    elif scale == "batch":
        advantages_PG = advantages_PG / (_deviation(rewards_PG.view(1, -1)) + eps)
    # The mean of equal floats may be off by one rounding, which eps does not hide: of seven rewards 1.69, TRL's formula
    # makes advantages of 0.002.
    tied_P1 = (_width(rewards_PG) == 0).unsqueeze(1)
    flat_P1 = tied_P1 | (count_P1 < 2)
    return advantages_PG.masked_fill(flat_P1 | ~scored_PG, 0.0).view(-1)


def process_advantages(
    rewards_perception_B: Tensor | None,
    rewards_reasoning_B: Tensor | None,
    group_size: int,
    *,
    separate: bool = True,
    eps: float = EPS,
    scale: Scale = "group",
) -> tuple[Tensor, Tensor]:
    """The advantage of each process, (B,) and (B,).

    separate: each process from its own rewards. Otherwise (the paper's ablation) both from the sum of the rewards, so
    that all tokens get the same; a rollout is then masked when either reward is. None is a process that is not
    rewarded: zeros when separate, else no part of the sum, so `separate=False` without perception is plain GRPO.
    scale, and what is raised besides ValueError when both are None: as of `group_advantages`.
    """
    rewarded = [rewards_B for rewards_B in (rewards_perception_B, rewards_reasoning_B) if rewards_B is not None]
    if not rewarded:
        raise ValueError("no process is rewarded, so there is no advantage")
    if not separate:
        shared_B = group_advantages(_sum(rewarded), group_size, eps, scale)
        return shared_B, shared_B
    perception_B, reasoning_B = (
        torch.zeros_like(rewarded[0]) if rewards_B is None else group_advantages(rewards_B, group_size, eps, scale)
        for rewards_B in (rewards_perception_B, rewards_reasoning_B)
    )
    return perception_B, reasoning_B


def token_advantages(
    advantages_perception_B: Tensor,
    advantages_reasoning_B: Tensor,
    masks: SegmentMasks,
    normalization: Normalization = "completion",
) -> Tensor:
    """Lay the advantages on the tokens of their segments; 0 outside the completion mask.

    advantages_*_B: (B,), finite. Returns (B, T). Raises ValueError when B differs.
    """
    num_rows = masks.perception_BT.shape[0]
    for advantages_B in (advantages_perception_B, advantages_reasoning_B):
        if advantages_B.shape != (num_rows,):
            raise ValueError(f"advantages must be ({num_rows},) as the masks, got {tuple(advantages_B.shape)}")
    tokens_BT = advantages_perception_B.new_zeros(masks.perception_BT.shape)
    for advantages_B, mask_BT in (
        (advantages_perception_B, masks.perception_BT),
        (advantages_reasoning_B, masks.reasoning_BT),
    ):
        scale_B = _segment_scale(mask_BT, masks).to(tokens_BT.dtype) if normalization == "segment" else 1.0
        tokens_BT = torch.where(mask_BT, (advantages_B * scale_B).unsqueeze(1), tokens_BT)
    return tokens_BT


def measure_collapse(rewards_B: Tensor, group_size: int, width: float = COLLAPSED_WIDTH) -> Collapse:
    """Count the groups whose scored rewards, of P, of R or of their sum, span at most `width` (VideoP2R, analyses).

    Groups with fewer than two scored rollouts are not counted: there is nothing to compare. Raises as
    `group_advantages`.
    """
    width_P = _width(_grouped(rewards_B, group_size))
    return Collapse(int((~width_P.isnan()).sum()), int((width_P <= width).sum()))


def _grouped(rewards_B: Tensor, group_size: int) -> Tensor:
    """(P, G). Raises ValueError."""
    if rewards_B.ndim != 1 or not rewards_B.is_floating_point():
        raise ValueError(f"rewards must be (B,) floats, got {tuple(rewards_B.shape)} of {rewards_B.dtype}")
    if group_size < 1 or rewards_B.numel() % group_size:
        raise ValueError(f"{rewards_B.numel()} rewards are no whole number of groups of {group_size}")
    if rewards_B.isinf().any():
        raise ValueError("a reward is infinite; masked rewards are NaN")
    return rewards_B.view(-1, group_size)


def _deviation(rewards_PG: Tensor) -> Tensor:
    """(P, 1): TRL's nanstd, step by step: the same floats come out. NaN where fewer than two are scored."""
    mean_P1 = rewards_PG.nanmean(dim=1, keepdim=True)
    count_P1 = (~rewards_PG.isnan()).sum(dim=1, keepdim=True)
    return (((rewards_PG - mean_P1) ** 2).nanmean(dim=1, keepdim=True) * (count_P1 / (count_P1 - 1))).sqrt()


def _width(rewards_PG: Tensor) -> Tensor:
    """(P,): from the least to the greatest scored reward; NaN where fewer than two are scored."""
    scored_PG = ~rewards_PG.isnan()
    highest_P = rewards_PG.masked_fill(~scored_PG, -torch.inf).amax(dim=1)
    lowest_P = rewards_PG.masked_fill(~scored_PG, torch.inf).amin(dim=1)
    return torch.where(scored_PG.sum(dim=1) < 2, torch.nan, highest_P - lowest_P)


def _segment_scale(mask_BT: Tensor, masks: SegmentMasks) -> Tensor:
    """(B,): s_k = T / (K n_k) of one segment; where it has no tokens the value is never used."""
    perception_B, reasoning_B = masks.perception_BT.sum(dim=1), masks.reasoning_BT.sum(dim=1)
    num_segments_B = (perception_B > 0).long() + (reasoning_B > 0).long()
    return (perception_B + reasoning_B).double() / (num_segments_B * mask_BT.sum(dim=1)).clamp(min=1)


def _sum(rewarded: Sequence[Tensor]) -> Tensor:
    """NaN where any is: half a sum compares with nothing."""
    return torch.stack(list(rewarded)).sum(dim=0)

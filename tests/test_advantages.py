"""Advantages: by hand, against TRL's own formula, and what must hold for any rewards."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from trl.trainer.utils import nanstd

from training.advantages import (
    Collapse,
    group_advantages,
    measure_collapse,
    process_advantages,
    stack_rewards,
    token_advantages,
)
from training.segments import SegmentMasks

NAN = math.nan
torch.set_num_threads(1)

# Rewards as they occur: tenths in [0, 2.2], so ties are common; some are masked.
reward = st.integers(0, 22).map(lambda tenths: tenths / 10)
maybe_masked = st.one_of(reward, reward, reward, st.just(NAN))


@st.composite
def groups(draw, values=maybe_masked, least_size=1):
    """(B,) float64 and the group size."""
    size, num_groups = draw(st.integers(least_size, 8)), draw(st.integers(1, 4))
    values = draw(st.lists(values, min_size=size * num_groups, max_size=size * num_groups))
    return torch.tensor(values, dtype=torch.float64), size


def stock_advantages(rewards: torch.Tensor, num_generations: int) -> torch.Tensor:
    """The lines of TRL 1.16, GRPOTrainer._generate_and_score_completions, sum_then_normalize, scale_rewards="group"."""
    mean_grouped_rewards = torch.nanmean(rewards.view(-1, num_generations), dim=1)
    mean_grouped_rewards = mean_grouped_rewards.repeat_interleave(num_generations, dim=0)
    std_rewards = nanstd(rewards.view(-1, num_generations), dim=1)
    std_rewards = std_rewards.repeat_interleave(num_generations, dim=0)
    advantages = rewards - mean_grouped_rewards
    advantages = advantages / (std_rewards + 1e-4)
    return torch.nan_to_num(advantages, nan=0.0)


def masks_of(*rows: str) -> SegmentMasks:
    """One letter a token: p perception, r reasoning, . padding."""
    perception = torch.tensor([[letter == "p" for letter in row] for row in rows])
    reasoning = torch.tensor([[letter == "r" for letter in row] for row in rows])
    return SegmentMasks(perception, reasoning, ())


letters = st.lists(st.lists(st.sampled_from("pr."), min_size=5, max_size=5).map("".join), min_size=1, max_size=4)


# One group


def test_group_by_hand():
    # mean 1, deviations -1 0 1, unbiased variance 2 / 2, std 1
    expected = torch.tensor([-1.0, 0.0, 1.0]) / 1.0001
    assert torch.allclose(group_advantages(torch.tensor([0.0, 1.0, 2.0]), 3), expected)


def test_each_group_has_its_own_mean_and_deviation():
    rewards = torch.tensor([0.0, 2.0, 10.0, 30.0], dtype=torch.float64)
    std = [2**0.5, 200**0.5]
    expected = [-1 / (std[0] + 0.5), 1 / (std[0] + 0.5), -10 / (std[1] + 0.5), 10 / (std[1] + 0.5)]
    assert group_advantages(rewards, 2, eps=0.5).tolist() == pytest.approx(expected)


def test_masked_rollout_is_left_out_of_mean_and_deviation_and_gets_zero():
    masked = group_advantages(torch.tensor([0.0, NAN, 1.0, 2.0]), 4)
    assert masked[1] == 0
    assert torch.equal(masked[[0, 2, 3]], group_advantages(torch.tensor([0.0, 1.0, 2.0]), 3))


@pytest.mark.parametrize("rewards", [[NAN, NAN, NAN], [1.7, NAN, NAN]], ids=["none scored", "one scored"])
def test_fewer_than_two_scored_rollouts_give_zero_not_nan(rewards):
    assert group_advantages(torch.tensor(rewards), 3).tolist() == [0.0, 0.0, 0.0]
    assert group_advantages(torch.tensor([0.3, 2.2]), 1).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("size", [2, 3, 5, 6, 7, 8, 13])
@pytest.mark.parametrize("value", [0.0, 0.1, 1.69, 2.02, 2.2])
def test_tied_group_gives_exactly_zero_not_nan_and_not_a_rounding_error(size, value):
    rewards = torch.full((size + 1,), value)
    rewards[2 % size] = NAN if size > 2 else value
    assert group_advantages(rewards[:size], size).tolist() == [0.0] * size


def test_tie_that_stock_grpo_turns_into_a_signal():
    tied = torch.full((7,), 1.69)
    assert stock_advantages(tied, 7).abs().max() > 1e-3
    assert group_advantages(tied, 7).abs().max() == 0


def test_empty_batch_has_no_advantages():
    assert group_advantages(torch.zeros(0), 8).shape == (0,)


@pytest.mark.parametrize(
    ("rewards", "size", "fault"),
    [
        (torch.zeros(5), 2, "5 rewards are no whole number of groups of 2"),
        (torch.zeros(4), 0, "groups of 0"),
        (torch.zeros(2, 2), 2, r"\(2, 2\)"),
        (torch.zeros(4, dtype=torch.long), 2, "int64"),
        (torch.tensor([1.0, math.inf]), 2, "infinite"),
    ],
)
def test_rewards_that_make_no_groups_are_named(rewards, size, fault):
    with pytest.raises(ValueError, match=fault):
        group_advantages(rewards, size)


def test_masked_rewards_become_nan_and_zero_stays_zero():
    stacked = stack_rewards([0.0, None, 2.2])
    assert stacked.dtype == torch.float32 and stacked.isnan().tolist() == [False, True, False]
    assert stacked[0] == 0


# Any group


@given(groups())
def test_scored_rollouts_of_a_group_have_zero_mean_and_the_rest_zero(drawn):
    rewards, size = drawn
    advantages = group_advantages(rewards, size)
    assert advantages.isfinite().all()
    assert (advantages[rewards.isnan()] == 0).all()
    assert torch.allclose(advantages.view(-1, size).sum(dim=1), torch.zeros(1, dtype=torch.float64), atol=1e-9)


@given(groups(), st.floats(-5, 5))
def test_shifting_the_rewards_changes_nothing(drawn, shift):
    rewards, size = drawn
    assert torch.allclose(group_advantages(rewards + shift, size), group_advantages(rewards, size), atol=1e-7)


@given(groups(), st.floats(0.1, 10))
def test_scaling_the_rewards_changes_nothing_but_eps(drawn, scale):
    rewards, size = drawn
    scaled = group_advantages(rewards * scale, size, eps=1e-4 * scale)
    assert torch.allclose(scaled, group_advantages(rewards, size), atol=1e-7)


@given(groups(), st.randoms(use_true_random=False))
def test_order_within_a_group_and_of_groups_does_not_matter(drawn, random):
    rewards, size = drawn
    num_groups = len(rewards) // size
    order = [
        group * size + place
        for group in random.sample(range(num_groups), num_groups)
        for place in random.sample(range(size), size)
    ]
    assert torch.allclose(group_advantages(rewards[order], size), group_advantages(rewards, size)[order], atol=1e-9)


@given(groups(reward, least_size=2))
def test_better_reward_never_has_the_smaller_advantage(drawn):
    rewards, size = drawn
    for group, advantages in zip(rewards.view(-1, size), group_advantages(rewards, size).view(-1, size), strict=True):
        assert (advantages[group.argsort()].diff() >= 0).all()


# Against stock GRPO


@given(groups(least_size=2))
def test_equal_rewards_with_completion_normalization_are_stock_grpo(drawn):
    rewards, size = drawn
    masks = masks_of(*["pprr."] * len(rewards))
    tokens = token_advantages(*process_advantages(rewards, rewards, size), masks)
    completion = masks.perception_BT | masks.reasoning_BT
    broadcast = stock_advantages(rewards, size).unsqueeze(1) * completion
    assert torch.allclose(tokens, broadcast, atol=1e-6, rtol=0)


@given(hnp.arrays("float32", (3, 8), elements=st.floats(0, 2.1875, width=16)))
def test_same_floats_as_trl_wherever_a_group_does_not_tie(rewards):
    rewards = torch.from_numpy(rewards).view(-1)
    untied = rewards.view(-1, 8).amax(dim=1) > rewards.view(-1, 8).amin(dim=1)
    ours, stock = (
        advantages.view(-1, 8)[untied] for advantages in (group_advantages(rewards, 8), stock_advantages(rewards, 8))
    )
    assert torch.equal(ours, stock)


# Both processes


def test_each_process_is_scored_against_its_own_rewards():
    perception, reasoning = torch.tensor([2.2, 0.0, NAN, 1.0]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    ours = process_advantages(perception, reasoning, 2)
    assert torch.equal(ours[0], group_advantages(perception, 2))
    assert torch.equal(ours[1], group_advantages(reasoning, 2))
    assert ours[0][2:].tolist() == [0, 0] and (ours[1][2:] != 0).all()  # masked perception leaves reasoning alone


def test_without_separation_the_sum_of_the_rewards_counts_everywhere():
    perception, reasoning = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 2.0])
    shared = process_advantages(perception, reasoning, 3, separate=False)
    expected = group_advantages(torch.tensor([1.0, 1.0, 3.0]), 3)
    assert torch.equal(shared[0], expected) and torch.equal(shared[1], expected)
    tokens = token_advantages(*shared, masks_of("ppr", "prr", "r.."))
    assert tokens.tolist() == [
        pytest.approx([expected[0].item()] * 3),
        pytest.approx([expected[1].item()] * 3),
        pytest.approx([expected[2].item(), 0, 0]),
    ]


def test_without_separation_half_a_sum_is_masked():
    perception, reasoning = torch.tensor([NAN, 2.0, 1.0]), torch.tensor([2.2, 0.0, 0.0])
    shared, _ = process_advantages(perception, reasoning, 3, separate=False)
    assert torch.equal(shared, group_advantages(torch.tensor([NAN, 2.0, 1.0]), 3))


def test_process_without_reward_gets_zeros_when_separate_and_is_no_part_of_the_sum():
    reasoning = torch.tensor([0.0, 1.0])
    perception, ours = process_advantages(None, reasoning, 2)
    assert perception.tolist() == [0, 0] and torch.equal(ours, group_advantages(reasoning, 2))
    shared = process_advantages(None, reasoning, 2, separate=False)  # plain GRPO, the paper's "without R_P"
    assert torch.equal(shared[0], ours) and torch.equal(shared[1], ours)
    with pytest.raises(ValueError, match="no process is rewarded"):
        process_advantages(None, None, 2)


def test_token_gets_the_advantage_of_its_segment_only():
    masks = masks_of("pprrr", "ppp..", "rr...", ".....")
    tokens = token_advantages(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([-1.0, -2.0, -3.0, -4.0]), masks)
    assert tokens.tolist() == [[1, 1, -1, -1, -1], [2, 2, 2, 0, 0], [-3, -3, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_segment_normalization_by_hand():
    # T = 4, K = 2: 4 / (2 * 1) = 2 on the perception token, 4 / (2 * 3) on each reasoning token; one segment: 1
    tokens = token_advantages(torch.ones(2), torch.full((2,), 3.0), masks_of("prrr.", "ppp.."), "segment")
    assert tokens.tolist() == [pytest.approx([2, 2, 2, 2, 0]), pytest.approx([1, 1, 1, 0, 0])]


def test_masks_of_another_batch_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\) as the masks, got \(3,\)"):
        token_advantages(torch.ones(2), torch.ones(3), masks_of("pr", "pr"))


# The loss


def clipped(ratio: float, advantage: float) -> float:
    return -min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)


def trl_loss(ratios: torch.Tensor, tokens: torch.Tensor, masks: SegmentMasks) -> torch.Tensor:
    """(B,): the completion's part of TRL's loss_type="grpo"."""
    mask = masks.perception_BT | masks.reasoning_BT
    per_token = -torch.min(ratios * tokens, ratios.clamp(0.8, 1.2) * tokens)
    return (per_token * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)


@given(letters, st.data())
def test_segment_normalization_gives_every_segment_mean_the_same_weight(rows, data):
    number = st.floats(-3, 3)
    advantages = [data.draw(st.lists(number, min_size=len(rows), max_size=len(rows))) for _ in range(2)]
    ratios = data.draw(st.lists(st.floats(0.5, 2), min_size=5 * len(rows), max_size=5 * len(rows)))
    ratios = [ratios[5 * row : 5 * row + 5] for row in range(len(rows))]
    expected = []
    for row, letters_of_row in enumerate(rows):
        means = []
        for letter, advantage in (("p", advantages[0][row]), ("r", advantages[1][row])):
            places = [place for place in range(5) if letters_of_row[place] == letter]
            if places:
                means.append(sum(clipped(ratios[row][place], advantage) for place in places) / len(places))
        expected.append(sum(means) / len(means) if means else 0.0)
    masks = masks_of(*rows)
    perception, reasoning = (torch.tensor(side, dtype=torch.float64) for side in advantages)
    tokens = token_advantages(perception, reasoning, masks, "segment")
    assert trl_loss(torch.tensor(ratios, dtype=torch.float64), tokens, masks).tolist() == pytest.approx(expected)


@given(letters)
def test_segment_normalization_scales_by_one_on_average(rows):
    masks = masks_of(*rows)
    ones = torch.ones(len(rows), dtype=torch.float64)
    num_tokens = (masks.perception_BT | masks.reasoning_BT).sum(dim=1)
    total = token_advantages(ones, ones, masks, "segment").sum(dim=1)
    assert total.tolist() == pytest.approx(num_tokens.tolist())


def test_normalizations_agree_where_segments_are_equally_long():
    masks = masks_of("pprr.", "prrp.")
    sides = torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 0.5])
    assert torch.allclose(token_advantages(*sides, masks, "segment"), token_advantages(*sides, masks, "completion"))


# Collapse


def test_collapsed_groups_are_counted_for_each_reward():
    perception = torch.tensor([1.0, 1.0, 0.0, 2.0, NAN, 1.0, NAN, NAN])
    reasoning = torch.tensor([0.0, 2.0, 2.0, 0.0, 1.0, 1.0, 0.5, 0.5])
    assert measure_collapse(perception, 2) == Collapse(num_groups=2, num_collapsed=1)
    assert measure_collapse(reasoning, 2) == Collapse(num_groups=4, num_collapsed=2)
    # Both differ in the second group, but their sum does not: what separation avoids.
    assert measure_collapse(perception + reasoning, 2) == Collapse(num_groups=2, num_collapsed=1)
    assert measure_collapse(reasoning, 2).share == 0.5


def test_nearly_equal_rewards_are_collapsed():
    rewards = torch.tensor([1.0, 1.00005, 1.0, 1.001])
    assert measure_collapse(rewards, 2).num_collapsed == 1
    assert measure_collapse(rewards, 2, width=0.01).num_collapsed == 2
    assert measure_collapse(rewards, 2, width=0.0).num_collapsed == 0


def test_nothing_to_compare_has_no_share():
    assert measure_collapse(torch.tensor([1.0, NAN]), 2).share is None


@given(groups())
def test_width_zero_counts_exactly_the_groups_without_advantage(drawn):
    rewards, size = drawn
    silent = (group_advantages(rewards, size).view(-1, size) == 0).all(dim=1)
    collapse = measure_collapse(rewards, size, width=0.0)
    assume(collapse.num_groups == len(rewards) // size)
    assert collapse.num_collapsed == int(silent.sum())

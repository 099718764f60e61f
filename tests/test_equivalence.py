"""PA-GRPO is GRPO where both processes earn the same, and the same run on two processes as on one."""

import shutil
from typing import get_args

import pytest
import torch
from trl import GRPOTrainer

from tests.launches import TORCHRUN, finish
from tests.rl_worker import train
from tests.rl_world import ScriptedJudge, build_world, load_world, logged, plain_args, rows_of, script_generation
from training.advantages import Scale
from training.process_rollouts import ProcessGRPOTrainer
from training.rewards import ProcessReward, RewardConfig, RolloutReward

torch.set_num_threads(1)
LIMIT_S = 280  # of one launch
LOSSES = ("grpo", "dr_grpo", "dapo", "cispo")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


def pay(text: str) -> float:
    """Any reward will do that tells completions apart."""
    return len(text) % 13 / 5


class EvenlyPaid(ProcessGRPOTrainer):
    """The same reward for perception and reasoning; text prompts, no media."""

    def _reward(self, rows, segments, judged):
        totals = [pay(found.text) for found in segments]
        return [RolloutReward(*(ProcessReward(total, 0.0, 0.0, total, None) for _ in range(2))) for total in totals]


def stock_reward(completions, **_):
    return [pay(text) for text in completions]


def train_on_text(kind, world, out, scale="group", **changes):
    model, processor = load_world(world)
    rows = rows_of(world, copies=4)
    rows = rows.add_column("prompt", [f"{problem} Please." for problem in rows["problem"]])
    if kind is GRPOTrainer:
        options = {"reward_funcs": stock_reward}
    else:
        options = {"rewards": RewardConfig(), "judge": ScriptedJudge(), "scale": scale}
    trainer = kind(
        model=model,
        args=plain_args(out, **changes),
        train_dataset=rows,
        processing_class=processor.tokenizer,
        **options,
    )
    script_generation(trainer)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer.train()
    with torch.no_grad():
        moved = max((value - before[name]).abs().max().item() for name, value in model.named_parameters())
    assert moved > 1e-3
    return trainer, {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("loss_type", LOSSES)
def test_with_equal_rewards_it_is_stock_grpo_over_four_steps(world, tmp_path, loss_type, iterations):
    changes = {"loss_type": loss_type, "num_iterations": iterations, "gradient_accumulation_steps": iterations}
    stock, expected = train_on_text(GRPOTrainer, world, tmp_path, **changes)
    ours, found = train_on_text(EvenlyPaid, world, tmp_path, **changes)
    assert len(logged(stock, "loss")) == 4
    assert logged(ours, "loss") == pytest.approx(logged(stock, "loss"), rel=1e-6, abs=1e-6)
    assert logged(ours, "kl") == pytest.approx(logged(stock, "kl"), rel=1e-6, abs=1e-6)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", get_args(Scale))
def test_advantages_are_scaled_as_stock_grpo_scales_its_rewards(world, tmp_path, scale):
    changes = {"loss_type": "dr_grpo", "scale_rewards": scale}
    stock, expected = train_on_text(GRPOTrainer, world, tmp_path, **changes)
    ours, found = train_on_text(EvenlyPaid, world, tmp_path, scale=scale, loss_type="dr_grpo")
    assert logged(ours, "loss") == pytest.approx(logged(stock, "loss"), rel=1e-6, abs=1e-6)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)


def test_the_comparison_would_see_rewards_that_differ(world, tmp_path, monkeypatch):
    _, expected = train_on_text(EvenlyPaid, world, tmp_path)
    monkeypatch.setattr(
        EvenlyPaid,
        "_reward",
        lambda self, rows, segments, judged: [
            RolloutReward(*(ProcessReward(total, 0.0, 0.0, total, None) for total in (pay(found.text), 0.0)))
            for found in segments
        ],
    )
    _, found = train_on_text(EvenlyPaid, world, tmp_path)
    assert max(float((found[name] - value).abs().max()) for name, value in expected.items()) > 1e-4


def train_on_two_processes(world, out, *losses):
    """The runs of tests/rl_worker.py, by the name of their loss."""
    finish([*TORCHRUN, "tests.rl_worker", str(world), str(out), *losses], out / "log", LIMIT_S)
    return torch.load(out / "trained.pt", weights_only=False)


@pytest.fixture(scope="module")
def on_two_processes(world, tmp_path_factory):
    return train_on_two_processes(world, tmp_path_factory.mktemp("two"), "grpo", "dapo")


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_two_processes_train_as_one_does_with_groups_across_their_border(world, tmp_path, on_two_processes, loss_type):
    one, two = train(world, tmp_path, 12, loss_type=loss_type), on_two_processes[loss_type]
    start = dict(load_world(world)[0].named_parameters())
    assert max((value - start[name].detach()).abs().max().item() for name, value in one.parameters.items()) > 1e-3
    for name, value in one.parameters.items():
        torch.testing.assert_close(two.parameters[name], value, rtol=1e-6, atol=1e-6)
    assert two.rollouts == one.rollouts
    assert [len(generation.rows) for generation in one.rollouts] == [12] * 4
    for expected, found in zip(one.log, two.log, strict=True):
        assert found.keys() == expected.keys()
        for name in expected:
            if name.startswith(("perception", "reasoning", "collapse", "judge", "kl", "loss", "tokens")):
                assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name


@pytest.mark.skipif(shutil.which("g++") is None, reason="DeepSpeed compiles what processes exchange tensors with")
def test_zero_3_trains_the_same_where_processes_hold_pictures_and_clips_in_another_mix(world, tmp_path):
    """A pass of the vision tower is collective there: one process with two kinds would be out of step."""
    pytest.importorskip("deepspeed")
    one = train(world, tmp_path / "one", 12)
    two = train_on_two_processes(world, tmp_path, "zero3")["zero3"]
    assert two.rollouts == one.rollouts
    losses = [[entry["loss"] for entry in run.log if "loss" in entry] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3, abs=1e-5)

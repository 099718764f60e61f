"""A run that goes on from a checkpoint is the run that was never interrupted: losses, prompts, samples, weights."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from curation.errors import ConfigError
from tests.rl_world import ScriptedJudge, build_world, collator_of, load_world, plain_args, rows_of
from training.pa_grpo import PAGRPOTrainer
from training.rewards import ProcessReward, RewardConfig, RolloutReward

torch.set_num_threads(1)


class Killed(Exception):
    """Stands for kill -9."""


class KillAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise Killed


class PaidByChance(PAGRPOTrainer):
    """A random model writes no traces; these rewards depend on what it samples all the same."""

    def _reward(self, rows, segments, judged):
        return [
            RolloutReward(*(ProcessReward(total, 0.0, 0.0, total, None) for total in (len(found.text) % 7 / 3, 1.0)))
            for found in segments
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


def train(world, out, *, kill_after=None, resume=None, peft_config=None, **changes):
    """Six updates; 8 rows in groups of 4 at 8 rollouts an update: an epoch is 4 updates of one pass."""
    model, processor = load_world(world)
    rollouts = []
    trainer = PaidByChance(
        model=model,
        args=plain_args(out, max_steps=6, save_strategy="steps", save_steps=2, **changes),
        rows=rows_of(world, copies=2),
        processor=processor,
        collator=collator_of(processor),
        rewards=RewardConfig(),
        judge=ScriptedJudge(),
        on_rollouts=rollouts.append,
        peft_config=peft_config,
        callbacks=[] if kill_after is None else [KillAfter(kill_after)],
    )
    try:
        trainer.train(resume_from_checkpoint=resume)
    except Killed:
        assert kill_after is not None
    losses = {entry["step"]: (entry["loss"], entry["kl"]) for entry in trainer.state.log_history if "loss" in entry}
    return losses, rollouts, {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.parametrize(
    ("changes", "kill_after", "checkpoint"),
    [
        ({}, 3, 2),  # in the middle of an epoch
        ({}, 5, 4),  # at its end
        ({"num_iterations": 2}, 3, 2),
        ({"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}, 3, 2),
        ({"peft_config": LoraConfig(target_modules=["q_proj", "v_proj"], lora_dropout=0.1)}, 3, 2),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(world, tmp_path, changes, kill_after, checkpoint):
    losses, rollouts, parameters = train(world, tmp_path / "whole", **changes)
    assert len({tuple(row.completion for row in generation.rows) for generation in rollouts}) == len(rollouts)
    train(world, tmp_path / "killed", kill_after=kill_after, **changes)
    last = tmp_path / "killed" / f"checkpoint-{checkpoint}"
    assert last == max(Path(tmp_path / "killed").glob("checkpoint-*"))
    resumed, again, found = train(world, tmp_path / "killed", resume=str(last), **changes)
    assert resumed == losses
    assert again == [generation for generation in rollouts if generation.step > checkpoint]
    for name, value in parameters.items():
        assert torch.equal(found[name], value), name


def test_the_second_epoch_has_an_order_of_its_own_that_a_resumed_run_meets_too(world, tmp_path):
    _, rollouts, _ = train(world, tmp_path / "whole", kill_after=6)
    prompts = [[row.question_id for row in generation.rows] for generation in rollouts]
    assert sorted(chain(*prompts[:4])) == sorted(name for name in rows_of(world, copies=2)["id"] for _ in range(4))
    assert prompts[4:6] != prompts[:2]
    resumed = train(world, tmp_path / "whole", resume=str(tmp_path / "whole" / "checkpoint-4"))[1]
    assert [[row.question_id for row in generation.rows] for generation in resumed] == prompts[4:]


def test_a_checkpoint_that_lacks_a_weight_is_refused_and_not_trained_on(world, tmp_path):
    train(world, tmp_path, kill_after=3)
    file = tmp_path / "checkpoint-2" / "model.safetensors"
    weights = load_file(file)
    del weights["visual.merger.mlp.0.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 of its weights, such as model\.visual\.merger\.mlp\.0\.weight"):
        train(world, tmp_path, resume=str(tmp_path / "checkpoint-2"))

"""A PA-GRPO run in this process, or on two: torchrun --nproc-per-node 2 -m tests.rl_worker WORLD OUT LOSS..."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.rl_world import ScriptedJudge, collator_of, load_world, plain_args, rows_of, script_generation
from training.pa_grpo import PAGRPOTrainer
from training.rewards import RewardConfig
from training.sampled import Rollouts


def verdict(observation: str) -> bool | None:
    """Masks the observations of squares."""
    return None if "square" in observation else "red" in observation


ZERO_3 = {
    "zero_optimization": {"stage": 3},
    "zero_allow_untested_optimizer": True,
    "bf16": {"enabled": False},
    **dict.fromkeys(
        ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size", "gradient_clipping"),
        "auto",
    ),
}


@dataclass(frozen=True)
class Trained:
    """What a run leaves."""

    parameters: dict[str, torch.Tensor]
    rollouts: list[Rollouts]
    log: list[dict[str, float]]


def train(world: Path, out: Path, rows_of_a_process: int, **changes: Any) -> Trained:
    """Four updates of twelve rollouts each, three groups of four.

    SGD, whose updates differ as little as the gradients do: Adam divides what is left of a zero gradient by itself.
    """
    torch.set_num_threads(1)
    model, processor = load_world(world)
    rollouts: list[Rollouts] = []
    trainer = PAGRPOTrainer(
        model=model,
        args=plain_args(out, per_device_train_batch_size=rows_of_a_process, optim="sgd", learning_rate=0.1, **changes),
        rows=rows_of(world, copies=3),
        processor=processor,
        collator=collator_of(processor),
        rewards=RewardConfig(perception_tokens=(1, 9), reasoning_tokens=(1, 9)),
        judge=ScriptedJudge(verdict),
        on_rollouts=rollouts.append,
    )
    script_generation(trainer)
    trainer.train()
    trained = {name: value.detach().clone() for name, value in model.named_parameters()}
    return Trained(trained, rollouts, trainer.state.log_history)


def main(world: Path, out: Path, losses: Sequence[str]) -> None:
    """Half of the rollouts on each of two processes; `zero3` is the loss grpo with DeepSpeed's ZeRO-3."""
    changes: dict[str, dict[str, Any]] = {loss: {"loss_type": loss} for loss in losses}
    if "zero3" in changes:
        import deepspeed

        deepspeed.init_distributed("gloo")
        changes["zero3"] = {"deepspeed": ZERO_3}
    trained = {loss: train(world, out, 6, ddp_backend="gloo", **changes[loss]) for loss in losses}
    if torch.distributed.get_rank() == 0:
        torch.save(trained, out / "trained.pt")
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # torch's threads that are still there abort an interpreter that ends while the machine is busy


if __name__ == "__main__":
    from tests.rl_worker import main as run  # under one name, so that what it saves can be loaded

    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

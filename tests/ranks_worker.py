"""Two processes, one of which meets a fault: torchrun --nproc-per-node 2 -m tests.ranks_worker WORLD OUT WHO.

Each writes OUT/rank-N.txt: what it raised, and on which update. WHO: judge (of the second process, in its second
update) or rollouts (the first process cannot write them). None is killed: one that waited for ever would show.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from curation.errors import FatalEngineError
from tests.rl_world import ScriptedJudge, collator_of, load_world, plain_args, rows_of, script_generation
from training.judging import JudgeAsk, PendingVerdicts
from training.pa_grpo import PAGRPOTrainer
from training.ranks import leave
from training.rewards import RewardConfig

LINE = "the judge gave no verdict in 5 updates in a row"


class StoppedJudge(ScriptedJudge):
    """Has to stop in its second update, in the second process."""

    def start(self, asks: Sequence[JudgeAsk]) -> Any:
        pending: PendingVerdicts = super().start(asks)
        is_to_stop = PartialState().process_index == 1 and self.events.count("start") == 2
        return _Stopped() if is_to_stop else pending


class _Stopped:
    def wait(self) -> Any:
        raise FatalEngineError(LINE)


def no_room(_: Any) -> None:
    raise OSError(28, "No space left on device", "rollouts-000001.tmp")


def main(world: Path, out: Path, who: str) -> None:
    torch.set_num_threads(1)
    model, processor = load_world(world)
    trainer = PAGRPOTrainer(
        model=model,
        args=plain_args(out, per_device_train_batch_size=4, ddp_backend="gloo"),
        rows=rows_of(world),
        processor=processor,
        collator=collator_of(processor),
        rewards=RewardConfig(),
        judge=StoppedJudge() if who == "judge" else ScriptedJudge(),
        on_rollouts=no_room if who == "rollouts" else None,
    )
    script_generation(trainer)
    try:
        trainer.train()
    except (FatalEngineError, OSError) as error:
        told = f"{type(error).__name__} after {trainer.state.global_step}: {error}"
        (out / f"rank-{PartialState().process_index}.txt").write_text(told)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

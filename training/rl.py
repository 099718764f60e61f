"""Stage RL: PA-GRPO on the questions of config `rl`, from the model that SFT left (VideoP2R sections 4 and 5)."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from accelerate import PartialState
from transformers import set_seed

from training.checkpoints import StageCallback, find_checkpoint, finish_stage, load_stage, step_of
from training.collate import Collator
from training.config import ModelConfig, TrainConfig
from training.data import TrainingRows
from training.data_facts import describe_data, write_data_facts
from training.judging import RewardJudge
from training.models import load_processor, load_trainable
from training.pa_grpo import PAGRPOTrainer, grpo_args
from training.rollouts import RolloutProvenance, drop_after, write_rollouts
from training.run_record import FinishedStage
from training.rundir import TrainingRun
from training.sampled import Rollouts
from training.sft import lora_config
from training.update_progress import UpdateProgress


def train_rl(config: TrainConfig, base: ModelConfig, rows: TrainingRows, folder: Path) -> FinishedStage:
    """Train, or go on from the last checkpoint, and save the model; returns what is there when it is done already.

    Raises UserError subclasses with one line: rows that make no groups, a judge that fails for long.
    """
    if (found := load_stage(folder)) is not None:
        return found
    args = grpo_args(config, folder)
    state = PartialState()
    set_seed(config.seed)
    processor = load_processor(base)
    model = load_trainable(base, has_adapter=config.adapter("rl") is not None)
    callback = StageCallback(folder)
    collator = Collator.of(config.input, processor)
    rollouts = TrainingRun(config.run_dir).rollouts
    provenance = RolloutProvenance(base.name, None if rows.commit is None else rows.name, rows.revision, rows.commit)

    def save(sampled: Rollouts) -> None:
        write_rollouts(rollouts, sampled, provenance, config.input.template)

    with ExitStack() as stack:
        judge = None
        if config.rewards.perception and config.judge is not None:
            judge = stack.enter_context(
                RewardJudge(config.judge, folder / "judge", state.process_index, state.num_processes)
            )
        trainer = PAGRPOTrainer(
            model=model,
            args=args,
            rows=rows.rows,
            processor=processor,
            collator=collator,
            rewards=config.rewards,
            judge=judge,
            normalization=config.rl.normalization,
            separate=config.rl.separate,
            scale=config.rl.scale_advantages,
            on_rollouts=save,
            callbacks=[callback],
            peft_config=lora_config(config.adapter("rl")),
        )
        UpdateProgress.install(trainer, "rl")
        checkpoint = find_checkpoint(folder / "checkpoints")
        if state.is_main_process:
            drop_after(rollouts, 0 if checkpoint is None else step_of(checkpoint))
            write_data_facts(folder, describe_data(rows))
        state.wait_for_everyone()
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return finish_stage(trainer, processor, base, folder, num_rows=len(rows.rows), seconds=callback.seconds)

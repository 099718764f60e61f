"""PA-GRPO on videos (VideoP2R section 4): process rewards and advantages, and pixels in every forward, on TRL 1.16.

    args = grpo_args(config, run_dir / "rl")
    trainer = PAGRPOTrainer(model=model, args=args, rows=rows, processor=processor, collator=collator,
                            rewards=config.rewards, judge=judge)
    trainer.train()

The reference is the model as it is on disk when RL begins: what SFT saved, or the base model. TRL loads it again from
the model's own name and commit; under LoRA it is the model without its adapter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import datasets
import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig

from curation.errors import ConfigError
from training.advantages import Normalization, Scale
from training.collate import Collator
from training.config import TrainConfig
from training.judging import ObservationJudge
from training.models import Processor
from training.process_rollouts import ProcessGRPOTrainer
from training.ranks import check_launch
from training.restore import RestoringTrainer
from training.rewards import RewardConfig
from training.sampled import Rollouts
from training.trainer_args import check_trainer_args
from training.vision_rollouts import VisionGRPOTrainer

# Where TRL 1.16 or transformers is not plain GRPO by default, or might cease to be.
_PLAIN_GRPO: Final[Mapping[str, Any]] = {
    "scale_rewards": "group",  # of the sum that TRL logs; what tokens are paid is rl.scale_advantages
    "multi_objective_aggregation": "sum_then_normalize",
    "importance_sampling_level": "token",
    "delta": None,
    "use_bias_correction_kl": False,
    "off_policy_mask_threshold": None,
    "mask_truncated_completions": False,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "disable_dropout": True,
    "use_adaptive_entropy": False,
    "sync_ref_model": False,
    "shuffle_dataset": True,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "use_vllm": False,
    "vllm_importance_sampling_correction": False,
    "use_transformers_continuous_batching": False,
}
# Of a token, where the loss is CISPO: it clips no update but bounds this weight (ScaleRL; there is no lower bound).
CISPO_MAX_WEIGHT: Final = 5.0
# Assumptions: Video-R1's scripts (VideoP2R section 5 does not say).
_OPTIMISER: Final[Mapping[str, Any]] = {
    "lr_scheduler_type": "cosine",
    "weight_decay": 0.01,
    "max_grad_norm": 5.0,
    "gradient_checkpointing": True,
}


def grpo_args(config: TrainConfig, folder: Path) -> GRPOConfig:
    """TRL's arguments for section `rl`; checkpoints go to folder/checkpoints. `trainer_args` has the last word
    on what it may set (trainer_args.py).

    Raises ConfigError, one line, for a field that it may not set; for what TRL refuses, such as completions that make
    no whole groups; for a launch that cannot be (`check_launch`); and for a checkpoint_every at which completions would
    still be in use, because a checkpoint does not hold them.
    """
    rl = config.rl
    check_trainer_args("rl", rl.trainer_args, {field.name for field in fields(GRPOConfig)})
    ours = {
        "output_dir": str(folder / "checkpoints"),
        "seed": config.seed,
        "learning_rate": rl.learning_rate,
        "max_steps": rl.max_updates,
        "per_device_train_batch_size": rl.batch_size,
        "gradient_accumulation_steps": rl.accumulation,
        "num_generations": rl.group_size,
        "num_iterations": rl.iterations,
        "max_completion_length": rl.max_completion_tokens,
        "temperature": rl.temperature,
        "loss_type": rl.loss_type,
        "epsilon": rl.clip_eps,
        "epsilon_high": CISPO_MAX_WEIGHT if rl.loss_type == "cispo" else None,
        "beta": rl.beta,
        "bf16": config.model.dtype == "bfloat16",
        "fp16": config.model.dtype == "float16",
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_num_workers": rl.num_workers,
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": False,  # every row has media, so every weight has its gradient
        "save_strategy": "steps",
        "save_steps": rl.checkpoint_every,
        "save_total_limit": rl.keep_checkpoints,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would log the mean of other updates in the place of a loss that is none
        "disable_tqdm": True,  # update_progress.py shows what matters
        "report_to": config.report_to,
    }
    try:
        args = GRPOConfig(**{**_PLAIN_GRPO, **_OPTIMISER, **ours, **rl.trainer_args})
    except (TypeError, ValueError) as error:
        num_processes = int(os.environ.get("WORLD_SIZE", "1"))
        raise ConfigError(
            f"section rl cannot be run: {' '.join(str(error).split())} One generation is {num_processes} process(es) x "
            f"batch_size {rl.batch_size} x accumulation {rl.accumulation} completions in groups of group_size "
            f"{rl.group_size}. Set these so that the groups are whole."
        ) from error
    check_launch(args)
    _check_checkpoints(args)
    return args


def _check_checkpoints(args: Any) -> None:
    """Raises ConfigError where a run that is resumed would generate anew in the middle of its completions."""
    passes = args.steps_per_generation * args.num_iterations
    if args.save_steps * args.gradient_accumulation_steps % passes:
        raise ConfigError(
            f"rl.checkpoint_every is {args.save_steps:g}, but the completions of one generation serve "
            f"{passes / args.gradient_accumulation_steps:g} updates and no checkpoint holds them. Set it to a multiple."
        )


class PAGRPOTrainer(RestoringTrainer, ProcessGRPOTrainer, VisionGRPOTrainer):
    """The trainer of stage RL.

    model: of `load_model`. rows: `data.load_rows` of config rl. collator: with_target=False. For the rest see
    ProcessGRPOTrainer. Raises ConfigError when there are too few rows for one generation.
    """

    def __init__(
        self,
        *,
        model: Any,
        args: Any,
        rows: datasets.Dataset,
        processor: Processor,
        collator: Collator,
        rewards: RewardConfig,
        judge: ObservationJudge | None,
        normalization: Normalization = "completion",
        separate: bool = True,
        scale: Scale = "group",
        on_rollouts: Callable[[Rollouts], None] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        peft_config: Any = None,
    ) -> None:
        num_prompts = args.generation_batch_size // args.num_generations
        if len(rows) < num_prompts:
            raise ConfigError(
                f"one generation takes {num_prompts} prompts, the dataset has {len(rows)}. Set rl.batch_size or "
                "rl.accumulation lower, or use more rows."
            )
        if commit := getattr(model.config, "_commit_hash", None):  # the reference is loaded by name
            args.model_init_kwargs = {**(args.model_init_kwargs or {}), "revision": commit}
        super().__init__(
            model=model,
            args=args,
            train_dataset=rows,
            processor=processor,
            collator=collator,
            rewards=rewards,
            judge=judge,
            normalization=normalization,
            separate=separate,
            scale=scale,
            on_rollouts=on_rollouts,
            callbacks=list(callbacks),
            peft_config=peft_config,
        )

        self._leave_out_dropout()

    def _leave_out_dropout(self) -> None:
        """Two passes of one policy must agree: rollouts are scored by the policy that sampled them, and by no other.

        TRL turns off the layers; attention has its dropout as a number.
        """
        for model in (self.model, self.ref_model):
            for module in () if model is None else self.accelerator.unwrap_model(model).modules():
                if isinstance(getattr(module, "attention_dropout", None), float):
                    module.attention_dropout = 0.0
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        return _OrderOfEpoch(super()._get_train_sampler(dataset), lambda: int(self.state.epoch or 0))


class _OrderOfEpoch(Sampler[int]):
    """TRL's order, but of each epoch by itself, so that a run resumed in its second epoch meets the same rows."""

    def __init__(self, sampler: Any, epoch: Callable[[], int]) -> None:
        self._sampler = sampler
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self._sampler.shuffle:
            self._sampler.generator.manual_seed(self._sampler.seed + self._epoch())
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)

"""Stage SFT: the published traces into a model (VideoP2R section 3.1), on TRL's SFTTrainer with our collator.

The loss is over the assistant's tokens alone, a mean over all such tokens of an update, whatever passes and processes
they are spread over. Every row brings its own media into the forward, or the run stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import datasets
import torch
from peft import LoraConfig as PeftConfig
from transformers import TrainerCallback, set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from curation.errors import ConfigError
from training.checkpoints import StageCallback, find_checkpoint, finish_stage, load_stage
from training.collate import Collator, check_vision
from training.config import LoraConfig, ModelConfig, TrainConfig
from training.data import TrainingRows
from training.data_facts import describe_data, write_data_facts
from training.models import Processor, load_processor, load_trainable
from training.ranks import check_launch
from training.restore import RestoringTrainer
from training.run_record import FinishedStage
from training.trainer_args import check_trainer_args
from training.update_progress import UpdateProgress

# Assumptions: Video-R1's scripts (VideoP2R section 5 does not say).
_OPTIMISER: Final[Mapping[str, Any]] = {
    "lr_scheduler_type": "cosine",
    "weight_decay": 0.01,
    "max_grad_norm": 5.0,
    "gradient_checkpointing": True,
}
# What the collator relies on: otherwise rows would lose their media, their end, or their neighbours' times.
_FIXED: Final[Mapping[str, Any]] = {
    "remove_unused_columns": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "max_length": None,
    "packing": False,
    "padding_free": False,
    "accelerator_config": {"dispatch_batches": False, "split_batches": False},
}


def sft_args(config: TrainConfig, folder: Path) -> Any:
    """TRL's arguments for section `sft`; `trainer_args` has the last word on what it may set (trainer_args.py).

    Raises ConfigError for a field that it may not set, and for what TRL refuses.
    """
    sft = config.sft
    if fixed := sorted(set(sft.trainer_args) & set(_FIXED)):
        value = _FIXED[fixed[0]]
        raise ConfigError(f"sft.trainer_args.{fixed[0]} must stay {value}, for rows to keep their media. Remove it.")
    check_trainer_args("sft", sft.trainer_args, {field.name for field in fields(SFTConfig)})
    ours = {
        "output_dir": str(folder / "checkpoints"),
        "seed": config.seed,
        "learning_rate": sft.learning_rate,
        "num_train_epochs": sft.epochs,
        "max_steps": sft.max_updates or -1,
        "per_device_train_batch_size": sft.batch_size,
        "gradient_accumulation_steps": sft.accumulation,
        "bf16": config.model.dtype == "bfloat16",
        "fp16": config.model.dtype == "float16",
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_num_workers": sft.num_workers,
        "save_strategy": "steps",
        "save_steps": sft.checkpoint_every,
        "save_total_limit": sft.keep_checkpoints,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would log the mean of other updates in the place of a loss that is none
        "disable_tqdm": True,  # update_progress.py shows what matters
        "report_to": config.report_to,
    }
    try:
        args = SFTConfig(**{**_OPTIMISER, **ours, **_FIXED, **sft.trainer_args})
    except (TypeError, ValueError) as error:
        raise _refusal(error) from error
    check_launch(args)
    return args


def lora_config(config: LoraConfig | None) -> Any:
    """peft's, or None when all weights are trained. The vision tower keeps its weights."""
    if config is None:
        return None
    return PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=rf".*language_model.*\.({'|'.join(config.modules)})",
        task_type="CAUSAL_LM",
    )


def build_sft_trainer(
    config: TrainConfig,
    rows: datasets.Dataset,
    model: Any,
    processor: Processor,
    args: Any,
    *,
    callbacks: Sequence[TrainerCallback] = (),
) -> Any:
    """An SFTTrainer of this model on these rows. args: of `sft_args`. Raises ConfigError."""
    collator = Collator.of(config.input, processor, for_training=True, pictures_as_clips=True)
    try:
        return _SftTrainer(
            model=model,
            args=args,
            train_dataset=rows,
            data_collator=collator,
            processor=processor,
            callbacks=list(callbacks),
            peft_config=lora_config(config.adapter("sft")),
        )
    except (ImportError, RuntimeError, ValueError) as error:
        raise _refusal(error) from error


class _SftTrainer(RestoringTrainer, SFTTrainer):
    """TRL's, with every row's media in every forward, and with the same loss however an update is cut into passes."""

    def __init__(self, *, processor: Processor, **options: Any) -> None:
        super().__init__(processing_class=processor.tokenizer, **options)
        self._processor = processor
        # transformers takes Qwen2.5-VL for one of the models that cannot average over all tokens of an update, and
        # would average the averages of its passes. But the loss is TRL's here, and that one can.
        self.model_accepts_loss_kwargs = True
        self.add_callback(_TokenCount(self))

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        """TRL's. Raises ValueError when a row lacks its media."""
        check_vision(inputs, self._processor)
        return super().compute_loss(model, inputs, *args, **options)  # type: ignore[no-untyped-call]


class _TokenCount(TrainerCallback):
    """TRL counts tokens from nought after a resume; this goes on from the count of the checkpoint."""

    def __init__(self, trainer: _SftTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last count that was logged."""
        counts = [entry["num_tokens"] for entry in state.log_history if "num_tokens" in entry]
        self._trainer._total_train_tokens = int(counts[-1]) if counts else 0


def _refusal(error: Exception) -> ConfigError:
    return ConfigError(f"section sft cannot be run: {' '.join(str(error).split())}")


def train_sft(config: TrainConfig, base: ModelConfig, rows: TrainingRows, folder: Path) -> FinishedStage:
    """Train, or go on from the last checkpoint, and save the model; returns what is there when it is done already.

    Raises UserError subclasses with one line.
    """
    if (found := load_stage(folder)) is not None:
        return found
    args = sft_args(config, folder)  # before the model: while these live, ZeRO-3 shares out what is loaded
    set_seed(config.seed)
    processor = load_processor(base)
    model = load_trainable(base, has_adapter=config.adapter("sft") is not None)
    callback = StageCallback(folder)
    trainer = build_sft_trainer(config, rows.rows, model, processor, args, callbacks=[callback])
    UpdateProgress.install(trainer, "sft")
    checkpoint = find_checkpoint(folder / "checkpoints")
    if trainer.is_world_process_zero():
        write_data_facts(folder, describe_data(rows))
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return finish_stage(trainer, processor, base, folder, num_rows=len(rows.rows), seconds=callback.seconds)

"""A checkpoint's weights go back into the model, all of them or with an error.

transformers 5 saves a Qwen2.5-VL under the names of its release (`visual.`) and, on resume, looks for the names of its
own classes (`model.visual.`). None of them fits; it says so in a warning and trains on from the first weights, with the
optimizer of the last ones.
"""

from __future__ import annotations

from typing import Any

from peft import PeftModel
from transformers import Trainer

from training.config import ModelConfig
from training.models import load_model


class RestoringTrainer(Trainer):
    """A base class for trainers of a Qwen2.5-VL, before TRL's. DeepSpeed and adapters have their own, sound, ways."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Raises ConfigError when a weight is missing or damaged."""
        target: Any = self.model if model is None else model
        if isinstance(target, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        dtype: Any = str(target.dtype).removeprefix("torch.")
        target.load_state_dict(load_model(ModelConfig(name=resume_from_checkpoint, dtype=dtype)).state_dict())

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        """transformers takes one update too many when the checkpoint is of the last one."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **options)  # type: ignore[no-untyped-call]

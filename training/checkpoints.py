"""A stage on disk: checkpoints that are whole or do not count, a log that a resumed run continues, the finished model.

folder/checkpoints/checkpoint-N/    transformers' own; its file `whole` is written last, when every process has saved
folder/metrics.jsonl                one line an update
folder/model/                       the finished model; folder/adapter/ too under LoRA
folder/stage.json                   written last: with it, the stage is done
"""

from __future__ import annotations

import gc
import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from training.config import ModelConfig
from training.models import Processor, load_model, save_processor
from training.run_record import FinishedStage, load_finished

_WHOLE: Final = "whole"


def find_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; what a kill left torn is removed. Call it in every process."""
    state = PartialState()
    if state.is_main_process and folder.is_dir():
        for path in folder.glob("checkpoint-*"):
            if not (path / _WHOLE).is_file():
                shutil.rmtree(path)
    state.wait_for_everyone()
    found = sorted(folder.glob("checkpoint-*"), key=step_of) if folder.is_dir() else []
    return found[-1] if found else None


def step_of(checkpoint: Path) -> int:
    """The number of updates that it holds."""
    return int(checkpoint.name.rpartition("-")[2])


def load_stage(folder: Path) -> FinishedStage | None:
    """None when the stage is not done. Raises RunDirectoryError."""
    return load_finished(folder / "stage.json")


class StageCallback(TrainerCallback):
    """Marks whole checkpoints and keeps the log. A line holds numbers only, null for what is none."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.jsonl"
        self._began_s = 0.0

    @property
    def seconds(self) -> float:
        """Of training so far, over all sessions, but for updates that were lost."""
        return time.monotonic() - self._began_s

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the log where the checkpoint stands: later lines are of updates that were lost."""
        lines = self._kept_lines(state.global_step)
        self._began_s = time.monotonic() - (json.loads(lines[-1])["seconds"] if lines else 0.0)
        if state.is_world_process_zero:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = self._path.with_suffix(".tmp")
            kept.write_text("".join(lines), encoding="utf-8")
            kept.replace(self._path)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """One line."""
        if not state.is_world_process_zero:
            return
        numbers = {name: _finite(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        line = json.dumps({"step": state.global_step, **numbers, "seconds": round(self.seconds, 3)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint when every process has written its part."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()

    def _kept_lines(self, step: int) -> list[str]:
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]


def finish_stage(
    trainer: Any, processor: Processor, base: ModelConfig, folder: Path, *, num_rows: int, seconds: float
) -> FinishedStage:
    """Save the model and say that the stage is done."""
    save_model(trainer, processor, base, folder)
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    tokens = [line["num_tokens"] for line in logged if line.get("num_tokens") is not None]
    phases = {
        name.removeprefix("time/").removesuffix("_s"): sum(line.get(name) or 0.0 for line in logged)
        for name in sorted({name for line in logged for name in line if name.startswith("time/")})
    }
    on_gpu = torch.cuda.is_available()
    facts = FinishedStage(
        updates=trainer.state.global_step,
        seconds=seconds,
        num_rows=num_rows,
        num_tokens=int(max(tokens)) if tokens else None,
        seconds_by_phase=phases,
        peak_memory_bytes=torch.cuda.max_memory_allocated() if on_gpu else None,
        hardware=f"{PartialState().num_processes} x {torch.cuda.get_device_name() if on_gpu else 'CPU'}",
    )
    state = PartialState()
    if state.is_main_process:
        written = folder / "stage.tmp"
        written.write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
        written.replace(folder / "stage.json")
    state.wait_for_everyone()
    return facts


def release_models() -> None:
    """Free what a finished stage holds: model, optimizer and trainer lie in reference cycles.

    Call it where no name is left that leads to them, before the next model is loaded.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def save_model(trainer: Any, processor: Processor, base: ModelConfig, folder: Path) -> None:
    """Write folder/model, which plain from_pretrained loads, in the dtype of the config. Call it in every process.

    An adapter is kept in folder/adapter and merged into the base model. Under ZeRO-3 the weights are gathered.
    """
    from peft import PeftModel
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, unset_hf_deepspeed_config

    state = PartialState()
    model, torn = folder / "model", folder / "model.tmp"
    dtype = getattr(torch, base.dtype)
    has_adapter = isinstance(trainer.accelerator.unwrap_model(trainer.model), PeftModel)
    if not has_adapter and not trainer.is_deepspeed_enabled:
        trainer.model.to(dtype)  # trained in float32, because the optimizer keeps no copy of its own
    if has_adapter or is_deepspeed_zero3_enabled():  # type: ignore[no-untyped-call]
        trainer.save_model(str(folder / "adapter" if has_adapter else torn))
    elif state.is_main_process:  # which has all of it; under ZeRO-2 the trainer would write tied weights twice
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(torn)
    state.wait_for_everyone()
    if has_adapter:
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]  # or each process would load a part of the base model
        if state.is_main_process:
            whole = PeftModel.from_pretrained(load_model(base), folder / "adapter").merge_and_unload()
            whole.save_pretrained(torn)
    if state.is_main_process:
        save_processor(processor, torn)
        (torn / "training_args.bin").unlink(missing_ok=True)  # a pickle, of use to nobody else
        shutil.rmtree(model, ignore_errors=True)
        torn.replace(model)
    state.wait_for_everyone()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""SFT of the tiny world of the RL tests: here, in a process that dies, or on two.

python -m tests.sft_world WORLD RUN_DIR HOW
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import datasets
import torch

from tests.rl_world import rows_of
from training import checkpoints
from training.config import TrainConfig
from training.data import TrainingRows
from training.ranks import leave
from training.sft import train_sft

OBSERVATIONS = ("a red circle moves left", "a blue square", "a green ball stands still and a red one moves to it")


def trace_rows(world: Path, copies: int = 2) -> datasets.Dataset:
    """Three clips and a picture, `copies` times; traces of different length."""
    rows = rows_of(world, copies=copies)
    for name, texts in (("observation", OBSERVATIONS), ("think", ("it moves", "so it is")), ("answer", ("B",))):
        rows = rows.add_column(name, [texts[number % len(texts)] for number in range(len(rows))])
    return rows


def training_rows(rows: datasets.Dataset, **left_out: int) -> TrainingRows:
    """As `data.load_rows` returns them from a folder."""
    return TrainingRows(rows, "folder", "cot", None, None, len(rows) + sum(left_out.values()), left_out)


def sft_config(world: Path, run_dir: Path, *, lora: dict[str, Any] | None = None, **sft: Any) -> TrainConfig:
    """Batches of two rows on one CPU thread, a checkpoint every second update."""
    run_dir.mkdir(parents=True, exist_ok=True)
    prompt = run_dir / "prompt.txt"
    prompt.write_text("{question} {answer_form}")
    stage = {
        "learning_rate": 1e-3,
        "batch_size": 2,
        "accumulation": 1,
        "checkpoint_every": 2,
        "num_workers": 0,
        "trainer_args": {"gradient_checkpointing": False},
    }
    return TrainConfig.model_validate(
        {
            "run_dir": run_dir,
            "dataset": {"name": "folder", "media_root": world},
            "model": {"name": str(world / "model"), "dtype": "float32"},
            "lora": lora,
            "input": {"prompt": prompt, "video": {"num_frames": 6, "max_pixels": 112 * 112, "min_pixels": 0}},
            "sft": stage | sft,
        }
    )


def logged(folder: Path, name: str = "loss") -> dict[int, float]:
    """update -> value, of the metrics.jsonl of a stage."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def resumable(world: Path, run_dir: Path) -> TrainConfig:
    """Nine updates in two epochs and a bit, each of two passes; a worker decodes."""
    return sft_config(world, run_dir, max_updates=9, batch_size=1, accumulation=2, num_workers=1)


def shared(world: Path, run_dir: Path, num_processes: int) -> TrainConfig:
    """Three updates, each of eight rows in two passes, on one process or two, which hold pictures in another mix.

    SGD, whose updates differ as little as the gradients do: Adam divides what is left of a zero gradient by itself.
    """
    more = {"gradient_checkpointing": False, "optim": "sgd"}
    rows_of_a_process = 4 // num_processes
    return sft_config(
        world,
        run_dir,
        max_updates=3,
        batch_size=rows_of_a_process,
        accumulation=2,
        learning_rate=0.1,
        trainer_args=more,
    )


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_a_checkpoint(step: int) -> None:
    save = torch.save

    def torn(content: Any, path: Any, *args: Any, **options: Any) -> None:
        save(content, path, *args, **options)
        if str(path).endswith(f"checkpoint-{step}/optimizer.pt"):
            os.truncate(path, Path(path).stat().st_size // 2)
            _die()

    torch.save = torn


def _die_with_the_model_half_saved() -> None:
    def torn(_: Any, folder: Path) -> None:
        os.truncate(folder / "model.safetensors", 1000)
        _die()

    checkpoints.save_processor = torn


def main(world: Path, run_dir: Path, how: str) -> None:
    """how: whole, checkpoint-N and model (where it dies), or two (on two processes)."""
    torch.set_num_threads(1)
    if how == "model":
        _die_with_the_model_half_saved()
    elif how.startswith("checkpoint-"):
        _die_in_a_checkpoint(int(how.rpartition("-")[2]))
    config = shared(world, run_dir, 2) if how == "two" else resumable(world, run_dir)
    train_sft(config, config.model, training_rows(trace_rows(world)), run_dir / "sft")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

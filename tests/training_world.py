"""A terse demo world of a few clips, curated by the real pipeline, and configs that train on it for a few updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.__main__ import main as curation
from curation.config import load_config
from training.config import TrainConfig

ROOT = Path(__file__).parent.parent
CURATION = ROOT / "curation/configs/tiny.yaml"
SCRATCH = "{hidden_size: 64, num_layers: 2, num_heads: 2, vision_hidden_size: 64, vision_depth: 2, vision_heads: 2}"


def build_world(folder: Path, *, num_questions: int = 60) -> Path:
    """The run directory of a curation; its dataset has configs cot and rl, its media lie in folder/world."""
    status = curation(
        [
            "run",
            str(CURATION),
            f"run_dir={folder}",
            f"source.root={folder / 'world'}",
            f"source.num_questions={num_questions}",
            f"generate.engine.scenes={folder / 'world' / 'scenes.jsonl'}",
            f"tokenizer={folder / 'world' / 'tokenizer.json'}",
        ]
    )
    assert status == 0
    return folder


def small(world: Path, run_dir: Path, *, config: str = "tiny", **changes: Any) -> list[str]:
    """Overrides that make any of our configs an update or two of a tiny model on a CPU. `changes`: key__sub=value."""
    values = {
        "run_dir": run_dir,
        "dataset.name": world,
        "dataset.revision": "null",
        "dataset.media_root": world / "world",
        "dataset.curate": "null",
        "model.name": run_dir.parent / f"base-{config}",
        "model.dtype": "float32",
        "model.scratch": SCRATCH,
        "input.prompt": ROOT / "training/prompts/terse.txt",
        "input.video": "{num_frames: 4}",
        "input.cache": "null",
        "sft.max_updates": 1,
        "sft.batch_size": 2,
        "sft.accumulation": 1,
        "sft.num_workers": 0,
        "rl.max_updates": 1,
        "rl.batch_size": 4,
        "rl.accumulation": 1,
        "rl.group_size": 2,
        "rl.num_workers": 0,
        "rl.max_completion_tokens": 12,
        "judge": "{engine: {kind: scripted_judge}}",
        "evaluation.held_out_share": 0.2,
        "evaluation.max_questions": 4,
        "evaluation.batch_size": 4,
        "evaluation.max_completion_tokens": 8,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in values.items()]


def small_config(world: Path, run_dir: Path, *, config: str = "tiny", **changes: Any) -> TrainConfig:
    """The same, loaded."""
    path = ROOT / f"training/configs/{config}.yaml"
    return load_config(TrainConfig, path, small(world, run_dir, config=config, **changes))

"""All eight benchmarks with clips that can really be decoded, and configs that score a tiny model on them.

world = build_benchmarks(tmp_path / "world")
values = run_values(world, tmp_path / "run", names=["mmvu"], max_tokens=8)
path = write_run(tmp_path / "config.yaml", values)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from curation.sources.shapes import build_world
from tests.benchmark_fixtures import NAMES, write_benchmark
from tests.benchmark_fixtures.files import write_parquet
from tests.clips import write_video

EIGHT = (*NAMES, "shapes")
VIDEO = {"num_frames": 2, "min_pixels": 784, "max_pixels": 3136, "num_workers": 1}


def build_benchmarks(root: Path, *, num_questions: int = 40) -> Path:
    """root/NAME/hub and root/NAME/media of the seven; root/shapes/run and root/shapes/world of the demo world."""
    root.mkdir(parents=True)
    clip = write_video(root / "clip.mp4", num_frames=6, size=(64, 48), fps=2)
    for name in NAMES:
        write_benchmark(name, root / name, write_media=lambda path: shutil.copyfile(clip, path))
    world = build_world(root / "shapes/world", num_questions=num_questions, seed=3)
    rows = [
        record | {"id": f"{record['problem_id']:016x}", "license": "cc0-1.0", "options": record.get("options") or []}
        for record in json.loads(world.questions.read_text())
    ]
    write_parquet(root / "shapes/run/dataset/rl/rl-00000-of-00001.parquet", rows)
    return root


def sources_of(world: Path, names: tuple[str, ...] = EIGHT) -> dict[str, Any]:
    """The section `sources` of the local copies."""
    sources: dict[str, Any] = {
        name: {"annotations": str(world / name / "hub"), "media_root": str(world / name / "media")} for name in NAMES
    }
    sources["shapes"] = {
        "annotations": str(world / "shapes/run"),
        "media_root": str(world / "shapes/world"),
        "held_out_share": 0.3,
    }
    return {name: sources[name] for name in names}


def run_values(
    world: Path, run_dir: Path, *, model: str, names: tuple[str, ...] = EIGHT, **changes: Any
) -> dict[str, Any]:
    """A whole config; `changes` are keys of its section benchmark."""
    benchmark = {
        "sources": sources_of(world, names),
        "video": VIDEO,
        "max_tokens": 8,
        "protocol": "official",
        "temperature": 0.0,
        "dispatch": {"max_in_flight": 4, "max_tries": 1, "server_wait_s": 0.0},
    } | changes
    return {"run_dir": str(run_dir), "model": {"name": model, "dtype": "float32"}, "benchmark": benchmark}


def write_run(path: Path, values: Mapping[str, Any]) -> Path:
    """As YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return path

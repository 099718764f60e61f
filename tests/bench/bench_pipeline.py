"""Time per question and memory of the whole pipeline, from 1K to 260K questions, with the scripted engines.

The demo world is built once, small; its questions are repeated over hard links of its media, so that every id, journal
line, verdict and row is a real one. The media count as measured by an earlier run: bench_frames.py is about decoding.
Each size runs in a fresh process; questions that are not answered and judged fail the bench.

    python tests/bench/bench_pipeline.py --sizes 1000 10000 260000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from curation.decoding import DecoderPool
from curation.demo import demo_config
from curation.journal import Journal
from curation.media import MediaRecord, build_manifest
from curation.run import run
from curation.run_config import RunConfig
from curation.schema import question_id
from curation.sources.shapes import build_world

WORLD_QUESTIONS = 200
LIMIT_RSS_GB = 1.5


def main() -> None:
    """Run every size in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 50_000, 260_000])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        measure_one(args.one)
        return
    table = Table(title=f"Pipeline, scripted engines (RSS limit {LIMIT_RSS_GB} GB)", title_justify="left")
    for column in ("questions", "s", "ms a question", "ratio to the first", "peak RSS GB"):
        table.add_column(column, justify="right")
    first_ms = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            root = Path(folder) / str(size)
            multiply_world(root, size)
            ran = subprocess.run(
                [sys.executable, __file__, "--one", str(root)], check=True, stdout=subprocess.PIPE, text=True
            )
            seconds, rss_gb = json.loads(ran.stdout.splitlines()[-1])
            each_ms = 1000 * seconds / size
            first_ms = first_ms or each_ms
            table.add_row(f"{size:,}", f"{seconds:.1f}", f"{each_ms:.2f}", f"{each_ms / first_ms:.2f}", f"{rss_gb:.2f}")
            shutil.rmtree(root)
    Console().print(table)


def multiply_world(root: Path, num_questions: int) -> None:
    """A world whose questions occur again and again, each time about its own link to the media file."""
    world = root / "world"
    build_world(world, num_questions=WORLD_QUESTIONS, seed=0)
    broken = json.loads((world / "faults.json").read_text())
    questions = [q for q in json.loads((world / "questions.json").read_text()) if q["path"] not in broken]
    scenes = [json.loads(line) for line in (world / "scenes.jsonl").read_text().splitlines()]
    scene_of = {scene["id"]: scene for scene in scenes}
    records = asyncio.run(measure_media(root, world, {question["path"] for question in questions}))
    (root / "run").mkdir()
    with (
        (root / "many.jsonl").open("w") as many,
        (root / "scenes.jsonl").open("w") as many_scenes,
        Journal(root / "run" / "media.jsonl") as manifest,
    ):
        for number in range(num_questions):
            copy, place = divmod(number, len(questions))
            if place == 0:
                for path, record in records.items():
                    link = world / f"copy{copy}" / path
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.hardlink_to(world / path)
                    manifest.append(record.as_row() | {"path": f"copy{copy}/{path}"})
            question = questions[place]
            scene = scene_of[question_id(question["path"], question["problem"], question["options"])]
            path = f"copy{copy}/{question['path']}"
            many.write(json.dumps(question | {"path": path, "problem_id": number}) + "\n")
            fresh_id = question_id(path, question["problem"], question["options"])
            many_scenes.write(json.dumps(scene | {"id": fresh_id}) + "\n")
    (root / "run" / "config.yaml").touch()


async def measure_media(root: Path, world: Path, paths: set[str]) -> dict[str, MediaRecord]:
    """The manifest of the small world."""
    async with DecoderPool(demo_config(root / "run", num_questions=WORLD_QUESTIONS, seed=0).video) as pool:
        return await build_manifest(sorted(paths), root=world, pool=pool, manifest_path=root / "small.jsonl")


def measure_one(root: Path) -> None:
    """Run one size and print [seconds, peak RSS in GB] of this process."""
    base = demo_config(root / "run", num_questions=WORLD_QUESTIONS, seed=0).model_dump(mode="json")
    base["source"] = {"kind": "videor1", "paths": [str(root / "many.jsonl")], "media_root": str(root / "world")}
    base["generate"]["engine"]["scenes"] = str(root / "scenes.jsonl")
    base["tokenizer"] = str(root / "world" / "tokenizer.json")
    config = RunConfig.model_validate(base)
    started_s = time.perf_counter()
    report = asyncio.run(run(config, console=Console(stderr=True)))
    seconds = time.perf_counter() - started_s
    unwanted = {step.step: step.reasons for step in report.funnel.steps if step.step in ("source", "media", "generate")}
    if any(unwanted.values()) or "unscored" in str(report.funnel):
        sys.exit(f"not every question was answered and judged: {report.funnel}")
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([seconds, peak_kb / 1e6]))


if __name__ == "__main__":
    main()

"""Small files in the shapes of the outside world, so that every command can be tried on the demo without a network.

outside/benchmark/questions.json, videos/   a benchmark that shares two clips and one question with the demo
outside/release/demo_{sft,rl}.*.json.gz     parts as the authors publish them: most of our traces, and some of others
outside/mirror/media/*.zip                  the demo's media, zipped as a media repository on the hub holds them

What was planted is known, so what a command should find is known too: `Planted` says it.
"""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from curation.facts import scan_config
from curation.trace import Trace, render_trace

NUM_SHARED_CLIPS: Final = 2
NUM_FOREIGN: Final = 5
# Of ten accepted rows the release has this many; the others were "rejected" by it.
KEPT_OF_TEN: Final = 8
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Planted:
    """What the files hold of the demo. Rows are accepted and rejected ones together."""

    num_rows_of_shared_clips: int
    num_release_shared: int
    num_release_foreign: int
    num_archived: int


def write_outside(run_dir: Path) -> Planted:
    """Write `outside/` into the run directory, in place of an older one. Same run, same files."""
    outside = run_dir / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    rows = pl.concat([scan_config(run_dir / "dataset", config) for config in ("cot", "rejected")], how="diagonal")
    frame = rows.filter(pl.col("media_sha256").is_not_null()).sort("id").collect()
    kept = frame.filter(pl.col("rejected_by").is_null()).to_dicts()
    num_of_clips = _write_benchmark(outside / "benchmark", frame, run_dir / "world")
    num_shared = _write_release(outside / "release", kept, frame.to_dicts())
    num_archived = _write_mirror(outside / "mirror" / "media", run_dir / "world" / "media")
    return Planted(num_of_clips, num_shared, NUM_FOREIGN, num_archived)


def _write_benchmark(folder: Path, rows: pl.DataFrame, world: Path) -> int:
    """A benchmark in MVBench's layout. Two of its clips are the demo's under other names. Returns the rows of those."""
    videos = folder / "videos"
    videos.mkdir(parents=True)
    clips = rows.filter(pl.col("data_type") == "video")["path"].unique().sort()[:NUM_SHARED_CLIPS].to_list()
    records = []
    for number, path in enumerate(clips):
        shutil.copyfile(world / path, videos / f"shared_{number}.mp4")
        records.append(_benchmark_record(f"shared_{number}.mp4", "What happens after the music begins?"))
    copied = rows["problem"].drop_nulls().sort(descending=True).item(0)
    records.append(_benchmark_record("unlike_any_other.mp4", copied))
    records += [
        _benchmark_record(f"foreign_{number}.mp4", f"Who of the {number + 2} dancers leaves the stage first of all?")
        for number in range(NUM_FOREIGN)
    ]
    (folder / "questions.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    return rows.filter(pl.col("path").is_in(clips)).height


def _benchmark_record(video: str, question: str) -> dict[str, Any]:
    return {"video": video, "question": question, "candidates": ["yes", "no"], "answer": "yes"}


def _write_release(folder: Path, kept: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> int:
    """The traces that "the authors" accepted, in two parts, and their RL questions in one. Returns the shared ones."""
    folder.mkdir(parents=True)
    shared = [row for number, row in enumerate(kept) if number % 10 < KEPT_OF_TEN]
    foreign = [dict(kept[0]) | {"path": f"./elsewhere/{number}.mp4"} for number in range(NUM_FOREIGN)] if kept else []
    records = [_release_record(number, row) for number, row in enumerate([*shared, *foreign])]
    half = len(records) // 2
    for part, chunk in enumerate((records[:half], records[half:]), start=1):
        _write_gzip(folder / f"demo_sft.part{part}of2.json.gz", chunk)
    questions = [
        {name: str(value) for name, value in _question_fields(number, row).items()} for number, row in enumerate(rows)
    ]
    _write_gzip(folder / "demo_rl.part1of1.json.gz", questions)
    return len(shared)


def _release_record(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The fifteen fields of the release."""
    said = Trace(row["observation"], row["think"], row["answer"])
    return _question_fields(number, row) | {
        "answer": said.answer,
        "observation": said.observation,
        "process": f"<think>{said.think}</think>",
        "output": render_trace(said),
        "reward": row["score"],
        "select": True,
        "clean_version": "demo",
    }


def _question_fields(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("problem", "options", "solution", "path", "data_source", "data_type", "problem_type")
    return {name: row[name] for name in names} | {"problem_id": number}


def _write_gzip(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_bytes(gzip.compress(json.dumps(records).encode(), mtime=0))


def _write_mirror(folder: Path, media: Path) -> int:
    """media/clips.zip holds clips/..., and so on: archives lie where they are unpacked. Returns the number of files."""
    folder.mkdir(parents=True)
    num_files = 0
    for source in sorted(path for path in media.iterdir() if path.is_dir()):
        with zipfile.ZipFile(folder / f"{source.name}.zip", "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(source.iterdir()):
                archive.writestr(zipfile.ZipInfo(f"{source.name}/{path.name}", _ZIP_TIME), path.read_bytes())
                num_files += 1
    return num_files

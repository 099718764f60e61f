"""Small dataset folders on disk, with the published columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.schema import CONFIG_FILES, CONFIGS, QUESTION


def kept_row(number: int, **changes: Any) -> dict[str, Any]:
    """A trace row that says nothing special; `changes` replace columns."""
    row = {
        "id": f"{number:016x}",
        "problem_id": number,
        "problem": f"Which colour has ball {number}?",
        "options": ["A. red", "B. blue", "C. green"],
        "data_type": "video",
        "problem_type": "multiple choice",
        "solution": "<answer>B</answer>",
        "path": f"./clips/{number}.mp4",
        "data_source": "CLEVRER",
        "license": "CC0-1.0",
        "observation": f"Based on the question, I need to notice ball {number}.",
        "think": f"Based on the observations, ball {number} is blue.",
        "answer": "B",
        "score": 1.0,
        "verdict": "sufficient",
        "verdict_reason": "the colour is stated",
        "observation_tokens": 150,
        "think_tokens": 400,
        "flags": [],
        "overlaps": None,
        "media_sha256": "ab" * 32,
        "media_duration_s": 2.5,
        "media_num_frames": 60,
        "generator": "org/generator",
        "prompt_sha256": "cd" * 32,
        "judge": "judge-1",
        "judge_prompt_sha256": "ef" * 32,
        "attempt": 1,
    }
    assert set(changes) <= {*row, "rejected_by", "detail", "completion"}
    return row | changes


def rejected_row(number: int, rejected_by: str, **changes: Any) -> dict[str, Any]:
    """A row of config rejected; what its step never reached is null."""
    row = kept_row(number) | {"rejected_by": rejected_by, "detail": "why", "completion": None}
    step = rejected_by.split(":")[0]
    if step in ("source", "media", "generate"):
        row |= dict.fromkeys(
            (
                "observation",
                "think",
                "answer",
                "score",
                "flags",
                "observation_tokens",
                "think_tokens",
                "attempt",
                "generator",
            )
        )
    if step != "verify":
        row |= dict.fromkeys(("verdict", "verdict_reason", "judge", "judge_prompt_sha256"))
    if rejected_by.startswith("verify:"):
        row["verdict"] = "insufficient" if rejected_by == "verify:insufficient" else None
    return row | changes


def write_folder(
    folder: Path,
    kept: Sequence[Mapping[str, Any]] = (),
    rejected: Sequence[Mapping[str, Any]] = (),
    *,
    num_files: int = 1,
) -> Path:
    """A dataset folder with all three configs; `rl` holds the questions of the kept rows."""
    rows = {"cot": kept, "rejected": rejected, "rl": [{name: row[name] for name in QUESTION.names} for row in kept]}
    for config, schema in CONFIGS.items():
        stem = folder / CONFIG_FILES[config]
        stem.parent.mkdir(parents=True, exist_ok=True)
        for place in range(num_files):
            path = stem.with_name(f"{stem.name}-{place:05d}-of-{num_files:05d}.parquet")
            table = pa.Table.from_pylist([dict(row) for row in rows[config][place::num_files]], schema=schema)
            with pq.ParquetWriter(path, schema) as writer:
                if table.num_rows:
                    writer.write_table(table)
    return folder

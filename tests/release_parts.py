"""Gzip JSON parts in the exact shape of the authors' release; every text is invented."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.trace import BLOCKS

COT = "VideoP2R-162k_sft"
RL = "VideoP2R-263k_rl"
GOLD = {"multiple choice": "B", "numerical": "12", "OCR": "STOP AHEAD", "free-form": "it moves on", "regression": "8"}
PROBLEM_TYPES = tuple(GOLD)


def record(number: int, *, trace: Mapping[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """One CoT record: the 15 fields. `trace` replaces blocks of its trace, `changes` whole fields."""
    problem_type = changes.get("problem_type", PROBLEM_TYPES[number % 5])
    gold = GOLD.get(problem_type, "?")
    said = {
        "observation": f"Based on the question, I need to notice block {number}, which stands left and then moves.",
        "think": f"Based on the observations, block {number} goes to the right, and nothing speaks against that.",
        "answer": gold,
    } | dict(trace or {})
    fields = {
        "problem": f"Where does block {number} go?",
        "options": ["A. to the left", "B. to the right"] if problem_type == "multiple choice" else [],
        "solution": f"<answer>{gold}</answer>",
        "answer": gold,
        "path": f"./CLEVRER/train/video_{number:05d}.mp4",
        "data_source": "CLEVRER",
        "data_type": "video",
        "problem_type": problem_type,
        "observation": said["observation"],
        "process": f"<think>{said['think']}</think>",
        "output": written(said),
        "problem_id": number,
        "reward": 1.0,
        "select": True,
        "clean_version": "v2",
    }
    assert set(changes) <= set(fields)
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def written(said: Mapping[str, str]) -> str:
    """The three blocks as one completion."""
    observation, think, answer = (f"<{name}>{said[name]}</{name}>" for name in BLOCKS)
    return f"{observation} {think}{answer}"


def stringified(cot: Mapping[str, Any]) -> dict[str, str]:
    """The same record as the RL file spells it: str() of every value."""
    return {name: str(value) for name, value in cot.items()}


def write_parts(folder: Path, stem: str, records: Sequence[object], num_parts: int = 2) -> list[Path]:
    """`STEM.partNofM.json.gz`, each a JSON list of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(records) // num_parts)
    paths = []
    for number in range(1, num_parts + 1):
        path = folder / f"{stem}.part{number}of{num_parts}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(records[(number - 1) * size : number * size]).encode(), 1))
        paths.append(path)
    return paths


def from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of our config cot as the release would spell it."""
    said = {name: row[name] for name in BLOCKS}
    question = {name: row[name] for name in ("problem", "options", "solution", "path", "data_source", "data_type")}
    return question | {
        "answer": row["solution"].removeprefix("<answer>").removesuffix("</answer>"),
        "problem_type": row["problem_type"],
        "observation": row["observation"],
        "process": f"<think>{row['think']}</think>",
        "output": written(said),
        "problem_id": row["problem_id"],
        "reward": 1.0,
        "select": True,
        "clean_version": None,
    }


def nasty_records() -> dict[str, dict[str, Any]]:
    """Expected outcome -> a record: `rejected_by` for a rejected row, else the flag of a kept one."""
    return {
        "filter:format": record(100, output="<observation>only this</observation>"),
        "filter:format, cut": record(101, output=record(101)["output"][:-9]),
        "filter:format, no observation": record(102, output="<think>a</think><answer>B</answer>"),
        "filter:format, empty": record(103, output=""),
        "generate:no_output": record(104, output=None),
        "generate:no_output, a number": record(105, output=5),
        "generate:no_output, absent": record(106, output=...),
        "generate:bad_encoding": record(107, output=record(107)["output"].replace("left", "\ud800")),
        "source:missing_field": record(108, problem=...),
        "source:bad_options": record(110, options=[]),
        "source:unknown_problem_type": record(111, problem_type="riddle"),
        "source:bad_solution": record(112, solution="12"),
        "source:bad_encoding": record(113, problem="what\x00?"),
        "source:bad_problem_id": record(114, problem_id="seven"),
        "fields_disagree": record(120, observation="Something else was seen."),
        "fields_disagree, process": record(121, process="<think>Something else.</think>"),
        "fields_disagree, answer": record(122, answer="EXIT"),
        "fields_disagree, a number": record(123, process=7),
        "score_below_threshold": record(125, trace={"answer": "A"}),
    }

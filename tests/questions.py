"""Twenty Video-R1 records over real files, and model servers that answer them, for the tests of the whole pipeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from curation.trace import Trace, render_trace
from tests import clips
from tests.loopback import LoopbackServer, prompt_of

FACTS = (
    "Based on the question, I need to notice the moving shape in the middle of the clip, its colour and where it goes. "
    "A bright block stands on the left at first, drifts towards the right edge and stays there until the clip ends."
)
THOUGHT = (
    "Based on the observations, the block travels from the left to the right without turning round, so the question "
    "can be settled from what was seen; checking once more, nothing else in the clip contradicts that reading."
)
PROBLEM_TYPES = ("multiple choice", "numerical", "OCR", "free-form", "regression")
GOLD = {
    "multiple choice": "B",
    "numerical": "12",
    "OCR": "STOP AHEAD",
    "free-form": "the block moves right",
    "regression": "40.5",
}
WRONG = {
    "multiple choice": "A",
    "numerical": "13",
    "OCR": "EXIT",
    "free-form": "nothing like that happens anywhere",
    "regression": "4",
}


def write_media(root: Path) -> None:
    """Real files, good and bad, under one media root."""
    folder = root / "Folder"
    folder.mkdir(parents=True)
    clips.write_video(folder / "good.mp4", num_frames=20)
    clips.write_video(folder / "good.webm", num_frames=12, codec="libvpx-vp9")
    clips.write_picture(folder / "good.png")
    clips.truncate(folder / "good.mp4", folder / "truncated.mp4", keep=0.5)
    clips.write_audio(folder / "audio.mp4")
    (folder / "empty.mp4").touch()


def record(number: int, path: str, **changes: Any) -> dict[str, Any]:
    """A Video-R1 record with a wording of its own."""
    problem_type = changes.get("problem_type", PROBLEM_TYPES[number % 5])
    return {
        "problem_id": number,
        "problem": f"Question number {number}: where does the block go?",
        "data_type": "image" if path.endswith(".png") else "video",
        "problem_type": problem_type,
        "options": ["A. to the left", "B. to the right"] if problem_type == "multiple choice" else [],
        "solution": f"<answer>{GOLD.get(problem_type, '?')}</answer>",
        "path": f"./Folder/{path}",
        "data_source": "Folder",
    } | changes


def twenty_records() -> list[dict[str, Any]]:
    """10 that become traces, 4 that the filter or the judge rejects, 4 with bad media, 2 that are no questions."""
    good = ("good.mp4", "good.webm", "good.png", "good.mp4", "good.mp4")
    records = [record(number, good[number % 5]) for number in range(14)]
    records += [
        record(14, "missing.mp4"),
        record(15, "truncated.mp4"),
        record(16, "audio.mp4"),
        record(17, "empty.mp4"),
        record(18, "good.mp4", problem_type="riddle"),
        records[0],
    ]
    return records


def write_world(root: Path, records: list[dict[str, Any]]) -> Path:
    """Media and questions.json; returns the media root."""
    write_media(root / "media")
    (root / "questions.json").write_text(json.dumps(records))
    return root / "media"


@dataclass
class Models:
    """Scripted minds behind the loopback servers: they recognise a question by its number."""

    wrong: set[int] = field(default_factory=lambda: {10})
    broken: set[int] = field(default_factory=lambda: {11})
    insufficient: set[int] = field(default_factory=lambda: {12})
    unparsable: set[int] = field(default_factory=lambda: {13})

    def write_trace(self, body: Mapping[str, Any]) -> str:
        """The generator."""
        number = question_number(prompt_of(body))
        problem_type = PROBLEM_TYPES[number % 5]
        answer = (WRONG if number in self.wrong else GOLD)[problem_type]
        text = render_trace(Trace(f"{FACTS} This is clip {number}.", THOUGHT, answer))
        return text.replace("<answer>", "</<answer>") if number in self.broken else text

    def judge(self, body: Mapping[str, Any]) -> str:
        """The judge."""
        number = question_number(prompt_of(body))
        if number in self.unparsable:
            return "I would rather not say."
        judgement = "No" if number in self.insufficient else "Yes"
        return json.dumps({"explanation": f"about question {number}", "judgement": judgement})


def question_number(prompt: str) -> int:
    """Which question a prompt is about."""
    return int(prompt.split("Question number ", 1)[1].split(":", 1)[0])


def write_config(root: Path, generator: LoopbackServer, judge: LoopbackServer, **changes: Any) -> Path:
    """A run config over `root`, with dotted changes."""
    config: dict[str, Any] = {
        "run_dir": str(root / "run"),
        "source": {"kind": "videor1", "paths": [str(root / "questions.json")], "media_root": str(root / "media")},
        "video": {"num_frames": 4, "max_pixels": 28 * 28 * 16, "min_pixels": 28 * 28, "num_workers": 1},
        "generate": {
            "engine": {"kind": "openai", "base_url": generator.openai_url, "model": "tiny-vl", "timeout_s": 60},
            "dispatch": {"max_in_flight": 4, "backoff_s": 0.05, "backoff_cap_s": 0.2},
        },
        "verify": {
            "engine": {"kind": "anthropic", "base_url": judge.url, "api_key_env": "JUDGE_KEY", "timeout_s": 60},
            "dispatch": {"max_in_flight": 4, "backoff_s": 0.05, "backoff_cap_s": 0.2},
        },
        "shard_size": 6,
    }
    for name, value in changes.items():
        section = config
        *sections, key = name.split("__")
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def command(*words: str | Path) -> list[str]:
    """`python -m curation ...` with this interpreter."""
    return [sys.executable, "-m", "curation", *map(str, words)]

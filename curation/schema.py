"""The published format: the columns of every config, as plain strings and numbers.

A question is an input row. A trace row is a question with its accepted trace. A rejected row is the same plus the
reason; nothing is dropped without one. `rejected_by` reads "step:reason", and step is one of STEPS.
Null is not zero: a column that was not measured is null.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa

SCHEMA_VERSION: Final = 1
PROBLEM_TYPES: Final = ("multiple choice", "numerical", "OCR", "free-form", "regression")
DATA_TYPES: Final = ("image", "video")
# What other files in this schema write for these types, in small letters and words.
_ALIASES: Final = {
    "multiple choice": (
        *("multichoice", "multi choice", "single choice", "choice", "mc", "mcq", "mcqs", "mcqa"),
        *("multiple choice question", "multi choice question"),
    ),
    "numerical": ("numeric", "number", "numbers", "num", "integer", "numerical answer"),
    "OCR": ("ocr", "text recognition"),
    "free-form": (
        *("free form", "freeform", "free text", "free response", "open ended", "openended", "open", "open question"),
        *("open ended question", "oe"),
    ),
    "regression": ("regress",),
}
_PROBLEM_TYPES: Final = {
    name: problem_type
    for problem_type in PROBLEM_TYPES
    for name in (problem_type.lower().replace("-", " "), *_ALIASES[problem_type])
}
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
STEPS: Final = ("source", "media", "generate", "filter", "verify")

SUFFICIENT: Final = "sufficient"
INSUFFICIENT: Final = "insufficient"
BAD_ENCODING: Final = "generate:bad_encoding"  # why a completion that cannot be stored is rejected


@dataclass(frozen=True, slots=True)
class Question:
    """One input row. `solution` keeps its <answer> tags, as upstream; `path` is relative to the media root."""

    id: str
    problem_id: int | None
    problem: str
    options: tuple[str, ...]
    data_type: str
    problem_type: str
    solution: str
    path: str
    data_source: str | None
    license: str | None

    def as_row(self) -> dict[str, Any]:
        """The question's columns."""
        row = asdict(self)
        row["options"] = list(self.options)
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Question:
        """The inverse of `as_row`; further columns are left alone."""
        return cls(
            **{name: row[name] for name in QUESTION.names if name != "options"}, options=tuple(row["options"] or ())
        )


@dataclass(frozen=True, slots=True)
class SourceReject:
    """A record that is no question. `record` counts from 1: the line of a JSONL file, else the place in the list.

    readable: those of its columns that could be read all the same.
    """

    file: str
    record: int
    reason: str
    detail: str
    readable: Mapping[str, Any] = field(default_factory=dict)

    def as_row(self, row_id: str) -> dict[str, Any]:
        """Its row in config rejected, under an id of its own: that of a question would take it for one."""
        return {
            "options": [],
            "flags": [],
            **self.readable,
            "id": row_id,
            "rejected_by": f"source:{self.reason}",
            "detail": f"{self.file} record {self.record}: {self.detail}",
        }


def find_unstorable(text: str) -> str | None:
    """What UTF-8, Parquet, a path or a page cannot hold: U+0000 and lone surrogates, of questions and traces alike.

    Undecodable bytes of a file arrive as lone surrogates.
    """
    found = _UNSTORABLE.search(text)
    return None if found is None else f"character {found.start()} is {found[0]!a}, which text cannot hold"


def read_problem_type(text: str) -> str | None:
    """The problem type that a text names, in any spelling ("Multiple_Choice") or by an alias ("mcq"); None if none."""
    return _PROBLEM_TYPES.get(" ".join(text.lower().replace("-", " ").replace("_", " ").split()))


def question_id(path: str, problem: str, options: Sequence[str]) -> str:
    """Stable across runs and versions: 16 hex digits over the source path, the problem and its options."""
    payload = json.dumps([path.removeprefix("./"), problem, list(options)], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(payload.encode()).hexdigest()[:16]


def _strings() -> pa.DataType:
    return pa.list_(pa.string())


QUESTION: Final = pa.schema(
    [
        ("id", pa.string()),
        ("problem_id", pa.int64()),
        ("problem", pa.string()),
        ("options", _strings()),
        ("data_type", pa.string()),
        ("problem_type", pa.string()),
        ("solution", pa.string()),
        ("path", pa.string()),
        ("data_source", pa.string()),
        ("license", pa.string()),
    ]
)

TRACE: Final = pa.schema(
    [
        *QUESTION,
        ("observation", pa.string()),
        ("think", pa.string()),
        ("answer", pa.string()),
        ("score", pa.float64()),
        ("verdict", pa.string()),
        ("verdict_reason", pa.string()),
        ("observation_tokens", pa.int64()),
        ("think_tokens", pa.int64()),
        ("flags", _strings()),
        ("overlaps", _strings()),
        ("media_sha256", pa.string()),
        ("media_duration_s", pa.float64()),
        ("media_num_frames", pa.int64()),
        ("generator", pa.string()),
        ("prompt_sha256", pa.string()),
        ("judge", pa.string()),
        ("judge_prompt_sha256", pa.string()),
        ("attempt", pa.int64()),
    ]
)

REJECTED: Final = pa.schema(
    [*TRACE, ("rejected_by", pa.string()), ("detail", pa.string()), ("completion", pa.string())]
)

# What RL training writes to rollouts/rollouts-*.parquet, one row per completion, all of it strings and numbers.
# Perception is the observation, reasoning is think and answer; each has its own reward, and its own advantage within
# the group (VideoP2R eq. 6). A completion that misses the template has no texts; where the judge gave no verdict the
# perception reward is masked, so that its accuracy, length, sum and advantage are null.
ROLLOUT: Final = pa.schema(
    [
        ("step", pa.int64()),  # the update that it was sampled for, from 1
        ("group", pa.string()),  # the prompt: at one step, the rollouts of a group have the same
        ("rollout", pa.int64()),  # which one of its group
        ("id", pa.string()),  # of the question
        ("completion", pa.string()),  # raw, as the model wrote it
        ("observation", pa.string()),  # this and the next two: null where the completion misses the template
        ("think", pa.string()),
        ("answer", pa.string()),
        ("verdict", pa.string()),  # sufficient, insufficient; null = masked
        ("perception_accuracy", pa.float64()),  # 1 sufficient, 0 insufficient
        ("perception_format", pa.float64()),  # 0 or 1
        ("perception_length", pa.float64()),  # 0 or 0.2
        ("perception_reward", pa.float64()),  # the sum of the three
        ("perception_advantage", pa.float64()),
        ("reasoning_accuracy", pa.float64()),  # the score of the answer, in [0, 1]
        ("reasoning_format", pa.float64()),
        ("reasoning_length", pa.float64()),
        ("reasoning_reward", pa.float64()),
        ("reasoning_advantage", pa.float64()),
        ("observation_tokens", pa.int64()),
        ("think_tokens", pa.int64()),
        ("answer_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("model", pa.string()),  # the policy that is trained
        ("dataset_repo", pa.string()),  # on the questions of this dataset
        ("dataset_tag", pa.string()),
        ("dataset_commit", pa.string()),
    ]
)

CONFIGS: Final[Mapping[str, pa.Schema]] = {"cot": TRACE, "rejected": REJECTED, "rl": QUESTION}
CONFIG_FILES: Final[Mapping[str, str]] = {"cot": "data/train", "rejected": "rejected/rejected", "rl": "rl/rl"}

"""VCR-Bench: questions with annotated steps, in seven dimensions; letters, texts, time intervals or boxes.

Not pritamqu/VCRBench, which lmms-eval calls vcrbench: that one orders clips.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Final

from training.benchmarks.answers import read_box, read_float, read_interval
from training.benchmarks.loaders.layout import NOT_MULTIPLE_CHOICE, Columns, Layout, LeftOut, Row, is_number
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.options import cut_choices, gold_letter, letter_choices
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Kind, Protocol

_BRACKETS: Final = re.compile(r"\[[^\[\]]*\]")
_SHORT_S, _MEDIUM_S = 60, 300
_VIDEOS: Final = "v1/videos"


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    has_choices = _is_multiple_choice(row)
    if not has_choices and protocol == "videor1":
        return LeftOut(NOT_MULTIPLE_CHOICE)
    options = letter_choices(_choices(row)) if has_choices else ()
    if has_choices and not options:
        raise row.fault("a multiple-choice question has no choices")
    answer = row.gold("answer")
    path = row.text("video_path").removeprefix("./")
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=row.identifier("id"),
        kind="mc" if options else open_kind(answer),
        text=cut_choices(row.text("question"), options),
        options=options,
        answer=gold_letter(answer, options) if options else answer,
        media=media.find(path, f"{_VIDEOS}/{path}", path.removeprefix(f"{_VIDEOS}/")),
        groups={"task": row.text("dimension")} | _duration_group(row),
    )


def _is_multiple_choice(row: Row) -> bool:
    """The key has a hyphen; a TSV says True as text."""
    value = row.values["multiple-choice"]
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise row.fault(f"multiple-choice must be true or false, not {value!r}")
    return value


def _choices(row: Row) -> Mapping[str, str]:
    """A mapping, or its text in a TSV."""
    value = row.values["choices"]
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            value = None
    return row.choices("choices", value)


def open_kind(answer: str) -> Kind:
    """By the gold alone, as VCR-Bench's own evaluation tells them apart."""
    if _BRACKETS.fullmatch(answer):
        if read_interval(answer):
            return "interval"
        if read_box(answer):
            return "box"
    return "open"


def _duration_group(row: Row) -> dict[str, str]:
    """In the bands of the paper; a TSV writes the seconds as text."""
    value = row.values["duration"]
    seconds = read_float(value) if isinstance(value, str) else float(value) if is_number(value) else None
    if seconds is None:
        raise row.fault(f"duration must be seconds, not {value!r}")
    return {"duration": "short" if seconds <= _SHORT_S else "medium" if seconds <= _MEDIUM_S else "long"}


LAYOUT: Final = Layout(
    name="vcr_bench",
    title="VCR-Bench",
    repo="VLM-Reasoning/VCR-Bench",
    mirrors=(),
    licence="not stated on its page",
    is_gated=False,
    split="test",
    parts={"test": (f"{_VIDEOS}/meta_info_video.json", "meta_info_video.json", "VCR-Bench.tsv")},
    default_parts=("test",),
    columns=Columns(
        frozenset(("id", "video_path", "duration", "dimension", "question", "multiple-choice", "choices", "answer")),
        optional=frozenset(("reasoning", "response", "index")),
    ),
    num_rows=1_034,
    media="v1/videos/video.zip, beside meta_info_video.json",
    media_bytes=None,
    read=_read,
    num_asked={"videor1": 510},
)

"""MMVU, validation: expert questions of 27 subjects. The paper's figure is of the 625 with options."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from training.benchmarks.loaders.layout import NOT_MULTIPLE_CHOICE, Columns, Layout, LeftOut, Row
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.options import gold_letter, letter_choices
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Protocol

_TYPES: Final = ("multiple-choice", "open-ended")
_LINK: Final = re.compile(r"https?://.*?/resolve/[^/]+/(.+)")


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    if row.one_of("question_type", _TYPES) == "open-ended":
        return LeftOut(NOT_MULTIPLE_CHOICE)
    options = letter_choices(row.choices("choices", row.values["choices"]))
    if not options:
        raise row.fault("a multiple-choice question has no choices")
    video = _video_name(row)
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=row.identifier("id"),
        kind="mc",
        text=row.text("question"),
        options=options,
        answer=gold_letter(row.gold("answer"), options),
        media=media.find(video, video.removeprefix("videos/")),
        groups={"task": "multiple-choice"} | subject_group(video),
    )


def subject_group(video: str) -> dict[str, str]:
    """The folder, not metadata.subject, which differs from it in a few rows."""
    folder = PurePosixPath(video).parent.name
    return {"subject": folder} if folder else {}


def _video_name(row: Row) -> str:
    """ "videos/Chemistry/0.mp4", from the link of the original or the path of a mirror."""
    name = row.text("video" if row.values.get("video") is not None else "video_path")
    link = _LINK.fullmatch(name)
    return link[1] if link else name.removeprefix("./")


LAYOUT: Final = Layout(
    name="mmvu",
    title="MMVU",
    repo="yale-nlp/MMVU",
    mirrors=("lmms-lab/MMVU", "lmms-eval/MMVU"),
    licence="not stated on its page",
    is_gated=False,
    split="validation",
    parts={"validation": ("validation.json", "data/validation*.parquet", "validation*.parquet", "data/*.parquet")},
    default_parts=("validation",),
    columns=Columns(
        frozenset(("id", "question_type", "question", "choices", "answer")),
        optional=frozenset(("youtube_url", "metadata")),
        one_of=frozenset(("video", "video_path")),
    ),
    num_rows=1_000,
    media="the folder videos/ of the repository (a mirror: videos.zip)",
    media_bytes=941_000_000,
    read=_read,
    num_asked={"videor1": 625, "official": 625},
)

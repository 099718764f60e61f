"""Video-MME without subtitles: 900 videos of three lengths, three questions each."""

from __future__ import annotations

from typing import Final

from training.benchmarks.loaders.layout import Columns, Layout, LeftOut, Row
from training.benchmarks.loaders.media import MediaRoot, with_suffixes
from training.benchmarks.loaders.options import gold_letter, letter_options
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Protocol

DURATIONS: Final = ("short", "medium", "long")


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    options = letter_options(row.texts("options"))
    video = row.text("videoID")
    names = [name for base in ("data/", "", "videos/") for name in with_suffixes(f"{base}{video}.mp4")]
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=row.text("question_id"),
        kind="mc",
        text=row.text("question"),
        options=options,
        answer=gold_letter(row.gold("answer"), options),
        media=media.find(*names),
        groups={
            "task": row.text("task_type"),
            "duration": row.one_of("duration", DURATIONS),
            "domain": row.text("domain"),
            "subject": row.text("sub_category"),
        },
    )


LAYOUT: Final = Layout(
    name="video_mme",
    title="Video-MME",
    repo="lmms-lab/Video-MME",
    mirrors=("lmms-eval/Video-MME",),
    licence="academic research only, no commercial use",
    is_gated=False,
    split="test",
    parts={"videomme": ("videomme/test*.parquet", "test*.parquet")},
    default_parts=("videomme",),
    columns=Columns(
        frozenset(
            (
                *("video_id", "duration", "domain", "sub_category", "url", "videoID", "question_id", "task_type"),
                *("question", "options", "answer"),
            )
        )
    ),
    num_rows=2_700,
    media="videos_chunked_01.zip to videos_chunked_20.zip, to data/",
    media_bytes=100_000_000_000,
    read=_read,
)

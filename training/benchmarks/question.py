"""One type for a question of any benchmark. Loaders make it, prompts and engines read it, the scorer knows its gold.

What a question needs of its video is in `media`. A video that is not there is a fact about the question (`missing`)
and no reason to leave the question out: it stays in the denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curation.scoring.choice import parse_options
from training.benchmarks.scoring import Gold, Kind

MediaKind = Literal["video", "image", "frames"]


@dataclass(frozen=True, slots=True)
class MediaReference:
    """What the model is to see.

    name: relative to the media root, with "/": the same on every machine. file: where it is; None when it is missing.
    kind: `frames` is a folder of pictures, `fps` of them a second of the video that they are from.
    start_s, end_s: the part to show of a longer file; None from its start, or to its end. is_part: of a longer video,
    by these bounds or because the file is cut already.
    image: a further picture, its encoded bytes or its file (the exam page of VideoMMMU's adaptation track, which is
    also what the video ends with).
    missing: why there is nothing to show, such as "missing" or "outside_root"; None when all of it is there.
    """

    name: str
    file: Path | None
    kind: MediaKind = "video"
    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    image: bytes | Path | None = None
    missing: str | None = None
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class BenchmarkQuestion:
    """One row of a benchmark.

    benchmark: one of the names in loaders. uid: unique within the benchmark, the same in every run over its revision.
    text: what is asked, without the options. options: as they are to be shown, each with its letter ("J. sucrose"); of
    kind `match` the lines to choose from ("Option 1: A man runs."); else none.
    answer: the gold in the form of its kind (scoring.check_gold): a letter for `mc`, a line for `match`.
    groups: what the score is broken down by; "task" wherever the source says it (a track of VideoMMMU and a dimension
    of VCR-Bench are tasks too), further dimension, duration, subject, difficulty and the like. Never null.
    """

    benchmark: str
    uid: str
    kind: Kind
    text: str
    options: tuple[str, ...]
    answer: str
    media: MediaReference
    groups: Mapping[str, str]

    @property
    def letters(self) -> tuple[str, ...]:
        """Of the options, A to J and beyond; none of kinds without letters."""
        return tuple(option.letter for option in parse_options(self.options)) if self.kind == "mc" else ()

    @property
    def gold(self) -> Gold:
        """What the scorer needs."""
        return Gold(self.kind, self.answer, self.options)

    @property
    def is_missing(self) -> bool:
        """Whether it cannot be asked with what the benchmark shows."""
        return self.media.missing is not None


@dataclass(frozen=True, slots=True)
class LoadedBenchmark:
    """The questions of a benchmark in the order of its files, and what is not as it should be.

    revision: the hub's commit, or a hash of the files read. left_out: reason -> rows that are not asked.
    num_published: the rows that the whole benchmark is said to have, in files of this form; None where no source says.
    extra_columns: that the files have beside the known ones; they are not read.
    """

    benchmark: str
    revision: str
    questions: tuple[BenchmarkQuestion, ...]
    left_out: Mapping[str, int]
    num_published: int | None
    extra_columns: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """All rows that were read."""
        return len(self.questions) + sum(self.left_out.values())

    @property
    def missing(self) -> tuple[BenchmarkQuestion, ...]:
        """The questions that stay in the denominator without their video."""
        return tuple(question for question in self.questions if question.is_missing)

    @property
    def missing_media(self) -> dict[str, str]:
        """name -> why, each medium once."""
        return {question.media.name: question.media.missing or "" for question in self.missing}

    def describe(self) -> str:
        """One line, for logs and reports: every row is accounted for."""
        text = f"{self.benchmark} at {self.revision[:18]}: {len(self.questions):,} of {self.num_rows:,} rows"
        if self.num_published is not None and self.num_published != self.num_rows:
            text += f" ({self.num_published:,} are published)"
        if self.left_out:
            text += f"; left out: {', '.join(f'{reason} {count:,}' for reason, count in self.left_out.items())}"
        if num_parts := sum(question.media.is_part for question in self.questions):
            text += f"; {num_parts:,} show a part of a longer video"
        if self.extra_columns:
            text += f"; columns not read: {', '.join(self.extra_columns)}"
        if self.missing:
            reasons = Counter(self.missing_media.values())
            files = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            text += f"; {len(self.missing):,} without their media, which count as wrong ({files} files)"
        return text

"""The shape of checks/overlaps.json: how much of a dataset stands in the benchmarks, and by which evidence.

Every number is a count. Null means that this kind of evidence was not looked for, never that nothing was found.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

EvidenceKind = Literal["path", "sha256", "frames", "question"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowCount(_Part):
    """Rows of the dataset, accepted and rejected ones apart."""

    num_kept: int
    num_rejected: int

    @property
    def num_rows(self) -> int:
        """Both together."""
        return self.num_kept + self.num_rejected


class Fault(_Part):
    """Why something could not be read, and how often."""

    reason: str
    num: int


class SharedText(_Part):
    """A phrase of eight words, or a whole short question, that rows share with a benchmark; normalised.

    A phrase in hundreds of rows and many benchmark questions is a template of both, not a copied question.
    """

    text: str
    num_rows: int
    num_benchmark_questions: int


class FramesRule(_Part):
    """When two videos count as the same by their frames; the thresholds were measured (overlaps/frames.py).

    Of num_frames sampled frames, at least min_chain distinct ones match within max_bits and in order, and their number
    times their share of all distinct frames is at least min_evidence.
    """

    num_frames: int
    max_bits: int
    min_chain: int
    min_evidence: float


class MediaCount(_Part):
    """Media files that were looked at.

    num_indistinct: readable videos with too few frames that can be told apart (a black or still picture), which no
    comparison of frames can decide. num_hashed counts files with a sha256; null where none was needed.
    """

    num_files: int
    num_hashed: int | None
    num_comparable: int
    num_indistinct: int
    unreadable: tuple[Fault, ...]


class BenchmarkOverlap(_Part):
    """One benchmark against the dataset. `sha256` is null without the benchmark's media, `frames` without both sides'.

    num_short_questions: questions of too few words to be compared (included in num_questions). unread: records that
    give no question or no video. `rows`: by any evidence. num_shared_texts: distinct phrases behind `question`.
    """

    benchmark: str
    num_questions: int
    num_short_questions: int
    num_videos: int
    unread: tuple[Fault, ...]
    media: MediaCount | None
    path: RowCount
    sha256: RowCount | None
    frames: RowCount | None
    question: RowCount
    rows: RowCount
    num_shared_texts: int
    top_shared_texts: tuple[SharedText, ...]


class OverlapReport(_Part):
    """The dataset against every benchmark that was given.

    rows: all that were looked at; num_without_id: rejected records without an id, which stay unmarked (null). any:
    rows with evidence for at least one benchmark. own_media: null without the dataset's media.
    """

    rows: RowCount
    num_without_id: int
    any: RowCount
    frames_rule: FramesRule
    own_media: MediaCount | None
    benchmarks: tuple[BenchmarkOverlap, ...]

"""From questions to answers: whichever engine the config names, each answer on disk before the next is awaited.

    with open_answerer(config, model) as answerer:
        answers = answerer.answer([BenchmarkAsk(uid, text, media), ...], folder / JOURNAL)

An answer is found again by a key over all that it depends on, so that a killed run goes on where it was and nothing is
asked twice. What cannot be answered is a failure with its reason, never another question's video or an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from training.benchmarks.config import BenchmarkConfig
from training.benchmarks.fingerprint import Frames
from training.benchmarks.question import MediaReference
from training.config import ModelConfig


@dataclass(frozen=True, slots=True)
class BenchmarkAsk:
    """One request. uid: unique among those asked together. media: None is text only. max_tokens: None is as configured."""

    uid: str
    text: str
    media: MediaReference | None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkAnswer:
    """Either `text`, or `failure` with its detail.

    stop_reason: "stop", "length", "refusal" or the server's own word. num_tokens: of the text; None where the server
    does not say. failure: "media:<reason>" ("media:needs_frames" where only our frames would do), "poison" for what the
    engine refused, "exhausted" for what it did not answer in all its tries.
    """

    text: str | None
    stop_reason: str | None
    num_tokens: int | None
    failure: str | None
    detail: str | None


def _ignore(_: int) -> None:
    """No progress is shown."""


class Answerer:
    """A context manager; built by `open_answerer`. One engine, its decoders and its connections for all benchmarks.

    model: as a result names it. model_revision: the commit on the hub or a hash of the folder; None where a server
    hides it. engine_kind: "in_process" or "openai".
    """

    model: str
    model_revision: str | None
    engine_kind: Literal["in_process", "openai"]

    def answer(
        self,
        asks: Sequence[BenchmarkAsk],
        journal: Path,
        *,
        progress: Callable[[int], None] = _ignore,
        retry_failed: bool = False,
    ) -> dict[str, BenchmarkAnswer]:
        """The answers by uid, in the order of `asks`; those that the journal holds are not asked again.

        progress: told of each number of questions that are done, those in the journal included. retry_failed: ask again
        where the journal holds only a failure. A question whose media are missing is never asked: its failure is
        media:missing, or what else they lack.
        Raises ValueError for a uid that occurs twice, and UserError subclasses when no question can be answered (wrong
        key, server gone, no such model): what was in flight is in the journal then.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError


def open_answerer(config: BenchmarkConfig, model: ModelConfig) -> Answerer:
    """The engine of the config; `model` is what it runs in process, and is not used with a server.

    Raises ConfigError: no such model, no key, an SDK that is not installed.
    """
    raise NotImplementedError


def engine_frames(config: BenchmarkConfig) -> Frames:
    """What the model sees of a video, for the fingerprint. A server that opens the files samples in its own way."""
    raise NotImplementedError


def read_seconds(journal: Path) -> float:
    """How long the engine worked for the answers in this journal, over all sessions. Raises RunDirectoryError."""
    raise NotImplementedError

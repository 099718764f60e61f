"""From questions to answers: whichever engine the config names, each answer on disk before the next is awaited.

    with open_answerer(config, model) as answerer:
        answers = answerer.answer([BenchmarkAsk(uid, text, media), ...], folder / JOURNAL)

An answer is found again by a key over all that it depends on, so that a killed run goes on where it was and nothing is
asked twice. What cannot be answered is a failure with its reason, never another question's video or an empty text.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from curation.answers import Ask, Caller, answer, read_seconds
from curation.budget import FREE, Budget
from curation.decoding import DecoderPool
from curation.encoding import MediaEncoder, frames_identity
from curation.engines.base import EncodedMedia, Engine, Request
from curation.engines.build import build_engine
from curation.engines.config import OpenAIConfig, identity
from curation.engines.dispatch import Limiter
from curation.errors import ServerDown
from curation.journal import content_key
from training.benchmarks.config import BenchmarkConfig, InProcessConfig
from training.benchmarks.fingerprint import Frames
from training.benchmarks.question import MediaReference
from training.benchmarks.showing import MediaShower, media_identity, show_file
from training.config import ModelConfig

__all__ = ["Answerer", "BenchmarkAnswer", "BenchmarkAsk", "engine_frames", "open_answerer", "read_seconds"]

_PNG: Final = "image/png"  # what the model itself is shown loses nothing


@dataclass(frozen=True, slots=True)
class BenchmarkAsk:
    """One request. uid: unique among those asked together. media: None is text only. max_tokens: None as configured."""

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


@dataclass(frozen=True, slots=True)
class _Named:
    """An engine, and what a result and a journal call it. identity: all that an answer about a medium depends on."""

    engine: Engine
    kind: Literal["in_process", "openai"]
    revision: str | None
    identity: Callable[[MediaReference | None], Any]
    mime: str
    max_in_flight: int


def _ignore(_: int) -> None:
    """No progress is shown."""


class Answerer:
    """A context manager; built by `open_answerer`. One engine, its decoders and its connections for all benchmarks.

    model: as a result names it. model_revision: the commit on the hub or a hash of the folder; None where a server
    hides it. engine_kind: "in_process" or "openai".
    """

    def __init__(self, config: BenchmarkConfig, named: _Named) -> None:
        self.model = named.engine.model
        self.model_revision = named.revision
        self.engine_kind = named.kind
        self._config = config
        self._engine = named.engine
        self._identity_of = named.identity
        self._frames = frames_identity(config.video) if named.engine.wants == "frames" else None
        self._caller = Caller(named.engine, Limiter(named.max_in_flight), config.dispatch, Budget(None, 0.0), FREE)
        self._pool = DecoderPool(config.video)
        self._shower = MediaShower(MediaEncoder(self._pool, named.mime))
        self._runner = asyncio.Runner()

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
        if len({ask.uid for ask in asks}) != len(asks):
            raise ValueError("two questions that are asked together have the same uid")
        open_asks = {ask.uid: self._ask(ask) for ask in asks if ask.media is None or ask.media.missing is None}
        progress(len(asks) - len(open_asks))
        asking = answer(open_asks.values(), journal, self._caller, retry_failed=retry_failed, progress=progress)
        try:
            found = self._runner.run(asking)
        except ServerDown as error:
            raise ServerDown(
                error.what, ". See to the server or the config and run the same command again: answers are kept."
            ) from error
        answers = {}
        for ask in asks:
            if (opened := open_asks.get(ask.uid)) is not None:
                kept = found[opened.key]
                answers[ask.uid] = BenchmarkAnswer(
                    kept.text, kept.stop_reason, kept.output_tokens, kept.failure, kept.detail
                )
            elif ask.media is not None:
                failure = f"media:{ask.media.missing}"
                answers[ask.uid] = BenchmarkAnswer(None, None, None, failure, f"{ask.media.name} is not there")
        return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._runner:
            self._runner.run(self._close())

    async def _close(self) -> None:
        await self._shower.close()
        await self._pool.close()
        await self._engine.close()

    def _ask(self, ask: BenchmarkAsk) -> Ask:
        media = None if self._engine.wants == "nothing" else ask.media
        max_tokens = ask.max_tokens or self._config.max_tokens
        key = content_key(
            "benchmark", ask.uid, ask.text, None if media is None else media_identity(media), self._identity_of(media),
            self._frames, self._config.temperature, self._config.top_p, max_tokens,
        )  # fmt: skip
        return Ask(key, ask.uid, 1, partial(self._prepare, ask.uid, ask.text, media, max_tokens))

    async def _prepare(self, uid: str, text: str, media: MediaReference | None, max_tokens: int) -> Request:
        shown: EncodedMedia | None = None
        if media is not None:
            shown = show_file(media) if self._engine.wants == "file" else await self._shower.show(media)
        return Request(uid, text, max_tokens, temperature=self._config.temperature, media=shown)


def open_answerer(config: BenchmarkConfig, model: ModelConfig) -> Answerer:
    """The engine of the config; `model` is what it runs in process, and is not used with a server.

    Raises ConfigError: no such model, no key, an SDK that is not installed.
    """
    if isinstance(config.engine, OpenAIConfig):
        return Answerer(config, _open_server(config, config.engine))
    return Answerer(config, _open_in_process(config, config.engine, model))


def engine_frames(config: BenchmarkConfig) -> Frames:
    """What the model sees of a video, for the fingerprint. A server that is sent files samples in its own way."""
    video, engine = config.video, config.engine
    if isinstance(engine, OpenAIConfig) and engine.send in ("file_url", "data_url"):
        return Frames(
            num_frames=None, fps=None, min_pixels=None, max_pixels=None, sent_as="video", reader="server",
            times="server", server=engine.server_settings or f"settings not told, {_unnamed(engine.base_url)}",
        )  # fmt: skip
    reader = f"{video.reader} {video.resize}"
    sent_as: Literal["video", "images", "nothing"]
    if isinstance(engine, InProcessConfig):
        sent_as = engine.send
    elif engine.send == "none":
        sent_as, reader = "nothing", "none"
    else:
        sent_as = "images" if engine.send == "frames" else "video"
        reader += "" if engine.image_mime == _PNG else " jpeg"
    return Frames(
        num_frames=video.num_frames,
        fps=None,
        min_pixels=video.min_pixels,
        max_pixels=video.max_pixels,
        sent_as=sent_as,
        reader=reader,
        times="true" if sent_as == "video" else "none",
    )


def _unnamed(base_url: str) -> str:
    """Tells servers apart; results are published, addresses are not."""
    return f"server {hashlib.sha256(base_url.encode()).hexdigest()[:8]}"


def _open_server(config: BenchmarkConfig, engine: OpenAIConfig) -> _Named:
    sampled = engine.model_copy(update={"extra_body": {"top_p": config.top_p, **engine.extra_body}})

    def identity_of(media: MediaReference | None) -> Any:
        return identity(sampled, shows_video=media is not None and media.kind != "image")

    max_in_flight = config.dispatch.max_in_flight
    return _Named(build_engine(sampled), "openai", None, identity_of, sampled.image_mime, max_in_flight)


def _open_in_process(config: BenchmarkConfig, engine: InProcessConfig, model: ModelConfig) -> _Named:
    """Its identity has no batch_size, and of a folder not where it lies."""
    from training.benchmarks.generating import model_revision
    from training.benchmarks.in_process import InProcessEngine

    loaded = InProcessEngine(model, send=engine.send, batch_size=engine.batch_size, top_p=config.top_p)
    revision = model_revision(model)
    name = None if Path(model.name).is_dir() else model.name
    # One batch is generated while the next one is decoded.
    max_in_flight = min(config.dispatch.max_in_flight, 2 * engine.batch_size)
    depends_on = ["in_process", name, revision, model.dtype, engine.send]
    return _Named(loaded, "in_process", revision, lambda _: depends_on, _PNG, max_in_flight)

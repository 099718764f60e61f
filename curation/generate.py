"""Step 1: a vision-language model writes a completion for every question (VideoP2R section 3.2)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import NonNegativeFloat, PositiveInt

from curation.answers import Answer, Ask, Caller
from curation.config import Config
from curation.decoding import DecoderPool
from curation.engines.base import EncodedMedia, Request
from curation.engines.config import DispatchConfig, EngineConfig, identity
from curation.journal import content_key
from curation.media import MediaRecord, resolve_media
from curation.prompts import Prompt, render_trace_prompt
from curation.schema import Question
from curation.video import VideoConfig

_CACHED_MEDIA: Final = 32  # questions about one video stand together upstream, 3.35 a video


class GenerateConfig(Config):
    """YAML section `generate`. `attempts` > 1 regenerates what steps 2 and 3 rejected, at `retry_temperature`.

    max_tokens: the paper's two length windows sum to 832 tokens plus tags; under 1,024 good traces are cut.
    """

    engine: EngineConfig
    prompt: Path | None = None
    attempts: PositiveInt = 1
    temperature: NonNegativeFloat = 0.0
    retry_temperature: NonNegativeFloat = 0.7
    max_tokens: PositiveInt = 1536
    dispatch: DispatchConfig = DispatchConfig()


@dataclass(slots=True)
class MediaEncoder:
    """Encodes the sampled frames of a file once for the questions that follow each other on it."""

    pool: DecoderPool
    mime: str
    _recent: OrderedDict[Path, asyncio.Task[EncodedMedia]] = field(default_factory=OrderedDict)

    async def encode(self, path: Path, data_type: str) -> EncodedMedia:
        """Raises MediaError, each time it is asked."""
        task = self._recent.get(path)
        if task is None:
            task = self._recent[path] = asyncio.create_task(self._encode(path, data_type))
            if len(self._recent) > _CACHED_MEDIA:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(path)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what is still being encoded for nobody."""
        for task in self._recent.values():
            task.cancel()
        await asyncio.gather(*self._recent.values(), return_exceptions=True)

    async def _encode(self, path: Path, data_type: str) -> EncodedMedia:
        encoded = await self.pool.encoded(path, self.mime)
        return EncodedMedia(data_type, path, encoded.images, encoded.mime, encoded.timestamps_s)


@dataclass(frozen=True, slots=True)
class Generator:
    """Builds the requests of step 1, and the key under which each one's answer is journalled."""

    config: GenerateConfig
    video: VideoConfig
    prompt: Prompt
    media_root: Path
    encoder: MediaEncoder
    caller: Caller

    def asks(self, questions: Sequence[Question], media: Mapping[str, MediaRecord], attempt: int) -> list[Ask]:
        """One request a question; its key changes with question, media, prompt, model and frames."""
        return [self._ask(question, media[question.path], attempt) for question in questions]

    def _ask(self, question: Question, media: MediaRecord, attempt: int) -> Ask:
        text = render_trace_prompt(self.prompt, question)
        temperature = self.config.temperature if attempt == 1 else self.config.retry_temperature
        frames = frames_identity(self.video) if self.caller.engine.wants == "frames" else None
        key = content_key(
            "generate", question.id, media.sha256, text, identity(self.config.engine), self.config.max_tokens,
            temperature, frames, attempt,
        )  # fmt: skip
        return Ask(key, question.id, attempt, self._prepare(question, text, temperature, attempt))

    def _prepare(
        self, question: Question, text: str, temperature: float, attempt: int
    ) -> Callable[[], Awaitable[Request]]:
        async def prepare() -> Request:
            path = resolve_media(self.media_root, question.path)
            encoded = None
            if self.caller.engine.wants == "frames":
                encoded = await self.encoder.encode(path, question.data_type)
            elif self.caller.engine.wants == "file":
                encoded = EncodedMedia(question.data_type, path)
            return Request(question.id, text, self.config.max_tokens, attempt, temperature, encoded)

        return prepare


def frames_identity(video: VideoConfig) -> dict[str, object]:
    """What decides which pixels a model sees; time-outs and worker counts do not."""
    return video.model_dump(mode="json", include={"reader", "num_frames", "max_pixels", "min_pixels", "resize"})


def rejected_by(answer: Answer) -> str | None:
    """The reason when step 1 brought no completion. A refusal or a cut text is a completion: step 2 judges it."""
    if answer.failure is None:
        return None
    return answer.failure if answer.failure.startswith("media:") else f"generate:{answer.failure}"

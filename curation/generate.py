"""Step 1: a vision-language model writes a completion for every question (VideoP2R section 3.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveInt

from curation.answers import Answer, Ask, Caller
from curation.config import Config, LocalPath
from curation.encoding import MediaEncoder, frames_identity, visual_tokens
from curation.engines.base import EncodedMedia, Request
from curation.engines.config import DispatchConfig, EngineConfig, OpenAIConfig, identity
from curation.journal import content_key
from curation.media import MediaRecord, resolve_media
from curation.prompts import Prompt, render_trace_prompt
from curation.schema import Question
from curation.trace import TraceFormatError, parse_trace
from curation.video import VideoConfig


class GenerateConfig(Config):
    """YAML section `generate`."""

    engine: EngineConfig
    """Who writes the traces."""
    prompt: LocalPath | None = None
    """A prompt file in place of the shipped one."""
    attempts: PositiveInt = 1
    """Tries a question; more than 1 regenerates what steps 2 and 3 rejected."""
    temperature: NonNegativeFloat = 0.0
    """Of the first attempt."""
    retry_temperature: NonNegativeFloat = 0.7
    """Of further attempts."""
    max_tokens: PositiveInt = 1536
    """Longest completion; the paper's length windows sum to 832 tokens plus tags, under 1,024 cuts good traces."""
    dispatch: DispatchConfig = DispatchConfig()
    """How hard the server is pressed."""


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
        engine = identity(self.config.engine, shows_video=question.data_type == "video")
        key = content_key(
            "generate", question.id, media.sha256, text, engine, self.config.max_tokens, temperature, frames, attempt,
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
            return Request(
                question.id, text, self.config.max_tokens, attempt, temperature, encoded,
                visual_tokens=self._visual_tokens(question) if encoded else 0.0,
            )  # fmt: skip

        return prepare

    def _visual_tokens(self, question: Question) -> float:
        engine = self.config.engine
        as_pictures = isinstance(engine, OpenAIConfig) and engine.send == "frames"
        return visual_tokens(self.video, question.data_type, as_pictures=as_pictures)


def is_trace(answer: Answer) -> bool:
    """Whether the completion follows the template."""
    try:
        parse_trace(answer.text or "")
    except TraceFormatError:
        return False
    return True


def rejected_by(answer: Answer) -> str | None:
    """The reason when step 1 brought no completion. A refusal or a cut text is a completion: step 2 judges it."""
    if answer.failure is None:
        return None
    return answer.failure if answer.failure.startswith("media:") else f"generate:{answer.failure}"

"""What every engine speaks: a request goes in, a completion or a typed error comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class EncodedMedia:
    """The media of one request. `frames` are JPEG or PNG files in order, empty when the engine wants the file.

    sampled_fps: frames a second of video, None for a picture. pictures: further ones, shown behind the frames.
    """

    data_type: str
    path: Path
    frames: tuple[bytes, ...] = ()
    mime: str = "image/jpeg"
    timestamps_s: tuple[float, ...] = ()
    sampled_fps: float | None = None
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt. `id` is the question's id; `attempt` counts from 1. `json_schema` asks for structured output.

    visual_tokens: an estimate of what its media take, for the budget.
    """

    id: str
    prompt: str
    max_tokens: int
    attempt: int = 1
    temperature: float | None = None
    media: EncodedMedia | None = None
    json_schema: Mapping[str, Any] | None = None
    visual_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Completion:
    """Raw model text. `stop_reason` is "stop", "length", "refusal" or the server's own word; null tokens = not told.

    reasoning: what the server parted from the text as the model's thinking, None where it parts nothing.
    """

    text: str
    model: str
    stop_reason: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning: str | None = None


class Engine(Protocol):
    """Completes requests; one engine serves many at a time."""

    @property
    def wants(self) -> Literal["nothing", "frames", "file"]:
        """What `Request.media` must carry: nothing, sampled frames, or just the path of the file."""
        ...

    @property
    def model(self) -> str:
        """The model's name, as provenance."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Raises RetryableError, PoisonError or FatalEngineError; never anything else for a server's behaviour."""
        ...

    async def close(self) -> None:
        """Release connections and worker processes."""
        ...

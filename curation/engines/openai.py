"""The `openai` engine: any server that speaks the OpenAI chat API (vLLM, SGLang, transformers serve).

Only fields that every such server knows are sent; frames are sampled by us, so that server and training see the same
pixels at the same times, and seen.py checks that the server does. Replies are read by our own model and not the SDK's,
which accepts any body and any missing field.
"""

from __future__ import annotations

import asyncio
import base64
import mimetypes
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import httpx2
import openai
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from curation.engines.base import Completion, EncodedMedia, Request
from curation.engines.config import OpenAIConfig
from curation.engines.http import (
    build_http_client,
    clean_strings,
    clean_text,
    connection_error,
    count_tokens,
    first_fault,
    follow_redirects,
    raise_unusable,
    read_json,
    read_secret,
    shorten,
    status_error,
)
from curation.engines.seen import Seen
from curation.errors import PoisonError
from curation.frames_video import frames_as_video

# A local server checks no key, and the SDK insists on one: without this it would send OPENAI_API_KEY to that server.
_NO_KEY: Final = "EMPTY"
_TEXT_PARTS: Final = frozenset({"text", "output_text"})
_STOP_REASONS: Final = {"content_filter": "refusal"}
_FALLBACK_MIME: Final = {"image": "image/jpeg", "video": "video/mp4"}

_Text = Annotated[str, BeforeValidator(clean_strings)]


class _Part(BaseModel):
    type: str = "text"
    text: _Text | None = None
    refusal: _Text | None = None


class _Message(BaseModel):
    """reasoning_content, or reasoning: the same under its newer name."""

    content: _Text | list[_Part | _Text] | None = None
    refusal: _Text | None = None
    reasoning_content: _Text | None = None
    reasoning: _Text | None = None

    @property
    def text(self) -> str | None:
        """The text, also where it comes in parts; None when there is none."""
        if not isinstance(self.content, list):
            return self.content
        parts = [_Part(text=part) if isinstance(part, str) else part for part in self.content]
        told = [part.text for part in parts if part.type in _TEXT_PARTS and part.text is not None]
        return "".join(told) if told else None

    @property
    def refused(self) -> str | None:
        """What the model said instead."""
        parts = self.content if isinstance(self.content, list) else []
        said = [part.refusal for part in parts if isinstance(part, _Part) and part.refusal]
        return self.refusal or "".join(said) or None


class _Choice(BaseModel):
    message: _Message
    finish_reason: _Text | None = None


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    model: _Text | None = None


class OpenAIEngine:
    """One client for all requests of a run; how many are in flight is dispatch.py's business."""

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config

    def open(self) -> None:
        """Raises ConfigError when `api_key_env` names a variable that is not set; so does a first request."""
        _ = self._client

    @cached_property
    def _secret(self) -> str | None:
        return read_secret(self._config.api_key_env) if self._config.api_key_env else None

    @cached_property
    def _http_client(self) -> httpx2.AsyncClient:
        return build_http_client(self._config.base_url, self._config.timeout_s)

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self._config.base_url,
            api_key=self._secret or _NO_KEY,
            max_retries=0,
            timeout=self._config.timeout_s,
            http_client=self._http_client,
        )

    @cached_property
    def _seen(self) -> Seen:
        headers = {"Authorization": f"Bearer {self._secret or _NO_KEY}"}
        return Seen(self._config, self._http_client.request, headers)

    @property
    def wants(self) -> Literal["nothing", "frames", "file"]:
        """Decided by `send`."""
        match self._config.send:
            case "frames" | "video_frames":
                return "frames"
            case "file_url" | "data_url":
                return "file"
            case "none":
                return "nothing"

    @property
    def model(self) -> str:
        """As configured; what a reply names itself stands in its Completion."""
        return self._config.model

    async def complete(self, request: Request) -> Completion:
        """One chat completion. Raises RetryableError, PoisonError or FatalEngineError.

        ValueError when the request's media do not fit `wants`: a bug of the caller, never a server's doing.
        """
        num_text = await self._seen.admit(request)
        fields: dict[str, Any] = {
            "model": self._config.model,
            "messages": [{"role": "user", "content": await self._content(request)}],
            "max_tokens": request.max_tokens,
        }
        if request.temperature is not None:
            fields["temperature"] = request.temperature
        if request.json_schema is not None:
            schema = {"name": "reply", "schema": dict(request.json_schema), "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        completion = self._parse(await self._post(fields | dict(self._config.extra_body)))
        self._seen.check(request, completion, num_text)
        return completion

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.close()

    async def _post(self, fields: dict[str, Any]) -> bytes:
        """The body of a 200.

        `client.post` and not `chat.completions.create`: that one walks the whole body, every frame of it, through its
        type annotations, which costs as much as all else together. The SDK's time-out is per read; ours bounds the
        whole call, against a server that drips.
        """
        base_url = self._config.base_url
        try:
            async with asyncio.timeout(self._config.timeout_s):
                response = await follow_redirects(
                    lambda path: self._client.post(path, cast_to=httpx2.Response, body=fields),
                    "/chat/completions",
                    openai.APIStatusError,
                )
        except openai.APIStatusError as error:
            detail = shorten(error.response.text, self._secret)
            raise status_error(
                error.status_code, error.response.headers, detail, base_url=base_url, model=self.model
            ) from error
        except (openai.APIConnectionError, TimeoutError) as error:
            raise connection_error(error, base_url=base_url) from error
        return response.content

    def _parse(self, content: bytes) -> Completion:
        base_url = self._config.base_url
        told = read_json(content, base_url=base_url)
        usage = told.get("usage") if isinstance(told, dict) else None
        num_tokens = {
            "input_tokens": count_tokens(usage, "prompt_tokens"),
            "output_tokens": count_tokens(usage, "completion_tokens"),
        }
        try:
            reply = _Reply.model_validate(told)
        except ValidationError as error:
            raise_unusable(content, first_fault(error), base_url=base_url, **num_tokens)
        choice = reply.choices[0]
        finish_reason = choice.finish_reason or "unknown"
        stop_reason = _STOP_REASONS.get(finish_reason, finish_reason)
        message = choice.message
        text = message.text
        if refused := message.refused:
            stop_reason, text = "refusal", text or refused
        if text is None and stop_reason in ("length", "refusal"):
            text = ""  # cut before the first visible token, or filtered: another try would end alike
        reasoning = message.reasoning_content or message.reasoning
        if text is None:
            thought = f", {len(reasoning)} characters of reasoning" if reasoning else ""
            raise_unusable(content, f"no text, finish_reason {stop_reason}{thought}", base_url=base_url, **num_tokens)
        return Completion(text, reply.model or self._config.model, stop_reason, **num_tokens, reasoning=reasoning)

    async def _content(self, request: Request) -> str | list[dict[str, Any]]:
        """The user message: the media first, then the prompt; plain text when there are none."""
        prompt = clean_text(request.prompt)
        if request.media is None:
            return prompt
        if self.wants == "nothing":
            raise ValueError(f"request {request.id} carries media, but engine {self.model} is text only")
        if self.wants == "frames" and not request.media.frames:
            raise ValueError(f"request {request.id} carries media without frames")
        parts = self._frame_parts(request.media) if self.wants == "frames" else [await self._file_part(request.media)]
        return [*parts, {"type": "text", "text": prompt}]

    def _frame_parts(self, media: EncodedMedia) -> list[dict[str, Any]]:
        pictures = [base64.b64encode(picture).decode("ascii") for picture in media.pictures]
        shown: list[dict[str, Any]] = []
        encoded: list[str] = []
        if self._config.send == "video_frames" and media.data_type == "video":
            file = frames_as_video(media.frames, media.mime, media.sampled_fps)
            shown = [_url_part("video", f"data:video/mp4;base64,{base64.b64encode(file).decode('ascii')}")]
        else:
            encoded = [base64.b64encode(frame).decode("ascii") for frame in media.frames]
        return [*shown, *(_url_part("image", f"data:{media.mime};base64,{image}") for image in [*encoded, *pictures])]

    async def _file_part(self, media: EncodedMedia) -> dict[str, Any]:
        if self._config.send == "file_url":
            return _url_part(media.data_type, media.path.resolve().as_uri())
        try:
            content = await asyncio.to_thread(media.path.read_bytes)
        except OSError as error:
            raise PoisonError(f"cannot read {media.path.name}: {error.strerror}") from error
        mime = mimetypes.guess_type(media.path.name)[0] or _FALLBACK_MIME[media.data_type]
        return _url_part(media.data_type, f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}")


def _url_part(kind: str, url: str) -> dict[str, Any]:
    return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}

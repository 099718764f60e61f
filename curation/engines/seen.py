"""Does a server see what it is sent? Its version and its own counts of tokens tell.

Of the frames and their size follows how many tokens a Qwen2.5-VL makes of them; a server that drops frames, or resizes
them, counts others. Only a count shows it: the answers of such a server look like any other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from curation.engines.base import Completion, EncodedMedia, Request
from curation.engines.config import OpenAIConfig, VisualTokens
from curation.engines.http import clean_text, connection_error, count_tokens, shorten, status_error
from curation.errors import FatalEngineError
from curation.frames_video import picture_size

VLLM_AT_LEAST: Final = (0, 32)
SERVE: Final = 'vllm serve MODEL --media-io-kwargs \'{"video": {"video_backend": "opencv", "num_frames": -1}}\''

_EXACT_ANSWERS: Final = 8  # of the first ones the text is counted too
_AROUND_MEDIUM: Final = 2  # <|vision_start|> and <|vision_end|>
_TEMPLATE_TOKENS: Final = 1024  # what a chat template may write around the prompt, its system prompt included
_QWEN2_VL: Final = re.compile(r"qwen-?2(\.5)?-?vl", re.IGNORECASE)
_QWEN2_VL_TEXT: Final = "<|vision_start|><|video_pad|><|image_pad|><|vision_end|>"
_QWEN2_VL_TOKENS: Final = 4
_QWEN3_TEXT: Final = "<tool_response>"  # one token since Qwen3, several before
_PASSING: Final = frozenset({429, 502, 503, 504})
_WORDS: Final = re.compile(r"[^\W\d_]+")
_OF_THE_PROMPT: Final = frozenset(
    {"add_generation_prompt", "add_special_tokens", "chat_template", "chat_template_kwargs", "continue_final_message"}
)
_ADDS_TO_THE_PROMPT: Final = frozenset({"documents", "messages", "mm_processor_kwargs", "tools"})
_log = logging.getLogger(__name__)

Call = Callable[..., Awaitable[httpx2.Response]]


@dataclass(slots=True)
class Seen:
    """What is known of one server. call: `AsyncClient.request`; headers: with the key."""

    config: OpenAIConfig
    call: Call
    headers: Mapping[str, str]
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _version: str | None = None
    _tokens: VisualTokens | None = None
    _is_qwen2_vl: bool = False
    _is_known: bool = False
    _num_exact: int = 0
    _warned: set[str] = field(default_factory=set)

    async def admit(self, request: Request) -> int | None:
        """Before a request with media: the tokens of its text, where the server counts them (of the first ones).

        Raises FatalEngineError for a vLLM that shows a clip at other times than its own, RetryableError as a request.
        """
        if request.media is None:
            return None
        await self._learn()
        is_clip = request.media.data_type == "video" and self.config.send != "frames"
        told = re.match(r"(\d+)\.(\d+)", self._version or "")
        if is_clip and self._is_qwen2_vl and told and tuple(map(int, told.groups())) < VLLM_AT_LEAST:
            raise FatalEngineError(
                f"{self.config.base_url} is vLLM {self._version}, which takes every clip of a Qwen2.5-VL for 24 frames "
                f"a second. Start 0.32 or later with {SERVE}, or set send: frames."
            )
        return await self._count_text(request.prompt) if self._sends_frames and self._tokens is not None else None

    def check(self, request: Request, completion: Completion, num_text: int | None) -> None:
        """Raises FatalEngineError when the server counted other tokens than it was sent; num_text: of `admit`."""
        media, counted = request.media, completion.input_tokens
        if media is None or self._tokens is None or not self._sends_frames:
            return
        as_video = self.config.send == "video_frames" and media.data_type == "video"
        visual = count_visual_tokens(media, self._tokens, as_video=as_video)
        if counted is None or visual is None:
            self._warn("it does not tell usage.prompt_tokens" if counted is None else "its frames fill no whole tokens")
            return
        least, most = _text_bounds(request.prompt) if num_text is None else (num_text, num_text)
        if not visual + least <= counted <= visual + most:
            expected = f"{visual + least:,}" if least == most else f"{visual + least:,} to {visual + most:,}"
            raise FatalEngineError(
                f"{self.config.base_url} does not see what it is sent: {_describe(media)} and the prompt of "
                f"{request.id} make {expected} tokens, and it counted {counted:,}: it drops, adds or resizes frames. "
                f"Start it with {SERVE} and let its processor resize nothing between video.min_pixels and "
                f"video.max_pixels; for a model of another kind set visual_tokens: null."
            )

    async def _learn(self) -> None:
        """Ask for version and tokenizer, once."""
        async with self._lock:
            if self._is_known:
                return
            version = (await self._ask("GET", "/version")).get("version")
            self._version = version if isinstance(version, str) else None
            self._is_qwen2_vl = await self._find_family()
            if self.config.visual_tokens != "auto":
                self._tokens = self.config.visual_tokens
            elif self._is_qwen2_vl:
                self._tokens = VisualTokens()
            elif self._sends_frames:
                self._warn(f"nothing is known of {self.config.model!r}. Set visual_tokens, or null")
            self._is_known = True

    @property
    def _sends_frames(self) -> bool:
        return self.config.send in ("frames", "video_frames")

    async def _find_family(self) -> bool:
        """Whether it is a Qwen2-VL or Qwen2.5-VL: by its name, or its tokenizer; else a vLLM that is sent clips."""
        if _QWEN2_VL.search(self.config.model):
            return True
        vision = await self._tokenize({"prompt": _QWEN2_VL_TEXT, "add_special_tokens": False})
        if vision is None:
            return self._version is not None and self.config.send == "video_frames"
        later = await self._tokenize({"prompt": _QWEN3_TEXT, "add_special_tokens": False})
        return vision == _QWEN2_VL_TOKENS and later != 1

    async def _count_text(self, prompt: str) -> int | None:
        """Of the prompt in the chat template; None where the server does not count, or has done it often enough."""
        body = self.config.extra_body
        if self._num_exact >= _EXACT_ANSWERS or not _ADDS_TO_THE_PROMPT.isdisjoint(body):
            return None
        self._num_exact += 1
        message = {"role": "user", "content": [{"type": "text", "text": clean_text(prompt)}]}
        told = {name: value for name, value in body.items() if name in _OF_THE_PROMPT}
        return await self._tokenize({"messages": [message], **told})

    async def _tokenize(self, fields: Mapping[str, Any]) -> int | None:
        body = await self._ask("POST", "/tokenize", json={"model": self.config.model, **fields})
        return count_tokens(body, "count")

    async def _ask(self, method: str, path: str, **fields: Any) -> Mapping[str, Any]:
        """The JSON object that the server answers beside its /v1; empty where it knows no such path."""
        base_url = self.config.base_url
        try:
            async with asyncio.timeout(self.config.timeout_s):
                response = await self.call(
                    method, base_url.removesuffix("/v1") + path, headers=dict(self.headers), **fields
                )
        except (httpx2.TransportError, TimeoutError) as error:
            raise connection_error(error, base_url=base_url) from error
        if response.status_code in _PASSING:
            detail = shorten(response.text)
            raise status_error(
                response.status_code, response.headers, detail, base_url=base_url, model=self.config.model
            )
        try:
            body = json.loads(response.content) if response.status_code == 200 else {}
        except (ValueError, RecursionError):
            return {}
        return body if isinstance(body, dict) else {}

    def _warn(self, why: str) -> None:
        if why not in self._warned:
            self._warned.add(why)
            _log.warning("whether %s sees every frame is not checked: %s", self.config.base_url, why)


def count_visual_tokens(media: EncodedMedia, tokens: VisualTokens, *, as_video: bool) -> int | None:
    """What a model makes of the frames and pictures, and the token before and behind each medium.

    as_video: the frames are one video, else each is an image. None where a side is no multiple of tokens.pixels: such a
    picture is resized by every server.
    """
    media_of = [media.frames] if as_video else [(frame,) for frame in media.frames]
    total = 0
    for frames in [*media_of, *((picture,) for picture in media.pictures)]:
        try:
            width, height = picture_size(frames[0])
        except OSError:
            return None
        if width % tokens.pixels or height % tokens.pixels:
            return None
        num_grids = -(-len(frames) // tokens.frames)
        total += num_grids * (width // tokens.pixels) * (height // tokens.pixels) + _AROUND_MEDIUM
    return total


def _text_bounds(prompt: str) -> tuple[int, int]:
    """Of the tokens that are text: the tokenizers of Qwen never join two words, and never split a byte."""
    words = _WORDS.findall(unicodedata.normalize("NFC", prompt))
    return len(words), len(prompt.encode("utf-8", "replace")) + _TEMPLATE_TOKENS


def _describe(media: EncodedMedia) -> str:
    width, height = picture_size(media.frames[0])
    pictures = f" and {len(media.pictures)} further pictures" if media.pictures else ""
    return f"{len(media.frames)} frames of {width}x{height}{pictures}"

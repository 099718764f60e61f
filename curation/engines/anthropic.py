"""The `anthropic` engine: a text-only judge behind the Messages API, live or (batches.py) in Message Batches.

The API has no temperature any more: a judge cannot be made greedy, so its model and every raw reply are recorded.
Adaptive thinking is on by default: content blocks are picked by type, never by place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import anthropic
import httpx2
from anthropic import RequestOptions
from pydantic import BaseModel, BeforeValidator, ValidationError

from curation.engines.base import Completion, Request
from curation.engines.config import AnthropicConfig
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

_STOP_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}

_Text = Annotated[str, BeforeValidator(clean_strings)]


class _Block(BaseModel):
    type: str
    text: _Text | None = None
    thinking: _Text | None = None


class _Message(BaseModel):
    content: list[_Block]
    model: _Text | None = None
    stop_reason: _Text | None = None


class AnthropicEngine:
    """One client for all requests of a run. `request`, `message_params` and `read_message` also serve batches.py."""

    def __init__(self, config: AnthropicConfig) -> None:
        self._config = config

    def open(self) -> None:
        """Raises ConfigError when the environment variable of the key is not set; so does a first request."""
        _ = self._client

    @cached_property
    def _secret(self) -> str:
        return read_secret(self._config.api_key_env)

    @cached_property
    def _client(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(
            api_key=self._secret,
            base_url=self._config.base_url,
            max_retries=0,
            timeout=self._config.timeout_s,
            http_client=build_http_client(self._config.base_url, self._config.timeout_s),
        )

    @property
    def wants(self) -> Literal["nothing", "frames", "file"]:
        """Nothing: no media ever reach the judge."""
        return "nothing"

    @property
    def model(self) -> str:
        """As configured; what a reply names itself stands in its Completion."""
        return self._config.model

    async def complete(self, request: Request) -> Completion:
        """One message. Raises RetryableError, PoisonError or FatalEngineError; ValueError on a request with media."""
        content = await self.request("post", "/v1/messages", body=self.message_params(request))
        message = read_json(content, base_url=self._config.base_url)
        try:
            return self.read_message(message)
        except ValueError as error:
            input_tokens, output_tokens = self.told_tokens(message)
            raise_unusable(
                content, error, base_url=self._config.base_url, input_tokens=input_tokens, output_tokens=output_tokens
            )

    async def request(
        self, method: Literal["get", "post"], path: str, *, body: Any = None, query: Mapping[str, Any] | None = None
    ) -> bytes:
        """The body of a 200. Raises RetryableError, PoisonError or FatalEngineError.

        The SDK's typed methods would accept any body and walk each one through its annotations, 10,000 of them in a
        batch. Its time-out is per read; ours bounds the whole call.
        """
        options: RequestOptions = {"params": query} if query else {}
        base_url = self._config.base_url

        async def send(to: str) -> httpx2.Response:
            if method == "get":
                return await self._client.get(to, cast_to=httpx2.Response, options=options)
            return await self._client.post(to, cast_to=httpx2.Response, body=body, options=options)

        try:
            async with asyncio.timeout(self._config.timeout_s):
                response = await follow_redirects(send, path, anthropic.APIStatusError)
        except anthropic.APIStatusError as error:
            detail = shorten(error.response.text, self._secret)
            raise status_error(
                error.status_code, error.response.headers, detail, base_url=base_url, model=self.model
            ) from error
        except (anthropic.APIConnectionError, TimeoutError) as error:
            raise connection_error(error, base_url=base_url) from error
        return response.content

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.close()

    def message_params(self, request: Request) -> dict[str, Any]:
        """The body of one message, the same live and in a batch. `request.temperature` has no field to go to."""
        if request.media is not None:
            raise ValueError(f"request {request.id} carries media, but the judge is text only")
        params: dict[str, Any] = {
            "model": self._config.model,
            "max_tokens": request.max_tokens,
            "messages": [{"role": "user", "content": clean_text(request.prompt)}],
        }
        output: dict[str, Any] = {}
        if request.json_schema is not None:
            output["format"] = {"type": "json_schema", "schema": dict(request.json_schema)}
        if self._config.effort is not None:
            output["effort"] = self._config.effort
        if output:
            params["output_config"] = output
        return params

    def read_message(self, message: Any) -> Completion:
        """A message as JSON, from a reply or a batch. Raises ValueError when it holds no text and no reason why."""
        try:
            reply = _Message.model_validate(message)
        except ValidationError as error:
            raise ValueError(f"no message: {first_fault(error)}") from error
        texts = [block.text for block in reply.content if block.type == "text" and block.text is not None]
        told = reply.stop_reason or "unknown"
        stop_reason = _STOP_REASONS.get(told, told)
        if not texts and stop_reason not in ("length", "refusal"):
            raise ValueError(f"no text block, stop_reason {stop_reason}")
        thoughts = [block.thinking for block in reply.content if block.type == "thinking" and block.thinking]
        input_tokens, output_tokens = self.told_tokens(message)
        return Completion(
            text="".join(texts),
            model=reply.model or self._config.model,
            stop_reason=stop_reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            reasoning="".join(thoughts) or None,
        )

    def told_tokens(self, message: Any) -> tuple[int | None, int | None]:
        """Input and output tokens of a message as JSON, whether it can be read or not."""
        usage = message.get("usage") if isinstance(message, dict) else None
        return count_tokens(usage, "input_tokens"), count_tokens(usage, "output_tokens")

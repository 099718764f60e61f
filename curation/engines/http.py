"""What both SDK engines share: one HTTP client, and one meaning for every way an HTTP call can fail.

The SDKs' exceptions have the same shape (status_code, response.headers, a transport error as __cause__), so the rules
stand here once. The engines retry nothing themselves: dispatch.py does, because it sees all requests of a run.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx2
from pydantic import ValidationError

from curation.errors import ConfigError, EngineError, FatalEngineError, NotFound, PoisonError, RetryableError

_CONNECT_TIMEOUT_S: Final = 10.0
# Below the 5 s after which uvicorn (vLLM, SGLang) drops an idle connection, so that we never write into a closing one.
_KEEPALIVE_EXPIRY_S: Final = 2.0
_DETAIL_CHARS: Final = 300

_FATAL: Final = frozenset({401, 402, 403, 404, 405, 407})
_RETRYABLE: Final = frozenset({408, 409, 425, 429})
# 502: a proxy whose server is away, for example while it restarts.
_OVERLOADED: Final = frozenset({429, 502, 503, 529})
_TIMED_OUT: Final = frozenset({408, 504})
_GONE: Final = frozenset({404, 410})
_SAME_METHOD: Final = frozenset({307, 308})
_MAX_REDIRECTS: Final = 3


def build_http_client(base_url: str, timeout_s: float) -> httpx2.AsyncClient:
    """A client whose pool never limits (the Limiter does) and that goes nowhere but to `base_url`.

    Proxies of the environment are honoured, except for a server on this machine: its prompts and media stay here.
    The client follows no redirect: it would carry prompts and key elsewhere, or turn a POST into a GET, behind the
    user's back. `follow_redirects` follows what stays with the host.
    """
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEPALIVE_EXPIRY_S
        ),
        trust_env=not is_loopback(base_url),
        follow_redirects=False,
    )


async def follow_redirects(
    send: Callable[[str], Awaitable[httpx2.Response]], path: str, status_errors: type[Any]
) -> httpx2.Response:
    """The answer to `send(path)`, where a 307 or 308 to the same host is followed a few times, as the same request.

    status_errors: what the SDK raises for a status; every other redirect is raised like any status.
    """
    for _ in range(_MAX_REDIRECTS):
        try:
            return await send(path)
        except status_errors as error:
            target = _redirect_target(error.response)
            if target is None:
                raise
            path = target
    return await send(path)


def _redirect_target(response: httpx2.Response) -> str | None:
    """Where a redirect leads that may be followed with the key; None for any other answer."""
    location = response.headers.get("location")
    if response.status_code not in _SAME_METHOD or not location:
        return None
    asked = str(response.url)
    target = urljoin(asked, location)
    return target if _stays_with_host(urlsplit(asked), urlsplit(target)) else None


def _stays_with_host(asked: SplitResult, target: SplitResult) -> bool:
    """The same host and port, by the same scheme; or the step from http to https on their usual ports."""
    if asked.hostname != target.hostname:
        return False
    ports = {"http": 80, "https": 443}
    try:
        from_port, to_port = asked.port or ports.get(asked.scheme), target.port or ports.get(target.scheme)
    except ValueError:
        return False
    return (asked.scheme, from_port) == (target.scheme, to_port) or (
        (asked.scheme, from_port, target.scheme, to_port) == ("http", 80, "https", 443)
    )


def is_loopback(base_url: str) -> bool:
    """True when the URL names this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def read_secret(variable: str) -> str:
    """The API key in the environment variable of this name. Raises ConfigError that names it, never its value."""
    secret = os.environ.get(variable, "").strip()
    if not secret:
        raise ConfigError(
            f"environment variable {variable} is not set. Export the API key in it, or change api_key_env."
        )
    return secret


def status_error(status: int, headers: Mapping[str, str], detail: str, *, base_url: str, model: str) -> EngineError:
    """The error that an answered status stands for. Wrong key and unknown model are fatal, a bad request is poison."""
    said = f"HTTP {status} from {base_url}: {detail}"
    if status in _RETRYABLE or status >= 500:
        return RetryableError(
            said,
            status=status,
            retry_after_s=read_retry_after_s(headers),
            overloaded=status in _OVERLOADED,
            timed_out=status in _TIMED_OUT,
        )
    if status in (401, 403):
        return FatalEngineError(f"{said}. Check the API key and what it may use.")
    if status in _GONE:
        return NotFound(f"{said}. Check base_url and the model name {model!r}.")
    if status in _FATAL:
        return FatalEngineError(f"{said}. Check base_url and the account.")
    if status < 400:
        target = headers.get("location", "nowhere")
        told = (
            f"{said.rstrip(': ')}. It redirects to {target}, which is not followed: set base_url to where the API is."
        )
        return FatalEngineError(told) if status == 301 else RetryableError(told, status=status)
    return PoisonError(said)


def connection_error(error: Exception, *, base_url: str) -> RetryableError:
    """A call that brought no status. `error` is the transport's own, or what the SDK raised because of it."""
    cause = error if isinstance(error, httpx2.TransportError) else error.__cause__ or error
    told = str(cause) or type(cause).__name__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return RetryableError(f"server at {base_url} unreachable ({told})", unreachable=True)
    if isinstance(error, TimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return RetryableError(f"no answer from {base_url} in time", timed_out=True)
    return RetryableError(f"connection to {base_url} lost ({type(cause).__name__}: {told})")


def read_json(content: bytes, *, base_url: str) -> Any:
    """The body of a 200. Raises RetryableError for a torn body or no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RetryableError(_unusable(content, error, base_url)) from error


def raise_unusable(
    content: bytes, why: object, *, base_url: str, input_tokens: int | None = None, output_tokens: int | None = None
) -> NoReturn:
    """A whole reply that holds no text: no choices, null text, a content of another type. It is paid all the same."""
    raise RetryableError(
        _unusable(content, why, base_url), unusable=True, input_tokens=input_tokens, output_tokens=output_tokens
    )


def first_fault(error: ValidationError) -> str:
    """Where a reply is not as it should be, and why."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _unusable(content: bytes, why: object, base_url: str) -> str:
    return f"unusable reply from {base_url} ({shorten(str(why))}): {shorten(repr(content[:120]))}"


def read_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The server's wish in seconds, >= 0: retry-after-ms, or Retry-After as seconds or as an HTTP date; else None."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            wish_s = float(value) * scale
        except ValueError:
            continue
        if not math.isnan(wish_s):
            return max(0.0, wish_s)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def clean_text(text: str) -> str:
    """Lone surrogates, legal in JSON but not in UTF-8, become U+FFFD: neither a journal nor Parquet can hold them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_strings(value: Any) -> Any:
    """`clean_text` for whatever is a string; anything else is left to the validator."""
    return clean_text(value) if isinstance(value, str) else value


def count_tokens(usage: Any, name: str) -> int | None:
    """A token count as the server told it; None when it did not, or told nonsense."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def shorten(text: str, secret: str | None = None) -> str:
    """One line of at most 300 characters, free of the key."""
    if secret:
        text = text.replace(secret, "[key]")
    line = " ".join(clean_text(text).split())
    return line if len(line) <= _DETAIL_CHARS else line[: _DETAIL_CHARS - 3] + "..."

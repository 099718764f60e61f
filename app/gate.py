"""The gate in front of every request: what is answered at all, and what the answer may do in a browser.

Gradio brings routes that read files, take uploads and fetch other addresses. The viewer uses none of them, so they do
not exist here: a path that is not listed below is a 404, also one that a later Gradio adds.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OURS: Final = ("/media/", "/frames/", "/row/", "/static/viewer/", "/later/", "/health")
_GRADIO: Final = (
    "/assets/",
    "/static/",
    "/svelte/",
    "/gradio_api/run/",
    "/gradio_api/call/",
    "/gradio_api/queue/",
    "/gradio_api/heartbeat/",
)
_GRADIO_EXACT: Final = frozenset(
    (
        "/",
        "/config",
        "/theme.css",
        "/favicon.ico",
        "/manifest.json",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/app_id",
        "/gradio_api/startup-events",
        "/gradio_api/theme.css",
        "/gradio_api/cancel",
        "/gradio_api/reset",
    )
)
# Gradio answers ?page= with an error of its own, and ?deep_link= reads a file of its upload folder.
_GRADIO_KEYS: Final = frozenset(("page", "deep_link"))
_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_POLICY: Final = {
    "default-src": "'self'",
    # Gradio builds functions from the event handlers' strings.
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}


class Gate:
    """ASGI middleware. embedders: origins that may show the viewer in a frame, as a Space is shown."""

    def __init__(self, app: ASGIApp, *, embedders: tuple[str, ...] = ()) -> None:
        self._app = app
        self._policy = _POLICY | {"frame-ancestors": " ".join(("'self'", *embedders))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on and put the headers on the answer."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._policy)
        if refusal := _refuse(scope):
            await refusal(scope, receive, answer)
        else:
            await self._app(_without_gradio_keys(scope), receive, answer)


def _refuse(scope: Scope) -> PlainTextResponse | None:
    path, headers = scope["path"], Headers(scope=scope)
    if not (path in _GRADIO_EXACT or path.startswith((*OURS, *_GRADIO))):
        return PlainTextResponse("not found\n", status_code=404)
    origin = headers.get("origin")
    if scope["method"] not in ("GET", "HEAD") and origin and urlsplit(origin).netloc != headers.get("host"):
        # Another site's page, open in the same browser, must not label in this person's name.
        return PlainTextResponse("this address takes requests from its own pages only\n", status_code=403)
    return None


def _without_gradio_keys(scope: Scope) -> Scope:
    query = scope["query_string"]
    if scope["path"] != "/" or not query:
        return scope
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    kept = [(key, value) for key, value in pairs if key not in _GRADIO_KEYS]
    return scope if len(kept) == len(pairs) else {**scope, "query_string": urlencode(kept, encoding="latin-1").encode()}


class _Answer:
    """Sends on what the application answers, with the policy. A page is held until its inline scripts are known.

    Their hashes in the policy mean that no other inline script runs, no `onerror=` either: should a text ever reach
    the page unescaped, it still does nothing.
    """

    def __init__(self, send: Send, policy: Mapping[str, str]) -> None:
        self._send = send
        self._policy = policy
        self._start: Message | None = None
        self._page = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                self._start = message
                return
            await self._send(self._with_headers(message, b""))
        elif self._start is None:
            await self._send(message)
        else:
            self._page += message.get("body", b"")
            if not message.get("more_body"):
                await self._send(self._with_headers(self._start, self._page))
                await self._send({"type": "http.response.body", "body": self._page})

    def _with_headers(self, start: Message, page: bytes) -> Message:
        hashes = "".join(f" 'sha256-{_sha256_base64(script)}'" for script in _INLINE_SCRIPT.findall(page))
        policy = {**self._policy, "script-src": self._policy["script-src"] + hashes}
        ours: dict[str, Any] = {
            "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }
        kept = [(name, value) for name, value in start["headers"] if name.lower().decode("latin-1") not in ours]
        added = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in ours.items()]
        return {**start, "headers": [*kept, *added]}


def _sha256_base64(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode("ascii")

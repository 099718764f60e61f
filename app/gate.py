"""The gate in front of every request: what is answered at all, to whom, and what the answer may do in a browser.

Gradio brings routes that read files, take uploads and fetch other addresses. The viewer uses none of them, so they do
not exist here: a path that is not listed below is a 404, also one that a later Gradio adds. A call of a function is
read in calls.py before Gradio sees it.

A page of another site must neither ask in this person's name nor, by a name of its own that it lets resolve to this
machine (DNS rebinding), be taken for this one. So a request has to name a host that is one of ours, and one that may
change something has to come from a page of ours.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.calls import CallError, Calls, read_body, replay

OURS: Final = ("/media/", "/frames/", "/row/", "/static/viewer/", "/later/", "/health")
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_GRADIO: Final = ("/assets/", "/static/", "/svelte/")
_CALLS: Final = ("/gradio_api/run/", "/gradio_api/call/", "/gradio_api/queue/")
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
    )
)
# Gradio answers ?page= with an error of its own, and ?deep_link= reads a file of its upload folder.
_GRADIO_KEYS: Final = frozenset(("page", "deep_link"))
_HOST: Final = re.compile(r"(?:(?P<name>[^\s:@/?#\[\]]+)|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]+)?")
_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
# Gradio writes into the page where it was asked, which behind a proxy is another address than the browser's.
_ROOT: Final = re.compile(rb'("root":|const root = )"https?://[^"\\]*"')
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
    """ASGI middleware. calls: the functions that may be called.

    hosts: names by which browsers reach this server, "*.example.org" for any below; an IP address and localhost always
    do. embedders: origins that may show the viewer in a frame, as a Space is shown.
    """

    def __init__(
        self, app: ASGIApp, *, calls: Calls, hosts: Collection[str] = (), embedders: Collection[str] = ()
    ) -> None:
        self._app = app
        self._calls = calls
        self._hosts = tuple(host.lower() for host in hosts)
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
        try:
            scope, receive = await self._pass(scope, receive)
        except CallError as error:
            refusal = PlainTextResponse(f"{error}\n", status_code=error.status)
            await refusal(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    async def _pass(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """The request as the application gets it. Raises CallError."""
        path, method = scope["path"], scope["method"]
        self._check_host(scope)
        if path.startswith(_CALLS) and method != "OPTIONS":
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            if self._calls.check_route(method, path, query):
                body = self._calls.rewrite(path, await read_body(scope, receive))
                scope, receive = replay(scope, receive, body)
        elif not (path in _GRADIO_EXACT or path.startswith((*OURS, *_GRADIO))):
            raise CallError(404, "not found")
        return _without_gradio_keys(self._without_forwarded(scope)), receive

    def _check_host(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            raise CallError(
                400, f"this viewer is not known as {host[:100]!r}; start it with --allowed-host NAME if it should be"
            )
        if scope["method"] in ("GET", "HEAD") or not origin:
            return
        # Behind a proxy the browser knows another name than the one that arrives here.
        asker = urlsplit(origin).netloc
        if asker.lower() != host.lower() and not self._is_named(_hostname(asker)):
            raise CallError(
                403,
                f"this address takes requests from its own pages only, not from {origin[:100]!r}; behind a proxy start "
                "the viewer with --allowed-host NAME",
            )

    def _is_ours(self, host: str) -> bool:
        name = _hostname(host)
        return name in LOOPBACK or _is_ip_address(name) or self._is_named(name)

    def _is_named(self, name: str) -> bool:
        return any(name.endswith(host[1:]) if host.startswith("*.") else name == host for host in self._hosts)

    def _without_forwarded(self, scope: Scope) -> Scope:
        """Without what would make Gradio take a foreign host for ours."""
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() != b"x-gradio-server"
            and (name.lower() != b"x-forwarded-host" or self._is_ours(value.decode("latin-1").split(",")[0].strip()))
        ]
        return {**scope, "headers": kept}


def _hostname(netloc: str) -> str:
    """Without its port, and an IPv6 address without its brackets; "" for what is no host, as with a user before it."""
    found = _HOST.fullmatch(netloc.lower())
    return (found["name"] or found["address"]) if found else ""


def _is_ip_address(name: str) -> bool:
    """A name is one for DNS to resolve as it likes, an address is not."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


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
                self._page = _ROOT.sub(rb"\1location.origin", self._page)
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
        if page:
            ours["content-length"] = str(len(page))
        kept = [(name, value) for name, value in start["headers"] if name.lower().decode("latin-1") not in ours]
        added = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in ours.items()]
        return {**start, "headers": [*kept, *added]}


def _sha256_base64(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode("ascii")

"""A call as an endpoint sees it, and its reply before anything of it is sent, so that a fault can still replace it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.hub.objects import CHUNK_BYTES
from tests.hub.refusal import Refusal
from tests.hub.repository import Repository
from tests.hub.routes import Route
from tests.hub.store import Store
from tests.hub.users import User


@dataclass(frozen=True)
class Call:
    """`user` is None for an anonymous call. `url` is the hub's."""

    store: Store
    url: str
    route: Route
    user: User | None
    request: web.Request
    ranges: bool = True  # whether a Range header is obeyed

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def repository(self) -> Repository:
        """Raises Refusal when there is none; whether the user may see it is for the endpoint to check."""
        return self.store.find(self.route.kind, self.route.repo, anonymous=self.user is None)

    def is_set(self, name: str) -> bool:
        return self.request.query.get(name, "").lower() in ("true", "1")

    async def json(self) -> Any:
        """Raises Refusal when the body is no JSON."""
        try:
            return json.loads(await self.request.read())
        except ValueError as error:
            raise Refusal(400, f"the body is no JSON: {error}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.request.content.iter_chunked(CHUNK_BYTES):
            yield chunk


@dataclass(frozen=True)
class FileSlice:
    """Bytes [start, stop) of a file."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class Reply:
    """`body` is bytes, or a slice of a file that is streamed."""

    status: int = 200
    body: bytes | FileSlice = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        return self.body.stop - self.body.start if isinstance(self.body, FileSlice) else len(self.body)

    async def send(self, request: web.Request, *, num_bytes: int | None = None) -> web.StreamResponse:
        """Headers and body; only the first `num_bytes` of it when given."""
        response = web.StreamResponse(status=self.status, headers=self.headers)
        response.content_length = self.num_bytes
        await response.prepare(request)
        if request.method != "HEAD":
            await self._send_body(response, self.num_bytes if num_bytes is None else num_bytes)
        return response

    async def _send_body(self, response: web.StreamResponse, num_bytes: int) -> None:
        if isinstance(self.body, bytes):
            await response.write(self.body[:num_bytes])
            return
        with self.body.path.open("rb") as stream:
            stream.seek(self.body.start)
            while num_bytes > 0:
                chunk = stream.read(min(CHUNK_BYTES, num_bytes))
                await response.write(chunk)
                num_bytes -= len(chunk)


def json_reply(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


def refusal_reply(refusal: Refusal) -> Reply:
    headers = {"X-Error-Message": " ".join(str(refusal).split()), **refusal.headers}
    if refusal.code is not None:
        headers["X-Error-Code"] = refusal.code
    return json_reply({"error": str(refusal)}, refusal.status, headers)


def file_reply(path: Path, size: int, wanted: str | None, headers: Mapping[str, str]) -> Reply:
    """The whole file, or the one range that the Range header `wanted` asks for."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if match is None or match.groups() == ("", "") or (match[1] and match[2] and int(match[1]) > int(match[2])):
        return Reply(200, FileSlice(path, 0, size), headers)
    if match[1]:
        start, stop = int(match[1]), min(int(match[2] or size) + 1, size)
    else:
        start, stop = max(0, size - int(match[2])), size
    if start >= size:
        return Reply(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
    return Reply(206, FileSlice(path, start, stop), {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"})

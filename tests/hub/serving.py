"""HTTP on loopback in a thread of its own, so that tests may block; each request is recorded and may meet faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from aiohttp import web

from tests.hub.calls import Call, Reply, refusal_reply
from tests.hub.endpoints import answer
from tests.hub.faults import HubFault
from tests.hub.refusal import Refusal
from tests.hub.routes import Route, find_route
from tests.hub.store import Store
from tests.hub.users import find_user


@dataclass
class HubRequest:
    """`path` is raw, without the query. `status` is None while there is no answer, and when it was lost.

    num_bytes: the body of the answer.
    """

    method: str
    path: str
    endpoint: str
    status: int | None = None
    num_bytes: int = 0


class HubServer:
    """Serves a store on 127.0.0.1; `port` 0 is any free one. What it counts is kept over a restart."""

    def __init__(self, store: Store, port: int) -> None:
        self.requests: list[HubRequest] = []
        self.faults: list[HubFault] = []
        self.port = port
        self._store = store
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; a port chosen by the system is kept for the next start."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener, ready)), daemon=True)
        self._thread.start()
        ready.wait(10)

    def stop(self) -> None:
        """Drop every connection at once, as a crash would."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
            self._thread = None

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # At once, but not 0, which is for ever: a body that is still on its way is not read any more.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.01)
        await runner.setup()
        site = web.SockSite(runner, listener, backlog=128)
        await site.start()
        ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw_path = request.raw_path.split("?")[0]
        try:
            route = find_route(raw_path)
        except Refusal as refusal:
            self.requests.append(HubRequest(request.method, raw_path, "unknown", refusal.status))
            return await refusal_reply(refusal).send(request)
        seen = HubRequest(request.method, raw_path, route.endpoint)
        self.requests.append(seen)
        struck = [
            fault for fault in list(self.faults) if fault.meets(route.endpoint, request.method, unquote(raw_path))
        ]
        if struck and route.endpoint != "lfs-put":
            await request.read()  # it has arrived in full, so that a client killed by the fault does not unmake it
        for fault in struck:
            if fault.when == "before" and (replaced := await self._strike(fault, request)) is not None:
                seen.status = replaced.status
                return await replaced.send(request)
        reply = await self._carry_out(route, request, ranges=all(fault.kind != "whole" for fault in struck))
        for fault in struck:
            if fault.kind == "cut":
                await self._cut(fault, reply, request)
            elif fault.when == "after" and (replaced := await self._strike(fault, request)) is not None:
                reply = replaced
        seen.status = reply.status
        seen.num_bytes = 0 if request.method == "HEAD" else reply.num_bytes
        return await reply.send(request)

    async def _carry_out(self, route: Route, request: web.Request, *, ranges: bool) -> Reply:
        try:
            user = find_user(self._store.users, request.headers.get("Authorization"))
            return await answer(Call(self._store, self.url, route, user, request, ranges))
        except Refusal as refusal:
            return refusal_reply(refusal)

    async def _strike(self, fault: HubFault, request: web.Request) -> Reply | None:
        """The reply that a fault puts in the place of the real one, if it lets any through."""
        await self._run_call(fault)
        if fault.kind == "hang":
            await self._stopping.wait()
        if fault.kind in ("hang", "reset"):
            _reset(request)
            raise asyncio.CancelledError
        if fault.kind in ("call", "whole"):
            return None
        return refusal_reply(Refusal(fault.status, "a fault of the loopback hub", fault.error_code, fault.headers))

    async def _cut(self, fault: HubFault, reply: Reply, request: web.Request) -> None:
        await reply.send(request, num_bytes=reply.num_bytes // 2)
        await self._run_call(fault)
        if request.transport is not None:
            request.transport.close()
        raise asyncio.CancelledError

    async def _run_call(self, fault: HubFault) -> None:
        """In a thread: it may talk to this very hub."""
        if fault.call is not None:
            await self._loop.run_in_executor(None, fault.call)


def _reset(request: web.Request) -> None:
    """End the connection with RST."""
    if request.transport is not None:
        with contextlib.suppress(OSError):
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()

"""The server itself: aiohttp in a thread of its own, so that tests may block."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

Reply = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Fault:
    """What a request meets instead of an answer.

    what: an HTTP status, or
      "hang"          no answer until the server stops
      "reset"         the connection is reset (RST)
      "close"         the connection is closed without an answer
      "cut"           a 200 whose body ends before its Content-Length
      "torn"          a 200 whose JSON stops half-way
      "not_json"      a 200 with an HTML page
      "no_choices"    a 200 with an empty list of choices (content, for Anthropic)
      "null"          a 200 with null text (no text block)
      "length"        cut by max_tokens
      "refusal"       the model refuses
      "thinking"      Anthropic only: a thinking block comes before the text
      a mapping       a 200 with this as the message of the choice (OpenAI), or as the whole reply where it has choices
    retry_after, location: the headers, as they are.
    """

    what: int | str | Mapping[str, Any]
    retry_after: str | None = None
    location: str | None = None


Faults = Iterable[Fault | None] | Callable[[str, int], Fault | None]
BatchFaults = Callable[[str, int], str | None]


@dataclass
class _Batch:
    id: str
    created_s: float
    lines: list[dict[str, Any]]
    canceled: bool = False


@dataclass
class LoopbackServer:
    """Speaks both APIs on 127.0.0.1; use as a context manager, or `start` and `stop` (again on the same port).

    reply: the text that answers a request body.
    faults: either one per request in order of arrival (None = answer it; the rest is answered), or a callable
        (prompt, nth time this prompt is asked, from 1) -> Fault | None.
    batch_faults: (prompt, nth time) -> None (succeeds), "invalid", "overloaded", "expired" or "canceled", per item.
    batch_call_faults: as `faults` in order, for the calls that create, retrieve, list or stream batches. With
        Fault("lost") the call takes effect and its connection is closed without an answer.
    prompt_tokens: what a chat request's usage says of its body. version: what /version tells, as vLLM does; None: no
        such path. count_text: the tokens that /tokenize counts in a text, or in the text of chat messages; None: no
        such path.
    latency_s: before every answer. max_in_flight: beyond it, 429. batch_s: how long a batch takes to end.

    Counted, and kept over a restart: `asked` and `answered` by prompt (batch items count as they are created and end),
    `bodies` (path, body) of every request if `record`, `peak_in_flight`, `batches` by id, `batch_calls` by name.
    """

    reply: Reply = lambda body: f"answer to {prompt_of(body)}"
    faults: Faults = ()
    batch_faults: BatchFaults = lambda prompt, nth: None
    batch_call_faults: Iterable[Fault | None] = ()
    prompt_tokens: Callable[[Mapping[str, Any]], int | None] = lambda body: 11
    version: str | None = None
    count_text: Callable[[str], int] | None = None
    latency_s: float = 0.0
    max_in_flight: int | None = None
    batch_s: float = 0.0
    port: int = 0  # 0: a free one
    record: bool = True
    model: str = "loopback-model"
    api_key: str | None = None  # when set, any other key gets 401

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    batches: dict[str, _Batch] = field(default_factory=dict)
    batch_calls: Counter[str] = field(default_factory=Counter)
    num_in_flight: int = 0
    peak_in_flight: int = 0

    def __post_init__(self) -> None:
        self._script = None if callable(self.faults) else iter(self.faults)
        self._batch_script = iter(self.batch_call_faults)
        self._ids = itertools.count(1)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The root, as the Anthropic SDK wants it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The root with /v1, as the OpenAI SDK wants it."""
        return f"{self.url}/v1"

    def __enter__(self) -> LoopbackServer:
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
        self._transports: set[asyncio.BaseTransport] = set()
        # At once, but not 0, which is for ever: a body that is still on its way is not read any more.
        runner = web.AppRunner(self._app(), access_log=None, handler_cancellation=False, shutdown_timeout=0.01)
        await runner.setup()
        site = web.SockSite(runner, listener, backlog=1024)
        await site.start()
        ready.set()
        await self._stopping.wait()
        await site.stop()
        for transport in self._transports:
            transport.abort()
        await runner.cleanup()
        self.num_in_flight = 0

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/chat/completions/", self._chat),
                web.post("/v1/messages", self._messages),
                web.post("/v1/messages/", self._messages),
                web.get("/v1/models", self._models),
                web.get("/version", self._version),
                web.post("/tokenize", self._tokenize),
                web.post("/v1/messages/batches", self._create_batch),
                web.get("/v1/messages/batches", self._list_batches),
                web.get("/v1/messages/batches/{id}", self._retrieve_batch),
                web.post("/v1/messages/batches/{id}/cancel", self._cancel_batch),
                web.get("/v1/messages/batches/{id}/results", self._batch_results),
                web.get("/loopback/state", self._state),
            ]
        )
        return app

    # Chat and messages

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._ask(request, _chat_reply)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._ask(request, _message_reply)

    async def _ask(self, request: web.Request, shape: Callable[[str, str, str | None], dict[str, Any]]) -> Any:
        self._transports.add(request.transport)
        body = await request.json()
        if self.record:
            self.bodies.append((request.path, body))
        if (refused := self._refused_key(request)) is not None:
            return refused
        prompt = prompt_of(body)
        if self.max_in_flight is not None and self.num_in_flight >= self.max_in_flight:
            self.asked[prompt] += 1
            return _status(429)
        self.num_in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.num_in_flight)
        try:
            self.asked[prompt] += 1
            fault = self._next_fault(prompt)
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            if fault is None or fault.what in ("length", "refusal", "thinking"):
                self.answered[prompt] += 1
                answer = shape(self.reply(body), self.model, fault and str(fault.what))
                if "prompt_tokens" in answer["usage"]:
                    answer["usage"]["prompt_tokens"] = self.prompt_tokens(body)
                return web.json_response(answer)
            return await self._fail(request, fault, shape)
        finally:
            self.num_in_flight -= 1

    def _next_fault(self, prompt: str) -> Fault | None:
        if self._script is not None:
            return next(self._script, None)
        return self.faults(prompt, self.asked[prompt])

    def _refused_key(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.api_key is None or given == self.api_key:
            return None
        message = f"Incorrect API key provided: {given}"
        return web.json_response({"error": {"type": "authentication_error", "message": message}}, status=401)

    async def _fail(self, request: web.Request, fault: Fault, shape: Callable[..., dict[str, Any]]) -> Any:
        if isinstance(fault.what, int):
            return _status(fault.what, retry_after=fault.retry_after, location=fault.location)
        if isinstance(fault.what, Mapping):
            return web.json_response(_odd_reply(fault.what, shape("", self.model, None)))
        whole = json.dumps(shape("never seen", self.model, None)).encode()
        match fault.what:
            case "hang":
                await self._stopping.wait()
            case "reset":
                linger = struct.pack("ii", 1, 0)
                request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                request.transport.abort()
            case "close":
                request.transport.close()
            case "cut":
                response = web.StreamResponse(headers={"Content-Length": str(len(whole))})
                response.content_type = "application/json"
                await response.prepare(request)
                await response.write(whole[: len(whole) // 2])
                request.transport.close()
                return response
            case "torn":
                return web.Response(body=whole[: len(whole) // 2], content_type="application/json")
            case "not_json":
                return web.Response(text="<html>a proxy's page</html>", content_type="text/html")
            case "no_choices" | "null":
                return web.json_response(shape("", self.model, fault.what))
            case unknown:
                raise ValueError(f"no fault {unknown!r}")
        return web.Response(status=500)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    async def _version(self, request: web.Request) -> web.Response:
        if self.version is None:
            raise web.HTTPNotFound
        return web.json_response({"version": self.version})

    async def _tokenize(self, request: web.Request) -> web.Response:
        if self.count_text is None:
            raise web.HTTPNotFound
        body = await request.json()
        return web.json_response({"count": self.count_text(body["prompt"] if "prompt" in body else prompt_of(body))})

    async def _state(self, request: web.Request) -> web.Response:
        counts = {"asked": self.asked, "answered": self.answered, "peak_in_flight": self.peak_in_flight}
        return web.json_response(counts | {"num_batches": len(self.batches)})

    # Message Batches

    async def _batch_call(self, request: web.Request, name: str) -> tuple[web.Response | None, bool]:
        """What the call meets instead of taking effect, and whether its answer gets lost; counts it by name."""
        self._transports.add(request.transport)
        self.batch_calls[name] += 1
        if (refused := self._refused_key(request)) is not None:
            return refused, False
        fault = next(self._batch_script, None)
        is_lost = fault is not None and fault.what == "lost"
        if fault is None or is_lost:
            return None, is_lost
        return await self._fail(request, fault, _message_reply), False

    async def _create_batch(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        fault, is_lost = await self._batch_call(request, "create")
        if fault is not None:
            return fault
        ids = [item["custom_id"] for item in body["requests"]]
        if len(set(ids)) != len(ids):
            return web.json_response(_error("invalid_request_error", "custom_id is not unique"), status=400)
        if self.record:
            self.bodies.extend((request.path, item["params"]) for item in body["requests"])
        batch = _Batch(f"msgbatch_{next(self._ids):06d}", time.time(), [self._batch_line(x) for x in body["requests"]])
        self.batches[batch.id] = batch
        if is_lost:
            request.transport.close()
        return web.json_response(self._batch_json(batch))

    def _batch_line(self, item: dict[str, Any]) -> dict[str, Any]:
        prompt = prompt_of(item["params"])
        self.asked[prompt] += 1
        return {"custom_id": item["custom_id"], "result": self._batch_result(item["params"], prompt)}

    def _batch_result(self, params: dict[str, Any], prompt: str) -> dict[str, Any]:
        match self.batch_faults(prompt, self.asked[prompt]):
            case None:
                self.answered[prompt] += 1
                return {"type": "succeeded", "message": _message_reply(self.reply(params), self.model, None)}
            case "refusal":
                self.answered[prompt] += 1
                return {"type": "succeeded", "message": _message_reply("", self.model, "refusal")}
            case "invalid":
                return {"type": "errored", "error": _error("invalid_request_error", "max_tokens: too large")}
            case "overloaded":
                return {"type": "errored", "error": _error("overloaded_error", "Overloaded")}
            case "expired" | "canceled" as kind:
                return {"type": kind}
            case unknown:
                raise ValueError(f"no batch fault {unknown!r}")

    async def _retrieve_batch(self, request: web.Request) -> web.StreamResponse:
        fault, _ = await self._batch_call(request, "retrieve")
        if fault is not None:
            return fault
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response(_error("not_found_error", "no such batch"), status=404)
        return web.json_response(self._batch_json(batch))

    async def _list_batches(self, request: web.Request) -> web.StreamResponse:
        fault, _ = await self._batch_call(request, "list")
        if fault is not None:
            return fault
        newest_first = list(self.batches.values())[::-1]
        if after_id := request.query.get("after_id"):
            newest_first = newest_first[[batch.id for batch in newest_first].index(after_id) + 1 :]
        page = newest_first[: int(request.query.get("limit", 20))]
        return web.json_response(
            {
                "data": [self._batch_json(batch) for batch in page],
                "has_more": len(page) < len(newest_first),
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
            }
        )

    async def _cancel_batch(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches[request.match_info["id"]]
        if not self._has_ended(batch):
            batch.canceled = True
            batch.lines = [{"custom_id": line["custom_id"], "result": {"type": "canceled"}} for line in batch.lines]
        return web.json_response(self._batch_json(batch))

    async def _batch_results(self, request: web.Request) -> web.StreamResponse:
        fault, is_lost = await self._batch_call(request, "results")
        if fault is not None:
            return fault
        lines = self.batches[request.match_info["id"]].lines[::-1]  # results come in no particular order
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if not is_lost:
            return web.Response(text=text, content_type="application/x-jsonl")
        response = web.StreamResponse(headers={"Content-Length": str(len(text))})
        await response.prepare(request)
        await response.write(text[: len(text) // 2].encode())
        request.transport.close()
        return response

    def _has_ended(self, batch: _Batch) -> bool:
        return batch.canceled or time.time() >= batch.created_s + self.batch_s

    def _batch_json(self, batch: _Batch) -> dict[str, Any]:
        ended = self._has_ended(batch)
        kinds = Counter(line["result"]["type"] if ended else "processing" for line in batch.lines)
        created = datetime.fromtimestamp(batch.created_s, UTC)
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {
                kind: kinds[kind] for kind in ("processing", "succeeded", "errored", "canceled", "expired")
            },
            "created_at": created.isoformat(),
            "expires_at": (created + timedelta(hours=24)).isoformat(),
            "ended_at": created.isoformat() if ended else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{batch.id}/results" if ended else None,
        }


def prompt_of(body: Mapping[str, Any]) -> str:
    """The text of the last user message, in either API's shape."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _chat_reply(text: str, model: str, fault: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if fault == "null" else text}
    if fault == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    finish_reason = "length" if fault == "length" else "stop"
    choices = [{"index": 0, "finish_reason": finish_reason, "message": message}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [] if fault == "no_choices" else choices,
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def _message_reply(text: str, model: str, fault: str | None) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if fault == "thinking":
        content.insert(0, {"type": "thinking", "thinking": "hm, <judgement>No</judgement>?", "signature": "x"})
    if fault in ("null", "no_choices", "refusal"):
        content = []
    stop_reason = {"refusal": "refusal", "length": "max_tokens"}.get(fault or "", "end_turn")
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }


def _odd_reply(what: Mapping[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    if "choices" in what:
        return usual | dict(what)
    return usual | {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **what}}]}


def _status(status: int, *, retry_after: str | None = None, location: str | None = None) -> web.Response:
    given = {"Retry-After": retry_after, "Location": location}
    headers = {name: value for name, value in given.items() if value is not None}
    return web.json_response({"error": {"type": "scripted", "message": f"{status}"}}, status=status, headers=headers)


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}

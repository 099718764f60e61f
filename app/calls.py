"""The calls of functions that the gate lets through to Gradio: each is read here first, and written anew.

Gradio fetches whatever file or address an object with `path` and `meta` names, anywhere in any input, before a function
of ours runs. No function of ours takes a file. So a body is parsed here and passed on only if it calls one of the
functions that there are, with values of the types that it takes; nothing else of what was sent reaches Gradio.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import gradio as gr
from gradio.components.api_component import Api
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

MAX_BODY_BYTES: Final = 256 * 1024  # the longest address, name and note together are a quarter of that
MAX_BODY_S: Final = 20.0
# More than is read is thrown away up to here, so that the sender is still there to be told.
MAX_DROPPED_BYTES: Final = 64 * 2**20

_RUN: Final = "/gradio_api/run/"
_CALL: Final = "/gradio_api/call/"
_JOIN: Final = "/gradio_api/queue/join"
_STREAM: Final = "/gradio_api/queue/data"
_PAGE_RUN: Final = "predict"  # what a page calls every function by, with its number
_MAX: Final = 2**53
_API_TYPES: Final[Mapping[str, Any]] = {"string": str, "integer": Annotated[int, Field(ge=-_MAX, le=_MAX)]}
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CallError(ValueError):
    """A request that is not let through; `str()` says why in one line, status is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Asked(BaseModel):
    """What keys.js asks: for a view (query, is_wide), or to keep a label (label, row, observation, note)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    query: str = ""
    labeller: str = ""
    number: Annotated[int, Field(ge=0, le=_MAX)] = 0
    is_wide: bool = False
    label: str = ""
    row: str = ""
    observation: str = ""
    note: str = ""


class _Body(BaseModel):
    """The body of a call, as pages and gradio_client send it; what else either sends is dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    data: list[Any]
    event_data: Asked | None = None
    fn_index: int | None = None
    trigger_id: int | None = None
    session_hash: Annotated[str, StringConstraints(pattern=f"^{_SESSION.pattern}$")] | None = None


class Calls:
    """Which functions there are, and what each takes."""

    def __init__(self, blocks: gr.Blocks) -> None:
        self._blocks = blocks
        self._names = {fn.api_name: number for number, fn in blocks.fns.items() if fn.api_visibility == "public"}
        self._inputs = {
            number: tuple(TypeAdapter[Any](_type_of(block)) for block in fn.inputs) for number, fn in blocks.fns.items()
        }

    def check_route(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        """Whether the request calls a function, so that its body is to be read. Raises CallError.

        What comes back of a call by name, or to a session, can be had only while the queue knows of it.
        """
        if method == "GET" and path == _STREAM:
            if query.get("session_hash") not in self._blocks._queue.pending_messages_per_session:
                raise CallError(404, "there is no such session")
            return False
        if method == "GET" and path.startswith(_CALL):
            name, _, event = path.removeprefix(_CALL).partition("/")
            if name not in self._names or not self._knows_event(event):
                raise CallError(404, "there is no such call")
            return False
        if path == _JOIN or path.startswith((_RUN, _CALL)):
            name = path.removeprefix(_RUN).removeprefix(_CALL)
            if path != _JOIN and name not in self._names and path != _RUN + _PAGE_RUN:
                raise CallError(404, "there is no such function")
            if method != "POST":
                raise CallError(405, "a function is called with POST")
            return True
        raise CallError(404, "not found")

    def rewrite(self, path: str, sent: bytes) -> bytes:
        """The same call in our own words. Raises CallError."""
        body = _parse(sent)
        number = self._number(path, body.fn_index)
        self._check_inputs(self._inputs[number], body.data)
        if path == _JOIN and body.session_hash is None:
            raise CallError(422, "session_hash is missing")
        call: dict[str, Any] = {"data": body.data, "session_hash": body.session_hash}
        if not path.startswith(_CALL):
            triggers = {block_id for block_id, _ in self._blocks.fns[number].targets}
            call |= {
                "fn_index": number,
                "trigger_id": body.trigger_id if body.trigger_id in triggers else None,
                "event_data": body.event_data.model_dump() if body.event_data else None,
            }
        return json.dumps(call).encode()

    @staticmethod
    def _check_inputs(inputs: Sequence[TypeAdapter[Any]], values: Sequence[Any]) -> None:
        if len(values) != len(inputs):
            raise CallError(422, f"the function takes {len(inputs)} inputs, not {len(values):,}")
        for place, (adapter, value) in enumerate(zip(inputs, values, strict=True), 1):
            try:
                adapter.validate_python(value, strict=True)
            except ValidationError as error:
                raise CallError(422, f"input {place} is not what the function takes: {_first(error)}") from error

    def _number(self, path: str, fn_index: int | None) -> int:
        """Of the function: by its name where the path has one, else as the body says."""
        name = path.removeprefix(_RUN).removeprefix(_CALL)
        number = self._names.get(name, fn_index)
        if number is None or number not in self._inputs:
            raise CallError(404, "there is no such function")
        return number

    def _knows_event(self, event: str) -> bool:
        queue = self._blocks._queue
        return event in queue.event_ids_to_events or any(
            event in known for known in queue.pending_event_ids_session.values()
        )


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, never more than MAX_BODY_BYTES of it. Raises CallError."""
    if Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise CallError(415, "a call is sent as application/json")
    parts, num_bytes, more = [], 0, True
    try:
        async with asyncio.timeout(MAX_BODY_S):
            while more and num_bytes <= MAX_DROPPED_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise CallError(400, "the body is cut off")
                part, more = message.get("body", b""), message.get("more_body", False)
                num_bytes += len(part)
                if num_bytes <= MAX_BODY_BYTES:
                    parts.append(part)
    except TimeoutError as error:
        raise CallError(408, f"the body did not come within {MAX_BODY_S:.0f} s") from error
    if num_bytes > MAX_BODY_BYTES:
        raise CallError(413, f"a call has at most {MAX_BODY_BYTES:,} bytes")
    return b"".join(parts)


def replay(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """The request with another body."""
    replaced = (b"content-length", b"content-type", b"transfer-encoding", b"content-encoding")
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in replaced]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_anew() -> Message:
        return messages.pop() if messages else await receive()

    return {**scope, "headers": headers}, receive_anew


def _parse(sent: bytes) -> _Body:
    try:
        # Not a number of JSON's, which Python reads all the same.
        found = json.loads(sent, parse_constant=_refuse_constant)
        return _Body.model_validate(found)
    except ValidationError as error:
        raise CallError(422, f"the call cannot be read: {_first(error)}") from error
    except (ValueError, RecursionError) as error:
        raise CallError(400, "the body is no JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")[:300]


def _type_of(block: Any) -> Any:
    """What an input takes, as pydantic reads it."""
    match block:
        case Api():
            return _API_TYPES[block._api_info["type"]]
        case gr.HTML() | gr.Textbox():
            return str | None
        case gr.Number():
            return Annotated[float, Field(allow_inf_nan=False, ge=-_MAX, le=_MAX)] | None
        case gr.Checkbox():
            return bool
        case gr.Dropdown() | gr.Radio():
            choice = Annotated[str, BeforeValidator(_one_of(frozenset(value for _, value in block.choices)))]
            return list[choice] if getattr(block, "multiselect", False) else choice
        case _:
            raise TypeError(f"what {type(block).__name__} takes is not said here")


def _one_of(choices: frozenset[Any]) -> Any:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise ValueError("that is no choice")
        return value

    return check

"""Message Batches: the same judge at half the price, in minutes to hours, and never paid for twice.

What was sent stands in an append-only state file: an INTENT line (keys, time) before each submit, a line with the
batch's id after it, and one when its results have all been yielded. A run that is killed between the first two lines
leaves an orphan: a batch that may exist and whose id nobody knows. It is looked for among the workspace's recent
batches and adopted when its custom_ids are ours; only when there is none are the questions sent again.

    intent -> submitted -> collected          intent -> void (no such batch was made)
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from pydantic import BaseModel, Field

from curation.engines.base import Engine, Request
from curation.engines.config import BatchConfig, DispatchConfig
from curation.engines.dispatch import EXHAUSTED, POISON, Job, Outcome
from curation.errors import ConfigError, FatalEngineError, MediaError, PoisonError, RetryableError
from curation.journal import Journal, read_journal

if TYPE_CHECKING:
    from curation.engines.anthropic import AnthropicEngine

_PATH: Final = "/v1/messages/batches"
_PAGE: Final = 100
# How far the clocks of this machine and the server may lie apart. A candidate is adopted for its custom_ids only, so a
# generous value costs a look at a few more batches and nothing else.
_CLOCK_SKEW: Final = timedelta(hours=1)
_POISON_ERRORS: Final = frozenset({"invalid_request_error", "request_too_large"})
_FATAL_ERRORS: Final = frozenset({"authentication_error", "permission_error", "billing_error", "not_found_error"})

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


async def answer_in_batches(
    engine: Engine,
    jobs: Iterable[Job],
    *,
    state_path: Path,
    config: BatchConfig,
    dispatch: DispatchConfig | None = None,
    admit: Callable[[Request], None] | None = None,
) -> AsyncGenerator[Outcome, None]:
    """Yield one Outcome a job, batch by batch as they end; job keys are unique and serve as custom_ids.

    Batches that an earlier run left in `state_path` are waited for and collected, not sent again. Items that expired,
    were canceled or met a server error are sent again, `dispatch.max_tries` times in all. `prepare` is called once to
    send a job and once more for its Outcome, so that no request is kept for hours.
    `admit` is called for every job that is or will be in a batch; when it raises, what was admitted before is sent and
    collected, and then its exception is raised. Raises FatalEngineError; the state file keeps what was paid for.
    """
    from curation.engines.anthropic import AnthropicEngine

    if not isinstance(engine, AnthropicEngine):
        raise ConfigError(f"batches need the engine 'anthropic', not {type(engine).__name__}. Remove batches.")
    open_jobs: dict[str, Job] = {}
    for job in jobs:
        if job.key in open_jobs:
            raise ValueError(f"two jobs have the key {job.key}")
        open_jobs[job.key] = job
    dispatch = dispatch or DispatchConfig()
    run = _Run(_Api(engine, dispatch, state_path), _State(state_path), config, dispatch.max_tries, open_jobs, admit)
    async for outcome in run.outcomes():
        yield outcome


def outstanding_batches(state_path: Path) -> list[str]:
    """The ids of batches that were sent and not yet collected ("not known yet" for one whose submit was cut off)."""
    return [chunk.batch_id or "not known yet" for chunk in _State(state_path).chunks.values() if not chunk.is_over]


@dataclass(slots=True)
class _Chunk:
    """The questions of one batch, sent or about to be."""

    number: int
    keys: tuple[str, ...]
    at: datetime
    batch_id: str | None = None
    is_over: bool = False


class _State:
    """The state file. Each line is on the disk before the next step is taken. Raises RunDirectoryError if damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.chunks: dict[int, _Chunk] = {}
        self.num_tries: Counter[str] = Counter()
        for entry in read_journal(path):
            self._apply(entry)

    @property
    def batch_ids(self) -> set[str]:
        """Every batch that is known to be ours."""
        return {chunk.batch_id for chunk in self.chunks.values() if chunk.batch_id is not None}

    def intend(self, keys: Sequence[str]) -> _Chunk:
        """Before a submit."""
        number = len(self.chunks) + 1
        self._append(step="intent", chunk=number, keys=list(keys), at=datetime.now(UTC).isoformat())
        return self.chunks[number]

    def submitted(self, chunk: _Chunk, batch_id: str) -> None:
        """The batch exists."""
        self._append(step="submitted", chunk=chunk.number, batch=batch_id)

    def collected(self, chunk: _Chunk) -> None:
        """Every result was yielded, and the consumer came back for more."""
        self._append(step="collected", chunk=chunk.number)

    def void(self, chunk: _Chunk) -> None:
        """No batch was made of it."""
        self._append(step="void", chunk=chunk.number)

    def _append(self, **entry: Any) -> None:
        with Journal(self.path) as journal:  # closed each time: that is what flushes to the disk itself
            journal.append(entry)
        self._apply(entry)

    def _apply(self, entry: Mapping[str, Any]) -> None:
        number = entry["chunk"]
        match entry["step"]:
            case "intent":
                chunk = _Chunk(number, tuple(entry["keys"]), datetime.fromisoformat(entry["at"]))
                self.chunks[number] = chunk
                self.num_tries.update(chunk.keys)
            case "submitted":
                self.chunks[number].batch_id = entry["batch"]
            case "collected":
                self.chunks[number].is_over = True
            case "void":
                self.chunks[number].is_over = True
                self.num_tries.subtract(self.chunks[number].keys)


class _Batch(BaseModel):
    """What we read of a batch; the server may say more."""

    id: str
    processing_status: str
    created_at: datetime
    request_counts: dict[str, int]

    @property
    def num_requests(self) -> int:
        return sum(self.request_counts.values())

    @property
    def has_ended(self) -> bool:
        return self.processing_status == "ended"


class _Page(BaseModel):
    data: list[_Batch] = Field(default_factory=list)
    has_more: bool = False
    last_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Api:
    """The four calls. Reading is repeated until it is answered; creating never is, because it may have worked."""

    engine: AnthropicEngine
    dispatch: DispatchConfig
    state_path: Path

    async def create(self, requests: list[dict[str, Any]]) -> _Batch:
        return await self._call("post", _PATH, _Batch.model_validate_json, body={"requests": requests})

    async def retrieve(self, batch_id: str) -> _Batch:
        return await self._read(f"{_PATH}/{batch_id}", _Batch.model_validate_json)

    async def results(self, batch: _Batch) -> dict[str, Any]:
        """The results by custom_id; whole, or not at all."""

        def read_lines(content: bytes) -> dict[str, Any]:
            lines = [json.loads(line) for line in content.splitlines() if line.strip()]
            results = {line["custom_id"]: line["result"] for line in lines}
            num_succeeded = sum(result["type"] == "succeeded" for result in results.values())
            if num_succeeded < batch.request_counts.get("succeeded", 0):
                raise ValueError(f"{num_succeeded} answers of {batch.request_counts['succeeded']}")
            return results

        return await self._read(f"{_PATH}/{batch.id}/results", read_lines)

    async def recent(self, since: datetime) -> list[_Batch]:
        """The batches created since then, newest first."""
        batches: list[_Batch] = []
        after: dict[str, Any] = {}
        while True:
            page = await self._read(_PATH, _Page.model_validate_json, {"limit": _PAGE} | after)
            batches += [batch for batch in page.data if batch.created_at >= since]
            if not page.has_more or not page.data or page.data[-1].created_at < since:
                return batches
            after = {"after_id": page.last_id or page.data[-1].id}

    async def _read(self, path: str, read: Callable[[bytes], _T], query: Mapping[str, Any] | None = None) -> _T:
        try:
            return await self.persist(lambda: self._call("get", path, read, query=query))
        except (PoisonError, FatalEngineError) as error:
            raise FatalEngineError(f"{error} {self.state_path} names the batches that are paid for.") from error

    async def persist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat a call that may be repeated. Raises FatalEngineError after `server_wait_s` without an answer."""
        started_s = time.monotonic()
        num_failed = 0
        while True:
            try:
                return await call()
            except RetryableError as error:
                waited_s = time.monotonic() - started_s
                if waited_s >= self.dispatch.server_wait_s:
                    raise FatalEngineError(f"{error} for {waited_s:.0f} s; run the same command again.") from error
                await asyncio.sleep(self.pause_s(error, num_failed))
                num_failed += 1

    def pause_s(self, error: RetryableError, num_failed: int) -> float:
        if error.retry_after_s is not None:
            return min(error.retry_after_s, self.dispatch.retry_after_cap_s)
        return min(self.dispatch.backoff_s * 2.0 ** min(num_failed, 30), self.dispatch.backoff_cap_s)

    async def _call(
        self,
        method: Literal["get", "post"],
        path: str,
        read: Callable[[bytes], _T],
        *,
        body: Any = None,
        query: Any = None,
    ) -> _T:
        content = await self.engine.request(method, path, body=body, query=query)
        try:
            return read(content)
        except (ValueError, KeyError, TypeError) as error:
            raise RetryableError(f"unusable reply to {method} {path}: {' '.join(str(error).split())[:200]}") from error


@dataclass(slots=True)
class _Run:
    """One `answer_in_batches`: what is open, what is out, and why to stop."""

    api: _Api
    state: _State
    config: BatchConfig
    max_tries: int
    open_jobs: dict[str, Job]
    admit: Callable[[Request], None] | None
    admitted: set[str] = field(default_factory=set)
    waiting: list[_Chunk] = field(default_factory=list)
    stopped_by: Exception | None = None

    async def outcomes(self) -> AsyncIterator[Outcome]:
        await self._resume()
        out = {key for chunk in self.waiting for key in chunk.keys}
        async for outcome in self._send([key for key in self.open_jobs if key not in out]):
            yield outcome
        while self.waiting:
            for chunk in list(self.waiting):
                batch = await self.api.retrieve(str(chunk.batch_id))
                if batch.has_ended:
                    async for outcome in self._collect(chunk, batch):
                        yield outcome
            if self.waiting:
                await asyncio.sleep(self.config.poll_s)
        if self.stopped_by is not None:
            raise self.stopped_by

    async def _resume(self) -> None:
        """Take up what an earlier run left behind, as far as it concerns the jobs of this one."""
        for chunk in list(self.state.chunks.values()):
            keys = [key for key in chunk.keys if key in self.open_jobs]
            if chunk.is_over or not keys:
                continue
            if chunk.batch_id is None and (batch_id := await self._find(chunk)) is not None:
                self.state.submitted(chunk, batch_id)
                _log.warning("adopted batch %s, which a killed run had submitted", batch_id)
            if chunk.batch_id is None:
                self.state.void(chunk)
                continue
            self.waiting.append(chunk)
            for key in keys:  # already paid for: a spent budget stops what is new, not what is out
                if self.admit is not None and self.stopped_by is None:
                    self._try_admit(key, await self.open_jobs[key].prepare())

    async def _find(self, chunk: _Chunk) -> str | None:
        """The batch that an interrupted submit made, or None when there is none.

        Its custom_ids can be read only when it has ended, so candidates that run are waited for. The list may lag
        behind a submit, so that nothing is ruled out before the intent is `poll_s` old.
        """
        strangers = self.state.batch_ids
        while True:
            age_s = (datetime.now(UTC) - chunk.at).total_seconds()
            candidates = [
                batch
                for batch in await self.api.recent(chunk.at - _CLOCK_SKEW)
                if batch.id not in strangers and batch.num_requests == len(chunk.keys)
            ]
            for batch in candidates:
                if batch.has_ended:
                    if set(await self.api.results(batch)) == set(chunk.keys):
                        return batch.id
                    strangers.add(batch.id)
            if all(batch.has_ended for batch in candidates) and age_s >= self.config.poll_s:
                return None
            await asyncio.sleep(self.config.poll_s)

    def _try_admit(self, key: str, request: Request) -> bool:
        try:
            if self.admit is not None and key not in self.admitted:
                self.admit(request)
                self.admitted.add(key)
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised when everything out is collected
            self.stopped_by = error
            return False
        return True

    async def _send(self, keys: Iterable[str]) -> AsyncIterator[Outcome]:
        """Submit in chunks, limited by count and by bytes. Yields the outcomes of what cannot be sent at all."""
        items: list[dict[str, Any]] = []
        num_bytes = 0
        for key in keys:
            try:
                request = await self.open_jobs[key].prepare()
            except MediaError as error:
                del self.open_jobs[key]
                yield Outcome(key, None, None, f"media:{error.reason}", str(error), 0)
                continue
            item = {"custom_id": key, "params": self.api.engine.message_params(request)}
            item_bytes = len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()) + 1
            if item_bytes > self.config.max_bytes:
                del self.open_jobs[key]
                detail = f"{item_bytes} bytes are more than batches.max_bytes {self.config.max_bytes}"
                yield Outcome(key, request, None, POISON, detail, 0)
                continue
            if self.stopped_by is not None or not self._try_admit(key, request):
                break
            if len(items) >= self.config.max_requests or num_bytes + item_bytes > self.config.max_bytes:
                await self._submit(items)
                items, num_bytes = [], 0
            items.append(item)
            num_bytes += item_bytes
        if items:
            await self._submit(items)

    async def _submit(self, items: list[dict[str, Any]]) -> None:
        """Make one batch, exactly one: after an error that leaves open whether it was made, look before resending."""
        chunk = self.state.intend([item["custom_id"] for item in items])

        async def create() -> str:
            try:
                return (await self.api.create(items)).id
            except RetryableError as error:
                if not error.unreachable and error.status != 429 and (batch_id := await self._find(chunk)) is not None:
                    return batch_id
                raise

        try:
            batch_id = await self.api.persist(create)
        except PoisonError as error:
            self.state.void(chunk)
            raise FatalEngineError(f"a batch of {len(items)} requests was refused: {error}") from error
        self.state.submitted(chunk, batch_id)
        self.waiting.append(chunk)
        _log.info("submitted batch %s of %d requests", batch_id, len(items))

    async def _collect(self, chunk: _Chunk, batch: _Batch) -> AsyncIterator[Outcome]:
        """Yield the outcomes of one batch; what may work another time is sent again."""
        results = await self.api.results(batch)
        again: list[str] = []
        for key in chunk.keys:
            if key not in self.open_jobs:  # answered in an earlier run
                continue
            outcome = await self._outcome(key, results.get(key))
            if outcome is None:
                again.append(key)
                continue
            del self.open_jobs[key]
            yield outcome
        self.state.collected(chunk)
        self.waiting.remove(chunk)
        async for outcome in self._send(again):
            yield outcome

    async def _outcome(self, key: str, result: Any) -> Outcome | None:
        """None when the item is to be sent again."""
        request = await self.open_jobs[key].prepare()
        tries = self.state.num_tries[key]
        match result:
            case {"type": "succeeded", "message": message}:
                try:
                    return Outcome(key, request, self.api.engine.read_message(message), None, None, tries)
                except ValueError as error:
                    detail = f"succeeded, but {error}"
            case {"type": "errored", "error": {"error": {"type": str(kind), "message": str(said)}}}:
                detail = f"{kind}: {said}"
                if kind in _POISON_ERRORS:
                    return Outcome(key, request, None, POISON, detail, tries)
                if kind in _FATAL_ERRORS:
                    self.stopped_by = FatalEngineError(f"{detail}. Check the API key and the model.")
                    return None
            case {"type": str(kind)}:
                detail = kind
            case _:
                detail = "the batch has no result for it"
        if tries >= self.max_tries:
            return Outcome(key, request, None, EXHAUSTED, f"{detail} (batch item)", tries)
        return None

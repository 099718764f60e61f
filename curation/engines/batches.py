"""Message Batches: the same judge at half the price, in minutes to hours, and never paid for twice.

What was sent stands in an append-only state file: an INTENT line (keys, time) before each submit, a line with the
batch's id after it, and one when its results have all been yielded. A run that is killed between the first two lines
leaves an orphan: a batch that may exist and whose id nobody knows. It is looked for among the workspace's recent
batches and adopted when its custom_ids are ours; only when there is none are the questions sent again.

    intent -> submitted -> collected          intent -> void (no such batch was made)
                        -> lost (it is gone, and the user had its questions asked again)
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
from curation.engines.dispatch import EXHAUSTED, MAX_UNUSABLE, POISON, Job, Outcome, patience_s
from curation.engines.trial import Trial
from curation.errors import ConfigError, FatalEngineError, MediaError, NotFound, PoisonError, RetryableError
from curation.journal import Journal, read_journal

if TYPE_CHECKING:
    from curation.engines.anthropic import AnthropicEngine

_PATH: Final = "/v1/messages/batches"
_PAGE: Final = 100
# How far the clocks of this machine and the server may lie apart, a wrong time zone included. A candidate is adopted
# for its custom_ids only, so a generous value costs a look at a few more batches and nothing else.
_CLOCK_SKEW: Final = timedelta(hours=26)
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
    trial: Trial | None = None,
    out: BatchesOut | None = None,
    resend_lost: bool = False,
) -> AsyncGenerator[Outcome, None]:
    """Yield one Outcome a job, batch by batch as they end; job keys are unique and serve as custom_ids.

    Batches that an earlier run left in `state_path` are waited for and collected, not sent again. Items that expired,
    were canceled or met a server error are sent again, `dispatch.max_tries` times in all. `prepare` is called once to
    send a job and once more for its Outcome, so that no request is kept for hours.
    `admit` is called for every job that is or will be in a batch; when it raises, what was admitted before is sent and
    collected, and then its exception is raised. Raises FatalEngineError; the state file keeps what was paid for.
    trial: until an answer is usable, no more is sent than it has room for; the caller tells it of the answers.
    out: told which batches are waited for. resend_lost: send the questions of a batch again that is gone (404), which
    is a FatalEngineError otherwise.
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
    run = _Run(
        _Api(engine, dispatch, state_path), _State(state_path), config, dispatch.max_tries, open_jobs, admit,
        trial or Trial(None), out or BatchesOut(), resend_lost,
    )  # fmt: skip
    try:
        async for outcome in run.outcomes():
            yield outcome
    finally:
        run.out.forget(state_path)


def outstanding_batches(state_path: Path) -> list[str]:
    """The ids of batches that were sent and not yet collected ("not known yet" for one whose submit was cut off)."""
    return [chunk.batch_id or "not known yet" for chunk in _State(state_path).chunks.values() if not chunk.is_over]


class BatchesOut:
    """The batches that a run waits for, of all its shards, for whoever watches it."""

    def __init__(self) -> None:
        self._chunks: dict[Path, list[_Chunk]] = {}
        self._next_look_s = 0.0

    def waits_for(self, state_path: Path, chunks: Sequence[_Chunk], *, next_look_s: float) -> None:
        """All that is out for one shard; next_look_s: on the monotonic clock."""
        self._chunks[state_path] = list(chunks)
        self._next_look_s = next_look_s

    def forget(self, state_path: Path) -> None:
        """Nothing is out for that shard any more."""
        self._chunks.pop(state_path, None)

    def describe(self) -> str | None:
        """One line; None when nothing is out."""
        chunks = [chunk for chunks in self._chunks.values() for chunk in chunks]
        if not chunks:
            return None
        age_s = max(0.0, max((datetime.now(UTC) - chunk.at).total_seconds() for chunk in chunks))
        next_s = max(0.0, self._next_look_s - time.monotonic())
        return (
            f"{len(chunks):,} batches out, {sum(len(chunk.keys) for chunk in chunks):,} questions, the oldest for "
            f"{age_s // 3600:.0f} h {age_s % 3600 // 60:02.0f} min, next look in {next_s:.0f} s"
        )


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

    def lost(self, chunk: _Chunk) -> None:
        """Its results can no longer be had, and its questions are to be asked again."""
        self._append(step="lost", chunk=chunk.number)

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
            case "void" | "lost":
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


@dataclass(slots=True)
class _Api:
    """The four calls. Reading is repeated until it is answered; creating never is, because it may have worked."""

    engine: AnthropicEngine
    dispatch: DispatchConfig
    state_path: Path
    was_reached: bool = False

    async def create(self, requests: list[dict[str, Any]]) -> _Batch:
        return await self._call("post", _PATH, _Batch.model_validate_json, body={"requests": requests})

    async def retrieve(self, batch_id: str) -> _Batch:
        return await self._read(f"{_PATH}/{batch_id}", _Batch.model_validate_json)

    async def results(self, batch: _Batch) -> dict[str, Any]:
        """The results by custom_id; whole, or not at all. Unequal ones of one id become one "ambiguous" result."""

        def read_lines(content: bytes) -> dict[str, Any]:
            lines = [json.loads(line) for line in content.splitlines() if line.strip()]
            num_succeeded = sum(line["result"]["type"] == "succeeded" for line in lines)
            if num_succeeded < batch.request_counts.get("succeeded", 0):
                raise ValueError(f"{num_succeeded} answers of {batch.request_counts['succeeded']}")
            results: dict[str, Any] = {}
            for line in lines:
                known = results.setdefault(line["custom_id"], line["result"])
                if known != line["result"]:
                    before = known["results"] if known["type"] == "ambiguous" else [known]
                    results[line["custom_id"]] = {"type": "ambiguous", "results": [*before, line["result"]]}
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
        except NotFound:
            raise
        except (PoisonError, FatalEngineError) as error:
            raise FatalEngineError(f"{error} {self.state_path} names the batches that are paid for.") from error

    async def persist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat a call that may be repeated. Raises FatalEngineError when it is not answered for too long."""
        started_s = time.monotonic()
        num_failed = 0
        while True:
            try:
                return await call()
            except RetryableError as error:
                self.was_reached |= not error.unreachable
                waited_s = time.monotonic() - started_s
                if waited_s >= patience_s(self.dispatch, was_reached=self.was_reached):
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
        self.was_reached = True
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
    trial: Trial
    out: BatchesOut
    resend_lost: bool
    admitted: set[str] = field(default_factory=set)
    waiting: list[_Chunk] = field(default_factory=list)
    later: list[str] = field(default_factory=list)  # what the trial has no room for yet
    lost_tokens: dict[str, tuple[int, int]] = field(default_factory=dict)
    stopped_by: Exception | None = None

    async def outcomes(self) -> AsyncIterator[Outcome]:
        await self._resume()
        out = {key for chunk in self.waiting for key in chunk.keys}
        async for outcome in self._send([key for key in self.open_jobs if key not in out]):
            yield outcome
        while self.waiting or (self.later and self.stopped_by is None):
            for chunk in list(self.waiting):
                async for outcome in self._look(chunk):
                    yield outcome
            if self.later and self.stopped_by is None:
                if not self.waiting:
                    await self.trial.wait()
                keys, self.later = self.later, []
                async for outcome in self._send(keys):
                    yield outcome
            next_look_s = time.monotonic() + self.config.poll_s
            self.out.waits_for(self.state.path, self.waiting, next_look_s=next_look_s)
            if self.waiting:
                await asyncio.sleep(self.config.poll_s)
        if self.stopped_by is not None:
            raise self.stopped_by

    async def _look(self, chunk: _Chunk) -> AsyncIterator[Outcome]:
        """Collect a batch if it has ended."""
        try:
            batch = await self.api.retrieve(str(chunk.batch_id))
            results = await self.api.results(batch) if batch.has_ended else None
        except NotFound as error:
            self.waiting.remove(chunk)
            if not self.resend_lost:
                self.stopped_by = self.stopped_by or self._gone(str(chunk.batch_id), chunk, error)
                return
            _log.warning("batch %s is gone; its %d questions are asked again", chunk.batch_id, len(chunk.keys))
            self.state.lost(chunk)
            async for outcome in self._send([key for key in chunk.keys if key in self.open_jobs]):
                yield outcome
            return
        if results is not None:
            async for outcome in self._collect(chunk, results):
                yield outcome

    def _gone(self, batch_id: str, chunk: _Chunk, error: NotFound) -> FatalEngineError:
        return FatalEngineError(
            f"batch {batch_id} of {len(chunk.keys)} questions, sent at {chunk.at:%Y-%m-%d %H:%M} ({self.state.path}), "
            f"is gone: {str(error).split('. Check')[0]}. Results are kept for 29 days, for the workspace of the key "
            "that sent them; with another key, run the same command again. To ask its questions again, and pay for "
            "them again, add --retry-failed, or set batches.resend_lost: true in the engine's section."
        )

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
            self.trial.sent(keys)
            for key in keys:  # already paid for: a spent budget stops what is new, not what is out
                if self.admit is not None and self.stopped_by is None:
                    self._try_admit(key, await self.open_jobs[key].prepare())

    async def _find(self, chunk: _Chunk) -> str | None:
        """The batch that an interrupted submit made, or None when there is none.

        Its custom_ids can be read only when it has ended, so candidates that run are waited for. The list may lag
        behind a submit, so that nothing is ruled out before the intent is `poll_s` old.
        """
        strangers = self.state.batch_ids
        began_s = time.monotonic()
        while True:
            # A clock that was set back since makes the intent lie ahead: what we waited ourselves counts as well.
            now = datetime.now(UTC)
            age_s = max((now - chunk.at).total_seconds(), time.monotonic() - began_s)
            candidates = [
                batch
                for batch in await self.api.recent(min(now, chunk.at) - _CLOCK_SKEW)
                if batch.id not in strangers and batch.num_requests == len(chunk.keys)
            ]
            for batch in candidates:
                if batch.has_ended:
                    if await self._is_ours(batch, chunk):
                        return batch.id
                    strangers.add(batch.id)
            if all(batch.has_ended for batch in candidates) and age_s >= self.config.poll_s:
                return None
            await asyncio.sleep(self.config.poll_s)

    async def _is_ours(self, batch: _Batch, chunk: _Chunk) -> bool:
        """By its custom_ids. Where they are gone nobody can tell: sending again may be paying twice."""
        try:
            return set(await self.api.results(batch)) == set(chunk.keys)
        except NotFound as error:
            if not self.resend_lost:
                raise self._gone(batch.id, chunk, error) from error
            return False

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
            if self.later or not self.trial.has_room_for(key):
                self.later.append(key)
                continue
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
            self.trial.sent([key])
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

    async def _collect(self, chunk: _Chunk, results: Mapping[str, Any]) -> AsyncIterator[Outcome]:
        """Yield the outcomes of one batch; what may work another time is sent again."""
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
        max_tries = self.max_tries
        match result:
            case {"type": "succeeded", "message": message}:
                try:
                    completion = self.api.engine.read_message(message)
                    return Outcome(key, request, completion, None, None, tries, self.lost_tokens.get(key, (0, 0)))
                except ValueError as error:
                    detail = f"succeeded, but {error}"
                    max_tries = min(max_tries, MAX_UNUSABLE)
                    self._lose(key, [result])
            case {"type": "errored", "error": {"error": {"type": str(kind), "message": str(said)}}}:
                detail = f"{kind}: {said}"
                if kind in _POISON_ERRORS:
                    return Outcome(key, request, None, POISON, detail, tries, self.lost_tokens.get(key, (0, 0)))
                if kind in _FATAL_ERRORS:
                    self.stopped_by = FatalEngineError(f"{detail}. Check the API key and the model.")
                    return None
            case {"type": "ambiguous", "results": list(results)}:  # all of them are paid; which one holds?
                detail = f"{len(results)} results that differ have its custom_id"
                max_tries = 0
                self._lose(key, results)
            case {"type": str(kind)}:
                detail = kind
            case _:
                detail = "the batch has no result for it"
        if tries >= max_tries:
            lost_tokens = self.lost_tokens.get(key, (0, 0))
            return Outcome(key, request, None, EXHAUSTED, f"{detail} (batch item)", tries, lost_tokens)
        return None

    def _lose(self, key: str, results: Iterable[Any]) -> None:
        """Replies that are paid for and of no use."""
        num_input, num_output = self.lost_tokens.get(key, (0, 0))
        for result in results:
            input_tokens, output_tokens = self.api.engine.told_tokens(result.get("message"))
            num_input += input_tokens or 0
            num_output += output_tokens or 0
        self.lost_tokens[key] = num_input, num_output

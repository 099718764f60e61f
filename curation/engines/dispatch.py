"""Ask one engine many questions at a time, in bounded memory, and lose none of the answers that were paid for.

    async with aclosing(answer_all(engine, jobs, limiter=limiter, config=config)) as outcomes:
        async for outcome in outcomes:      # in the order in which they complete
            journal.append(outcome)

One bad question never ends a run: it becomes an Outcome with a failure. A wrong key, a lost server or a spent budget
does, after the requests in flight were answered and yielded.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from curation.engines.base import Completion, Engine, Request
from curation.engines.config import DispatchConfig
from curation.engines.limiter import Limiter, Slot
from curation.errors import MediaError, PoisonError, RetryableError, ServerDown

__all__ = ["Job", "Limiter", "Outcome", "answer_all"]

POISON: Final = "poison"
EXHAUSTED: Final = "exhausted"

_MAX_PREFETCH: Final = 16
MAX_UNUSABLE: Final = 3  # whole replies without a text that one question is asked for: the next would end alike
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One question. `prepare` decodes its media when its turn comes; it may raise MediaError."""

    key: str
    prepare: Callable[[], Awaitable[Request]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Either a completion, or a failure ("poison", "exhausted", "media:<reason>") with its detail.

    `request` is None when its media could not be prepared. `tries` counts the requests that the server may have seen.
    lost_tokens: of input and output, in batch replies that were paid for and of no use.
    """

    key: str
    request: Request | None
    completion: Completion | None
    failure: str | None
    detail: str | None
    tries: int
    lost_tokens: tuple[int, int] = (0, 0)


async def answer_all(
    engine: Engine,
    jobs: Iterable[Job],
    *,
    limiter: Limiter,
    config: DispatchConfig,
    admit: Callable[[Request], None] | None = None,
    turn: Callable[[Request], Awaitable[None]] | None = None,
) -> AsyncGenerator[Outcome, None]:
    """Yield one Outcome a job, each as soon as it is complete.

    `jobs` is consumed lazily: at most `limiter.max_in_flight` and a small prefetch of requests are in memory, those
    that wait for the consumer included. `turn` is awaited once a question, before it lines up for its first request;
    `admit` is called right before that goes out, and may raise BudgetExceeded.
    Raises FatalEngineError (ServerDown when it may mend), what `admit` or `turn` raised, or a bug's exception; first
    the requests in flight are answered and yielded, because they are paid for. Questions that were waiting by then have
    no Outcome.
    Closing the generator cancels everything.
    """
    run = _Run(engine, limiter, config, admit, turn)
    width = limiter.max_in_flight + min(_MAX_PREFETCH, max(1, limiter.max_in_flight // 4))
    tasks: set[asyncio.Task[Outcome | None]] = set()
    finished: asyncio.Queue[asyncio.Task[Outcome | None]] = asyncio.Queue()
    todo = iter(jobs)
    stopped_by: BaseException | None = None
    try:
        while True:
            while stopped_by is None and len(tasks) < width and (job := next(todo, None)) is not None:
                task = asyncio.create_task(run.answer(job))
                task.add_done_callback(finished.put_nowait)
                tasks.add(task)
            if not tasks:
                break
            task = await finished.get()
            fault = None if task.cancelled() else task.exception()
            if fault is None and not task.cancelled() and (outcome := task.result()) is not None:
                yield outcome
                fault = run.too_many_failures(outcome)
            tasks.discard(task)
            if fault is not None and stopped_by is None:
                stopped_by = fault
                run.stop(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if stopped_by is not None:
        raise stopped_by


@dataclass(slots=True)
class _Run:
    """What the tasks of one `answer_all` share."""

    engine: Engine
    limiter: Limiter
    config: DispatchConfig
    admit: Callable[[Request], None] | None
    turn: Callable[[Request], Awaitable[None]] | None
    in_flight: set[asyncio.Task[Outcome | None] | None] = field(default_factory=set)
    is_stopping: bool = False

    def stop(self, tasks: Iterable[asyncio.Task[Outcome | None]]) -> None:
        """Let the requests in flight finish; whoever prepares or waits goes no further."""
        self.is_stopping = True
        for task in tasks:
            if task not in self.in_flight:
                task.cancel()

    def too_many_failures(self, outcome: Outcome) -> ServerDown | None:
        """The circuit breaker: when question after question fails and nothing works in between, it is the server.

        Refused (poison) questions count only until the first answer: a server that refuses everything is set up wrong,
        but later on a row of refusals is just a row of questions that it cannot take.
        """
        num_failures = self.limiter.num_failures
        if outcome.completion is not None or num_failures < self.config.stop_after_failures:
            return None
        return ServerDown(
            f"{num_failures} questions in a row failed, the last with: {outcome.detail}",
            ". Mend the server or the config and run the same command again with --retry-failed.",
        )

    async def answer(self, job: Job) -> Outcome | None:
        """The whole life of one question. None when the run stopped while it waited for another try."""
        try:
            request = await job.prepare()
        except MediaError as error:
            return Outcome(job.key, None, None, f"media:{error.reason}", str(error), 0)
        if self.turn is not None:
            await self.turn(request)
        tries = num_unusable = 0
        is_admitted = self.admit is None
        while True:
            slot = await self.limiter.acquire()
            try:
                if self.is_stopping:
                    return None
                if self.admit is not None and not is_admitted:
                    self.admit(request)
                    is_admitted = True
                completion = await self._send(request, slot)
            except PoisonError as error:
                self.limiter.num_failures += not self.limiter.has_answered
                return Outcome(job.key, request, None, POISON, str(error), tries + 1)
            except RetryableError as error:
                if error.unreachable:
                    continue
                tries += 1
                num_unusable += error.unusable
                last_error = error
            except Exception:  # no request can work, the budget is spent, or a bug: nothing new goes out from here on
                self.is_stopping = True
                raise
            else:
                return Outcome(job.key, request, completion, None, None, tries + 1)
            finally:
                self.limiter.release(slot)
            if tries >= self.config.max_tries or num_unusable >= MAX_UNUSABLE:
                self.limiter.num_failures += 1
                return Outcome(job.key, request, None, EXHAUSTED, str(last_error), tries)
            if not last_error.overloaded:  # for an overloaded server the gate waits
                await asyncio.sleep(random.uniform(0.75, 1.25) * self._pause_s(last_error, tries - 1))

    async def _send(self, request: Request, slot: Slot) -> Completion:
        """One request; the limiter learns what it met."""
        task = asyncio.current_task()
        self.in_flight.add(task)
        try:
            completion = await self.engine.complete(request)
        except PoisonError:
            self.limiter.worked()
            raise
        except RetryableError as error:
            self._report(error, slot)
            raise
        finally:
            self.in_flight.discard(task)
        self.limiter.worked()
        self.limiter.num_failures = 0
        self.limiter.has_answered = True
        return completion

    def _report(self, error: RetryableError, slot: Slot) -> None:
        """Raises ServerDown when the server has been away for too long."""
        backoff_s = self._backoff_s(self.limiter.num_closings)
        if error.unreachable:
            wait_s = patience_s(self.config, was_reached=self.limiter.was_reached)
            waited_s = self.limiter.unreachable(slot, backoff_s=backoff_s)
            if waited_s >= wait_s:
                raise ServerDown(
                    f"{error} for {waited_s:.0f} s", "; start it and run the same command again"
                ) from error
            if waited_s == 0:
                _log.warning("%s; waiting for it up to %.0f s", error, wait_s)
        elif error.overloaded:
            wish_s = None if error.retry_after_s is None else self._pause_s(error, 0)
            self.limiter.overloaded(slot, wish_s=wish_s, backoff_s=backoff_s)
        elif error.timed_out:
            self.limiter.timed_out(slot)
        else:
            self.limiter.faulted()

    def _pause_s(self, error: RetryableError, num_before: int) -> float:
        if error.retry_after_s is not None:
            return min(error.retry_after_s, self.config.retry_after_cap_s)
        return self._backoff_s(num_before)

    def _backoff_s(self, num_before: int) -> float:
        return min(self.config.backoff_s * 2.0 ** min(num_before, 30), self.config.backoff_cap_s)


def patience_s(config: DispatchConfig, *, was_reached: bool) -> float:
    """How long a server is waited for that cannot be reached."""
    return config.server_wait_s if was_reached else min(config.first_contact_s, config.server_wait_s)

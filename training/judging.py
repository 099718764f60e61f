"""The judge in the RL loop: the same definition as in curation, asked while the model computes log-probabilities.

    with RewardJudge(config.judge, folder, rank) as judge:
        pending = judge.start(asks)         # never blocks: the requests are on their way
        ...                                 # the log-prob passes of policy and reference
        judged = pending.wait()             # one Judged an ask, in order

A judge that fails for an update costs that update its perception rewards: they are masked and counted, and training
goes on. It stops, with one line, when no request can work, when the budget is spent, or when nobody gave a verdict in
`stop_after_failed_updates` updates in a row.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from curation.engines.base import Request
from curation.engines.dispatch import Job, Limiter, Outcome, answer_all
from curation.errors import FatalEngineError, ServerDown
from curation.judge import Verdict, judge_text
from curation.prompts import load_judge_prompt
from curation.schema import Question
from training.config import JudgeConfig
from training.journalled_judge import JournalledJudge
from training.shared_verdicts import Reply

# How long the replies that are under way at the end are waited for: they are paid for.
_PATIENCE_S: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgeAsk:
    """One observation to be judged, without its tags, and the question that it was written for."""

    question: Question
    observation: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one ask. Null is not zero: without a verdict the perception reward is masked.

    detail: why there is no verdict, else None. is_cached: known before this step. latency_s: from start() to the reply
    that settled it; None when it was cached or did not come. cost_usd: what was paid for it in this step; 0 where it
    was cached, equal to another ask of the step, or paid for by another process.
    """

    verdict: Verdict | None
    detail: str | None
    is_cached: bool
    latency_s: float | None
    cost_usd: float


class PendingVerdicts(Protocol):
    """The asks of one step, on their way."""

    def wait(self) -> list[Judged]:
        """One Judged an ask, in order. Raises UserError with one line when training has to stop."""
        ...


class ObservationJudge(Protocol):
    """Whoever gives verdicts in training."""

    def start(self, asks: Sequence[JudgeAsk]) -> PendingVerdicts:
        """Ask, and return at once."""
        ...


class RewardJudge:
    """The configured judge, in a thread of its own that lives as long as the training.

    All asks of a step are in flight at once, as far as dispatch.max_in_flight lets them; requests of an earlier step
    that still wait for their reply do not count, so that a server that hung for a while does not hold the next step up.
    The circuit breaker and server_wait_s of `dispatch` end the step here, and not the run: what has no verdict by then
    is masked, and the next step tries afresh.
    """

    def __init__(self, config: JudgeConfig, folder: Path, rank: int, num_ranks: int = 1) -> None:
        """folder: of the verdict journals, shared by all ranks. Raises ConfigError and RunDirectoryError."""
        self._config = config
        self._prompt = load_judge_prompt(config.prompt)
        self._judge = JournalledJudge(config, folder, rank, num_ranks)
        self._limiter = Limiter(config.dispatch.max_in_flight)
        self._steps: set[asyncio.Task[None]] = set()
        self._num_failed_updates = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge", daemon=True)
        self._thread.start()

    def start(self, asks: Sequence[JudgeAsk]) -> PendingVerdicts:
        """Send the asks of one update on their way; equal ones are asked once."""
        texts = [judge_text(self._prompt, ask.question, ask.observation) for ask in asks]
        ids = {text: ask.question.id for text, ask in zip(texts, asks, strict=True)}
        step = _Step(ids, time.monotonic(), self._config.wait_s)
        return _Pending(self, texts, step, asyncio.run_coroutine_threadsafe(self._run(step), self._loop))

    def count(self, judged: Sequence[Judged]) -> None:
        """Watch the updates. Raises FatalEngineError when nobody has given a verdict for too many in a row."""
        asked = [one for one in judged if not one.is_cached]
        if not asked:
            return
        if any(one.verdict is not None for one in asked):
            self._num_failed_updates = 0
            return
        self._num_failed_updates += 1
        failure = " ".join(str(asked[-1].detail).split()).rstrip(".")
        _log.warning("no verdict for any of the %d observations of this update: %s", len(asked), failure)
        if self._num_failed_updates >= self._config.stop_after_failed_updates:
            raise FatalEngineError(
                f"the judge {self._judge.model} gave no verdict in {self._num_failed_updates} updates in a row, the "
                f"last time because of: {failure}. Mend its server or the section judge, and run the same command "
                "again: training goes on from its last checkpoint, and nothing that was paid is asked again."
            )

    def close(self) -> None:
        """Let what is in flight finish for a moment, then cancel it, and end the thread."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # In the thread

    async def _run(self, step: _Step) -> None:
        """Fill `step` until all is settled, or its time is up. Raises UserError when no later step can work either."""
        task = asyncio.current_task()
        assert task is not None
        self._steps.add(task)
        try:
            async with asyncio.timeout(step.deadline_s - time.monotonic()):
                await self._ask(step)
        except (TimeoutError, ServerDown) as error:
            if isinstance(error, ServerDown):
                step.ended_by = f"given up: {error.what}"
            # A new one has no failures to its name: the next step is not given up for the faults of this one.
            self._limiter = Limiter(self._config.dispatch.max_in_flight, was_reached=self._limiter.was_reached)
        finally:
            self._steps.discard(task)

    async def _ask(self, step: _Step) -> None:
        self._judge.look()
        known = {text: self._judge.replies(text) for text in step.ids}
        for text, replies in known.items():
            if self._judge.is_settled(replies):
                step.judged[text] = _judged(replies, is_cached=True, latency_s=None, cost_usd=0.0)
        jobs = [self._job(text, step.ids[text]) for text in known if text not in step.judged]
        dispatch = self._config.dispatch
        async with aclosing(answer_all(self._judge, jobs, limiter=self._limiter, config=dispatch)) as outcomes:
            async for outcome in outcomes:
                step.judged[outcome.key] = self._settle(outcome, len(known[outcome.key]), step)

    def _settle(self, outcome: Outcome, num_known: int, step: _Step) -> Judged:
        """`num_known` of its replies came before this step; others may be paid for by another process."""
        replies = self._judge.replies(outcome.key)
        cost_usd = sum(reply.cost_usd for reply in replies[num_known:] if reply.is_own)
        if outcome.completion is None:
            return Judged(None, f"{outcome.failure}: {outcome.detail}", False, None, cost_usd)
        return _judged(replies, is_cached=False, latency_s=time.monotonic() - step.started_s, cost_usd=cost_usd)

    def _job(self, text: str, question_id: str) -> Job:
        async def prepare() -> Request:
            return Request(question_id, text, self._config.max_tokens)

        return Job(text, prepare)

    async def _end(self) -> None:
        steps = list(self._steps)
        for task in steps:
            task.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        await self._judge.close(_PATIENCE_S)


class _Step:
    """The asks of one update; the judge's thread fills it in.

    ids: of a question, by the text that the judge gets. judged: by text. ended_by: why the rest has no verdict.
    """

    def __init__(self, ids: dict[str, str], started_s: float, wait_s: float) -> None:
        self.ids = ids
        self.started_s = started_s
        self.deadline_s = started_s + wait_s
        self.judged: dict[str, Judged] = {}
        self.ended_by = f"timeout: no verdict within {wait_s:g} s"


class _Pending:
    """What `start` returns."""

    def __init__(self, judge: RewardJudge, texts: Sequence[str], step: _Step, running: Future[None]) -> None:
        self._judge, self._texts, self._step, self._running = judge, texts, step, running
        self._found: list[Judged] | None = None

    def wait(self) -> list[Judged]:
        """At most wait_s after `start`, with what has come. Raises FatalEngineError and BudgetExceeded."""
        if self._found is None:
            with suppress(TimeoutError):  # what has come by then, stands
                self._running.result(max(0.0, self._step.deadline_s - time.monotonic()))
            self._found = self._collect()
            self._judge.count(self._found)
        return self._found

    def _collect(self) -> list[Judged]:
        missing = Judged(None, self._step.ended_by, False, None, 0.0)
        seen: set[str] = set()
        found = []
        for text in self._texts:
            judged = self._step.judged.get(text, missing)
            found.append(replace(judged, cost_usd=0.0) if text in seen else judged)
            seen.add(text)
        return found


def _judged(replies: Sequence[Reply], *, is_cached: bool, latency_s: float | None, cost_usd: float) -> Judged:
    """What the last reply says."""
    last = replies[-1]
    verdict = last.verdict
    detail = None if verdict is not None else f"no verdict ({last.stop_reason}): {last.text[:200]!r}"
    return Judged(verdict, detail, is_cached, latency_s, cost_usd)

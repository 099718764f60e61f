"""One paid step of one shard: answers are looked up in the journal, and the engine is asked only for the rest.

Beside a journal lies, for an engine with a price, a file of what was sent: a line before each request, with the most
that it can cost, and a line that takes it back where the server did no work. What a killed run had in flight was paid
and has no answer in the journal; it is counted as spent from there.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from curation.budget import FREE, Budget, Price
from curation.engines.base import Completion, Engine, Request
from curation.engines.batches import BatchesOut, answer_in_batches
from curation.engines.config import BatchConfig, DispatchConfig
from curation.engines.dispatch import Job, Limiter, Outcome, answer_all
from curation.engines.http import shorten
from curation.engines.trial import Trial
from curation.errors import BudgetExceeded, FatalEngineError, PoisonError, RetryableError
from curation.journal import Journal, read_journal

SENT_SUFFIX: Final = ".sent"
_ROUNDING_USD: Final = 1e-9  # what adding and taking away leaves over


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that may have been answered before; `key` hashes everything that the answer depends on."""

    key: str
    id: str
    attempt: int
    prepare: Callable[[], Awaitable[Request]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A journalled answer: either `text`, or `failure` ("poison", "exhausted", "media:<reason>") with its detail.

    output_tokens: of the text; None where the engine does not say.
    """

    text: str | None
    stop_reason: str | None
    model: str | None
    failure: str | None
    detail: str | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a step asks, how many at a time, and at what price. Shared by all shards of a run.

    trial: when to give a server up that answers and says nothing of use. out: the batches that are waited for.
    """

    engine: Engine
    limiter: Limiter
    dispatch: DispatchConfig
    budget: Budget
    price: Price
    batches: BatchConfig | None = None
    trial: Trial = field(default_factory=lambda: Trial(None))
    out: BatchesOut = field(default_factory=BatchesOut)


async def answer(
    asks: Iterable[Ask],
    journal_path: Path,
    caller: Caller,
    *,
    retry_failed: bool = False,
    resend_lost: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    is_usable: Callable[[Answer], bool] = lambda _: True,
    seen: Callable[[str, Answer], None] = lambda key, found: None,
) -> dict[str, Answer]:
    """Answers by key. Every new one is in the journal before the next is awaited.

    retry_failed: ask again where the journal holds only a failure. resend_lost: and where a batch is gone.
    is_usable: whether an answer is in form; the caller's trial ends a run without any. seen: told of each new answer,
    as it comes.
    Raises FatalEngineError and BudgetExceeded after the requests in flight were answered and journalled.
    """
    known = read_answers(journal_path, without_failures=retry_failed)
    asks = list(asks)
    open_asks = {ask.key: ask for ask in asks if ask.key not in known}
    progress(len(asks) - len(open_asks))
    if open_asks:
        _recall([known[ask.key] for ask in asks if ask.key in known], caller.trial, is_usable)
        with _Step(open_asks.values(), journal_path, caller, resend_lost) as step:
            last_s = time.monotonic()
            async with aclosing(step.outcomes()) as outcomes:
                async for outcome in outcomes:
                    now_s = time.monotonic()
                    found = step.record(outcome, elapsed_s=now_s - last_s)
                    last_s = now_s
                    known[outcome.key] = found
                    if outcome.request is not None:
                        _tell(caller.trial, outcome.key, found, is_usable)
                    seen(outcome.key, found)
                    progress(1)
    return {ask.key: known[ask.key] for ask in asks}


def _tell(trial: Trial, key: str, found: Answer, is_usable: Callable[[Answer], bool]) -> None:
    is_good = found.text is not None and trial.is_open and is_usable(found)
    trial.answered(key, is_usable=is_good, shown=_show(found))


def _recall(known: Iterable[Answer], trial: Trial, is_usable: Callable[[Answer], bool]) -> None:
    """Failures do not count: they are not asked again, and say little about what comes."""
    replies = [found for found in known if found.text is not None]
    if replies and trial.is_open:
        trial.recall(len(replies), is_usable=any(map(is_usable, replies)), last=_show(replies[-1]))


def _show(found: Answer) -> str:
    """What it looked like, in a few words."""
    if found.text is None:
        return shorten(f"{found.failure}: {found.detail}")
    return f"{shorten(found.text)[:160]!r} ({found.stop_reason})"


def read_answers(journal_path: Path, *, without_failures: bool = False) -> dict[str, Answer]:
    """The last answer of each key; a failure never hides an answer."""
    answers: dict[str, Answer] = {}
    for entry in read_journal(journal_path):
        found = _answer(entry)
        if found.failure is None or (not without_failures and entry["key"] not in answers):
            answers[entry["key"]] = found
    return answers


def read_seconds(journal_path: Path) -> float:
    """The time that went by for the answers of a journal, over all sessions: each line has its own since the last."""
    return sum((float(entry.get("elapsed_s", 0)) for entry in read_journal(journal_path)), 0.0)


def read_spent_usd(journal_path: Path) -> float:
    """What a journal's answers have cost, and what was sent without an answer that was ever kept."""
    spent_usd = 0.0
    open_usd: defaultdict[str, float] = defaultdict(float)
    for line in read_journal(_sent_path(journal_path)):
        open_usd[line["key"]] += line["most_usd"]
    for entry in read_journal(journal_path):
        spent_usd += entry.get("cost_usd") or 0.0
        open_usd[entry["key"]] -= entry.get("sent_usd", 0.0)
    return spent_usd + sum(most_usd for most_usd in open_usd.values() if most_usd > _ROUNDING_USD)


def _sent_path(journal_path: Path) -> Path:
    return journal_path.with_suffix(SENT_SUFFIX)


class _Step:
    """The open asks of one `answer`: sent, paid, and written down."""

    def __init__(self, asks: Iterable[Ask], journal_path: Path, caller: Caller, resend_lost: bool) -> None:
        self._asks = {ask.key: ask for ask in asks}
        self._keys = {ask.id: ask.key for ask in self._asks.values()}
        self._path = journal_path
        self._caller = caller
        self._resend_lost = resend_lost
        self._files = ExitStack()
        self._sent_usd: defaultdict[str, float] = defaultdict(float)
        self._last_sent_usd: dict[str, float] = {}

    def __enter__(self) -> _Step:
        self._journal = self._files.enter_context(Journal(self._path))
        is_free = self._caller.price == FREE or self._caller.batches is not None  # batches have a state of their own
        self._sent = None if is_free else self._files.enter_context(Journal(_sent_path(self._path)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for ask in self._asks.values():
            self._caller.budget.drop(ask.id)
            self._caller.trial.drop(ask.key)
        self._files.close()

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """One an ask. A spent budget is told as it stands when everything in flight has come."""
        caller = self._caller
        jobs = [Job(ask.key, ask.prepare) for ask in self._asks.values()]
        if caller.batches is None:
            engine = _PaidEngine(caller.engine, self)
            found = answer_all(
                engine, jobs, limiter=caller.limiter, config=caller.dispatch, admit=self.admit, turn=self._turn
            )
        else:
            found = answer_in_batches(
                caller.engine,
                jobs,
                state_path=self._path.with_name(self._path.name.replace(".jsonl", ".batches.jsonl")),
                config=caller.batches,
                dispatch=caller.dispatch,
                admit=self.admit,
                trial=caller.trial,
                out=caller.out,
                resend_lost=self._resend_lost or caller.batches.resend_lost,
            )
        try:
            async with aclosing(found) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        except BudgetExceeded as error:
            raise BudgetExceeded(caller.budget.describe_stop()) from error

    def record(self, outcome: Outcome, *, elapsed_s: float) -> Answer:
        """Into the journal."""
        entry = self._entry(outcome) | {"elapsed_s": round(elapsed_s, 3)}
        self._journal.append(entry)
        del self._asks[outcome.key]
        return _answer(entry)

    def admit(self, request: Request) -> None:
        """Reserve the most that it can cost. Raises BudgetExceeded."""
        batch = self._caller.batches is not None
        self._caller.budget.reserve(request.id, request, self._caller.price, batch=batch)

    def sent(self, request: Request) -> None:
        """Before each request; another try of what was charged is admitted anew. Raises BudgetExceeded."""
        budget = self._caller.budget
        most_usd = budget.reserved_usd(request.id)
        if most_usd is None:
            self.admit(request)
            most_usd = budget.reserved_usd(request.id) or 0.0
        self._last_sent_usd[request.id] = most_usd
        self._write_sent(request, most_usd)

    def unpaid(self, request: Request) -> None:
        """The server did no work for the request that was sent last."""
        self._write_sent(request, -self._last_sent_usd[request.id])

    def charged(self, request: Request, error: RetryableError) -> None:
        """It may have done the work, and nothing usable came of it."""
        self._caller.budget.lose(request.id, error.input_tokens, error.output_tokens, self._caller.price)

    def _write_sent(self, request: Request, most_usd: float) -> None:
        if self._sent is not None:
            key = self._keys[request.id]
            self._sent_usd[key] += most_usd
            self._sent.append({"key": key, "id": request.id, "most_usd": most_usd})

    async def _turn(self, request: Request) -> None:
        await self._caller.trial.turn(self._keys[request.id])
        await self._caller.budget.turn(request.id, request, self._caller.price)

    def _entry(self, outcome: Outcome) -> dict[str, Any]:
        ask, caller, completion = self._asks[outcome.key], self._caller, outcome.completion
        if any(outcome.lost_tokens):
            caller.budget.lose(ask.id, *outcome.lost_tokens, caller.price, batch=True)
        cost_usd = caller.budget.settle(ask.id, completion, caller.price, batch=caller.batches is not None)
        return {
            "key": ask.key,
            "id": ask.id,
            "attempt": ask.attempt,
            "text": completion.text if completion else None,
            "reasoning": completion.reasoning if completion else None,
            "stop_reason": completion.stop_reason if completion else None,
            "model": completion.model if completion else None,
            "input_tokens": completion.input_tokens if completion else None,
            "output_tokens": completion.output_tokens if completion else None,
            "cost_usd": cost_usd,
            "sent_usd": self._sent_usd.pop(ask.key, 0.0),
            "failure": outcome.failure,
            "detail": outcome.detail,
            "tries": outcome.tries,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


@dataclass(frozen=True, slots=True)
class _PaidEngine:
    """An engine whose every request is on the books before it goes out."""

    engine: Engine
    step: _Step

    @property
    def wants(self) -> Literal["nothing", "frames", "file"]:
        return self.engine.wants

    @property
    def model(self) -> str:
        return self.engine.model

    async def complete(self, request: Request) -> Completion:
        self.step.sent(request)
        try:
            return await self.engine.complete(request)
        except RetryableError as error:
            if error.may_cost:
                self.step.charged(request, error)
            else:
                self.step.unpaid(request)
            raise
        except (PoisonError, FatalEngineError):
            self.step.unpaid(request)
            raise

    async def close(self) -> None:
        await self.engine.close()


def _answer(entry: dict[str, Any]) -> Answer:
    return Answer(
        entry["text"],
        entry["stop_reason"],
        entry["model"],
        entry["failure"],
        entry["detail"],
        entry.get("output_tokens"),
    )

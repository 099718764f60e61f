"""One paid step of one shard: answers are looked up in the journal, and the engine is asked only for the rest."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation.budget import Budget, Price
from curation.engines.base import Engine, Request
from curation.engines.batches import answer_in_batches
from curation.engines.config import BatchConfig, DispatchConfig
from curation.engines.dispatch import Job, Limiter, Outcome, answer_all
from curation.journal import Journal, read_journal


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
    """Whom a step asks, how many at a time, and at what price. Shared by all shards of a run."""

    engine: Engine
    limiter: Limiter
    dispatch: DispatchConfig
    budget: Budget
    price: Price
    batches: BatchConfig | None = None


async def answer(
    asks: Iterable[Ask],
    journal_path: Path,
    caller: Caller,
    *,
    retry_failed: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Answer]:
    """Answers by key. Every new one is in the journal before the next is awaited.

    retry_failed: ask again where the journal holds only a failure.
    Raises FatalEngineError and BudgetExceeded after the requests in flight were answered and journalled.
    """
    known = read_answers(journal_path, without_failures=retry_failed)
    asks = list(asks)
    open_asks = {ask.key: ask for ask in asks if ask.key not in known}
    progress(len(asks) - len(open_asks))
    if open_asks:
        with Journal(journal_path) as journal:
            last_s = time.monotonic()
            async with aclosing(_outcomes(open_asks.values(), journal_path, caller)) as outcomes:
                async for outcome in outcomes:
                    entry = _entry(outcome, open_asks[outcome.key], caller)
                    now_s = time.monotonic()
                    entry["elapsed_s"], last_s = round(now_s - last_s, 3), now_s
                    journal.append(entry)
                    known[outcome.key] = _answer(entry)
                    progress(1)
    return {ask.key: known[ask.key] for ask in asks}


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


def _outcomes(asks: Iterable[Ask], journal_path: Path, caller: Caller) -> AsyncGenerator[Outcome, None]:
    jobs = (Job(ask.key, ask.prepare) for ask in asks)

    def admit(request: Request) -> None:
        caller.budget.reserve(request.id, request, caller.price, batch=caller.batches is not None)

    if caller.batches is None:
        return answer_all(caller.engine, jobs, limiter=caller.limiter, config=caller.dispatch, admit=admit)
    state_path = journal_path.with_name(journal_path.name.replace(".jsonl", ".batches.jsonl"))
    return answer_in_batches(
        caller.engine, jobs, state_path=state_path, config=caller.batches, dispatch=caller.dispatch, admit=admit
    )


def _entry(outcome: Outcome, ask: Ask, caller: Caller) -> dict[str, Any]:
    completion = outcome.completion
    cost_usd = caller.budget.settle(ask.id, completion, caller.price, batch=caller.batches is not None)
    return {
        "key": ask.key,
        "id": ask.id,
        "attempt": ask.attempt,
        "text": completion.text if completion else None,
        "stop_reason": completion.stop_reason if completion else None,
        "model": completion.model if completion else None,
        "input_tokens": completion.input_tokens if completion else None,
        "output_tokens": completion.output_tokens if completion else None,
        "cost_usd": cost_usd,
        "failure": outcome.failure,
        "detail": outcome.detail,
        "tries": outcome.tries,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _answer(entry: dict[str, Any]) -> Answer:
    return Answer(
        entry["text"],
        entry["stop_reason"],
        entry["model"],
        entry["failure"],
        entry["detail"],
        entry.get("output_tokens"),
    )

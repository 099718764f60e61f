"""The judge's engine with a memory: every reply is kept on disk before anybody sees it, and none is paid for twice.

A reply is found by a key over all that it depends on: the judge's text, the engine's identity, the sampling, and the
number of the try. Each process appends to a journal of its own; at the start it reads those of all, so that a resumed
run knows every verdict, with however many processes it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from curation.budget import Budget, Price, known_price, load_prices
from curation.engines.base import Completion, Request
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, identity, model_name
from curation.errors import BudgetExceeded, ConfigError
from curation.journal import Journal, content_key, read_journal
from curation.judge import JUDGE_SCHEMA, Verdict, read_verdict
from training.config import JudgeConfig


@dataclass(frozen=True, slots=True)
class Reply:
    """One paid reply, and what it cost when it was paid."""

    text: str
    stop_reason: str
    model: str
    cost_usd: float

    @property
    def verdict(self) -> Verdict | None:
        """None when the judge did not answer in form."""
        return read_verdict(self.text, self.stop_reason)


class JournalledJudge:
    """An engine: `complete` asks until a reply is a verdict, at most `tries` times. All in one event loop.

    folder: of the journals `verdicts-<rank>.jsonl`. budget_usd is for the whole run: what was left of it at the start
    is divided among `num_ranks` processes, which need not know of each other then.
    """

    wants: Literal["nothing", "frames", "file"] = "nothing"

    def __init__(self, config: JudgeConfig, folder: Path, rank: int, num_ranks: int) -> None:
        """Raises ConfigError (no key, no price, batches) and RunDirectoryError (a damaged journal)."""
        if isinstance(config.engine, AnthropicConfig) and config.engine.batches is not None:
            raise ConfigError(
                "judge.engine.batches is set, but an update cannot wait hours for its verdicts. Remove it: "
                "training asks live."
            )
        self._config = config
        self._identity = identity(config.engine)
        self._price = _price(config)
        self._engine = build_engine(config.engine)
        self._replies: dict[str, Reply] = {}
        self._under_way: dict[str, asyncio.Task[Reply]] = {}
        spent_usd = self._read(folder)
        left_usd = None if config.budget_usd is None else max(0.0, config.budget_usd - spent_usd) / num_ranks
        self._budget = Budget(left_usd, 0.0)
        self._journal = Journal(folder / f"verdicts-{rank}.jsonl")

    @property
    def model(self) -> str:
        """As the engine names it."""
        return self._engine.model

    def replies(self, text: str) -> list[Reply]:
        """What was replied to this text so far: no verdicts, up to one that is, or nothing."""
        found: list[Reply] = []
        while not self.is_settled(found) and (reply := self._replies.get(self._key(text, len(found) + 1))) is not None:
            found.append(reply)
        return found

    def is_settled(self, replies: Sequence[Reply]) -> bool:
        """Whether nothing more is asked: the last reply is a verdict, or all tries are used up."""
        return len(replies) == self._config.tries or (len(replies) > 0 and replies[-1].verdict is not None)

    async def complete(self, request: Request) -> Completion:
        """The reply that settles it. Raises what the engine raises, and BudgetExceeded before anything is sent.

        Whoever stops waiting does not stop a request: it is paid for, and its reply is kept when it comes.
        """
        while not self.is_settled(replies := self.replies(request.prompt)):
            try_number = len(replies) + 1
            key = self._key(request.prompt, try_number)
            if key not in self._under_way:
                self._under_way[key] = asyncio.create_task(self._ask(key, request, try_number))
                self._under_way[key].add_done_callback(partial(self._forget, key))
            task = self._under_way[key]
            await asyncio.wait([task])  # plain `await task` would hand our own cancellation on to it
            task.result()
        return Completion(replies[-1].text, replies[-1].model, replies[-1].stop_reason)

    async def close(self, patience_s: float = 0.0) -> None:
        """Wait that long for the replies that are under way, then drop them, and let go of everything."""
        if tasks := list(self._under_way.values()):
            await asyncio.wait(tasks, timeout=patience_s)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self._engine.close()
        self._journal.close()

    async def _ask(self, key: str, request: Request, try_number: int) -> Reply:
        asked = replace(
            request,
            max_tokens=self._config.max_tokens,
            attempt=try_number,
            temperature=self._temperature(try_number),
            json_schema=JUDGE_SCHEMA if self._config.structured else None,
        )
        self._reserve(key, asked)
        completion = None
        try:
            completion = await self._engine.complete(asked)
        finally:
            cost_usd = self._budget.settle(key, completion, self._price)
        self._journal.append(
            {
                "key": key,
                "id": request.id,
                "try": try_number,
                "text": completion.text,
                "stop_reason": completion.stop_reason,
                "model": completion.model,
                "input_tokens": completion.input_tokens,
                "output_tokens": completion.output_tokens,
                "cost_usd": cost_usd,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        reply = Reply(completion.text, completion.stop_reason, completion.model, cost_usd)
        self._replies[key] = reply
        return reply

    def _reserve(self, key: str, request: Request) -> None:
        try:
            self._budget.reserve(key, request, self._price)
        except BudgetExceeded as error:
            raise BudgetExceeded(
                f"the judge stopped before judge.budget_usd={self._config.budget_usd:g} is passed: this process had "
                f"{self._budget.limit_usd:.4f} USD of it left when it started, and has spent "
                f"{self._budget.spent_usd:.4f}. Raise judge.budget_usd and run the same command again; nothing that "
                "was paid is repeated."
            ) from error

    def _forget(self, key: str, task: asyncio.Task[Reply]) -> None:
        """Under way no more. What failed after everybody stopped waiting is asked again when somebody needs it."""
        del self._under_way[key]
        if not task.cancelled():
            task.exception()

    def _temperature(self, try_number: int) -> float:
        return self._config.temperature if try_number == 1 else self._config.retry_temperature

    def _key(self, text: str, try_number: int) -> str:
        sampling = (self._config.max_tokens, self._temperature(try_number), self._config.structured)
        return content_key("reward", text, self._identity, *sampling, try_number)

    def _read(self, folder: Path) -> float:
        """Learn the replies in all journals of the folder; returns what they cost together, in US dollars."""
        spent_usd = 0.0
        for path in sorted(folder.glob("verdicts-*.jsonl")):
            for entry in read_journal(path):
                reply = Reply(entry["text"], entry["stop_reason"], entry["model"], entry["cost_usd"])
                self._replies[entry["key"]] = reply
                spent_usd += reply.cost_usd
        return spent_usd


def _price(config: JudgeConfig) -> Price:
    """The config's price, else the shipped table's, else nothing. Raises ConfigError: a budget needs a price."""
    if config.input_usd_per_mtok or config.output_usd_per_mtok:
        return Price(input=config.input_usd_per_mtok, output=config.output_usd_per_mtok)
    price = known_price(config.engine, load_prices({}).models)
    if price is None and config.budget_usd is not None:
        raise ConfigError(
            f"judge.budget_usd is set, but the price of {model_name(config.engine)!r} is not known. Set "
            "judge.input_usd_per_mtok and judge.output_usd_per_mtok, or remove the budget if it is your own server."
        )
    return price or Price(input=0, output=0)

"""The judge's engine with a memory: every reply is kept on disk before anybody sees it, and none is paid for twice.

A reply is found by a key over all that it depends on: the judge's text, the engine's identity, the sampling, and the
number of the try. The processes of a run share their replies and one budget (shared_verdicts.py): what one was told,
none asks again, and a resumed run knows every verdict, with however many processes it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

from curation.budget import FREE, Budget, Price, known_price, load_prices
from curation.engines.base import Completion, Request
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, identity, model_name
from curation.errors import BudgetExceeded, ConfigError, FatalEngineError, PoisonError, RetryableError
from curation.journal import content_key
from curation.judge import JUDGE_SCHEMA
from training.config import JudgeConfig
from training.shared_verdicts import Claim, Reply, SharedVerdicts

_POLL_S: Final = 0.1  # how often to look whether another process has its reply, or is dead


class JournalledJudge:
    """An engine: `complete` asks until a reply is a verdict, at most `tries` times. All in one event loop.

    folder: shared by the `num_ranks` processes of the run. budget_usd is for all of them together, and whoever asks
    first has it.
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
        self._num_ranks = num_ranks
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._shared = SharedVerdicts(folder, rank, is_free=self._price == FREE)
        self._budget = Budget(config.budget_usd, self._shared.others_usd)

    @property
    def model(self) -> str:
        """As the engine names it."""
        return self._engine.model

    def look(self) -> None:
        """Learn what other processes were replied."""
        self._shared.look()

    def replies(self, text: str) -> list[Reply]:
        """What was replied to this text, as far as known: no verdicts, up to one that is, or nothing."""
        found: list[Reply] = []
        while not self.is_settled(found) and (reply := self._reply(text, len(found) + 1)) is not None:
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
                if (claim := self._shared.claim(key)) is None:
                    await asyncio.sleep(_POLL_S)
                    self._shared.look()
                    continue
                self._under_way[key] = asyncio.create_task(self._ask(key, request, try_number))
                self._under_way[key].add_done_callback(partial(self._forget, key, claim))
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
        self._shared.close()

    async def _ask(self, key: str, request: Request, try_number: int) -> None:
        """While its claim is held: nobody else asks, and whoever did before has written the reply down."""
        self._shared.look()
        if key in self._shared.replies:
            return
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
        except BaseException as error:
            self._shared.fail(key, self._cost_of_failure(key, error))
            raise
        finally:
            cost_usd = self._budget.settle(key, completion, self._price)
        self._shared.receive(
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

    def _reserve(self, key: str, request: Request) -> None:
        """On the books of all processes. Raises BudgetExceeded, and then nothing may be sent."""
        with self._shared.booking() if self._budget.limit_usd is not None else nullcontext():
            self._budget.spent_usd = self._shared.others_usd
            try:
                self._budget.reserve(key, request, self._price)
            except BudgetExceeded as error:
                raise BudgetExceeded(
                    f"the judge stopped before judge.budget_usd={self._config.budget_usd:g} is passed: "
                    f"{self._shared.committed_usd:.4f} USD of it are spent or in flight, over all {self._num_ranks} "
                    "processes and earlier runs. Raise judge.budget_usd and run the same command again; nothing that "
                    "was paid is repeated."
                ) from error
            self._shared.send(key, self._budget.reserved_usd(key) or 0.0)

    def _cost_of_failure(self, key: str, error: BaseException) -> float | None:
        """None: dropped while it was in flight, and nobody will know."""
        if not isinstance(error, RetryableError | PoisonError | FatalEngineError):
            return None
        if isinstance(error, RetryableError) and error.may_cost:
            self._budget.lose(key, error.input_tokens, error.output_tokens, self._price)
        return self._budget.settle(key, None, self._price)

    def _reply(self, text: str, try_number: int) -> Reply | None:
        return self._shared.replies.get(self._key(text, try_number))

    def _forget(self, key: str, claim: Claim, task: asyncio.Task[None]) -> None:
        """Under way no more. What failed after everybody stopped waiting is asked again when somebody needs it."""
        del self._under_way[key]
        claim.release()
        if not task.cancelled():
            task.exception()

    def _temperature(self, try_number: int) -> float:
        return self._config.temperature if try_number == 1 else self._config.retry_temperature

    def _key(self, text: str, try_number: int) -> str:
        sampling = (self._config.max_tokens, self._temperature(try_number), self._config.structured)
        return content_key("reward", text, self._identity, *sampling, try_number)


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

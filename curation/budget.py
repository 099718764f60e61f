"""What calls cost, and the stop before the limit.

Prices come from a table with its date, per million tokens; a config may add or replace models. A request is admitted
only while everything spent, plus the most that the requests in flight can cost, stays within the limit.

The most that a request can cost is known for text, but not for pictures: every model counts them in its own way. So the
estimate grows to what the server reports, and while nothing is reported yet one request goes first.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final, Self

import yaml
from pydantic import NonNegativeFloat

from curation.config import Config, validate
from curation.engines.base import Completion, Request
from curation.engines.config import EngineConfig, model_name
from curation.engines.scripted import ScriptedConfig, ScriptedJudgeConfig
from curation.errors import BudgetExceeded, ConfigError

_OVERHEAD_TOKENS: Final = 500  # roles, schema and template of a chat request
# A request with media, before the first report of how its server counts them: the context that many are started with.
_UNREPORTED_MEDIA_TOKENS: Final = 32_768
_NO_MEDIA: Final = "none"
_MARGIN: Final = 1.25  # what comes next may be a little more than the most that was reported


class Price(Config):
    """US dollars per million tokens."""

    input: NonNegativeFloat
    """Per million prompt tokens."""
    output: NonNegativeFloat
    """Per million written tokens."""
    batch_input: NonNegativeFloat | None = None
    """The same in a batch; null = as live."""
    batch_output: NonNegativeFloat | None = None
    """The same in a batch; null = as live."""

    def cost_usd(self, input_tokens: float, output_tokens: float, *, batch: bool = False) -> float:
        """The price of one call; a batch price falls back on the live one."""
        per_input = self.batch_input if batch and self.batch_input is not None else self.input
        per_output = self.batch_output if batch and self.batch_output is not None else self.output
        return (input_tokens * per_input + output_tokens * per_output) / 1e6


FREE: Final = Price(input=0, output=0)


class PriceTable(Config):
    """Known prices and the day they were read."""

    date: str
    source: str
    models: dict[str, Price]


def load_prices(extra: Mapping[str, Price]) -> PriceTable:
    """The table that ships with the package, with the config's own prices on top."""
    text = files("curation.configs").joinpath("prices.yaml").read_text(encoding="utf-8")
    table = validate(PriceTable, yaml.safe_load(text), origin="prices.yaml")
    return table.model_copy(update={"models": {**table.models, **extra}})


def known_price(engine: EngineConfig, prices: Mapping[str, Price]) -> Price | None:
    """What this engine's calls cost; None when nobody said. Scripted engines cost nothing."""
    if isinstance(engine, ScriptedConfig | ScriptedJudgeConfig):
        return FREE
    return prices.get(engine.model)


def price_for_budget(engine: EngineConfig, prices: Mapping[str, Price], budget_usd: float | None) -> Price:
    """Raises ConfigError when a budget is set and this engine's price is not known: null is not zero."""
    price = known_price(engine, prices)
    if price is None and budget_usd is not None:
        raise ConfigError(
            f"budget_usd is set, but the price of {model_name(engine)!r} is not known. Add it: prices: "
            f"{{{model_name(engine)}: {{input: 0, output: 0}}}} (US dollars per million tokens; 0 for your own server)."
        )
    return price or FREE


def max_tokens_in(text: str) -> int:
    """An upper bound: no byte-level tokenizer makes more tokens than UTF-8 bytes."""
    return len(text.encode()) + _OVERHEAD_TOKENS


@dataclass(frozen=True, slots=True)
class _Size:
    """What a request's cost depends on. media: its data type, or "none"."""

    media: str
    text_tokens: int
    visual_tokens: float
    max_tokens: int

    @classmethod
    def of(cls, request: Request) -> Self:
        media = request.media.data_type if request.media else _NO_MEDIA
        return cls(media, max_tokens_in(request.prompt), request.visual_tokens, request.max_tokens)


@dataclass(slots=True)
class _Reported:
    """What one kind of request was reported to take, against our own estimates."""

    num_over: int = 0  # requests that are over, told or not
    num_told: int = 0
    most_input_tokens: int = 0
    most_output_tokens: int = 0
    most_visual_ratio: float = 1.0

    def learn(self, size: _Size, input_tokens: int, output_tokens: int) -> bool:
        """Whether it was more than ever before."""
        before = self.most_input_tokens, self.most_output_tokens, self.most_visual_ratio
        self.num_told += 1
        self.most_input_tokens = max(self.most_input_tokens, input_tokens)
        self.most_output_tokens = max(self.most_output_tokens, output_tokens)
        if size.visual_tokens:
            self.most_visual_ratio = max(self.most_visual_ratio, input_tokens / size.visual_tokens)
        return before != (self.most_input_tokens, self.most_output_tokens, self.most_visual_ratio)

    def most_tokens(self, size: _Size) -> tuple[float, float]:
        """An upper bound of input and output tokens, as far as it can be known."""
        visual_tokens = size.visual_tokens * self.most_visual_ratio
        if size.media != _NO_MEDIA and not self.num_told:
            visual_tokens = max(visual_tokens, _UNREPORTED_MEDIA_TOKENS)
        input_tokens = size.text_tokens + visual_tokens
        if self.most_input_tokens > input_tokens:
            input_tokens = _MARGIN * self.most_input_tokens
        return input_tokens, max(size.max_tokens, self.most_output_tokens)


@dataclass(frozen=True, slots=True)
class _Reservation:
    size: _Size
    price: Price
    batch: bool
    most_usd: float


class Budget:
    """Counts what was spent and what is in flight, in US dollars. `limit_usd` None = no limit.

    One for all engines of a run, in one event loop. A live request takes its `turn`, is `reserve`d, and is `settle`d
    or, when nobody waits for it any more, `drop`ped.
    """

    def __init__(self, limit_usd: float | None, spent_usd: float) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self._reserved: dict[str, _Reservation] = {}
        self._in_flight_usd = 0.0
        self._refused_usd = 0.0
        self._lost_usd: defaultdict[str, float] = defaultdict(float)
        self._reported: dict[tuple[Price, str], _Reported] = {}
        self._turns: dict[str, tuple[Price, str]] = {}
        self._turn_over = asyncio.Event()

    async def turn(self, key: str, request: Request, price: Price) -> None:
        """Wait while too little is known of what such a request takes: at first one at a time, then ever more."""
        kind = price, _Size.of(request).media
        while self.limit_usd is not None and price != FREE and self._num_turns(kind) > self._known(kind).num_over:
            self._turn_over.clear()
            await self._turn_over.wait()
        self._turns[key] = kind

    def reserve(self, key: str, request: Request, price: Price, *, batch: bool = False) -> None:
        """Admit one request. Raises BudgetExceeded, and then nothing may be sent."""
        size = _Size.of(request)
        most_usd = self._most_usd(size, price, batch)
        self._release(key)
        if self.limit_usd is not None and self.spent_usd + self._in_flight_usd + most_usd > self.limit_usd:
            self._refused_usd = most_usd
            raise BudgetExceeded(self.describe_stop())
        self._reserved[key] = _Reservation(size, price, batch, most_usd)
        self._in_flight_usd += most_usd

    def reserved_usd(self, key: str) -> float | None:
        """The most that a request in flight can cost, or None when it has no reservation."""
        reserved = self._reserved.get(key)
        return reserved.most_usd if reserved else None

    def settle(self, key: str, completion: Completion | None, price: Price, *, batch: bool = False) -> float:
        """Turn the reservation into what the call cost, and return that; untold token counts cost the reservation.

        What earlier tries of it cost (`lose`) is part of what is returned.
        """
        if completion is not None:
            self.lose(key, completion.input_tokens, completion.output_tokens, price, batch=batch)
        self.drop(key)
        return self._lost_usd.pop(key, 0.0)

    def lose(
        self, key: str, input_tokens: int | None, output_tokens: int | None, price: Price, *, batch: bool = False
    ) -> None:
        """A reply is paid for, whatever it is worth; `reserve` again before another try."""
        reserved = self._release(key)
        if input_tokens is None or output_tokens is None:
            cost_usd = reserved.most_usd if reserved else 0.0
        else:
            cost_usd = price.cost_usd(input_tokens, output_tokens, batch=batch)
            if reserved is not None:
                self._learn(reserved, input_tokens, output_tokens)
        self.spent_usd += cost_usd
        self._lost_usd[key] += cost_usd

    def drop(self, key: str) -> None:
        """The request is over, and nothing more will be paid for it."""
        self._release(key)
        if (kind := self._turns.pop(key, None)) is not None:
            self._known(kind).num_over += 1
            self._turn_over.set()

    def describe_stop(self) -> str:
        """One line on the budget that was refused last, true at the moment it is made."""
        in_flight = f", the calls in flight may cost {self._in_flight_usd:.4f} more" if self._reserved else ""
        return (
            f"stopped before budget_usd={self.limit_usd:g} is passed: {self.spent_usd:.4f} USD are spent{in_flight}, "
            f"and the next call may cost {self._refused_usd:.4f}. Raise budget_usd and run the same command again; "
            "nothing that was paid is repeated."
        )

    def _most_usd(self, size: _Size, price: Price, batch: bool) -> float:
        return price.cost_usd(*self._known((price, size.media)).most_tokens(size), batch=batch)

    def _learn(self, reserved: _Reservation, input_tokens: int, output_tokens: int) -> None:
        """What is in flight may cost more, too, when a request of its kind did."""
        known = self._known((reserved.price, reserved.size.media))
        if not known.learn(reserved.size, input_tokens, output_tokens):
            return
        for key, other in self._reserved.items():
            most_usd = self._most_usd(other.size, other.price, other.batch)
            if most_usd > other.most_usd:
                self._in_flight_usd += most_usd - other.most_usd
                self._reserved[key] = replace(other, most_usd=most_usd)

    def _known(self, kind: tuple[Price, str]) -> _Reported:
        return self._reported.setdefault(kind, _Reported())

    def _num_turns(self, kind: tuple[Price, str]) -> int:
        return sum(other == kind for other in self._turns.values())

    def _release(self, key: str) -> _Reservation | None:
        reserved = self._reserved.pop(key, None)
        if reserved is not None:
            self._in_flight_usd -= reserved.most_usd
        return reserved

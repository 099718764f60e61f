"""What calls cost, and the stop before the limit.

Prices come from a table with its date, per million tokens; a config may add or replace models. A request is admitted
only while everything spent, plus the most that the requests in flight can cost, stays within the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import yaml
from pydantic import NonNegativeFloat

from curation.config import Config, validate
from curation.engines.base import Completion, Request
from curation.engines.config import EngineConfig, model_name
from curation.engines.scripted import ScriptedConfig, ScriptedJudgeConfig
from curation.errors import BudgetExceeded, ConfigError

_OVERHEAD_TOKENS: Final = 500  # roles, schema and template of a chat request


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


class Budget:
    """Counts what was spent and what is in flight, in US dollars. `limit_usd` None = no limit."""

    def __init__(self, limit_usd: float | None, spent_usd: float) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self._reserved_usd: dict[str, float] = {}
        self._in_flight_usd = 0.0

    def reserve(self, key: str, request: Request, price: Price, *, batch: bool = False) -> None:
        """Admit one request. Raises BudgetExceeded, and then nothing may be sent."""
        most_usd = price.cost_usd(max_tokens_in(request.prompt), request.max_tokens, batch=batch)
        in_flight_usd = self._in_flight_usd - self._reserved_usd.get(key, 0.0) + most_usd
        if self.limit_usd is not None and self.spent_usd + in_flight_usd > self.limit_usd:
            raise BudgetExceeded(
                f"stopped before budget_usd={self.limit_usd:g} is passed: {self.spent_usd:.4f} USD are spent and the "
                f"calls in flight may cost {in_flight_usd:.4f} more. Raise budget_usd and run the same command again; "
                "nothing that was paid is repeated."
            )
        self._reserved_usd[key] = most_usd
        self._in_flight_usd = in_flight_usd

    def settle(self, key: str, completion: Completion | None, price: Price, *, batch: bool = False) -> float:
        """Turn the reservation into what the call cost, and return that; untold token counts cost the reservation."""
        reserved_usd = self._reserved_usd.pop(key, 0.0)
        self._in_flight_usd -= reserved_usd
        if completion is None:
            return 0.0
        if completion.input_tokens is None or completion.output_tokens is None:
            cost_usd = reserved_usd
        else:
            cost_usd = price.cost_usd(completion.input_tokens, completion.output_tokens, batch=batch)
        self.spent_usd += cost_usd
        return cost_usd

"""The config of a curation run: each stage's section is defined beside the stage."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from curation.budget import Price
from curation.config import Config, LocalPath
from curation.filters import FilterConfig
from curation.generate import GenerateConfig
from curation.plan import PlanAssumptions
from curation.sources import SourceConfig
from curation.verify import VerifyConfig
from curation.video import VideoConfig


class RunConfig(Config):
    """One curation run.

    tokenizer: a tokenizer.json, or the name of a model on the hub; without one token lengths stay null.
    budget_usd: stop before it is passed; raise it and run again to go on.
    shard_size: questions a shard, the unit of work. open_shards: shards worked on at a time, so that the engine stays
    busy while the last answers of one shard come in; with judge batches take larger shards and more of them.
    """

    run_dir: LocalPath
    source: SourceConfig
    video: VideoConfig = VideoConfig()
    generate: GenerateConfig
    filter: FilterConfig = FilterConfig()
    verify: VerifyConfig
    tokenizer: str | None = None
    budget_usd: PositiveFloat | None = None
    prices: dict[str, Price] = Field(default_factory=dict)
    shard_size: PositiveInt = 2000
    open_shards: PositiveInt = 2
    plan: PlanAssumptions = PlanAssumptions()

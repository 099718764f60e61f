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
    """One curation run."""

    run_dir: LocalPath
    """The folder that the run writes to, and goes on in."""
    source: SourceConfig
    """Where the questions come from."""
    video: VideoConfig = VideoConfig()
    """How frames are sampled and resized."""
    generate: GenerateConfig
    """Step 1: the vision-language model that writes the traces."""
    filter: FilterConfig = FilterConfig()
    """Step 2: which traces are fit to learn from."""
    verify: VerifyConfig
    """Step 3: the text-only judge."""
    tokenizer: str | None = None
    """A tokenizer.json, or the name of a model on the hub; without one token lengths stay null."""
    budget_usd: PositiveFloat | None = None
    """Stop before this is passed; raise it and run again to go on. Null = no limit."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """US dollars per million tokens of models that the shipped table does not know, by name."""
    shard_size: PositiveInt = 2000
    """Questions a shard, the unit of work."""
    open_shards: PositiveInt = 2
    """Shards worked on at a time; more of them, and larger ones, suit judge batches."""
    plan: PlanAssumptions = PlanAssumptions()
    """What a dry run assumes."""

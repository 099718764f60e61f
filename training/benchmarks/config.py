"""What a run over benchmarks is made of: the section `benchmark:` of a training config, and of a config of its own.

Defaults are the paper's (VideoP2R section 5): 32 frames of 256 tokens, temperature 0.01, top_p 0.001.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from curation.config import Config, LocalPath
from curation.engines.config import AnthropicConfig, DispatchConfig, OpenAIConfig
from curation.engines.scripted import ScriptedJudgeConfig
from curation.video import PATCH, VideoConfig
from training.benchmarks.protocols import TITLES
from training.benchmarks.scoring import Protocol
from training.held_out_split import RULES_VERSION, RulesVersion

PromptName = Literal["trace", "direct"]
PROMPT_NAMES: Final = get_args(PromptName)
Share = Annotated[float, Field(gt=0, le=1)]


class InProcessConfig(Config):
    """The model itself, loaded by transformers in this process.

    send: a clip as a native video with its times, or its frames as a list of images, which is what most servers make of
    it and another task for the model. batch_size: questions in one pass.
    """

    kind: Literal["in_process"] = "in_process"
    send: Literal["video", "images"] = "video"
    batch_size: PositiveInt = 8


class BenchmarkSource(Config):
    """Where one benchmark lies.

    annotations: org/name on the hub, a folder with a copy of it, or a Video-R1 evaluation file (.json); null is the
    benchmark's own repository. media_root: the folder that its archives were unpacked to. parts: some of its configs.
    held_out_share, rules_version: of `shapes` alone, the clips that training held out (held_out_split.py).
    """

    annotations: str | None = None
    revision: str = "main"
    media_root: LocalPath
    parts: tuple[str, ...] | None = None
    held_out_share: Share = 0.2
    rules_version: RulesVersion = RULES_VERSION


class OpenJudgeConfig(Config):
    """Who judges open answers (VCR-Bench, captions). Without one they score by text alone, which the report says."""

    engine: Annotated[OpenAIConfig | AnthropicConfig | ScriptedJudgeConfig, Field(discriminator="kind")]
    tries: PositiveInt = 2
    max_tokens: PositiveInt = 512
    dispatch: DispatchConfig = DispatchConfig()


class BenchmarkConfig(Config):
    """The section `benchmark:`.

    names: of the benchmarks, as in `sources`; null is all of them. protocol: videor1 is what the paper's table was made
    with, official is each benchmark's own. prompts: trace is the model's own template; direct asks for the answer
    alone, the baseline that belongs beside it. max_questions: the first ones of each benchmark, for a trial.
    """

    names: tuple[str, ...] | None = Field(None, min_length=1)
    protocol: Protocol = "videor1"
    prompts: tuple[PromptName, ...] = Field(PROMPT_NAMES, min_length=1)
    engine: Annotated[InProcessConfig | OpenAIConfig, Field(discriminator="kind")] = InProcessConfig()
    dispatch: DispatchConfig = DispatchConfig()
    video: VideoConfig = VideoConfig(num_frames=32, max_pixels=256 * PATCH * PATCH)
    temperature: NonNegativeFloat = 0.01
    top_p: Share = 0.001
    max_tokens: PositiveInt = 1024
    max_questions: PositiveInt | None = None
    sources: Mapping[str, BenchmarkSource] = Field(min_length=1)
    judge: OpenJudgeConfig | None = None

    @field_validator("sources")
    @classmethod
    def _benchmarks_are_known(cls, sources: Mapping[str, BenchmarkSource]) -> Mapping[str, BenchmarkSource]:
        if unknown := [name for name in sources if name not in TITLES]:
            raise ValueError(f"there is no benchmark {unknown[0]!r}; there are {', '.join(TITLES)}")
        return sources

    @model_validator(mode="after")
    def _names_have_sources(self) -> Self:
        if lacking := [name for name in self.names or () if name not in self.sources]:
            raise ValueError(f"benchmark {lacking[0]!r} has no entry in `sources`, which says where its files lie")
        return self

    @property
    def chosen(self) -> tuple[str, ...]:
        """The benchmarks to run, in the order of the paper's table."""
        wanted = self.names if self.names is not None else tuple(self.sources)
        return tuple(name for name in TITLES if name in wanted)

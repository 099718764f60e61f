"""The config of a benchmark run of its own, beside training: any model, on this machine or behind a server."""

from __future__ import annotations

from curation.config import Config, LocalPath
from training.benchmarks.config import BenchmarkConfig
from training.config import ModelConfig


class PromptConfig(Config):
    """The section `input:`. prompt: the trace prompt that the model was trained with, a file; null is ours."""

    prompt: LocalPath | None = None


class BenchmarkRun(Config):
    """The whole file. model: what is scored; of a server, `benchmark.engine` names it, and this section is not read."""

    run_dir: LocalPath
    model: ModelConfig
    input: PromptConfig = PromptConfig()
    benchmark: BenchmarkConfig

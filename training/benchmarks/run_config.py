"""The config of a benchmark run of its own, beside training: any model, on this machine or behind a server."""

from __future__ import annotations

from curation.config import Config, LocalPath
from training.benchmarks.config import BenchmarkConfig
from training.config import ModelConfig
from training.processes import Template


class PromptConfig(Config):
    """The section `input:`. template: what the model was trained to write. prompt: the one of its training, a file;
    null is ours of this template."""

    template: Template = "full"
    prompt: LocalPath | None = None


class BenchmarkRun(Config):
    """The whole file. model: what is scored; of a server, `benchmark.engine` names it, and this section is not read."""

    run_dir: LocalPath
    model: ModelConfig
    input: PromptConfig = PromptConfig()
    benchmark: BenchmarkConfig

"""What a training run is made of. One YAML a run; sections are frozen and an unknown key is an error.

Paths are relative to the working directory. What the paper fixes is the default (VideoP2R sections 3 to 5); what it
leaves open says so. Anything else of TRL goes through `trainer_args`, which TRL itself checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from curation.config import Config, LocalPath
from curation.engines.config import DispatchConfig, EngineConfig
from curation.video import VideoConfig
from training.benchmarks.config import BenchmarkConfig
from training.held_out_split import RULES_VERSION, RulesVersion
from training.processes import Template
from training.rewards import RewardConfig

Variant = Literal[
    "full",
    "sft_only",
    "rl_only",
    "grpo",
    "agnostic_sft",
    "no_perception_reward",
    "no_reasoning_reward",
    "no_length_reward",
    "no_separation",
]
Share = Annotated[float, Field(ge=0, lt=1)]

HEAD_DIM: Final = 32  # vLLM's kernels take no less
_NUM_BYTES: Final = 256

# Set by keys of ours, so that a number has one place. TRL's own name -> our key.
_OURS: Final[Mapping[str, str]] = {
    "output_dir": "run_dir",
    "seed": "seed",
    "learning_rate": "learning_rate",
    "max_steps": "max_updates",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "save_steps": "checkpoint_every",
    "save_total_limit": "keep_checkpoints",
    "num_generations": "group_size",
    "epsilon": "clip_eps",
    "beta": "beta",
    "temperature": "temperature",
    "max_completion_length": "max_completion_tokens",
    "num_iterations": "iterations",
    "loss_type": "loss_type",
}


class DatasetConfig(Config):
    """The section `dataset:`, what is trained on.

    name: a hub repository org/name, or a folder (a dataset folder or the run directory that made one). revision: the
    tag or commit of the repository; required there, because `main` moves. media_root: where the rows' paths begin.
    manifest: the measurements of these media; by default media_root/media.jsonl, if there is one. curate: a config of
    `python -m curation run` that makes the folder `name` when it is not there yet.
    """

    name: str = Field(min_length=1)
    revision: str | None = None
    media_root: LocalPath
    manifest: LocalPath | None = None
    curate: LocalPath | None = None


class FrameCacheConfig(Config):
    """Decoded frames on a local disk, 4.5 MB a clip at the default budget; it never holds more than max_bytes."""

    folder: LocalPath
    max_bytes: int = Field(200 * 10**9, ge=1)


class InputConfig(Config):
    """The section `input:`, what the model sees and, in SFT, writes.

    template: full, or agnostic (think and answer only, the paper's ablation). prompt: a file of one's own that asks for
    this template, with the slots of ours. agnostic_prompt: stands in for `prompt` where the variant changes the
    template to agnostic; null is ours. cache: null decodes every clip each time.
    """

    template: Template = "full"
    prompt: LocalPath | None = None
    agnostic_prompt: LocalPath | None = None
    video: VideoConfig = VideoConfig()
    cache: FrameCacheConfig | None = None


class ScratchConfig(Config):
    """The section `model.scratch:`, the sizes of a model that is built instead of loaded (scratch.py).

    Widths and depths of the text and the vision tower; vocab_size counts the 256 bytes but not the special tokens.
    num_kv_heads: null is one for each head. windowed: the blocks of the vision tower whose attention stays in windows
    of 112 pixels; the others see the whole frame. initializer_range: standard deviation of the random weights; the
    released model's 0.02 leaves a narrow one slow to begin, which learns from about 1 / sqrt(width).
    """

    hidden_size: int = Field(128, ge=HEAD_DIM)
    num_layers: int = Field(4, ge=1)
    num_heads: int = Field(4, ge=1)
    num_kv_heads: int | None = Field(None, ge=1)
    vision_hidden_size: int = Field(96, ge=HEAD_DIM)
    vision_depth: int = Field(4, ge=1)
    vision_heads: int = Field(3, ge=1)
    windowed: tuple[int, ...] = ()
    vocab_size: int = Field(1024, gt=_NUM_BYTES)
    initializer_range: PositiveFloat = 0.02
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        for name, width, heads in (
            ("hidden_size", self.hidden_size, self.num_heads),
            ("vision_hidden_size", self.vision_hidden_size, self.vision_heads),
        ):
            if width != heads * HEAD_DIM:
                raise ValueError(f"{name} is {width}, but {heads} heads of {HEAD_DIM} make {heads * HEAD_DIM}")
        if self.num_kv_heads is not None and self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is no multiple of num_kv_heads {self.num_kv_heads}")
        if bad := [block for block in self.windowed if not 0 <= block < self.vision_depth]:
            raise ValueError(f"windowed names block {bad[0]}, but vision_depth is {self.vision_depth}")
        return self


class ModelConfig(Config):
    """The section `model:`, a Qwen2.5-VL by its hub name or folder.

    scratch: build it in the folder `name` when it is not there yet, with random weights and a tokenizer of the dataset.
    """

    name: str = Field(min_length=1)
    revision: str | None = None
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    scratch: ScratchConfig | None = None


class LoraConfig(Config):
    """The section `lora:`; null trains all weights. modules: of the language model, never lm_head.

    stages: where it is used; a stage that is not named trains all weights.
    """

    rank: PositiveInt = 64
    alpha: PositiveInt = 128
    dropout: Share = 0.05
    modules: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )
    stages: tuple[Literal["sft", "rl"], ...] = Field(("sft", "rl"), min_length=1)


class _Stage(Config):
    """What both stages share. One update = num_processes * batch_size * accumulation rows.

    batch_size: rows (RL: completions) of one process in one pass. checkpoint_every: updates. num_workers: processes
    that decode media. trainer_args: further fields of TRL's SFTConfig or GRPOConfig; trainer_args.py says which.
    """

    learning_rate: PositiveFloat = 1e-6  # assumption: Video-R1's scripts
    batch_size: PositiveInt = 1
    accumulation: PositiveInt = 2
    checkpoint_every: PositiveInt = 100
    keep_checkpoints: int = Field(2, ge=2)  # the newest may be torn by a kill
    num_workers: int = Field(4, ge=0)
    trainer_args: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place_for_each_number(self) -> Self:
        for name in self.trainer_args:
            key = _OURS.get(name)
            if key is not None and key in {*type(self).model_fields, "run_dir", "seed"}:
                raise ValueError(f"trainer_args.{name} is set by the key {key}. Set that one")
        return self


class SftConfig(_Stage):
    """The section `sft:` (VideoP2R section 5). max_updates: stop there, whatever `epochs` says."""

    epochs: PositiveFloat = 1.0
    max_updates: PositiveInt | None = None


class RlConfig(_Stage):
    """The section `rl:` (VideoP2R sections 4 and 5).

    group_size: G, rollouts of one prompt. clip_eps, beta: of eq. 6, left open by the paper. loss_type: how TRL averages
    token terms; cispo bounds a token's weight instead of clipping its update, by 5 or trainer_args.epsilon_high.
    scale_advantages: what an advantage is divided by: the deviation of its group, that of the batch, or nothing; Dr.
    GRPO is `loss_type: dr_grpo` with none. normalization: over the whole completion, or the same weight for each
    segment (advantages.py). iterations: passes over one set of rollouts. separate: false gives every token the
    advantage of the summed reward. max_completion_tokens: both length windows with tags need 1,024.
    """

    max_updates: PositiveInt = 1000
    group_size: int = Field(8, ge=2)
    batch_size: PositiveInt = 8
    accumulation: PositiveInt = 1
    clip_eps: PositiveFloat = 0.2
    beta: NonNegativeFloat = 0.04
    temperature: PositiveFloat = 1.0
    max_completion_tokens: PositiveInt = 1024
    iterations: PositiveInt = 1
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo"] = "grpo"
    scale_advantages: Literal["group", "batch", "none"] = "group"
    normalization: Literal["completion", "segment"] = "completion"
    separate: bool = True

    @model_validator(mode="after")
    def _segments_need_a_mean_of_each_completion(self) -> Self:
        if self.normalization == "segment" and self.loss_type != "grpo":
            raise ValueError(
                f"normalization segment needs the mean over each completion, not loss_type {self.loss_type}. "
                "Set loss_type to grpo"
            )
        return self


class JudgeConfig(Config):
    """The section `judge:`, who gives the perception reward; the definition is curation's.

    tries: requests for one observation whose reply is no verdict. wait_s: how long an update waits for its verdicts;
    what comes later is kept for the next time, and masked now. budget_usd: of all processes together; null = no limit
    (prices from the engine's replies need input_usd_per_mtok and output_usd_per_mtok). stop_after_failed_updates: in a
    row, in which nobody gave a verdict.
    """

    engine: EngineConfig
    prompt: LocalPath | None = None
    tries: PositiveInt = 2
    temperature: NonNegativeFloat = 0.0
    retry_temperature: NonNegativeFloat = 0.7
    max_tokens: PositiveInt = 2048
    structured: bool = True
    dispatch: DispatchConfig = DispatchConfig(max_tries=3, server_wait_s=60.0)
    wait_s: PositiveFloat = 120.0
    budget_usd: PositiveFloat | None = None
    input_usd_per_mtok: NonNegativeFloat = 0.0
    output_usd_per_mtok: NonNegativeFloat = 0.0
    stop_after_failed_updates: PositiveInt = 5


class EvaluationConfig(Config):
    """The section `evaluation:`, questions about clips that no stage trains on; decoding is greedy.

    held_out_share: of the clips, chosen by a hash of what they hold. 0 = no evaluation. max_questions: of all problem
    types, drawn with `seed`. rules_version: of these choices (held_out_split.py); a run that was begun keeps its own.
    sample_at: a temperature at which every question is answered once more, reported apart; null = not.
    """

    held_out_share: Share = 0.0
    rules_version: RulesVersion = RULES_VERSION
    max_questions: PositiveInt | None = None
    seed: int = Field(0, ge=0)
    batch_size: PositiveInt = 8
    max_completion_tokens: PositiveInt = 1024
    sample_at: PositiveFloat | None = None


class TrainConfig(Config):
    """The whole file. `variant` is a row of the paper's ablation table (variants.py).

    benchmark: what `--stage benchmark` scores the last model on; training itself does not read it.
    """

    run_dir: LocalPath
    seed: int = Field(0, ge=0)
    variant: Variant = "full"
    dataset: DatasetConfig
    model: ModelConfig
    input: InputConfig = InputConfig()
    lora: LoraConfig | None = None
    sft: SftConfig = SftConfig()
    rl: RlConfig = RlConfig()
    rewards: RewardConfig = RewardConfig()
    judge: JudgeConfig | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    benchmark: BenchmarkConfig | None = None
    report_to: Literal["none", "tensorboard", "wandb"] = "none"

    def adapter(self, stage: Literal["sft", "rl"]) -> LoraConfig | None:
        """What is trained in this stage; None is all weights."""
        return self.lora if self.lora is not None and stage in self.lora.stages else None

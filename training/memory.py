"""How much GPU memory a stage takes, reckoned before anything is loaded. Bytes of one GPU; 2 bytes are bfloat16.

What is assumed, from how the stages are built (models.load_trainable, TRL 1.16, DeepSpeed 0.19, AdamW):

weights       full, no DeepSpeed: float32, and computed in a copy of the config's dtype. DeepSpeed: in the dtype. LoRA:
              the base in the dtype, the adapters in float32. ZeRO-3 shares them out among the GPUs
gradients     as the trained weights; plain data-parallel training of several GPUs holds them twice (DDP's buckets).
              ZeRO-2 and -3 share them out
optimizer     AdamW's two moments in float32, with DeepSpeed also its float32 copy of the weights: 8 or 12 bytes a
              trained parameter. ZeRO-1 to -3 share them out; offloading takes them off the GPU
reference     of RL with beta > 0 and no LoRA: the SFT model again, in float32 without DeepSpeed. ZeRO-3 shares it out
working set   ZeRO: two buckets of 5e8 numbers; ZeRO-3: the layers in use, at most 1e9 parameters, and all of them
              during generation, for which TRL gathers the model
activations   checkpointed: the input of every layer of every token, and one layer being recomputed, 8 vectors of the
              hidden and 4 of the inner width a token, with their gradients. Attention is computed in tiles (sdpa),
              logits in tiles of 4,096 tokens and 8,192 words (TRL). Not checkpointed: that for every layer
KV cache      of RL: all completions that a process samples for one update, prompt and whole length
overhead      1 GiB for CUDA and the libraries, 5 % lost between the blocks

Every clip has all its frames at all their pixels, every prompt 600 tokens of text, every trace or completion
max_completion_tokens: the worst row, not the mean. Training and generation do not overlap; the larger one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from curation.errors import ConfigError
from training.architecture import Architecture
from training.config import LoraConfig, TrainConfig
from training.variants import Stage

PROMPT_TOKENS: Final = 600
GIB: Final = 2**30
_DTYPE_BYTES: Final[Mapping[str, int]] = {"bfloat16": 2, "float16": 2, "float32": 4}
_FLOAT_BYTES: Final = 4
_MOMENT_BYTES: Final = 8
_BUCKET: Final = 500_000_000
_LIVE: Final = 1_000_000_000
_TILE: Final = (4096, 8192)
_LOST: Final = 0.05
_MOST_REMEDIES: Final = 3

ZeroStage = Literal[0, 1, 2, 3]


@dataclass(frozen=True, slots=True)
class Launch:
    """How the processes share the work. zero_stage 0: plain data-parallel, without DeepSpeed."""

    num_gpus: int = 1
    zero_stage: ZeroStage = 0
    offload_optimizer: bool = False
    offload_weights: bool = False

    def describe(self) -> str:
        """In words."""
        gpus = f"{self.num_gpus} GPU{'s' if self.num_gpus > 1 else ''}"
        how = f", ZeRO-{self.zero_stage}" if self.zero_stage else ""
        offloaded = [
            name
            for name, is_off in (("optimizer", self.offload_optimizer), ("weights", self.offload_weights))
            if is_off
        ]
        return f"{gpus}{how}{', offloaded ' + ' and '.join(offloaded) if offloaded else ''}"


@dataclass(frozen=True, slots=True)
class RowSize:
    """The tokens of one row at most. patches: what the vision tower computes on."""

    visual_tokens: int
    text_tokens: int
    completion_tokens: int
    patches: int

    @property
    def tokens(self) -> int:
        """What the language model reads and writes."""
        return self.visual_tokens + self.text_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """held: there all the time. training, generation: on top of it, one at a time. All in bytes of one GPU, by name."""

    config: TrainConfig
    stage: Stage
    architecture: Architecture
    launch: Launch
    held: Mapping[str, int]
    training: Mapping[str, int]
    generation: Mapping[str, int]

    @property
    def total(self) -> int:
        """At the peak, overhead included."""
        passing = max(sum(self.training.values()), sum(self.generation.values()))
        return round((sum(self.held.values()) + passing) * (1 + _LOST)) + GIB


def row_size(config: TrainConfig, architecture: Architecture) -> RowSize:
    """Of the largest row that the config allows."""
    side = architecture.patch_size * architecture.merge_size
    steps = -(-config.input.video.num_frames // architecture.temporal_patch_size)
    visual = steps * (config.input.video.max_pixels // side**2)
    return RowSize(visual, PROMPT_TOKENS, config.rl.max_completion_tokens, visual * architecture.merge_size**2)


def estimate_memory(
    config: TrainConfig, stage: Stage, architecture: Architecture, launch: Launch = Launch()
) -> MemoryEstimate:
    """What one GPU must hold in this stage. Raises ConfigError for LoRA modules that the model does not have."""
    is_deepspeed = launch.zero_stage > 0
    lora = config.adapter(stage)
    low = _DTYPE_BYTES[config.model.dtype]
    everything = architecture.num_parameters
    trained = everything if lora is None else architecture.num_adapter(lora)
    weight_bytes = low if is_deepspeed or lora is not None else _FLOAT_BYTES
    gradient_bytes = low if is_deepspeed and lora is None else _FLOAT_BYTES
    weights = everything * weight_bytes
    adapters = 0 if lora is None else trained * _FLOAT_BYTES
    optimizer = trained * (_MOMENT_BYTES + (_FLOAT_BYTES if is_deepspeed and lora is None else 0))
    is_sharded = launch.zero_stage == 3
    has_reference = stage == "rl" and config.rl.beta > 0 and lora is None
    reference = everything * (low if is_deepspeed else _FLOAT_BYTES) if has_reference else 0
    shards = launch.num_gpus
    held = {
        "weights": 0 if launch.offload_weights else _share(weights + adapters, shards if is_sharded else 1),
        "copy to compute in": everything * low if weight_bytes > low else 0,
        "gradients": _share(trained * gradient_bytes, shards if launch.zero_stage >= 2 else 1),
        "optimizer": 0 if launch.offload_optimizer else _share(optimizer, shards if is_deepspeed else 1),
        "reference model": 0 if launch.offload_weights else _share(reference, shards if is_sharded else 1),
        "buckets": 2 * min(trained, _BUCKET) * gradient_bytes
        if is_deepspeed
        else trained * gradient_bytes * (shards > 1),
    }
    section = config.sft if stage == "sft" else config.rl
    is_checkpointed = bool(section.trainer_args.get("gradient_checkpointing", True))
    row = row_size(config, architecture)
    gathered = min(everything, _LIVE) * weight_bytes if is_sharded else 0
    training = {
        "layers in use": gathered,
        "activations": _activations(architecture, row, section.batch_size, low, is_checkpointed=is_checkpointed),
        "logits": min(section.batch_size * row.tokens, _TILE[0]) * min(architecture.vocab_size, _TILE[1]) * 8,
    }
    generation: dict[str, int] = {}
    if stage == "rl":
        num_sampled = section.batch_size * section.accumulation
        keys = 2 * architecture.num_layers * architecture.key_size * low
        generation = {
            "gathered model": weights if is_sharded else 0,
            "KV cache": num_sampled * row.tokens * keys,
            "activations": num_sampled * _working(architecture, row, low) // 2,
        }
    return MemoryEstimate(config, stage, architecture, launch, held, training, generation)


def check_fits(estimate: MemoryEstimate, gpu_bytes: int) -> None:
    """Raises ConfigError, one line, when a GPU of so many bytes is too small: what is needed, and what would fit."""
    if estimate.total <= gpu_bytes:
        return
    fitting: dict[str, str] = {}
    for kind, words, other in _alternatives(estimate):
        if other.total <= gpu_bytes:
            fitting.setdefault(kind, words)  # the least change of its kind
    remedy = (
        f"What would fit: {'; or '.join(list(fitting.values())[:_MOST_REMEDIES])}."
        if fitting
        else "Neither LoRA nor ZeRO-3 with offloading fits; take a smaller model, fewer frames or larger GPUs."
    )
    raise ConfigError(
        f"stage {estimate.stage} needs about {estimate.total / GIB:.0f} GiB on each GPU "
        f"({estimate.launch.describe()}), but there are {gpu_bytes / GIB:.0f} GiB. {remedy}"
    )


def _alternatives(estimate: MemoryEstimate) -> Iterator[tuple[str, str, MemoryEstimate]]:
    """Other ways to run the stage: (kind, in words, estimate), those that change least first."""
    config, launch = estimate.config, estimate.launch

    def again(config: TrainConfig, launch: Launch) -> MemoryEstimate:
        return estimate_memory(config, estimate.stage, estimate.architecture, launch)

    section = config.sft if estimate.stage == "sft" else config.rl
    single = config
    if section.batch_size > 1:
        update = {"batch_size": 1, "accumulation": section.accumulation * section.batch_size}
        single = config.model_copy(update={estimate.stage: section.model_copy(update=update)})
        words = f"{estimate.stage}.batch_size 1 with accumulation {update['accumulation']}"
        yield "batch", words, again(single, launch)
    sharded = replace(launch, zero_stage=3)
    if launch.num_gpus > 1 and launch.zero_stage < 3:
        yield "zero", "ZeRO-3", again(config, sharded)
    if config.adapter(estimate.stage) is None:
        adapted = config.model_copy(update={"lora": LoraConfig()})
        yield "lora", "LoRA (lora: {})", again(adapted, launch)
        yield (
            "lora",
            "LoRA (lora: {}) and batch_size 1",
            again(single.model_copy(update={"lora": LoraConfig()}), launch),
        )
    for num_gpus in (2, 4, 8, 16, 32, 64):
        if num_gpus > launch.num_gpus:
            more = replace(launch, num_gpus=num_gpus, zero_stage=3)
            yield "gpus", f"{num_gpus} GPUs with ZeRO-3", again(config, more)
    offloaded = replace(sharded, offload_optimizer=True, offload_weights=True)
    words = "ZeRO-3 with optimizer and weights offloaded to the CPU, and batch_size 1"
    yield "offload", words, again(single, offloaded)


def _share(num_bytes: int, num_gpus: int) -> int:
    return -(-num_bytes // num_gpus)


def _activations(architecture: Architecture, row: RowSize, batch_size: int, low: int, *, is_checkpointed: bool) -> int:
    """Of the training pass: pixels, what is kept for the backward pass, and one layer at work."""
    pixels = row.patches * 3 * architecture.temporal_patch_size * architecture.patch_size**2 * _FLOAT_BYTES
    working = _working(architecture, row, low)
    if is_checkpointed:
        kept = row.tokens * architecture.hidden_size * architecture.num_layers
        kept += row.patches * architecture.vision_hidden_size * architecture.vision_depth
        return batch_size * (pixels + kept * low + working)
    layers = row.tokens * _widths(architecture.hidden_size, architecture.intermediate_size) * architecture.num_layers
    layers += (
        row.patches
        * _widths(architecture.vision_hidden_size, architecture.vision_intermediate_size)
        * architecture.vision_depth
    )
    return batch_size * (pixels + layers * low + working)


def _working(architecture: Architecture, row: RowSize, low: int) -> int:
    """One layer of one row with the gradients of what it computes; text and vision do not run at the same time."""
    text = row.tokens * _widths(architecture.hidden_size, architecture.intermediate_size)
    vision = row.patches * _widths(architecture.vision_hidden_size, architecture.vision_intermediate_size)
    return 2 * max(text, vision) * low


def _widths(hidden_size: int, intermediate_size: int) -> int:
    return 8 * hidden_size + 4 * intermediate_size

"""How long a stage takes, reckoned from its arithmetic: an order of magnitude, to tell hours from weeks.

A forward pass is 2 operations a parameter and token (vision: a patch), and 2 * queries * length a layer and token for
causal attention. Training is 4 forward passes with checkpointing (1 forward, 1 again, 2 backward), 3 with LoRA, whose
base has no weight gradients; RL adds one for the reference, and for each set of rollouts the prompt's, once. A GPU does
40 % of its peak. Sampling is with transformers' generate: a token costs the reading of all weights and half of the
final KV cache at 60 % of the memory's bandwidth, and no less than 1 ms a layer, which is what Python takes. Decoding of
media, the judge, scoring and checkpoints are taken to overlap or to be small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from training.architecture import Architecture
from training.config import TrainConfig
from training.memory import row_size
from training.variants import Stage

_PEAK_SHARE: Final = 0.4
_BANDWIDTH_SHARE: Final = 0.6
_LAYER_S: Final = 1e-3
_WEIGHT_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Device:
    """flops: dense bfloat16 operations a second. bandwidth: bytes a second."""

    name: str
    flops: float
    bandwidth: float


# Makers' data sheets; the name is a word of the driver's own.
DEVICES: Final = (
    Device("B200", 2.25e15, 8.0e12),
    Device("H200", 9.89e14, 4.8e12),
    Device("H100", 9.89e14, 3.35e12),
    Device("A100", 3.12e14, 2.0e12),
    Device("L40S", 3.62e14, 0.864e12),
    Device("A10", 1.25e14, 0.6e12),
    Device("L4", 1.21e14, 0.3e12),
    Device("RTX 4090", 1.65e14, 1.01e12),
)
ASSUMED: Final = next(device for device in DEVICES if device.name == "A100")


def find_device(name: str) -> Device | None:
    """By the driver's name, such as "NVIDIA A100-SXM4-80GB"; None for one whose speed is not known here."""
    return next((device for device in DEVICES if re.search(rf"\b{device.name}\b", name)), None)


def estimate_seconds(config: TrainConfig, stage: Stage, architecture: Architecture, device: Device) -> dict[str, float]:
    """Seconds of one update by phase, each GPU doing the same work at the same time."""
    row = row_size(config, architecture)
    speed = device.flops * _PEAK_SHARE
    section = config.sft if stage == "sft" else config.rl
    num_rows = section.batch_size * section.accumulation
    whole = _forward(architecture, row.tokens, row.patches)
    passes = 4 if config.adapter(stage) is None else 3
    if stage == "sft":
        return {"training": num_rows * passes * whole / speed}
    prompt = _forward(architecture, row.visual_tokens + row.text_tokens, row.patches)
    keys = 2 * architecture.num_layers * architecture.key_size * _WEIGHT_BYTES
    read = architecture.num_text * _WEIGHT_BYTES + num_rows * row.tokens * keys / 2
    token_s = max(read / (device.bandwidth * _BANDWIDTH_SHARE), architecture.num_layers * _LAYER_S)
    iterations = config.rl.iterations
    return {
        "generation": (num_rows * prompt / speed + row.completion_tokens * token_s) / iterations,
        "log-probs": num_rows * whole * ((config.rl.beta > 0) + (iterations > 1)) / iterations / speed,
        "training": num_rows * passes * whole / speed,
    }


def count_updates(config: TrainConfig, stage: Stage, num_gpus: int, num_rows: int | None) -> int | None:
    """Of the whole stage; None for SFT by epochs over a number of rows that is not known."""
    if stage == "rl":
        return config.rl.max_updates
    if num_rows is None:
        return config.sft.max_updates
    by_epochs = round(config.sft.epochs * num_rows / (num_gpus * config.sft.batch_size * config.sft.accumulation))
    return min(by_epochs, config.sft.max_updates or by_epochs)


def total_seconds(seconds: Mapping[str, float], num_updates: int) -> float:
    """Of so many updates."""
    return num_updates * sum(seconds.values())


def _forward(architecture: Architecture, tokens: int, patches: int) -> float:
    """Operations of one forward pass over one row."""
    embedding = 0 if architecture.is_tied else architecture.num_embedding  # looked up, not multiplied
    text = 2 * tokens * (architecture.num_text - embedding)
    attention = 2 * architecture.num_layers * architecture.query_size * tokens**2
    return text + attention + 2 * patches * architecture.num_vision

"""`--dry-run`: what a config needs, and whether it fits, before anything is loaded.

It reads the model's config.json, the GPU's size and how accelerate launched it. What the numbers assume stands in
memory.py and timing.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from accelerate import PartialState
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig

from curation.errors import ConfigError
from training.architecture import Architecture, read_architecture, scratch_architecture
from training.config import ModelConfig, TrainConfig
from training.data import load_split, published_paths
from training.memory import GIB, Launch, MemoryEstimate, ZeroStage, check_fits, estimate_memory, row_size
from training.report_words import DASH, duration
from training.timing import ASSUMED, Device, count_updates, estimate_seconds, find_device, total_seconds
from training.variants import apply_variant, stages_of

__all__ = ["check_fits", "count_rows", "estimate_memory", "print_estimate", "read_launch"]

_OTHERS: Final = (Launch(), Launch(8), Launch(8, 2), Launch(8, 3))


@dataclass(frozen=True, slots=True)
class Gpu:
    """The smallest one at hand."""

    name: str
    num_bytes: int


def print_estimate(
    config: TrainConfig, *, num_rows: int | None = None, console: Console | None = None, gpu: Gpu | None = None
) -> None:
    """Print parameters, memory and time of each stage of the variant. num_rows: of SFT, if known.

    gpu: by default the one of this machine. Raises ConfigError, one line, when a stage does not fit it (what would is
    in the line), and for a model that cannot be found. Prints in one process only.
    """
    config = apply_variant(config)
    console = console or Console()
    gpu = gpu or _find_gpu()
    launch = read_launch(os.environ)
    architecture = load_architecture(config.model)
    estimates = [estimate_memory(config, stage, architecture, launch) for stage in stages_of(config.variant)]
    if PartialState().is_main_process:
        console.print(_describe_model(config, architecture), highlight=False, markup=False, soft_wrap=True)
        console.print(_memory_table(estimates))
        console.print(_other_launches(config, architecture, launch))
        console.print(_time_table(config, architecture, launch, gpu, num_rows))
        fits = "There is no GPU here, so nothing was compared." if gpu is None else f"{gpu.name}, {_gib(gpu.num_bytes)}"
        console.print(fits, highlight=False, markup=False)
    if gpu is not None:
        for estimate in estimates:
            check_fits(estimate, gpu.num_bytes)


def count_rows(config: TrainConfig) -> int | None:
    """What SFT would train on, as far as the dataset tells by itself: none of its media is looked at.

    None where the dataset is not at hand: on the hub, or yet to be curated.
    """
    paths = published_paths(config.dataset, "cot")
    if paths is None:
        return None
    split = load_split(config.dataset, config.evaluation.held_out_share, config.evaluation.rules_version)
    return sum(not split.holds_out(path) for path in paths)


def load_architecture(config: ModelConfig) -> Architecture:
    """From config.json of a folder or of the hub; of a model that is yet to be built, from its sizes.

    Raises ConfigError: not found, or no Qwen2.5-VL.
    """
    if config.scratch is not None and not Path(config.name).exists():
        return scratch_architecture(config.scratch)
    try:
        loaded = AutoConfig.from_pretrained(config.name, revision=config.revision or "main")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"cannot read config.json of the model {config.name}: {reason} Set model.name to a folder or a hub name."
        ) from error
    if loaded.model_type != "qwen2_5_vl":
        raise ConfigError(
            f"the model {config.name} is a {loaded.model_type}, not a qwen2_5_vl. Set model.name to a Qwen2.5-VL, such "
            "as Qwen/Qwen2.5-VL-7B-Instruct."
        )
    return read_architecture(loaded.to_dict(), config.name)


def read_launch(environment: Mapping[str, str]) -> Launch:
    """As `accelerate launch` said it to its processes; without it one GPU."""
    is_deepspeed = environment.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"
    zero_stage = int(environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")) if is_deepspeed else 0

    def is_off(name: str) -> bool:
        return is_deepspeed and environment.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{name}_DEVICE", "none") != "none"

    return Launch(
        num_gpus=int(environment.get("WORLD_SIZE", "1")),
        zero_stage=cast("ZeroStage", zero_stage),
        offload_optimizer=is_off("OPTIMIZER"),
        offload_weights=is_off("PARAM"),
    )


def _find_gpu() -> Gpu | None:
    if not torch.cuda.is_available():
        return None
    found: list[Any] = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
    smallest = min(found, key=lambda device: device.total_memory)
    return Gpu(smallest.name, smallest.total_memory)


def _describe_model(config: TrainConfig, architecture: Architecture) -> str:
    row = row_size(config, architecture)
    trained = "all are trained"
    if config.lora is not None:
        trained = f"{architecture.num_adapter(config.lora):,} of LoRA are trained in {' and '.join(config.lora.stages)}"
    return (
        f"{config.model.name}: {architecture.num_parameters:,} parameters ({architecture.num_text:,} text, "
        f"{architecture.num_vision:,} vision); {trained}\n"
        f"a row: at most {row.tokens:,} tokens ({row.visual_tokens:,} of the clip, {row.text_tokens:,} of the prompt, "
        f"{row.completion_tokens:,} to write)"
    )


def _memory_table(estimates: list[MemoryEstimate]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=f"Memory of each GPU ({estimates[0].launch.describe()})", title_justify="left")
    table.add_column("")
    for estimate in estimates:
        table.add_column(estimate.stage, justify="right")
    for prefix, parts in (
        ("", [estimate.held for estimate in estimates]),
        ("training: ", [estimate.training for estimate in estimates]),
        ("generation: ", [estimate.generation for estimate in estimates]),
    ):
        names = dict.fromkeys(name for part in parts for name, num_bytes in part.items() if num_bytes)
        for name in names:
            table.add_row(f"{prefix}{name}", *(_gib(part.get(name, 0)) for part in parts))
    table.add_section()
    table.add_row("at the peak, with overhead", *(_gib(estimate.total) for estimate in estimates), style="bold")
    return table


def _other_launches(config: TrainConfig, architecture: Architecture, launch: Launch) -> Table:
    stages = stages_of(config.variant)
    table = Table(box=SIMPLE_HEAD, title="Launched otherwise", title_justify="left")
    table.add_column("")
    for stage in stages:
        table.add_column(stage, justify="right")
    for other in _OTHERS:
        if other != launch:
            totals = (estimate_memory(config, stage, architecture, other).total for stage in stages)
            table.add_row(other.describe(), *(_gib(total) for total in totals))
    return table


def _time_table(
    config: TrainConfig, architecture: Architecture, launch: Launch, gpu: Gpu | None, num_rows: int | None
) -> Table:
    device: Device | None = ASSUMED if gpu is None else find_device(gpu.name)
    if device is None:
        return Table(title=f"The speed of {gpu.name if gpu else ''} is not known here, so there is no time.", box=None)
    assumed = ", assumed" if gpu is None else ""
    table = Table(
        box=SIMPLE_HEAD, title=f"Time, roughly ({launch.describe()}, {device.name}{assumed})", title_justify="left"
    )
    for heading in ("", "one update", "of which", "updates", "all"):
        table.add_column(heading, justify="left" if heading in ("", "of which") else "right")
    for stage in stages_of(config.variant):
        seconds = estimate_seconds(config, stage, architecture, device)
        updates = count_updates(config, stage, launch.num_gpus, num_rows)
        table.add_row(
            stage,
            duration(sum(seconds.values())),
            ", ".join(f"{phase} {duration(phase_s)}" for phase, phase_s in seconds.items()),
            "by the rows" if updates is None else f"{updates:,}",
            DASH if updates is None else duration(total_seconds(seconds, updates)),
        )
    return table


def _gib(num_bytes: int) -> str:
    """GiB from a tenth of one on, else MiB; nothing is a dash."""
    if not num_bytes:
        return DASH
    return f"{num_bytes / GIB:,.1f} GiB" if num_bytes >= GIB / 10 else f"{num_bytes / 2**20:,.1f} MiB"

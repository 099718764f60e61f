"""The processes of one training: how they were started, and that none waits for ever for one that stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed
from accelerate.utils import gather_object, parse_flag_from_env

from curation.errors import ConfigError, UserError


def check_launch(args: Any) -> None:
    """args: TRL's, of either stage. Raises ConfigError for a launch that would not do what its user thinks."""
    if args.n_gpu > 1:  # torch would cut the batch in two, and the pixels somewhere else than the rows
        raise ConfigError(
            f"{args.n_gpu} GPUs are visible to one process. Start one process for each, with accelerate launch, or set "
            "CUDA_VISIBLE_DEVICES to one of them."
        )
    if args.deepspeed_plugin is None:
        return
    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        raise ConfigError(
            "accelerate leaves DeepSpeed out, without a word, when ACCELERATE_USE_CPU is set. Unset it: where there is "
            "no GPU, DeepSpeed takes the CPU by itself."
        )
    zero = args.deepspeed_plugin.deepspeed_config["zero_optimization"]
    if zero["stage"] == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
        raise ConfigError(
            "with ZeRO-3 the trained model could not be saved: its weights would not be gathered. Set "
            "zero3_save_16bit_model to true in the accelerate file."
        )


@contextmanager
def raised_everywhere() -> Iterator[None]:
    """What one process meets inside, all of them raise. Enter it in every process.

    Holds for what a user can mend, UserError and OSError. Any other fault is ours and ends its process at once.
    """
    met: UserError | OSError | None = None
    try:
        yield
    except (UserError, OSError) as error:
        met = error
    faults = [fault for fault in [met, *gather_object([met])] if fault is not None]
    if faults:
        raise faults[0]


def leave() -> None:
    """The last act of a process whose run is done: ended by the interpreter, its connections would abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

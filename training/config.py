"""What a training run is made of. One YAML a run; sections are frozen and an unknown key is an error.

Paths are relative to the working directory. Budgets of frames are the paper's by default (VideoP2R section 5).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from curation.config import Config
from curation.video import VideoConfig
from training.processes import Template


class DatasetConfig(Config):
    """The section `dataset:`, what is trained on.

    name: a hub repository org/name, or a folder (a dataset folder or the run directory that made one). revision: the
    tag or commit of the repository; required there, because `main` moves. media_root: where the rows' paths begin.
    manifest: the measurements of these media; by default media_root/media.jsonl, if there is one.
    """

    name: str = Field(min_length=1)
    revision: str | None = None
    media_root: Path
    manifest: Path | None = None


class FrameCacheConfig(Config):
    """Decoded frames on a local disk, 4.5 MB a clip at the default budget; it never holds more than max_bytes."""

    folder: Path
    max_bytes: int = Field(200 * 10**9, ge=1)


class InputConfig(Config):
    """The section `input:`, what the model sees and, in SFT, writes.

    template: full, or agnostic (think and answer only, the paper's ablation). prompt: a file of one's own, with the
    slots of ours. cache: null decodes every clip each time.
    """

    template: Template = "full"
    prompt: Path | None = None
    video: VideoConfig = VideoConfig()
    cache: FrameCacheConfig | None = None


class ModelConfig(Config):
    """The section `model:`, a Qwen2.5-VL by its hub name or folder."""

    name: str = Field(min_length=1)
    revision: str | None = None
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"

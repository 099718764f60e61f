"""A Qwen2.5-VL and what prepares its inputs, from a hub name or a folder.

The processor classes of transformers cannot be built without torchvision, and their video half would sample and resize
once more. So of a released processor only the facts are used: tokenizer, chat template, patch sizes, normalisation.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers import AutoConfig, AutoTokenizer, ProcessorMixin, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils.hub import cached_file

from curation.errors import ConfigError
from training.config import ModelConfig
from training.patches import PatchLayout
from training.positions import use_trained_positions

MODEL_TYPE: Final = "qwen2_5_vl"
# Whatever a released model may hold besides its weights and its tokenizer; copied, so that others can load ours.
_PROCESSOR_FILES: Final = (
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "chat_template.jinja",
)


@dataclass(frozen=True, slots=True)
class Processor:
    """tokenizer: a transformers tokenizer. pad_ids: the placeholder token of "image" and of "video"."""

    name: str
    revision: str | None
    tokenizer: Any
    chat_template: str
    layout: PatchLayout
    pad_ids: Mapping[str, int]


def load_model(config: ModelConfig) -> Any:
    """A Qwen2_5_VLForConditionalGeneration on the CPU, with the positions it was trained with.

    Raises ConfigError: not found, another kind of model, weights that are damaged or not all there.
    """
    _load_config(config)
    use_trained_positions()
    with _one_line(config):
        both: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            config.name,
            revision=config.revision or "main",
            dtype=config.dtype,
            attn_implementation=config.attention,
            output_loading_info=True,
        )
    model, loaded = both
    # transformers would train on with random numbers in the place of what is missing.
    if missing := sorted(loaded["missing_keys"]):
        raise ConfigError(
            f"the model {config.name} lacks {len(missing)} of its weights, such as {missing[0]}. Download it again."
        )
    return model


def load_trainable(config: ModelConfig, *, has_adapter: bool) -> Any:
    """The model in the precision in which its weights are to be updated. Raises ConfigError as `load_model`.

    A step of 1e-6 is lost in bfloat16 weights. DeepSpeed keeps float32 copies of its own, an adapter leaves the base
    weights as they are; whoever has neither trains float32 weights, and computes in the dtype of the config.
    """
    with_copies = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true"
    if has_adapter or with_copies:
        return load_model(config)
    return load_model(config.model_copy(update={"dtype": "float32"}))


def load_processor(config: ModelConfig) -> Processor:
    """What prepares the inputs of this model. Raises ConfigError, also where its parts do not fit each other."""
    model_config = _load_config(config)
    source: dict[str, Any] = {"revision": config.revision or "main"}
    with _one_line(config):
        tokenizer = AutoTokenizer.from_pretrained(config.name, **source)
        pictures = Qwen2VLImageProcessorPil.from_pretrained(config.name, **source)
        released, _ = ProcessorMixin.get_processor_dict(config.name, **source)
    chat_template = released.get("chat_template") or tokenizer.chat_template
    if not isinstance(chat_template, str):
        raise ConfigError(f"the model {config.name} has no chat template. Use an instruction-tuned Qwen2.5-VL.")
    pad_ids = {"image": model_config.image_token_id, "video": model_config.video_token_id}
    for kind, token_id in pad_ids.items():
        if tokenizer.convert_tokens_to_ids(f"<|{kind}_pad|>") != token_id:
            raise ConfigError(
                f"the tokenizer of {config.name} does not have <|{kind}_pad|> as its token {token_id}, as the model "
                "expects. Take tokenizer and model from one release."
            )
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        raise ConfigError(f"the tokenizer of {config.name} has no padding or no end token. Set both in its files.")
    layout = PatchLayout(
        patch_size=pictures.patch_size,
        merge_size=pictures.merge_size,
        temporal_patch_size=pictures.temporal_patch_size,
        rescale_factor=pictures.rescale_factor,
        mean=tuple(pictures.image_mean),
        std=tuple(pictures.image_std),
    )
    vision = model_config.vision_config
    sizes = (layout.patch_size, layout.merge_size, layout.temporal_patch_size)
    expected = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
    if sizes != expected:
        raise ConfigError(
            f"the image processor of {config.name} makes patches of {sizes} (pixels, merge, frames), its model takes "
            f"{expected}. Take both from one release."
        )
    return Processor(config.name, config.revision, tokenizer, chat_template, layout, pad_ids)


def save_processor(processor: Processor, folder: Path) -> None:
    """Write beside a trained model what its users need: the base model's own files, and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PROCESSOR_FILES:
        source = cached_file(
            processor.name,
            name,
            revision=processor.revision or "main",
            _raise_exceptions_for_missing_entries=False,
        )
        if source is not None and Path(source).resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)
    processor.tokenizer.save_pretrained(folder)


def _load_config(config: ModelConfig) -> Any:
    """The model's config.json. Raises ConfigError when it is no Qwen2.5-VL."""
    with _one_line(config):
        loaded = AutoConfig.from_pretrained(config.name, revision=config.revision or "main")
    if loaded.model_type != MODEL_TYPE:
        raise ConfigError(
            f"the model {config.name} is a {loaded.model_type}, not a {MODEL_TYPE}. Set model.name to a Qwen2.5-VL, "
            "such as Qwen/Qwen2.5-VL-7B-Instruct."
        )
    return loaded


@contextmanager
def _one_line(config: ModelConfig) -> Iterator[None]:
    """What from_pretrained raises, in one line; it raises anything, a bare Exception for damaged weights."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        place = config.name if config.revision is None else f"{config.name}@{config.revision}"
        raise ConfigError(
            f"cannot load the model {place}: {reason} Set model.name to a folder or a hub name."
        ) from error

"""A tiny Qwen2.5-VL with random weights and a tokenizer trained on the spot: real classes, really saved and loaded.

    folder = save_tiny_qwen(tmp_path / "tiny")
    config = ModelConfig(name=str(folder), dtype="float32")
    model, processor = load_model(config), load_processor(config)

A third of a million parameters (training/scratch.py builds it), 2 layers of text and 2 of vision, one of them windowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from transformers import Qwen2_5_VLConfig, Qwen2Tokenizer

from training.scratch import ScratchConfig, build_model, model_config, train_tokenizer

__all__ = ["CORPUS", "TINY", "save_tiny_qwen", "tiny_config", "train_tokenizer"]

CORPUS: Final = (
    "<observation>Based on the question, I need to notice a red circle and a blue square.</observation> "
    "<think>Based on the observations, it moves left, so the answer is B.</think><answer>B</answer>",
    "You are a helpful assistant.\nWhich colour has the ball that moves to the left? Options: A. red B. blue C. green",
)
TINY: Final = ScratchConfig(
    hidden_size=64,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    vision_hidden_size=64,
    vision_depth=2,
    vision_heads=2,
    windowed=(0,),
    vocab_size=512,
)


def save_tiny_qwen(folder: Path, *, seed: int = 0, corpus: Iterable[str] = (), vocab_size: int = 512) -> Path:
    """Write model, tokenizer and image processor to `folder`, as a released Qwen2.5-VL is laid out. Returns `folder`.

    corpus: further texts that the tokenizer is trained on. The tokens of `vocab_size` include the 256 bytes.
    """
    config = TINY.model_copy(update={"seed": seed, "vocab_size": vocab_size})
    return build_model(config, [*CORPUS, *corpus], folder)


def tiny_config(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLConfig:
    """Text 64 wide, 2 layers; vision 64 wide, 2 layers, one of them windowed."""
    return model_config(TINY, tokenizer)

"""The sizes of a Qwen2.5-VL and its number of parameters, from config.json alone: no weights, no torch.

Both layouts of the file are read: the released one, with the text model's sizes at the top, and the newer one, with
them under text_config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from curation.errors import ConfigError
from training.config import LoraConfig, ScratchConfig

_NUM_SPECIAL_TOKENS: Final = 8  # scratch.SPECIAL_TOKENS; the test compares the two
_COLOURS: Final = 3


@dataclass(frozen=True, slots=True)
class Architecture:
    """Widths in numbers, not bytes. query_size and key_size: of all heads together."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    query_size: int
    key_size: int
    vocab_size: int
    is_tied: bool
    vision_hidden_size: int
    vision_intermediate_size: int
    vision_depth: int
    vision_out_size: int
    patch_size: int
    merge_size: int
    temporal_patch_size: int

    @property
    def num_embedding(self) -> int:
        """Of the token embedding; a head that is not tied has as many again."""
        return self.vocab_size * self.hidden_size

    @property
    def num_text(self) -> int:
        """The language model, embedding and head included."""
        hidden, queries, keys = self.hidden_size, self.query_size, self.key_size
        attention = (hidden + 1) * (queries + 2 * keys) + queries * hidden
        layer = attention + 3 * hidden * self.intermediate_size + 2 * hidden
        head = 0 if self.is_tied else self.num_embedding
        return self.num_embedding + self.num_layers * layer + hidden + head

    @property
    def num_vision(self) -> int:
        """The vision tower and the merger that leads out of it."""
        hidden, inner = self.vision_hidden_size, self.vision_intermediate_size
        patch = _COLOURS * self.temporal_patch_size * self.patch_size**2 * hidden
        attention = (hidden + 1) * 3 * hidden + (hidden + 1) * hidden
        block = attention + 2 * (hidden + 1) * inner + (inner + 1) * hidden + 2 * hidden
        merged = self.merge_size**2 * hidden
        merger = hidden + (merged + 1) * merged + (merged + 1) * self.vision_out_size
        return patch + self.vision_depth * block + merger

    @property
    def num_parameters(self) -> int:
        """Of the whole model."""
        return self.num_text + self.num_vision

    def num_adapter(self, lora: LoraConfig) -> int:
        """Of the LoRA adapters on the language model. Raises ConfigError for a module that it does not have."""
        shapes = {
            "q_proj": self.hidden_size + self.query_size,
            "k_proj": self.hidden_size + self.key_size,
            "v_proj": self.hidden_size + self.key_size,
            "o_proj": self.query_size + self.hidden_size,
            "gate_proj": self.hidden_size + self.intermediate_size,
            "up_proj": self.hidden_size + self.intermediate_size,
            "down_proj": self.intermediate_size + self.hidden_size,
        }
        if unknown := [name for name in lora.modules if name not in shapes]:
            raise ConfigError(f"lora.modules names {unknown[0]!r}, which is none of {', '.join(shapes)}.")
        return self.num_layers * lora.rank * sum(shapes[name] for name in lora.modules)


def read_architecture(values: Mapping[str, Any], name: str) -> Architecture:
    """Of a parsed config.json. name: of the model, for the error. Raises ConfigError that names the missing size."""
    text = values.get("text_config") or values
    vision = values.get("vision_config") or {}
    try:
        heads = text["num_attention_heads"]
        head_dim = text.get("head_dim") or text["hidden_size"] // heads
        return Architecture(
            hidden_size=text["hidden_size"],
            intermediate_size=text["intermediate_size"],
            num_layers=text["num_hidden_layers"],
            query_size=heads * head_dim,
            key_size=(text.get("num_key_value_heads") or heads) * head_dim,
            vocab_size=text["vocab_size"],
            is_tied=bool(values.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            vision_hidden_size=vision["hidden_size"],
            vision_intermediate_size=vision["intermediate_size"],
            vision_depth=vision["depth"],
            vision_out_size=vision["out_hidden_size"],
            patch_size=vision.get("patch_size", 14),
            merge_size=vision.get("spatial_merge_size", 2),
            temporal_patch_size=vision.get("temporal_patch_size", 2),
        )
    except KeyError as error:
        raise ConfigError(
            f"config.json of the model {name} has no {error.args[0]}. Set model.name to a Qwen2.5-VL."
        ) from error


def scratch_architecture(scratch: ScratchConfig) -> Architecture:
    """Of the model that scratch.py builds, were its tokenizer to fill its vocabulary."""
    head_dim = scratch.hidden_size // scratch.num_heads
    return Architecture(
        hidden_size=scratch.hidden_size,
        intermediate_size=2 * scratch.hidden_size,
        num_layers=scratch.num_layers,
        query_size=scratch.hidden_size,
        key_size=(scratch.num_kv_heads or scratch.num_heads) * head_dim,
        vocab_size=scratch.vocab_size + _NUM_SPECIAL_TOKENS,
        is_tied=True,
        vision_hidden_size=scratch.vision_hidden_size,
        vision_intermediate_size=2 * scratch.vision_hidden_size,
        vision_depth=scratch.vision_depth,
        vision_out_size=scratch.hidden_size,
        patch_size=14,
        merge_size=2,
        temporal_patch_size=2,
    )

"""A Qwen2.5-VL from scratch: random weights, and a tokenizer trained on the texts that the model is to read and write.

    folder = build_model(ScratchConfig(), texts, Path("runs/tiny/model"))

The classes, the special tokens, the splitting of text into words and the chat template are Qwen's; the sizes are ours.
So everything that takes a released Qwen2.5-VL takes this one, and a laptop can train it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from training.config import ScratchConfig

SPECIAL_TOKENS: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Qwen2.5-VL's in what it does: a system turn of its own when there is none, vision tokens around one pad.
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What the template writes around every turn: trained on too, or a third of a short prompt would be single letters.
_TEMPLATE_WORDS: Final = "system\nYou are a helpful assistant.\nuser\nassistant\n"
_MROPE_SECTION: Final = (4, 6, 6)  # of the head_dim / 2 frequencies: time, height, width; the released 16, 24, 24
_REPETITIONS: Final = 10  # of each text, so that the trainer merges even what a short corpus holds once


def build_model(config: ScratchConfig, texts: Iterable[str], folder: Path) -> Path:
    """Write model, tokenizer and image processor to `folder`, laid out as a released Qwen2.5-VL. Returns `folder`.

    texts: what the tokenizer is trained on; any other text can be encoded too, in more tokens. The same config and
    texts give the same weights.
    """
    tokenizer = train_tokenizer([_TEMPLATE_WORDS, *texts], config.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Qwen2_5_VLForConditionalGeneration(model_config(config, tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    return folder


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """Qwen's own tokenizer class, splitting and special tokens over a small vocabulary."""
    trained = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"), byte_level]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator([text for text in texts for _ in range(_REPETITIONS)], trainer)
    state = json.loads(trained.to_str())["model"]
    merges: Any = [tuple(pair) for pair in state["merges"]]  # the class takes pairs, its annotation says strings
    tokenizer = Qwen2Tokenizer(
        vocab=state["vocab"],
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def model_config(config: ScratchConfig, tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLConfig:
    """The released architecture in these sizes: 14-pixel patches merged 2 x 2, M-RoPE, tied embeddings."""
    ids = tokenizer.get_vocab()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": 2 * config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads or config.num_heads,
        "max_position_embeddings": 8192,
        "initializer_range": config.initializer_range,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(_MROPE_SECTION)},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": config.vision_hidden_size,
        "out_hidden_size": config.hidden_size,
        "intermediate_size": 2 * config.vision_hidden_size,
        "depth": config.vision_depth,
        "num_heads": config.vision_heads,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
        "initializer_range": config.initializer_range,
        "fullatt_block_indexes": [block for block in range(config.vision_depth) if block not in config.windowed],
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )

"""A model from scratch is a Qwen2.5-VL to everything that loads one, and its config decides all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from unicodedata import normalize

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from curation.prompts import load_trace_prompt
from curation.trace import BLOCKS
from training.config import ModelConfig
from training.models import load_model, load_processor
from training.scratch import SPECIAL_TOKENS, ScratchConfig, build_model, train_tokenizer

TEXTS = (
    "<observation>The red circle moves to the left.</observation> <think>So I take A.</think><answer>A</answer>",
    "Which way does the blue square move? Options: A. left B. right C. up D. down",
)
SMALL = ScratchConfig(
    hidden_size=64, num_layers=1, num_heads=2, vision_hidden_size=32, vision_depth=1, vision_heads=1, vocab_size=400
)
TOKENIZER = train_tokenizer(TEXTS, 400)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(SMALL, TEXTS, tmp_path_factory.mktemp("scratch"))


def weights_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_model_loads_like_a_released_one(folder: Path) -> None:
    config = ModelConfig(name=str(folder), dtype="float32")
    model, processor = load_model(config), load_processor(config)
    assert processor.pad_ids == {
        kind: processor.tokenizer.convert_tokens_to_ids(f"<|{kind}_pad|>") for kind in ("image", "video")
    }
    plain = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype="float32")
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert len(AutoTokenizer.from_pretrained(folder)) == model.config.text_config.vocab_size


def test_same_config_and_texts_give_the_same_weights_and_another_seed_does_not(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = build_model(SMALL, TEXTS, tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)  # the caller's own draws are not disturbed
    other = build_model(SMALL.model_copy(update={"seed": 1}), TEXTS, tmp_path / "other")
    assert weights_sha256(folder) == weights_sha256(again) != weights_sha256(other)
    assert (folder / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()


@given(st.text())
def test_any_text_survives_a_tokenizer_that_never_saw_it(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == normalize("NFC", text)  # as Qwen's


def test_words_of_the_texts_are_one_token_each_and_special_tokens_too() -> None:
    for word in (" circle", " moves", " left", " square", *BLOCKS):
        assert len(TOKENIZER.encode(word, add_special_tokens=False)) == 1
    for token in SPECIAL_TOKENS:
        assert len(TOKENIZER.encode(token, add_special_tokens=False)) == 1
    assert TOKENIZER.eos_token == "<|im_end|>" and TOKENIZER.pad_token == "<|endoftext|>"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"hidden_size": 128}, "hidden_size is 128, but 2 heads of 32 make 64"),
        ({"vision_heads": 3}, "vision_hidden_size is 32, but 3 heads of 32 make 96"),
        ({"num_kv_heads": 3}, "num_heads 2 is no multiple of num_kv_heads 3"),
        ({"windowed": (1,)}, "windowed names block 1, but vision_depth is 1"),
        ({"vocab_size": 256}, "vocab_size"),
        ({"widths": 64}, "widths"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ScratchConfig.model_validate(SMALL.model_dump() | wrong)


def test_default_model_is_tiny_and_sees_whole_frames_in_every_block(tmp_path: Path) -> None:
    folder = build_model(ScratchConfig(), TEXTS, tmp_path / "default")
    model = load_model(ModelConfig(name=str(folder), dtype="float32"))
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_000_000
    assert model.config.vision_config.fullatt_block_indexes == [0, 1, 2, 3]


def test_terse_prompt_has_the_slots_that_training_fills() -> None:
    prompt = load_trace_prompt(Path("training/prompts/terse.txt"))
    assert len(prompt.fill(question="", data_type="video", answer_form="").split()) < 10


def test_random_weights_are_as_wide_as_was_asked_for(folder: Path, tmp_path: Path) -> None:
    wide = build_model(SMALL.model_copy(update={"initializer_range": 0.1}), TEXTS, tmp_path / "wide")
    for place, expected in ((folder, 0.02), (wide, 0.1)):
        model = load_model(ModelConfig(name=str(place), dtype="float32"))
        for name in ("model.language_model.layers.0.mlp.up_proj", "model.visual.blocks.0.mlp.up_proj"):
            assert abs(model.get_submodule(name).weight.std().item() - expected) < 0.1 * expected

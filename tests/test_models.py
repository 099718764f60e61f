"""A model that is not what it should be is one clear line; pictures become the patches of the released processor."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from curation.errors import ConfigError
from tests.tiny_qwen import save_tiny_qwen
from training.config import ModelConfig
from training.models import load_model, load_processor, load_trainable, save_processor
from training.patches import patchify

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def damaged(tiny, tmp_path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def config_of(folder: Path, **changes) -> ModelConfig:
    return ModelConfig(name=str(folder), dtype="float32", **changes)


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(load, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(config_of(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    assert "set model.name" in refused(load_model, tmp_path).lower()
    assert "set model.name" in refused(load_processor, tmp_path / "none").lower()


def test_another_kind_of_model_is_named(damaged):
    (damaged / "config.json").write_text('{"model_type": "bert"}')
    for load in (load_model, load_processor):
        assert "is a bert, not a qwen2_5_vl" in refused(load, damaged)


def test_weights_that_are_damaged_or_not_all_there_are_refused_not_made_up(damaged):
    path = damaged / "model.safetensors"
    content = path.read_bytes()
    weights = load_file(path)
    name = next(name for name in weights if "k_proj.weight" in name)
    save_file({key: value for key, value in weights.items() if key != name}, path, metadata={"format": "pt"})
    assert "lacks 1 of its weights" in refused(load_model, damaged)
    path.write_bytes(content[: len(content) // 2])
    assert "cannot load the model" in refused(load_model, damaged)


def test_tokenizer_and_patches_must_fit_the_model(damaged):
    change(damaged / "preprocessor_config.json", patch_size=16)
    assert "makes patches of (16, 2, 2)" in refused(load_processor, damaged)
    change(damaged / "preprocessor_config.json", patch_size=14)
    change(damaged / "config.json", video_token_id=1)
    assert "does not have <|video_pad|> as its token 1" in refused(load_processor, damaged)


def test_a_model_without_a_chat_template_is_no_instruction_tuned_one(damaged):
    (damaged / "chat_template.jinja").unlink(missing_ok=True)
    path = damaged / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "chat_template"}))
    assert "has no chat template" in refused(load_processor, damaged)


def test_weights_are_trained_in_float32_unless_something_else_keeps_a_copy(tiny, monkeypatch):
    config = ModelConfig(name=str(tiny))
    assert load_trainable(config, has_adapter=False).dtype == torch.float32
    assert load_trainable(config, has_adapter=True).dtype == torch.bfloat16
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert load_trainable(config, has_adapter=False).dtype == torch.bfloat16


def test_a_released_models_own_files_go_with_the_trained_one(damaged, tmp_path):
    """What AutoProcessor needs, where torchvision is at hand; in the old file layout, too."""
    template = AutoTokenizer.from_pretrained(damaged).chat_template
    (damaged / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (damaged / "video_preprocessor_config.json").write_text('{"size": 1}')
    processor = load_processor(config_of(damaged))
    save_processor(processor, tmp_path / "out")
    for name in ("preprocessor_config.json", "video_preprocessor_config.json", "chat_template.json"):
        assert (tmp_path / "out" / name).read_bytes() == (damaged / name).read_bytes()
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == template
    (tmp_path / "out" / "config.json").write_bytes((damaged / "config.json").read_bytes())
    again = load_processor(config_of(tmp_path / "out"))
    assert (again.chat_template, again.layout, again.pad_ids) == (template, processor.layout, processor.pad_ids)
    save_processor(again, tmp_path / "out")  # into its own folder


@pytest.fixture(scope="module")
def processor(tiny):
    return load_processor(config_of(tiny))


@settings(max_examples=20)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_a_picture_becomes_the_patches_of_the_released_processor(processor, rows, columns, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (28 * rows, 28 * columns, 3), dtype=np.uint8)
    reference = Qwen2VLImageProcessorPil(do_resize=False)(images=picture, return_tensors="np")
    patches, grid = patchify(picture[None], processor.layout)
    assert [list(grid)] == reference["image_grid_thw"].tolist()
    assert patches.dtype == np.float32
    assert np.abs(patches - reference["pixel_values"]).max() <= 1e-6


@settings(max_examples=20)
@given(times=st.integers(1, 3), rows=st.integers(1, 3), columns=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_no_pixel_of_a_clip_is_lost_or_moved(processor, times, rows, columns, seed):
    """The inverse, written the other way round: from the patches back to frames."""
    frames = np.random.default_rng(seed).integers(0, 256, (2 * times, 28 * rows, 28 * columns, 3), dtype=np.uint8)
    layout = processor.layout
    patches, (t, h, w) = patchify(frames, layout)
    cut = patches.reshape(t, h // 2, w // 2, 2, 2, 3, 2, 14, 14).transpose(0, 6, 1, 3, 7, 2, 4, 8, 5)
    values = cut.reshape(frames.shape) * np.array(layout.std) + np.array(layout.mean)
    assert np.array_equal(np.rint(values / layout.rescale_factor).astype(np.uint8), frames)


def test_an_odd_last_frame_is_shown_twice(processor):
    frames = np.random.default_rng(0).integers(0, 256, (3, 28, 56, 3), dtype=np.uint8)
    patches, grid = patchify(frames, processor.layout)
    assert grid == (2, 2, 4)
    filled, _ = patchify(np.concatenate([frames, frames[-1:]]), processor.layout)
    assert np.array_equal(patches, filled)


@pytest.mark.parametrize("shape", [(2, 30, 28, 3), (2, 28, 14, 3), (0, 28, 28, 3)])
def test_frames_that_make_no_whole_tokens_are_refused(processor, shape):
    with pytest.raises(ValueError, match="multiples of 28"):
        patchify(np.zeros(shape, np.uint8), processor.layout)

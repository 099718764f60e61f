import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from curation.errors import ConfigError
from tests.tiny_qwen import CORPUS, TINY, save_tiny_qwen, tiny_config, train_tokenizer
from training.architecture import read_architecture, scratch_architecture
from training.config import LoraConfig, TrainConfig
from training.estimate import Gpu, count_rows, load_architecture, print_estimate, read_launch
from training.held_out_split import ClipSplit
from training.memory import GIB, Launch, check_fits, estimate_memory, row_size
from training.scratch import SPECIAL_TOKENS
from training.timing import ASSUMED, count_updates, estimate_seconds, find_device

VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
QWEN_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
    "vision_config": VISION | {"out_hidden_size": 3584},
}
QWEN_3B = {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "vision_config": VISION | {"out_hidden_size": 2048},
}
SEVEN, THREE = read_architecture(QWEN_7B, "7B"), read_architecture(QWEN_3B, "3B")
GPU_BYTES = 80 * 10**9


def config(**changes):
    values = {
        "run_dir": "runs/x",
        "dataset": {"name": "org/x", "revision": "v1.0.0", "media_root": "media"},
        "model": {"name": "Qwen/Qwen2.5-VL-7B-Instruct"},
        "rl": {"batch_size": 1, "accumulation": 7},
    }
    return TrainConfig.model_validate(values | changes)


def count_real(model_config):
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(model_config)
    return sum(weights.numel() for weights in model.parameters())


def test_tiny_model_is_counted_exactly():
    model_config = tiny_config(train_tokenizer(CORPUS, 512))
    assert read_architecture(model_config.to_dict(), "tiny").num_parameters == count_real(model_config)


def test_config_json_of_a_saved_model_is_read_from_its_folder(tmp_path):
    folder = save_tiny_qwen(tmp_path / "tiny")
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    found = load_architecture(config(model={"name": str(folder)}).model)
    assert found.num_parameters == model.num_parameters()
    assert found.num_vision == sum(weights.numel() for weights in model.model.visual.parameters())


@pytest.mark.parametrize(("values", "billions"), [(QWEN_7B, 8.292), (QWEN_3B, 3.755)])
def test_released_sizes_are_counted_exactly(values, billions):
    text = {name: value for name, value in values.items() if not isinstance(value, dict | bool)}
    tied = values["tie_word_embeddings"]
    nested = Qwen2_5_VLConfig(text_config=text, vision_config=values["vision_config"], tie_word_embeddings=tied)
    found = read_architecture(values, "released").num_parameters
    assert found == count_real(nested) == read_architecture(nested.to_dict(), "nested").num_parameters
    assert round(found / 1e9, 3) == billions


def test_model_that_is_yet_to_be_built_is_counted_from_its_sizes(tmp_path):
    tokenizer = train_tokenizer(CORPUS, 512)
    sizes = TINY.model_copy(update={"vocab_size": len(tokenizer) - len(SPECIAL_TOKENS)})
    expected = count_real(tiny_config(tokenizer))
    assert scratch_architecture(sizes).num_parameters == expected
    unbuilt = config(model={"name": str(tmp_path / "unbuilt"), "scratch": sizes.model_dump()})
    assert load_architecture(unbuilt.model).num_parameters == expected


def test_adapters_are_counted_as_peft_makes_them():
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(tiny_config(train_tokenizer(CORPUS, 512)))
    lora = LoraConfig(rank=4, modules=("q_proj", "k_proj", "v_proj", "o_proj", "up_proj"))
    targets = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|up_proj)"
    adapted = get_peft_model(model, PeftConfig(r=4, target_modules=targets))
    found = read_architecture(model.config.to_dict(), "tiny").num_adapter(lora)
    assert found == adapted.get_nb_trainable_parameters()[0]


def test_unknown_module_and_missing_size_are_one_line():
    with pytest.raises(ConfigError, match="'qkv'"):
        SEVEN.num_adapter(LoraConfig(modules=("qkv",)))
    with pytest.raises(ConfigError, match=r"model Llama has no hidden_size"):
        read_architecture({"num_attention_heads": 2}, "Llama")


def test_row_is_frames_times_pixels():
    """16 frames of 128 tokens, two frames a step of time (VideoP2R section 5)."""
    assert row_size(config(), SEVEN).visual_tokens == 1024
    assert row_size(config(), SEVEN).patches == 4096


def test_7b_states_are_those_of_the_zero_paper():
    """16 bytes a parameter with AdamW in mixed precision: 2 + 2 + 12 (ZeRO, section 3.1)."""
    held = estimate_memory(config(), "sft", SEVEN, Launch(1, 2)).held
    states = held["weights"] + held["gradients"] + held["optimizer"]
    assert states == 16 * SEVEN.num_parameters


def test_7b_full_training_needs_sharding_and_3b_rl_does_not_fit_one_gpu():
    assert estimate_memory(config(), "sft", SEVEN).total > 130 * GIB
    assert estimate_memory(config(), "rl", SEVEN, Launch(8)).total > GPU_BYTES
    assert 20 * GIB < estimate_memory(config(), "rl", SEVEN, Launch(8, 3)).total < GPU_BYTES
    assert 25 * GIB < estimate_memory(config(), "sft", SEVEN, Launch(8, 2)).total < GPU_BYTES
    assert estimate_memory(config(), "rl", THREE).total > GPU_BYTES
    adapted = config(lora={})
    assert estimate_memory(adapted, "sft", SEVEN).total < 40 * GIB


def test_gpu_too_small_is_one_line_with_what_would_fit():
    estimate = estimate_memory(config(), "sft", SEVEN)
    with pytest.raises(ConfigError, match=r"stage sft needs about 1\d\d GiB .*LoRA \(lora: {}\); or 2 GPUs") as error:
        check_fits(estimate, GPU_BYTES)
    assert "\n" not in str(error.value)
    check_fits(estimate, estimate.total)
    with pytest.raises(ConfigError, match="ZeRO-3; or LoRA"):
        check_fits(estimate_memory(config(), "rl", SEVEN, Launch(8)), GPU_BYTES)


def test_batch_that_is_too_large_is_what_is_named_first():
    large = config(rl={"batch_size": 64, "accumulation": 1}, lora={})
    with pytest.raises(ConfigError, match=r"What would fit: .*batch_size 1"):
        check_fits(estimate_memory(large.model_copy(update={"sft": large.sft.model_copy(update={"batch_size": 64})}),
                                   "sft", SEVEN), 40 * 10**9)  # fmt: skip


def test_model_that_fits_in_no_way_says_so():
    with pytest.raises(ConfigError, match="smaller model"):
        check_fits(estimate_memory(config(), "rl", SEVEN), GIB)


def test_named_remedies_really_fit():
    estimate = estimate_memory(config(), "rl", SEVEN)
    with pytest.raises(ConfigError) as error:
        check_fits(estimate, GPU_BYTES)
    assert "4 GPUs with ZeRO-3" in str(error.value)
    check_fits(estimate_memory(config(), "rl", SEVEN, Launch(4, 3)), GPU_BYTES)
    with pytest.raises(ConfigError):
        check_fits(estimate_memory(config(), "rl", SEVEN, Launch(2, 3)), GPU_BYTES)


def test_reference_model_is_held_only_where_there_is_one():
    assert estimate_memory(config(), "rl", SEVEN).held["reference model"] > 0
    for other, stage in ((config(), "sft"), (config(rl={"beta": 0.0}), "rl"), (config(lora={}), "rl")):
        assert estimate_memory(other, stage, SEVEN).held["reference model"] == 0


def test_lora_of_one_stage_leaves_the_other_whole():
    mixed = config(lora={"stages": ["rl"]})
    assert estimate_memory(mixed, "sft", SEVEN).held == estimate_memory(config(), "sft", SEVEN).held
    assert estimate_memory(mixed, "rl", SEVEN).held == estimate_memory(config(lora={}), "rl", SEVEN).held


def test_without_checkpointing_activations_are_many_times_more():
    without = config(sft={"trainer_args": {"gradient_checkpointing": False}})
    kept, all_of_them = (estimate_memory(one, "sft", SEVEN).training["activations"] for one in (config(), without))
    assert all_of_them > 4 * kept


@settings(max_examples=40)
@given(st.integers(1, 64), st.sampled_from([0, 1, 2, 3]), st.integers(1, 16), st.booleans())
def test_more_sharing_and_less_batch_never_need_more(num_gpus, zero_stage, batch_size, has_lora):
    one = config(sft={"batch_size": batch_size}, lora={} if has_lora else None)
    launch = Launch(num_gpus, zero_stage)
    total = estimate_memory(one, "sft", SEVEN, launch).total
    larger = config(sft={"batch_size": batch_size + 1}, lora={} if has_lora else None)
    assert estimate_memory(larger, "sft", SEVEN, launch).total > total
    if zero_stage:
        assert estimate_memory(one, "sft", SEVEN, replace(launch, num_gpus=num_gpus + 1)).total <= total
        assert estimate_memory(one, "sft", SEVEN, replace(launch, offload_optimizer=True)).total < total


def test_launch_is_read_as_accelerate_gives_it():
    assert read_launch({}) == Launch()
    environment = {
        "WORLD_SIZE": "16",
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
        "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu",
        "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
    }
    assert read_launch(environment) == Launch(16, 3, offload_optimizer=True)
    assert read_launch(environment | {"ACCELERATE_USE_DEEPSPEED": "false"}) == Launch(16)


def test_rl_of_the_paper_takes_hours_and_not_minutes_or_weeks():
    """1,000 updates of GRPO took 16.5 hours on 8 A100, sampled with vLLM (VideoP2R section 5)."""
    seconds = estimate_seconds(config(), "rl", SEVEN, ASSUMED)
    assert set(seconds) == {"generation", "log-probs", "training"}
    assert 6 < 1000 * sum(seconds.values()) / 3600 < 40


def test_updates_are_counted_from_rows_and_stop_at_max_updates():
    assert count_updates(config(), "sft", 8, 162_062) == 10_129
    assert count_updates(config(), "sft", 8, None) is None
    assert count_updates(config(sft={"max_updates": 7}), "sft", 8, 162_062) == 7
    assert count_updates(config(), "rl", 8, None) == 1000


def test_device_of_unknown_speed_has_no_time_instead_of_a_guess():
    assert find_device("NVIDIA A100-SXM4-80GB").name == "A100"
    assert find_device("NVIDIA GeForce GTX 1080") is None and find_device("NVIDIA L40") is None
    assert find_device("NVIDIA A10").name == "A10" and find_device("NVIDIA L40S").name == "L40S"


def printed(tmp_path, gpu=None, **changes):
    folder = save_tiny_qwen(tmp_path / "tiny")
    out = io.StringIO()
    console = Console(file=out, width=140)
    print_estimate(config(model={"name": str(folder)}, **changes), num_rows=1000, console=console, gpu=gpu)
    return out.getvalue()


def test_table_is_printed_for_both_stages_and_only_for_those_that_train(tmp_path):
    text = printed(tmp_path, gpu=Gpu("NVIDIA H100 80GB HBM3", GPU_BYTES))
    assert "KV cache" in text and "optimizer" in text and "H100" in text and "500" in text
    assert "8 GPUs, ZeRO-3" in text
    assert "KV cache" not in printed(tmp_path, variant="sft_only")


@pytest.mark.parametrize("held_out_share", [0.0, 0.5])
def test_rows_of_a_folder_are_those_that_sft_trains_on(tmp_path, held_out_share):
    paths = [f"./clips/{number}.mp4" for number in range(40)]
    folder = tmp_path / "run" / "dataset" / "data"
    folder.mkdir(parents=True)
    for part, number in enumerate((0, 20)):  # two files, three questions a clip
        table = pa.table({"id": ["q"] * 60, "path": 3 * paths[number : number + 20]})
        pq.write_table(table, folder / f"train-{part:05d}-of-00002.parquet")
    dataset = {"name": str(tmp_path / "run"), "media_root": tmp_path}
    found = count_rows(config(dataset=dataset, evaluation={"held_out_share": held_out_share}))
    assert found == 3 * sum(not ClipSplit(held_out_share).holds_out(path) for path in paths)
    assert (found == 120) is (held_out_share == 0)


def test_rows_that_are_not_at_hand_are_not_counted(tmp_path):
    for name in ("org/dataset", str(tmp_path / "nowhere"), str(tmp_path)):
        assert count_rows(config(dataset={"name": name, "media_root": tmp_path})) is None


def test_dry_run_on_a_gpu_that_is_too_small_prints_the_table_and_raises(tmp_path):
    with pytest.raises(ConfigError, match="needs about 1 GiB"):
        printed(tmp_path, gpu=Gpu("NVIDIA Unknown", GIB // 2))


def test_model_that_is_not_there_or_no_qwen_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read config\.json of the model .*nowhere"):
        load_architecture(config(model={"name": str(tmp_path / "nowhere")}).model)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(ConfigError, match="is a qwen2, not a qwen2_5_vl"):
        load_architecture(config(model={"name": str(tmp_path)}).model)

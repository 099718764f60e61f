from pathlib import Path
from typing import get_args

import pytest

from curation.config import load_config
from training.benchmarks.analyses.extraction import ExtractorConfig
from training.benchmarks.run_config import BenchmarkRun
from training.config import TrainConfig, Variant
from training.variants import apply_variant, stages_of

ROOT = Path(__file__).parent.parent


def config(**values) -> TrainConfig:
    dataset = {"name": "runs/demo", "media_root": "runs/demo/world"}
    return TrainConfig.model_validate({"run_dir": "r", "dataset": dataset, "model": {"name": "m"}} | values)


@pytest.mark.parametrize(
    ("variant", "stages", "perception", "reasoning", "length", "separate"),
    [
        ("full", ("sft", "rl"), True, True, True, True),
        ("sft_only", ("sft",), True, True, True, True),
        ("rl_only", ("rl",), True, True, True, True),
        ("grpo", ("sft", "rl"), False, True, True, False),
        ("agnostic_sft", ("sft",), False, True, True, True),
        ("no_perception_reward", ("sft", "rl"), False, True, True, False),
        ("no_reasoning_reward", ("sft", "rl"), True, False, True, False),
        ("no_length_reward", ("sft", "rl"), True, True, False, True),
        ("no_separation", ("sft", "rl"), True, True, True, False),
    ],
)
def test_each_row_of_the_ablation_table(variant, stages, perception, reasoning, length, separate):
    applied = apply_variant(config(variant=variant))
    rewards = applied.rewards
    assert stages_of(variant) == stages
    assert (rewards.perception, rewards.reasoning, rewards.length) == (perception, reasoning, length)
    assert applied.rl.separate is separate
    assert applied.input.template == rewards.template == ("agnostic" if variant == "agnostic_sft" else "full")


def test_every_variant_stands_in_the_docstring_and_is_a_valid_config():
    import training.variants

    for variant in get_args(Variant):
        assert f"| {variant} " in training.variants.__doc__
        applied = apply_variant(config(variant=variant))
        assert TrainConfig.model_validate(applied.model_dump()) == applied
        assert apply_variant(applied) == applied


def test_a_variant_leaves_every_other_setting_alone():
    mine = config(variant="grpo", rewards={"length_bonus": 0.5}, rl={"group_size": 4, "beta": 0.1})
    applied = apply_variant(mine)
    assert (applied.rewards.length_bonus, applied.rl.group_size, applied.rl.beta) == (0.5, 4, 0.1)


OTHERS = {"benchmarks_server": BenchmarkRun, "extractor": ExtractorConfig}  # no trainings
SHIPPED = sorted((ROOT / "training/configs").glob("*.yaml"))


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem in OTHERS], ids=lambda path: path.stem)
def test_every_other_config_that_is_shipped_is_valid(path):
    load_config(OTHERS[path.stem], path)


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem not in OTHERS], ids=lambda path: path.stem)
def test_every_config_that_is_shipped_is_valid_and_fills_whole_groups(path):
    loaded = load_config(TrainConfig, path)
    num_processes = 1 if path.stem in ("tiny", "lora_1gpu") else 8
    assert loaded.rl.batch_size * loaded.rl.accumulation * num_processes % loaded.rl.group_size == 0
    assert loaded.rl.max_completion_tokens > loaded.rewards.perception_tokens[1] + loaded.rewards.reasoning_tokens[1]

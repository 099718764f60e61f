import pytest
import yaml

from curation.errors import ConfigError
from tests.test_variants import config
from training.rundir import TrainingRun, keep_config


def test_a_run_goes_on_with_the_config_it_was_begun_with(tmp_path):
    run = TrainingRun(tmp_path)
    keep_config(run, config())
    keep_config(run, config())
    assert run.config.is_file()


def test_a_run_that_was_begun_before_leaks_and_repetition_had_keys_goes_on_with_their_defaults(tmp_path):
    run = TrainingRun(tmp_path)
    keep_config(run, config())
    begun = yaml.safe_load(run.config.read_text())
    del begun["rewards"]["leaks_answer"], begun["rewards"]["max_repetition"]
    run.config.write_text(yaml.safe_dump(begun))
    with pytest.raises(ConfigError, match=r"begun with rewards.leaks_answer = 'pay'"):
        keep_config(run, config(rewards={"leaks_answer": "zero"}))
    keep_config(run, config())
    assert yaml.safe_load(run.config.read_text())["rewards"]["max_repetition"] is None


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("sft", {"learning_rate": 1e-5}),
        ("rl", {"group_size": 4}),
        ("rewards", {"length_bonus": 0.3}),
        ("rewards", {"leaks_answer": "zero"}),
        ("rewards", {"max_repetition": 0.3}),
        ("variant", "grpo"),
        ("lora", {"rank": 8}),
        ("evaluation", {"held_out_share": 0.1}),
    ],
)
def test_a_change_that_decides_about_the_weights_is_refused_with_its_name(tmp_path, section, values):
    keep_config(TrainingRun(tmp_path), config())
    with pytest.raises(ConfigError, match=section) as fault:
        keep_config(TrainingRun(tmp_path), config(**{section: values}))
    assert "\n" not in str(fault.value)
    keep_config(TrainingRun(tmp_path), config())


@pytest.mark.parametrize(
    ("section", "values"),
    [("sft", {"num_workers": 0}), ("rl", {"keep_checkpoints": 9}), ("input", {"cache": {"folder": "frames"}})],
)
def test_what_no_weight_depends_on_may_change(tmp_path, section, values):
    keep_config(TrainingRun(tmp_path), config())
    keep_config(TrainingRun(tmp_path), config(**{section: values}))

"""`python training/run.py` as its users run it: every variant, every config, and what they get wrong."""

import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Trainer

from curation.schema import ROLLOUT
from tests.training_world import ROOT, build_world, small, small_config
from training import held_out, pipeline, rl, sft
from training.config import Variant
from training.evaluation_facts import load_evaluation
from training.run import main
from training.variants import stages_of

CONFIG = str(ROOT / "training/configs/tiny.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_world(tmp_path_factory.mktemp("tiny") / "curated")


@pytest.mark.parametrize("variant", get_args(Variant))
def test_every_variant_runs_one_update_of_each_of_its_stages(world, tmp_path, variant):
    pipeline.run(small_config(world, tmp_path / "run", variant=variant))
    for stage in stages_of(variant):
        assert (tmp_path / "run" / stage / "stage.json").is_file()
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "run" / stage / "model")
        assert AutoTokenizer.from_pretrained(tmp_path / "run" / stage / "model").eos_token == "<|im_end|>"
        assert all(torch.isfinite(weights).all() for weights in model.parameters())
        assert load_evaluation(tmp_path / "run" / "evaluation" / f"{stage}.json").num_questions == 4
    assert (tmp_path / "run" / "report.html").is_file()
    rollouts = sorted((tmp_path / "run" / "rollouts").glob("rollouts-*.parquet"))
    assert len(rollouts) == ("rl" in stages_of(variant))
    for path in rollouts:
        assert pq.read_schema(path).equals(ROLLOUT)
        assert pq.read_metadata(path).num_rows == 4


@pytest.mark.parametrize("config", ["videop2r_7b", "videop2r_3b", "lora_1gpu"])
def test_every_config_runs_one_update_of_a_tiny_model(world, tmp_path, config):
    pipeline.run(small_config(world, tmp_path / "run", config=config))
    assert load_evaluation(tmp_path / "run" / "evaluation" / "rl.json").num_questions == 4
    assert Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "run" / "rl" / "model")


def test_lora_can_be_for_rl_alone(world, tmp_path):
    pipeline.run(small_config(world, tmp_path / "run", lora__stages="[rl]", lora__rank="4"))
    assert not (tmp_path / "run/sft/adapter").exists()
    assert (tmp_path / "run/rl/adapter").is_dir()
    assert Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "run" / "rl" / "model")


def test_a_finished_stage_is_freed_before_the_next_model_is_loaded(world, tmp_path, monkeypatch):
    made, alive = [], []

    def watched(build):
        def make(*args, **options):
            alive.append([name for name, reference in made if reference() is not None])
            found = build(*args, **options)
            made.append((type(found).__name__, weakref.ref(found)))
            return found

        return make

    for module in (sft, rl):
        monkeypatch.setattr(module, "load_trainable", watched(module.load_trainable))
    monkeypatch.setattr(held_out, "load_model", watched(held_out.load_model))
    create = Trainer.create_optimizer

    def creating(trainer, *args, **options):
        found = create(trainer, *args, **options)
        made.extend((type(one).__name__, weakref.ref(one)) for one in (trainer, trainer.optimizer))
        return found

    monkeypatch.setattr(Trainer, "create_optimizer", creating)
    pipeline.run(small_config(world, tmp_path / "run"))
    assert len(alive) == 4 and len(made) >= 6
    assert alive == [[]] * 4


def test_what_is_done_is_not_done_again(world, tmp_path):
    config = small_config(world, tmp_path / "run")
    pipeline.run(config)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    pipeline.run(config)
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mtime_ns != before.get(path)}
    assert {path.name for path in written if path.suffix != ".png"} == {"config.yaml", "README.md", "report.html"}


def test_stages_can_be_run_one_by_one_and_say_which_one_is_missing(world, tmp_path, capsys):
    arguments = [CONFIG, *small(world, tmp_path / "run")]
    assert main([*arguments, "--stage", "rl"]) == 2
    assert "--stage sft" in capsys.readouterr().err.splitlines()[-1]
    for stage in ("sft", "rl", "evaluate", "report"):
        assert main([*arguments, "--stage", stage]) == 0
    assert sorted(path.name for path in (tmp_path / "run/evaluation").glob("*.json")) == ["rl.json", "sft.json"]


def test_variants_are_compared_from_one_sft_checkpoint(world, tmp_path, capsys):
    arguments = [CONFIG, *small(world, tmp_path / "run"), "--compare", "sft_only,grpo,full", "--seeds", "0,1"]
    assert main(arguments) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("sft_only", "grpo", "full")), shown
    runs = sorted(path.name for path in (tmp_path / "run" / "compare").iterdir() if path.is_dir())
    assert runs == ["full-seed0", "full-seed1", "grpo-seed0", "grpo-seed1"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["sft.learning_rat=1"], "sft.learning_rat"),
        (["rl.group_size=1"], "rl.group_size"),
        (["rl.group_size=3"], "group"),
        (["dataset.name=nowhere/at-all", "dataset.revision=null"], "dataset.revision"),
        (["dataset.media_root=/nowhere"], "media root"),
        (["variant=best"], "variant"),
        (["judge.engine={kind: anthropic, api_key_env: NO_SUCH_KEY}"], "NO_SUCH_KEY"),
        (["judge=null"], "judge"),
        (["sft.trainer_args={learning_rate: 1}"], "learning_rate"),
        (["sft.trainer_args={no_such_field: 1}"], "no_such_field"),
        (["rl.trainer_args={no_such_field: 1}"], "no_such_field"),
        (["--faster"], "--faster"),
    ],
)
def test_bad_input_is_one_line_that_names_it(world, tmp_path, capsys, overrides, told):
    try:
        status = main([CONFIG, *small(world, tmp_path / "run"), *overrides])
    except SystemExit as usage:
        status = usage.code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2
    assert told in error
    assert not list(tmp_path.glob("run/*/model"))


def test_a_dry_run_knows_how_many_updates_the_rows_at_hand_make(world, tmp_path, capsys):
    overrides = small(world, tmp_path / "run", sft__max_updates="null", sft__epochs=2, variant="sft_only")
    assert main([CONFIG, *overrides, "--dry-run"]) == 0
    config = small_config(world, tmp_path / "run")
    num_rows = len(pipeline._training_rows(config, "cot").rows)
    assert 0 < num_rows < 60
    (line,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["sft"]][-1:]
    assert str(num_rows) in line  # two epochs in updates of two rows


def test_a_model_of_another_kind_is_one_line(world, tmp_path, capsys):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}))
    overrides = small(world, tmp_path / "run", model__name=folder, model__scratch="null")
    assert main([CONFIG, *overrides]) == 2
    assert "qwen2_5_vl" in capsys.readouterr().err.splitlines()[-1]


def test_help_has_an_example_and_needs_no_torch():
    command = [sys.executable, "-X", "importtime", str(ROOT / "training/run.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=True)
    assert "python training/run.py training/configs/tiny.yaml" in done.stdout
    assert "| torch" not in done.stderr.replace("  ", " ")

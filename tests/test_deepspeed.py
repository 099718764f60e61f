"""DeepSpeed on two CPU processes, started as its users start it: ZeRO-2, ZeRO-3 and LoRA, killed and gone on with.

What is asserted stands in what the runs left on disk. A run without DeepSpeed leaves none of it.
"""

import importlib.util
import json
import math
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from tests import rl_world
from tests.launches import finish, launched
from tests.sft_world import logged, shared, trace_rows, training_rows
from tests.training_world import ROOT, build_world, small, small_config
from training import pipeline
from training.config import ModelConfig
from training.models import load_processor
from training.sft import train_sft

MISSING = [
    *(["the package deepspeed"] if importlib.util.find_spec("deepspeed") is None else []),
    *(name for name in ("g++", "ninja") if shutil.which(name) is None),
]
LIMIT_S = 300  # of one launch; a minute of it may be the compiler's, once a machine
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"DeepSpeed needs {', '.join(MISSING)}, which is not here"),
    pytest.mark.timeout(3 * LIMIT_S),
]

NUM_UPDATES = {"sft": 8, "rl": 5}
STEPS = {stage: range(1, num_updates + 1) for stage, num_updates in NUM_UPDATES.items()}
LORA = "{rank: 4, alpha: 8, dropout: 0.1}"


@dataclass(frozen=True)
class Way:
    """zero_stage: of the accelerate file. killed_in: a run is killed once in each of these stages."""

    zero_stage: int
    killed_in: tuple[str, ...]
    lora: str = "null"


WAYS = {"zero2": Way(2, ("rl",)), "zero3": Way(3, ("sft", "rl")), "zero3_lora": Way(3, ("sft",), LORA)}


@dataclass(frozen=True)
class Trained:
    """A run that was killed and went on. kept: stage -> the lines of its log up to the checkpoint, before it went on;
    lost: those after it, of updates that were done again.
    """

    way: Way
    run_dir: Path
    kept: Mapping[str, Sequence[str]]
    lost: Mapping[str, Sequence[str]]


def accelerate(zero_stage: int, words: Sequence[str]) -> list[str]:
    """`accelerate launch` on two processes of the CPU."""
    file = ROOT / f"training/configs/accelerate/zero{zero_stage}.yaml"
    launch = [str(Path(sys.executable).parent / "accelerate"), "launch", "--main_process_port", "0"]
    return [*launch, "--mixed_precision", "no", "--config_file", str(file), "--num_processes", "2", *words]


def kill_in(stage: Path, zero_stage: int, words: Sequence[str], log: Path) -> None:
    """Run until the stage has a checkpoint and an update after it, and kill it there."""
    deadline = time.monotonic() + LIMIT_S
    with launched(accelerate(zero_stage, words), log) as process:
        while not (is_whole(stage / "checkpoints/checkpoint-2") and len(lines_of(stage)) > 2):
            assert process.poll() is None, log.read_text()[-5000:]
            assert time.monotonic() < deadline, f"it hangs: {log.read_text()[-5000:]}"
            time.sleep(0.002)
    assert not (stage / "stage.json").exists(), "the stage was faster than this test"


def is_whole(checkpoint: Path) -> bool:
    return (checkpoint / "whole").is_file()


def lines_of(stage: Path) -> list[str]:
    path = stage / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [line for line in lines if line.endswith("\n")]


def losses_of(lines: Sequence[str]) -> dict[int, dict[str, float]]:
    """update -> what tells whether it was the same one."""
    found = [json.loads(line) for line in lines]
    return {
        line["step"]: {name: line[name] for name in ("loss", "grad_norm", "kl", "num_tokens") if name in line}
        for line in found
        if "loss" in line
    }


def newest_checkpoint(stage: Path) -> int:
    """The update of the newest one that is whole."""
    return max(int(path.parent.name.rpartition("-")[2]) for path in stage.glob("checkpoints/*/whole"))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A curated dataset, and beside it a model that knows the format, or no rollout would be paid anything."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("deepspeed")
    build_world(folder / "curated")
    config = small_config(
        folder / "curated",
        folder / "warm",
        variant="sft_only",
        sft__max_updates=100,
        sft__batch_size=16,
        sft__learning_rate=5e-3,
        model__scratch=(
            "{hidden_size: 64, num_layers: 2, num_heads: 2, vision_hidden_size: 64, vision_depth: 2, vision_heads: 2, "
            "initializer_range: 0.1}"
        ),
        evaluation__held_out_share=0,
    )
    pipeline.run(config, "sft")
    return folder


def words_of(world: Path, run_dir: Path, way: Way) -> list[str]:
    overrides = small(
        world / "curated",
        run_dir,
        model__name=world / "warm/sft/model",
        model__scratch="null",
        lora=way.lora,
        input__video="{num_frames: 4, min_pixels: 3136, max_pixels: 3136}",
        sft__max_updates=NUM_UPDATES["sft"],
        sft__accumulation=2,
        sft__checkpoint_every=2,
        sft__learning_rate=1e-3,
        sft__trainer_args="{warmup_steps: 0}",
        rl__max_updates=NUM_UPDATES["rl"],
        rl__batch_size=2,
        rl__accumulation=2,
        rl__group_size=4,
        rl__checkpoint_every=2,
        rl__learning_rate=1e-3,
        rl__beta=0.04,
        rl__max_completion_tokens=72,
        rl__trainer_args="{warmup_steps: 0}",
        evaluation__max_questions=2,
    )
    return ["training/run.py", "training/configs/tiny.yaml", *overrides]


@pytest.fixture(scope="module", params=WAYS)
def trained(request, world) -> Trained:
    way = WAYS[request.param]
    run_dir = world / request.param
    words = words_of(world, run_dir, way)
    log = world / f"{request.param}.log"
    kept, lost = {}, {}
    for stage in way.killed_in:
        kill_in(run_dir / stage, way.zero_stage, words, log)
        lines, step = lines_of(run_dir / stage), newest_checkpoint(run_dir / stage)
        kept[stage] = [line for line in lines if json.loads(line)["step"] <= step]
        lost[stage] = lines[len(kept[stage]) :]
    finish(accelerate(way.zero_stage, words), log, LIMIT_S)
    return Trained(way, run_dir, kept, lost)


def shards_of(checkpoint: Path, kind: str) -> list[dict[str, Any]]:
    """What each process wrote of its part."""
    paths = sorted(checkpoint.glob(f"global_step*/zero_pp_rank_*_{kind}_states.pt"))
    return [torch.load(path, weights_only=False) for path in paths]


def num_moments(shard: Mapping[str, Any]) -> int:
    """Numbers that this process keeps for Adam's first moment."""
    optimizer = shard["optimizer_state_dict"]
    states = optimizer.get("base_optimizer_state", optimizer.get("optimizer_state_dict"))["state"]
    return sum(state["exp_avg"].numel() for state in states.values())


def num_trained(folder: Path, way: Way) -> int:
    """Weights that the stage trains."""
    path = folder / ("model/model.safetensors" if way.lora == "null" else "adapter/adapter_model.safetensors")
    return sum(weights.numel() for weights in load_file(path).values())


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_deepspeed_shares_the_training_out_in_its_stage(trained, stage):
    checkpoint = trained.run_dir / stage / f"checkpoints/checkpoint-{newest_checkpoint(trained.run_dir / stage)}"
    shards = shards_of(checkpoint, "optim")
    assert len(shards) == 2
    assert [shard["ds_config"]["zero_optimization"]["stage"] for shard in shards] == [trained.way.zero_stage] * 2
    own = [num_moments(shard) for shard in shards]
    assert own[0] == own[1]
    whole = num_trained(trained.run_dir / stage, trained.way)
    assert whole <= sum(own) < 1.05 * whole  # a part is filled up to a round size
    if trained.way.zero_stage == 3:
        parts = shards_of(checkpoint, "model")
        assert len(parts) == 2
        assert {part["dp_world_size"] for part in parts} == {2}
        assert not any(weights.numel() for part in parts for weights in part["module"].values())


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_every_update_is_done_and_every_loss_is_a_number(trained, stage):
    folder = trained.run_dir / stage
    losses = losses_of(lines_of(folder))
    assert list(losses) == list(STEPS[stage])
    assert all(math.isfinite(value) for update in losses.values() for value in update.values())
    assert all(update["grad_norm"] > 0 for update in losses.values())
    done = json.loads((folder / "stage.json").read_text())
    assert (done["updates"], done["hardware"]) == (NUM_UPDATES[stage], "2 x CPU")


def test_rollouts_are_sampled_and_paid(trained):
    for step in STEPS["rl"]:
        rollouts = pq.read_table(trained.run_dir / f"rollouts/rollouts-{step:06d}.parquet").to_pylist()
        assert len(rollouts) == 8
        assert len({rollout["completion"] for rollout in rollouts}) > 1
    paid = [line for line in map(json.loads, lines_of(trained.run_dir / "rl")) if line.get("reasoning/reward")]
    assert paid


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_the_saved_model_is_whole_and_others_load_it(trained, world, stage):
    folder = trained.run_dir / stage / "model"
    before = trained.run_dir / "sft/model" if stage == "rl" else world / "warm/sft/model"
    model, loaded = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(loaded[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(before).state_dict()
    weights = model.state_dict()
    assert {name: tensor.shape for name, tensor in weights.items()} == {n: tensor.shape for n, tensor in base.items()}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    changed = {name for name, tensor in weights.items() if not torch.equal(tensor, base[name])}
    if trained.way.lora == "null":
        assert len(changed) > 0.9 * len(weights)
        assert any(".visual." in name for name in changed)
    else:
        assert changed
        assert all("language_model" in name and "_proj" in name for name in changed)
        adapter = load_file(trained.run_dir / stage / "adapter/adapter_model.safetensors")
        assert all(tensor.numel() and tensor.abs().sum() for tensor in adapter.values())
    assert AutoTokenizer.from_pretrained(folder).eos_token == "<|im_end|>"
    assert load_processor(ModelConfig(name=str(folder))).layout.patch_size == 14
    assert not list(trained.run_dir.glob(f"{stage}/*.tmp"))


def test_a_killed_run_goes_on_from_its_checkpoint_with_the_losses_it_had(trained):
    for stage in trained.way.killed_in:
        lines = lines_of(trained.run_dir / stage)
        kept, lost = trained.kept[stage], trained.lost[stage]
        assert len(kept) >= 2 and lost
        assert lines[: len(kept)] == list(kept)  # with its seconds: none of them was done again
        again = losses_of(lines[len(kept) :])
        for step, update in losses_of(lost).items():
            assert again[step] == pytest.approx(update, rel=1e-5, abs=1e-7), (stage, step)


@pytest.mark.parametrize("trained", ["zero3"], indirect=True)
def test_a_run_killed_in_each_stage_ends_like_an_uninterrupted_one(trained, world):
    whole = world / "uninterrupted"
    words = words_of(world, whole, trained.way)
    finish(accelerate(trained.way.zero_stage, words), world / "uninterrupted.log", LIMIT_S)
    for stage in ("sft", "rl"):
        expected, found = (losses_of(lines_of(run_dir / stage)) for run_dir in (whole, trained.run_dir))
        assert list(found) == list(expected)
        assert len({round(update["loss"], 4) for update in expected.values()}) > 3  # or anything would equal it
        for step, update in expected.items():
            assert found[step] == pytest.approx(update, rel=1e-5, abs=1e-7), (stage, step)
        weights = [load_file(run_dir / stage / "model/model.safetensors") for run_dir in (whole, trained.run_dir)]
        assert all(torch.allclose(weights[1][name], tensor, atol=1e-6) for name, tensor in weights[0].items())
    for path in sorted((whole / "rollouts").glob("*.parquet")):
        texts = [pq.read_table(folder / "rollouts" / path.name)["completion"] for folder in (whole, trained.run_dir)]
        assert texts[0] == texts[1], path.name


def test_two_nodes_train_as_one_whatever_mix_of_pictures_and_clips_each_of_them_holds(tmp_path):
    """SFT with ZeRO-3, where a pass of the vision tower is collective; the losses are those of one process without."""
    world = rl_world.build_world(tmp_path / "world")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = ["--num_machines", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
    words = ["-m", "tests.sft_world", str(world), str(tmp_path / "two"), "two"]
    second = [*nodes, "--machine_rank", "1", *words]
    with launched(accelerate(3, second), tmp_path / "second.log"):
        finish(accelerate(3, [*nodes, "--machine_rank", "0", *words]), tmp_path / "first.log", LIMIT_S)
    assert json.loads((tmp_path / "two/sft/stage.json").read_text())["hardware"] == "2 x CPU"
    config = shared(world, tmp_path / "one", 1)
    train_sft(config, config.model, training_rows(trace_rows(world)), tmp_path / "one/sft")
    expected, found = logged(tmp_path / "one/sft"), logged(tmp_path / "two/sft")
    assert list(found) == list(expected)
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=1e-4)

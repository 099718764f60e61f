"""A stage that is killed at any moment goes on as if nothing had happened; what it leaves can be loaded by others."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from curation.errors import RunDirectoryError
from tests.rl_world import build_world
from tests.sft_world import logged, resumable, trace_rows, training_rows
from training import checkpoints
from training.checkpoints import StageCallback, find_checkpoint, load_stage, step_of
from training.sft import train_sft

ROOT = Path(__file__).parent.parent
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory) -> Path:
    """The stage's folder after a run that nobody interrupted."""
    run_dir = tmp_path_factory.mktemp("whole")
    config = resumable(world, run_dir)
    train_sft(config, config.model, training_rows(trace_rows(world)), run_dir / "sft")
    return run_dir / "sft"


def run_until_killed(world: Path, run_dir: Path, how: str, *, after_updates: int | None = None, delay_s: float = 0.0):
    """A session of the run that ends by SIGKILL: its own (`how`), or ours after so many logged updates and a while."""
    metrics, log = run_dir / "sft" / "metrics.jsonl", run_dir / "log.txt"
    with log.open("w") as out:
        words = [sys.executable, "-m", "tests.sft_world", str(world), str(run_dir), how]
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=out)
        while after_updates is not None and process.poll() is None:
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= after_updates:
                time.sleep(delay_s)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        assert process.wait(300) == -signal.SIGKILL, log.read_text()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).state_dict()


def test_a_run_killed_at_any_moment_ends_like_an_uninterrupted_one(world, whole, tmp_path):
    stage = tmp_path / "sft"
    chance = random.SystemRandom()  # training seeds the others, and each kill would come at the same moment
    moment = {"after_updates": chance.randint(1, 4), "delay_s": chance.uniform(0, 0.04)}
    print(moment)  # pytest shows it when the test fails
    run_until_killed(world, tmp_path, "whole", **moment)
    for how in ("checkpoint-8", "model"):
        run_until_killed(world, tmp_path, how)
        assert load_stage(stage) is None
    assert not (stage / "model").exists()
    assert (stage / "model.tmp").exists()
    config = resumable(world, tmp_path)
    train_sft(config, config.model, training_rows(trace_rows(world)), stage)
    assert logged(stage) == logged(whole)
    assert sorted(logged(stage)) == list(range(1, 10))
    assert logged(stage, "num_tokens") == logged(whole, "num_tokens")
    found, expected = (weights_of(folder / "model") for folder in (stage, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert load_stage(stage).num_tokens == load_stage(whole).num_tokens
    assert not (stage / "model.tmp").exists()


def test_the_saved_model_is_laid_out_as_a_released_one(world, whole):
    trained, base = weights_of(whole / "model"), weights_of(world / "model")
    assert trained.keys() == base.keys()
    assert not all(torch.equal(trained[name], base[name]) for name in base)
    tokenizer = AutoTokenizer.from_pretrained(whole / "model")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(world / "model").chat_template
    # With torchvision, AutoProcessor makes the whole processor of these files; its picture half needs none.
    assert Qwen2VLImageProcessorPil.from_pretrained(whole / "model").merge_size == 2
    kept = {path.name for path in (world / "model").iterdir()} - {"generation_config.json", "model.safetensors"}
    assert kept <= {path.name for path in (whole / "model").iterdir()}
    assert not list((whole / "model").glob("*.bin"))


def test_what_is_done_is_not_done_again(world, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    config = resumable(world, whole.parent)
    assert train_sft(config, config.model, training_rows(trace_rows(world)), whole) == load_stage(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_stage_json_says_what_was_done(whole):
    found = load_stage(whole)
    assert (found.updates, found.num_rows, found.hardware) == (9, 8, "1 x CPU")
    assert found.num_tokens == max(logged(whole, "num_tokens").values()) > 1000
    assert found.seconds > 0
    (whole.parent / "damaged").mkdir()
    (whole.parent / "damaged" / "stage.json").write_text('{"updates": -1, "seconds": 1}')
    with pytest.raises(RunDirectoryError, match="updates"):
        load_stage(whole.parent / "damaged")


def test_only_whole_checkpoints_count_and_torn_ones_are_removed(tmp_path):
    assert find_checkpoint(tmp_path / "none") is None
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "whole").touch()
    (tmp_path / "checkpoint-12").mkdir()
    (tmp_path / "checkpoint-12" / "optimizer.pt").write_bytes(b"torn")
    found = find_checkpoint(tmp_path)
    assert step_of(found) == 10
    assert not (tmp_path / "checkpoint-12").exists()


class State:
    """Of a trainer, as callbacks see it."""

    is_world_process_zero = True

    def __init__(self, global_step: int) -> None:
        self.global_step = global_step


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Seconds, to be moved by hand."""
    now = [1000.0]
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_the_log_drops_updates_that_were_lost_and_writes_null_for_what_is_no_number(tmp_path, clock):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps({"step": n, "loss": 1.0, "seconds": 10.0 * n}) + "\n" for n in (1, 2, 3)) + '{"step": 4, "lo'
    )
    callback = StageCallback(tmp_path)
    callback.on_train_begin(None, State(2), None)
    clock[0] += 7.5
    callback.on_log(None, State(3), None, {"loss": float("nan"), "grad_norm": float("inf"), "kl": 0, "note": "text"})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[-1] == {"step": 3, "loss": None, "grad_norm": None, "kl": 0, "seconds": 27.5}


def test_a_log_of_a_run_that_begins_anew_is_empty(tmp_path, clock):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "seconds": 9.0}\n')
    callback = StageCallback(tmp_path)
    callback.on_train_begin(None, State(0), None)
    assert path.read_bytes() == b""
    assert callback.seconds == 0
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]

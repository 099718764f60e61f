"""No process waits for another that stopped, and none is started in a way that trains something else."""

from pathlib import Path

import pytest
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from curation.errors import ConfigError, UserError
from tests.launches import TORCHRUN, finish
from tests.ranks_worker import LINE
from tests.rl_world import build_world
from tests.sft_world import sft_config
from training.ranks import raised_everywhere
from training.sft import sft_args

LIMIT_S = 240  # of one launch


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def _deepspeed():
    """Arguments made with ZeRO-3 would have whatever is loaded after them in this process shared out."""
    pytest.importorskip("deepspeed")
    yield
    unset_hf_deepspeed_config()


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("judge", f"FatalEngineError after 1: {LINE}"),
        ("rollouts", "OSError after 0: [Errno 28] No space left on device: 'rollouts-000001.tmp'"),
    ],
)
def test_what_one_process_meets_all_of_them_raise(world, tmp_path, who, told):
    finish([*TORCHRUN, "tests.ranks_worker", str(world), str(tmp_path), who], tmp_path / "log", LIMIT_S)
    assert [(tmp_path / f"rank-{rank}.txt").read_text() for rank in (0, 1)] == [told] * 2


def test_one_process_raises_what_it_met():
    fault = UserError("it is so")
    with pytest.raises(UserError) as raised, raised_everywhere():
        raise fault
    assert raised.value is fault


def test_a_fault_of_ours_passes_as_it_is():
    with pytest.raises(ZeroDivisionError), raised_everywhere():
        1 / 0


@pytest.mark.usefixtures("_deepspeed")
def test_a_launch_that_would_leave_deepspeed_out_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with pytest.raises(ConfigError, match=r"leaves DeepSpeed out.* Unset it"):
        sft_args(sft_config(tmp_path, tmp_path), tmp_path)


@pytest.mark.usefixtures("_deepspeed")
def test_a_launch_whose_model_could_not_be_saved_is_refused(tmp_path, monkeypatch):
    for name, value in (("USE_DEEPSPEED", "true"), ("DEEPSPEED_ZERO_STAGE", "3")):
        monkeypatch.setenv(f"ACCELERATE_{name}", value)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL", "false")
    with pytest.raises(ConfigError, match=r"could not be saved.* Set zero3_save_16bit_model to true"):
        sft_args(sft_config(tmp_path, tmp_path), tmp_path)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL", "true")
    assert sft_args(sft_config(tmp_path, tmp_path), tmp_path).deepspeed_plugin.zero_stage == 3


def test_processes_that_are_done_are_not_aborted_on_their_way_out(tmp_path):
    """By torch's own threads: without `leave` most of these would be."""
    lines = ["import torch.distributed as dist", "from training.ranks import leave", "dist.init_process_group('gloo')"]
    lines += ["dist.all_gather_object([None, None], 0)", "leave()"]
    program = tmp_path / "program.py"
    program.write_text("\n".join(lines))
    launch = [*TORCHRUN[:-1], str(program)]
    for _ in range(3):
        finish(launch, tmp_path / "log", LIMIT_S)

"""A disk that is full is one line with the place and the remedy, whichever library met it."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.training_world import ROOT, build_world, small
from training.full_disk import find_full_disk
from training.run import main

FULL = Path("/dev/full")  # takes no byte
pytestmark = pytest.mark.skipif(not FULL.is_char_device(), reason="there is no /dev/full here, which no byte goes into")
CONFIG = str(ROOT / "training/configs/tiny.yaml")


def say_full(monkeypatch, folder: Path) -> None:
    """As a disk does once a file has filled it."""
    usage = shutil.disk_usage

    def full(path):
        return usage(path)._replace(free=0) if Path(path) == folder else usage(path)

    monkeypatch.setattr(shutil, "disk_usage", full)


def torch_error() -> RuntimeError:
    with pytest.raises(RuntimeError) as raised:
        torch.save(torch.zeros(100_000), FULL)
    return raised.value


def test_a_write_names_no_file_so_the_run_directory_is_named(tmp_path):
    with pytest.raises(OSError, match="No space left") as raised:
        FULL.write_text("x")
    assert find_full_disk(raised.value, tmp_path) == tmp_path


def test_a_file_that_is_named_is_named(tmp_path):
    journal = str(tmp_path / "judge" / "verdicts-0.jsonl")
    assert find_full_disk(OSError(28, "No space left on device", journal), tmp_path) == Path(journal)


def test_the_fault_may_stand_behind_another_one(tmp_path):
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise ValueError("the rollouts could not be written") from error
    except ValueError as error:
        assert find_full_disk(error, tmp_path) == tmp_path


def test_torch_says_something_else_so_the_disk_is_asked(tmp_path, monkeypatch):
    error = torch_error()
    assert "space" not in str(error)
    assert find_full_disk(error, tmp_path) is None
    say_full(monkeypatch, tmp_path)
    assert find_full_disk(error, tmp_path) == tmp_path


def test_safetensors_says_it_in_words(tmp_path):
    error = Exception("Error while serializing: I/O error: No space left on device (os error 28)")
    assert find_full_disk(error, tmp_path) == tmp_path


def test_another_fault_on_a_full_disk_is_not_explained_away(tmp_path, monkeypatch):
    say_full(monkeypatch, tmp_path)
    for error in (ValueError("a bug"), KeyError("a bug"), PermissionError(13, "Permission denied", "x")):
        assert find_full_disk(error, tmp_path) is None


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_world(tmp_path_factory.mktemp("tiny") / "curated")


def told(capsys) -> str:
    """The last line, which is the only one about the fault."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


def test_a_log_that_cannot_be_written_ends_the_run_with_one_line(world, tmp_path, capsys):
    folder = tmp_path / "run" / "sft"
    folder.mkdir(parents=True)
    (folder / "metrics.tmp").symlink_to(FULL)  # becomes the log
    assert main([CONFIG, *small(world, tmp_path / "run"), "--stage", "sft"]) == 2
    line = told(capsys)
    assert line.startswith(f"error: the disk is full: there is no room for {tmp_path / 'run'} (")
    assert "Free some space there and run the same command again" in line


def test_a_checkpoint_that_does_not_fit_ends_the_run_and_does_not_count(world, tmp_path, monkeypatch, capsys):
    save = torch.save

    def full(content, path, *args, **options):
        if os.path.basename(path) == "optimizer.pt":  # noqa: PTH119 - torch takes open files too
            say_full(monkeypatch, tmp_path / "run")
            path = FULL
        save(content, path, *args, **options)

    monkeypatch.setattr(torch, "save", full)
    arguments = [CONFIG, *small(world, tmp_path / "run", sft__max_updates=2, sft__checkpoint_every=1)]
    assert main([*arguments, "--stage", "sft"]) == 2
    assert f"there is no room for {tmp_path / 'run'}" in told(capsys)
    assert not list(tmp_path.glob("run/sft/checkpoints/*/whole"))
    monkeypatch.undo()
    assert main([*arguments, "--stage", "sft"]) == 0
    assert (tmp_path / "run/sft/stage.json").is_file()


def test_a_user_s_mistake_on_a_full_disk_stays_that(world, tmp_path, monkeypatch, capsys):
    say_full(monkeypatch, tmp_path / "run")
    assert main([CONFIG, *small(world, tmp_path / "run", rl__group_size=3)]) == 2
    assert "group" in told(capsys)

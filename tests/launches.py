"""Training on several processes: whatever becomes of the test, none of them outlives it.

A launcher that is killed leaves its processes behind, and one of DeepSpeed's that waits for another keeps a core busy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@contextmanager
def launched(words: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Started in the root of the repository, on the CPU, one thread each; what they print is appended to `log`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("ACCELERATE_USE_CPU", None)
    with log.open("ab") as output:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            _kill_family(process)


def finish(words: Sequence[str], log: Path, limit_s: float) -> None:
    """Run to the end; what fails or waits for ever is a failure."""
    with launched(words, log) as process:
        wait(process, log, limit_s)


def wait(process: subprocess.Popen[bytes], log: Path, limit_s: float) -> None:
    """For its end; what fails or waits for ever is a failure."""
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        status = None
    assert status == 0, f"{'it hangs' if status is None else status}: {log.read_text()[-5000:]}"


def _kill_family(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of all that it started: each process that trains leads a group of its own."""
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for member in (parent, *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait()

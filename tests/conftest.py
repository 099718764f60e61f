"""For every test: no assertion on time, because machines are noisy; hypothesis has two of its own.

DeepSpeed compiles when it is first used. Whoever does finds the ninja of this environment, and compiles into it: one
ninja does the work of another again, and a compiler that was killed in another checkout leaves a lock that nobody
takes away. What Hugging Face's libraries cache is gone with the process.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

_CACHE = TemporaryDirectory(prefix="tests-cache-")
os.environ["HF_HOME"] = _CACHE.name
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
os.environ["TORCH_EXTENSIONS_DIR"] = str(Path(sys.prefix) / "torch_extensions")

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="module", autouse=True)
def _ordinary_thread():
    """A real-time thread keeps the rest of the machine from running; no file leaves its process one."""
    yield
    if hasattr(os, "sched_getscheduler"):
        assert os.sched_getscheduler(0) == os.SCHED_OTHER

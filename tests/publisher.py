"""`python -m curation ...` against the loopback hub, as real processes that can be killed.

The modules are imported once, in a process that forks for each command: a publication takes a second instead of five.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_SERVER = """
import json, os, sys
from curation.__main__ import main
import curation.describe, curation.publish.publish, curation.commands.publish

for line in sys.stdin:
    words, log = json.loads(line)
    child = os.fork()
    if child == 0:
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1), os.dup2(sink, 2), os.close(0)
        status = 1
        try:
            status = main(words)
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: negative status = killed by that signal; `text` is stdout and stderr together."""

    status: int
    text: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("error: ")]


class Publisher:
    """Forks commands in one environment; use as a context manager."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment = dict(environment)
        self.log = log
        self.child: int | None = None

    def __enter__(self) -> Publisher:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)

    def run(self, *words: object, started: Callable[[], object] | None = None) -> Ended:
        """One command to its end; `started` is called once it runs (to kill it after a while)."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps([[str(word) for word in words], str(self.log)]), file=self._server.stdin, flush=True)
        self.child = int(self._server.stdout.readline())
        if started is not None:
            started()
        status = int(self._server.stdout.readline())
        return Ended(status, self.log.read_text(encoding="utf-8", errors="replace"))

    def kill(self) -> None:
        """SIGKILL the command that runs now."""
        assert self.child is not None
        os.kill(self.child, signal.SIGKILL)

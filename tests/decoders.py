"""Stand-ins for the decoder worker that misbehave, run as `python -m tests.decoders`.

The name of the requested file says what happens: a busy loop, a stop, a crash, a bug, or noise on stdout.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.decoding import OPERATIONS, Reply, serve
from curation.video import VideoConfig


def misbehave(path: Path, config: VideoConfig, request: Mapping[str, Any]) -> Reply:
    match path.stem:
        case "spin":
            while True:
                pass
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "slow":
            time.sleep(0.3)
        case "abort":
            os.abort()
        case "bug":
            raise KeyError("a bug")
        case "chatty":
            print("a library talks", flush=True)
    with (path.parent / "workers.txt").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return OPERATIONS[request["operation"]](path.parent / "clip.mp4", config, request)


if __name__ == "__main__":
    serve(dict.fromkeys(OPERATIONS, misbehave))

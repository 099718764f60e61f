"""`python -m tests.hub --root DIR --port 0`: print the URL, then serve until terminated. DIR outlives the process."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from tests.hub.server import LoopbackHub
from tests.hub.users import DEFAULT_USERS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="tokens: " + ", ".join(f"{token} ({user})" for token, user in DEFAULT_USERS.items())
    )
    parser.add_argument("--root", type=Path, required=True, help="where repositories lie")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    arguments = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # also in the hub's thread, which starts later
    with LoopbackHub(arguments.root, port=arguments.port) as hub:
        print(hub.url, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()

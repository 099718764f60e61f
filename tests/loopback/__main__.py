"""`python -m tests.loopback --port 0`: print the URL, then serve until terminated. GET /loopback/state tells counts."""

from __future__ import annotations

import argparse
import importlib
import random
import signal
from typing import Any

from tests.loopback.server import Fault, LoopbackServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--max-in-flight", type=int, default=None, help="beyond it, 429")
    parser.add_argument("--batch-s", type=float, default=0.0, help="how long a batch takes to end")
    parser.add_argument("--reply", default=None, metavar="MODULE:FUNCTION", help="(body) -> text")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of requests that get 429, 500, 529 or RST")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="keep no bodies")
    arguments = parser.parse_args()

    options: dict[str, Any] = {}
    if arguments.reply:
        module, _, function = arguments.reply.partition(":")
        options["reply"] = getattr(importlib.import_module(module), function)
    if arguments.fault_rate:
        dice = random.Random(arguments.seed)
        kinds = [Fault(429, retry_after="0.05"), Fault(500), Fault(529), Fault("reset")]
        options["faults"] = lambda prompt, nth: dice.choice(kinds) if dice.random() < arguments.fault_rate else None
    server = LoopbackServer(
        port=arguments.port,
        latency_s=arguments.latency_s,
        max_in_flight=arguments.max_in_flight,
        batch_s=arguments.batch_s,
        record=not arguments.no_record,
        **options,
    )
    with server:
        print(server.url, flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()

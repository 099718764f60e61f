"""Engine overhead: the share of the ideal throughput that `answer_all` reaches through the real OpenAI SDK.

    python tests/bench/bench_engine.py [--num-questions 5000]

The server runs in its own process with a fixed 200 ms latency and takes 64 requests at a time (429 beyond). Ideal =
num_questions / 64 * 0.2 s. The raw line sends the same requests over 64 bare sockets, with no client library at all:
what the server and the machine allow at best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import aclosing
from pathlib import Path

from curation.engines.base import Request
from curation.engines.config import DispatchConfig, OpenAIConfig
from curation.engines.dispatch import Job, Limiter, answer_all
from curation.engines.openai import OpenAIEngine

LATENCY_S = 0.2
MAX_IN_FLIGHT = 64


async def run_raw(url: str, num_questions: int) -> float:
    """Seconds that 64 bare keep-alive connections need."""
    host, port = url.removeprefix("http://").split(":")
    places = iter(range(num_questions))

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for place in places:
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"raw {place}"}]}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            reply_head = await reader.readuntil(b"\r\n\r\n")
            assert reply_head.startswith(b"HTTP/1.1 200"), reply_head
            length = reply_head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    start_s = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(MAX_IN_FLIGHT)))
    return time.perf_counter() - start_s


async def run_engine(url: str, num_questions: int) -> float:
    """Seconds that the engine and the dispatcher need; every question must come back answered."""

    def job(place: int) -> Job:
        async def prepare() -> Request:
            return Request(str(place), f"question {place}", max_tokens=64)

        return Job(str(place), prepare)

    engine = OpenAIEngine(OpenAIConfig(base_url=f"{url}/v1", model="m", send="none"))
    config = DispatchConfig(max_in_flight=MAX_IN_FLIGHT)
    num_answered = 0
    start_s = time.perf_counter()
    jobs = (job(place) for place in range(num_questions))
    async with aclosing(answer_all(engine, jobs, limiter=Limiter(MAX_IN_FLIGHT), config=config)) as outcomes:
        async for outcome in outcomes:
            assert outcome.completion is not None, outcome
            num_answered += 1
    seconds = time.perf_counter() - start_s
    await engine.close()
    assert num_answered == num_questions
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-questions", type=int, default=5000)
    num_questions = parser.parse_args().num_questions
    ideal_s = num_questions / MAX_IN_FLIGHT * LATENCY_S
    command = [sys.executable, "-m", "tests.loopback", "--latency-s", str(LATENCY_S), "--no-record"]
    root = Path(__file__).resolve().parents[2]
    server = subprocess.Popen(
        [*command, "--max-in-flight", str(MAX_IN_FLIGHT)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        raw_s = asyncio.run(run_raw(url, num_questions))
        cpu_s = time.process_time()
        engine_s = asyncio.run(run_engine(url, num_questions))
        cpu_s = time.process_time() - cpu_s
        with urllib.request.urlopen(f"{url}/loopback/state") as reply:
            asked = json.load(reply)["asked"]
    finally:
        server.terminate()
        server.wait(10)
    num_refused = sum(asked.values()) - 2 * num_questions
    print(f"{num_questions} questions, {MAX_IN_FLIGHT} in flight, {LATENCY_S * 1e3:.0f} ms each: ideal {ideal_s:.2f} s")
    print(f"bare sockets     {raw_s:6.2f} s   {ideal_s / raw_s:6.1%} of ideal")
    print(
        f"engine+dispatch  {engine_s:6.2f} s   {ideal_s / engine_s:6.1%} of ideal"
        f"   {cpu_s / num_questions * 1e3:.2f} ms CPU a question, {num_refused} refused by the server (429)"
    )


if __name__ == "__main__":
    main()

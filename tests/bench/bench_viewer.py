"""The viewer at the published size: seconds to the first page, of a page, a filter, a row, a search; memory.

    python tests/bench/bench_viewer.py     makes its folder once (half a minute, 0.4 GB), then takes about a minute

162K accepted and 100K rejected rows with realistic texts (folders_162k.py). The first page is the overview, from the
start of the process until a fresh browser shows it, the least of three starts; the CPU seconds tell what that takes
where other work shares the cores. Pages, filters and searches are asked as the browser asks them, each another one so
that none is remembered; seconds are medians over HTTP, the page's HTML included. RSS is the most that the server ever
had. The heap is that of the page after a walk through rows and pages.
Exit status 1 when a limit is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
from tests.bench.bench_diff import make_folder  # noqa: E402
from tests.browser import Browser  # noqa: E402

NUM_ROWS = 162_000
NUM_STARTS = 3
LIMITS = {
    "start to the first page, s": 5.0,
    "of which CPU of the server, s": None,
    "a page, s": 0.5,
    "a filter, s": 0.5,
    "a row, s": 0.5,
    "a search in all traces, s": 1.5,
    "peak RSS of the server, GB": 1.5,
    "heap of the page, MB": 150.0,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-rows", type=int, default=NUM_ROWS, help="accepted rows (default 162000)")
    parser.add_argument("--rounds", type=int, default=9, help="of each kind of request (default 9)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "videop2r-bench-diff")
    args = parser.parse_args()
    folder = make_folder(args.cache, args.num_rows, 0.0)
    starts = [first_page(folder) for _ in range(NUM_STARTS)]
    measured = dict(zip(("start to the first page, s", "of which CPU of the server, s"), min(starts), strict=True))
    with Browser.start() as browser, serving(folder) as (address, process):
        browser.open(address)
        browser.wait_for_text("#main", "Length of think, words")  # which are counted after the first page
        measured |= ask_in_turn(address, folder, args.rounds)
        measured["heap of the page, MB"] = walk(browser, address)
        measured["peak RSS of the server, GB"] = peak_gb(process)
    table = Table("", "measured", "limit", title=f"{args.num_rows:,} accepted rows and those that were rejected")
    for name, limit in LIMITS.items():
        is_met = limit is None or measured[name] < limit
        table.add_row(
            name, f"{measured[name]:.2f}", "" if limit is None else f"{limit:g}", style="" if is_met else "red"
        )
    Console(width=80).print(table)
    met = all(limit is None or measured[name] < limit for name, limit in LIMITS.items())
    print(f"limits {'met' if met else 'NOT MET'}")
    return 0 if met else 1


def first_page(folder: Path) -> tuple[float, float]:
    """Seconds from the start of the command to the overview in a browser that has never seen the viewer.

    The second are those that the server spent on a core.
    """
    with Browser.start() as browser:
        started_s = time.monotonic()
        with serving(folder) as (address, process):
            browser.open(address)
            browser.wait_for("#main .vp-tiles")
            return time.monotonic() - started_s, cpu_s(process)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The viewer as the command starts it."""
    command = [sys.executable, "-m", "app", "--dataset", str(folder), "--port", "0", "--read-only"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"^viewer\s+(http\S+)", line):
                yield found[1], process
                return
        raise SystemExit("the viewer did not start")
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask_in_turn(address: str, folder: Path, num_rounds: int) -> dict[str, float]:
    """The medians."""
    ask = connect(address)
    words = folder_words(folder, num_rounds)
    sources = ("CLEVRER", "PerceptionTest", "STAR")
    asked = {
        "a page, s": [f"?tab=browse&p={37 * number + 2}" for number in range(num_rounds)],
        "a filter, s": [
            f"?tab=browse&rows=all&source={sources[number % 3]}&obs={100 + number}..{300 + number}&sort=-think_tokens"
            for number in range(num_rounds)
        ],
        "a row, s": [f"?tab=browse&place={17_011 * number + 5}" for number in range(num_rounds)],
        "a search in all traces, s": [f"?tab=browse&rows=all&q={word}" for word in words],
    }
    return {name: statistics.median(ask(query) for query in queries) for name, queries in asked.items()}


def connect(address: str) -> Any:
    """A function that asks for a view, as keys.js does, and returns the seconds until its HTML has come."""
    with urllib.request.urlopen(f"{address}config") as response:
        config = json.load(response)
    bridge = next(each["id"] for each in config["components"] if each["props"].get("elem_id") == "bridge")
    index = next(each["id"] for each in config["dependencies"] if [bridge, "submit"] in each["targets"])

    def ask(query: str) -> float:
        event = {"query": query, "labeller": "", "number": 2}
        sent = {"data": [], "event_data": event, "fn_index": index, "session_hash": "bench", "trigger_id": bridge}
        request = urllib.request.Request(
            f"{address}gradio_api/run/predict", json.dumps(sent).encode(), {"content-type": "application/json"}
        )
        started_s = time.monotonic()
        with urllib.request.urlopen(request) as response:
            assert b"viewer-toolbar" in response.read(), query
        return time.monotonic() - started_s

    return ask


def folder_words(folder: Path, num: int) -> list[str]:
    """Rare and frequent words of the dataset, for searches that find something."""
    import pyarrow.parquet as pq

    first = next(iter(sorted((folder / "data").glob("*.parquet"))))
    texts = pq.ParquetFile(first).read_row_group(0, columns=["think"])["think"].slice(0, 400).to_pylist()
    return list(dict.fromkeys(word for text in texts for word in text.split()[12::97] if word.isalpha()))[:num]


def walk(browser: Browser, address: str) -> float:
    """The heap in MB after forty rows and ten pages."""
    browser.open(f"{address}?tab=browse")
    for key in "j" * 40 + "n" * 10:
        before = browser.script("return document.body.dataset.shown")
        browser.press(key)
        browser.wait_until(lambda before=before: browser.script("return document.body.dataset.shown") != before)
    return browser.heap_mb()


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Seconds on a core so far, in user and system mode."""
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def peak_gb(process: subprocess.Popen[str]) -> float:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e6


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    sys.exit(main())

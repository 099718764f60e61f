"""Seconds and memory of the viewer's reading on a dataset of the published size: 162K accepted and 100K rejected rows.

    python tests/bench/bench_viewer_rows.py          makes its folder once (40 s, 0.4 GB), then takes half a minute
    python tests/bench/bench_viewer_rows.py --folder FOLDER

Everything runs in one fresh process, whose peak RSS counts. Each filter, page and search is asked for the first time,
so that nothing is remembered; the seconds are the median of the rounds, and the worst. Exit status 1 when a limit is
not met.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

LIMIT_RSS_GB = 1.2
OPEN_S, PAGE_S, SEARCH_S = 3.0, 0.3, 1.5
NUM_ROWS = 162_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="a dataset folder instead of the made one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "videop2r-bench-diff")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.folder, args.rounds)))
        return 0
    folder = args.folder or make_folder(args.cache)
    command = [sys.executable, __file__, "--measure", "--folder", str(folder), "--rounds", str(args.rounds)]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return show(measured)


def make_folder(cache: Path) -> Path:
    """Made once, shared with bench_diff.py: a finished folder carries a mark."""
    from folders_162k import write_realistic_folder

    folder = cache / f"{NUM_ROWS}-0.0"
    if not (folder / "done").exists():
        write_realistic_folder(folder, num_rows=NUM_ROWS, seed=0)
        (folder / "done").touch()
    return folder


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """{steps: [(what, limit in s or null, seconds, rows found or null)], peak_rss_gb}."""
    steps: list[tuple[str, float | None, list[float], int | None]] = []

    def take(what: str, limit_s: float | None, asks: Sequence[Callable[[], Any]]) -> Any:
        seconds, answer = [], None
        for ask in asks:
            started_s = time.perf_counter()
            answer = ask()
            seconds.append(time.perf_counter() - started_s)
        num_rows = getattr(answer, "num_matching", None)
        steps.append((what, limit_s, seconds, num_rows))
        return answer

    started_s = time.perf_counter()
    from app.filters import Filter
    from app.rows import Dataset
    from curation.locate import locate

    steps.append(("imports", None, [time.perf_counter() - started_s], None))
    dataset = take("open", OPEN_S, [lambda: Dataset.open(locate(str(folder)))])
    take("first page, words being counted", PAGE_S, [lambda: dataset.page(Filter())])
    take("facts once the words are counted", None, [lambda: dataset.facts(Filter(rows="all"))])
    chance = random.Random(0)

    def pages(**conditions: Any) -> list[Callable[[], Any]]:
        """One page of each of several filters that differ in what they bound the score by, so that each is new."""
        asked = [
            Filter(**{"rows": "all", "score": (None, 2 + chance.random())} | conditions, page=chance.randint(1, 60))
            for _ in range(rounds)
        ]
        return [lambda chosen=chosen: dataset.page(chosen) for chosen in asked]

    take(
        "page change",
        PAGE_S,
        [lambda number=number: dataset.page(Filter(page=number)) for number in range(2, 2 + rounds)],
    )
    for what, conditions in {
        "filter problem_type": {"problem_type": ("OCR", "free-form")},
        "filter data_type": {"data_type": ("video",)},
        "filter data_source": {"data_source": ("CLEVRER", "none")},
        "filter rejected_by": {"rejected_by": ("filter:", "verify:insufficient")},
        "filter verdict": {"verdict": ("none", "insufficient")},
        "filter flag": {"flag": ("leaks_answer",)},
        "filter overlap": {"overlap": ("any", "unknown")},
        "filter observation_tokens": {"observation_tokens": (128, 320)},
        "filter think_tokens": {"think_tokens": (320, 512)},
        "sort by think_tokens": {"sort": "think_tokens", "descending": True},
        "sort by data_source": {"sort": "data_source"},
    }.items():
        take(what, PAGE_S, pages(**conditions))
    take(
        "facts of a filter",
        PAGE_S,
        [lambda n=n: dataset.facts(Filter(rows="all", think_tokens=(n, None))) for n in range(rounds)],
    )
    take(
        "values of every category",
        PAGE_S,
        [lambda: list(map(dataset.values, ("problem_type", "data_source", "flags", "overlaps")))] * rounds,
    )
    every = [chance.randrange(sum(dataset.num_rows.values())) for _ in range(4 * rounds)]
    take("row by place", PAGE_S, [lambda place=place: dataset.row(place) for place in every])
    ids = [dataset.row(place)["id"] for place in every]
    take("place of an id", PAGE_S, [lambda row_id=row_id: dataset.find(row_id) for row_id in ids])
    take(
        "neighbours of a row",
        PAGE_S,
        [lambda place=place: dataset.neighbours(Filter(rows="all"), place) for place in every],
    )
    take("200 rows by their ids", None, [lambda: dataset.by_ids((ids * 200)[:200])])
    # The vocabulary's long words are its rare ones; those of the openings stand in every trace.
    rare = sorted(set(dataset.row(every[0])["problem"].removesuffix("?").split()), key=len)
    for what, texts in {
        "search a rare word": rare[-rounds:],
        "search a frequent word": ("notice", "NEED", "based", "question", "observations", "the", "on")[:rounds],
        "search a phrase and two words": [f'"need to notice" {word} e' for word in rare[-rounds:]],
        "search what is not there": [f"qqq{number}" for number in range(rounds)],
    }.items():
        take(what, SEARCH_S, [lambda text=text: dataset.page(Filter(rows="all", text=text)) for text in texts])
    return {"steps": steps, "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def show(measured: dict[str, Any]) -> int:
    """The table, and 1 when a limit is not met."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "median s", "worst s", "limit s", "rows found", title_justify="left")
    missed = []
    for what, limit_s, seconds, num_rows in measured["steps"]:
        if limit_s is not None and median(seconds) >= limit_s:
            missed.append(what)
        found = "" if num_rows is None else f"{num_rows:,}"
        table.add_row(
            what, f"{median(seconds):.3f}", f"{max(seconds):.3f}", "" if limit_s is None else str(limit_s), found
        )
    Console(width=100).print(table)
    if measured["peak_rss_gb"] >= LIMIT_RSS_GB:
        missed.append("memory")
    print(f"peak RSS {measured['peak_rss_gb']:.2f} GB, limit {LIMIT_RSS_GB}")
    print(f"NOT MET: {', '.join(missed)}" if missed else "every limit is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

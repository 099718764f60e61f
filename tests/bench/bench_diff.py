"""Seconds and memory of `python -m curation diff` on two versions of the published size, 1 % of the traces changed.

    python tests/bench/bench_diff.py               makes its folders once (1 minute, 0.9 GB), then takes half a minute
    python tests/bench/bench_diff.py --all-configs 100K rejected and 260K rl rows on each side as well

The command runs in a fresh process; its seconds are those of the whole process, the least of the rounds, and so is the
plain reading that it is held against: `pyarrow.parquet.read_table` of the same files, one after the other. Exit status
1 when the limit is not met or a count is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from folders_162k import write_realistic_folder
from rich.console import Console
from rich.table import Table

from curation.schema import CONFIG_FILES

LIMIT_S = 5.0
NUM_ROWS = 162_000
CHANGED = 0.01
READ = "import sys, pyarrow.parquet as pq\nfor file in sys.argv[1:]: pq.read_table(file)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-rows", type=int, default=NUM_ROWS, help="kept rows of each side (default 162000)")
    parser.add_argument("--all-configs", action="store_true", help="compare rejected and rl too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "videop2r-bench-diff")
    args = parser.parse_args()
    folders = [make_folder(args.cache, args.num_rows, changed) for changed in (0.0, CHANGED)]
    configs = tuple(CONFIG_FILES) if args.all_configs else ("cot",)
    with tempfile.TemporaryDirectory() as scratch:
        sides = [view(folder, Path(scratch) / str(place), configs) for place, folder in enumerate(folders)]
        files = [str(file) for side in sides for config in configs for file in side.glob(f"{CONFIG_FILES[config]}-*")]
        out = Path(scratch) / "diff.json"
        command = ["-m", "curation", "diff", *map(str, sides), "--json", str(out)]
        ours = min(run(command) for _ in range(args.rounds))
        plain = min(run(["-c", READ, *files]) for _ in range(args.rounds))
        found = {part["config"]: part for part in json.loads(out.read_text())["configs"]}
        right = found["cot"]["rows"]["changed"] == count_changed(sides)
        size_mb = sum(Path(file).stat().st_size for file in files) / 1e6
    table = Table(
        "", "s", "peak RSS GB", title=f"diff of {', '.join(configs)}, {size_mb:,.0f} MB", title_justify="left"
    )
    table.add_row("diff", f"{ours[0]:.2f}", f"{ours[1]:.2f}")
    table.add_row("read_table", f"{plain[0]:.2f}", f"{plain[1]:.2f}")
    table.add_row("ratio", f"{ours[0] / plain[0]:.2f}", f"{ours[1] / plain[1]:.2f}")
    Console(width=80).print(table)
    met = ours[0] < LIMIT_S
    print(f"limit {LIMIT_S} s: {'met' if met else 'NOT MET'}; changed rows counted {'right' if right else 'WRONG'}")
    return 0 if met and right else 1


def make_folder(cache: Path, num_rows: int, changed: float) -> Path:
    """Made once: a finished folder carries a mark."""
    folder = cache / f"{num_rows}-{changed}"
    if not (folder / "done").exists():
        write_realistic_folder(folder, num_rows=num_rows, seed=0, changed=changed)
        (folder / "done").touch()
    return folder


def view(folder: Path, target: Path, configs: tuple[str, ...]) -> Path:
    """The same folder with these configs only."""
    target.mkdir()
    for config in configs:
        part = Path(CONFIG_FILES[config]).parent
        (target / part).symlink_to(folder / part)
    return target


def run(arguments: list[str]) -> tuple[float, float]:
    """(seconds of the whole process, its peak RSS in GB)."""
    started_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.perf_counter() - started_s, usage.ru_maxrss / 1e6


def count_changed(sides: list[Path]) -> int:
    """The changed rows of cot, by the texts themselves: the folders hold the same rows in the same order."""
    old, new = (
        pq.read_table([*sorted((side / "data").glob("*.parquet"))], columns=["observation", "think", "generator"])
        for side in sides
    )
    differs = [pc.not_equal(old[name], new[name]) for name in old.column_names]
    return pc.sum(pc.or_(pc.or_(differs[0], differs[1]), differs[2])).as_py()


if __name__ == "__main__":
    sys.exit(main())

"""Seconds and memory of building a version of the published size: rows, statistics, plots, card.

    python tests/bench/bench_publish.py     makes its folder once (half a minute, 0.4 GB), then takes a minute or two

162K accepted, 100K rejected and 260K RL rows with realistic texts (folders_162k.py) are laid out over the files of a
first version and described: every statistic of the card, its plots and the card itself. Beside it the whole of
`publish` up to the upload, which also hashes the rows of every file, and plain `pyarrow.parquet.write_table` with zstd
of the same tables. Each runs in a fresh process; seconds are those of the whole process, imports and reading included,
the least of the rounds. Exit status 1 when the limit is not met.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench_diff import make_folder, run, view
from rich.console import Console
from rich.table import Table

from curation.schema import CONFIG_FILES, CONFIGS

if TYPE_CHECKING:
    from curation.provenance import Provenance

LIMIT_S = 15.0
LIMIT_GB = 2.0
NUM_ROWS = 162_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-rows", type=int, default=NUM_ROWS, help="accepted rows (default 162000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "videop2r-bench-diff")
    parser.add_argument("--child", nargs=3, metavar=("JOB", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        job, source, target = args.child
        JOBS[job](Path(source), Path(target))
        return 0
    folder = make_folder(args.cache, args.num_rows, 0.0)
    with tempfile.TemporaryDirectory() as scratch:
        source = view(folder, Path(scratch) / "source", tuple(CONFIG_FILES))
        measured = {
            job: min(
                run([__file__, "--child", job, str(source), str(Path(scratch) / f"{job}-{number}")])
                for number in range(args.rounds)
            )
            for job in JOBS
        }
        written_mb = sum(file.stat().st_size for file in (Path(scratch) / "rows and card-0").rglob("*.parquet")) / 1e6
    table = Table("", "s", "peak RSS GB", "ratio", title=f"{args.num_rows:,} rows, {written_mb:,.0f} MB written")
    for job, (seconds, peak_gb) in measured.items():
        table.add_row(job, f"{seconds:.1f}", f"{peak_gb:.2f}", f"{seconds / measured['plain write_table'][0]:.2f}")
    Console(width=80).print(table)
    seconds, peak_gb = measured["rows and card"]
    met = seconds < LIMIT_S and peak_gb < LIMIT_GB
    print(f"limit {LIMIT_S} s and {LIMIT_GB} GB for rows and card: {'met' if met else 'NOT MET'}")
    return 0 if met else 1


def write_rows_and_card(source: Path, target: Path) -> None:
    """What a first version holds."""
    from curation.describe import describe
    from curation.facts import config_files
    from curation.publication import Publication
    from curation.publish.layout import lay_out

    for config, stem in CONFIG_FILES.items():
        lay_out(config_files(source, config), [], target / stem, CONFIGS[config])
    describe(target, provenance(), publication=Publication("org/name", "1.0.0"))


def build_version(source: Path, target: Path) -> None:
    """Everything that `publish` does before it uploads."""
    from curation.locate import LocatedDataset
    from curation.provenance import write_provenance
    from curation.publish.folder import build_release
    from curation.versions import Version

    write_provenance(source, provenance())
    located = LocatedDataset(str(source), source, source)
    version = Version.parse("1.0.0")
    build_release(
        located, target, repo="org/name", version=version, base=None, laid_out_like=None, license_name="apache-2.0"
    )


def write_plain(source: Path, target: Path) -> None:
    """One file a config, zstd, nothing else."""
    import pyarrow.parquet as pq

    target.mkdir()
    for config, stem in CONFIG_FILES.items():
        table = pq.read_table(sorted(source.glob(f"{stem}-*.parquet")))
        pq.write_table(table, target / f"{config}.parquet", compression="zstd")


def provenance() -> Provenance:
    """As a run over the paper's source leaves it; imported late, so that the plain writer pays for none of it."""
    from curation.provenance import Provenance

    return Provenance(source="videor1", tokenizer="org/tokenizer", config={"filter": {"min_score": 0.6}})


JOBS = {"rows and card": write_rows_and_card, "whole version": build_version, "plain write_table": write_plain}


if __name__ == "__main__":
    sys.exit(main())

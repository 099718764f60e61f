"""`python -m curation stats`: what a dataset holds, as tables, JSON and plots."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands

_EXAMPLE = """  python -m curation stats runs/demo --plots runs/demo/plots --json report.json
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `stats`."""
    parser = add_command(commands, "stats", "Measure a run, a dataset folder or a hub dataset.", _EXAMPLE, _stats)
    parser.add_argument("dataset", metavar="RUN", help="a run directory, a dataset folder or org/name@tag")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="human labels: id, label (Parquet, JSONL or CSV)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots as PNG")


def _stats(args: argparse.Namespace) -> int:
    from curation.locate import locate
    from curation.plots import write_plots
    from curation.shards import write_text
    from curation.stats import measure
    from curation.tables import print_report

    report = measure(locate(args.dataset).folder, labels=args.labels)
    # Files first: what reads our output may stop reading before its end.
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.json, report.model_dump_json(indent=2))
    if args.plots is not None:
        write_plots(report, args.plots)
    print_report(report, Console())
    return 0

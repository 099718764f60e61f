"""`python -m training.benchmarks report`: the paper's tables with ours beside the published rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.commands import Commands

_EXAMPLE = """  python -m training.benchmarks report runs/tiny_training
  python -m training.benchmarks report runs/mine --against runs/base --published Video-R1
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `report`."""
    about = "Print the tables of a run and write benchmark/report.html and report.md."
    parser = add_command(commands, "report", about, _EXAMPLE, _report)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="a run directory with finished benchmarks")
    parser.add_argument(
        "--against", type=Path, nargs="+", action="extend", default=[], metavar="RUN", help="further runs to set beside"
    )
    parser.add_argument(
        "--published", metavar="NAME", help="the row of the paper's Table 1 to take gaps to (default: VideoP2R (7B))"
    )


def _report(args: argparse.Namespace) -> int:
    from rich.console import Console

    from training.benchmarks.report import print_tables, write_benchmark_report

    print_tables(args.run_dir, against=args.against, published=args.published)
    path = write_benchmark_report(args.run_dir, against=args.against, published=args.published)
    Console().print(f"report   {path}", highlight=False, soft_wrap=True, markup=False)
    return 0

"""`python -m training.benchmarks breakdown`: accuracy by length, by problem type and by every group."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.commands import Commands

_EXAMPLE = """  python -m training.benchmarks breakdown runs/tiny_training
  python -m training.benchmarks breakdown runs/tiny_training --held-out --bins 4
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `breakdown`."""
    about = "Break accuracy down: by the length of what was written, by problem type, by every group."
    parser = add_command(commands, "breakdown", about, _EXAMPLE, run)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory with finished results")
    parser.add_argument(
        "--prompt", default="trace", metavar="NAME", help="the results with this prompt (default: trace)"
    )
    parser.add_argument(
        "--held-out", action="store_true", help="a training's held-out predictions in place of benchmarks"
    )
    parser.add_argument("--bins", type=int, default=5, metavar="N", help="of equally many answers (default: 5)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: benchmark/analyses/breakdown/ of the run")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write. Raises RunDirectoryError and ConfigError."""
    from rich.console import Console

    from training.benchmarks.analyses.breakdown import break_down
    from training.benchmarks.analyses.breakdown_view import show_breakdown
    from training.benchmarks.analyses.outputs import analysis_folder
    from training.benchmarks.analyses.scored_answers import benchmark_answers, held_out_answers

    sets = held_out_answers(args.run) if args.held_out else benchmark_answers(args.run, args.prompt)
    found = [break_down(scored, args.bins) for scored in sets]
    console = Console()
    folder = args.out or analysis_folder(args.run, "breakdown") / ("held_out" if args.held_out else args.prompt)
    page = show_breakdown(found, args.run.resolve().name, folder, console)
    console.print(f"written  {page}", highlight=False, markup=False, soft_wrap=True)
    return 0

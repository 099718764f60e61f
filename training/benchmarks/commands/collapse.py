"""`python -m training.benchmarks collapse`: how many groups of rollouts teach nothing, update by update."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.commands import Commands

_EXAMPLE = """  python -m training.benchmarks collapse runs/tiny_training
  python -m training.benchmarks collapse runs/pa_grpo runs/grpo --out runs/pa_grpo_and_grpo
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `collapse`."""
    about = "Measure advantage collapse: how many groups of rollouts have (nearly) equal rewards."
    parser = add_command(commands, "collapse", about, _EXAMPLE, run)
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run directories of trainings; the variants in RUN/compare/ stand beside it",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: benchmark/analyses/collapse/ of the first run"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print, write. Raises RunDirectoryError."""
    from rich.console import Console

    from training.benchmarks.analyses.collapse import measure_runs
    from training.benchmarks.analyses.collapse_view import show_collapse
    from training.benchmarks.analyses.outputs import analysis_folder

    runs, problems = measure_runs(args.runs)
    console = Console()
    page = show_collapse(runs, problems, args.out or analysis_folder(args.runs[0], "collapse"), console)
    console.print(f"written  {page}", highlight=False, markup=False, soft_wrap=True)
    return 0

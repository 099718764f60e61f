"""`python -m curation demo`: the whole job on the demo world."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command
from curation.commands.run import say_next

if TYPE_CHECKING:
    from curation.commands import Commands

_EXAMPLE = """  python -m curation demo --num-questions 500 --seed 0
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `demo`."""
    about = "Run everything on the demo world: no key, GPU or network."
    parser = add_command(commands, "demo", about, _EXAMPLE, _demo)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"), help="default: runs/demo")
    parser.add_argument("--num-questions", type=int, default=500, help="default: 500")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")


def _demo(args: argparse.Namespace) -> int:
    from curation.demo import demo

    out = Console()
    demo(args.run_dir, num_questions=args.num_questions, seed=args.seed, console=Console(stderr=True), out=out)
    say_next(out, args.run_dir)
    return 0

"""The commands of `python -m training.benchmarks`, one file each: its arguments, and a function that runs it.

Each has `add_parser(commands)`; what it needs beyond the standard library is imported when it runs, so that `--help`
is quick and a missing extra is noticed only by the command that needs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(
    commands: Commands, name: str, about: str, example: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """A subcommand with a pasteable example under its help; `function` returns the exit status."""
    parser = commands.add_parser(
        name,
        help=about.split(":")[0].rstrip("."),
        description=about,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser

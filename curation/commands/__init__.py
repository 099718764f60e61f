"""The commands of `python -m curation`, one file each: its arguments, and a function that runs it.

Each has `add_parser(commands)`; what it needs beyond the standard library is imported when it runs, so that `--help`
is quick and a missing extra is noticed only by the command that needs it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
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


def shown_command(*words: str) -> str:
    """A command line of ours that the user can paste, with the Python that runs now when it lies below this folder."""
    python = Path(sys.executable)
    shown = str(python.relative_to(Path.cwd())) if python.is_relative_to(Path.cwd()) else "python"
    return f"{shown} -m curation {shlex.join(words)}"

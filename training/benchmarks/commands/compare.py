"""`python -m training.benchmarks compare`: is a gap between two runs, or between two prompts, more than chance?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.commands import Commands
    from training.benchmarks.report_sources import Source

_EXAMPLE = """  python -m training.benchmarks compare runs/mine runs/base
  python -m training.benchmarks compare runs/mine runs/base --prompt direct
  python -m training.benchmarks compare runs/mine            # its reasoning prompt against direct answers
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `compare`."""
    about = "Compare two runs question by question: a gap that chance could make is called inside the noise."
    parser = add_command(commands, "compare", about, _EXAMPLE, _compare)
    parser.add_argument("first", type=Path, metavar="RUN_A", help="a run directory with finished benchmarks")
    parser.add_argument(
        "second", type=Path, nargs="?", metavar="RUN_B", help="another; without it, trace against direct within RUN_A"
    )
    parser.add_argument("--prompt", metavar="NAME", help="the prompt of both runs (default: trace)")


def _compare(args: argparse.Namespace) -> int:
    from rich.console import Console

    from curation.errors import ConfigError
    from training.benchmarks.comparisons import PROMPT_FIELDS, compare_results, comparison_table
    from training.benchmarks.report_sources import load_sources
    from training.benchmarks.report_view import print_table

    if args.second is None and args.prompt is not None:
        raise ConfigError("--prompt is the prompt of two runs. Name RUN_B too, or leave --prompt out.")
    apart: tuple[str, ...] = ()
    if args.second is None:
        sources = load_sources((args.first,))
        ours, theirs = _of_prompt(sources, args.first, "trace"), _of_prompt(sources, args.first, "direct")
        names, apart = ("trace", "direct"), PROMPT_FIELDS
    else:
        if args.first.resolve() == args.second.resolve():
            raise ConfigError(f"{args.first} is both runs. Name two, or one alone for trace against direct.")
        sources, prompt = load_sources((args.first, args.second)), args.prompt or "trace"
        ours, theirs = _of_prompt(sources, args.first, prompt), _of_prompt(sources, args.second, prompt)
        names = _models(ours), _models(theirs)
    compared = compare_results(
        [(source.folder, source.result) for source in ours],
        [(source.folder, source.result) for source in theirs],
        apart=apart,
    )
    console = Console()
    print_table(comparison_table(compared, *names), console)
    lone = {source.result.benchmark for source in ours} ^ {source.result.benchmark for source in theirs}
    if lone:
        console.print(f"in one of them only: {', '.join(sorted(lone))}", highlight=False, markup=False)
    return 0


def _of_prompt(sources: list[Source], run: Path, prompt: str) -> list[Source]:
    """The scores of one run directory with one prompt. Raises RunDirectoryError without any."""
    from curation.errors import RunDirectoryError
    from training.benchmarks.grouping import shown

    own = [source for source in sources if source.run.resolve() == run.resolve()]
    found = [source for source in own if source.result.fingerprint.prompt == prompt]
    if not found:
        prompts = ", ".join(sorted({shown(source.result.fingerprint.prompt) for source in own}))
        raise RunDirectoryError(
            f"{run} has no score with the prompt {prompt!r}; it has {prompts}. Set benchmark.prompts and run it."
        )
    return found


def _models(sources: list[Source]) -> str:
    return " and ".join(dict.fromkeys(source.entry.model for source in sources))

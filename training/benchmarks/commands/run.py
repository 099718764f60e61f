"""`python -m training.benchmarks run`: score a model, or go on with a run that was stopped."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from curation.config import add_config_arguments
from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.commands import Commands

_EXAMPLE = """  python -m training.benchmarks run training/configs/benchmarks_server.yaml --dry-run
  python -m training.benchmarks run training/configs/benchmarks_server.yaml benchmark.names=[mmvu] run_dir=runs/mmvu
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `run`."""
    about = "Score a model on benchmarks, or go on with a run that was stopped."
    parser = add_command(commands, "run", about, _EXAMPLE, _run)
    add_config_arguments(parser, "see training/configs/benchmarks_*")
    parser.add_argument("--dry-run", action="store_true", help="say what it needs and how long it takes; ask nothing")


def _run(args: argparse.Namespace) -> int:
    from curation.config import load_config
    from training.benchmarks.run_config import BenchmarkRun
    from training.prompts import load_template_prompt

    config = load_config(BenchmarkRun, args.config, args.overrides)
    trace_prompt = load_template_prompt(config.input.prompt, config.input.template)
    if args.dry_run:
        from training.benchmarks.dry_run import print_plan

        print_plan(config.run_dir, config.benchmark, config.model, trace_prompt)
        return 0
    from training.benchmarks.running import run_benchmarks

    run_benchmarks(config.run_dir, config.benchmark, config.model, trace_prompt)
    return 0

"""`python -m curation run`: a curation, or the rest of one that was stopped."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command, shown_command
from curation.config import add_config_arguments

if TYPE_CHECKING:
    from curation.commands import Commands
    from curation.run_config import RunConfig

_EXAMPLE = """  python -m curation run curation/configs/videop2r_cot.yaml run_dir=runs/pilot source.limit=100 --dry-run
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `run`."""
    parser = add_command(commands, "run", "Run a curation, or go on with one that was stopped.", _EXAMPLE, _run)
    add_config_arguments(parser, "see curation/configs/")
    parser.add_argument("--dry-run", action="store_true", help="say what it would cost; no model is called")
    parser.add_argument("--retry-failed", action="store_true", help="ask again where only a failure was recorded")


def _run(args: argparse.Namespace) -> int:
    from curation.config import load_config
    from curation.run_config import RunConfig

    config = load_config(RunConfig, args.config, args.overrides)
    if args.dry_run:
        return _dry_run(config)
    from curation.run import run, spent_usd
    from curation.rundir import RunDirectory
    from curation.tables import print_funnel

    console = Console(stderr=True)
    report = asyncio.run(run(config, console=console, retry_failed=args.retry_failed))
    out = Console()
    print_funnel(report, out)
    if cost_usd := spent_usd(RunDirectory(config.run_dir)):
        out.print(f"\nspent    {cost_usd:,.4f} USD in this run directory so far", highlight=False)
    say_next(out, config.run_dir)
    return 0


def _dry_run(config: RunConfig) -> int:
    from curation.budget import load_prices
    from curation.plan import make_plan, print_plan
    from curation.prompts import load_judge_prompt, load_trace_prompt
    from curation.sources import open_source

    plan = make_plan(
        open_source(config.source),
        media_root=config.source.media_root,
        video=config.video,
        trace_prompt=load_trace_prompt(config.generate.prompt),
        judge_prompt=load_judge_prompt(config.verify.prompt),
        assumptions=config.plan,
    )
    print_plan(
        plan,
        Console(),
        assumptions=config.plan,
        generate=config.generate,
        verify=config.verify,
        prices=load_prices(config.prices),
        budget_usd=config.budget_usd,
    )
    return 0


def say_next(out: Console, run_dir: Path) -> None:
    """Where the dataset lies, and the command that measures it."""
    out.print(f"\ndataset  {run_dir / 'dataset'}", highlight=False, soft_wrap=True)
    out.print(f"next     {shown_command('stats', str(run_dir))}", highlight=False, soft_wrap=True)

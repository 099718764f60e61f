"""Command line of curation: `python -m curation run|stats|demo`. 0 done; 2 the user can fix it; else our bug."""

from __future__ import annotations

import argparse
import asyncio
import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.errors import UserError

if TYPE_CHECKING:
    from curation.run_config import RunConfig

_RUN_EXAMPLE = """example:
  python -m curation run curation/configs/videop2r_cot.yaml run_dir=runs/pilot source.limit=100 --dry-run
"""
_STATS_EXAMPLE = """example:
  python -m curation stats runs/demo --plots runs/demo/plots --json report.json
"""
_DEMO_EXAMPLE = """example:
  python -m curation demo --num-questions 500 --seed 0
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, dispatch, and turn what the user can fix into one line."""
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "curation":
            raise
        return _fail(f"the package {error.name!r} is not installed. Run pip install -e '.[curate]' in the repository.")
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", status=130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and "No space left" not in str(error):
            raise
        return _fail(f"the disk is full ({error}). Free some space and run the same command again; no answer is lost")


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
    _say_next(out, config.run_dir)
    return 0


def _dry_run(config: RunConfig) -> int:
    from curation.budget import known_price, load_prices
    from curation.engines.config import model_name
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
    prices = load_prices(config.prices)
    print_plan(
        plan,
        Console(),
        assumptions=config.plan,
        generator=model_name(config.generate.engine),
        judge=model_name(config.verify.engine),
        judge_price=known_price(config.verify.engine, prices.models),
        price_date=prices.date,
        budget_usd=config.budget_usd,
    )
    return 0


def _stats(args: argparse.Namespace) -> int:
    from curation.plots import write_plots
    from curation.shards import write_text
    from curation.stats import measure
    from curation.tables import print_report

    report = measure(args.directory, labels=args.labels)
    print_report(report, Console())
    if args.json is not None:
        write_text(args.json, report.model_dump_json(indent=2))
    if args.plots is not None:
        write_plots(report, args.plots)
    return 0


def _demo(args: argparse.Namespace) -> int:
    from curation.demo import demo

    out = Console()
    demo(args.run_dir, num_questions=args.num_questions, seed=args.seed, console=Console(stderr=True), out=out)
    _say_next(out, args.run_dir)
    return 0


def _say_next(out: Console, run_dir: Path) -> None:
    out.print(f"\ndataset  {run_dir / 'dataset'}", highlight=False, soft_wrap=True)
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else "python"
    out.print(f"next     {shown} -m curation stats {run_dir}", highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m curation", description="From video questions to a verified dataset of traces."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, help_text: str, epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help_text, description=help_text, epilog=epilog, formatter_class=argparse.RawTextHelpFormatter
        )

    run = add("run", "Run a curation, or go on with one that was stopped.", _RUN_EXAMPLE)
    run.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file; see curation/configs/")
    run.add_argument("overrides", nargs="*", metavar="key.sub=value", help="change single keys of the config")
    run.add_argument("--dry-run", action="store_true", help="say what it would cost; no model is called")
    run.add_argument("--retry-failed", action="store_true", help="ask again where only a failure was recorded")
    run.set_defaults(command=_run)

    stats = add("stats", "Measure a run directory or a dataset folder.", _STATS_EXAMPLE)
    stats.add_argument("directory", type=Path, metavar="DIR", help="a run directory or its dataset/")
    stats.add_argument("--labels", type=Path, metavar="FILE", help="human labels: id, label (Parquet, JSONL or CSV)")
    stats.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    stats.add_argument("--plots", type=Path, metavar="DIR", help="write the plots as PNG")
    stats.set_defaults(command=_stats)

    demo = add("demo", "Run everything on the demo world: no key, GPU or network.", _DEMO_EXAMPLE)
    demo.add_argument("--run-dir", type=Path, default=Path("runs/demo"), help="default: runs/demo")
    demo.add_argument("--num-questions", type=int, default=500, help="default: 500")
    demo.add_argument("--seed", type=int, default=0, help="default: 0")
    demo.set_defaults(command=_demo)
    return parser


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

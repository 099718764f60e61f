"""`python -m curation calibrate`: judges against human labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands

_EXAMPLE = """  python -m curation calibrate runs/demo/labels.parquet --dataset runs/demo
  python -m curation calibrate labels.csv --dataset org/name@v1.0.0 \\
      --judge recorded --judge haiku=curation/configs/judge_haiku.yaml --budget-usd 1
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `calibrate`."""
    about = "Measure how far judges agree with human labels."
    parser = add_command(commands, "calibrate", about, _EXAMPLE, _calibrate)
    parser.add_argument(
        "labels",
        type=Path,
        metavar="LABELS",
        help="Parquet, JSONL or CSV: id, label (sufficient, insufficient, cannot_tell or empty), labeller;\n"
        "without --dataset also data_type, problem, options, problem_type, solution, observation.\n"
        "Labeller names are published with the dataset: let people choose a nickname",
    )
    parser.add_argument("--dataset", metavar="RUN", help="a run directory, a dataset folder or org/name@tag")
    parser.add_argument(
        "--judge",
        action="append",
        metavar="JUDGE",
        help="`recorded` (the verdicts in the dataset; the default) or NAME=FILE.yaml, a judge to ask;\n"
        "may be given several times",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the judges beside the paper's, as PNG")
    parser.add_argument(
        "--budget-usd", type=float, metavar="X", help="stop before these judges have cost more, earlier calls included"
    )
    parser.add_argument("--retry-failed", action="store_true", help="ask again where only a failure was recorded")


def _calibrate(args: argparse.Namespace) -> int:
    from curation.calibrate import calibrate, parse_judge
    from curation.calibration import RECORDED
    from curation.calibration_view import print_calibration
    from curation.errors import ConfigError
    from curation.locate import locate
    from curation.shards import write_text

    if args.budget_usd is not None and not args.budget_usd > 0:
        raise ConfigError(f"--budget-usd must be more than 0 US dollars, not {args.budget_usd:g}")
    judges = [parse_judge(text) for text in args.judge or [RECORDED]]
    dataset = None if args.dataset is None else locate(args.dataset, ("cot", "rejected"))
    done = calibrate(
        args.labels,
        dataset,
        judges,
        budget_usd=args.budget_usd,
        retry_failed=args.retry_failed,
        console=Console(stderr=True),
    )
    for path in (args.json, args.plot):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if args.json is not None:
        write_text(args.json, done.calibration.model_dump_json(indent=2) + "\n")
    if args.plot is not None:
        from curation.plots import draw_judges, write_figure

        write_figure(lambda: draw_judges(done.calibration), args.plot)
    out = Console()
    print_calibration(done.calibration, out)
    if done.spent_usd:
        out.print(f"\nspent    {done.spent_usd:,.4f} USD on these judges so far", highlight=False)
    if done.check is not None:
        out.print(f"\nkept for the card: {done.check}", highlight=False, markup=False, soft_wrap=True)
    return 0

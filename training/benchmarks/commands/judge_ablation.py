"""`python -m training.benchmarks judge-ablation`: how much does the choice of the judge matter?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.analyses.observations import Observations
    from training.benchmarks.commands import Commands

_EXAMPLE = """  python -m training.benchmarks judge-ablation runs/tiny_training/compare/full-seed0 \\
      --judge recorded --judge llama=curation/configs/judge_server.yaml --rows 400
  python -m training.benchmarks judge-ablation runs/demo --labels runs/demo/labels.parquet \\
      --judge recorded --judge haiku=curation/configs/judge_haiku.yaml
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `judge-ablation`."""
    about = "Ask several judges about the same observations: their agreement, and what it does to the reward."
    parser = add_command(commands, "judge-ablation", about, _EXAMPLE, run)
    parser.add_argument(
        "source",
        metavar="DATASET_OR_RUN",
        help="the run directory of a training (its saved rollouts), or a dataset: a run directory of\n"
        "curation, a dataset folder or org/name@tag",
    )
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="JUDGE",
        help="`recorded` (the verdicts that are there) or NAME=FILE.yaml with the keys of the section judge;\n"
        "two at least",
    )
    parser.add_argument("--rows", type=int, default=200, metavar="N", help="how many observations (default: 200)")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="of a dataset: judge what is labelled there")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: benchmark/analyses/judges/ of the run directory"
    )


def run(args: argparse.Namespace) -> int:
    """Draw, ask, measure, show. Raises UserError subclasses; what was replied is kept then too."""
    from rich.console import Console

    from curation.progress import show_progress
    from curation.rundir import hold_folder
    from training.benchmarks.analyses.asking_judges import ask_judge, parse_judges, recorded_replies
    from training.benchmarks.analyses.judge_ablation import measure_ablation
    from training.benchmarks.analyses.judge_ablation_view import show_ablation

    judges = parse_judges(args.judge)
    observations = _observations(args)
    folder = _folder(args)
    replies = []
    with hold_folder(folder, "name another folder with --out"):
        for judge in judges:
            if judge.config is None:
                replies.append(recorded_replies(observations.recorded, observations.asks))
                continue
            with show_progress(Console(stderr=True), judge.name, len(observations.asks)) as advance:
                replies.append(
                    ask_judge(judge.name, judge.config, observations.asks, folder / "verdicts", progress=advance)
                )
        out = Console()
        page = show_ablation(measure_ablation(observations, replies), folder, out)
    out.print(f"written  {page}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _observations(args: argparse.Namespace) -> Observations:
    from curation.errors import ConfigError
    from training.benchmarks.analyses.observations import is_training, of_dataset, of_labels, of_training

    if args.rows < 1:
        raise ConfigError(f"--rows must be at least 1, not {args.rows}")
    if is_training(Path(args.source)):
        if args.labels is not None:
            raise ConfigError("--labels are about the observations of a dataset, and not about a training's rollouts.")
        return of_training(Path(args.source), args.rows)
    if compared := sorted(Path(args.source).glob("compare/*/rollouts")):
        raise ConfigError(
            f"{args.source} saved its rollouts variant by variant: name one of them, such as {compared[0].parent}."
        )
    if args.labels is not None:
        return of_labels(args.source, args.labels, args.rows)
    return of_dataset(args.source, args.rows)


def _folder(args: argparse.Namespace) -> Path:
    """Never inside a dataset folder, which is published as it is."""
    from curation.errors import ConfigError
    from training.benchmarks.analyses.outputs import analysis_folder

    if args.out is not None:
        return Path(args.out)
    source = Path(args.source)
    if not (source / "config.yaml").is_file():
        raise ConfigError(
            f"{args.source} is no run directory: say with --out where answers and figures are to be kept."
        )
    return analysis_folder(source, "judges")

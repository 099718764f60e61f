"""`python -m training.benchmarks sufficiency`: does an observation carry what the question needs?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from curation.config import add_config_arguments
from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.analyses.sufficiency import Observer
    from training.benchmarks.commands import Commands

_EXAMPLE = r"""  python -m training.benchmarks sufficiency training/configs/benchmarks_server.yaml \
      --from runs/base --other runs/videop2r benchmark.names=[mmvu]
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `sufficiency`."""
    about = "Answer from the question, from an observation and from the video: is the observation sufficient?"
    parser = add_command(commands, "sufficiency", about, _EXAMPLE, run)
    add_config_arguments(parser, "of the model that answers, as for `run`")
    parser.add_argument(
        "--from",
        dest="own",
        type=Path,
        metavar="RUN",
        help="its own run, with finished results of the trace prompt: its observations\n(default: run_dir of CONFIG)",
    )
    parser.add_argument(
        "--other", type=Path, metavar="RUN", help="the same of another model; without it four conditions"
    )
    parser.add_argument(
        "--prompt",
        choices=("direct", "trace"),
        default="direct",
        help="ask for the answer alone (default), or with the reasoning prompt, as the paper's main table",
    )


def run(args: argparse.Namespace) -> int:
    """Load, ask, score, show."""
    from rich.console import Console

    from curation.config import load_config
    from curation.rundir import hold_folder
    from training.benchmarks.analyses.outputs import FOLDER as ANALYSES
    from training.benchmarks.analyses.sufficiency import measure_sufficiency
    from training.benchmarks.analyses.sufficiency_run import answer_conditions, load_observed
    from training.benchmarks.analyses.sufficiency_view import provenance, show_sufficiency
    from training.benchmarks.answering import open_answerer
    from training.benchmarks.results import FOLDER
    from training.benchmarks.run_config import BenchmarkRun
    from training.benchmarks.running import check_engines
    from training.prompts import load_template_prompt

    config = load_config(BenchmarkRun, args.config, args.overrides)
    check_engines(config.benchmark)
    trace_prompt = load_template_prompt(config.input.prompt, config.input.template)
    own = args.own or config.run_dir
    runs: dict[Observer, Path] = {"own": own} if args.other is None else {"own": own, "other": args.other}
    observed = load_observed(config.benchmark, runs)
    folder = own / FOLDER / ANALYSES / ("sufficiency" if args.prompt == "direct" else "sufficiency_trace")
    console, out = Console(stderr=True), Console()
    with hold_folder(folder, "analyse another run"):
        with open_answerer(config.benchmark, config.model) as answerer:
            answered = [
                answer_conditions(one, config.benchmark, answerer, args.prompt, trace_prompt, folder, console)
                for one in observed
            ]
            made = provenance(config.benchmark, answerer, args.prompt, trace_prompt, observed)
        found = measure_sufficiency(
            {one.observed.loaded.benchmark: one.rows for one in answered},
            config.benchmark.protocol,
            {one.observed.loaded.benchmark: one.judge for one in answered},
        )
        page = show_sufficiency(found, answered, made, folder, out)
    out.print(f"written  {page}", highlight=False, markup=False, soft_wrap=True)
    return 0

"""`python -m training.benchmarks mismatch`: does the answer follow from the thinking?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.benchmarks.commands import add_command

if TYPE_CHECKING:
    from training.benchmarks.commands import Commands

_EXAMPLE = r"""  python -m training.benchmarks mismatch runs/tiny_training
  python -m training.benchmarks mismatch runs/mmvu --extractor training/configs/extractor.yaml \
      engine.model=Qwen/Qwen3-32B
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `mismatch`."""
    about = "Compare the option that the thinking settles on with the answer: multiple choice only."
    parser = add_command(commands, "mismatch", about, _EXAMPLE, run)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="a run directory with finished results")
    parser.add_argument("--prompt", choices=("trace", "direct"), default="trace", help="which results (default: trace)")
    parser.add_argument(
        "--extractor",
        nargs="+",
        metavar=("FILE", "key.sub=value"),
        help="the model that reads the think texts: a YAML file, such as training/configs/extractor.yaml, and\n"
        "changes of single keys. Without it only the rule reads them",
    )


def run(args: argparse.Namespace) -> int:
    """Read, extract, measure, show."""
    from dataclasses import replace

    from rich.console import Console

    from curation.config import load_config
    from curation.progress import show_progress
    from curation.rundir import hold_folder
    from training.benchmarks.analyses.extraction import ExtractorConfig, extract_options, load_extraction_prompt
    from training.benchmarks.analyses.mismatch import load_thinking, measure_mismatch, thoughts_of
    from training.benchmarks.analyses.mismatch_view import provenance, show_mismatch
    from training.benchmarks.analyses.outputs import FOLDER as ANALYSES
    from training.benchmarks.results import FOLDER, JOURNAL

    extractor = load_config(ExtractorConfig, Path(args.extractor[0]), args.extractor[1:]) if args.extractor else None
    results, rows = load_thinking(args.run_dir, args.prompt)
    prompt = load_extraction_prompt()
    folder = args.run_dir / FOLDER / ANALYSES / "mismatch"
    with hold_folder(folder, "analyse another run"):
        if extractor is not None:
            thoughts = thoughts_of(rows)
            with show_progress(Console(stderr=True), "extract", len(thoughts)) as advance:
                read = extract_options(thoughts, extractor, prompt, folder / JOURNAL, progress=advance)
            rows = [
                replace(row, model=read[row.uid].option, detail=read[row.uid].detail) if row.uid in read else row
                for row in rows
            ]
        found = measure_mismatch(rows, has_model=extractor is not None)
        out = Console()
        page = show_mismatch(found, rows, provenance(results, extractor, prompt), folder, out)
    out.print(f"written  {page}", highlight=False, markup=False, soft_wrap=True)
    return 0

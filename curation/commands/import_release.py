"""`python -m curation import-release`: the authors' release as a dataset of ours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command, shown_command

if TYPE_CHECKING:
    from curation.commands import Commands

_EXAMPLE = """  git clone https://github.com/1171-jpg/videop2r
  python -m curation import-release datasets/authors \\
      --cot videop2r/data/VideoP2R-162k_sft.part*.json.gz --rl videop2r/data/VideoP2R-263k_rl.part*.json.gz \\
      --tokenizer Qwen/Qwen2.5-VL-7B-Instruct --license-of CLEVRER=cc0-1.0 STAR=apache-2.0 NeXT-QA=mit
  python -m curation stats datasets/authors
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `import-release`."""
    about = "Import the authors' traces into a dataset folder like those of `run`."
    parser = add_command(commands, "import-release", about, _EXAMPLE, _import)
    parser.add_argument("out", type=Path, metavar="OUT", help="the dataset folder; it must not hold anything yet")
    parser.add_argument("--cot", type=Path, nargs="+", required=True, metavar="PART", help="all parts of the CoT file")
    parser.add_argument(
        "--rl", type=Path, nargs="+", default=[], metavar="PART", help="all parts of the RL file, for config rl"
    )
    parser.add_argument("--tokenizer", metavar="T", help="counts tokens: a tokenizer.json or a model on the hub")
    parser.add_argument(
        "--license-of",
        nargs="+",
        action="extend",
        default=[],
        metavar="SOURCE=LICENCE",
        help="licence of a data_source, or else of a folder of the paths; others stay null",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")


def _import(args: argparse.Namespace) -> int:
    from curation.progress import show_progress
    from curation.release_import import describe_origin, import_release
    from curation.shards import write_text
    from curation.tables import print_funnel

    licenses = _parse_licenses(args.license_of)
    with show_progress(Console(stderr=True), "records") as advance:
        report, held = import_release(
            args.out, args.cot, args.rl, tokenizer=args.tokenizer, licenses=licenses, progress=advance
        )
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.json, report.model_dump_json(indent=2) + "\n")
    out = Console()
    print_funnel(report, out)
    out.print(f"\n{describe_origin(held)}", highlight=False, markup=False)
    out.print(f"\ndataset  {args.out}", highlight=False, markup=False, soft_wrap=True)
    next_command = shown_command("stats", str(args.out))
    out.print(f"next     {next_command}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _parse_licenses(pairs: Sequence[str]) -> dict[str, str]:
    """Raises ConfigError for what is no SOURCE=LICENCE."""
    from curation.errors import ConfigError

    licenses = {}
    for pair in pairs:
        source, _, name = pair.partition("=")
        if not source or not name:
            raise ConfigError(f"--license-of {pair!r} is no SOURCE=LICENCE, such as CLEVRER=cc0-1.0")
        licenses[source] = name
    return licenses

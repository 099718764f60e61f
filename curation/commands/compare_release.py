"""`python -m curation compare-release`: a dataset of ours beside the authors' release."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands
    from curation.locate import LocatedDataset
    from curation.release_compare import ReleaseComparison, Theirs
    from curation.release_import import Held

_EXAMPLE = """  git clone https://github.com/1171-jpg/videop2r
  python -m curation compare-release runs/videop2r_cot videop2r/data/VideoP2R-162k_sft.part*.json.gz \\
      --rl videop2r/data/VideoP2R-263k_rl.part*.json.gz --json comparison.json --plot lengths.png
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `compare-release`."""
    about = "Compare a dataset with the authors' release: questions, acceptance, lengths, scores, traces."
    parser = add_command(commands, "compare-release", about, _EXAMPLE, _compare)
    parser.add_argument("dataset", metavar="RUN", help="a run directory, a dataset folder or org/name@tag")
    parser.add_argument("cot", type=Path, nargs="+", metavar="COT_PART", help="all parts of their CoT file")
    parser.add_argument(
        "--rl",
        type=Path,
        nargs="+",
        default=[],
        metavar="RL_PART",
        help="all parts of their RL file: acceptance is then compared over questions that they have certainly seen",
    )
    parser.add_argument("--tokenizer", metavar="T", help="count tokens of both sides: a tokenizer.json or a model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the lengths of both sides, as PNG")


def _compare(args: argparse.Namespace) -> int:
    from curation.checks import write_check
    from curation.describe import refresh_card
    from curation.locate import locate
    from curation.release_view import print_comparison
    from curation.shards import write_text

    located = locate(args.dataset, ("cot", "rejected"))
    comparison = _measure(located, args)
    # Files first: what reads our output may stop reading before its end.
    for path in (args.json, args.plot):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if args.json is not None:
        write_text(args.json, comparison.model_dump_json(indent=2) + "\n")
    if args.plot is not None:
        from curation.plots import draw_release_lengths, write_figure

        write_figure(lambda: draw_release_lengths(comparison), args.plot)
    check = None
    if located.home is not None:
        check = write_check(located.home, "release_comparison", located.folder, comparison)
        refresh_card(located.folder, located.home)
    out = Console()
    print_comparison(comparison, out)
    if check is not None:
        out.print(f"kept for the card: {check}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _measure(located: LocatedDataset, args: argparse.Namespace) -> ReleaseComparison:
    """Their parts become rows of ours in a folder that is gone afterwards, so that both sides are measured alike."""
    import tempfile

    from curation.progress import show_progress
    from curation.provenance import publishable
    from curation.release_compare import compare
    from curation.release_facts import load_asked, load_side
    from curation.release_import import write_configs
    from curation.tokens import load_token_counter

    count_tokens = load_token_counter(args.tokenizer) if args.tokenizer else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "release"
        with show_progress(Console(stderr=True), "records") as advance:
            held = write_configs(
                folder, args.cot, args.rl, licenses={}, count_tokens=load_token_counter(None), progress=advance
            )
        with show_progress(Console(stderr=True), "tokens of" if count_tokens else "measured") as advance:
            ours = load_side(located.folder, count_tokens, advance)
            theirs = load_side(folder, count_tokens, advance)
        asked = load_asked(folder) if args.rl else None
    return compare(
        ours,
        theirs,
        asked,
        name=publishable(located.shown),
        cot=_describe_file(held.cot, theirs.traces.height),
        rl=None if held.rl is None else _describe_file(held.rl, None),
        tokenizer=publishable(args.tokenizer),
    )


def _describe_file(held: Held, num_traces: int | None) -> Theirs:
    from curation.release_compare import Theirs
    from curation.report import Reason

    return Theirs(
        num_records=held.num_records,
        num_questions=held.num_questions,
        num_traces=num_traces,
        rejected=tuple(Reason(reason=reason, num_rows=count) for reason, count in held.reasons.most_common()),
    )

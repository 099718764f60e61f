"""`python -m curation media fetch`: the media of a chosen part of a dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands
    from curation.locate import LocatedDataset

_ABOUT = "Fetch the media that a dataset's questions are about."
_EXAMPLE = """  python -m curation media fetch org/VideoP2R-CoT-162K@v1.0.0 --from Video-R1/Video-R1-data \\
      --type "multiple choice" --data-type video --limit 1000 --media-root media --dry-run
"""
# More than this is not fetched without a yes.
_ASK_FROM_BYTES: Final = 10**9


def add_parser(commands: Commands) -> None:
    """The arguments of `media`."""
    parser = commands.add_parser("media", help=_ABOUT, description=_ABOUT)
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = (
        "Fetch just the media that are needed, from the archives of a hub repository, and measure them.\n"
        "May be killed at any moment and run again; what is there and whole is not fetched twice."
    )
    fetch = add_command(subcommands, "fetch", about, _EXAMPLE, _fetch)
    fetch.add_argument("dataset", metavar="DATASET", help="a run directory, a dataset folder or org/name@tag")
    fetch.add_argument(
        "--from",
        dest="source",
        metavar="REPO",
        help="what holds the media: the hub repository org/name or org/name@revision, or a folder\n"
        "that mirrors it; default: the one that the dataset names",
    )
    fetch.add_argument("--media-root", type=Path, required=True, metavar="DIR", help="where the media go")
    fetch.add_argument("--config", choices=("cot", "rl"), default="cot", help="whose questions; default: cot")
    fetch.add_argument("--type", action="append", metavar="TYPE", help="only this problem type; may be repeated")
    fetch.add_argument("--data-type", action="append", choices=("image", "video"), help="only images, or only videos")
    fetch.add_argument(
        "--source",
        dest="data_source",
        action="append",
        metavar="NAME",
        help="only this data_source, with its parts NAME/...; may be repeated",
    )
    fetch.add_argument("--ids", type=Path, metavar="FILE", help="only the questions whose ids stand there, one a line")
    fetch.add_argument("--limit", type=int, metavar="N", help="only the first N of the questions that are left")
    fetch.add_argument(
        "--whole-from",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="download a zip whole when at least this share of its bytes is needed, else only\n"
        "the members; 0 = always whole, 2 = never; default: 0.5",
    )
    fetch.add_argument("--dry-run", action="store_true", help="say what would be fetched; nothing is written")
    fetch.add_argument("--yes", action="store_true", help="do not ask before more than 1 GB")
    fetch.add_argument("--json", type=Path, metavar="FILE", help="write what came of it as JSON")


def _fetch(args: argparse.Namespace) -> int:
    from curation.errors import ConfigError, UserError
    from curation.fetch.fetch import check_disk, fetch, open_source, plan_fetch
    from curation.fetch.view import print_plan, print_result
    from curation.fetch.wanted import Selection, choose_files
    from curation.locate import locate
    from curation.shards import write_text

    for option, number, least in (("--limit", args.limit, 1), ("--whole-from", args.whole_from, 0)):
        if number is not None and not number >= least:
            raise ConfigError(f"{option} must be {least} or more, not {number:g}")
    ids = None if args.ids is None else _read_ids(args.ids)
    # The questions of `rl` carry no hash of their media; the other configs do.
    dataset = locate(args.dataset, ("cot",) if args.config == "cot" else ("rl", "cot", "rejected"))
    selection = Selection(args.type, args.data_type, args.data_source, ids, args.limit)
    choice = choose_files(dataset.folder, args.config, selection)
    source = open_source(args.source or _named_source(dataset))
    console, out = Console(stderr=True), Console()
    with nullcontext() if args.dry_run else _hold(args.media_root):
        plan = plan_fetch(choice, source, args.media_root, whole_from=args.whole_from, console=console)
        print_plan(plan, out)
        check_disk(plan)
        if args.dry_run:
            return 0
        if plan.transfer_bytes > _ASK_FROM_BYTES and not args.yes:
            _ask()
        report = fetch(plan, console=console)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.json, report.model_dump_json(indent=2) + "\n")
    print_result(report, out)
    if report.missing is not None:
        num_failed = f"{report.num_failed:,} of {report.num_files:,} files are not there"
        raise UserError(f"{num_failed}; {report.missing} says why, file by file.")
    return 0


def _read_ids(path: Path) -> list[str]:
    from curation.errors import ConfigError

    try:
        ids = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--ids {path} cannot be read ({error}). Name a text file with one id a line.") from error
    if not ids:
        raise ConfigError(f"--ids {path} holds no id.")
    return ids


def _named_source(dataset: LocatedDataset) -> str:
    """The media repository that the dataset itself names. Raises ConfigError when it names none."""
    from curation.errors import ConfigError, RunDirectoryError
    from curation.provenance import read_provenance

    try:
        named = read_provenance(dataset.folder).media_repo
    except RunDirectoryError:
        named = None
    if named is None:
        raise ConfigError(f"{dataset.shown} does not say where its media are. Name the repository: --from org/name")
    return named


@contextmanager
def _hold(root: Path) -> Iterator[None]:
    """The media root, made if need be and held against a second fetch."""
    from curation.errors import ConfigError
    from curation.rundir import hold_folder

    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the media root {root} cannot be made: {error.strerror}. Name another one.") from error
    with hold_folder(root, "name another --media-root"):
        yield


def _ask() -> None:
    """Raises ConfigError when nobody says yes."""
    from curation.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("this is more than 1 GB. Say --yes, or choose fewer rows.")
    print("Fetch this? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was fetched.")

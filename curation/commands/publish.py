"""`python -m curation publish`: a finished run becomes a tagged version of a hub dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands
    from curation.publish.publish import Published

_EXAMPLE = """  python -m curation publish runs/demo --repo org/VideoP2R-demo --version 1.0.0 --dry-run

The token is HF_TOKEN, or that of hf auth login. Killed or refused at any moment, run it again: it completes the
version and repeats nothing. A tag is never moved. Versions: schema = major, rows = minor, card = patch.
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `publish`."""
    about = "Publish a run or a dataset folder as a version of a hub dataset."
    parser = add_command(commands, "publish", about, _EXAMPLE, _publish)
    parser.add_argument("dataset", metavar="RUN", help="a run directory or a dataset folder")
    parser.add_argument("--repo", required=True, metavar="ORG/NAME", help="created when it does not exist")
    parser.add_argument("--version", required=True, metavar="X.Y.Z", help="becomes the tag vX.Y.Z")
    parser.add_argument("--dry-run", action="store_true", help="build everything, show what would change, push nothing")
    parser.add_argument("--private", action="store_true", help="only for members; for a repository that is created now")
    parser.add_argument(
        "--license", default="apache-2.0", metavar="NAME", help="of the traces and verdicts (default: apache-2.0)"
    )
    parser.add_argument("--overwrite-main", action="store_true", help="publish over commits that others pushed to main")
    parser.add_argument("--no-read-back", action="store_true", help="do not load the tag again to compare it")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the version is built (default: RUN/release)")


def _publish(args: argparse.Namespace) -> int:
    from curation.locate import locate_folder
    from curation.publish.publish import publish
    from curation.versions import Version

    out = Console()
    published = publish(
        locate_folder(args.dataset),
        args.repo,
        Version.parse(args.version),
        out=out,
        dry_run=args.dry_run,
        private=args.private,
        overwrite_main=args.overwrite_main,
        license_name=args.license,
        reads_back=not args.no_read_back,
        target=args.folder,
    )
    _say(out, published, args.dry_run)
    return 0


def _say(out: Console, published: Published, dry_run: bool) -> None:
    from curation.hub import page_url

    release, tag = published.release, published.release.version.tag
    rows = ", ".join(f"{num_rows:,} {config}" for config, num_rows in release.num_rows.items())
    out.print(f"\n{'rows':<10} {rows}", highlight=False, soft_wrap=True)
    out.print(f"{'folder':<10} {release.folder}", highlight=False, soft_wrap=True)
    if dry_run:
        out.print(f"{'dry run':<10} nothing was pushed to {published.repo}", highlight=False, soft_wrap=True)
        return
    out.print(f"{'published':<10} {page_url(published.repo, tag)}", highlight=False, soft_wrap=True)
    out.print(f"{'commit':<10} {published.commit}", highlight=False, soft_wrap=True)
    out.print(
        f'{"load":<10} load_dataset("{published.repo}", revision="{tag}")',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )

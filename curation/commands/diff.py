"""`python -m curation diff`: what changed between two versions of a dataset, and why."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from curation.commands import add_command

if TYPE_CHECKING:
    from curation.commands import Commands
    from curation.diff import DatasetDiff
    from curation.versions import Version

_EXAMPLE = """  python -m curation diff org/VideoP2R-CoT-162K@v1.0.0 org/VideoP2R-CoT-162K@v1.1.0
  python -m curation diff org/VideoP2R-CoT-162K@v1.0.0 runs/next --changelog
"""


def add_parser(commands: Commands) -> None:
    """The arguments of `diff`."""
    parser = add_command(commands, "diff", "Compare two versions of a dataset, row by row.", _EXAMPLE, _diff)
    where = "a run directory, a dataset folder or org/name@tag"
    parser.add_argument("old", metavar="A", help=f"the older one: {where}")
    parser.add_argument("new", metavar="B", help="the newer one, likewise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the differences as JSON")
    parser.add_argument("--changelog", action="store_true", help="print the CHANGELOG entry instead of the tables")
    parser.add_argument(
        "--as",
        dest="version",
        metavar="VERSION",
        help="the version of that entry; default: B's tag, else the next one after A's tag",
    )


def _diff(args: argparse.Namespace) -> int:
    from curation.diff import diff_folders
    from curation.errors import ConfigError
    from curation.locate import locate
    from curation.shards import write_text

    if args.version is not None and not args.changelog:
        raise ConfigError("--as names the version of the CHANGELOG entry. Add --changelog, or leave it out.")
    old, new = locate(args.old), locate(args.new)
    diff = diff_folders(old.folder, new.folder, old_name=old.shown, new_name=new.shown)
    if args.json is not None:
        write_text(args.json, diff.model_dump_json(indent=2) + "\n")
    if args.changelog:
        from curation.changelog import render_entry

        num_rows = {config.config: config.num_new for config in diff.configs if config.num_new is not None}
        version = _entry_version(args.version, old.revision, new.revision, diff)
        print(render_entry(version, diff, num_rows=num_rows), end="")
    else:
        from curation.diff_view import print_diff

        print_diff(diff, Console())
    return 0


def _entry_version(named: str | None, old_tag: str | None, new_tag: str | None, diff: DatasetDiff) -> Version:
    """Raises ConfigError when neither the command line nor a tag says it."""
    from curation.errors import ConfigError
    from curation.versions import LEVELS, Version, published_versions

    if named is not None:
        return Version.parse(named)
    for version in published_versions([new_tag or ""]):
        return version
    for version in published_versions([old_tag or ""]):
        return version.successor("patch" if diff.change == "nothing" else LEVELS[diff.change])
    raise ConfigError(f"neither {diff.old} nor {diff.new} is a tagged version. Name the entry's version: --as v1.1.0")

"""What people changed on the page of a dataset since it was last published: taken over or shown, never dropped."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.errors import HubError
from curation.fragment import FILE, Fragment, merge_edit, split_card, write_fragment
from curation.hub import HubRepo, RemoteFile
from curation.publish.push import TITLE, Main

README: Final = "README.md"
_MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """The card as it was published, and as it is on main now. alone: nothing else was changed there."""

    before: str
    after: str
    alone: bool


def find_edit(repo: HubRepo, main: Main) -> Edit | None:
    """None when nobody has changed the card since the last publication, or nothing was published yet."""
    ours = next((commit for commit, title in repo.history(main.head) if title.startswith(TITLE)), None)
    if ours is None or ours == main.head:
        return None
    files = repo.files(ours)
    changed = {path for path in files.keys() | main.files.keys() if _content(files, path) != _content(main.files, path)}
    if README not in changed or README not in files:
        return None
    after = repo.download(README, main.head).read_text("utf-8", "replace") if README in main.files else ""
    return Edit(repo.download(README, ours).read_text("utf-8", "replace"), after, changed == {README})


def take_over(
    edit: Edit, fragment: Fragment, home: Path, out: Console, *, overwrite: bool, dry_run: bool
) -> tuple[Fragment, bool]:
    """(the fragment with the edit in it, whether all of it could be taken over); it is kept with the run.

    What cannot be taken over is shown. Raises HubError then, unless it is to be overwritten.
    """
    try:
        merge = merge_edit(fragment, split_card(edit.before), split_card(edit.after))
    except ValueError as error:
        merge = merge_edit(fragment, Fragment(), Fragment())
        lost: Sequence[str] = [f"all of it, for {error}"]
    else:
        lost = merge.lost
    if merge.taken:
        out.print(
            f"taken over from the hub's page into {home / FILE}: {', '.join(merge.taken)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        if not dry_run:
            write_fragment(home, merge.fragment)
    if lost:
        _show(edit, out)
        if not overwrite:
            raise HubError(
                f"{README} was edited on the hub where it is generated, see above: {', '.join(lost)}. Nothing was "
                f"published. Put what is to stay into {home / FILE}, then add --overwrite-main.",
                reason="stale_parent",
            )
    return merge.fragment, not lost


def _show(edit: Edit, out: Console) -> None:
    before, after = edit.before.splitlines(), edit.after.splitlines()
    lines = list(difflib.unified_diff(before, after, "as published", "as edited on the hub", lineterm="", n=1))
    for line in lines[:_MOST_LINES]:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(lines) > _MOST_LINES:
        out.print(f"... and {len(lines) - _MOST_LINES} more lines", highlight=False)


def _content(files: dict[str, RemoteFile], path: str) -> str | None:
    file = files.get(path)
    return None if file is None else file.sha256 or file.git_sha1

"""What changed between the open version and the others: on the overview, and where to begin on Compare."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from markupsafe import Markup

from app.address import Address
from app.changes import KINDS, Changes, find_changes
from app.charts import panel
from app.filters import Filter
from app.markup import fill, join, link
from app.opened import Opened
from app.pieces import render_table
from app.rows import Dataset

# It takes both versions' texts to be read, so the page comes first.
CHANGES: Final = Markup('<div data-fetch="/later/changes"><p class="vp vp-quiet">comparing the versions ...</p></div>')
_EVERY_ROW: Final = Filter(rows="all")


@lru_cache(maxsize=4)
def changes_between(before: Dataset, after: Dataset) -> Changes:
    """Counted once. Raises UserError."""
    return find_changes(before.facts(_EVERY_ROW), after.facts(_EVERY_ROW))


def render_changes(opened: Opened) -> Markup:
    """A table for each dataset that the open one is compared with. Raises UserError."""
    return join(_table(opened, other) for other in opened.compared)


def _table(opened: Opened, other: Dataset) -> Markup:
    changes = changes_between(other, opened.dataset)
    headings = ("", "added", "removed", "the same", "changed", *(f"other {kind}" for kind in KINDS))
    rows = [
        (row["problem_type"] or "all", *(f"{row[name]:,}" for name in ("added", "removed", "same", "changed", *KINDS)))
        for row in changes.counts.iter_rows(named=True)
    ]
    examples = join(
        fill("<li>{}</li>", link(Address(tab="compare", row_id=row_id).link(), row_id)) for row_id in changes.examples
    )
    listed = (
        fill('<p>Changed questions:</p><ul class="viewer-ids">{}</ul>', examples) if changes.examples else Markup("")
    )
    return fill(
        '<div class="vp viewer-changes">{}</div>',
        panel(
            f"From {other.shown} to {opened.dataset.shown}",
            fill("{}{}", render_table(headings, rows), listed),
            "Questions are matched by id. Other state: accepted against rejected, or another reason.",
        ),
    )

"""What changed between the open version and the others: on the overview, and where to begin on Compare."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import polars as pl
from markupsafe import Markup

from app.address import Address
from app.changes import ANY, KINDS, Changes, find_changes
from app.charts import panel
from app.filters import Filter
from app.markup import fill, join
from app.opened import Opened
from app.pages import disabled, key_link
from app.pieces import render_table
from app.rows import Dataset
from curation.report import plain

PER_PAGE: Final = 50
_WORDS: Final = {
    ANY: "all changed",
    **{kind: f"other {kind}" for kind in KINDS},
    "missing": "verdict or score in one only",
}
_EVERY_ROW: Final = Filter(rows="all")


@lru_cache(maxsize=4)
def changes_between(before: Dataset, after: Dataset) -> Changes:
    """Counted once. Raises UserError."""
    return find_changes(before.facts(_EVERY_ROW), after.facts(_EVERY_ROW))


def changes_place(address: Address) -> Markup:
    """Room for the changes: it takes both versions' texts to be read, so the page comes first."""
    listed = Address(tab=address.tab, version=address.version, change=address.change, changes_page=address.changes_page)
    return fill(
        '<div data-fetch="/later/changes{}"><p class="vp vp-quiet">comparing the versions ...</p></div>', listed.link()
    )


def render_changes(opened: Opened, address: Address) -> Markup:
    """Of each dataset that the open one is compared with: counts, and the questions that changed. Raises UserError."""
    return join(_compared(opened, other, address) for other in opened.compared)


def find_changed(opened: Opened, change: str) -> list[str]:
    """The ids of the questions that changed so, of every compared dataset in turn. Raises UserError."""
    found = (_listed(changes_between(other, opened.dataset), change) for other in opened.compared)
    return list(dict.fromkeys(row_id for ids in found for row_id in ids["id"]))


def _listed(changes: Changes, change: str) -> pl.DataFrame:
    return changes.questions.filter(change if change in _WORDS else ANY)


def _compared(opened: Opened, other: Dataset, address: Address) -> Markup:
    changes = changes_between(other, opened.dataset)
    headings = ("", "added", "removed", "the same", "changed", *(_WORDS[kind] for kind in KINDS))
    rows = [
        (row["problem_type"] or "all", *(f"{row[name]:,}" for name in ("added", "removed", "same", ANY, *KINDS)))
        for row in changes.counts.iter_rows(named=True)
    ]
    listed = _questions(opened, changes, address) if changes.questions.height else Markup("")
    return fill(
        '<div class="vp viewer-changes">{}</div>',
        panel(
            f"From {other.shown} to {opened.dataset.shown}",
            fill("{}{}", render_table(headings, rows), listed),
            "Questions are matched by id. Other state: accepted against rejected, or another reason.",
        ),
    )


def _questions(opened: Opened, changes: Changes, address: Address) -> Markup:
    """The questions that changed in the way that the address names, a page of them."""
    chosen = address.change if address.change in _WORDS else ANY
    address = address.changed(tab="compare", change=chosen, row_id=None)
    kinds = join(
        fill(
            '<a data-go href="{}" aria-current="{}">{} ({})</a>',
            address.changed(change=kind, changes_page=None).link(),
            "true" if kind == chosen else "false",
            words,
            f"{int(changes.questions[kind].sum()):,}",
        )
        for kind, words in _WORDS.items()
    )
    found = _listed(changes, chosen)
    num_pages = max(1, -(-found.height // PER_PAGE))
    number = min(address.changes_page or 1, num_pages)
    shown = found.slice((number - 1) * PER_PAGE, PER_PAGE)
    problems = opened.dataset.problems(shown["id"].to_list())
    items = join(
        fill(
            '<li><a data-go href="{}"><span dir="auto">{}</span></a> <small>{} <code>{}</code></small></li>',
            address.changed(row_id=row["id"], changes_page=number).link(),
            problems.get(row["id"]) or "no question was recorded",
            ", ".join(_WORDS[kind] for kind in KINDS if row[kind]),
            plain(row["id"], 40),
        )
        for row in shown.iter_rows(named=True)
    )
    return fill(
        '<nav class="viewer-choice" aria-label="which changes">{}</nav><ol class="viewer-changed" start="{}">{}</ol>'
        '<nav class="viewer-pager" aria-label="pages of changes">{}<span>page <b>{}</b> of {}</span>{}</nav>',
        kinds,
        str((number - 1) * PER_PAGE + 1),
        items,
        key_link(address.changed(changes_page=number - 1), "previous-page", "Previous")
        if number > 1
        else disabled("Previous"),
        f"{number:,}",
        f"{num_pages:,}",
        key_link(address.changed(changes_page=number + 1), "next-page", "Next")
        if number < num_pages
        else disabled("Next"),
    )

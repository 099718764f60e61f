"""What stands around every page: which dataset in which version, the pages, what a reader has to know, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from app.address import TABS, Address, Tab
from app.markup import fill, join, link
from app.opened import Opened
from app.pieces import render_notes

FILTERED: Final[tuple[Tab, ...]] = ("overview", "browse")  # the pages whose rows the filter chooses

_TITLES: Final = {
    "overview": "Overview",
    "browse": "Browse",
    "compare": "Compare",
    "rollouts": "Rollouts",
    "label": "Label",
}
_KEYS: Final = (
    ("j or Right", "next row"),
    ("k or Left", "previous row"),
    ("n, p", "next page, previous page"),
    ("/", "search"),
    ("Up, Down", "scroll; while labelling, the observation"),
    ("1, 2, 3", "label: sufficient, insufficient, cannot tell"),
    ("u", "take back the last label"),
    ("?", "this list"),
    ("Esc", "leave a field, close this list"),
)


def open_tabs(opened: Opened) -> tuple[Tab, ...]:
    """The pages that this viewer has: without a label store there is nothing to write to, and no page for it."""
    return tuple(tab for tab in TABS if tab != "label" or opened.labels is not None)


def title(opened: Opened, address: Address) -> str:
    """Of the browser's window."""
    return f"{_TITLES[address.tab]} - {opened.dataset.shown}"


def render_frame(opened: Opened, address: Address, notes: Sequence[str]) -> Markup:
    """The head of the page, and below it the notes."""
    dataset = opened.dataset
    plain = address.changed(left=None, right=None, number=None)
    tabs = join(
        fill(
            '<a data-go href="{}" aria-current="{}">{}</a>',
            plain.link(tab=tab),
            "page" if tab == address.tab else "false",
            _TITLES[tab],
        )
        for tab in open_tabs(opened)
    )
    counts = " and ".join(
        f"{dataset.num_rows[config]:,} {word}" for config, word in (("cot", "accepted"), ("rejected", "rejected"))
    )
    about = (
        fill(
            '<details class="vp viewer-about"><summary>{} about this copy</summary>{}</details>',
            "1 note" if len(dataset.notes) == 1 else f"{len(dataset.notes)} notes",
            render_notes(dataset.notes),
        )
        if dataset.notes and address.tab != "overview"  # which shows them itself
        else Markup("")
    )
    return fill(
        '<header class="vp viewer-head"><div><h1 dir="auto">{}</h1><p class="vp-quiet">'
        '<code title="the version: its commit, or a fingerprint of its files">@ {}</code> {}</p></div>'
        '<nav class="viewer-tabs" aria-label="pages of the viewer">{}</nav>'
        '<button type="button" class="viewer-help" data-help title="keys">?</button></header>{}{}{}{}',
        dataset.shown,
        opened.version,
        counts,
        tabs,
        _active(address) if address.tab in FILTERED else "",
        about,
        render_notes(notes),
        _help(),
    )


def _active(address: Address) -> Markup:
    """The conditions of the filter, which may be folded away, and a way out of them."""
    query = address.filter.model_copy(update={"page": 1, "sort": "order", "descending": False}).to_query()
    if not query:
        return Markup("")
    conditions = "; ".join(f"{key}: {value}" for key, value in query.items())
    clear = link(Address(tab=address.tab, version=address.version).link(), "clear it")
    return fill('<p class="vp viewer-active">Filter <b>{}</b> ({})</p>', conditions, clear)


def version_notes(opened: Opened, address: Address) -> list[str]:
    """Whether the link was made in another version than the one that is open."""
    if address.version in (None, opened.version):
        return []
    return [
        f"This link was made in version {address.version:.60}; open here is {opened.shown}. The row may have another "
        "text here, or be missing."
    ]


def _help() -> Markup:
    keys = join(fill("<dt>{}</dt><dd>{}</dd>", key, meaning) for key, meaning in _KEYS)
    return fill(
        '<dialog id="help" class="vp viewer-keys"><h3>Keys</h3><dl>{}</dl>'
        '<form method="dialog"><button>Close</button></form></dialog>',
        keys,
    )

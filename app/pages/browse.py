"""Browse: the rows that match the filter, and the open one beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from app.address import Address
from app.markup import fill, link
from app.opened import Opened
from app.pages import NOTHING, Screen, disabled, key_link
from app.pieces import render_page_table, render_trace
from app.rows import ROWS_PER_PAGE, Page
from curation.errors import MediaError
from curation.media import resolve_media


def show_browse(opened: Opened, address: Address) -> Screen:
    """The page of rows with the open row in it, or with its first row open. Raises UserError."""
    dataset = opened.dataset
    notes = []
    place = find_row(opened, address)
    if place is None and (address.row_id is not None or address.place is not None):
        named = f"with the id {address.row_id}" if address.row_id is not None else f"number {address.place}"
        notes.append(f"{opened.shown} has no row {named:.120}. Perhaps another version has; here are the others.")
        address = address.changed(row_id=None, place=None)
    is_named = place is not None
    position = 0
    if place is not None:
        *_, position, _ = dataset.neighbours(address.filter, place)
        if position:
            address = _on_page(address, 1 + (position - 1) // ROWS_PER_PAGE)
        else:
            notes.append("The open row does not match the filter.")
    page = dataset.page(address.filter)
    address = _on_page(address, page.number)
    if place is None and page.rows:
        place = page.rows[0].place
    unnamed = address.changed(row_id=None, place=None)
    listing = fill(
        '{}<nav class="viewer-pager" aria-label="pages">{}</nav>',
        fill(
            "{}{}",
            _count(page, address),
            render_page_table(page, lambda row: unnamed.link(row_id=row.id, place=row.place), selected=place),
        ),
        _pager(page, unnamed),
    )
    if place is None:
        return Screen(address, _nothing_found(unnamed), listing, notes)
    row = dataset.row(place)
    if is_named:
        address = address.changed(**name_row(opened, row["id"], place))
    main = fill(
        '<div class="{}">{}{}</div>',
        "viewer-opened" if is_named else "viewer-first",
        _toolbar(opened, address, row, place),
        render_trace(row, media_html=media_html(opened, row)),
    )
    return Screen(address, main, listing, notes)


def find_row(opened: Opened, address: Address) -> int | None:
    """The place of the row that the address names; null when it names none, or one that is not here."""
    dataset = opened.dataset
    if address.row_id is None:
        num_rows = sum(dataset.num_rows[config] for config in ("cot", "rejected"))
        return address.place if address.place is not None and address.place < num_rows else None
    places = dataset.places(address.row_id)
    # In another version the place is another row's: the id decides.
    return address.place if address.place in places else next(iter(places), None)


def name_row(opened: Opened, row_id: str | None, place: int) -> dict[str, Any]:
    """How an address names a row: by its id, and by its place where the id alone would not do."""
    is_alone = row_id is not None and opened.dataset.places(row_id) == [place]
    return {"row_id": row_id, "place": None if is_alone else place}


def media_html(opened: Opened, row: Mapping[str, Any]) -> Markup:
    """A player, and room for the frames that the model saw, which keys.js fetches as soon as the page is there."""
    if row["id"] is None:
        return Markup('<p class="vp vp-quiet">This record has no id, and no media that could be shown.</p>')
    name = f"{row['config']}/{quote(row['id'], safe='')}"
    player = NOTHING
    if _has_file(opened, row):
        if row["data_type"] == "image":
            player = fill('<img src="/media/{}" alt="the picture">', name)
        else:
            player = fill('<video controls playsinline preload="metadata" src="/media/{}"></video>', name)
        player = fill('<div class="viewer-player">{}</div>', player)
    return fill(
        '<div class="viewer-media">{}<div class="viewer-strip" data-fetch="/frames/{}">'
        '<p class="vp vp-quiet">decoding the frames that the model saw ...</p></div></div>',
        player,
        name,
    )


def _has_file(opened: Opened, row: Mapping[str, Any]) -> bool:
    if opened.media_root is None or not row["path"]:
        return False
    try:
        resolve_media(opened.media_root, row["path"])
    except MediaError:
        return False
    return True


def _on_page(address: Address, number: int) -> Address:
    return address.changed(filter=address.filter.model_copy(update={"page": number}))


def _count(page: Page, address: Address) -> Markup:
    kinds = {"cot": "accepted", "rejected": "rejected", "all": "accepted and rejected"}
    return fill(
        '<p class="vp viewer-count"><b>{}</b> {} {}</p>',
        f"{page.num_matching:,}",
        kinds[address.filter.rows],
        "row matches" if page.num_matching == 1 else "rows match",
    )


def _pager(page: Page, address: Address) -> Markup:
    before = key_link(_on_page(address, page.number - 1), "previous-page", "Previous") if page.number > 1 else None
    after = key_link(_on_page(address, page.number + 1), "next-page", "Next") if page.number < page.num_pages else None
    return fill(
        "{}<span>page <b>{}</b> of {}</span>{}",
        before or disabled("Previous"),
        f"{page.number:,}",
        f"{page.num_pages:,}",
        after or disabled("Next"),
    )


def _toolbar(opened: Opened, address: Address, row: Mapping[str, Any], place: int) -> Markup:
    before, after, position, num_matching = opened.dataset.neighbours(address.filter, place)
    unnamed = address.changed(row_id=None)
    moves = [
        disabled(words) if other is None else key_link(unnamed.changed(place=other), key, words)
        for other, key, words in ((before, "previous-row", "Previous row"), (after, "next-row", "Next row"))
    ]
    where = f"row {position:,} of {num_matching:,}" if position else "outside the filter"
    copies = Markup("")
    if row["id"] is not None:
        named = address.changed(**name_row(opened, row["id"], place))
        copies = fill(
            '<button type="button" data-copy="/row/{}">Copy JSON</button>'
            '<button type="button" data-copy="{}">Copy link</button>{}',
            f"{row['config']}/{quote(row['id'], safe='')}",
            named.link(tab="browse"),
            link(named.link(tab="compare"), "Compare"),
        )
    return fill(
        '<nav class="viewer-toolbar" aria-label="this row">{}{}<a class="viewer-back" data-go href="{}">All rows</a>'
        '<span class="viewer-where">{}</span>{}</nav>',
        *moves,
        unnamed.link(place=None),
        where,
        copies,
    )


def _nothing_found(address: Address) -> Markup:
    everything = Address(tab="browse", version=address.version)
    return fill(
        '<div class="vp viewer-empty"><h3>No row matches this filter</h3><p>Loosen a condition, look among the '
        "rejected rows too, or {}.</p></div>",
        link(everything.link(), "clear the filter"),
    )

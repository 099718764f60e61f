"""Compare: one question as two versions, attempts or generators answered it, word-level differences marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from app.address import Address
from app.differences import find_differences
from app.markup import fill, join, link
from app.opened import Opened, Variant
from app.pages import NOTHING, Screen, disabled, key_link
from app.pages.versions import changes_place, find_changed
from app.pieces import render_difference, render_table, render_trace
from app.trace_html import verdict_badge
from curation.trace import BLOCKS

_FIGURES: Final = {
    "score": "score",
    "observation_tokens": "observation tokens",
    "think_tokens": "think tokens",
    "generator": "generator",
    "attempt": "attempt",
    "prompt_sha256": "prompt",
    "judge": "judge",
    "rejected_by": "rejected by",
}
_TEXTS: Final = (*BLOCKS, "verdict_reason", "completion")


def show_compare(opened: Opened, address: Address) -> Screen:
    """The variants of the question that the address names. Raises UserError."""
    form = fill("{}{}", _form(address), _steps(opened, address))
    if address.row_id is None:
        return Screen(address, fill("{}{}", form, _how(opened, address)))
    variants = opened.variants(address.row_id)
    if not variants:
        note = f"No open dataset has a row with the id {address.row_id:.80}."
        return Screen(address, fill("{}{}", form, _how(opened, address)), notes=[note])
    if len(variants) == 1:
        only = variants[0]
        note = fill(
            '<p class="vp viewer-empty">Only {} has this question, and once. {}</p>',
            only.dataset.shown,
            "" if opened.compared else _second(),
        )
        return Screen(address, fill("{}{}{}", form, note, render_trace(only.row)))
    left, right = _chosen(address.left, 0, variants), _chosen(address.right, 1, variants)
    address = address.changed(left=left or None, right=None if right == 1 else right, place=None)
    sides = (variants[left], variants[right])
    main = fill(
        '{}<div class="vp viewer-compare">{}<section class="vp-question"><h4>Question</h4><div class="vp-text" '
        'dir="auto">{}</div></section>{}{}</div>',
        form,
        _choice(address, variants, left, right),
        sides[0].row["problem"] or "no question was recorded",
        _figures(sides),
        join(_text(name, sides) for name in _TEXTS),
    )
    return Screen(address, main)


def _chosen(asked: int | None, default: int, variants: Sequence[Variant]) -> int:
    number = default if asked is None else asked
    return number if number < len(variants) else min(default, len(variants) - 1)


def _choice(address: Address, variants: Sequence[Variant], left: int, right: int) -> Markup:
    """Which variant stands where: as links, so that every choice has an address."""
    if len(variants) == 2:
        return NOTHING
    sides = (("Left", "left", left), ("Right", "right", right))
    return join(
        fill(
            '<nav class="viewer-choice"><span>{}</span>{}</nav>',
            words,
            join(
                fill(
                    '<a data-go href="{}" aria-current="{}">{}</a>',
                    address.link(**{side: number}),
                    "true" if number == chosen else "false",
                    variant.name,
                )
                for number, variant in enumerate(variants)
            ),
        )
        for words, side, chosen in sides
    )


def _figures(sides: Sequence[Variant]) -> Markup:
    rows: list[tuple[str | Markup, ...]] = [
        ("verdict", *(verdict_badge(side.row["verdict"]) for side in sides)),
    ]
    for name, words in _FIGURES.items():
        values = [_shown(side.row[name]) for side in sides]
        if any(side.row[name] is not None for side in sides):
            rows.append((words, *(fill("<b>{}</b>" if values[0] != values[1] else "{}", value) for value in values)))
    return render_table(("", *(side.name for side in sides)), rows)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.2f}"
        case int():
            return f"{value:,}"
        case str() if len(value) == 64:  # a hash: enough of it to tell two apart
            return f"{value[:12]}..."
        case _:
            return str(value)


def _text(name: str, sides: Sequence[Variant]) -> Markup:
    texts = [side.row[name] for side in sides]
    if texts == [None, None]:
        return NOTHING
    label = name.replace("_", " ")
    if texts[0] == texts[1]:
        same = fill('<div class="vp-text vp-long" dir="auto" tabindex="0">{}</div>', texts[0])
        return fill('<section class="vp-block vp-{}"><h4>{} (the same)</h4>{}</section>', name, label, same)
    differences = find_differences(*(text or "" for text in texts))
    names = [
        side.name if text is not None else f"{side.name}: not there" for side, text in zip(sides, texts, strict=True)
    ]
    return fill(
        '<section class="vp-block vp-{}"><h4>{}</h4>{}</section>',
        name,
        label,
        render_difference(differences, *names),
    )


def _steps(opened: Opened, address: Address) -> Markup:
    """From one question that changed to the next, for who came from their list."""
    if address.change is None or address.row_id is None or not opened.compared:
        return NOTHING
    ids = find_changed(opened, address.change)
    listed = address.changed(row_id=None, place=None, left=None, right=None)
    at = ids.index(address.row_id) if address.row_id in ids else None
    steps = (("previous-row", "Previous", -1), ("next-row", "Next", 1))
    before, after = (
        key_link(listed.changed(row_id=ids[at + by]), key, words)
        if at is not None and 0 <= at + by < len(ids)
        else disabled(words)
        for key, words, by in steps
    )
    where = f"changed question {at + 1:,} of {len(ids):,}" if at is not None else f"{len(ids):,} changed questions"
    return fill(
        '<nav class="viewer-toolbar" aria-label="changed questions">{}{}<span class="viewer-where">{}</span>{}</nav>',
        before,
        after,
        where,
        link(listed.link(), "All of them"),
    )


def _form(address: Address) -> Markup:
    return fill(
        '<form class="vp viewer-form" data-go><input type="hidden" name="tab" value="compare">'
        '<label>Question id <input name="id" value="{}" required></label><button>Compare</button></form>',
        address.row_id or "",
    )


def _how(opened: Opened, address: Address) -> Markup:
    first = opened.dataset.page(Address().filter).rows
    example = first[0].id if first else None
    return fill(
        '<div class="vp viewer-empty"><h3>Compare what was written for one question</h3><p>Enter the id of a question, '
        "or press Compare on the page of a row{}. {}</p></div>{}",
        fill(": {}", link(Address(tab="compare", row_id=example).link(), "an example")) if example else "",
        "" if opened.compared else _second(),
        changes_place(address) if opened.compared else "",
    )


def _second() -> str:
    return "To compare versions, start the viewer with --compare ORG/NAME@TAG, or with a folder or a run."

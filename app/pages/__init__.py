"""The pages of the viewer, one file each: what is open and the address in, HTML out. No control, no Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from markupsafe import Markup

from app.address import Address
from app.markup import fill

NOTHING = Markup("")


@dataclass(frozen=True, slots=True)
class Screen:
    """What a page shows. address: the view as its link should read. listing: beside the main part, on Browse."""

    address: Address
    main: Markup
    listing: Markup = NOTHING
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Said:
    """What a page tells of what was asked last. is_fault: it was not done."""

    words: str = ""
    is_fault: bool = False


NOTHING_SAID: Final = Said()


def show_said(said: Said) -> Markup:
    """A fault looks and is announced like one; nothing where nothing was asked."""
    if said.is_fault:
        return fill('<p role="alert" class="viewer-said viewer-fault"><b>Not done:</b> {}</p>', said.words)
    return fill('<p role="status" class="viewer-said">{}</p>', said.words) if said.words else NOTHING


def key_link(address: Address, key: str, words: str) -> Markup:
    """A link that a key presses too (keys.js)."""
    return fill('<a class="viewer-step" data-go data-key="{}" href="{}">{}</a>', key, address.link(), words)


def disabled(words: str) -> Markup:
    """Where such a link would lead nowhere."""
    return fill('<span class="viewer-step" aria-disabled="true">{}</span>', words)

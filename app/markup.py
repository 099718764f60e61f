"""Text from a dataset or from a person, put into HTML: it can show itself and do nothing else.

    fill('<p title="{}">{}</p>', row["path"], row["problem"])

`fill` escapes each value for the place where its slot stands, so that nobody has to remember to. Characters that
cannot be seen, or that turn round what stands beside them, are shown by their number and still are in a copied text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import lru_cache
from string import Formatter
from typing import Final, NamedTuple

from markupsafe import Markup

MOST_MARKED: Final = 1_000  # characters of one text that are shown by their number, or HTML would grow thirtyfold

# Controls but tab, line feed and the carriage return before one; soft hyphen; what directs text; what has no width;
# tags. Lone surrogates. Not the joiners U+200C and U+200D, which scripts and emoji need.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]|\r(?!\n)"
)
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")  # HTML cannot hold these at all
_REPLACEMENT: Final = "\ufffd"
_SAFE_LINK: Final = re.compile(r"(?:https?://|[/?#](?!/))[!-\[\]-~]*")  # printable ASCII, no backslash


class _Slot(NamedTuple):
    """literal: what stands before it. name: empty = the next value, digits = that of this place, null = no slot."""

    literal: str
    in_tag: bool
    name: str | None
    spec: str


def fill(template: str, /, *values: object, **named: object) -> Markup:
    """The template with each value escaped for its place; one that is Markup already goes in as it is.

    A slot inside a tag belongs between double quotes. Raises TypeError for None, which every caller has to word.
    """
    pieces = []
    in_turn = iter(values)
    for literal, in_tag, name, spec in _slots(template):
        pieces.append(literal)
        if name is None:
            continue
        value = next(in_turn) if not name else values[int(name)] if name.isdecimal() else named[name]
        if value is None:
            raise TypeError(f"no value for {name or 'a slot'} in {template[:80]!r}")
        if isinstance(value, Markup):
            pieces.append(value)
        else:
            pieces.append((attribute if in_tag else visible)(format(value, spec)))
    return Markup("".join(pieces))


def join(pieces: Iterable[Markup]) -> Markup:
    """One piece of HTML out of several."""
    return Markup("").join(pieces)


def cut(text: str, most: int) -> str:
    """A name from a dataset for one place of a page, at most so many characters of it."""
    return text if len(text) <= most else text[: most - 3] + "..."


def visible(text: str) -> Markup:
    """Text as the content of an element.

    NUL and lone surrogates, which HTML cannot hold, read U+FFFD; so do all unseen characters where there are more than
    MOST_MARKED of them, and a note says so.
    """
    escaped = html.escape(text)
    num_unseen = sum(1 for _ in _UNSEEN.finditer(escaped))
    if num_unseen <= MOST_MARKED:
        return Markup((_UNSEEN.sub(_mark, escaped) if num_unseen else escaped).replace("\r\n", "&#13;\n"))
    note = f'<small class="vp-note">{num_unseen:,} characters that cannot be seen are shown as &#xFFFD;.</small>'
    return Markup(note + _UNSEEN.sub(_REPLACEMENT, escaped).replace("\r\n", "&#13;\n"))


def attribute(text: str) -> Markup:
    """Text as the value of an attribute; unseen characters read U+FFFD."""
    return Markup(_UNSEEN.sub(_REPLACEMENT, html.escape(text)))


def link(href: str, label: str | Markup, *, css: str = "") -> Markup:
    """A link to a place of ours (?..., #..., /...) or of the web; with any other address the label alone."""
    if not _SAFE_LINK.fullmatch(href):
        return fill('<span class="{}">{}</span>', css, label)
    if href.startswith("?"):  # a view of the viewer: keys.js goes there without loading the page anew
        return fill('<a class="{}" data-go href="{}">{}</a>', css, href, label)
    if href.startswith("http"):
        return fill('<a class="{}" href="{}" target="_blank" rel="noopener noreferrer">{}</a>', css, href, label)
    return fill('<a class="{}" href="{}">{}</a>', css, href, label)


@lru_cache(maxsize=512)
def _slots(template: str) -> tuple[_Slot, ...]:
    found = []
    in_tag = False
    for literal, name, spec, _ in Formatter().parse(template):
        # Only our own text opens or closes a tag: a value never does.
        if (edge := max(literal.rfind("<"), literal.rfind(">"))) >= 0:
            in_tag = literal[edge] == "<"
        found.append(_Slot(literal, in_tag, name, spec or ""))
    return tuple(found)


def _mark(found: re.Match[str]) -> str:
    """The character's number, set apart; <bdi> keeps what it does to itself."""
    char = "&#13;" if found[0] == "\r" else _UNSTORABLE.sub(_REPLACEMENT, found[0])
    return f'<bdi class="vp-char" title="U+{ord(found[0]):04X}">{char}</bdi>'

"""The address bar: everything that the viewer shows follows from the URL's query, so that any view can be linked.

    ?tab=browse&type=OCR&id=3f2a...&at=0123456789ab

Whatever a query says that cannot be meant is ignored and named in a note. A link says in which version of the dataset
it was made (`at`), so that a reader of another version is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import parse_qsl, urlencode

from app.filters import Filter
from curation.report import plain

Tab = Literal["overview", "browse", "compare", "rollouts", "label"]
TABS: Final[tuple[Tab, ...]] = get_args(Tab)
MOST_CHARS: Final = 16_000  # of a query; browsers and proxies refuse longer ones
MOST_SAMPLED: Final = 10_000

_MOST: Final = 2**53  # a browser's numbers are exact up to here
# Key -> (field, least, most).
_NUMBERS: Final = {
    "place": ("place", 0, _MOST),
    "left": ("left", 0, 999),
    "right": ("right", 0, 999),
    "sample": ("num_sampled", 0, MOST_SAMPLED),
    "seed": ("seed", 0, _MOST),
    "n": ("number", 1, MOST_SAMPLED),
    "groups": ("groups_page", 1, _MOST),
    "group": ("group", 0, _MOST),
    "changes": ("changes_page", 1, _MOST),
}
_TEXTS: Final = {"id": "row_id", "at": "version", "order": "group_order", "change": "change"}


@dataclass(frozen=True, slots=True)
class Address:
    """One view. row_id, place: the open row; the place tells rows of the same id apart. version: where the link was
    made. left, right: which two variants of the question stand side by side. num_sampled, seed, number: the sample to
    label and where in it, from 1; number null = the first that is not labelled. groups_page, group_order, group: which
    rollouts. change, changes_page: which of the questions that changed between versions are listed.
    """

    tab: Tab = "overview"
    filter: Filter = field(default_factory=Filter)
    row_id: str | None = None
    place: int | None = None
    version: str | None = None
    left: int | None = None
    right: int | None = None
    num_sampled: int | None = None
    seed: int | None = None
    number: int | None = None
    groups_page: int | None = None
    group_order: str | None = None
    group: int | None = None
    change: str | None = None
    changes_page: int | None = None

    def changed(self, **changes: Any) -> Address:
        """The same view but for these fields."""
        return replace(self, **changes)

    def link(self, **changes: Any) -> str:
        """The relative URL of the view with these fields changed."""
        return "?" + urlencode(self.changed(**changes).to_query())

    def to_query(self) -> dict[str, str]:
        """What differs from the default."""
        query: dict[str, str] = {} if self.tab == TABS[0] else {"tab": self.tab}
        query |= self.filter.to_query()
        for key, name in (*_TEXTS.items(), *((key, spec[0]) for key, spec in _NUMBERS.items())):
            if (value := getattr(self, name)) is not None:
                query[key] = str(value)
        return query

    @classmethod
    def from_query(cls, text: str) -> tuple[Address, list[str]]:
        """The view that a URL's query names, and a line for each part of it that was ignored. Never raises."""
        if len(text) > MOST_CHARS:
            return cls(), [f"The address has {len(text):,} characters; more than {MOST_CHARS:,} are not read."]
        query = dict(parse_qsl(text.removeprefix("?"), keep_blank_values=True, errors="replace"))
        notes: list[str] = []
        fields: dict[str, Any] = {}
        for key, (name, least, most) in _NUMBERS.items():
            if (value := query.get(key)) is not None:
                number = int(value) if value.isascii() and value.isdecimal() and len(value) <= 16 else -1
                if least <= number <= most:
                    fields[name] = number
                else:
                    notes.append(f"{key}={plain(value)} is no whole number from {least:,} to {most:,}.")
        fields |= {name: query[key] for key, name in _TEXTS.items() if query.get(key)}
        fields["tab"] = query.get("tab", "browse" if "id" in query else TABS[0])
        if fields["tab"] not in TABS:
            notes.append(f"There is no page {plain(fields['tab'])}; there are {', '.join(TABS)}.")
            fields["tab"] = TABS[0]
        ours = (*_NUMBERS, *_TEXTS, "tab")
        filter, ignored = Filter.from_query(cast("Mapping[str, str]", query), others=ours)
        return cls(filter=filter, **fields), [*notes, *ignored]

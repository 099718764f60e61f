"""What a benchmark's loader is made of: where it lies, the columns it must have, and how a row becomes a question.

A loader knows one layout exactly. A column that is missing or of another type is refused in one line, because a misread
benchmark gives a plausible score; columns that a repository adds are noted and not read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from curation.errors import UserError
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Protocol

NOT_MULTIPLE_CHOICE: Final = "not multiple choice"  # why MMVU and VCR-Bench leave rows out
_SHOWN: Final = 300  # characters of an error about a row


class BenchmarkError(UserError, ValueError):
    """A benchmark that cannot be read, or that its hub does not give."""


class UnreadableGold(ValueError):
    """A row whose gold is no answer, so that nothing could be right: left out and counted."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that the protocol does not use, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Columns:
    """required: in every row. one_of: at least one of these. optional: may be there. Any other is extra: not read."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    one_of: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        """All that may be there."""
        return self.required | self.optional | self.one_of

    def fault(self, found: Collection[str]) -> str | None:
        """Which column is lacking among those that were found; None when none is."""
        if absent := sorted(self.required - set(found)):
            return f"lacks the column {', '.join(absent)}"
        if self.one_of and self.one_of.isdisjoint(found):
            return f"lacks the column {' or '.join(sorted(self.one_of))}"
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """One row. part: the config that it is of. number: its place in the part, from 0. place: "file:record" for people.

    Its readers raise BenchmarkError for a value of another type than the layout says.
    """

    title: str
    part: str
    number: int
    place: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A text that is not blank, stripped."""
        value = self.values[name]
        if not isinstance(value, str) or not value.strip():
            raise self.fault(f"{name} must be text, not {value!r}")
        return value.strip()

    def identifier(self, name: str) -> str:
        """A text or an integer, as text."""
        value = self.values[name]
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.text(name)

    def gold(self, name: str) -> str:
        """A text or a number, as text. Raises UnreadableGold where the row has none, so that nothing could be right."""
        value = self.values[name]
        if value is None or (isinstance(value, str) and not value.strip()):
            raise UnreadableGold(f"{name} is empty")
        if not isinstance(value, str) and not is_number(value):
            raise self.fault(f"{name} must be text or a number, not {value!r}")
        return str(value).strip()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts or numbers, as texts; they may be blank (choices that only a picture shows). () for null."""
        value = self.values.get(name)
        if value is None:
            return ()
        is_list = isinstance(value, list | tuple)
        if not is_list or not all(isinstance(entry, str) or is_number(entry) for entry in value):
            raise self.fault(f"{name} must be a list of texts, not {value!r}")
        return tuple(str(entry) for entry in value)

    def choices(self, name: str, value: object) -> dict[str, str]:
        """{"A": text or number}, as texts, without those that are blank or null. value: what the column holds, read."""
        if not isinstance(value, Mapping):
            raise self.fault(f"{name} must hold texts by their letters, not {value!r}")
        for letter, choice in value.items():
            if not (choice is None or isinstance(choice, str) or is_number(choice)):
                raise self.fault(f"{name} {letter} must be text, not {choice!r}")
        texts = {letter: "" if choice is None else str(choice).strip() for letter, choice in value.items()}
        return {letter: text for letter, text in texts.items() if text}

    def seconds(self, name: str) -> float | None:
        """A number, at least 0; None when the row has none."""
        value = self.values.get(name)
        if value is None:
            return None
        if not is_number(value) or value < 0:
            raise self.fault(f"{name} must be seconds, not {value!r}")
        return float(value)

    def one_of(self, name: str, known: Collection[str]) -> str:
        """A text that is one of `known`."""
        value = self.text(name)
        if value not in known:
            raise self.fault(f"{name} is {value!r}, which is none of {', '.join(known)}")
        return value

    def optional_groups(self, **names: str) -> dict[str, str]:
        """group -> the text of the column, for those columns that have one."""
        return {
            group: value.strip()
            for group, name in names.items()
            if isinstance(value := self.values.get(name), str) and value.strip()
        }

    def fault(self, what: str) -> BenchmarkError:
        """What is wrong with this row, in one line."""
        shown = " ".join(what.split())
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        return BenchmarkError(f"{self.title}, {self.place}: {shown}. Use the revision that this loader knows.")


def is_number(value: Any) -> bool:
    """A finite one; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


ReadRow = Callable[[Row, MediaRoot, Protocol], BenchmarkQuestion | LeftOut]


@dataclass(frozen=True, slots=True)
class Layout:
    """One benchmark on the hub.

    name: ours. repo: where it is published; mirrors have the same columns. licence and is_gated: as its page says
    (reference: benchmarks.md), for the error when the hub refuses.
    parts: config -> glob patterns of its files, the first that matches is used; a README with `configs:` goes before.
    default_parts: those that make the benchmark (of VSI-Bench's configs any one is the benchmark). num_rows: in them.
    num_asked: protocol -> how many of these rows it asks, where it is not all of them.
    media: what to fetch and unpack, and where; media_bytes: its size, None where no source says so.
    """

    name: str
    title: str
    repo: str
    mirrors: tuple[str, ...]
    licence: str
    is_gated: bool
    split: str
    parts: Mapping[str, tuple[str, ...]]
    default_parts: tuple[str, ...]
    columns: Columns
    num_rows: int
    media: str
    media_bytes: int | None
    read: ReadRow
    num_asked: Mapping[Protocol, int] = field(default_factory=dict)

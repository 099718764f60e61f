"""Full-text search: all words, quoted phrases kept together, in any case, every character meaning itself.

Nothing is indexed. The texts stream from the Parquet files, in parallel, and a search of 262,000 traces takes less
than a second; an index of them would take longer to build than a reader looks.

Case is folded as Unicode says (str.casefold): a regular expression that ignores case does so one character at a time,
so the hundred characters that fold to several (the sharp s to ss) are unfolded first, where a text has any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final

import polars as pl

SEARCHED: Final = ("problem", "observation", "think")

Terms = tuple[str, ...]

_TERM: Final = re.compile(r'"([^"]*)"|(\S+)')
_WHITE: Final = r"[\s\x1c-\x1f]+"  # to Python the controls are white space, to Rust they are not
_LONG_FOLDS: Final = {char: char.casefold() for char in map(chr, range(0x10000)) if len(char.casefold()) > 1}


class SharedScan:
    """Searches of many threads: one pass over the texts at a time answers all that have come since the last began.

    A pass takes all cores and reads all texts, whatever it looks for, so twenty searches are little more work than one.
    """

    def __init__(self, scan: Callable[[Sequence[Terms]], Mapping[Terms, pl.Series]]) -> None:
        """scan: one pass for several searches."""
        self._scan = scan
        self._passes = ThreadPoolExecutor(1)
        self._lock = Lock()
        self._next: tuple[list[Terms], Future[Mapping[Terms, pl.Series]]] | None = None

    def find(self, terms: Terms) -> pl.Series:
        """What the scan gives for these terms; raises what it raises."""
        with self._lock:
            if self._next is None:
                self._next = ([], self._passes.submit(self._begin))
            asked, answer = self._next
            asked.append(terms)
        return answer.result()[terms]

    def _begin(self) -> Mapping[Terms, pl.Series]:
        with self._lock:
            assert self._next is not None
            asked, self._next = self._next[0], None
        return self._scan(list(dict.fromkeys(asked)))


def search_terms(text: str) -> Terms:
    """The words and the "quoted phrases", folded, each once. A quote that is never closed is a character like any."""
    found = ((phrase or word).casefold() for phrase, word in _TERM.findall(text))
    return tuple(dict.fromkeys(term for term in found if term.strip()))


def holds_all(terms: Sequence[str]) -> pl.Expr:
    """Whether each term, of one or more, stands in one of the columns SEARCHED; a null text holds nothing."""
    return pl.all_horizontal(pl.any_horizontal(_holds(column, term) for column in SEARCHED) for term in terms)


def _holds(column: str, term: str) -> pl.Expr:
    """White space in a phrase stands for any, as a browser shows it."""
    pattern = "(?i)" + _WHITE.join(pl.escape_regex(part) for part in re.split(r"\s+", term))
    text = pl.col(column)
    # Only texts beyond ASCII are unfolded: to copy all would double the time.
    beyond_ascii = pl.when(text.str.len_bytes() != text.str.len_chars()).then(text)
    unfolded = beyond_ascii.str.replace_many(list(_LONG_FOLDS), list(_LONG_FOLDS.values()))
    return (text.str.contains(pattern) | unfolded.str.contains(pattern).fill_null(False)).fill_null(False)

"""Full-text search: all words, quoted phrases kept together, in any case, every character meaning itself.

Nothing is indexed. The texts stream from the Parquet files, in parallel, and a search of 262,000 traces takes less
than a second; an index of them would take longer to build than a reader looks.

Case is folded as Unicode says (str.casefold): a regular expression that ignores case does so one character at a time,
so the hundred characters that fold to several (the sharp s to ss) are unfolded first, where a text has any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

SEARCHED: Final = ("problem", "observation", "think")

_TERM: Final = re.compile(r'"([^"]*)"|(\S+)')
_WHITE: Final = r"[\s\x1c-\x1f]+"  # to Python the controls are white space, to Rust they are not
_LONG_FOLDS: Final = {char: char.casefold() for char in map(chr, range(0x10000)) if len(char.casefold()) > 1}


def search_terms(text: str) -> tuple[str, ...]:
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

"""Repetition loops: how much of a text was already said, word for word."""

from __future__ import annotations

from itertools import chain
from typing import Final

from curation.scoring.words import words

NGRAM: Final = 8  # words; long enough that only loops and quotations repeat it
_LONGEST_WORD: Final = 40  # a longer run of characters without a space is read character by character


def repetition(text: str) -> float:
    """The share of words, in [0, 1], inside an 8-gram that occurred before. Linear time; case does not count.

    After the duplicate n-gram rules for web text (Gopher, Rae et al. 2021, table A1). A loop that is written without
    spaces, or in a script without spaces, counts by characters.
    """
    tokens = list(chain.from_iterable([word] if len(word) <= _LONGEST_WORD else word for word in words(text.lower())))
    seen: set[int] = set()
    num_repeated = 0
    covered_until = 0
    for start in range(len(tokens) - NGRAM + 1):
        ngram = hash(tuple(tokens[start : start + NGRAM]))
        if ngram in seen:
            num_repeated += start + NGRAM - max(start, covered_until)
            covered_until = start + NGRAM
        seen.add(ngram)
    return num_repeated / len(tokens) if tokens else 0.0

"""Word error rate, by jiwer, in bounded time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import jiwer

MAX_WER_WORDS: Final = 10_000  # the alignment is quadratic; a page has about 500


def word_accuracy(given: Sequence[str], wanted: Sequence[str]) -> float:
    """1 - word error rate of `given` against `wanted`, clipped to [0, 1]; 1 when both are empty.

    Of either list the first MAX_WER_WORDS count.
    """
    if list(given) == list(wanted):
        return 1.0
    if len(given) >= 2 * len(wanted):  # at least len(wanted) insertions: the error rate is 1 or more
        return 0.0
    reference, hypothesis = (" ".join(words[:MAX_WER_WORDS]) for words in (wanted, given))
    return max(0.0, 1.0 - float(jiwer.wer(reference, hypothesis)))

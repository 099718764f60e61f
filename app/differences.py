"""Two texts, word by word: what stands in both, what only on the left, what only on the right.

Nothing of either text is lost: the spans of a side, joined, are that side. Words are aligned by their longest common
subsequence, which takes time in the product of the two lengths. So where both sides are very long they are first cut
at phrases that stand once in each (the idea of patience diff). A stretch that offers none is cut at equal distances,
and `is_coarse` says so: near these cuts words may be marked that stand on the other side as well.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final, Literal, NamedTuple

from rapidfuzz.distance import LCSseq

Kind = Literal["same", "removed", "added"]

MOST_PAIRS: Final = 16_000 * 16_000  # words of the left times words of the right: below 0.1 s, 32 MB
_PHRASE: Final = 4  # words; single words are too rarely unique in a long text
_WINDOW: Final = 4_000  # words, of a stretch that is cut at equal distances
_MOST_CUTS: Final = 8  # times that a stretch is cut again, so that no text takes quadratic time

# Chinese, Japanese and Korean need no space between words: there, a character is a word.
_CJK: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_LETTERS: Final = rf"[^\s!-/:-@\[-`{{-~{_CJK}]+"
# A word, with the marks inside it (3.5, don't, left-hand), or else one character; then the white space after it.
_WORD: Final = re.compile(rf"({_LETTERS}(?:[.,'_-]{_LETTERS})*|\S)(\s*)")


class Span(NamedTuple):
    """A stretch of one side; its text is never empty."""

    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Difference:
    """left: spans that are same or removed. right: same or added. What is the same joins to one text on both sides."""

    left: tuple[Span, ...]
    right: tuple[Span, ...]
    is_coarse: bool


class _Stretch(NamedTuple):
    """Words [start, stop) of the left against words [other_start, other_stop) of the right, after `num_cuts` cuts."""

    start: int
    stop: int
    other_start: int
    other_stop: int
    num_cuts: int = 0


def find_differences(left: str, right: str) -> Difference:
    """Compare two texts. White space counts: where only that differs, only that is marked."""
    words, others = _split(left), _split(right)
    numbers: dict[str, int] = {}
    keys = [numbers.setdefault(word, len(numbers)) for word, _ in words]
    other_keys = [numbers.setdefault(word, len(numbers)) for word, _ in others]
    pairs, is_coarse = _align(keys, other_keys)
    spaces = {place: others[other][1] for place, other in pairs}
    other_spaces = {other: words[place][1] for place, other in pairs}
    return Difference(_mark(words, spaces, "removed"), _mark(others, other_spaces, "added"), is_coarse)


def _split(text: str) -> list[tuple[str, str]]:
    """Every word with the white space after it. The first is an empty word, with what white space leads the text."""
    num_leading = len(text) - len(text.lstrip())
    return [("", text[:num_leading]), *((match[1], match[2]) for match in _WORD.finditer(text, num_leading))]


def _mark(words: Sequence[tuple[str, str]], spaces: Mapping[int, str], kind: Kind) -> tuple[Span, ...]:
    """The spans of one side. spaces: the places that stand on the other side too -> the white space there."""
    marked: list[tuple[str, Kind]] = []
    for place, (word, space) in enumerate(words):
        marked.append((word, "same" if place in spaces else kind))
        if space:
            marked.append((space, "same" if spaces.get(place) == space else kind))
    joined = (("".join(text for text, _ in run), of) for of, run in groupby(marked, itemgetter(1)))
    return tuple(Span(text, of) for text, of in joined if text)


def _align(left: Sequence[int], right: Sequence[int]) -> tuple[list[tuple[int, int]], bool]:
    """Places of equal words, rising on both sides, and whether some stretch was cut at equal distances."""
    pairs: list[tuple[int, int]] = []
    is_coarse = False
    waiting = [_Stretch(0, len(left), 0, len(right))]
    while waiting:
        stretch = _trim(waiting.pop(), left, right, pairs)
        start, stop, other_start, other_stop, num_cuts = stretch
        if (stop - start) * (other_stop - other_start) <= MOST_PAIRS:
            blocks = LCSseq.editops(left[start:stop], right[other_start:other_stop]).as_matching_blocks()
            for block in blocks:
                pairs.extend((start + block.a + step, other_start + block.b + step) for step in range(block.size))
        elif num_cuts < _MOST_CUTS and (anchors := _anchors(stretch, left, right)):
            edges = [(start - 1, other_start - 1), *anchors, (stop, other_stop)]
            waiting.extend(
                _Stretch(before + 1, after, other_before + 1, other_after, num_cuts + 1)
                for (before, other_before), (after, other_after) in pairwise(edges)
            )
            pairs.extend(anchors)
        else:
            is_coarse = True
            waiting.extend(_windows(stretch))
    return sorted(pairs), is_coarse


def _trim(stretch: _Stretch, left: Sequence[int], right: Sequence[int], pairs: list[tuple[int, int]]) -> _Stretch:
    """The stretch without what both sides begin and end with, which goes to `pairs`."""
    start, stop, other_start, other_stop, num_cuts = stretch
    while start < stop and other_start < other_stop and left[start] == right[other_start]:
        pairs.append((start, other_start))
        start, other_start = start + 1, other_start + 1
    while start < stop and other_start < other_stop and left[stop - 1] == right[other_stop - 1]:
        stop, other_stop = stop - 1, other_stop - 1
        pairs.append((stop, other_stop))
    return _Stretch(start, stop, other_start, other_stop, num_cuts)


def _windows(stretch: _Stretch) -> list[_Stretch]:
    """The stretch in parts of at most _WINDOW words on either side, each at the same share of its side."""
    start, stop, other_start, other_stop, num_cuts = stretch
    num = -(-max(stop - start, other_stop - other_start) // _WINDOW)
    edges = [
        (start + (stop - start) * place // num, other_start + (other_stop - other_start) * place // num)
        for place in range(num + 1)
    ]
    return [
        _Stretch(begin, end, other_begin, other_end, num_cuts)
        for (begin, other_begin), (end, other_end) in pairwise(edges)
    ]


def _anchors(stretch: _Stretch, left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    """Where phrases begin that stand once on either side: as many as keep their order, the longest rising sequence."""
    once = _once(left, stretch.start, stretch.stop)
    other_once = _once(right, stretch.other_start, stretch.other_stop)
    pairs = [(place, other_once[phrase]) for phrase, place in once.items() if phrase in other_once]
    # ends[n]: the smallest right place that ends a rising sequence of n + 1; ending[n]: which pair that is.
    ends: list[int] = []
    ending: list[int] = []
    before: list[int | None] = []
    for index, (_, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        before.append(ending[length - 1] if length else None)
        ends[length : length + 1] = [other]
        ending[length : length + 1] = [index]
    rising: list[tuple[int, int]] = []
    last = ending[-1] if ending else None
    while last is not None:
        rising.append(pairs[last])
        last = before[last]
    return rising[::-1]


def _once(keys: Sequence[int], start: int, stop: int) -> dict[tuple[int, ...], int]:
    """The phrases of [start, stop) that stand there once -> where they begin, in order."""
    phrases = list(zip(*(keys[start + step : stop] for step in range(_PHRASE)), strict=False))
    counts = Counter(phrases)
    return {phrase: place for place, phrase in enumerate(phrases, start) if counts[phrase] == 1}

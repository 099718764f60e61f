"""English number words: "four", "twenty-one", "one hundred and five", "two thirds", "three and a half", "a dozen"."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_ONES: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL: Final = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_LARGE: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS: Final = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_PARTS_WORDS: Final = _PARTS | {f"{word}s": value for word, value in _PARTS.items()} | {"halves": 2}
NUMBER_WORDS: Final = frozenset((*_SMALL, "hundred", *_LARGE))
_WORDS: Final = NUMBER_WORDS | {*_PARTS_WORDS, "dozen"}
_WORD: Final = re.compile(r"[\s-]*([A-Za-z]+)")
_MAX_WORDS: Final = 20


def read_number_words(text: str) -> tuple[Fraction, str] | None:
    """(the number at the head of a text, what follows it), or None when no number word is there, or more than one."""
    words, ends = _split(text)
    num_read, value = _read(words)
    if not num_read or any(word in _WORDS for word in words[num_read:]):
        return None
    return value, text[ends[num_read - 1] :]


def _split(text: str) -> tuple[list[str], list[int]]:
    """The first words in small letters, and where each ends."""
    words: list[str] = []
    ends: list[int] = []
    while len(words) < _MAX_WORDS and (match := _WORD.match(text, ends[-1] if ends else 0)):
        words.append(match[1].lower())
        ends.append(match.end())
    return words, ends


def _read(words: list[str]) -> tuple[int, Fraction]:
    """(how many words make up the number, its value)."""
    place, value = _read_integer(words)
    if place and words[place : place + 3] == ["and", "a", "half"]:
        return place + 3, value + Fraction(1, 2)
    rest = words[place:]
    if not place and rest[:1] in (["a"], ["an"]) and len(rest) > 1 and rest[1] in _PARTS:
        return 2, Fraction(1, _PARTS[rest[1]])
    if not place and rest[:1] == ["half"]:
        return 1, Fraction(1, 2)
    if place and value.denominator == 1 and rest and rest[0] in _PARTS_WORDS:
        return place + 1, value / _PARTS_WORDS[rest[0]]
    return place, value


def _read_integer(words: list[str]) -> tuple[int, Fraction]:
    """By the grammar of English: [group thousand-word]... [group]; a group is [n hundred [and]] [tens [ones]]."""
    place, total, limit = 0, 0, 10**15
    while place < len(words):
        start = place + 1 if total and words[place] == "and" else place
        end, group = _read_group(words, start)
        if end == start:
            break
        scale = _LARGE.get(words[end], 1) if end < len(words) else 1
        if group * scale >= limit:
            break
        place = end + (scale > 1)
        total, limit = total + group * scale, scale
        if scale == 1:
            break
    return place, Fraction(total)


def _read_group(words: list[str], start: int) -> tuple[int, int]:
    """(where a number below 1,000 or a dozen ends, its value)."""
    if words[start : start + 2] in (["a", "hundred"], ["a", "thousand"], ["a", "million"], ["a", "dozen"]):
        if words[start + 1] not in ("hundred", "dozen"):
            return start + 1, 1
        place, value = start + 1, 1
    else:
        place, value = _read_below_hundred(words, start)
    if place > start and words[place : place + 1] == ["dozen"]:
        return place + 1, 12 * value
    if place == start or words[place : place + 1] != ["hundred"] or not 0 < value < 20:
        return place, value
    place, value = place + 1, 100 * value
    after = place + 1 if words[place : place + 1] == ["and"] else place
    end, rest = _read_below_hundred(words, after)
    return (end, value + rest) if end > after else (place, value)


def _read_below_hundred(words: list[str], start: int) -> tuple[int, int]:
    if start >= len(words) or words[start] not in _SMALL:
        return start, 0
    value = _SMALL[words[start]]
    following = _SMALL.get(words[start + 1], 0) if start + 1 < len(words) else 0
    return (start + 2, value + following) if value >= 20 and 0 < following < 10 else (start + 1, value)

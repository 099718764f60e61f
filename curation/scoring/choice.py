"""Which option an answer to a multiple-choice question names: by its letter, by its text, or by both.

Accepted are "B", "b", "B.", "(B)", "B) a red car", "B. a red car", "Option B", "the answer is B", and the text of one
option alone. Not accepted: two letters ("B and C"), a letter whose text belongs to another option, and an article or
an abbreviation that looks like a letter ("a red car", "U.S. flag").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

MAX_CHOICE_CHARS: Final = 2_000  # a longer answer to a multiple-choice question names no option

_MARKUP: Final = " \t\r\n*_`\"'$\u201c\u201d\u2018\u2019"
_HALF_WIDTH: Final = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: 0x20}
_LABEL: Final = re.compile(r"\(?([A-Za-z])(?:\)[.:]?|[.:])\s*(.*)", re.DOTALL)
_LETTER: Final = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\]]?[.):,;!]*")
_STATEMENT: Final = re.compile(
    r"(?:(?:so|thus|therefore|hence),? )?(?:(?:the |my )?(?:(?:correct|right|best|final) )?(?:answer|option|choice)"
    r"(?: is| would be)?|(?:it|this|that)(?: is|'s))(?:\s*:\s*|\s+|(?=\())(?:option |choice )?[*_]*",
    re.IGNORECASE,
)
# B. text, B) text, B: text, B, text, B - text; but not the e of "e.g." or the U of "U.S."
_LETTER_AND_TEXT: Final = re.compile(
    r"\(?([A-Za-z])(?:\)[.:,]?|[.:,]|\s+[-\u2013\u2014](?=\s)|(?=\n))(?!\w\.|\w$)\s*(\S.*)", re.DOTALL
)
_LETTER_SPACE_TEXT: Final = re.compile(r"([A-Z])\s+(\S.*)", re.DOTALL)
_SECOND_LETTER: Final = re.compile(
    r"(?:^|\b(?:and|or)\b|[,/&])\s*\(?[A-Z]\)?\s*(?:$|[.,):;/&]|\b(?:and|or)\b)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its letter and its text without the letter."""

    letter: str
    text: str


def parse_options(options: Sequence[str]) -> list[Option]:
    """Letters as the options carry them ("A. x", "A) x", "(A) x"); by position when not all carry one of their own."""
    labels = [_LABEL.fullmatch(option.strip()) for option in options]
    letters = [label[1].upper() for label in labels if label]
    if len(set(letters)) == len(options):
        return [Option(label[1].upper(), label[2].strip()) for label in labels if label]
    return [Option(letter, option.strip()) for letter, option in zip(ascii_uppercase, options, strict=False)]


def same_choice(answer: str, gold: str, options: Sequence[str]) -> bool:
    """Whether two texts name the same option; without options, whether they are the same letter or the same text."""
    wanted = named_letter(gold, options)
    if wanted is None:
        return fold(answer) == fold(gold) != ""
    return named_letter(answer, options) == wanted


def named_letter(text: str, options: Sequence[str]) -> str | None:
    """The capital letter of the one option that `text` names, or None. Never raises; linear time."""
    if len(text) > MAX_CHOICE_CHARS:
        return None
    text = _plain(text).strip(_MARKUP)
    if letter := _LETTER.fullmatch(text):  # most answers: no need to read the options
        return letter[1].upper()
    known = parse_options(options)
    if found := _letter_of(text, known):
        return found
    statement = _STATEMENT.match(text)
    return _letter_of(text[statement.end() :].strip(_MARKUP), known) if statement else None


def fold(text: str) -> str:
    """Case, width, runs of white space, surrounding quotes and closing punctuation do not count."""
    folded = " ".join(_plain(text).casefold().split())
    return folded.strip(_MARKUP).rstrip(".,;:!").strip(_MARKUP)


def _plain(text: str) -> str:
    """Composed, and full-width letters in half width; superscripts stay, for a small 2 is not a 2."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_HALF_WIDTH)


def _letter_of(text: str, options: Sequence[Option]) -> str | None:
    """A letter, an option's text, or a letter with its text."""
    if letter := _LETTER.fullmatch(text):
        return letter[1].upper()
    owners = _owners(text, options)
    if owners:
        return owners.pop() if len(owners) == 1 else None
    if labelled := _LETTER_AND_TEXT.fullmatch(text):
        return _confirmed(labelled[1].upper(), labelled[2], options)
    if spaced := _LETTER_SPACE_TEXT.fullmatch(text):  # "A red car": a letter only where option A is "red car"
        return spaced[1] if spaced[1] in _owners(spaced[2], options) else None
    return None


def _owners(text: str, options: Sequence[Option]) -> set[str]:
    """The letters of the options with this text."""
    folded = fold(text)
    return {option.letter for option in options if folded and fold(option.text) == folded}


def _confirmed(letter: str, text: str, options: Sequence[Option]) -> str | None:
    """The letter, unless the text beside it is that of another option or names a second letter."""
    if owners := _owners(text, options):
        return letter if letter in owners else None
    return None if _SECOND_LETTER.search(text) else letter

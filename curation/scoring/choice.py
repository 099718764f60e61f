"""Which option an answer to a multiple-choice question names: by its letter, by its text, or by both.

Accepted are "B", "b", "B.", "(B)", "B) a red car", "B. a red car", "Option B", "the answer is B", "B because ...",
"\\boxed{B}", the Chinese "the answer is B" and "I choose B", and the text of one option alone, with another article or
none. Not accepted: two letters ("B and C"), a letter whose text belongs to another option, a letter that no option
has, and an article or an abbreviation that looks like a letter ("a red car", "U.S. flag").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from curation.scoring.latex import plain_latex

MAX_OPTIONS: Final = len(ascii_uppercase)
MAX_CHOICE_CHARS: Final = 2_000  # a longer answer to a multiple-choice question names no option

_MARKUP: Final = " \t\r\n*_`\"'$\u201c\u201d\u2018\u2019\u300c\u300d\u3002\ufe0e\ufe0f"  # with the full stop of Chinese
_HALF_WIDTH: Final = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: 0x20}
# "A. x", "A) x", "(A) x", "[A] x", "A: x", "Option A: x", or the letter alone; but not the A of "A.D."
_LABEL: Final = re.compile(
    r"(?:(?:option|choice)\s+)?[(\[]?([A-Z])(?:$|[)\]][.:]?|[.:\u3001](?![A-Z]\.))\s*(.*)", re.DOTALL | re.IGNORECASE
)
_LETTER: Final = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\]]?[.):,;!]*")
_STATEMENT: Final = re.compile(
    r"(?:(?:so|thus|therefore|hence),? )?(?:(?:the |my )?(?:(?:correct|right|best|final) )?"
    r"(?:answer|option|choice|(?<=correct )one|(?<=right )one)(?: is| would be)?|(?:it|this|that|there)(?: is|'s)"
    r"|there are|i(?: would|'d)? (?:choose|select|pick|go with|answer))(?:\s*:\s*|\s+|(?=\())(?:option |choice )?[*_]*",
    re.IGNORECASE,
)
# In Chinese: [so] [the correct] answer / option [is]; [I, should] choose; option
_STATEMENT_ZH: Final = re.compile(
    "(?:(?:\u6240\u4ee5|\u56e0\u6b64|\u6545|\u7efc\u4e0a)[,:]?\\s*)?"
    "(?:(?:\u6211\u7684|\u6b63\u786e|\u6700\u4f73|\u6700\u7ec8)?\u7684?(?:\u7b54\u6848|\u9009\u9879|\u9009\u62e9)"
    "(?:\u5e94\u8be5|\u5e94)?(?:\u662f|\u4e3a|\u9009)?"
    "|(?:\u6211|\u5e94\u8be5|\u5e94|\u6545)?(?:\u9009\u62e9|\u9009))\\s*:?\\s*(?:\u9009\u9879)?"
)
# What may follow a letter in Chinese: option, item; [is] correct [answer].
_LETTER_ZH: Final = re.compile(
    "[(\\[]?([A-Z])[)\\]]?\\s*(?:\u9009\u9879|\u9879)?(?:\u662f?(?:\u6b63\u786e|\u5bf9)\u7684?(?:\u7b54\u6848|\u9009\u9879)?)?"
    "(?:\\s*[,.;\u3002]?\\s*\u56e0\u4e3a[^A-Z]*)?[.\u3002]?"
)
# B. text, B) text, B: text, B, text, B - text; but not the e of "e.g." or the U of "U.S."
_LETTER_AND_TEXT: Final = re.compile(
    r"\(?([A-Za-z])(?:\)[.:,]?|[.:,]|\s+[-\u2013\u2014](?=\s)|(?=\n))(?!\w\.|\w$)\s*(\S.*)", re.DOTALL
)
# B because the car is red; B is [the] correct [answer]
_LETTER_AND_REASON: Final = re.compile(
    r"\(?([A-Z])\)?(?: is (?:the )?(?:correct|right|best)(?: (?:answer|option|choice|one))?)?[.!]?"
    r"(?:[,;]?\s+(?:because|since|as|for|due to)\s+(\S.*))?",
    re.DOTALL,
)
_ARTICLE: Final = re.compile(r"(?:an?|the)\s+(?=\S)", re.IGNORECASE)
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
    """Each option's letter and text: by the letters that the options bear, else by position.

    They bear letters when these are, all together and in whatever order, A, B, C ... without a gap: "U.S." and "E.U."
    bear none. By position there are 26 letters, so what comes behind the 26th is left out.
    """
    if labels := _own_labels(options):
        return [Option(label[1].upper(), label[2].strip()) for label in labels]
    return [Option(letter, option.strip()) for letter, option in zip(ascii_uppercase, options, strict=False)]


def show_options(problem_type: str | None, options: Sequence[str]) -> Sequence[str]:
    """The options as everybody is shown them: of multiple choice, where a letter is asked for, with letters."""
    return letter_options(options) if problem_type == "multiple choice" else options


def letter_options(options: Sequence[str]) -> tuple[str, ...]:
    """The options as they are where they bear letters, else "A. x", "B. y" ...

    What comes behind the 26th has no letter.
    """
    if _own_labels(options):
        return tuple(options)
    lettered = (f"{letter}. {text.strip()}" for letter, text in zip(ascii_uppercase, options, strict=False))
    return (*lettered, *options[MAX_OPTIONS:])


def _own_labels(options: Sequence[str]) -> list[re.Match[str]]:
    """A match of _LABEL for each option; none at all unless they bear letters."""
    labels = [label for option in options if (label := _LABEL.fullmatch(_plain(option).strip()))]
    letters = sorted(label[1] for label in labels)
    runs = [list(alphabet[: len(options)]) for alphabet in (ascii_uppercase, ascii_lowercase)]
    return labels if letters in runs else []


def same_choice(answer: str, gold: str, options: Sequence[str]) -> bool:
    """Whether two texts name the same option; without options, whether they are the same letter or the same text."""
    wanted = named_letter(gold, options)
    if wanted is None:
        return not options and fold(answer) == fold(gold) != ""
    return named_letter(answer, options) == wanted


def named_letter(text: str, options: Sequence[str]) -> str | None:
    """The capital letter of the one option that `text` names, or None. Never raises; linear time.

    Without options every letter may be one.
    """
    if len(text) > MAX_CHOICE_CHARS:
        return None
    text = _plain(plain_latex(text)).strip(_MARKUP)
    letters = ascii_uppercase[: len(options) or None]
    if letter := _lone_letter(text, letters):  # most answers: no need to read the options
        return letter
    known = parse_options(options)
    if found := _letter_of(text, known, letters):
        return found
    if statement := _STATEMENT.match(text) or _STATEMENT_ZH.match(text):
        return _letter_of(plain_latex(text[statement.end() :].strip()).strip(_MARKUP), known, letters)
    return None


def fold(text: str) -> str:
    """Case, width, runs of white space, surrounding quotes and closing punctuation do not count."""
    folded = " ".join(_plain(text).casefold().split())
    return folded.strip(_MARKUP).rstrip(".,;:!\u3001\u3002").strip(_MARKUP)


def _plain(text: str) -> str:
    """Composed, and full-width letters in half width; superscripts stay, for a small 2 is not a 2."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_HALF_WIDTH)


def _lone_letter(text: str, letters: str) -> str | None:
    """The text where it is one of the letters and nothing else."""
    letter = _LETTER.fullmatch(text)
    return letter[1].upper() if letter and letter[1].upper() in letters else None


def _letter_of(text: str, options: Sequence[Option], letters: str) -> str | None:
    """A letter, an option's text, a letter with its text, or a letter with a reason."""
    if letter := _lone_letter(text, letters):
        return letter
    owners = _owners(text, options)
    if owners:
        return owners.pop() if len(owners) == 1 else None
    if labelled := _LETTER_AND_TEXT.fullmatch(text):
        return _confirmed(labelled[1].upper(), labelled[2], options, letters)
    if reasoned := _LETTER_AND_REASON.fullmatch(text):
        return _confirmed(reasoned[1], reasoned[2] or "", options, letters)
    if spaced := _LETTER_SPACE_TEXT.fullmatch(text):  # "A red car": a letter only where option A is "red car"
        return spaced[1] if spaced[1] in _owners(spaced[2], options) else None
    if chinese := _LETTER_ZH.fullmatch(text):
        return chinese[1] if chinese[1] in letters else None
    return None


def _owners(text: str, options: Sequence[Option]) -> set[str]:
    """The letters of the options with this text; where none has it, of those that differ by their article alone."""
    wanted = fold(text)
    texts = {option.letter: fold(option.text) for option in options} if wanted else {}
    if owners := {letter for letter, text in texts.items() if text == wanted}:
        return owners
    return {letter for letter, text in texts.items() if text and _bare(text) == _bare(wanted)}


def _bare(folded: str) -> str:
    """Without an article at its head."""
    return _ARTICLE.sub("", folded, count=1) if _ARTICLE.match(folded) else folded


def _confirmed(letter: str, text: str, options: Sequence[Option], letters: str) -> str | None:
    """The letter, unless no option has it, or the text beside it is that of another option or names a second letter."""
    if owners := _owners(text, options):
        return letter if letter in owners else None
    return letter if letter in letters and not _SECOND_LETTER.search(text) else None

"""Observations that give the answer away: they state the option letter, or say what "the answer is".

An observation describes what can be seen; who reads it must still have to work out the answer. Letters that belong to
the picture (a vitamin B label, team A, point A of a figure) are description, and so is quoted text. So is a figure
with drawn options, when the observation describes every one of them: naming some but not all is a leak.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

from curation.scoring.choice import Option, fold, parse_options

_QUOTED: Final = re.compile(r"(?<!\w)[\"\u201c][^\"\u201c\u201d\n]{3,200}[\"\u201d](?!\w)")
_IS: Final = (
    r"(?:is|was|(?:would|must|should|will|can|could|might|may|has\sto)\s(?:only\s)?be|(?:seems|appears)\sto\sbe)"
)
_SEEN: Final = (
    r"(?:not|never|shown|displayed|written|hidden|given|revealed|highlighted|circled|marked|visible|printed|typed|unclear"
    r"|unknown|blank|covered|missing|announced|entered|underlined|checked|being|read\sout|spoken|correct|wrong|incorrect)"
)
_SURELY: Final = r"(?:therefore|thus|hence|then|also|now|here|clearly|simply|definitely|obviously)"
# "the correct answer would be 7", "the answer to this question is 7", "the best option is"; not "the answer is written"
_ANSWER_STATED: Final = re.compile(
    r"(?<!what the )(?<!what is the )"
    r"\b(?:answer(?:\s(?:choice|option))?|(?:correct|right|best|proper|likely)\s(?:option|choice|alternative))"
    rf"(?:\s(?:to|for)\s(?:the|this|that)\s\w+)?(?:,?\s{_SURELY},?)?"
    rf"\s{_IS}(?::|\s(?!(?:{_SURELY}\s)?{_SEEN}\b))",
    re.IGNORECASE,
)
# "Answer: 7" at the start of a sentence, "the final answer: 7"
_ANSWER_HEADED: Final = re.compile(
    r"(?:^|[.!?;:\n]\s?|\b(?:the|final|correct|my|so)\s)answer\s?[:=]\s?[\"'(\[*$\u201c]{0,4}[A-Za-z0-9]", re.IGNORECASE
)
_OPEN: Final = r"[\"'(\[*\u201c]{0,4}"
_CLOSE: Final = r"[\"')\]*\u201d]{0,4}"
_END: Final = rf"(?={_CLOSE}\s?(?:[.,;:!?\n]|$))"
_LETTER: Final = rf"{_OPEN}(?P<letter>[A-Z])(?![\w-])"
# "option B", "choice (d)", "Answer B"
_OPTION_NAMED: Final = re.compile(
    r"\b(?i:option|choice|alternative|answer)s?(?:\s|\s?:\s?|(?=\())(?i:letter\s)?"
    rf"{_OPEN}(?P<letter>[A-Z](?![\w-])|[b-hj-z](?![\w'-])|(?<=[(\[\"'*])[ai](?=[)\]\"'*])|[ai]{_END})"
)
_LETTER_CONCLUDED: Final = (
    # "so it is B.", "it must be (B)", "which means B."
    re.compile(
        r"\b(?i:so|thus|hence|therefore|meaning|which\smeans),?\s(?i:that\s)?(?:(?i:it|this|that)(?:'s|\s(?i:is))\s)?"
        rf"{_LETTER}{_END}"
    ),
    re.compile(rf"\b(?i:it|this|that)\s(?i:must|has\sto|can\sonly|should|would|could\sonly)\s(?i:be)\s{_LETTER}{_END}"),
    # "which matches B.", "corresponds to (C)", "I would choose D"
    re.compile(rf"\b(?i:match(?:es|ing)?|correspond(?:s|ing)?\sto|consistent\swith)\s{_LETTER}{_END}"),
    re.compile(rf"\bI\s(?:(?:would|will|should|can)\s)?(?i:choose|select|pick|answer|go\swith)\s{_LETTER}{_END}"),
    # "(B) is correct", "B is the correct choice", "B is the answer"
    re.compile(
        rf"{_LETTER}{_CLOSE},?\s(?:(?:is|as|being|must\sbe|would\sbe)\s)?"
        r"(?:(?:clearly\s)?(?:the\s)?(?:only\s)?(?:correct|right|best)\s(?:answer|option|choice|alternative|one)\b"
        r"|the\sanswer\b)"
    ),
    re.compile(rf"{_LETTER}{_CLOSE}\s(?:is|must\sbe|would\sbe)\s(?:clearly\s)?(?:correct\b|right{_END})"),
    # "... a red car. B."
    re.compile(rf"[^\W\d_]{{2}}{_CLOSE}[.!?]\s{_LETTER}{_CLOSE}[.!]?\s?$"),
)
_LABEL: Final = re.compile(r"(?<![\w.])\(?(?P<letter>[A-Za-z])(?:\)[.:]?|[.:])\s?")


def find_leak(observation: str, problem_type: str, options: Sequence[str] = ()) -> str | None:
    """The words that give the answer away, or None. Letters count in multiple-choice questions only. Linear time."""
    # White space in runs of one keeps the patterns, which know no longer runs, linear on any text.
    observation = "\n".join(" ".join(line.split()) for line in observation.splitlines() if line.strip())
    description = _QUOTED.sub('""', observation)
    if stated := _ANSWER_STATED.search(description) or _ANSWER_HEADED.search(description):
        return _excerpt(description, stated)
    if problem_type != "multiple choice":
        return None
    known = parse_options(options)
    letters = {option.letter for option in known} or set(ascii_uppercase)
    for pattern in _LETTER_CONCLUDED:
        for match in pattern.finditer(description):
            if match["letter"] in letters:
                return _excerpt(description, match)
    named = [(match["letter"].upper(), _excerpt(description, match)) for match in _OPTION_NAMED.finditer(description)]
    named = [*named, *_option_lines(observation, known)]
    named = [(letter, words) for letter, words in named if letter in letters]
    if not named or (len(known) > 1 and {letter for letter, _ in named} == letters):
        return None
    return named[0][1]


def _option_lines(observation: str, options: Sequence[Option]) -> list[tuple[str, str]]:
    """Options that are written out with their letter: (letter, words)."""
    texts = {option.letter: fold(option.text) for option in options if fold(option.text)}
    found = []
    for match in _LABEL.finditer(observation):
        letter = match["letter"].upper()
        text = texts.get(letter)
        if text is None:
            continue
        follows = fold(observation[match.end() : match.end() + 2 * len(text) + 20])
        if follows.startswith(text) and not follows[len(text) : len(text) + 1].isalnum():
            found.append((letter, f"{letter}. {text}"))
    return found


def _excerpt(text: str, match: re.Match[str]) -> str:
    """The match and a little of what follows, on one line."""
    return " ".join(text[match.start() : match.end() + 20].split())

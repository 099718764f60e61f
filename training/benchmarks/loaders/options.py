"""Options and their letters, A to Z: some benchmarks write them, some do not, some write them into the question."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final

from curation.scoring import choice
from training.benchmarks.answers import read_exact_letter
from training.benchmarks.loaders.layout import UnreadableGold
from training.benchmarks.scoring import Kind

_OPTION_LINE: Final = re.compile(r"\s*\(?([A-Z])[.):]\s*(.*)", re.DOTALL)  # "C.Both" is there too
_LONE_LETTER: Final = re.compile(r"\(?([A-Z])[.)]{0,2}")
_INFORMATION: Final = re.compile(r"^Information ([A-Z]):\s*(.*)$", re.MULTILINE)


def letter_options(texts: Sequence[str]) -> tuple[str, ...]:
    """The options with their letters, as curation and training show them (curation.scoring.choice), stripped.

    Raises UnreadableGold for more options than letters.
    """
    if len(texts) > len(ascii_uppercase):
        raise UnreadableGold(f"{len(texts)} options are more than there are letters")
    return tuple(text.strip() for text in choice.letter_options(texts))


def letter_choices(choices: Mapping[str, str]) -> tuple[str, ...]:
    """The options of {"A": text, ...}, in order of their letters."""
    return tuple(f"{letter}. {text}" for letter, text in sorted(choices.items()))


def gold_letter(gold: str, options: Sequence[str]) -> str:
    """The letter that the gold names, by letter, text or both. Raises UnreadableGold when it names none of them."""
    letter = choice.named_letter(gold, options) if options else None
    if letter is None or read_exact_letter(letter, options) is None:
        raise UnreadableGold(f"{gold!r} is none of {len(options)} options")
    return letter


def read_gold(kind: Kind, gold: str, options: Sequence[str]) -> tuple[Kind, str]:
    """(kind, gold) as they are scored. Raises UnreadableGold for a choice that the gold does not make.

    A lone letter without options is a choice too, whatever the row says: its options are in the picture.
    """
    if options:
        return kind, gold_letter(gold, options)
    if match := _LONE_LETTER.fullmatch(gold):
        return "mc", match[1]
    if kind == "mc":
        raise UnreadableGold(f"{gold!r} is no letter, and there are no options")
    return kind, gold


def place_letter(gold: str, texts: Sequence[str]) -> str:
    """The letter of the first option whose text is the gold. Raises UnreadableGold when none is."""
    stripped = [text.strip() for text in texts]
    if gold.strip() not in stripped:
        raise UnreadableGold(f"{gold!r} is none of {len(texts)} options")
    return ascii_uppercase[stripped.index(gold.strip())]


def split_option_lines(text: str) -> tuple[str, tuple[str, ...]]:
    """(the question, its options) of a question that ends in lines "A. ..", "B. .."; no options when it does not."""
    lines = text.rstrip().split("\n")
    starts = [(place, match[1]) for place, line in enumerate(lines) if (match := _OPTION_LINE.fullmatch(line))]
    letters = [letter for _, letter in starts]
    num_options = ascii_uppercase.index(letters[-1]) + 1 if letters else 0
    if not num_options or "".join(letters[-num_options:]) != ascii_uppercase[:num_options]:
        return text.strip(), ()
    places = [place for place, _ in starts[-num_options:]]
    options = ("\n".join(lines[start:end]).strip() for start, end in zip(places, [*places[1:], None], strict=True))
    return "\n".join(lines[: places[0]]).strip(), tuple(options)


def cut_choices(text: str, options: Sequence[str]) -> str:
    """The question without the options that it ends in, also where they follow its last word at once.

    Left as it is when it does not end in just these options.
    """
    parts = (rf"\(?{option[0]}[.):]\s*{_loose(option[2:])}" for option in options)
    pattern = r"\s*" + r"[\s;,]*".join(parts) + r"\s*\Z"
    match = re.search(pattern, text) if options else None
    return (text[: match.start()] if match else text).strip()


def information_options(text: str) -> tuple[str, ...]:
    """The options that TempCompass's captioning gives: "Information A: {'subject': 'man', 'action': 'dunking'}".

    What is not such a mapping is an option as it is written.
    """
    return tuple(f"{letter}. {_told(information.strip())}" for letter, information in _INFORMATION.findall(text))


def _told(information: str) -> str:
    """The values but the subject, which all options share."""
    try:
        parts = ast.literal_eval(information)
    except (ValueError, SyntaxError):
        return information
    if not isinstance(parts, dict):
        return information
    return "; ".join(str(value) for key, value in parts.items() if key != "subject") or information


def _loose(text: str) -> str:
    """A pattern for the text with any white space where it has some."""
    return r"\s+".join(map(re.escape, text.split()))

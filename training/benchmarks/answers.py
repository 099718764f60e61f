"""From what a model wrote to its answer: the passage, then what the passage says.

The strict readers take an answer in the form that was asked for, or None; none of them looks for one in prose, where
the article "a" would be option A. `lenient_passages` looks further; what is found there is reported beside the score
and never in it. Nothing here raises, on any string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import isfinite
from string import ascii_uppercase
from typing import Final

from curation.scoring.answer_text import answer_text
from curation.scoring.choice import fold, named_letter, parse_options
from curation.scoring.quantity import parse_quantity

Interval = tuple[float, float]
Box = tuple[float, float, float, float]

MAX_ANSWER_CHARS: Final = 2_000  # of an answer in form; the regular expressions see no more

_END_OF_THINKING: Final = "</think>"
_YES_NO: Final = re.compile(r"(yes|no)\b(?!\s*(?:,|/|or|and)\s*(?:yes|no)\b)", re.IGNORECASE)
_MARKUP: Final = " \t\r\n*_`\"'"
# "Option 1: A man runs.", "Sentence A: ...", "Caption B: ..."
_LABELLED_LINE: Final = re.compile(
    r"((?:Option|Sentence|Caption)\s+([0-9A-Z]))\s*[:.)]?\s*(.*)", re.IGNORECASE | re.DOTALL
)
_LABEL: Final = re.compile(r"\(?(?:(?:Option|Sentence|Caption)\s+)?([0-9A-Z])\)?[.:)]?", re.IGNORECASE)
# "2) A man runs.", "Option 2) A man runs."
_LABEL_AND_SENTENCE: Final = re.compile(
    r"\(?(?:(?:Option|Sentence|Caption)\s+)?([0-9A-Z])\s*[).:]\s*(\S.*)", re.IGNORECASE | re.DOTALL
)
# What comes before the answer: "the speed is", "v =", "Answer:".
_STATES: Final = re.compile(r"(?:\b(?:is|are|equals|answer|result|total)\b|=|:(?=\s))[\s:]*", re.IGNORECASE)
_TIME: Final = r"(\d{1,6}(?::\d{1,2}){0,2}(?:\.\d{1,6})?)\s*(?:s|sec|secs|seconds?)?"
_INTERVAL: Final = re.compile(
    rf"(?:from|between)?\s*[\[(]?\s*{_TIME}\s*(?:,|-|\u2013|\u2014|to|and)\s*{_TIME}\s*[\])]?\.?", re.IGNORECASE
)
_COORDINATE: Final = r"(-?\d{1,6}(?:\.\d{1,6})?)"
_BOX: Final = re.compile(
    rf"[\[(]?\s*{_COORDINATE}\s*,\s*{_COORDINATE}\s*,\s*{_COORDINATE}\s*,\s*{_COORDINATE}\s*[\])]?\.?"
)
_BOXED: Final = re.compile(r"\\boxed\{\s*(?:\\text\{)?([^{}]{0,200})\}")
_STATED: Final = re.compile(r"\banswer(?:\s+is|\s*:)\s*:?([^\n]{0,200})", re.IGNORECASE)
# A letter before prose: "B because it turns left"; "A" and "I" are words there.
_LETTER_BEFORE_PROSE: Final = re.compile(r"[\s*_`\"']*(?:\(([A-Z])\)|([A-Z])[.:),*]|([B-HJ-Z])(?=\s))")


def videor1_passage(output: str) -> str:
    """The first closed <answer> block, else the whole output; stripped (Video-R1, eval_bench.py)."""
    return answer_text(output)


def official_passage(output: str) -> str:
    """As `videor1_passage`, in what follows the last </think>, so that no answer is read from the thinking.

    The benchmarks' own scripts expect a bare answer; the tags are ours.
    """
    after = output.rpartition(_END_OF_THINKING)[2]
    return answer_text(after if after.strip() else output)


def lenient_passages(output: str) -> Iterator[str]:
    """Where an answer may also stand, the likeliest first."""
    start = output.rfind("<answer>")
    if start >= 0:
        yield output[start + len("<answer>") :].partition("</answer>")[0].strip()
    tail = output[-MAX_ANSWER_CHARS:]
    for pattern in (_BOXED, _STATED):
        if found := [match[1].strip() for match in pattern.finditer(tail)]:
            yield found[-1]
    if lines := tail.strip().splitlines():
        yield lines[-1].strip()


def gold_alternatives(gold: str) -> tuple[str, ...]:
    """The texts of which any one is right: those of a list of texts, as MMMU writes it ("['1/4', '0.25']"), else one.

    "[3, 9]" is no such list.
    """
    if gold.startswith("["):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            found = ast.literal_eval(gold)
            if isinstance(found, list) and found and all(isinstance(text, str) and text.strip() for text in found):
                return tuple(text.strip() for text in found)
    return (gold,)


def states_text(passage: str, gold: str) -> bool | None:
    """Whether the gold's words stand in the passage (MMMU's rule); None for a passage without words.

    They are whole words: "no" is not in "north". A gold of one character must be what the passage states, since "a" is
    in every other sentence.
    """
    plain, wanted = fold(passage[:MAX_ANSWER_CHARS]), fold(gold)
    if not plain or not wanted:
        return None
    if len(wanted) > 1:
        return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", plain) is not None
    stated = [match.end() for match in _STATES.finditer(plain)][-1:]
    return wanted in (plain, *(fold(plain[end:]) for end in stated))


def read_letter(passage: str, options: Sequence[str]) -> str | None:
    """The letter of the one option that the passage names, by letter or text; None for a letter that is no option.

    Without options (they may stand in the question) any letter will do.
    """
    letter = named_letter(passage, options)
    return letter if not options or letter in {option.letter for option in parse_options(options)} else None


def read_exact_letter(passage: str, options: Sequence[str]) -> str | None:
    """The passage where it is one capital letter of an option and nothing else, as Video-R1 wants it."""
    return passage if len(passage) == 1 and passage in ascii_uppercase and read_letter(passage, options) else None


def read_lenient_letter(passage: str, options: Sequence[str]) -> str | None:
    """As `read_letter`, or a letter that prose follows."""
    if letter := read_letter(passage, options):
        return letter
    match = _LETTER_BEFORE_PROSE.match(passage[:MAX_ANSWER_CHARS])
    return read_letter(next(filter(None, match.groups())), options) if match else None


def read_yes_no(passage: str) -> str | None:
    """ "yes" or "no" where the passage begins with that word; "yes or no" is neither."""
    match = _YES_NO.match(passage[:MAX_ANSWER_CHARS].strip(_MARKUP))
    return match[1].lower() if match else None


def read_line(passage: str, lines: Sequence[str]) -> int | None:
    """Which of the labelled lines ("Option 1: ...", "Sentence A: ...") a passage names, as a place in `lines`.

    By the whole line, its label ("Option 2"), its index ("2", "B"), its sentence, or index and sentence ("2) A man
    runs."); None when it names none or several.
    """
    if len(passage) > MAX_ANSWER_CHARS:
        return None
    plain = passage.strip(_MARKUP)
    label, labelled = _LABEL.fullmatch(plain), _LABEL_AND_SENTENCE.fullmatch(plain)
    wanted = fold(passage)
    named = []
    for place, line in enumerate(lines):
        parts = _LABELLED_LINE.fullmatch(line.strip())
        index, sentence = (parts[2].upper(), fold(parts[3])) if parts else ("", "")
        if (
            (wanted and wanted in (fold(line), sentence))
            or (label and label[1].upper() == index)
            or (labelled and (labelled[1].upper(), fold(labelled[2])) == (index, sentence))
        ):
            named.append(place)
    return named[0] if len(named) == 1 else None


def read_first_number(passage: str) -> float | None:
    """The first word as a number, without a closing full stop (VSI-Bench's rule): "2.5 metres" but not "about 2.5"."""
    words = passage[:MAX_ANSWER_CHARS].split(maxsplit=1)
    return read_float(words[0].rstrip(".")) if words else None


def read_stated_number(passage: str) -> float | None:
    """The one number that the passage is, or that it states last: "12.97 m/s", "x = 4", "The speed is 12.97 m/s."

    None for hedges and for several numbers ("about 4", "3 or 4"). MMMU's rule takes the part after such words too.
    """
    plain = passage[:MAX_ANSWER_CHARS].strip(_MARKUP)
    quantity = parse_quantity(plain)
    if quantity is None and (states := list(_STATES.finditer(plain))):
        quantity = parse_quantity(plain[states[-1].end() :].strip(_MARKUP))
    return None if quantity is None else float(quantity.value)


def read_comma_float(passage: str) -> float | None:
    """The whole passage as a number once its commas are gone (Video-R1's rule)."""
    return read_float(passage.replace(",", "")) if len(passage) <= MAX_ANSWER_CHARS else None


def read_float(text: str) -> float | None:
    """What Python's float() reads, if it is finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def read_interval(passage: str) -> Interval | None:
    """[start, end] in seconds from "[3, 9.5]", "3-9 s", "from 0:08 to 1:30"; None where it ends before it begins."""
    match = _INTERVAL.fullmatch(passage[:MAX_ANSWER_CHARS].strip(_MARKUP))
    if match is None:
        return None
    start, end = (_seconds(time) for time in match.groups())
    return (start, end) if start < end else None


def read_box(passage: str) -> Box | None:
    """[x1, y1, x2, y2] with x1 < x2 and y1 < y2."""
    match = _BOX.fullmatch(passage[:MAX_ANSWER_CHARS].strip(_MARKUP))
    if match is None:
        return None
    left, top, right, bottom = map(float, match.groups())
    return (left, top, right, bottom) if left < right and top < bottom else None


def _seconds(time: str) -> float:
    """90, 1:30 and 0:01:30 are the same."""
    seconds = 0.0
    for part in time.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds

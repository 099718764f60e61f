"""One score per answer: the task metric of verification (VideoP2R section 3.2) and the reasoning accuracy in RL.

| problem type    | score                                                                                       |
|-----------------|---------------------------------------------------------------------------------------------|
| multiple choice | 1 if the answer names the gold option (choice.py)                                           |
| numerical       | 1 if both are the same number (quantity.py), or the same text where the gold is no number    |
| OCR             | 1 - word error rate, clipped to [0, 1]; white space and quotes around do not count, case     |
|                 | where the gold has both                                                                     |
| free-form       | mean of ROUGE-1, ROUGE-2 and ROUGE-L F (rouge.py); 0 for a refusal (refusals.py); 1 for the  |
|                 | same text where the gold has no word, such as an emoji                                      |
| regression      | 1 - relative error, clipped to [0, 1]; against a gold of zero, 1 for zero and 0 else         |

What is no number, or no finite one, scores 0. Of long texts the first MAX_WER_WORDS or MAX_ROUGE_TOKENS count, which
bounds the time for any string. `strict="videor1"` scores by the equality rules of Video-R1's reward (videor1.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Literal

from curation.schema import PROBLEM_TYPES
from curation.scoring import videor1
from curation.scoring.answer_text import answer_text
from curation.scoring.choice import fold, named_letter, same_choice
from curation.scoring.latex import plain_latex
from curation.scoring.quantity import Quantity, parse_quantity, parse_stated, parse_tuple, same_quantity, same_scale
from curation.scoring.refusals import is_refusal
from curation.scoring.rouge import mean_rouge
from curation.scoring.wer import word_accuracy
from curation.scoring.words import words

# Raised by hand when the same answer would get another score, so that old scores are not mixed with new ones;
# tests/golden holds it. 1 was a hash of source files.
SCORING_VERSION: Final = 2

Scoring = Literal["default", "videor1"]  # the key `scoring` of curation and RL
MAX_TEXT_CHARS: Final = 10_000  # no answer to a numerical question that is a text is longer
_EXPRESSION: Final = re.compile(  # 7:30 pm, 2:1, 3 x 10^2 + 1
    r"(?=.*\d)[\d\s.,:;/+*^()\[\]{}<>=|%\u00b0\u00b1\u00d7\u00b7\u00f7\u03c0\u2212\u221a\u221e-]+(?:[ap]\.?m\.?)?",
    re.IGNORECASE,
)
_QUOTES: Final = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u00ab": "\u00bb",
    "\u300c": "\u300d",
    "\u300e": "\u300f",
}


def score_answer(
    problem_type: str,
    answer: str,
    solution: str,
    *,
    options: Sequence[str] = (),
    strict: Scoring | None = None,
) -> float:
    """Score in [0, 1] of `answer` against the gold `solution`; either may carry <answer> tags.

    `options` lets a multiple-choice answer give the text of its option. Raises ValueError for an unknown problem type
    or mode, and nothing on any string.
    """
    answer, gold = answer_text(answer), answer_text(solution)
    if strict == "videor1":
        return videor1.score(problem_type, answer, gold)
    if strict not in (None, "default"):
        raise ValueError(f"unknown scoring mode {strict!r}; it is 'videor1', 'default' or None")
    match problem_type:
        case "multiple choice":
            return float(same_choice(answer, gold, options))
        case "numerical":
            return _score_numerical(answer, gold)
        case "OCR":
            return _score_ocr(answer, gold)
        case "free-form":
            return _score_free_form(answer, gold)
        case "regression":
            return _score_regression(answer, gold)
        case _:
            raise ValueError(f"unknown problem type {problem_type!r}; it is one of {list(PROBLEM_TYPES)}")


def find_gold_fault(problem_type: str, solution: str, options: Sequence[str]) -> str | None:
    """Why no answer to a question could be right, in words that quote the gold; None for one that can be answered.

    A numerical gold is a number or an expression of digits and signs (7:30); words that come near to one are neither.
    """
    gold = answer_text(solution)
    quoted = ascii(gold)[:80]
    if not any(unicodedata.category(character)[0] not in "CZ" for character in gold):
        return f"the gold answer {quoted} is empty"
    match problem_type:
        case "multiple choice":
            if named_letter(gold, options) is None or not options:
                return f"the gold answer {quoted} names none of the {len(options)} options"
        case "numerical" | "regression":
            is_number = parse_quantity(gold) or (
                problem_type == "numerical" and (parse_tuple(gold) or _EXPRESSION.fullmatch(plain_latex(gold[:1000])))
            )
            if not is_number:
                return f"the gold answer {quoted} is no number"
    if score_answer(problem_type, gold, gold, options=options) == 0:
        return f"no answer scores against the gold answer {quoted}"
    return None


def _score_numerical(answer: str, gold: str) -> float:
    """1 when both are the same number, or the same numbers in the same brackets."""
    if numbers := parse_tuple(gold):
        return float(_same_numbers(parse_tuple(answer), numbers))
    wanted = parse_stated(gold)
    if wanted is None:
        return float(_same_text(answer, gold) and not _is_float(gold))
    given = parse_stated(answer)
    return float(given is not None and same_quantity(given, wanted))


def _same_numbers(given: Sequence[Quantity] | None, wanted: Sequence[Quantity]) -> bool:
    return (
        given is not None
        and len(given) == len(wanted)
        and all(same_quantity(left, right) for left, right in zip(given, wanted, strict=True))
    )


def _same_text(answer: str, gold: str) -> bool:
    """Without white space, for 7:30PM is 7:30 PM, and without LaTeX."""
    given, wanted = ("".join(fold(plain_latex(text[:MAX_TEXT_CHARS])).split()) for text in (answer, gold))
    return given == wanted != "" and max(len(answer), len(gold)) <= MAX_TEXT_CHARS


def _score_regression(answer: str, gold: str) -> float:
    """1 - relative error, clipped."""
    given, wanted = parse_stated(answer), parse_stated(gold)
    if given is None or wanted is None:
        return 0.0
    if wanted.value == 0:
        return float(given.value == 0)
    pairs = same_scale(given, wanted)
    accuracies = (1 - abs(left.value - right.value) / abs(right.value) for left, right in pairs)
    return max((float(max(accuracy, Fraction(0))) for accuracy in accuracies), default=0.0)


def _score_ocr(answer: str, gold: str) -> float:
    """1 - word error rate, clipped; no text read where there is none is right."""
    answer, gold = (_unquoted(unicodedata.normalize("NFC", text)) for text in (answer, gold))
    if gold in (gold.upper(), gold.lower()):
        answer, gold = answer.casefold(), gold.casefold()
    return word_accuracy(words(answer), words(gold))


def _unquoted(text: str) -> str:
    """Without one pair of quotes around the whole."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 2 and _QUOTES.get(text[0]) == text[-1] else text


def _score_free_form(answer: str, gold: str) -> float:
    """ROUGE sees words only: a gold of emoji has none."""
    if is_refusal(answer) and not is_refusal(gold):
        return 0.0
    if gold.isascii() or any(map(str.isalnum, gold)):
        return mean_rouge(answer, gold)
    return float(fold(answer) == fold(gold) != "")


def _is_float(text: str) -> bool:
    """Whether Python reads a number here: "nan", "inf" and "1e999" are numbers that equal nothing."""
    try:
        float(text)
    except ValueError:
        return False
    return True

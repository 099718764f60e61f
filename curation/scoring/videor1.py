"""Video-R1's accuracy reward (tulerfeng/Video-R1, src/r1-v/src/open_r1/grpo.py), so that scores can be compared.

Where it differs from tasks.py: an option must equal the gold text literally ("B." is not "B"); a number is what
Python's float() reads once commas are gone, rounded to two decimals, and an answer with a decimal sign never equals one
without; words stand between white space in every script, and ROUGE knows a-z and 0-9 only; regression adds 1e-9 to both
sides of the quotient, so that a right answer to a gold of zero scores 0, and a NaN scores 1.
"""

from __future__ import annotations

from typing import Final

from curation.scoring.rouge import mean_rouge_ascii
from curation.scoring.wer import word_accuracy

_EPSILON: Final = 1e-9


def score(problem_type: str, answer: str, gold: str) -> float:
    """The reference reward in [0, 1] of two answers without tags. Raises ValueError for an unknown problem type."""
    match problem_type:
        case "multiple choice":
            return float(answer == gold)
        case "numerical":
            return _score_numerical(answer, gold)
        case "OCR":
            return word_accuracy(answer.split(), gold.split())
        case "free-form":
            return mean_rouge_ascii(answer, gold)
        case "regression":
            return _score_regression(answer, gold)
        case _:
            raise ValueError(f"unknown problem type {problem_type!r}")


def _score_numerical(answer: str, gold: str) -> float:
    if _has_decimal_sign(answer) != _has_decimal_sign(gold):
        return 0.0
    given, wanted = _number(answer), _number(gold)
    return float(given is not None and wanted is not None and round(given, 2) == round(wanted, 2))


def _score_regression(answer: str, gold: str) -> float:
    given, wanted = _number(answer), _number(gold)
    if given is None or wanted is None:
        return 0.0
    # The order of the arguments is the reference's: it turns a NaN into 0, which is an error of zero.
    return 1 - min(1.0, max(0.0, (abs(given - wanted) + _EPSILON) / (abs(wanted) + _EPSILON)))


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _has_decimal_sign(text: str) -> bool:
    return "." in text or "," in text

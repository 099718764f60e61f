"""One score per answer: the task metric of verification (VideoP2R section 3.2) and the reasoning accuracy in RL.

| problem type    | score                                                                                       |
|-----------------|---------------------------------------------------------------------------------------------|
| multiple choice | 1 if the answer names the gold option (choice.py)                                           |
| numerical       | 1 if both are the same number (quantity.py), or the same text where the gold is no number    |
| OCR             | 1 - word error rate, clipped to [0, 1]; case counts, white space does not                    |
| free-form       | mean of ROUGE-1, ROUGE-2 and ROUGE-L F (rouge.py)                                           |
| regression      | 1 - relative error, clipped to [0, 1]; against a gold of zero, 1 for zero and 0 else         |

What is no number, or no finite one, scores 0. Of long texts the first MAX_WER_WORDS or MAX_ROUGE_TOKENS count, which
bounds the time for any string. `strict="videor1"` scores by the equality rules of Video-R1's reward (videor1.py).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, Literal

from curation.schema import PROBLEM_TYPES
from curation.scoring import videor1
from curation.scoring.answer_text import answer_text
from curation.scoring.choice import fold, same_choice
from curation.scoring.quantity import parse_quantity, same_scale
from curation.scoring.rouge import mean_rouge
from curation.scoring.wer import word_accuracy
from curation.scoring.words import words

# Raised by hand when the same answer would get another score, so that old scores are not mixed with new ones;
# tests/golden holds it. 1 was a hash of source files.
SCORING_VERSION: Final = 2


def score_answer(
    problem_type: str,
    answer: str,
    solution: str,
    *,
    options: Sequence[str] = (),
    strict: Literal["videor1"] | None = None,
) -> float:
    """Score in [0, 1] of `answer` against the gold `solution`; either may carry <answer> tags.

    `options` lets a multiple-choice answer give the text of its option. Raises ValueError for an unknown problem type
    or mode, and nothing on any string.
    """
    answer, gold = answer_text(answer), answer_text(solution)
    if strict == "videor1":
        return videor1.score(problem_type, answer, gold)
    if strict is not None:
        raise ValueError(f"unknown scoring mode {strict!r}; it is 'videor1' or None")
    match problem_type:
        case "multiple choice":
            return float(same_choice(answer, gold, options))
        case "numerical":
            return _score_numerical(answer, gold)
        case "OCR":
            return _score_ocr(answer, gold)
        case "free-form":
            return mean_rouge(answer, gold)
        case "regression":
            return _score_regression(answer, gold)
        case _:
            raise ValueError(f"unknown problem type {problem_type!r}; it is one of {list(PROBLEM_TYPES)}")


def _score_numerical(answer: str, gold: str) -> float:
    """1 when both are the same number."""
    wanted = parse_quantity(gold)
    if wanted is None:
        return float(fold(answer) == fold(gold) != "" and not _is_float(gold))
    given = parse_quantity(answer)
    return float(given is not None and any(left == right for left, right in same_scale(given, wanted)))


def _score_regression(answer: str, gold: str) -> float:
    """1 - relative error, clipped."""
    given, wanted = parse_quantity(answer), parse_quantity(gold)
    if given is None or wanted is None:
        return 0.0
    if wanted.value == 0:
        return float(given.value == 0)
    accuracies = (1 - abs(left - right) / abs(right) for left, right in same_scale(given, wanted))
    return max((float(max(accuracy, Fraction(0))) for accuracy in accuracies), default=0.0)


def _score_ocr(answer: str, gold: str) -> float:
    """1 - word error rate, clipped; no text read where there is none is right."""
    return word_accuracy(*(words(unicodedata.normalize("NFC", text)) for text in (answer, gold)))


def _is_float(text: str) -> bool:
    """Whether Python reads a number here: "nan", "inf" and "1e999" are numbers that equal nothing."""
    try:
        float(text)
    except ValueError:
        return False
    return True

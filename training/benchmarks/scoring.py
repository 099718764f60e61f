"""The one scorer of the benchmarks: what a model wrote for one question -> a score in [0, 1], by either protocol.

| kind       | official                                                  | videor1 (Video-R1's eval_bench.py)          |
|------------|-----------------------------------------------------------|---------------------------------------------|
| mc         | 1 if the answer names the gold option, by letter or text  | 1 if it is the gold letter and nothing else |
| yesno      | 1 if it begins with the gold word                         | 1 if it is the gold text                    |
| match      | 1 if it names the gold line, by label, index or text      | 1 if it is the gold text                    |
| numeric    | 1 if the number stated is equal when rounded to two       | the same, but "4.0" is not "4"              |
|            | decimals; a text by its whole words (MMMU); of a list any |                                             |
| regression | mean relative accuracy, error <= 1 - threshold (VSI)      | error < 1 - threshold, in single precision  |
| interval   | 1 if the temporal IoU is above 0.7 (VCR-Bench)            | as official: Video-R1 has no such questions |
| box        | 1 if the IoU is above 0.5 (VCR-Bench)                     | as official                                 |
| open       | the judge's verdict; without a judge 1 for the same text  | as official                                 |
| ocr        | 1 - word error rate (curation.tasks)                      | the same, words between white space         |
| free-form  | mean ROUGE (curation.tasks)                               | the same, of a-z and 0-9                    |

Where a rule is that of verification and RL it is theirs: curation.tasks and curation.scoring. What was not answered, or
not in the form asked for, scores 0, is never taken out of a denominator, and says why (`Failure`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, get_args

from curation.scoring.choice import fold
from curation.scoring.quantity import parse_quantity
from curation.tasks import score_answer
from training.benchmarks.answers import (
    gold_alternatives,
    lenient_passages,
    official_passage,
    read_box,
    read_comma_float,
    read_exact_letter,
    read_first_number,
    read_interval,
    read_lenient_letter,
    read_letter,
    read_line,
    read_stated_number,
    read_yes_no,
    states_text,
    videor1_passage,
)
from training.benchmarks.scoring_rules import (
    box_iou,
    interval_iou,
    mean_relative_accuracy,
    mean_relative_accuracy_videor1,
)

Protocol = Literal["videor1", "official"]
Kind = Literal["mc", "yesno", "match", "numeric", "regression", "interval", "box", "open", "ocr", "free-form"]
PROTOCOLS: Final = get_args(Protocol)
KINDS: Final = get_args(Kind)

_PROBLEM_TYPES: Final = {"ocr": "OCR", "free-form": "free-form"}  # the names of curation.tasks
# Raised by hand when the same row of a file would give another question or gold (loaders, protocols), or the same
# output another score; tests/golden holds it, beside curation's SCORING_VERSION. 1 was a hash of source files.
BENCHMARKS_VERSION: Final = 2
INTERVAL_IOU: Final = 0.7  # VCR-Bench: an answer must overlap by more
BOX_IOU: Final = 0.5


class Failure(StrEnum):
    """Why a question has no score of its own and counts as 0."""

    MISSING_VIDEO = "missing video"  # it was never asked
    NO_OUTPUT = "no output"  # the engine brought none
    EMPTY = "empty output"
    UNPARSED = "unparsed"  # not in the form that was asked for
    NO_VERDICT = "no verdict"  # the judge did not say


@dataclass(frozen=True, slots=True)
class Gold:
    """What the scorer needs of a question. `options` carry their letters; of kind `match` they are its lines."""

    kind: Kind
    answer: str
    options: Sequence[str] = ()

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The answers of which any one is right; only open questions of VideoMMMU have several."""
        return gold_alternatives(self.answer) if self.kind == "numeric" else (self.answer,)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one question. output: None when the engine brought none. verdict: the judge's, if it was asked."""

    output: str | None
    is_missing_video: bool = False
    is_judged: bool = False
    verdict: bool | None = None


@dataclass(frozen=True, slots=True)
class RowScore:
    """score: by the protocol, in [0, 1]. lenient: the same; of an answer not in form, what the lenient reading scores.

    passage: where the answer was read, None without an output.
    """

    score: float
    lenient: float
    passage: str | None
    failure: Failure | None

    @property
    def is_parsed(self) -> bool:
        """Whether there was an answer in the form asked for, right or wrong."""
        return self.failure is None


def score_reply(gold: Gold, reply: Reply, protocol: Protocol) -> RowScore:
    """Score one reply. Raises ValueError for an unknown kind or protocol or a gold that is no answer of its kind, and
    nothing on any output."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; it is one of {', '.join(PROTOCOLS)}")
    check_gold(gold)
    if reply.is_missing_video:
        return RowScore(0.0, 0.0, None, Failure.MISSING_VIDEO)
    if reply.output is None:
        return RowScore(0.0, 0.0, None, Failure.NO_OUTPUT)
    passage = videor1_passage(reply.output) if protocol == "videor1" else official_passage(reply.output)
    if not reply.output.strip():
        return RowScore(0.0, 0.0, passage, Failure.EMPTY)
    if gold.kind == "open" and reply.is_judged:
        score = None if reply.verdict is None else float(reply.verdict)
        return RowScore(score or 0.0, score or 0.0, passage, Failure.NO_VERDICT if score is None else None)
    grade = _grade_videor1 if protocol == "videor1" else _grade_official
    score = grade(gold, passage)
    if score is not None:
        return RowScore(score, score, passage, None)
    return RowScore(0.0, _grade_leniently(gold, reply.output, protocol), passage, Failure.UNPARSED)


def check_gold(gold: Gold) -> None:
    """Raises ValueError when the gold is no answer of its kind, so that nothing could ever be right."""
    if gold.kind not in KINDS:
        raise ValueError(f"unknown kind {gold.kind!r}; it is one of {', '.join(KINDS)}")
    readable: object = gold.answer.strip() or None
    match gold.kind:
        case "mc":
            readable = read_exact_letter(gold.answer, gold.options)
        case "yesno":
            readable = read_yes_no(gold.answer)
        case "match":
            readable = read_line(gold.answer, gold.options)
        case "regression":
            readable = read_comma_float(gold.answer)
        case "interval":
            readable = read_interval(gold.answer)
        case "box":
            readable = read_box(gold.answer)
    if readable is None:
        raise ValueError(f"{gold.answer!r} is no {gold.kind} answer to a question with {len(gold.options)} options")


def _grade_official(gold: Gold, passage: str) -> float | None:
    """The score of a passage; None when it is not in the form asked for."""
    match gold.kind:
        case "mc":
            return _equal(read_letter(passage, gold.options), gold.answer)
        case "yesno":
            return _equal(read_yes_no(passage), read_yes_no(gold.answer))
        case "match":
            return _equal(read_line(passage, gold.options), read_line(gold.answer, gold.options))
        case "numeric":
            return _best(_grade_number_or_text(passage, answer) for answer in gold.alternatives)
        case "regression":
            given, wanted = read_first_number(passage), read_comma_float(gold.answer)
            return None if given is None or wanted is None else mean_relative_accuracy(given, wanted)
        case "interval":
            interval, asked = read_interval(passage), read_interval(gold.answer)
            return float(interval_iou(interval, asked) > INTERVAL_IOU) if interval and asked else None
        case "box":
            box, around = read_box(passage), read_box(gold.answer)
            return float(box_iou(box, around) > BOX_IOU) if box and around else None
        case "open":
            return _equal(fold(passage) or None, fold(gold.answer))
        case "ocr" | "free-form":
            return score_answer(_PROBLEM_TYPES[gold.kind], passage, gold.answer)


def _grade_videor1(gold: Gold, passage: str) -> float | None:
    """As `_grade_official`; where Video-R1 has no rule, it is that one."""
    match gold.kind:
        case "mc":
            return _equal(read_exact_letter(passage, gold.options), gold.answer)
        case "yesno":
            return _equal(passage if read_yes_no(passage) else None, gold.answer)
        case "match":
            return _equal(passage if read_line(passage, gold.options) is not None else None, gold.answer)
        case "numeric":
            if read_comma_float(passage) is None:
                return None
            return _best(score_answer("numerical", passage, answer, strict="videor1") for answer in gold.alternatives)
        case "regression":
            given, wanted = read_comma_float(passage), read_comma_float(gold.answer)
            return None if given is None or wanted is None else mean_relative_accuracy_videor1(given, wanted)
        case "ocr" | "free-form":
            return score_answer(_PROBLEM_TYPES[gold.kind], passage, gold.answer, strict="videor1")
        case "interval" | "box" | "open":
            return _grade_official(gold, passage)


def _grade_leniently(gold: Gold, output: str, protocol: Protocol) -> float:
    """The score of the first likely passage that can be read; 0 when none can."""
    passages = (official_passage(output), *lenient_passages(output))
    return next((score for passage in passages if (score := _grade_loosely(gold, passage, protocol)) is not None), 0.0)


def _grade_loosely(gold: Gold, passage: str, protocol: Protocol) -> float | None:
    match gold.kind:
        case "mc":
            return _equal(read_lenient_letter(passage, gold.options), gold.answer)
        case "regression":
            given, wanted = parse_quantity(passage), read_comma_float(gold.answer)
            if given is None or wanted is None:
                return None
            accuracy = mean_relative_accuracy_videor1 if protocol == "videor1" else mean_relative_accuracy
            return accuracy(float(given.value), wanted)
        case _:
            return _grade_official(gold, passage)


def _grade_number_or_text(passage: str, gold: str) -> float | None:
    """MMMU's rule of open questions: numbers are equal to two decimals, a gold text is contained."""
    wanted = read_comma_float(gold)
    if wanted is None:
        is_stated = states_text(passage, gold)
        return None if is_stated is None else float(is_stated)
    given = read_stated_number(passage)
    return None if given is None else float(round(given, 2) == round(wanted, 2))


def _best(scores: Iterable[float | None]) -> float | None:
    """The highest; None when there is none."""
    return max((score for score in scores if score is not None), default=None)


def _equal(read: object, gold: object) -> float | None:
    return None if read is None else float(read == gold)

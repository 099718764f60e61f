"""Step 2: keep the completions that follow the template, answer right and are fit to learn from.

Mark, never delete: the first rule that hits names itself in `rejected_by`, in the order format, refusal, score,
lengths, repetition, leak. Template and score are the paper's (VideoP2R section 3.2); the other rules are ours. A
refusal is no answer and has no score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from curation.config import Config
from curation.leaks import find_leak
from curation.repetition import repetition
from curation.schema import Question
from curation.scoring.refusals import is_refusal
from curation.scoring.words import words
from curation.tasks import Scoring, score_answer
from curation.trace import OBSERVATION_OPENING, THINK_OPENING, Trace, TraceFormatError, parse_trace

SCORE_TOLERANCE: Final = 1e-9  # 0.6 may arrive as 0.59999999999; it is kept
LEAKS_ANSWER: Final = "leaks_answer"
NO_OPENING: Final = "no_opening"
REFUSAL: Final = "filter:refusal"


def _ordered(window: tuple[int, int]) -> tuple[int, int]:
    low, high = window
    if not 0 <= low <= high:
        raise ValueError(f"a window is [least, most] with 0 <= least <= most, got [{low}, {high}]")
    return window


WordWindow = Annotated[tuple[int, int], AfterValidator(_ordered)]


class FilterConfig(Config):
    """Section `filter` of a curation config."""

    min_score: float = Field(default=0.6, ge=0, le=1)
    """The lowest score that is kept, itself included (VideoP2R section 3.2)."""
    observation_words: WordWindow = (5, 600)
    """Least and most words of an observation: the fixed opening alone has five, and the upper bound is about twice the
    reward window (section 3.3), so that it stops runaway text and leaves the choice of length to the rewards."""
    think_words: WordWindow = (5, 900)
    """Least and most words of a think, bounded likewise."""
    max_repetition: float = Field(default=0.3, ge=0, le=1)
    """The largest share of a segment's words inside an 8-gram that occurred before; a loop soon exceeds 0.5."""
    leaks_answer: Literal["reject", "flag"] = "reject"
    """Whether an observation that gives the answer away is rejected or only flagged."""
    scoring: Scoring = "default"
    """Our rules (curation/tasks.py), or videor1 for the equality rules of Video-R1's reward."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """What step 2 found. `trace` and `score` are None where the completion is no trace; `flags` stand on kept rows too.

    rejected_by: filter:format, filter:refusal, filter:score, filter:observation_length, filter:think_length,
    filter:repetition, filter:leaks_answer, or None for a completion that goes on to step 3.
    """

    trace: Trace | None
    score: float | None
    flags: tuple[str, ...] = ()
    rejected_by: str | None = None
    detail: str | None = None


def filter_completion(completion: str, question: Question, config: FilterConfig) -> Filtered:
    """Apply the rules of step 2 to one completion. Pure; never raises on any text."""
    try:
        trace = parse_trace(completion)
    except TraceFormatError as error:
        reason = REFUSAL if is_refusal(completion) else "filter:format"
        return Filtered(None, None, rejected_by=reason, detail=str(error))
    score = score_answer(
        question.problem_type, trace.answer, question.solution, options=question.options, strict=config.scoring
    )
    leak = find_leak(trace.observation, question.problem_type, question.options)
    if score < config.min_score - SCORE_TOLERANCE and is_refusal(trace.answer):
        return Filtered(trace, None, _flags(trace, leak), REFUSAL, f"the answer declines: {trace.answer[:80]!a}")
    rejected_by, detail = _first_rule(trace, score, leak, config) or (None, None)
    return Filtered(trace, score, _flags(trace, leak), rejected_by, detail)


def _first_rule(trace: Trace, score: float, leak: str | None, config: FilterConfig) -> tuple[str, str] | None:
    """The first rule that hits, as (rejected_by, detail)."""
    if score < config.min_score - SCORE_TOLERANCE:
        return "filter:score", f"score {score:.4g} is below {config.min_score:g}"
    segments = (
        ("observation", trace.observation, config.observation_words),
        ("think", trace.think, config.think_words),
    )
    for name, text, (low, high) in segments:
        num_words = len(words(text))
        if not low <= num_words <= high:
            return f"filter:{name}_length", f"{name} has {num_words} words, outside [{low}, {high}]"
    for name, text, _ in segments:
        share = repetition(text)
        if share > config.max_repetition:
            return "filter:repetition", f"{share:.2f} of {name} repeats itself, above {config.max_repetition:g}"
    if leak is not None and config.leaks_answer == "reject":
        return "filter:leaks_answer", f"observation says {leak!r}"
    return None


def _flags(trace: Trace, leak: str | None) -> tuple[str, ...]:
    """Facts about a trace that do not by themselves reject it, in a fixed order."""
    flags = []
    if leak is not None:
        flags.append(LEAKS_ANSWER)
    if not (_opens(trace.observation, OBSERVATION_OPENING) and _opens(trace.think, THINK_OPENING)):
        flags.append(NO_OPENING)
    return tuple(flags)


def _opens(text: str, opening: str) -> bool:
    """Case and white space do not count."""
    return " ".join(text[: 2 * len(opening)].casefold().split()).startswith(opening.casefold())

"""Does an observation carry what the question needs? (VideoP2R section 4, information sufficiency)

One model answers each question six times: from the question alone, with the observation that it wrote
itself, with one that another model wrote, and each of these without and with the video. If an observation is
sufficient, the answers from it are as good as those from the video. All conditions are over the same questions: one
whose observation is not well-formed gets an empty one, and one whose video is missing is asked in no condition and
counts 0 in each. The paper does not name its prompt; its figure with the video is that of its main table, which was
made with the reasoning prompt. A direct answer shows more plainly what the observation alone is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final, Literal

from curation.prompts import Prompt
from training.benchmarks.analyses.written_observations import WrittenObservations
from training.benchmarks.answering import BenchmarkAsk
from training.benchmarks.config import PromptName
from training.benchmarks.loaders import demo
from training.benchmarks.protocols import ScoredRow, summarise
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.rendering import render_prompt
from training.benchmarks.scoring import Failure, Protocol
from training.benchmarks.statistics import Comparison, compare_scores, weighted_interval

Observer = Literal["own", "other"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What the model gets besides the question. published: the row of the published table."""

    name: str
    observer: Observer | None
    has_video: bool
    published: str


QUESTION_ONLY: Final = Condition("question only", None, False, "question only")
WITH_VIDEO: Final = Condition("+ video", None, True, "question + video")
CONDITIONS: Final = (
    QUESTION_ONLY,
    Condition("+ own observation", "own", False, "question + own observation"),
    Condition("+ other observation", "other", False, "question + VideoP2R's observation"),
    WITH_VIDEO,
    Condition("+ video + own observation", "own", True, "question + video + own observation"),
    Condition("+ video + other observation", "other", True, "question + video + VideoP2R's observation"),
)
REFERENCES: Final = (QUESTION_ONLY, WITH_VIDEO)


@dataclass(frozen=True, slots=True)
class Figure:
    """One condition. share: in [0, 1], as the protocol forms it; None when no question counts, and then no interval.

    num_questions: in the denominator. failures: reason -> questions that count 0 for it. over: reference -> the paired
    comparison with it, question by question.
    """

    share: float | None
    interval: tuple[float, float] | None
    num_questions: int
    failures: Mapping[Failure, int]
    over: Mapping[str, Comparison]


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """by_benchmark: benchmark -> condition -> its figure. average: the mean over all benchmarks but the demo world,
    which is another one; None where these are fewer than two."""

    by_benchmark: Mapping[str, Mapping[str, Figure]]
    average: Mapping[str, Figure] | None


@dataclass(frozen=True, slots=True)
class _Scores:
    """Question -> score in [0, 1], and its weight in the figure; weights sum to 1, or are all 0."""

    scores: Mapping[str, float]
    weights: Mapping[str, float]
    failures: Mapping[Failure, int]


def conditions_of(observers: Sequence[Observer]) -> tuple[Condition, ...]:
    """Those that these observers allow, in the order of the paper's table."""
    return tuple(found for found in CONDITIONS if found.observer is None or found.observer in observers)


def ask_under(
    condition: Condition,
    loaded: LoadedBenchmark,
    observations: Mapping[Observer, WrittenObservations],
    prompt: PromptName,
    trace_prompt: Prompt,
) -> list[BenchmarkAsk]:
    """One request a question whose media are there; an observation that is not well-formed is an empty one."""
    asks = []
    for question in loaded.questions:
        if question.is_missing:
            continue
        observed = None if condition.observer is None else observations[condition.observer].by_uid[question.uid] or ""
        text = render_prompt(question, prompt, trace_prompt, observation=observed, has_media=condition.has_video)
        asks.append(BenchmarkAsk(question.uid, text, question.media if condition.has_video else None))
    return asks


def measure_sufficiency(
    rows: Mapping[str, Mapping[str, Sequence[ScoredRow]]], protocol: Protocol, judges: Mapping[str, str | None]
) -> Sufficiency:
    """rows: benchmark -> condition -> its scored rows. judges: benchmark -> who judged its open answers, or None.

    Every condition is compared with each of REFERENCES. Raises RunDirectoryError when conditions differ in questions.
    """
    scores = {
        benchmark: {name: _score(benchmark, protocol, found, judges[benchmark]) for name, found in conditions.items()}
        for benchmark, conditions in rows.items()
    }
    others = [name for name in scores if name != demo.NAME]
    average = None
    if len(others) > 1:
        average = {name: _join({other: scores[other][name] for other in others}) for name in scores[others[0]]}
    return Sufficiency(
        {benchmark: _figures(conditions) for benchmark, conditions in scores.items()},
        None if average is None else _figures(average),
    )


def _score(benchmark: str, protocol: Protocol, rows: Sequence[ScoredRow], judge: str | None) -> _Scores:
    found = summarise(benchmark, protocol, rows, judge=judge)
    return _Scores({row.id: row.score.score for row in rows}, found.weights, found.counted.failures)


def _join(by_benchmark: Mapping[str, _Scores]) -> _Scores:
    """The mean over benchmarks, as a weighting of all their questions; one that has no figure is in no mean."""
    counted = {name: scores for name, scores in by_benchmark.items() if any(scores.weights.values())}
    places = [(name, uid) for name, scores in counted.items() for uid in scores.scores]
    return _Scores(
        {f"{name}:{uid}": counted[name].scores[uid] for name, uid in places},
        {f"{name}:{uid}": counted[name].weights[uid] / len(counted) for name, uid in places},
        {
            failure: num
            for failure in Failure
            if (num := sum(scores.failures.get(failure, 0) for scores in counted.values()))
        },
    )


def _figures(conditions: Mapping[str, _Scores]) -> dict[str, Figure]:
    return {name: _figure(name, scores, conditions) for name, scores in conditions.items()}


def _figure(name: str, found: _Scores, conditions: Mapping[str, _Scores]) -> Figure:
    counted = [uid for uid, weight in found.weights.items() if weight]
    if not counted:
        return Figure(None, None, 0, found.failures, {})
    scores, weights = [found.scores[uid] for uid in counted], [found.weights[uid] for uid in counted]
    return Figure(
        share=min(1.0, fsum(score * weight for score, weight in zip(scores, weights, strict=True))),
        interval=weighted_interval(scores, weights),
        num_questions=len(counted),
        failures=found.failures,
        over={
            reference.name: compare_scores(found.scores, conditions[reference.name].scores, weights=dict(found.weights))
            for reference in REFERENCES
            if reference.name != name
        },
    )

"""From scored rows to a benchmark's figure, as each protocol forms it.

Every overall is a mean of row scores under weights, so that it has an interval and a paired test like any other:

| benchmark   | videor1                                  | official                                                  |
|-------------|------------------------------------------|-----------------------------------------------------------|
| vsi_bench   | mean of accuracy (letters) and MRA       | mean of 8 tasks, the 3 levels of direction being one task |
| videommmu   | all rows                                 | all rows, which is the mean of the 3 tracks               |
| mmvu        | multiple choice                          | multiple choice                                           |
| vcr_bench   | multiple choice                          | all rows, the open ones judged                            |
| mvbench     | all rows                                 | mean of the 20 tasks                                      |
| tempcompass | all rows                                 | mean of the tasks                                         |
| video_mme   | all rows                                 | all rows, which is the mean of the 3 durations            |
| shapes      | all rows                                 | all rows                                                  |

A task of which no row was asked has no part in a mean (lmms-eval raises there); rows outside the overall are reported
in their groups. Nothing answered, parsed or missing is ever taken out of a denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, prod
from statistics import fmean
from typing import Final

from curation.errors import RunDirectoryError
from curation.statistics import wilson_interval
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Failure, Kind, Protocol, Reply, RowScore, score_reply
from training.benchmarks.statistics import weighted_interval

# The order of the paper's tables, and the demo world's held-out split.
TITLES: Final[Mapping[str, str]] = {
    "vsi_bench": "VSI-Bench",
    "videommmu": "VideoMMMU",
    "mmvu": "MMVU",
    "vcr_bench": "VCR-Bench",
    "mvbench": "MVBench",
    "tempcompass": "TempCompass",
    "video_mme": "Video-MME",
    "shapes": "Demo world",
}
TASK: Final = "task"  # the group that every benchmark has; VideoMMMU's tracks and VCR-Bench's dimensions are tasks too
KIND: Final = "kind"
_DIRECTION: Final = "object_rel_direction"


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One question with its score. groups: such as {"task": "object_counting"} or {"duration": "short"}."""

    id: str
    kind: Kind
    groups: Mapping[str, str]
    score: RowScore


@dataclass(frozen=True, slots=True)
class Tally:
    """Some rows, each once: counts and sums, never a mean alone. num_missing: without their video."""

    num_rows: int
    num_parsed: int
    num_missing: int
    failures: Mapping[Failure, int]
    sum_score: float
    sum_lenient: float

    @property
    def mean(self) -> float | None:
        """In [0, 1], over all rows; None without rows."""
        return self.sum_score / self.num_rows if self.num_rows else None

    @property
    def lenient_mean(self) -> float | None:
        """The same under the lenient reading."""
        return self.sum_lenient / self.num_rows if self.num_rows else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the mean."""
        return wilson_interval(min(self.sum_score, self.num_rows), self.num_rows)


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """A benchmark's figure and what it is made of.

    overall: by the protocol, in [0, 1]; None when none of its rows was asked. counted, every: the rows in it, and all.
    groups: group -> its value -> those rows ("kind" is always one). macro: group -> the mean of its means.
    weights: question id -> its weight in the overall; they sum to 1, and rows outside weigh 0.
    """

    benchmark: str
    protocol: Protocol
    overall: float | None
    lenient: float | None
    interval: tuple[float, float] | None
    counted: Tally
    every: Tally
    groups: Mapping[str, Mapping[str, Tally]]
    macro: Mapping[str, float]
    weights: Mapping[str, float]


def score_questions(
    questions: Sequence[BenchmarkQuestion], replies: Mapping[str, Reply], protocol: Protocol
) -> list[ScoredRow]:
    """One row a question, in order; without a reply (uid -> reply) it has no output, without its media it is missing.

    Raises RunDirectoryError for a reply to no question, ValueError for a gold that is no answer of its kind.
    """
    if strangers := replies.keys() - {question.uid for question in questions}:
        raise RunDirectoryError(
            f"{len(strangers):,} replies are to no question of the benchmark, such as {min(strangers)!r}. They are of "
            "another revision or another part of it: score them with the questions they were made from."
        )
    return [
        ScoredRow(
            question.uid,
            question.kind,
            question.groups,
            score_reply(question.gold, _reply_to(question, replies), protocol),
        )
        for question in questions
    ]


def summarise(
    benchmark: str, protocol: Protocol, rows: Sequence[ScoredRow], *, judge: str | None = None
) -> BenchmarkScore:
    """Form the figure of one benchmark. Raises ValueError for an unknown one and when a question occurs twice."""
    if twice := [name for name, count in Counter(row.id for row in rows).items() if count > 1]:
        raise ValueError(f"{len(twice)} questions were scored twice, such as {twice[0]!r}")
    weights = overall_weights(benchmark, protocol, rows, judge=judge)
    counted = [row for row in rows if weights[row.id]]
    names = dict.fromkeys((KIND, *(name for row in rows for name in row.groups)))
    groups = {name: found for name in names if (found := _tally_by(rows, name))}
    return BenchmarkScore(
        benchmark=benchmark,
        protocol=protocol,
        overall=_weighted((row.score.score for row in counted), (weights[row.id] for row in counted)),
        lenient=_weighted((row.score.lenient for row in counted), (weights[row.id] for row in counted)),
        interval=weighted_interval([row.score.score for row in counted], [weights[row.id] for row in counted]),
        counted=tally(counted),
        every=tally(rows),
        groups=groups,
        macro={
            name: fmean(found.sum_score / found.num_rows for found in by_value.values())
            for name, by_value in groups.items()
        },
        weights=weights,
    )


def tally(rows: Iterable[ScoredRow]) -> Tally:
    """Count and add up."""
    scores = [row.score for row in rows]
    failures = Counter(score.failure for score in scores if score.failure)
    return Tally(
        num_rows=len(scores),
        num_parsed=sum(score.is_parsed for score in scores),
        num_missing=failures[Failure.MISSING_VIDEO],
        failures={failure: failures[failure] for failure in Failure if failures[failure]},
        sum_score=fsum(score.score for score in scores),
        sum_lenient=fsum(score.lenient for score in scores),
    )


def overall_weights(
    benchmark: str, protocol: Protocol, rows: Sequence[ScoredRow], *, judge: str | None = None
) -> dict[str, float]:
    """Question id -> its weight in the overall; they sum to 1 unless no row is part of it.

    Raises ValueError for an unknown benchmark, whose rule is not known either.
    """
    if benchmark not in TITLES:
        raise ValueError(f"unknown benchmark {benchmark!r}; it is one of {', '.join(TITLES)}")
    paths = {row.id: path for row in rows if (path := _path(benchmark, protocol, row, judge)) is not None}
    return dict.fromkeys((row.id for row in rows), 0.0) | nested_weights(paths)


def nested_weights(paths: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """The weights under which a mean of rows is a mean of means of means: siblings weigh the same at every level.

    paths: id -> the groups that hold it, the widest first.
    """
    ended = {name: (*path, "") for name, path in paths.items()}  # rows beside a subgroup are a group of their own
    members: dict[tuple[str, ...], set[str]] = {}
    for path in ended.values():
        for depth, member in enumerate(path):
            members.setdefault(path[:depth], set()).add(member)
    num_rows = Counter(ended.values())
    return {
        name: 1 / (num_rows[path] * prod(len(members[path[:depth]]) for depth in range(len(path))))
        for name, path in ended.items()
    }


def _path(benchmark: str, protocol: Protocol, row: ScoredRow, judge: str | None) -> tuple[str, ...] | None:
    """The groups whose means make the overall, the widest first; None for a row that is no part of it."""
    task = row.groups.get(TASK, "")
    match benchmark, protocol:
        case "vsi_bench", "videor1":
            return ("letters" if row.kind == "mc" else "numbers",)
        case "vsi_bench", "official":
            return (_DIRECTION, task) if task.startswith(_DIRECTION) else (task,)
        case ("mmvu", _) | ("vcr_bench", "videor1"):
            return () if row.kind == "mc" else None
        case "mvbench", "official":
            return (task,)
        case "tempcompass", "official":
            # Captions are judged: without a judge they have no score, and the others are the benchmark.
            return None if row.kind == "open" and judge is None else (task,)
        case _:
            return ()


def _reply_to(question: BenchmarkQuestion, replies: Mapping[str, Reply]) -> Reply:
    reply = replies.get(question.uid, Reply(None))
    return replace(reply, is_missing_video=True) if question.is_missing else reply


def _tally_by(rows: Sequence[ScoredRow], name: str) -> dict[str, Tally]:
    by_value: dict[str, list[ScoredRow]] = {}
    for row in rows:
        value = row.kind if name == KIND else row.groups.get(name)
        if value is not None:
            by_value.setdefault(value, []).append(row)
    return {value: tally(found) for value, found in by_value.items()}


def _weighted(values: Iterable[float], weights: Iterable[float]) -> float | None:
    """The mean under weights that sum to 1; None of nothing."""
    products = [value * weight for value, weight in zip(values, weights, strict=True)]
    return min(1.0, fsum(products)) if products else None

"""Where a model is right: accuracy by the length of what it wrote, by problem type, and by every group of a benchmark.

Lengths are cut into bins of (nearly) equally many answers; equal lengths are never parted. An answer without that
length (no completion, no well-formed observation) is in a bin of its own, so that each table holds every answer once.
A length says nothing about its cause: hard questions get long answers as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Final, Literal

from curation.errors import ConfigError
from curation.scoring.words import words
from curation.statistics import wilson_interval
from training.processes import split_processes

Segment = Literal["completion", "observation", "think"]
Unit = Literal["tokens", "words"]

# Values that have an order of their own; any others stand in that of the alphabet.
_SCALES: Final = (
    ("short", "medium", "long"),
    ("easy", "medium", "hard"),
    ("perception", "comprehension", "adaptation"),
    ("sufficient", "insufficient", "no verdict", "malformed"),
)


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One question. output: null when there was none. num_tokens: of the output; null where nobody counted.

    is_counted: whether it is part of the benchmark's overall. is_in_form: whether an answer could be read.
    """

    score: float
    is_in_form: bool
    is_counted: bool
    output: str | None
    num_tokens: int | None
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScoredSet:
    """The answers of one benchmark or evaluation. provenance: whose they are and how they were made, for JSON."""

    name: str
    title: str
    provenance: Mapping[str, str | None]
    answers: Sequence[ScoredAnswer]


@dataclass(frozen=True, slots=True)
class Part:
    """Some answers, each once. sum_score: of scores in [0, 1]."""

    num_answers: int
    sum_score: float
    num_in_form: int

    @property
    def mean(self) -> float | None:
        """In [0, 1]; None without answers."""
        return self.sum_score / self.num_answers if self.num_answers else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the mean."""
        return wilson_interval(min(self.sum_score, self.num_answers), self.num_answers)


@dataclass(frozen=True, slots=True)
class LengthBin:
    """Answers whose segment is `least` to `most` long, ends included, both of which occur."""

    least: int
    most: int
    part: Part


@dataclass(frozen=True, slots=True)
class LengthBreakdown:
    """without: the answers that lack the segment."""

    segment: Segment
    unit: Unit
    bins: tuple[LengthBin, ...]
    without: Part


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One benchmark or evaluation.

    counted: the answers of the overall, which the lengths are over; every: all of them, which the groups are over.
    groups: name -> value -> its answers.
    """

    name: str
    title: str
    provenance: Mapping[str, str | None]
    counted: Part
    every: Part
    lengths: tuple[LengthBreakdown, ...]
    groups: Mapping[str, Mapping[str, Part]]


def break_down(scored: ScoredSet, num_bins: int) -> Breakdown:
    """Raises ConfigError for a number of bins below 1."""
    if num_bins < 1:
        raise ConfigError(f"--bins must be at least 1, not {num_bins}")
    answers = scored.answers
    counted = [answer for answer in answers if answer.is_counted]
    lengths = (_by_length(segment, counted, num_bins) for segment in ("completion", "observation", "think"))
    names = dict.fromkeys(group for answer in answers for group in answer.groups)
    return Breakdown(
        name=scored.name,
        title=scored.title,
        provenance=scored.provenance,
        counted=_tally(counted),
        every=_tally(answers),
        lengths=tuple(found for found in lengths if found.bins),
        groups={group: _by_group(group, answers) for group in names},
    )


def cut(lengths: Sequence[int], num_bins: int) -> list[list[int]]:
    """Places in `lengths`, bin by bin from the shortest on; at most `num_bins`, none empty.

    Where the lengths tie at a border, all of them fall on the side where the first of them is.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    bins: dict[int, list[int]] = {}
    first: dict[int, int] = {}
    for rank, place in enumerate(order):
        rank = first.setdefault(lengths[place], rank)
        bins.setdefault(rank * num_bins // len(order), []).append(place)
    return list(bins.values())


def as_record(found: Breakdown) -> dict[str, Any]:
    """For JSON."""
    return {
        "name": found.name,
        **found.provenance,
        "counted": _part_record(found.counted),
        "every": _part_record(found.every),
        "lengths": {
            by.segment: {
                "unit": by.unit,
                "bins": [{"least": each.least, "most": each.most} | _part_record(each.part) for each in by.bins],
                "without": _part_record(by.without),
            }
            for by in found.lengths
        },
        "groups": {
            group: {value: _part_record(part) for value, part in parts.items()} for group, parts in found.groups.items()
        },
    }


def _part_record(part: Part) -> dict[str, Any]:
    return {
        "num_answers": part.num_answers,
        "num_in_form": part.num_in_form,
        "accuracy": part.mean,
        "interval": part.interval,
    }


def _by_length(segment: Segment, answers: Sequence[ScoredAnswer], num_bins: int) -> LengthBreakdown:
    is_in_tokens = segment == "completion" and all(
        answer.num_tokens is not None for answer in answers if answer.output is not None
    )
    lengths = [_length(answer, segment, is_in_tokens=is_in_tokens) for answer in answers]
    pairs = list(zip(answers, lengths, strict=True))
    measured = [(answer, length) for answer, length in pairs if length is not None]
    bins = [[measured[place] for place in places] for places in cut([length for _, length in measured], num_bins)]
    return LengthBreakdown(
        segment=segment,
        unit="tokens" if is_in_tokens else "words",
        bins=tuple(
            LengthBin(
                min(length for _, length in found),
                max(length for _, length in found),
                _tally(answer for answer, _ in found),
            )
            for found in bins
        ),
        without=_tally(answer for answer, length in pairs if length is None),
    )


def _length(answer: ScoredAnswer, segment: Segment, *, is_in_tokens: bool) -> int | None:
    """None where the answer has no such segment."""
    if answer.output is None:
        return None
    if segment == "completion":
        return answer.num_tokens if is_in_tokens else len(words(answer.output))
    processes = split_processes(answer.output)
    block = processes.observation if segment == "observation" else processes.think
    return None if block is None else len(words(answer.output[block.inner_start : block.inner_end]))


def _by_group(name: str, answers: Iterable[ScoredAnswer]) -> dict[str, Part]:
    by_value: dict[str, list[ScoredAnswer]] = {}
    for answer in answers:
        if name in answer.groups:
            by_value.setdefault(answer.groups[name], []).append(answer)
    return {value: _tally(by_value[value]) for value in in_order(by_value)}


def in_order(values: Iterable[str]) -> list[str]:
    """From easy to hard where they are such a scale, else by the alphabet."""
    found = sorted(values)
    for scale in _SCALES:
        if {value.lower() for value in found} <= {*scale}:
            return sorted(found, key=lambda value: scale.index(value.lower()))
    return found


def _tally(answers: Iterable[ScoredAnswer]) -> Part:
    found = list(answers)
    return Part(len(found), fsum(answer.score for answer in found), sum(answer.is_in_form for answer in found))

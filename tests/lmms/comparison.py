"""Row by row: equal, a known difference with its reason, or a fault.

A difference that is not listed is a fault; so is a listed one that occurs in fewer or more rows than it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isclose
from pathlib import Path
from textwrap import wrap
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

WIDTH: Final = 120


class Outcome(StrEnum):
    EQUAL = "equal"
    OURS = "ours is higher"
    THEIRS = "theirs is higher"
    JUDGED = "judged"  # lmms-eval asks a language model
    LEFT_OUT = "left out"  # lmms-eval takes it out of the denominator


@dataclass(frozen=True, slots=True)
class Pair:
    """One prediction and its two scores, in [0, 1].

    rule: of lmms-eval, such as "VSI-Bench letters". reader: the filter that the output went through. form: the name of
    the output. theirs: None where there is no score; why: then "judged" or "left out".
    """

    rule: str
    reader: str
    form: str
    uid: str
    gold: str
    output: str
    ours: float
    theirs: float | None
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.theirs is None:
            return Outcome(self.why)
        if isclose(self.ours, self.theirs, abs_tol=1e-9):
            return Outcome.EQUAL
        return Outcome.OURS if self.ours > self.theirs else Outcome.THEIRS

    @property
    def key(self) -> Key:
        """By which a known difference is found."""
        return self.rule, self.reader, self.form, self.outcome


Key = tuple[str, str, str, Outcome]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownDifference(_Part):
    """Rows of one rule whose scores differ for one reason. rows: form -> how many."""

    reader: str
    outcome: Outcome
    reason: str
    rows: Mapping[str, PositiveInt] = Field(min_length=1)


class KnownDifferences(_Part):
    """differences.yaml. reasons: name -> sentence. differences: rule -> its known differences."""

    reasons: Mapping[str, str]
    differences: Mapping[str, Sequence[KnownDifference]]

    @model_validator(mode="after")
    def _each_has_one_reason(self) -> KnownDifferences:
        keys = Counter(key for key, _, _ in self.listed())
        if twice := [key for key, count in keys.items() if count > 1]:
            raise ValueError(f"{twice[0]} is listed twice")
        if any(known.outcome is Outcome.EQUAL for own in self.differences.values() for known in own):
            raise ValueError("what is equal is no difference")
        used = {reason for _, reason, _ in self.listed()}
        if used != set(self.reasons):
            raise ValueError(f"reasons without a sentence or without a use: {sorted(used ^ set(self.reasons))}")
        return self

    def listed(self) -> Iterator[tuple[Key, str, int]]:
        """(key, reason, number of rows) of each."""
        for rule, own in self.differences.items():
            for known in own:
                for form, num_rows in known.rows.items():
                    yield (rule, known.reader, form, known.outcome), known.reason, num_rows


def load_known(path: Path) -> KnownDifferences:
    """Raises pydantic's ValidationError for a table that is none."""
    return KnownDifferences.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def find_faults(pairs: Sequence[Pair], known: KnownDifferences) -> list[str]:
    """What differs and is not listed, and what is listed and does not differ (in so many rows), a line each."""
    found = Counter(pair.key for pair in pairs if pair.outcome is not Outcome.EQUAL)
    examples = {pair.key: pair for pair in reversed(pairs)}
    listed = {key: num_rows for key, _, num_rows in known.listed()}
    faults = []
    for key in sorted(found.keys() | listed.keys()):
        rule, reader, form, outcome = key
        if found[key] != listed.get(key, 0):
            faults.append(
                f"{rule}, {reader}, {form!r}: {outcome} in {found[key]} rows, listed are {listed.get(key, 0)}"
                + (f" ({_example(examples[key])})" if key in examples else "")
            )
    return faults


def table(pairs: Sequence[Pair], known: KnownDifferences) -> Iterator[str]:
    """Lines: for each rule and reader the rows, how many are equal, and how many differ for which reason."""
    reasons = {key: reason for key, reason, _ in known.listed()}
    width = max((len(pair.rule) for pair in pairs), default=0)
    yield f"{'rule':{width}}  {'reader':10}  {'rows':>5}  {'equal':>5}  differing, by reason"
    for rule, reader in dict.fromkeys((pair.rule, pair.reader) for pair in pairs):
        own = [pair for pair in pairs if (pair.rule, pair.reader) == (rule, reader)]
        differing = [pair for pair in own if pair.outcome is not Outcome.EQUAL]
        counts = Counter(reasons.get(pair.key, "NOT LISTED") for pair in differing)
        shown = ", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "none"
        yield f"{rule:{width}}  {reader:10}  {len(own):5}  {len(own) - len(differing):5}  {len(differing)}: {shown}"


def listing(known: KnownDifferences) -> Iterator[str]:
    """Lines: every known difference under its reason."""
    for reason, sentence in known.reasons.items():
        yield from wrap(f"{reason}: {sentence}", WIDTH, subsequent_indent="  ")
        for rule, own in known.differences.items():
            for difference in own:
                if difference.reason == reason:
                    forms = "; ".join(f"{form} ({num_rows})" for form, num_rows in difference.rows.items())
                    line = f"{rule}, {difference.reader}, {difference.outcome}: {forms}"
                    yield from wrap(line, WIDTH, initial_indent="    ", subsequent_indent="        ")


def _example(pair: Pair) -> str:
    return f"{pair.uid}: gold {pair.gold!r}, output {pair.output!r}, ours {pair.ours:g}, theirs {pair.theirs}"

"""Paired comparisons: two models on the same questions, or one model with two prompts.

Only scores that were made in the same way are compared; of two prompts everything but the prompt is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curation.errors import RunDirectoryError
from training.benchmarks.fingerprint import MixedFingerprints, differences
from training.benchmarks.grouping import order_of, title_of
from training.benchmarks.results import BenchmarkResult, read_rows
from training.benchmarks.statistics import Comparison, compare_scores
from training.benchmarks.tables import signed
from training.report_html import Cell, Row, Table
from training.report_words import NARROW

PROMPT_FIELDS: Final = ("prompt", "prompt_sha256")
_NOTE: Final = (
    "In percentage points of the score, question by question; in brackets the 95 % interval (paired bootstrap). p: "
    "McNemar's exact test where answers are right or wrong, else sign flips. A gap is higher or lower only where both "
    "say so. Each line is a test of its own: of twenty that compare equals, one is expected to say otherwise."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One benchmark, first minus second."""

    benchmark: str
    comparison: Comparison


def compare_folders(
    first: tuple[Path, BenchmarkResult], second: tuple[Path, BenchmarkResult], *, apart: Collection[str] = ()
) -> Compared:
    """Compare two results of one benchmark, question by question, under the weights of its overall.

    apart: fields of the fingerprint that may differ, since they are what is compared. Raises MixedFingerprints when
    others do, RunDirectoryError when the rows cannot be read or are not of the same questions.
    """
    (our_folder, ours), (their_folder, theirs) = first, second
    found = differences(ours.fingerprint, theirs.fingerprint)
    if lone := [name for name in found if name not in apart]:
        one, other = found[lone[0]]
        raise MixedFingerprints(
            f"scores of {title_of(ours.benchmark)} cannot be compared: {lone[0]} is {one} for one and {other} for the "
            "other. Evaluate both in the same way."
        )
    our_rows, their_rows = read_rows(our_folder), read_rows(their_folder)
    comparison = compare_scores(
        {row.id: row.score for row in our_rows},
        {row.id: row.score for row in their_rows},
        weights={row.id: row.weight for row in our_rows},
    )
    return Compared(ours.benchmark, comparison)


def compare_results(
    first: Sequence[tuple[Path, BenchmarkResult]],
    second: Sequence[tuple[Path, BenchmarkResult]],
    *,
    apart: Collection[str] = (),
) -> list[Compared]:
    """Every benchmark that both have, in the order of the paper. Raises as `compare_folders`, and RunDirectoryError
    when there is none."""
    ours, theirs = ({found[1].benchmark: found for found in side} for side in (first, second))
    if not ours.keys() & theirs.keys():
        raise RunDirectoryError(
            f"there is no benchmark that both have: one has {_names(ours)}, the other {_names(theirs)}. "
            "Run the same benchmarks with the same prompt in both."
        )
    shared = sorted(ours.keys() & theirs.keys(), key=lambda name: (order_of(name), name))
    return [compare_folders(ours[name], theirs[name], apart=apart) for name in shared]


def comparison_table(compared: Sequence[Compared], first: str, second: str) -> Table:
    """A line a benchmark. first, second: what is compared, in words."""
    rows = []
    for found in compared:
        comparison = found.comparison
        low, high = comparison.interval
        rows.append(
            Row(
                title_of(found.benchmark),
                (
                    Cell(f"{comparison.num_questions:,}"),
                    Cell(f"{comparison.num_higher:,}"),
                    Cell(f"{comparison.num_lower:,}"),
                    Cell(signed(comparison.difference), f"[{signed(low)},{NARROW}{signed(high)}]"),
                    Cell(_p_value(comparison.p_value), comparison.test),
                    Cell(comparison.verdict),
                ),
            )
        )
    headings = (f"{first} against {second}", "questions", "better on", "worse on", "difference", "p", "verdict")
    return Table(headings, tuple(rows), _NOTE)


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def _names(found: Collection[str]) -> str:
    return ", ".join(map(title_of, found)) or "none"

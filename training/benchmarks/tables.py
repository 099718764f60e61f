"""The paper's tables: ours beside the published rows, in two groups that are never taken for one.

Scores stand in one table only when `fingerprint.same_table` lets them; what was made in another way gets a table of its
own, headed by what differs. The demo world is another benchmark: it has a column and is in no average. A published
figure has no fingerprint; a gap to it is stated only where ours was made under its conditions, all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from curation.errors import ConfigError
from training.benchmarks.conditions import conditions_of, differing
from training.benchmarks.fingerprint import same_table
from training.benchmarks.grouping import DEMO, SEVEN, Entry, Group, shown, title_of
from training.benchmarks.loaders.loading import UNREADABLE_GOLD
from training.benchmarks.loaders.tempcompass import NO_CHOICE
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import (
    PAPER_ABLATIONS,
    PAPER_MAIN,
    PublishedRow,
    PublishedTable,
    published_rows,
    published_table,
)
from training.benchmarks.results import BenchmarkResult
from training.benchmarks.sources import BEYOND_LIMIT
from training.benchmarks.statistics import Gap, gap_to_published
from training.report_html import Cell, Row, Table
from training.report_words import DASH, NARROW, ends

AVERAGE: Final = "average"
NOT_RUN: Final = "not run"
# The paper gives these two one row; see training.variants.
# Rows that belong to the benchmark as it is published.
_LACKING: Final = (BEYOND_LIMIT, UNREADABLE_GOLD, NO_CHOICE)
_SAME_ROW: Final = {"no_perception_reward": "grpo"}


@dataclass(frozen=True, slots=True)
class PublishedGap:
    """Ours minus a published figure. gap: None where it would say nothing, and then `reason` says why."""

    gap: Gap | None
    reason: str | None = None


def table_one(group: Group, reference: PublishedRow) -> Table:
    """The paper's Table 1: published models, then ours, each with its gap to `reference`.

    The published rows answered with a reasoning prompt, so they stand beside that one only. Raises MixedFingerprints.
    """
    same_table(entry.result.fingerprint for entry in group.entries)
    published = published_table(PAPER_MAIN)
    columns = _columns(group)
    rows: list[Row] = []
    if group.prompt == "trace":
        rows += [Row("Published"), *(_published_row(row, columns) for row in published.rows)]
    rows.append(Row("Ours, measured here"))
    for model in (*group.models, *group.absent):
        rows.append(_our_row(group, model, columns))
        if group.prompt == "trace" and model in group.models:
            rows.append(_gap_row(group, model, reference, columns, published))
    return Table(_headings(columns, "score, %"), tuple(rows), _note(group, columns, published))


def table_two(group: Group) -> Table | None:
    """The paper's Table 2: below each published variant ours of the same kind; None without any variant of ours.

    Raises MixedFingerprints.
    """
    same_table(entry.result.fingerprint for entry in group.entries)
    published = published_table(PAPER_ABLATIONS)
    columns = _columns(group)
    variants = {entry.model: entry.variant for entry in group.entries if entry.variant is not None}
    if not variants or group.prompt != "trace":
        return None
    rows: list[Row] = []
    for row in published.rows:
        rows.append(Row(f"published: {row.name}", _published_row(row, columns).cells))
        for model, variant in variants.items():
            if _SAME_ROW.get(variant, variant) == row.variant:
                ours = _our_row(group, model, columns)
                rows.append(Row(f"ours: {variant}, {model}", ours.cells))
                rows.append(_gap_row(group, model, row, columns, published))
    run = {_SAME_ROW.get(variant, variant) for variant in variants.values()}
    lacking = [row.variant for row in published.rows if row.variant is not None and row.variant not in run]
    note = _note(group, columns, published) + (f" Not run: {', '.join(lacking)}." if lacking else "")
    return Table(_headings(columns, "score, %"), tuple(rows), note)


def published_reference(name: str | None = None) -> PublishedRow:
    """A row of Table 1 to take the gaps to; None is VideoP2R (7B). Raises ConfigError for one that is not there."""
    rows = published_rows(PAPER_MAIN)
    for row in rows:
        if (row.variant == "full") if name is None else (row.name == name):
            return row
    raise ConfigError(f"the paper's Table 1 has no row {name!r}; it has {', '.join(row.name for row in rows)}.")


def published_cell(row: PublishedRow, column: str) -> Cell:
    """Of a benchmark or the average, as printed; null is a dash."""
    score = row.average if column == AVERAGE else row.scores.get(column)
    return Cell(DASH if score is None else f"{score:.1f}")


def gap_of(entry: Entry, row: PublishedRow, table: PublishedTable) -> PublishedGap:
    """Ours minus the published score of the same benchmark, or why there is no such gap."""
    published = row.scores.get(entry.result.benchmark)
    if entry.result.overall is None or not entry.num_effective:
        return PublishedGap(None, "no score of ours")
    if published is None:
        return PublishedGap(None, "not published")
    if reason := incomparable(entry.result, row, table):
        return PublishedGap(None, f"measured otherwise: {reason}")
    return PublishedGap(gap_to_published(entry.result.overall, published / 100, entry.num_effective))


def incomparable(result: BenchmarkResult, row: PublishedRow, table: PublishedTable) -> str | None:
    """Why a score of ours is no match for a published one; None where all conditions agree."""
    reasons = [*differing(conditions_of(result), table.conditions(row, result.benchmark))]
    if result.fingerprint.decoding.further is not None:
        reasons.append(f"sampled with {shown(result.fingerprint.decoding.further)} too")
    if result.counted.num_missing:
        reasons.append(f"{result.counted.num_missing:,} questions without their video")
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else None


def part_of(result: BenchmarkResult) -> str | None:
    """That only a part of the benchmark was asked, which is another benchmark; None for all of it or unknown.

    Rows that its protocol leaves out are not lacking; rows without their video were asked and count as wrong.
    """
    num_asked, num_lacking = result.every.num_rows, sum(result.left_out.get(reason, 0) for reason in _LACKING)
    num_wanted = num_asked + num_lacking
    if result.num_published is not None:
        num_wanted = max(num_wanted, result.num_published - sum(result.left_out.values()) + num_lacking)
    return f"{num_asked:,} of {num_wanted:,} rows" if num_asked < num_wanted else None


def is_of_parts(group: Group, model: str) -> bool:
    """Whether a model's average is over benchmarks of which only a part was asked."""
    return any(name in SEVEN for name in _parts(group, model))


def average(group: Group, model: str) -> float | None:
    """Of the seven overalls, in [0, 1]; None unless all seven stand in this table."""
    found = [group.find(model, benchmark) for benchmark in SEVEN]
    overalls = [entry.result.overall for entry in found if entry is not None and entry.result.overall is not None]
    return fsum(overalls) / len(SEVEN) if len(overalls) == len(SEVEN) else None


def _columns(group: Group) -> tuple[str, ...]:
    """The seven, their average, and whatever else was run."""
    return (*SEVEN, AVERAGE, *(name for name in group.benchmarks if name not in SEVEN))


def _headings(columns: Sequence[str], corner: str) -> tuple[str, ...]:
    return (corner, *(_column_title(name) for name in columns))


def _column_title(name: str) -> str:
    title = title_of(name)
    return title if name in (*SEVEN, AVERAGE) else f"{title} (another benchmark)"


def _published_row(row: PublishedRow, columns: Sequence[str]) -> Row:
    return Row(row.name, tuple(published_cell(row, name) for name in columns))


def _our_row(group: Group, model: str, columns: Sequence[str]) -> Row:
    return Row(model, tuple(_our_cell(group, model, name) for name in columns))


def _our_cell(group: Group, model: str, column: str) -> Cell:
    if column == AVERAGE:
        return _average_cell(group, model)
    entry = group.find(model, column)
    if entry is None:
        if (model, column) in group.elsewhere:
            return Cell(DASH, "in another table")
        return Cell(NOT_RUN if (model, column) in group.not_run else DASH)
    result = entry.result
    if result.overall is None:
        return Cell(DASH, "no row counts")
    notes = [ends(result.interval)] if result.interval is not None else []
    notes += [f"{result.every.num_missing:,} without video"] if result.every.num_missing else []
    notes += [part] if (part := part_of(result)) else []
    return Cell(points(result.overall), "; ".join(notes))


def _average_cell(group: Group, model: str) -> Cell:
    if model in group.absent:
        return Cell(NOT_RUN)
    mean = average(group, model)
    if mean is None:
        return Cell(DASH, f"{len(SEVEN) - len(_lacking(group, model))} of {len(SEVEN)}")
    return Cell(points(mean), "of parts" if is_of_parts(group, model) else "")


def _gap_row(group: Group, model: str, reference: PublishedRow, columns: Sequence[str], table: PublishedTable) -> Row:
    cells = []
    for name in columns:
        entry = group.find(model, name)
        if entry is None:
            cells.append(Cell(DASH))
        else:
            cells.append(gap_cell(gap_of(entry, reference, table)))
    return Row(f"gap to {reference.name}", tuple(cells))


def gap_cell(found: PublishedGap) -> Cell:
    """Percentage points, their interval and what they mean."""
    if found.gap is None:
        return Cell(DASH, found.reason or "")
    low, high = found.gap.interval
    interval = f"[{signed(low)},{NARROW}{signed(high)}]"
    return Cell(signed(found.gap.difference), f"{interval} {found.gap.verdict}")


def points(share: float) -> str:
    """A share in [0, 1] as per cent without the sign, as the paper prints it."""
    return f"{100 * share:.1f}"


def signed(difference: float) -> str:
    """A difference of shares in percentage points; none is +0.0, from whichever side it was rounded."""
    return f"{round(100 * difference, 1) or 0.0:+.1f}"


def _note(group: Group, columns: Sequence[str], published: PublishedTable) -> str:
    sentences = [
        "In brackets: 95 % intervals, of ours Wilson's and of a gap Newcombe's; they are about the choice of questions "
        "alone. A dash was not measured or not published, and is no zero."
    ]
    if group.prompt == "trace":
        sentences.append(" ".join(filter(None, (f"Published: {published.source}.", published.note))))
    else:
        sentences.append("Published rows answered with a reasoning prompt; they stand in the table of that prompt.")
    for model in group.models:
        lacking, parts = _lacking(group, model), _parts(group, model)
        if parts:
            sentences.append(f"Of {model} only a part was asked of {', '.join(map(title_of, parts))}.")
        if lacking:
            which = "all seven" if len(lacking) == len(SEVEN) else ", ".join(TITLES[name] for name in lacking)
            sentences.append(f"{model} has no average, which is over all seven: it lacks {which} here.")
    if DEMO in columns:
        sentences.append("The demo world is another benchmark than the seven: no published figure is of it.")
    return " ".join(sentences)


def _parts(group: Group, model: str) -> list[str]:
    """The benchmarks of which a model was asked only a part."""
    found = {name: group.find(model, name) for name in group.benchmarks}
    return [name for name, entry in found.items() if entry is not None and part_of(entry.result)]


def _lacking(group: Group, model: str) -> list[str]:
    """The benchmarks of the seven without a score in this table."""
    found = {name: group.find(model, name) for name in SEVEN}
    return [name for name, entry in found.items() if entry is None or entry.result.overall is None]

"""What stands behind the figures of a table: rows and failures, scores by group, and the settings they were made with.

All of it is generic over `groups`, so that Video-MME shows its durations and VideoMMMU its tracks without being named.
Scores stay within one group of `tables.group_entries`, whose members may share a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from curation.statistics import wilson_interval
from training.benchmarks.fingerprint import Fingerprint, same_table
from training.benchmarks.grouping import Entry, Group, order_of, shown, title_of
from training.benchmarks.published import PAPER_MAIN, PublishedRow, published_table
from training.benchmarks.results import GroupScore
from training.benchmarks.tables import gap_cell, gap_of, points, published_cell
from training.report_html import Cell, Row, Table
from training.report_words import DASH, duration, ends, percent

_ORDERS: Final = (
    ["short", "medium", "long"],
    ["easy", "medium", "hard"],
    ["perception", "comprehension", "adaptation"],
)
_FEW_MODELS: Final = 2  # their figures stand beside the names, not at the other end of the page
_SHORT: Final = 12  # of a hash: enough to tell two apart
_ACCOUNT_NOTE: Final = (
    "Every row stays in the denominator: what is missing, not answered or not in form counts as wrong. Lenient: the "
    "score if an answer is also looked for where it was not asked for; it is no part of any other figure here."
)


def score_table(group: Group, reference: PublishedRow) -> Table:
    """A line for each score of ours: interval, rows, and the gap to the published row, which reasoned too."""
    rows = []
    for entry in ordered(group):
        result = entry.result
        cells = [
            Cell(DASH if result.overall is None else points(result.overall)),
            Cell(DASH if result.interval is None else ends(result.interval)),
            Cell(f"{result.counted.num_rows:,}"),
        ]
        if group.prompt == "trace":
            gap = gap_cell(gap_of(entry, reference, published_table(PAPER_MAIN)))
            cells += [published_cell(reference, result.benchmark), Cell(gap.text), Cell(gap.note)]
        rows.append(Row(line_name(group, entry), tuple(cells)))
    headings = [f"{group.title}, %", "score", "95 %", "questions"]
    if group.prompt == "trace":
        headings += [reference.name, "gap", "what it says"]
    return Table(tuple(headings), tuple(rows))


def account_table(group: Group) -> Table:
    """A line for each score: rows, parsed, failures by kind, and the lenient reading."""
    failures = list(dict.fromkeys(name for entry in group.entries for name in entry.result.every.failures))
    rows = []
    for entry in ordered(group):
        result = entry.result
        counts = tuple(Cell(f"{result.every.failures.get(name, 0):,}") for name in failures)
        rows.append(
            Row(
                line_name(group, entry),
                (
                    Cell(f"{result.every.num_rows:,}"),
                    Cell(f"{result.counted.num_rows:,}"),
                    Cell(_points(result.overall)),
                    Cell(_points(result.lenient)),
                    Cell(percent(result.every.num_parsed / result.every.num_rows if result.every.num_rows else None)),
                    *counts,
                ),
            )
        )
    headings = ("", "rows", "in the score", "score, %", "lenient, %", "in form", *map(shown, failures))
    return Table(headings, tuple(rows), _ACCOUNT_NOTE)


def rows_table(group: Group) -> Table:
    """A line for each score: the rows as published, those left out, and where they were read."""
    rows = []
    for entry in ordered(group):
        result = entry.result
        left_out = ", ".join(f"{shown(reason)} {count:,}" for reason, count in result.left_out.items())
        published = "not known" if result.num_published is None else f"{result.num_published:,}"
        cells = (
            Cell(published),
            Cell(f"{result.every.num_rows:,}"),
            Cell(f"{result.every.num_missing:,}"),
            Cell(left_out or "none"),
            Cell(shown(result.source, most=300)),
        )
        rows.append(Row(line_name(group, entry), cells))
    return Table(("", "published", "asked", "without video", "left out", "source"), tuple(rows), is_wide=False)


def group_tables(group: Group, benchmark: str) -> list[Table]:
    """One table for each grouping of a benchmark's rows that tells more than one value apart.

    Raises MixedFingerprints.
    """
    entries = [entry for entry in group.entries if entry.result.benchmark == benchmark]
    same_table(entry.result.fingerprint for entry in entries)
    title = title_of(benchmark)
    names = dict.fromkeys(name for entry in entries for name in entry.result.groups)
    tables = []
    for name in names:
        by_model = [entry.result.groups.get(name, {}) for entry in entries]
        values = values_of(entries, name)
        if len(values) < 2:
            continue
        rows = [Row(shown(value), tuple(_score_cell(found.get(value)) for found in by_model)) for value in values]
        macro = tuple(Cell(_points(entry.result.macro.get(name))) for entry in entries)
        headings = (f"{title} by {shown(name)}, %", *(entry.model for entry in entries))
        tables.append(Table(headings, (*rows, Row("mean of these", macro)), is_wide=len(entries) > _FEW_MODELS))
    return tables


def values_of(entries: Sequence[Entry], name: str) -> list[str]:
    """The values of a grouping, from the easiest on where they have such an order, else as they come."""
    values = list(dict.fromkeys(value for entry in entries for value in entry.result.groups.get(name, ())))
    order = next((order for order in _ORDERS if set(values) <= set(order)), values)
    return sorted(values, key=order.index)


def settings_tables(group: Group) -> list[Table]:
    """The fingerprint: what all scores of a group share, and what each benchmark has of its own. None for no score."""
    if not group.entries:
        return []
    shared = group.entries[0].result.fingerprint
    facts = [Row(name, (Cell(value),)) for name, value in _shared(shared)]
    rows = []
    for entry in ordered(group):
        result, found = entry.result, entry.result.fingerprint
        cells = (
            Cell(shown(found.dataset_revision, most=40)),
            Cell(found.questions_sha256[:_SHORT]),
            Cell(found.media_sha256[:_SHORT]),
            Cell(found.prompt_sha256[:_SHORT]),
            Cell("none" if found.judge is None else shown(found.judge)),
            Cell(shown(result.engine)),
            Cell(duration(result.seconds)),
        )
        rows.append(Row(line_name(group, entry), cells))
    headings = ("", "revision", "questions", "media", "prompt", "judge", "engine", "time")
    return [
        Table(("shared by all", ""), tuple(facts), is_wide=False),
        Table(headings, tuple(rows), "Questions, media and prompt: the first digits of their sha256.", is_wide=False),
    ]


def _shared(found: Fingerprint) -> Iterator[tuple[str, str]]:
    frames, decoding = found.frames, found.decoding
    yield "protocol", found.protocol
    yield "prompt", shown(found.prompt)
    fps = "" if frames.fps is None else f", {frames.fps:g} a second"
    yield "frames", "chosen by the server" if frames.num_frames is None else f"{frames.num_frames:,} at most{fps}"
    chosen = frames.min_pixels is None or frames.max_pixels is None
    yield "pixels of a frame", "chosen by the server" if chosen else f"{frames.min_pixels:,} to {frames.max_pixels:,}"
    yield "times of frames", frames.times
    if frames.server is not None:
        yield "server", shown(frames.server, most=100)
    yield "clips sent as", frames.sent_as
    yield "reader", shown(frames.reader, most=100)
    seed = "chosen by the engine" if decoding.seed is None else str(decoding.seed)
    yield "decoding", f"temperature {decoding.temperature:g}, top_p {decoding.top_p:g}, seed {seed}"
    if decoding.further is not None:
        yield "further fields of a request", shown(decoding.further, most=300)
    yield "most tokens", f"{decoding.max_tokens:,}"
    yield "scoring code", shown(found.code_version)


def _score_cell(found: GroupScore | None) -> Cell:
    if found is None or found.mean is None:
        return Cell(DASH)
    interval = wilson_interval(min(found.sum_score, found.num_rows), found.num_rows)
    assert interval is not None  # there are rows
    notes = [f"{ends(interval)} of {found.num_rows:,}"]
    notes += [f"{found.num_missing:,} without video"] if found.num_missing else []
    if unparsed := found.num_rows - found.num_parsed - found.num_missing:
        notes.append(f"{unparsed:,} not in form")
    return Cell(points(found.mean), ", ".join(notes))


def ordered(group: Group) -> list[Entry]:
    """By benchmark as the paper has them, models as they come."""
    return sorted(group.entries, key=lambda entry: order_of(entry.result.benchmark))


def line_name(group: Group, entry: Entry) -> str:
    """The benchmark, and the model where a table holds several."""
    title = title_of(entry.result.benchmark)
    return title if len(group.models) == 1 else f"{title}, {entry.model}"


def _points(share: float | None) -> str:
    return DASH if share is None else points(share)

"""The paper's tables: ours beside the published rows, in two groups that are never taken for one.

Scores stand in one table only when `fingerprint.same_table` lets them; what was made in another way gets a table of its
own, headed by what differs. The demo world is another benchmark: it has a column and is in no average. A published
figure has no fingerprint; a gap to it is stated only where ours was made with its frames, its rules and whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from curation.errors import ConfigError
from training.benchmarks.config import PROMPT_NAMES
from training.benchmarks.fingerprint import TABLE_WIDE, Fingerprint, MixedFingerprints, differences, same_table
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

DEMO: Final = "shapes"
SEVEN: Final = tuple(name for name in TITLES if name != DEMO)
AVERAGE: Final = "average"
NOT_RUN: Final = "not run"
PROMPT_TITLES: Final = {"trace": "reasoning prompt", "direct": "direct answer"}
# The paper gives these two one row; see training.variants.
_SAME_ROW: Final = {"no_perception_reward": "grpo"}
_MOST_CHARS: Final = 60
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Entry:
    """One score. model: as the tables name it, one name a model. variant: of the ablations, None where none is known.

    num_effective: how many equally weighted questions say as much (`statistics.effective_number`).
    """

    model: str
    variant: str | None
    num_effective: int
    result: BenchmarkResult


@dataclass(frozen=True, slots=True)
class Group:
    """Scores that may stand in one table.

    absent: models without any score under this prompt, of which the table says that they were not run.
    differs: from the first group, field by field; empty for the first.
    elsewhere: (model, benchmark) under this prompt, in another group. not_run: those under other prompts only.
    """

    prompt: str
    entries: tuple[Entry, ...]
    absent: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    elsewhere: frozenset[tuple[str, str]] = frozenset()
    not_run: frozenset[tuple[str, str]] = frozenset()

    @property
    def title(self) -> str:
        """The prompt in words."""
        return PROMPT_TITLES.get(self.prompt, f"prompt {shown(self.prompt)}")

    @property
    def models(self) -> tuple[str, ...]:
        """Those with a score here, in order."""
        return tuple(dict.fromkeys(entry.model for entry in self.entries))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Those with a score here, in the order of the paper."""
        names = dict.fromkeys(entry.result.benchmark for entry in self.entries)
        known = [name for name in TITLES if name in names]
        return (*known, *(name for name in names if name not in TITLES))

    def find(self, model: str, benchmark: str) -> Entry | None:
        """A model's score on a benchmark; None without."""
        wanted = (model, benchmark)
        return next((entry for entry in self.entries if (entry.model, entry.result.benchmark) == wanted), None)


@dataclass(frozen=True, slots=True)
class PublishedGap:
    """Ours minus a published figure. gap: None where it would say nothing, and then `reason` says why."""

    gap: Gap | None
    reason: str | None = None


def group_entries(entries: Sequence[Entry]) -> list[Group]:
    """Every score in exactly one group, in the first that may hold it; the reasoning prompt, then direct answers.

    Both of these prompts have a group even where nothing was run with one, so that a lacking baseline is seen.
    """
    groups: list[list[Entry]] = []
    for entry in sorted(entries, key=lambda found: _prompt_order(found.result.fingerprint.prompt)):
        home = next((group for group in groups if _may_join(entry, group)), None)
        if home is None:
            groups.append([entry])
        else:
            home.append(entry)
    prompts = dict.fromkeys((*PROMPT_NAMES, *(group[0].result.fingerprint.prompt for group in groups)))
    formed: list[Group] = []
    for prompt in prompts:
        found = [group for group in groups if group[0].result.fingerprint.prompt == prompt] or [[]]
        with_prompt = {_place(entry) for group in found for entry in group}
        not_run = frozenset(_place(entry) for entry in entries) - with_prompt
        models = {model for model, _ in with_prompt}
        lacking = tuple(dict.fromkeys(entry.model for entry in entries if entry.model not in models))
        for number, group in enumerate(found):
            formed.append(
                Group(
                    prompt=prompt,
                    entries=tuple(group),
                    absent=() if number else lacking,
                    differs=_differs(groups[0], group) if group and group is not groups[0] else (),
                    elsewhere=frozenset(with_prompt - {_place(entry) for entry in group}),
                    not_run=not_run,
                )
            )
    return formed


def table_one(group: Group, reference: PublishedRow | None) -> Table:
    """The paper's Table 1: published models, then ours, each with its gap to `reference` (None: no gap).

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
        if group.prompt == "trace" and reference is not None and model in group.models:
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


def gap_of(entry: Entry, row: PublishedRow, table: PublishedTable) -> PublishedGap:
    """Ours minus the published score of the same benchmark, or why there is no such gap."""
    published = row.scores.get(entry.result.benchmark)
    if entry.result.overall is None or not entry.num_effective:
        return PublishedGap(None, "no score of ours")
    if published is None:
        return PublishedGap(None, "not published")
    if reason := incomparable(entry.result, table):
        return PublishedGap(None, reason)
    return PublishedGap(gap_to_published(entry.result.overall, published / 100, entry.num_effective))


def incomparable(result: BenchmarkResult, table: PublishedTable) -> str | None:
    """Why a score of ours is no match for a published table, as far as is known; None where nothing says so."""
    frames, published = result.fingerprint.frames, table.protocol
    if result.fingerprint.protocol != "videor1":
        return f"protocol {result.fingerprint.protocol}"
    if frames.sent_as != "video":
        return f"clips sent as {frames.sent_as}"
    if published.num_frames is not None and frames.num_frames != published.num_frames:
        return f"{frames.num_frames} frames, not {published.num_frames}"
    if published.max_pixels is not None and frames.max_pixels != published.max_pixels:
        return f"{frames.max_pixels:,} pixels, not {published.max_pixels:,}"
    return part_of(result)


def part_of(result: BenchmarkResult) -> str | None:
    """That only a part of the benchmark was asked, which is another benchmark; None for all of it or unknown.

    Rows that its protocol leaves out are not lacking; rows without their video were asked and count as wrong.
    """
    num_asked, num_beyond = result.every.num_rows, result.left_out.get(BEYOND_LIMIT, 0)
    num_wanted = num_asked + num_beyond
    if result.num_published is not None:
        num_wanted = max(num_wanted, result.num_published - sum(result.left_out.values()) + num_beyond)
    return f"{num_asked:,} of {num_wanted:,} rows" if num_asked < num_wanted else None


def average(group: Group, model: str) -> float | None:
    """Of the seven overalls, in [0, 1]; None unless all seven stand in this table."""
    found = [group.find(model, benchmark) for benchmark in SEVEN]
    overalls = [entry.result.overall for entry in found if entry is not None and entry.result.overall is not None]
    return fsum(overalls) / len(SEVEN) if len(overalls) == len(SEVEN) else None


def shown(text: str, most: int = _MOST_CHARS) -> str:
    """A name from outside on one line: no control characters, no reversed writing, cut to `most` characters."""
    line = " ".join("".join(char if char.isprintable() or char.isspace() else "?" for char in text).split())
    return line if len(line) <= most else line[: most - 3] + "..."


def _columns(group: Group) -> tuple[str, ...]:
    """The seven, their average, and whatever else was run."""
    return (*SEVEN, AVERAGE, *(name for name in group.benchmarks if name not in SEVEN))


def _headings(columns: Sequence[str], corner: str) -> tuple[str, ...]:
    return (corner, *(_column_title(name) for name in columns))


def _column_title(name: str) -> str:
    title = TITLES.get(name, shown(name))
    return title if name in (*SEVEN, AVERAGE) else f"{title} (another benchmark)"


def _published_row(row: PublishedRow, columns: Sequence[str]) -> Row:
    scores = [row.average if name == AVERAGE else row.scores.get(name) for name in columns]
    return Row(row.name, tuple(Cell(DASH if score is None else f"{score:.1f}") for score in scores))


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
    has_parts = any(part_of(entry.result) for name in SEVEN if (entry := group.find(model, name)) is not None)
    return Cell(points(mean), "of parts" if has_parts else "")


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
        sentences.append(f"Published: {published.source}.")
    else:
        sentences.append("Published rows answered with a reasoning prompt; they stand in the table of that prompt.")
    for model in group.models:
        lacking = _lacking(group, model)
        if lacking:
            which = "all seven" if len(lacking) == len(SEVEN) else ", ".join(TITLES[name] for name in lacking)
            sentences.append(f"{model} has no average, which is over all seven: it lacks {which} here.")
    if DEMO in columns:
        sentences.append("The demo world is another benchmark than the seven: no published figure is of it.")
    return " ".join(sentences)


def _lacking(group: Group, model: str) -> list[str]:
    """The benchmarks of the seven without a score in this table."""
    found = {name: group.find(model, name) for name in SEVEN}
    return [name for name, entry in found.items() if entry is None or entry.result.overall is None]


def _place(entry: Entry) -> tuple[str, str]:
    """What a table has room for once."""
    return entry.model, entry.result.benchmark


def _prompt_order(prompt: str) -> tuple[int, str]:
    return (PROMPT_NAMES.index(prompt), "") if prompt in PROMPT_NAMES else (len(PROMPT_NAMES), prompt)


def _may_join(entry: Entry, group: Iterable[Entry]) -> bool:
    """Whether the scores of a group may share a table with one more, which is no second score of the same thing."""
    members = list(group)
    if _place(entry) in map(_place, members):
        return False
    try:
        same_table(member.result.fingerprint for member in (*members, entry))
    except MixedFingerprints:
        return False
    return True


def _differs(first: Iterable[Entry], group: Sequence[Entry]) -> tuple[str, ...]:
    """What of this group is otherwise than in the first one, such as "frames.num_frames is 16, not 32"."""
    references: dict[str, Fingerprint] = {}
    for entry in first:
        references.setdefault(entry.result.benchmark, entry.result.fingerprint)
    any_reference = next(iter(references.values()))
    found: dict[str, None] = {}
    for entry in group:
        ours = entry.result.fingerprint
        fields = differences(any_reference, ours, TABLE_WIDE)
        found |= dict.fromkeys(
            f"{name} is {_value(value)}, not {_value(theirs)}" for name, (theirs, value) in fields.items()
        )
        if (reference := references.get(ours.benchmark)) is not None:
            title = TITLES.get(ours.benchmark, shown(ours.benchmark))
            found |= dict.fromkeys(
                f"{title}: {name} is {_value(value)}, not {_value(theirs)}"
                for name, (theirs, value) in differences(reference, ours).items()
                if name not in fields and not (name == "prompt_sha256" and "prompt" in fields)
            )
    return tuple(found)


def _value(value: object) -> str:
    return shown(f"{value:,}" if isinstance(value, int) else str(value), most=16)

"""The comparison with the authors' release as terminal tables, at 80 columns and up. Names are never markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from curation.release_compare import Acceptance, Overlap, ReleaseComparison, Theirs
from curation.report import Reason, Share, percent, plain

GroupT = TypeVar("GroupT", bound=Overlap | Acceptance)
MOST_SOURCES: Final = 12
MOST_REASONS: Final = 12
UNKNOWN: Final = "(not known)"
NOT_MEASURED: Final = "-"


def print_comparison(comparison: ReleaseComparison, console: Console) -> None:
    """One table a question."""
    console.print(_sides(comparison))
    for file in ("cot", "rl"):
        if rows := [row for row in comparison.overlaps if row.file == file]:
            console.print(_overlap(file, rows))
    console.print(_acceptance(comparison))
    if comparison.not_ours:
        console.print(_reasons("Only they accept: why", comparison.not_ours))
    console.print(_lengths(comparison))
    console.print(_scores(comparison))
    console.print(_score_means(comparison))
    console.print(_same(comparison))


def _sides(comparison: ReleaseComparison) -> Table:
    ours = comparison.ours
    table = _table("What is compared", ["side"], ["records", "questions", "accepted", "traces"])
    read, accepted = f"{ours.num_read:,}", f"{ours.num_accepted:,}"
    table.add_row(Text(f"ours: {plain(ours.name)}"), NOT_MEASURED, read, accepted, accepted)
    for name, file in (("their CoT file", comparison.cot), ("their RL file", comparison.rl)):
        if file is not None:
            table.add_row(name, *_their_counts(file))
            for reason in file.rejected[:MOST_REASONS]:
                table.add_row(Text(f"  {plain(reason.reason, 40)}", "dim"), f"-{reason.num_rows:,}", "", "", "")
    return table


def _their_counts(file: Theirs) -> tuple[str, ...]:
    if file.num_traces is None:
        return f"{file.num_records:,}", f"{file.num_questions:,}", NOT_MEASURED, NOT_MEASURED
    return tuple(f"{count:,}" for count in (file.num_records, file.num_questions, file.num_questions, file.num_traces))


def _overlap(file: str, rows: Sequence[Overlap]) -> Table:
    title = f"Questions that we read beside those of their {'CoT' if file == 'cot' else 'RL'} file"
    note = f"* of these we read the same path and problem, with other options\n{_more_sources(rows)}".strip()
    table = _table(title, ["group"], ["in both", "only ours", "only theirs", "near *"], note)
    for group, row in _grouped(rows, table):
        counts = (row.num_shared, row.num_only_ours, row.num_only_theirs, row.num_near)
        table.add_row(group, *(f"{count:,}" for count in counts))
    return table


def _acceptance(comparison: ReleaseComparison) -> Table:
    over = "of all questions that we read"
    note = _more_sources(comparison.acceptance)
    if comparison.universe != "read":
        over = "of the questions that we read and their RL file has"
        if comparison.num_outside:
            note = f"left out: {comparison.num_outside:,} that both have, but not their RL file\n{note}".strip()
    numbers = ["both", "only we", "only they", "none", "agree", "95 %", "kappa"]
    table = _table(f"Who accepts, {over}", ["group"], numbers, note, padding=0)
    for group, row in _grouped(comparison.acceptance, table):
        counts = (row.num_both, row.num_only_ours, row.num_only_theirs, row.num_neither)
        kappa = NOT_MEASURED if row.kappa is None else f"{row.kappa:.2f}"
        table.add_row(group, *(f"{count:,}" for count in counts), percent(row.agree.share), _interval(row.agree), kappa)
    return table


def _reasons(title: str, reasons: Sequence[Reason]) -> Table:
    table = _table(title, ["rejected_by"], ["rows"])
    for reason in reasons[:MOST_REASONS]:
        table.add_row(Text(plain(reason.reason, 50)), f"{reason.num_rows:,}")
    if rest := reasons[MOST_REASONS:]:
        table.add_row(f"and {len(rest):,} more", f"{sum(reason.num_rows for reason in rest):,}")
    return table


def _lengths(comparison: ReleaseComparison) -> Table:
    table = _table(
        "Lengths of every trace, and of those to shared questions",
        ["segment", "traces", "side"],
        ["rows", "mean", "p5", "p25", "p50", "p75", "p95"],
    )
    for pair in comparison.lengths:
        if not pair.ours.num_rows and not pair.theirs.num_rows:
            continue
        for side, quantiles in (("ours", pair.ours), ("theirs", pair.theirs)):
            first = side == "ours"
            table.add_row(
                f"{pair.segment}, {pair.unit}" if first and pair.scope == "every" else "",
                pair.scope if first else "",
                side,
                f"{quantiles.num_rows:,}",
                *(NOT_MEASURED if value is None else f"{value:.0f}" for value in quantiles.summary),
            )
    return table


def _scores(comparison: ReleaseComparison) -> Table:
    table = _table("Task scores, by our scorer", ["traces with a score of"], ["ours", "theirs"])
    total = next(pair for pair in comparison.scores if pair.problem_type is None)
    for place, (ours, theirs) in enumerate(zip(total.ours, total.theirs, strict=True)):
        table.add_row(f"{place / 10:.1f} to {(place + 1) / 10:.1f}", f"{ours:,}", f"{theirs:,}")
    return table


def _score_means(comparison: ReleaseComparison) -> Table:
    numbers = ["ours", "mean", "theirs", "mean", "below the paper's 0.6"]
    table = _table("Task scores by problem type", ["problem type"], numbers)
    for pair in comparison.scores:
        below = pair.theirs_below
        table.add_row(
            pair.problem_type or "all",
            f"{sum(pair.ours):,}",
            _mean(pair.ours_mean),
            f"{sum(pair.theirs):,}",
            _mean(pair.theirs_mean),
            f"{below.num:,} ({percent(below.share)})",
        )
    return table


def _same(comparison: ReleaseComparison) -> Table:
    same = comparison.same
    table = _table("Questions where both have a trace", ["the same"], ["rows", "of", "share", "95 %"])
    for name, share in (
        ("answer", same.answer),
        ("observation", same.observation),
        ("think text", same.think),
        ("whole trace", same.trace),
    ):
        table.add_row(name, f"{share.num:,}", f"{share.total:,}", percent(share.share), _interval(share))
    return table


def _grouped(rows: Sequence[GroupT], table: Table) -> Iterator[tuple[Text, GroupT]]:
    """Each row with its group's name, a section of the table for each kind of group; of the sources the largest."""
    for by in ("all", "problem_type", "data_source"):
        for row in [row for row in rows if row.by == by][:MOST_SOURCES]:
            name = "all" if by == "all" else UNKNOWN if row.value is None else plain(row.value, 16)
            yield Text(name, "bold" if by == "all" else ""), row
        table.add_section()


def _more_sources(rows: Sequence[Overlap] | Sequence[Acceptance]) -> str:
    num_more = sum(row.by == "data_source" for row in rows) - MOST_SOURCES
    return f"{num_more:,} smaller sources are not shown" if num_more > 0 else ""


def _mean(mean: float | None) -> str:
    return NOT_MEASURED if mean is None else f"{mean:.3f}"


def _interval(share: Share) -> str:
    if share.low is None or share.high is None:
        return NOT_MEASURED
    return f"{100 * share.low:.1f}-{100 * share.high:.1f}"


def _table(title: str, names: Sequence[str], numbers: Sequence[str], note: str = "", padding: int = 1) -> Table:
    """Text columns to the left, number columns to the right, a note below."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=f"{note}\n" if note else None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, padding, 0, 0),
    )
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table

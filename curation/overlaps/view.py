"""An overlap report on the terminal: rows by evidence, the media that were looked at, the phrases that are shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from curation.overlaps.report import Fault, MediaCount, OverlapReport, RowCount
from curation.report import percent, plain

NOT_LOOKED_FOR: Final = "-"
MOST_TEXTS: Final = 5
MOST_CHARS: Final = 46


def print_overlaps(report: OverlapReport, console: Console) -> None:
    """Everything but the long tail of shared phrases, at 80 columns and up."""
    console.print(_rows(report))
    console.print(_without_overlap(report), highlight=False)
    console.print()
    console.print(_given(report))
    for line in _unread(report):
        console.print(line, highlight=False, markup=False)
    if any(part.top_shared_texts for part in report.benchmarks):
        console.print()
        console.print(_texts(report))


def _rows(report: OverlapReport) -> Table:
    table = _table("Rows that share something with a benchmark, by evidence")
    table.add_column("benchmark", no_wrap=True)
    for name in ("path", "sha256", "frames", "question", "any", "kept", "rejected"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in report.benchmarks:
        table.add_row(
            Text(plain(part.benchmark, 14)),
            *(_num(count) for count in (part.path, part.sha256, part.frames, part.question, part.rows)),
            f"{part.rows.num_kept:,}",
            f"{part.rows.num_rejected:,}",
        )
    table.add_row(
        "together",
        *[""] * 4,
        _num(report.any),
        f"{report.any.num_kept:,}",
        f"{report.any.num_rejected:,}",
        style="bold",
    )
    return table


def _without_overlap(report: OverlapReport) -> str:
    share = report.any.num_rows / report.rows.num_rows if report.rows.num_rows else None
    lines = [f"{report.any.num_rows:,} of {report.rows.num_rows:,} rows ({percent(share)})."]
    if report.num_without_id:
        lines.append(f"{report.num_without_id:,} rejected records without an id stay unmarked.")
    if any(part.sha256 is None for part in report.benchmarks):
        lines.append(f"{NOT_LOOKED_FOR} = not looked for: sha256 needs --benchmark-media, frames also --media-root.")
    elif report.own_media is None:
        lines.append(f"{NOT_LOOKED_FOR} = not looked for: frames need --media-root.")
    return " ".join(lines)


def _given(report: OverlapReport) -> Table:
    table = _table("What was given: annotations, and media files that were looked at")
    table.add_column("", no_wrap=True)
    for name in ("questions", "videos", "files", "hashed", "comparable", "alike"):
        table.add_column(name, justify="right", no_wrap=True)
    if report.own_media is not None:
        table.add_row("the dataset", f"{report.rows.num_rows:,}", "", *_media_cells(report.own_media, True))
    for part in report.benchmarks:
        given = (Text(plain(part.benchmark, 14)), f"{part.num_questions:,}", f"{part.num_videos:,}")
        table.add_row(*given, *_media_cells(part.media, report.own_media is not None))
    return table


def _media_cells(count: MediaCount | None, frames: bool) -> list[str]:
    """alike: a black or still picture, which frames cannot tell apart."""
    if count is None:
        return [NOT_LOOKED_FOR] * 4
    return [
        f"{count.num_files:,}",
        NOT_LOOKED_FOR if count.num_hashed is None else f"{count.num_hashed:,}",
        f"{count.num_comparable:,}" if frames else NOT_LOOKED_FOR,
        f"{count.num_indistinct:,}" if frames else NOT_LOOKED_FOR,
    ]


def _unread(report: OverlapReport) -> list[str]:
    """What could not be read, a line a side."""
    faults: list[tuple[str, str, Sequence[Fault]]] = []
    if report.own_media is not None:
        faults.append(("the dataset", "media", report.own_media.unreadable))
    for part in report.benchmarks:
        faults.append((part.benchmark, "records", part.unread))
        faults.append((part.benchmark, "media", () if part.media is None else part.media.unreadable))
    return [
        f"not read: {what} of {plain(name, 40)}: {', '.join(f'{fault.reason} {fault.num:,}' for fault in found)}"
        for name, what, found in faults
        if found
    ]


def _texts(report: OverlapReport) -> Table:
    table = _table("The most frequent phrases behind `question`: one in many rows is a template")
    table.add_column("benchmark", no_wrap=True)
    table.add_column("phrase", no_wrap=True)
    for name in ("rows", "its questions"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in report.benchmarks:
        for place, shared in enumerate(part.top_shared_texts[:MOST_TEXTS]):
            table.add_row(
                Text(plain(part.benchmark, 14) if place == 0 else ""),
                Text(plain(shared.text, MOST_CHARS)),
                f"{shared.num_rows:,}",
                f"{shared.num_benchmark_questions:,}",
            )
        if part.num_shared_texts:
            table.add_row("", Text(f"{part.num_shared_texts:,} distinct phrases in all", "dim"), "", "")
    return table


def _num(count: RowCount | None) -> str:
    return NOT_LOOKED_FOR if count is None else f"{count.num_rows:,}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))

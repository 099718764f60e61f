"""The plan and the result of a fetch as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from curation.fetch.faults import REASONS
from curation.fetch.fetch import FetchPlan, FetchReport, free_bytes
from curation.fetch.plan import FilePlan, peak_bytes

_HOW = {"members": "only what is needed", "whole": "whole", "search": "whole, then searched", "file": "as it is"}


def print_plan(plan: FetchPlan, out: Console) -> None:
    """What would be transferred, file by file of the source; single files in one line."""
    title = f"To fetch from {plan.source.shown}"
    table = _table(title, ("from", "how"), ("files", "transfer", "on disk"))
    archives = [row for row in plan.files if row.how != "file"]
    singles = [row for row in plan.files if row.how == "file"]
    for row in archives:
        how = _HOW[row.how] + (" (downloaded before)" if row.is_here else "")
        files = "?" if row.disk_bytes is None else f"{len(row.paths):,}"
        on_disk = "?" if row.disk_bytes is None else decimal(row.disk_bytes)
        table.add_row(escape(row.file.path), how, files, decimal(row.transfer_bytes), on_disk)
    if singles:
        size = decimal(_unpacked(singles))
        table.add_row(f"{len(singles):,} single files", _HOW["file"], f"{len(singles):,}", size, size)
    num_files = sum(len(row.paths) for row in plan.files)
    unpacked = decimal(_unpacked(plan.files)) + (" + ?" if any(row.how == "search" for row in plan.files) else "")
    table.add_section()
    table.add_row("all", "", f"{num_files:,}", decimal(plan.transfer_bytes), unpacked, style="bold")
    out.print(table)
    num_wanted = len(plan.choice.files) + len(plan.choice.refused)
    num_nowhere = len(plan.faults) + (0 if any(row.how == "search" for row in plan.files) else len(plan.open_paths))
    lines = [
        f"{plan.choice.num_questions:,} questions want {num_wanted:,} files: {num_files:,} to fetch, "
        f"{len(plan.there):,} there already, {num_nowhere:,} that cannot be had"
    ]
    if num_in_tars := len(plan.open_paths) if any(row.how == "search" for row in plan.files) else 0:
        lines[0] += f", {num_in_tars:,} to be searched for"
    lines.append(f"disk: {decimal(peak_bytes(plan.files))} needed at most, {decimal(free_bytes(plan.root))} free")
    for archive, why in plan.holdings.unreadable.items():
        lines.append(f"{archive} cannot be read: {why}")
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def print_result(report: FetchReport, out: Console) -> None:
    """What came of it, and where the manifest and the list of missing files lie."""
    table = _table("Media", ("",), ("files",), last="")
    table.add_row("fetched", f"{report.num_fetched:,}", decimal(report.fetched_bytes))
    unchecked = f"{report.num_unchecked:,} of them with nothing to check them by" if report.num_unchecked else ""
    table.add_row("there already", f"{report.num_there:,}", unchecked)
    for reason, number in report.failed.items():
        table.add_row(reason, f"{number:,}", REASONS[reason])
    table.add_section()
    table.add_row("wanted", f"{report.num_files:,}", f"by {report.num_questions:,} questions", style="bold")
    out.print(table)
    unusable = "".join(f", {number:,} {reason}" for reason, number in report.unusable.items())
    out.print(
        f"manifest  {report.manifest}: {report.num_usable:,} usable{unusable}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if report.missing is not None:
        out.print(f"missing   {report.missing}", highlight=False, markup=False, soft_wrap=True)


def _unpacked(plans: Sequence[FilePlan]) -> int:
    return sum(plan.disk_bytes or 0 for plan in plans)


def _table(title: str, names: Sequence[str], numbers: Sequence[str], last: str | None = None) -> Table:
    """Text columns to the left, number columns to the right, then perhaps one more of text."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    if last is not None:
        table.add_column(last)
    return table

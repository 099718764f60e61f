"""A dataset diff on the terminal: one table a config that changed, one line for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from curation.diff import KINDS, ROW_KINDS, ConfigDiff, DatasetDiff, Kind, RowCounts
from curation.report import plain
from curation.versions import LEVELS

MOST_REASONS: Final = 12
UNKNOWN: Final = "(not known)"
Line = tuple[Text, Sequence[str]]  # what it is about, and its counts, the first ones of ROW_KINDS


def print_diff(diff: DatasetDiff, console: Console) -> None:
    """Everything the diff holds but the long tail of reasons, at 80 columns and up."""
    console.print(f"{diff.old} -> {diff.new}", style="bold", highlight=False, markup=False)
    unchanged = [config for config in diff.configs if config.change == "nothing"]
    for config in diff.configs:
        if config.change != "nothing":
            console.print()
            console.print(_table(config))
    if unchanged:
        console.print()
    for config in unchanged:
        console.print(f"{config.config}: {config.num_new:,} rows, nothing changed", highlight=False)
    if diff.schema_version_changed:
        versions = f"{diff.old_schema_version} -> {diff.new_schema_version}"
        console.print(f"\nschema version {versions}", highlight=False)
    console.print(f"\n{_verdict(diff)}", style="bold", highlight=False)


def _verdict(diff: DatasetDiff) -> str:
    if diff.change == "nothing":
        return "Neither schema nor rows changed; a changed card asks for a patch version."
    what = "The schema" if diff.change == "schema" else "Rows"
    return f"{what} changed, which asks for a {LEVELS[diff.change]} version."


def _table(config: ConfigDiff) -> Table:
    table = Table(
        title=f"{config.config}: {_size(config)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    table.add_column("", overflow="fold")
    for name in ROW_KINDS:
        table.add_column(name, justify="right", no_wrap=True)
    for label, lines in (
        ("schema", _schema(config)),
        ("problem type", _types(config)),
        ("why", _reasons(config)),
        ("column", _columns(config)),
    ):
        table.add_section()
        for place, (text, counts) in enumerate(lines):
            table.add_row("" if place else label, text, *counts)
    return table


def _size(config: ConfigDiff) -> str:
    if config.num_old is None:
        return f"new, {config.num_new:,} rows"
    if config.num_new is None:
        return f"gone, {config.num_old:,} rows"
    return f"{config.num_old:,} -> {config.num_new:,} rows"


def _schema(config: ConfigDiff) -> Iterator[Line]:
    for name in config.columns_added:
        yield Text(f"column added: {plain(name)}"), []
    for name in config.columns_removed:
        yield Text(f"column removed: {plain(name)}"), []
    for column in config.columns_retyped:
        yield Text(f"{plain(column.column)}: {plain(column.old)} -> {plain(column.new)}"), []


def _types(config: ConfigDiff) -> Iterator[Line]:
    if config.num_touched:
        for row in config.by_type:
            kind = Text(UNKNOWN, "dim") if row.problem_type is None else Text(plain(row.problem_type))
            yield kind, _counts(row)
        yield Text("all", "bold"), _counts(config.rows)


def _counts(rows: RowCounts) -> list[str]:
    counts = (rows.added, rows.removed, rows.changed, rows.same)
    return [f"{count:,}" if count else "" for count in counts]


def _reasons(config: ConfigDiff) -> Iterator[Line]:
    """The most frequent reasons of each kind, and its others in one line."""
    for kind in KINDS:
        reasons = config.reasons_for(kind)
        for reason in reasons[:MOST_REASONS]:
            yield Text(plain(reason.reason, 100), "" if reason.explained else "yellow"), _below(kind, reason.num_rows)
        if rest := reasons[MOST_REASONS:]:
            yield Text(f"{len(rest):,} further reasons"), _below(kind, sum(reason.num_rows for reason in rest))


def _columns(config: ConfigDiff) -> Iterator[Line]:
    unexplained = {column.column: column.num_rows for column in config.unexplained_columns}
    for column in config.changed_columns:
        name = Text(plain(column.column))
        if column.column in unexplained:
            name.append(f" ({unexplained[column.column]:,} not explained)", "yellow")
        yield name, _below("changed", column.num_rows)


def _below(kind: Kind, num_rows: int) -> list[str]:
    """The number in the column of its kind."""
    return [f"{num_rows:,}" if kind == name else "" for name in KINDS]

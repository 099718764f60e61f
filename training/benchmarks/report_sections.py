"""The sections of the report, in the order in which a reader wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from curation.errors import UserError
from training.benchmarks.accounts import account_table, group_tables, rows_table, settings_tables
from training.benchmarks.comparisons import PROMPT_FIELDS, Compared, compare_folders, comparison_table
from training.benchmarks.conditions import describe
from training.benchmarks.grouping import DEMO, PROMPT_TITLES, SEVEN, Group, order_of, shown, title_of
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import (
    PAPER_ABLATIONS,
    PAPER_MAIN,
    PublishedTable,
    published_names,
    published_table,
)
from training.benchmarks.report_pictures import group_pictures, score_pictures
from training.benchmarks.report_sources import ReportScores, Source
from training.benchmarks.results import read_rows
from training.benchmarks.scoring import Failure
from training.benchmarks.tables import NOT_RUN, published_cell, table_one, table_two
from training.report_html import Cell, Row, Section, Table

_MOST_EXAMPLES: Final = 3
_MOST_CHARS: Final = 300


def all_sections(scores: ReportScores, folder: Path) -> Iterator[Section]:
    """Everything; pictures also into `folder`."""
    yield from table_one_sections(scores)
    if pictures := score_pictures(scores.groups, scores.reference, folder):
        yield Section("Pictures", pictures=pictures)
    yield from prompt_sections(scores)
    yield from _against_sections(scores)
    yield from table_two_sections(scores) or [_no_ablations()]
    filled = [group for group in scores.groups if group.entries]
    for group in filled:
        yield Section(f"Rows and failures, {group.title}", tables=(account_table(group), rows_table(group)))
    yield from _example_section(scores)
    for place, group in enumerate(filled):
        for benchmark in group.benchmarks:
            tables = tuple(group_tables(group, benchmark))
            pictures = group_pictures(group, benchmark, folder, place)
            if tables:
                lead = "Another benchmark than the seven." if benchmark == DEMO else ""
                yield Section(f"{title_of(benchmark)} by group, {group.title}", lead, (), tables, pictures)
    for group in filled:
        yield Section(f"How it was measured, {group.title}", tables=tuple(settings_tables(group)))
    yield from _elsewhere_section()


def table_one_sections(scores: ReportScores) -> list[Section]:
    """One for each group; of a prompt that was not run too."""
    return [
        Section(
            f"Table 1: seven benchmarks, {group.title}",
            lead=_lead(group),
            tables=(table_one(group, scores.reference),),
        )
        for group in scores.groups
    ]


def table_two_sections(scores: ReportScores) -> list[Section]:
    """One for each group with variants of ours; none without any."""
    found = [(group, table_two(group)) for group in scores.groups]
    return [
        Section(f"Table 2: ablations, {group.title}", lead=_lead(group), tables=(table,))
        for group, table in found
        if table is not None
    ]


def prompt_sections(scores: ReportScores) -> Iterator[Section]:
    """Does reasoning help? One section for each run directory and model."""
    first, second = PROMPT_TITLES["trace"], PROMPT_TITLES["direct"]
    by_model: dict[tuple[Path, str], list[Source]] = {}
    for source in (*scores.own, *scores.others):
        by_model.setdefault((source.run, source.entry.model), []).append(source)
    for (_, model), sources in by_model.items():
        title = f"Reasoning against direct answers: {model}"
        reasoned, direct = (_with_prompt(sources, prompt) for prompt in PROMPT_TITLES)
        if reasoned and direct:
            yield _compared(title, reasoned, direct, first, second, apart=PROMPT_FIELDS)
        else:
            lacking = second if reasoned else first
            yield Section(title, absences=(f"{model}: {NOT_RUN} with the {lacking}, so nothing can be compared.",))


def _no_ablations() -> Section:
    why = "No score is of a variant that its run directory trained, so there is nothing to set beside the ablations."
    return Section("Table 2: ablations", absences=(why,))


def _against_sections(scores: ReportScores) -> Iterator[Section]:
    """The run against each other run directory, with the same prompt."""
    for run in dict.fromkeys(source.run for source in scores.others):
        theirs = [source for source in scores.others if source.run == run]
        for prompt in dict.fromkeys(source.result.fingerprint.prompt for source in scores.own):
            ours, others = _with_prompt(scores.own, prompt), _with_prompt(theirs, prompt)
            if not others:
                continue
            names = [" and ".join(dict.fromkeys(found.entry.model for found in side)) for side in (ours, others)]
            title = f"{names[0]} against {names[1]}, {PROMPT_TITLES.get(prompt, shown(prompt))}"
            yield _compared(title, ours, others, names[0], names[1])


def _compared(
    title: str,
    ours: Sequence[Source],
    theirs: Sequence[Source],
    first: str,
    second: str,
    *,
    apart: Sequence[str] = (),
) -> Section:
    """A paired comparison; a benchmark that cannot be compared is a sentence that says why."""
    absences: list[str] = []
    compared: list[Compared] = []
    by_name = {source.result.benchmark: source for source in theirs}
    lone = [title_of(source.result.benchmark) for source in ours if source.result.benchmark not in by_name]
    if lone:
        absences.append(f"{NOT_RUN.capitalize()} with {second}: {', '.join(lone)}.")
    for source in sorted(ours, key=lambda found: order_of(found.result.benchmark)):
        other = by_name.get(source.result.benchmark)
        if other is None:
            continue
        try:
            compared.append(compare_folders((source.folder, source.result), (other.folder, other.result), apart=apart))
        except UserError as error:
            absences.append(f"Not compared: {error}")
    tables = (comparison_table(compared, first, second),) if compared else ()
    return Section(title, absences=tuple(absences), tables=tables)


def _example_section(scores: ReportScores) -> Iterator[Section]:
    """Some answers that were not in form, so that one sees why."""
    rows = []
    for source in sorted(scores.own, key=lambda found: order_of(found.result.benchmark)):
        if not source.result.every.failures.get(Failure.UNPARSED):
            continue
        found = [row for row in read_rows(source.folder) if row.failure == Failure.UNPARSED]
        for row in found[:_MOST_EXAMPLES]:
            title = f"{title_of(source.result.benchmark)}, {shown(source.result.fingerprint.prompt)}"
            texts = (row.id, row.kind, row.question, row.gold, row.output or "")
            rows.append(Row(title, tuple(Cell(shown(text, most=_MOST_CHARS)) for text in texts)))
    if rows:
        headings = ("", "question", "kind", "asked", "gold", "the model wrote")
        lead = f"Up to {_MOST_EXAMPLES} a score; all of them are in rows.parquet."
        yield Section("Answers not in form", lead=lead, tables=(Table(headings, tuple(rows), is_wide=False),))


def _elsewhere_section() -> Iterator[Section]:
    """Published tables other than the paper's, which were measured otherwise and among themselves too."""
    tables = []
    for name in published_names():
        table = published_table(name)
        if name in (PAPER_MAIN, PAPER_ABLATIONS) or not any(row.scores for row in table.rows):
            continue
        tables.append(_published_elsewhere(table))
    if tables:
        lead = "Each table was measured in its own way: figures of two of them, or of one and ours, are no comparison."
        yield Section("Published elsewhere", lead=lead, tables=tuple(tables))


def _published_elsewhere(table: PublishedTable) -> Table:
    rows = tuple(Row(row.name, tuple(published_cell(row, name) for name in SEVEN)) for row in table.rows if row.scores)
    source = f"{table.title}: {table.source}. Measured with {describe(table.protocol)}."
    note = " ".join(filter(None, (source, table.note)))
    return Table((f"{table.title} ({table.measure})", *(TITLES[name] for name in SEVEN)), rows, note)


def _with_prompt(sources: Sequence[Source], prompt: str) -> list[Source]:
    return [source for source in sources if source.result.fingerprint.prompt == prompt]


def _lead(group: Group) -> str:
    """How the group was made otherwise than the first, in one line."""
    if group.differs:
        return f"Made in another way than the first table: {'; '.join(group.differs)}."
    return "" if group.entries else "Nothing was run with this prompt."

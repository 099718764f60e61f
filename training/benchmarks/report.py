"""The report of a benchmark run: the paper's tables with ours beside the published rows, and what stands behind them.

    write_benchmark_report(Path("runs/tiny_training"))     # benchmark/report.html, report.md and report/*.png

It is made of score.json and rows.parquet alone, so it can be written again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.errors import UserError
from training.benchmarks.accounts import account_table, group_tables, line_name, ordered, rows_table, settings_tables
from training.benchmarks.comparisons import PROMPT_FIELDS, compare_results, comparison_table
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import (
    PAPER_ABLATIONS,
    PAPER_MAIN,
    PublishedRow,
    PublishedTable,
    published_names,
    published_table,
)
from training.benchmarks.report_plots import Line, Mark, draw_scores
from training.benchmarks.report_sources import Source, load_sources
from training.benchmarks.report_view import print_table, write_markdown
from training.benchmarks.results import FOLDER, BenchmarkResult, read_rows
from training.benchmarks.scoring import Failure
from training.benchmarks.tables import (
    DEMO,
    NOT_RUN,
    PROMPT_TITLES,
    SEVEN,
    Entry,
    Group,
    average,
    gap_cell,
    gap_of,
    group_entries,
    points,
    published_reference,
    shown,
    table_one,
    table_two,
)
from training.evaluation_facts import wilson_interval
from training.plots import write_figure
from training.report_html import Cell, Picture, Row, Section, Table, Tile, picture, write_page
from training.report_words import DASH, ends, percent

PICTURES: Final = "report"  # beside report.html
_DRAWN_GROUPS: Final = ("duration", "difficulty", "task", "dimension")
_MOST_LINES: Final = 24  # of a picture by group
_MOST_EXAMPLES: Final = 3
_MOST_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class _Report:
    """What the page and the terminal are made of. own: the scores of the run itself."""

    own: tuple[Source, ...]
    others: tuple[Source, ...]
    groups: tuple[Group, ...]
    reference: PublishedRow


def write_benchmark_report(run_dir: Path, *, against: Sequence[Path] = (), published: str | None = None) -> Path:
    """Write benchmark/report.html, report.md and the pictures; returns the page.

    against: run directories of other models. published: the row of the paper's Table 1 that gaps are taken to.
    Raises RunDirectoryError when a directory has no finished benchmark, ConfigError for an unknown row.
    """
    report = _load(run_dir, against, published)
    place = run_dir / FOLDER
    (place / PICTURES).mkdir(parents=True, exist_ok=True)
    sections = list(_sections(report, place / PICTURES))
    title = f"Benchmarks: {shown(run_dir.resolve().name)}"
    subtitle = "; ".join(dict.fromkeys(source.entry.model for source in (*report.own, *report.others)))
    tiles = list(_tiles(report))
    write_markdown(
        place / "report.md", title=title, subtitle=subtitle, tiles=tiles, sections=sections, pictures=PICTURES
    )
    return write_page(
        place / "report.html", title=title, subtitle=subtitle, tiles=tiles, problems=(), sections=sections
    )


def print_tables(
    run_dir: Path,
    *,
    against: Sequence[Path] = (),
    published: str | None = None,
    console: Console | None = None,
) -> None:
    """Print the paper's tables, and below them each score with its interval and its gap. Raises as the report."""
    report = _load(run_dir, against, published)
    console = console or Console()
    for section in (*_table_one_sections(report), *_table_two_sections(report)):
        console.print(section.title, style="bold", markup=False, highlight=False)
        if section.lead:
            console.print(section.lead, markup=False, highlight=False)
        for table in section.tables:
            print_table(table, console, with_notes=False)
    for group in report.groups:
        if group.entries:
            print_table(score_table(group, report.reference), console)
    for section in _prompt_sections(report):
        for line in section.absences:
            console.print(line, markup=False, highlight=False)
        for table in section.tables:
            print_table(table, console)


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
            cells += [Cell(_published(reference, result.benchmark)), Cell(gap.text), Cell(gap.note)]
        rows.append(Row(line_name(group, entry), tuple(cells)))
    headings = [f"{group.title}, %", "score", "95 %", "questions"]
    if group.prompt == "trace":
        headings += [reference.name, "gap", "what it says"]
    return Table(tuple(headings), tuple(rows))


def _load(run_dir: Path, against: Sequence[Path], published: str | None) -> _Report:
    reference = published_reference(published)
    sources = load_sources((run_dir, *against))
    return _Report(
        own=tuple(source for source in sources if source.run.resolve() == run_dir.resolve()),
        others=tuple(source for source in sources if source.run.resolve() != run_dir.resolve()),
        groups=tuple(group_entries([source.entry for source in sources])),
        reference=reference,
    )


def _sections(report: _Report, folder: Path) -> Iterator[Section]:
    yield from _table_one_sections(report)
    yield from _picture_section(report, folder)
    yield from _prompt_sections(report)
    yield from _against_sections(report)
    yield from _table_two_sections(report) or [_no_ablations()]
    for group in report.groups:
        if group.entries:
            yield Section(
                f"Rows and failures, {group.title}{_number(report, group)}",
                tables=(account_table(group), rows_table(group)),
            )
    yield from _example_section(report)
    for group in report.groups:
        for benchmark in group.benchmarks:
            tables = tuple(group_tables(group, benchmark))
            pictures = tuple(_group_pictures(report, group, benchmark, folder))
            if tables or pictures:
                title = f"{_title(benchmark)} by group, {group.title}{_number(report, group)}"
                yield Section(title, lead=_demo_lead(benchmark), tables=tables, pictures=pictures)
    for group in report.groups:
        if group.entries:
            yield Section(
                f"How it was measured, {group.title}{_number(report, group)}", tables=tuple(settings_tables(group))
            )
    yield from _elsewhere_section()


def _table_one_sections(report: _Report) -> list[Section]:
    return [
        Section(
            f"Table 1: seven benchmarks, {group.title}{_number(report, group)}",
            lead=_lead(report, group),
            tables=(table_one(group, report.reference),),
        )
        for group in report.groups
    ]


def _table_two_sections(report: _Report) -> list[Section]:
    found = [(group, table_two(group)) for group in report.groups]
    return [
        Section(
            f"Table 2: ablations, {group.title}{_number(report, group)}", lead=_lead(report, group), tables=(table,)
        )
        for group, table in found
        if table is not None
    ]


def _no_ablations() -> Section:
    why = "No score is of a variant that its run directory trained, so there is nothing to set beside the ablations."
    return Section("Table 2: ablations", absences=(why,))


def _lead(report: _Report, group: Group) -> str:
    """How the group was made otherwise than the first, in one line."""
    if group.differs:
        return f"Made in another way than the first table: {'; '.join(group.differs)}."
    if not group.entries:
        return f"Nothing was run with this prompt ({group.title})."
    return ""


def _number(report: _Report, group: Group) -> str:
    """Tells the groups of one prompt apart."""
    alike = [found for found in report.groups if found.prompt == group.prompt]
    return f" ({alike.index(group) + 1} of {len(alike)})" if len(alike) > 1 else ""


def _tiles(report: _Report) -> Iterator[Tile]:
    """The run's own averages with both prompts, and the demo's score."""
    own = {source.entry.model for source in report.own}
    for group in report.groups:
        if group.prompt not in PROMPT_TITLES:
            continue
        for model in [name for name in (*group.models, *group.absent) if name in own]:
            mean = average(group, model)
            number = sum(group.find(model, name) is not None for name in SEVEN)
            note = f"{group.title}; {number} of {len(SEVEN)} there"
            if number or model not in group.absent:
                yield Tile("Average of the seven", percent(mean), note)
            else:
                yield Tile("Average of the seven", NOT_RUN, group.title)
            if (demo := group.find(model, DEMO)) is not None:
                yield Tile(TITLES[DEMO], percent(demo.result.overall), f"{group.title}; another benchmark")


def _picture_section(report: _Report, folder: Path) -> Iterator[Section]:
    pictures = []
    for place, group in enumerate(report.groups):
        names = [name for name in TITLES if name in group.benchmarks]
        if not names:
            continue
        lines = [
            Line(
                _title(name),
                tuple(_mark(group.find(model, name)) for model in group.models),
                _share(report.reference.scores.get(name)) if group.prompt == "trace" else None,
            )
            for name in names
        ]
        beside = report.reference.name if any(line.published is not None for line in lines) else None
        path = folder / f"scores_{place}.png"
        models = [shown(model, most=36) for model in group.models]
        write_figure(partial(draw_scores, lines, models, published=beside, unit="score, %"), path)
        meaning = "With 95 % intervals; the demo world is another benchmark than the seven."
        pictures.append(
            picture(
                path,
                title=f"Score by benchmark, {group.title}{_number(report, group)}",
                meaning=meaning if DEMO in names else "With 95 % intervals.",
                reading=_reading(lines, group.models),
            )
        )
    if pictures:
        yield Section("Pictures", pictures=tuple(pictures))


def _group_pictures(report: _Report, group: Group, benchmark: str, folder: Path) -> Iterator[Picture]:
    place = report.groups.index(group)
    entries = [entry for entry in group.entries if entry.result.benchmark == benchmark]
    for name in _DRAWN_GROUPS:
        values = list(dict.fromkeys(value for entry in entries for value in entry.result.groups.get(name, ())))
        if not 2 <= len(values) <= _MOST_LINES:
            continue
        lines = [
            Line(shown(value, most=28), tuple(_group_mark(entry.result, name, value) for entry in entries))
            for value in values
        ]
        path = folder / f"{benchmark}_{name}_{place}.png"
        models = [shown(entry.model, most=36) for entry in entries]
        write_figure(partial(draw_scores, lines, models, published=None, unit="score, %"), path)
        yield picture(
            path,
            title=f"{_title(benchmark)} by {name}",
            meaning="With 95 % intervals.",
            reading=_reading(lines, models),
        )


def _prompt_sections(report: _Report) -> Iterator[Section]:
    """Does reasoning help? One section for each run directory and model."""
    first, second = PROMPT_TITLES["trace"], PROMPT_TITLES["direct"]
    by_model: dict[tuple[Path, str], list[Source]] = {}
    for source in (*report.own, *report.others):
        by_model.setdefault((source.run, source.entry.model), []).append(source)
    for (_, model), sources in by_model.items():
        title = f"Reasoning against direct answers: {model}"
        both = [_with_prompt(sources, prompt) for prompt in PROMPT_TITLES]
        if not all(both):
            lacking = second if both[0] else first
            yield Section(title, absences=(f"{model}: {NOT_RUN} with the {lacking}, so nothing can be compared.",))
            continue
        yield _compared(title, both[0], both[1], first, second, apart=PROMPT_FIELDS)


def _against_sections(report: _Report) -> Iterator[Section]:
    """The run against each other run directory, with the same prompt."""
    for run in dict.fromkeys(source.run for source in report.others):
        theirs = [source for source in report.others if source.run == run]
        for prompt in dict.fromkeys(source.result.fingerprint.prompt for source in report.own):
            ours, others = _with_prompt(report.own, prompt), _with_prompt(theirs, prompt)
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
    """A paired comparison; where it would mix fingerprints the section says so instead."""
    tables: tuple[Table, ...] = ()
    absences: list[str] = []
    compared = []
    names = [source.result.benchmark for source in ours]
    for name in [known for known in TITLES if known in names]:
        sides = [
            [(found.folder, found.result) for found in side if found.result.benchmark == name]
            for side in (ours, theirs)
        ]
        if not sides[1]:
            absences.append(f"{_title(name)}: {second} was {NOT_RUN}.")
            continue
        try:
            compared += compare_results(sides[0], sides[1], apart=apart)
        except UserError as error:
            absences.append(f"Not compared: {error}")
    if compared:
        tables = (comparison_table(compared, first, second),)
    return Section(title, absences=tuple(absences), tables=tables)


def _example_section(report: _Report) -> Iterator[Section]:
    """Some answers that were not in form, so that one sees why."""
    rows = []
    for source in report.own:
        if not source.result.every.failures.get(Failure.UNPARSED):
            continue
        found = [row for row in read_rows(source.folder) if row.failure == Failure.UNPARSED]
        for row in found[:_MOST_EXAMPLES]:
            title = f"{_title(source.result.benchmark)}, {shown(source.result.fingerprint.prompt)}"
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
    rows = tuple(
        Row(row.name, tuple(Cell(_published(row, name)) for name in SEVEN)) for row in table.rows if row.scores
    )
    note = " ".join(filter(None, (f"{table.title}: {table.source}. {table.protocol.rules}.", table.note)))
    return Table((f"{table.title} ({table.measure})", *(TITLES[name] for name in SEVEN)), rows, note)


def _with_prompt(sources: Sequence[Source], prompt: str) -> list[Source]:
    return [source for source in sources if source.result.fingerprint.prompt == prompt]


def _mark(entry: Entry | None) -> Mark | None:
    if entry is None or entry.result.overall is None:
        return None
    return Mark(entry.result.overall, entry.result.interval)


def _group_mark(result: BenchmarkResult, name: str, value: str) -> Mark | None:
    found = result.groups.get(name, {}).get(value)
    if found is None or found.mean is None:
        return None
    return Mark(min(1.0, found.mean), wilson_interval(min(found.sum_score, found.num_rows), found.num_rows))


def _reading(lines: Sequence[Line], models: Sequence[str]) -> str:
    words = []
    for line in lines:
        shares = [percent(mark.share) for mark in line.ours if mark is not None]
        words.append(f"{line.name} {' and '.join(shares) or DASH}")
    return ", ".join(words)


def _published(row: PublishedRow, benchmark: str) -> str:
    score = row.scores.get(benchmark)
    return DASH if score is None else f"{score:.1f}"


def _share(per_cent: float | None) -> float | None:
    return None if per_cent is None else per_cent / 100


def _demo_lead(benchmark: str) -> str:
    return "Another benchmark than the seven." if benchmark == DEMO else ""


def _title(benchmark: str) -> str:
    return TITLES.get(benchmark, shown(benchmark))

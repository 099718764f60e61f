"""The report of a benchmark run: the paper's tables with ours beside the published rows, and what stands behind them.

    write_benchmark_report(Path("runs/tiny_training"))     # benchmark/report.html, report.md and report/*.png

It is made of score.json and rows.parquet alone, so it can be written again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from training.benchmarks.accounts import score_table
from training.benchmarks.grouping import DEMO, PROMPT_TITLES, SEVEN, shown
from training.benchmarks.protocols import TITLES
from training.benchmarks.report_sections import all_sections, prompt_sections, table_one_sections, table_two_sections
from training.benchmarks.report_sources import ReportScores, load_scores
from training.benchmarks.report_view import print_table, write_markdown
from training.benchmarks.results import FOLDER
from training.benchmarks.tables import NOT_RUN, average, is_of_parts
from training.report_html import Tile, write_page
from training.report_words import percent

PICTURES: Final = "report"  # beside report.html


def write_benchmark_report(run_dir: Path, *, against: Sequence[Path] = (), published: str | None = None) -> Path:
    """Write benchmark/report.html, report.md and the pictures; returns the page.

    against: run directories of other models. published: the row of the paper's Table 1 that gaps are taken to.
    Raises RunDirectoryError when a directory has no finished benchmark, ConfigError for an unknown row.
    """
    scores = load_scores(run_dir, against, published)
    place = run_dir / FOLDER
    (place / PICTURES).mkdir(parents=True, exist_ok=True)
    sections = list(all_sections(scores, place / PICTURES))
    title = f"Benchmarks: {shown(run_dir.resolve().name)}"
    subtitle = "; ".join(dict.fromkeys(source.entry.model for source in (*scores.own, *scores.others)))
    tiles = list(_tiles(scores))
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
    scores = load_scores(run_dir, against, published)
    console = console or Console()
    for section in (*table_one_sections(scores), *table_two_sections(scores)):
        console.print(section.title, style="bold", markup=False, highlight=False)
        if section.lead:
            console.print(section.lead, markup=False, highlight=False)
        for table in section.tables:
            print_table(table, console, with_notes=False)
    for group in scores.groups:
        if group.entries:
            print_table(score_table(group, scores.reference), console)
    for section in prompt_sections(scores):
        for line in section.absences:
            console.print(line, markup=False, highlight=False)
        for table in section.tables:
            print_table(table, console)


def _tiles(scores: ReportScores) -> Iterator[Tile]:
    """The run's own averages with both prompts, and the demo's score."""
    own = {source.entry.model for source in scores.own}
    for group in scores.groups:
        if group.prompt not in PROMPT_TITLES:
            continue
        for model in [name for name in (*group.models, *group.absent) if name in own]:
            mean = average(group, model)
            number = sum(group.find(model, name) is not None for name in SEVEN)
            parts = ", of parts" if is_of_parts(group, model) else ""
            note = f"{group.title}; {number} of {len(SEVEN)} there{parts}"
            if number or model not in group.absent:
                yield Tile("Average of the seven", percent(mean), note)
            else:
                yield Tile("Average of the seven", NOT_RUN, group.title)
            if (demo := group.find(model, DEMO)) is not None:
                yield Tile(TITLES[DEMO], percent(demo.result.overall), f"{group.title}; another benchmark")

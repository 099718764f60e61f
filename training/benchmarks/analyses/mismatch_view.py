"""The think-answer mismatch as it is shown: tables, a picture, a page and JSON, with the published figures beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from curation.engines.config import identity
from curation.prompts import Prompt
from training.benchmarks.analyses.agreement import Agreement
from training.benchmarks.analyses.extraction import ExtractorConfig
from training.benchmarks.analyses.mismatch import Mismatch, Outcome, Tally, ThinkRow
from training.benchmarks.analyses.outputs import print_lines, print_table, write_json
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import published_table
from training.benchmarks.report_plots import Line, Mark, draw_scores
from training.benchmarks.results import BenchmarkResult
from training.plots import write_figure
from training.report_html import Cell, Row, Section, Table, picture, write_page
from training.report_words import DASH, ends, percent

PUBLISHED: Final = "paper_mismatch"
POOLED: Final = "all but the demo"
ONLY_RULE: Final = (
    "No extractor model was named, so only the rule read the think texts. Name one with --extractor; the paper's "
    "figures come from a model."
)
_NOTE: Final = (
    "Mismatch: of the questions in which both the think text and the answer name an option, those where they differ, "
    "with Wilson's 95 % interval. With No: think texts that settle on none are mismatches too; the paper does not say "
    "on which side it counts them."
)
_HEADINGS: Final = {
    Outcome.NO_OUTPUT: "no out",
    Outcome.NO_THINK: "no think",
    Outcome.UNPARSED: "unparsed",
    Outcome.UNREAD: "unread",
    Outcome.UNDECIDED: "No",
    Outcome.SAME: "same",
    Outcome.DIFFERENT: "differ",
}
_OUTCOMES: Final = (
    "Every multiple-choice question once: no output (or no video); think and answer not in the template; an answer "
    "that names no option; a think text that the extractor did not read, or that settles on none."
)


def provenance(results: Sequence[BenchmarkResult], extractor: ExtractorConfig | None, prompt: Prompt) -> dict[str, Any]:
    """What was read, of whom, and by whom. `results` are of one model and one prompt, at least one."""
    first = results[0]
    return {
        "model": first.model,
        "model_revision": first.model_revision,
        "prompt": first.fingerprint.prompt,
        "fingerprints": {result.benchmark: result.fingerprint.sha256 for result in results},
        "extractor": None
        if extractor is None
        else {
            "engine": identity(extractor.engine),
            "temperature": extractor.temperature,
            "max_tokens": extractor.max_tokens,
            "prompt_sha256": prompt.sha256,
        },
    }


def show_mismatch(
    found: Mismatch, rows: Sequence[ThinkRow], made: Mapping[str, Any], folder: Path, out: Console
) -> Path:
    """Print the tables; write mismatch.json, rows.jsonl, mismatch.png and mismatch.html. Returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "mismatch.json", {**made, **as_json(found)})
    _write_rows(folder / "rows.jsonl", rows)
    tables = tabulate(found)
    for title, table in tables.items():
        print_table(title, table, out)
    problems = (ONLY_RULE,) if found.agreement is None else ()
    print_lines(problems, out)
    readers = tuple(next(iter(found.by_benchmark.values())))
    draw = partial(
        draw_scores,
        picture_lines(found),
        [f"read by the {reader}" for reader in readers],
        published="other benchmarks",
        unit="mismatch, %",
    )
    write_figure(draw, folder / "mismatch.png")
    drawn = picture(
        folder / "mismatch.png",
        title="Think and answer disagree",
        meaning="Ours with 95 % intervals. Crosses are published, on seven benchmarks: not the demo world.",
        reading="; ".join(f"{name} {percent(tally.rate)}" for name, tally in _lines(found)),
    )
    return write_page(
        folder / "mismatch.html",
        title="Think-answer mismatch",
        subtitle=f"{made['model']}, prompt {made['prompt']}",
        tiles=(),
        problems=problems,
        sections=(
            Section("Picture", pictures=(drawn,)),
            *(Section(title, tables=(table,)) for title, table in tables.items()),
        ),
    )


def tabulate(found: Mismatch) -> dict[str, Table]:
    """By title: the rates, the outcomes behind them, the agreement of the readers, and what was published."""
    lines = _lines(found)
    tables = {
        "Think-answer mismatch": Table(
            ("benchmark, reader", "questions", "compared", "mismatch", "with No"),
            tuple(Row(name, _rate_cells(tally)) for name, tally in lines),
            _NOTE,
        ),
        "What became of the questions": Table(
            ("benchmark, reader", *_HEADINGS.values()),
            tuple(
                Row(name, tuple(Cell(f"{tally.outcomes[outcome]:,}") for outcome in _HEADINGS)) for name, tally in lines
            ),
            _OUTCOMES,
        ),
    }
    if found.agreement is not None:
        tables["Rule and model"] = _agreement_table(found.agreement)
    return tables | {"Published: other benchmarks": _published()}


def picture_lines(found: Mismatch) -> list[Line]:
    """Ours by benchmark, then the published models."""
    lines = [Line(_title(name), _marks(tallies)) for name, tallies in found.by_benchmark.items()]
    if found.pooled is not None:
        lines.append(Line(POOLED, _marks(found.pooled)))
    nothing = (None,) * len(lines[0].ours)
    published = published_table(PUBLISHED).rows
    return lines + [Line(row.name, nothing, row.average / 100) for row in published if row.average is not None]


def as_json(found: Mismatch) -> dict[str, Any]:
    """The figures with their counts, and the published ones under a key of their own."""
    agreement = found.agreement
    return {
        "by_benchmark": {
            name: {reader: _tally_json(tally) for reader, tally in tallies.items()}
            for name, tallies in found.by_benchmark.items()
        },
        "pooled": None
        if found.pooled is None
        else {reader: _tally_json(tally) for reader, tally in found.pooled.items()},
        "agreement": None if agreement is None else {**asdict(agreement), "share": agreement.share},
        "published": published_table(PUBLISHED).model_dump(mode="json"),
    }


def _tally_json(tally: Tally) -> dict[str, Any]:
    return {
        "num_rows": tally.num_rows,
        "outcomes": {str(outcome): count for outcome, count in tally.outcomes.items()},
        "num_compared": tally.num_compared,
        "rate": tally.rate,
        "interval": tally.interval,
        "rate_with_undecided": tally.rate_with_undecided,
    }


def _write_rows(path: Path, rows: Sequence[ThinkRow]) -> None:
    """One line a question: what was answered and what each reader took the think text to settle on."""
    names = ("benchmark", "id", "answer", "rule", "model", "detail")
    written = path.with_suffix(".tmp")
    with written.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({name: getattr(row, name) for name in names}) + "\n")
    written.replace(path)


def _rate_cells(tally: Tally) -> tuple[Cell, ...]:
    interval = "" if tally.interval is None else ends(tally.interval)
    return (
        Cell(f"{tally.num_rows:,}"),
        Cell(f"{tally.num_compared:,}"),
        Cell(percent(tally.rate), interval),
        Cell(percent(tally.rate_with_undecided)),
    )


def _lines(found: Mismatch) -> list[tuple[str, Tally]]:
    """(benchmark and reader, its tally), the pooled ones last."""
    several = [(_title(name), tallies) for name, tallies in found.by_benchmark.items()]
    if found.pooled is not None:
        several.append((POOLED, found.pooled))
    return [(f"{name}, {reader}", tally) for name, tallies in several for reader, tally in tallies.items()]


def _agreement_table(agreement: Agreement) -> Table:
    kappa = DASH if agreement.kappa is None else f"{agreement.kappa:.2f}"
    cells = (Cell(f"{agreement.num:,}"), Cell(percent(agreement.share)), Cell(kappa))
    return Table(("", "think texts", "same option or both none", "Cohen's kappa"), (Row("rule and model", cells),))


def _published() -> Table:
    table = published_table(PUBLISHED)
    rows = tuple(Row(row.name, (Cell(DASH if row.average is None else f"{row.average:.1f} %"),)) for row in table.rows)
    return Table(("model", "mismatch"), rows, f"Source: {table.source}. {table.note}")


def _marks(tallies: Mapping[str, Tally]) -> tuple[Mark | None, ...]:
    return tuple(None if tally.rate is None else Mark(tally.rate, tally.interval) for tally in tallies.values())


def _title(name: str) -> str:
    return TITLES.get(name, name)

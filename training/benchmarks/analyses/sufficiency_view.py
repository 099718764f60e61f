"""Information sufficiency as it is shown: a table and a picture for each benchmark, with the published figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from curation.prompts import Prompt
from training.benchmarks.analyses.outputs import print_lines, print_table, write_json
from training.benchmarks.analyses.sufficiency import CONDITIONS, REFERENCES, Figure, Sufficiency
from training.benchmarks.analyses.sufficiency_run import Answered, Observed
from training.benchmarks.answering import Answerer, engine_frames
from training.benchmarks.config import BenchmarkConfig, PromptName
from training.benchmarks.fingerprint import code_version, hash_questions
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import published_table
from training.benchmarks.rendering import prompt_sha256
from training.benchmarks.report_plots import Line, Mark, draw_scores
from training.benchmarks.statistics import Comparison
from training.plots import write_figure
from training.report_html import Cell, Picture, Row, Section, Table, picture, write_page
from training.report_words import DASH, NARROW, ends, percent

PUBLISHED: Final = "paper_sufficiency"
AVERAGE: Final = "average"
_LEGEND_CHARS: Final = 40  # of a model's name, which may be a path
_NOTE: Final = (
    "Answers of one model to the same questions, with Wilson's 95 % intervals. Gaps are in points, question by "
    "question, with their 95 % interval (paired bootstrap); what chance explains as well is called noise. Published: "
    "VideoP2R's averages of Qwen2.5-VL-7B over seven benchmarks, where `other` is VideoP2R's: not this measurement."
)


def show_sufficiency(
    found: Sufficiency, answered: Sequence[Answered], made: Mapping[str, Any], folder: Path, out: Console
) -> Path:
    """Print the tables; write sufficiency.json, rows.jsonl, the pictures and sufficiency.html. Returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "sufficiency.json", {**made, **as_json(found)})
    _write_rows(folder / "rows.jsonl", answered)
    problems = remarks(found, answered, str(made["model"]))
    sections = []
    for name, figures in (*found.by_benchmark.items(), *([(AVERAGE, found.average)] if found.average else [])):
        title, table = TITLES.get(name, name), tabulate(figures)
        print_table(title, table, out)
        sections.append(Section(title, tables=(table,), pictures=(_draw(name, figures, str(made["model"]), folder),)))
    out.print(_NOTE, style="dim", highlight=False, markup=False)
    print_lines(problems, out)
    return write_page(
        folder / "sufficiency.html",
        title="Is the observation sufficient?",
        subtitle=f"{made['model']}, prompt {made['prompt']}",
        tiles=(),
        problems=problems,
        sections=(*sections, Section("How to read it", lead=_NOTE)),
    )


def tabulate(figures: Mapping[str, Figure]) -> Table:
    """One benchmark, or the average: the conditions, their gaps to the references, and the published averages."""
    published = {row.name: row.average for row in published_table(PUBLISHED).rows}
    rows = []
    for condition in CONDITIONS:
        figure = figures.get(condition.name)
        stated = published.get(condition.published)
        gaps = [Cell(DASH) if figure is None else _gap(figure.over.get(one.name)) for one in REFERENCES]
        cells = (_score(figure), *gaps, Cell(DASH if stated is None else f"{stated:.1f} %"))
        rows.append(Row(condition.name, cells))
    return Table(("", "score", "over question", "over + video", "published"), tuple(rows))


def remarks(found: Sufficiency, answered: Sequence[Answered], model: str) -> tuple[str, ...]:
    """What a reader has to know of the denominators: every question stays in them."""
    lines = []
    for one in answered:
        loaded, title = one.observed.loaded, TITLES[one.observed.loaded.benchmark]
        for observer, observations in one.observed.observations.items():
            wrote = f"{title}, {observer} observations, by {observations.result.model}:"
            if num := observations.num_lacking:
                lines.append(
                    f"{wrote} none that is well-formed for {num:,} of {len(loaded.questions):,} questions, which stay "
                    "in the denominator with an empty one."
                )
            if observer == "own" and observations.result.model != model:
                lines.append(f"{wrote} the answers are by {model}; they are its own only if both are one model.")
        if missing := len(loaded.missing):
            lines.append(f"{title}: without their video, and 0 under every condition: {missing:,} questions.")
        if one.judge is None and any(question.kind == "open" for question in loaded.questions):
            lines.append(f"{title}: no judge is configured, so its open answers are scored by their text alone.")
    for name, figures in found.by_benchmark.items():
        for condition, figure in figures.items():
            if failures := {failure: num for failure, num in figure.failures.items() if failure != "missing video"}:
                said = ", ".join(f"{num:,} {failure}" for failure, num in failures.items())
                lines.append(f"{TITLES.get(name, name)}, {condition}: {said}; these count 0.")
    return tuple(lines)


def as_json(found: Sufficiency) -> dict[str, Any]:
    """The figures, and the published ones under a key of their own."""
    return {
        "by_benchmark": {
            name: {condition: _figure_json(figure) for condition, figure in figures.items()}
            for name, figures in found.by_benchmark.items()
        },
        "average": None
        if found.average is None
        else {condition: _figure_json(figure) for condition, figure in found.average.items()},
        "published": published_table(PUBLISHED).model_dump(mode="json"),
    }


def provenance(
    config: BenchmarkConfig,
    answerer: Answerer,
    prompt: PromptName,
    trace_prompt: Prompt,
    observed: Sequence[Observed],
) -> dict[str, Any]:
    """How it was measured: all that decides the figures."""
    return {
        "model": answerer.model,
        "model_revision": answerer.model_revision,
        "engine": answerer.engine_kind,
        "protocol": config.protocol,
        "prompt": prompt,
        "prompt_sha256": prompt_sha256(prompt, trace_prompt),
        "frames": engine_frames(config).model_dump(mode="json"),
        "decoding": {"temperature": config.temperature, "top_p": config.top_p, "max_tokens": config.max_tokens},
        "code_version": code_version(),
        "benchmarks": {
            one.loaded.benchmark: {
                "dataset_revision": one.loaded.revision,
                "questions_sha256": hash_questions(question.uid for question in one.loaded.questions),
                "num_questions": len(one.loaded.questions),
                "num_missing": len(one.loaded.missing),
                "observers": {
                    observer: {
                        "model": found.result.model,
                        "model_revision": found.result.model_revision,
                        "fingerprint_sha256": found.result.fingerprint.sha256,
                        "num_without_observation": found.num_lacking,
                    }
                    for observer, found in one.observations.items()
                },
            }
            for one in observed
        },
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {
        "share": figure.share,
        "interval": figure.interval,
        "num_questions": figure.num_questions,
        "failures": {str(failure): num for failure, num in figure.failures.items()},
        "over": {name: {**asdict(gap), "verdict": gap.verdict} for name, gap in figure.over.items()},
    }


def _write_rows(path: Path, answered: Sequence[Answered]) -> None:
    """One line a question and condition: what was answered, and its score."""
    written = path.with_suffix(".tmp")
    with written.open("w", encoding="utf-8") as file:
        for one in answered:
            for condition, rows in one.rows.items():
                for row in rows:
                    answer = one.answers[condition].get(row.id)
                    line = {
                        "benchmark": one.observed.loaded.benchmark,
                        "id": row.id,
                        "condition": condition,
                        "output": None if answer is None else answer.text,
                        "score": row.score.score,
                        "failure": row.score.failure,
                        "detail": None if answer is None else answer.detail,
                    }
                    file.write(json.dumps(line) + "\n")
    written.replace(path)


def _draw(name: str, figures: Mapping[str, Figure], model: str, folder: Path) -> Picture:
    published = {row.name: row.average for row in published_table(PUBLISHED).rows}
    lines = [
        Line(condition.name, (_mark(figures.get(condition.name)),), None if stated is None else stated / 100)
        for condition in CONDITIONS
        for stated in (published.get(condition.published),)
    ]
    path = folder / f"{name}.png"
    draw = partial(
        draw_scores, lines, [model[-_LEGEND_CHARS:]], published="Qwen2.5-VL-7B, seven benchmarks", unit="score, %"
    )
    write_figure(draw, path)
    return picture(
        path,
        title=TITLES.get(name, name),
        meaning="Dots are ours, with 95 % intervals. Crosses are published averages over other benchmarks.",
        reading="; ".join(f"{condition} {percent(figure.share)}" for condition, figure in figures.items()),
    )


def _mark(figure: Figure | None) -> Mark | None:
    return None if figure is None or figure.share is None else Mark(figure.share, figure.interval)


def _score(figure: Figure | None) -> Cell:
    if figure is None or figure.interval is None:
        return Cell(DASH)
    return Cell(percent(figure.share), ends(figure.interval))


def _gap(gap: Comparison | None) -> Cell:
    if gap is None:
        return Cell(DASH)
    low, high = gap.interval
    verdict = "noise" if gap.verdict == "inside the noise" else gap.verdict
    return Cell(f"{100 * gap.difference:+.1f} {verdict}", f"[{100 * low:+.1f},{NARROW}{100 * high:+.1f}]")

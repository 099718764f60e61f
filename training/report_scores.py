"""The section of the report on held-out scores: before and after, with intervals, beside the simplest baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from curation.statistics import wilson_interval
from training.evaluation_facts import EvaluatedStage, Evaluation
from training.measures import ACCURACY, MODEL_TITLES, measures_of
from training.near_duplicates import NOT_COUNTED
from training.plots import draw_intervals, write_figure
from training.report_html import Cell, Picture, Row, Section, Table, picture
from training.report_words import DASH, ends, percent
from training.run_record import RunRecord
from training.variants import Stage, stages_of

_INTERVAL_NOTE: Final = (
    "Most frequent answer: what always giving it would score, for each kind of question. In brackets: the 95 % "
    "interval (Wilson), what the choice of questions alone may move; where a score can lie between 0 and 1, it is a "
    "little too wide."
)


def score_section(record: RunRecord, folder: Path) -> Section:
    """Tables and pictures; the pictures also into `folder`."""
    evaluations = record.evaluations
    if not evaluations:
        is_off = record.config is not None and record.config.evaluation.held_out_share == 0
        why = "evaluation.held_out_share is 0: no clip is held out." if is_off else "Nothing was evaluated yet."
        return Section("Held-out scores", absences=(why,))
    columns = tuple(evaluations.items())
    headings = ("", "most frequent answer", *(MODEL_TITLES[stage] for stage, _ in columns))
    majority = columns[-1][1].majority_score
    rows = tuple(
        Row(
            measure.name,
            (
                Cell(percent(majority if measure is ACCURACY else None)),
                *(_share_cell(*measure.count(evaluation)) for _, evaluation in columns),
            ),
        )
        for measure in measures_of(evaluations.values())
    )
    told = NOT_COUNTED if record.near_duplicates is None else record.near_duplicates.describe()
    stages: tuple[Stage, ...] = ("sft", "rl") if record.config is None else stages_of(record.config.variant)
    missing = [MODEL_TITLES[stage] for stage in stages if stage not in evaluations]
    return Section(
        "Held-out scores",
        lead="Questions about clips that no stage trained on. A completion that misses the template scores 0; an "
        "observation without a verdict is in no share. Decoding is greedy; sampled: one more completion of each "
        f"question at the temperature of training. {told}",
        absences=(f"Not there yet: the scores {' and '.join(missing)}.",) if missing else (),
        tables=(Table(headings, rows, _INTERVAL_NOTE), _kinds(evaluations)),
        pictures=tuple(_score_pictures(evaluations, folder)),
    )


def _share_cell(total: float, number: int) -> Cell:
    interval = wilson_interval(total, number)
    return (
        Cell(DASH, "of none") if interval is None else Cell(percent(total / number), f"{ends(interval)} of {number:,}")
    )


def _kinds(evaluations: Mapping[EvaluatedStage, Evaluation]) -> Table:
    last = list(evaluations.values())[-1]
    kinds = {stage: {kind.kind: kind for kind in evaluation.by_kind} for stage, evaluation in evaluations.items()}
    rows = []
    for kind in last.by_kind:
        cells = [Cell(percent(kind.majority_score))]
        for stage in evaluations:
            found = kinds[stage].get(kind.kind)
            cells.append(Cell(DASH) if found is None else _share_cell(found.sum_score, found.num_questions))
        rows.append(Row(kind.kind, tuple(cells)))
    headings = (
        "Accuracy by kind of question",
        "most frequent answer",
        *(MODEL_TITLES[stage] for stage in evaluations),
    )
    return Table(headings, tuple(rows))


def _score_pictures(evaluations: Mapping[EvaluatedStage, Evaluation], folder: Path) -> Iterator[Picture]:
    for measure in measures_of(evaluations.values()):
        rows = [
            (MODEL_TITLES[stage], share, wilson_interval(*measure.count(evaluation)))
            for stage, evaluation in evaluations.items()
            if (share := measure.share(evaluation)) is not None
        ]
        if not rows:
            continue
        last = list(evaluations.values())[-1]
        marks = {"most frequent answer": last.majority_score} if measure is ACCURACY else {}
        path = folder / f"held_out_{measure.slug}.png"
        write_figure(partial(draw_intervals, rows, unit=f"{measure.name.lower()}, %", marks=marks), path)
        reading = ", ".join(f"{model} {percent(share)}" for model, share, _ in rows)
        yield picture(path, title=measure.name, meaning="On held-out clips, with 95 % intervals.", reading=reading)

"""The report of a training: what it cost, how it went, and what the model can do now.

    write_report(Path("runs/tiny"))     # report.html and report/*.png, from the files of the run directory alone

It can be written at any time: of a run under way or killed it shows what is there, and says what is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from training.measures import MODEL_TITLES, measures_of
from training.panels import SHARE, Panel, panels_of
from training.plots import draw_panel, mean_window, write_figure
from training.report_facts import STAGE_TITLES, config_section, cost_section, data_section, rollout_section
from training.report_html import Section, Tile, picture, write_page
from training.report_scores import score_section
from training.report_words import duration, percent
from training.run_record import Metrics, RunRecord, load_record
from training.variants import Stage, stages_of


def write_report(run_dir: Path) -> Path:
    """Write report.html and report/*.png; returns the page. Raises RunDirectoryError when there is no such run."""
    record = load_record(run_dir)
    folder = run_dir / "report"
    folder.mkdir(exist_ok=True)
    stages = tuple(STAGE_TITLES) if record.config is None else stages_of(record.config.variant)
    sections = [
        score_section(record, folder),
        *(_curves(record, name, folder) for name in reversed(stages)),
        data_section(record, stages),
        cost_section(record, stages),
        rollout_section(record, stages),
        config_section(record),
    ]
    return write_page(
        run_dir / "report.html",
        title=f"Training report: {run_dir.resolve().name}",
        subtitle=_subtitle(record, stages),
        tiles=list(_tiles(record, stages)),
        problems=record.problems,
        sections=[section for section in sections if section is not None],
    )


def _subtitle(record: RunRecord, stages: tuple[Stage, ...]) -> str:
    config = record.config
    what = [] if config is None else [f"variant {config.variant}", f"model {config.model.name}", f"seed {config.seed}"]
    return "; ".join([*what, *(f"{STAGE_TITLES[name]} {_progress(record, name)}" for name in stages)])


def _progress(record: RunRecord, name: Stage) -> str:
    stage = record.stages[name]
    if stage.finished is not None:
        return f"finished, {stage.finished.updates:,} updates"
    if stage.metrics.last_update is None:
        return stage.state
    most = None if record.config is None else (record.config.rl if name == "rl" else record.config.sft).max_updates
    of = "" if most is None else f" of {most:,}"
    return f"{stage.state}, update {stage.metrics.last_update:,}{of}"


def _tiles(record: RunRecord, stages: tuple[Stage, ...]) -> Iterator[Tile]:
    """The last model's scores beside the first's, and what the training took."""
    if record.evaluations:
        *earlier, last = record.evaluations.values()
        first = earlier[0] if earlier else None
        for measure in measures_of(record.evaluations.values()):
            before = None if first is None else measure.share(first)
            note = f"{MODEL_TITLES[last.stage]}, {last.num_questions:,} questions"
            if first is not None and before is not None:
                note = f"{MODEL_TITLES[last.stage]}; {MODEL_TITLES[first.stage]} {percent(before)}"
            yield Tile(measure.name, percent(measure.share(last)), note)
    for name in stages:
        finished = record.stages[name].finished
        if finished is not None:
            yield Tile(f"{STAGE_TITLES[name]} took", duration(finished.seconds), f"{finished.updates:,} updates")


def _curves(record: RunRecord, name: Stage, folder: Path) -> Section:
    stage = record.stages[name]
    title = f"{STAGE_TITLES[name]}: curves"
    if stage.metrics.last_update is None:
        why = "has not begun." if stage.finished is None else "left no metrics.jsonl, so there are no curves."
        return Section(title, absences=(f"{STAGE_TITLES[name]} {why}",))
    pictures, missing, window = [], [], 1
    for panel in panels_of(name, record.config):
        points = [stage.metrics.series.get(line.metric, ()) for line in panel.lines]
        if not any(points):
            if not panel.is_rare:
                missing.append(panel.title.lower() if not panel.title.startswith("Judge") else panel.title)
            continue
        window = max(window, *(mean_window(len(found)) for found in points))
        path = folder / f"{panel.name}.png"
        write_figure(partial(draw_panel, panel, stage.metrics), path)
        reading = _reading(panel, stage.metrics)
        pictures.append(picture(path, title=panel.title, meaning=panel.meaning, reading=reading))
    how = (
        "Each logged value is a point."
        if window == 1
        else f"Dots: each logged value. Line: their running mean, over up to {window} values."
    )
    absences = (f"Not logged (yet): {', '.join(missing)}.",) if missing else ()
    return Section(
        title, lead=f"{how} In bold: the mean of the last tenth.", absences=absences, pictures=tuple(pictures)
    )


def _reading(panel: Panel, metrics: Metrics) -> str:
    words = []
    for line in panel.lines:
        if points := metrics.series.get(line.metric):
            tail = [value for _, value in points[-max(1, len(points) // 10) :]]
            mean = sum(tail) / len(tail)
            words.append(f"{line.label} {percent(mean) if panel.unit == SHARE else f'{mean:,.3g}'}")
    return ", ".join(words)

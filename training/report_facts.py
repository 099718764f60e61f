"""The sections of the report on what was trained on, what it took, and with which config."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Final

from training.data_facts import DataFacts
from training.measures import MODEL_TITLES
from training.report_html import Cell, Row, Section, Table
from training.report_words import DASH, duration
from training.run_record import RunRecord, StageRecord
from training.variants import Stage

STAGE_TITLES: Final[Mapping[Stage, str]] = {"sft": "SFT", "rl": "RL"}


def data_section(record: RunRecord, stages: tuple[Stage, ...]) -> Section:
    """Dataset, revision and rows of each stage, left-out ones by reason."""
    columns = [(name, record.stages[name].data) for name in stages]
    known = [(STAGE_TITLES[name], data) for name, data in columns if data is not None]
    absences = tuple(
        f"{STAGE_TITLES[name]} has not said yet which rows it uses." for name, data in columns if data is None
    )
    if not known:
        return Section("Data", absences=absences)
    rows = [Row(label, tuple(fact(data) for _, data in known)) for label, fact in _DATA_FACTS.items()]
    for reason in sorted({reason for _, data in known for reason in data.left_out}):
        cells = tuple(Cell(f"{data.left_out.get(reason, 0):,}") for _, data in known)
        rows.append(Row(f"left out: {reason}", cells))
    return Section(
        "Data", absences=absences, tables=(Table(("", *(title for title, _ in known)), tuple(rows), is_wide=False),)
    )


def cost_section(record: RunRecord, stages: tuple[Stage, ...]) -> Section:
    """Updates, tokens, seconds by phase, memory and hardware of each stage."""
    known = [(STAGE_TITLES[name], record.stages[name]) for name in stages]
    rows = [Row(label, tuple(fact(stage) for _, stage in known)) for label, fact in _COST_FACTS.items()]
    phases = sorted({phase for _, stage in known if stage.finished for phase in stage.finished.seconds_by_phase})
    for phase in phases:
        rows.append(Row(f"time: {phase}", tuple(_phase(stage, phase) for _, stage in known)))
    for evaluated, evaluation in record.evaluations.items():
        seconds = Cell(duration(evaluation.seconds))
        blank = Cell("")
        rows.append(Row(f"scoring {MODEL_TITLES[evaluated]}", (seconds, *(blank for _ in known[1:]))))
    note = "Time and memory are known when a stage has finished."
    return Section(
        "Time and tokens", tables=(Table(("", *(title for title, _ in known)), tuple(rows), note, is_wide=False),)
    )


def rollout_section(record: RunRecord, stages: tuple[Stage, ...]) -> Section | None:
    """Where the saved rollouts are and how to read them; None for a variant without RL."""
    if "rl" not in stages:
        return None
    if not record.num_rollout_files:
        return Section("Rollouts", absences=("No rollouts were saved yet.",))
    return Section(
        "Rollouts",
        lead=f"Of {record.num_rollout_files:,} updates, with completions, rewards and advantages. To read them:",
        code=shlex.join(("python", "-m", "app", "--dataset", _dataset(record), "--rollouts", str(record.root))),
    )


def _dataset(record: RunRecord) -> str:
    """As the viewer takes it."""
    data = record.stages["rl"].data
    if data is None:
        return "NAME" if record.config is None else record.config.dataset.name
    return data.name if data.revision is None else f"{data.name}@{data.revision}"


def config_section(record: RunRecord) -> Section:
    """The resolved config, as it lies in the run directory."""
    if record.config_text is None:
        return Section("Config", absences=("There is no config.yaml in this run directory.",))
    return Section("Config", lead="As resolved, overrides included.", code=record.config_text.rstrip())


def _phase(stage: StageRecord, phase: str) -> Cell:
    finished = stage.finished
    if finished is None or phase not in finished.seconds_by_phase:
        return Cell(DASH)
    seconds = finished.seconds_by_phase[phase]
    share = f"{100 * seconds / finished.seconds:.0f} %" if finished.seconds > 0 else ""
    return Cell(duration(seconds), share)


def _text(value: str | None, absent: str) -> Cell:
    return Cell(absent if value is None else value)


def _count(value: int | None) -> Cell:
    return Cell(DASH if value is None else f"{value:,}")


def _tokens(stage: StageRecord) -> Cell:
    if stage.finished is not None:
        return _count(stage.finished.num_tokens)
    logged = stage.metrics.series.get("num_tokens")
    return Cell(f"{logged[-1][1]:,.0f}", "so far") if logged else Cell(DASH)


def _updates(stage: StageRecord) -> Cell:
    if stage.finished is not None:
        return _count(stage.finished.updates)
    return Cell(DASH) if stage.metrics.last_update is None else Cell(f"{stage.metrics.last_update:,}", "so far")


def _peak(stage: StageRecord) -> Cell:
    peak = None if stage.finished is None else stage.finished.peak_memory_bytes
    return Cell(DASH if peak is None else f"{peak / 2**30:,.1f} GiB")


_DATA_FACTS: Final[Mapping[str, Callable[[DataFacts], Cell]]] = {
    "dataset": lambda data: _text(data.name, DASH),
    "config": lambda data: _text(data.config, DASH),
    "revision": lambda data: _text(data.revision, "none: a local folder"),
    "commit": lambda data: _text(data.commit, "none: a local folder"),
    "rows published": lambda data: _count(data.num_published),
    "rows used": lambda data: _count(data.num_used),
    "rows held out": lambda data: _count(data.num_held_out),
}
_COST_FACTS: Final[Mapping[str, Callable[[StageRecord], Cell]]] = {
    "state": lambda stage: _text(stage.state, DASH),
    "updates": _updates,
    "rows seen": lambda stage: _count(None if stage.finished is None else stage.finished.num_rows),
    "tokens": _tokens,
    "time": lambda stage: Cell(DASH if stage.finished is None else duration(stage.finished.seconds)),
    "peak memory": _peak,
    "hardware": lambda stage: _text(None if stage.finished is None else stage.finished.hardware, DASH),
}

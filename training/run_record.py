"""What a run directory says about its training, however far it has come: the facts of the report.

Reading never fails for a run that is under way or was killed: what is not there yet is None or empty, a file that is
there and cannot be read is a line in `problems`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curation.config import load_config
from curation.errors import RunDirectoryError, UserError
from training.config import TrainConfig
from training.data_facts import DataFacts, load_data_facts
from training.evaluation_facts import EvaluatedStage, Evaluation, load_evaluation
from training.near_duplicates import NearDuplicates, load_near_duplicates
from training.rundir import TrainingRun
from training.variants import Stage

STAGES: Final = get_args(Stage)
_MOST: Final = 3.5e38
LoadedT = TypeVar("LoadedT")
Points = tuple[tuple[int, float], ...]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class FinishedStage(BaseModel):
    """stage.json as the report needs it; whatever else stands there is not the report's business."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    updates: Count
    seconds: Seconds
    num_rows: Count | None = None
    num_tokens: Count | None = None
    seconds_by_phase: Mapping[str, Seconds] = Field(default_factory=dict)
    peak_memory_bytes: Count | None = None
    hardware: str | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """metrics.jsonl by name: (update, value) in order, finite numbers only; what was null or NaN is no point."""

    series: Mapping[str, Points]
    last_update: int | None
    num_unreadable: int


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage. finished: None while it runs. data: None when it was not written."""

    name: Stage
    metrics: Metrics
    finished: FinishedStage | None
    data: DataFacts | None

    @property
    def state(self) -> str:
        """In words: not begun, in progress, finished."""
        if self.finished is not None:
            return "finished"
        return "not begun" if self.metrics.last_update is None and self.data is None else "in progress"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """config: None when the file is not there or is of another version; config_text is then still what stands there.

    num_rollout_files: updates whose rollouts were saved.
    """

    root: Path
    config: TrainConfig | None
    config_text: str | None
    stages: Mapping[Stage, StageRecord]
    evaluations: Mapping[EvaluatedStage, Evaluation]
    near_duplicates: NearDuplicates | None
    num_rollout_files: int
    problems: tuple[str, ...]


def load_record(root: Path) -> RunRecord:
    """Everything in a run directory that the report shows. Raises RunDirectoryError when there is no such directory."""
    if not root.is_dir():
        raise RunDirectoryError(f"there is no run directory {root}. Set run_dir to the one of a training.")
    place = TrainingRun(root)
    problems: list[str] = []

    def attempt(load: Callable[[Path], LoadedT], path: Path) -> LoadedT | None:
        try:
            return load(path)
        except (UserError, OSError) as error:
            problems.append(" ".join(str(error).split()))
            return None

    config = text = None
    if place.config.is_file():
        text = place.config.read_text(encoding="utf-8", errors="replace")
        config = attempt(_load_config, place.config)
    stages: dict[Stage, StageRecord] = {}
    for name in STAGES:
        folder = place.stage(name)
        metrics = load_metrics(folder / "metrics.jsonl")
        if metrics.num_unreadable:
            problems.append(f"{folder / 'metrics.jsonl'}: {metrics.num_unreadable:,} lines are no JSON; left out")
        finished = attempt(load_finished, folder / "stage.json")
        data = attempt(load_data_facts, folder)
        stages[name] = StageRecord(name, metrics, finished, data)
    evaluations: dict[EvaluatedStage, Evaluation] = {}
    for stage in get_args(EvaluatedStage):
        evaluation = attempt(load_evaluation, place.evaluations / f"{stage}.json")
        if evaluation is not None:
            evaluations[stage] = evaluation
    num_rollout_files = len(list(place.rollouts.glob("rollouts-*.parquet")))
    near = attempt(load_near_duplicates, place.evaluations)
    return RunRecord(root, config, text, stages, evaluations, near, num_rollout_files, tuple(problems))


def load_metrics(path: Path) -> Metrics:
    """The log of a stage. A torn last line is ignored (it is being written); other unreadable ones are counted.

    Where a resumed run logged an update again, the later line counts.
    """
    points: dict[str, dict[int, float]] = {}
    last_update: int | None = None
    num_unreadable = 0
    lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    for line in lines[:-1]:
        logged = _parse(line)
        if logged is None:
            num_unreadable += bool(line.strip())
            continue
        step = logged["step"]
        last_update = step if last_update is None else max(last_update, step)
        for name, value in logged.items():
            number = _number(value)
            if name != "step" and number is not None:
                points.setdefault(name, {})[step] = number
    series = {name: tuple(sorted(values.items())) for name, values in points.items()}
    return Metrics(series, last_update, num_unreadable)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        logged = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_logged = isinstance(logged, dict) and isinstance(logged.get("step"), int)
    return logged if is_logged and logged["step"] >= 0 else None


def _number(value: object) -> float | None:
    """What a float32 may hold and nothing else: no NaN, no infinity, no true."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if abs(number) < _MOST else None


def _load_config(path: Path) -> TrainConfig:
    return load_config(TrainConfig, path)


def load_finished(path: Path) -> FinishedStage | None:
    """stage.json; None while the stage is not done. Raises RunDirectoryError that names the field."""
    if not path.is_file():
        return None
    try:
        return FinishedStage.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise RunDirectoryError(f"{path} does not describe a finished stage: {place}: {fault['msg']}") from error

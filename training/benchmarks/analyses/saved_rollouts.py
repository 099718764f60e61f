"""The saved rollouts of a training, read back with the rewards they were given (training/rollouts.py writes them).

A file that is torn or of another format, a group that lacks rollouts and an update without a file are left out, and
each is a line in `problems`: an analysis of the rest says what it is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.schema import ROLLOUT
from training.rewards import ProcessReward, RolloutReward
from training.run_record import load_metrics
from training.rundir import TrainingRun

_PLACE: Final = ("step", "group", "rollout")
_REWARDS: Final = tuple(
    f"{process}_{part}"
    for process in ("perception", "reasoning")
    for part in ("accuracy", "format", "length", "reward")
)


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """The rollouts of one prompt in one update, in order; each row has the columns that were asked for."""

    step: int
    group: str
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SavedRollouts:
    """What could be read of a run. num_files: all that lie there, readable or not."""

    groups: tuple[SavedGroup, ...]
    num_files: int
    problems: tuple[str, ...]


def read_rollouts(run_dir: Path, columns: Sequence[str] = ()) -> SavedRollouts:
    """The rewards of all rollouts and further `columns` of ROLLOUT, by update and group. No bad file raises."""
    run = TrainingRun(run_dir)
    names = list(dict.fromkeys((*_PLACE, *_REWARDS, *columns)))
    files = sorted(run.rollouts.glob("*.parquet"))
    tables, problems = [], []
    for path in files:
        table, problem = _read(path, names)
        problems += [f"{path}: {problem}; left out"] if problem else []
        tables += [table] if table is not None else []
    table = pa.concat_tables(tables) if tables else pa.schema([ROLLOUT.field(name) for name in names]).empty_table()
    groups, torn = _keep_whole(list(_split(table.sort_by([(name, "ascending") for name in _PLACE]))))
    absent = absent_updates(
        sorted({group.step for group in groups}), load_metrics(run.stage("rl") / "metrics.jsonl").last_update
    )
    if absent:
        problems.append(f"{run.rollouts}: no rollouts of update{'s' * (len(absent) > 1)} {spans(absent)}")
    return SavedRollouts(tuple(groups), len(files), (*problems, *torn))


def reward_of(row: Mapping[str, Any]) -> RolloutReward:
    """The inverse of how rollouts are saved: a process without a format was not rewarded, one without a sum is masked.

    `tokens` are not read back.
    """
    return RolloutReward(_process(row, "perception"), _process(row, "reasoning"))


def absent_updates(steps: Sequence[int], last_update: int | None) -> list[int]:
    """Updates that should have rollouts, from the first that has. steps: in order; last_update: the last one logged.

    With several passes over one set of rollouts only every second or third update has its own: the distance is that
    of the saved ones.
    """
    if not steps:
        return []
    stride = gcd(*(later - earlier for earlier, later in pairwise(steps))) or 1
    end = max(steps[-1], last_update or 0)
    return sorted({*range(steps[0], end + 1, stride)} - {*steps})


def spans(numbers: Sequence[int]) -> str:
    """[1, 2, 3, 7] -> "1 to 3, 7"."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return ", ".join(f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in runs)


def _read(path: Path, names: Sequence[str]) -> tuple[pa.Table | None, str | None]:
    """The columns, or why there are none."""
    try:
        with pq.ParquetFile(path) as file:
            types = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True))
            if wrong := [name for name in names if types.get(name) != ROLLOUT.field(name).type]:
                return None, f"no rollouts of this version, column {wrong[0]} is missing or of another type"
            table = file.read(columns=list(names)).select(names)
    except (OSError, pa.ArrowException) as error:
        return None, f"torn or no Parquet file ({' '.join(str(error).split())[:80]})"
    if any(table[name].null_count for name in _PLACE):
        return None, "a rollout does not say its update, group or number"
    if any(pc.any(pc.is_inf(table[name])).as_py() for name in _REWARDS):
        return None, "a reward is infinite"
    return table, None


def _split(table: pa.Table) -> Iterator[SavedGroup]:
    """table: sorted by update, group and rollout."""
    keys = list(zip(table["step"].to_pylist(), table["group"].to_pylist(), strict=True))
    start = 0
    for end in range(1, len(keys) + 1):
        if end == len(keys) or keys[end] != keys[start]:
            yield SavedGroup(*keys[start], tuple(table.slice(start, end - start).to_pylist()))
            start = end


def _keep_whole(groups: Sequence[SavedGroup]) -> tuple[list[SavedGroup], list[str]]:
    """The groups whose rollouts are all there once, and a line for each update with others."""
    most: dict[int, int] = {}
    for group in groups:
        most[group.step] = max(most.get(group.step, 0), len({row["rollout"] for row in group.rows}))
    is_whole = [[row["rollout"] for row in group.rows] == list(range(most[group.step])) for group in groups]
    torn: dict[int, int] = {}
    for group, whole in zip(groups, is_whole, strict=True):
        torn[group.step] = torn.get(group.step, 0) + (not whole)
    lines = [
        f"update {step:,}: {count:,} of its groups have not each of their {most[step]} rollouts once; left out"
        for step, count in torn.items()
        if count
    ]
    return [group for group, whole in zip(groups, is_whole, strict=True) if whole], lines


def _process(row: Mapping[str, Any], name: str) -> ProcessReward | None:
    form = row[f"{name}_format"]
    if form is None:
        return None
    return ProcessReward(row[f"{name}_accuracy"], form, row[f"{name}_length"], row[f"{name}_reward"], None)

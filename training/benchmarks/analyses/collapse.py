"""Advantage collapse, from saved rollouts: how many groups teach nothing, because their rewards are (nearly) equal.

Counted by `measure_collapse`, as in training, of four rewards:

| reward     | of                                                                                             |
|------------|------------------------------------------------------------------------------------------------|
| perception | R_P                                                                                            |
| reasoning  | R_R                                                                                            |
| grpo       | the sum of both, as plain GRPO would pay it                                                    |
| both       | a group is collapsed where no process tells its rollouts apart: nothing at all is learned from it |

`both` is what two methods are compared by: under PA-GRPO a group is lost only when neither process tells its rollouts
apart, under GRPO when its one reward does not. Masked rollouts are left out of their group, and a process with fewer
than two scored ones does not count there; `both` counts a group as soon as one process does, since a masked perception
takes nothing from what the reasoning teaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.errors import RunDirectoryError
from curation.statistics import wilson_interval
from training.advantages import COLLAPSED_WIDTH, Collapse, measure_collapse, stack_rewards
from training.benchmarks.analyses.saved_rollouts import read_rollouts, reward_of
from training.plots import mean_window, running_mean
from training.rewards import ProcessReward, RolloutReward

REWARDS: Final[Mapping[str, str]] = {
    "perception": "P",
    "reasoning": "R",
    "grpo": "GRPO",
    "both": "P and R",
}
_NOTHING: Final = Collapse(0, 0)


@dataclass(frozen=True, slots=True)
class UpdateCollapse:
    """One update. by_reward: of every name in REWARDS; no group is counted where that reward is not paid."""

    step: int
    by_reward: Mapping[str, Collapse]


@dataclass(frozen=True, slots=True)
class RunCollapse:
    """One run. num_masked: rollouts whose perception reward is masked. problems: what could not be read, in lines."""

    name: str
    updates: tuple[UpdateCollapse, ...]
    num_rollouts: int
    num_masked: int
    problems: tuple[str, ...]

    @property
    def num_groups(self) -> int:
        """The most that were counted of any reward."""
        return max(self.total(reward).num_groups for reward in REWARDS)

    def total(self, reward: str, updates: slice = slice(None)) -> Collapse:
        """Over all updates, or some of them."""
        return _add(update.by_reward[reward] for update in self.updates[updates])

    def points(self, reward: str) -> tuple[tuple[int, float], ...]:
        """(update, share), without updates in which no group is counted."""
        shares = ((update.step, update.by_reward[reward].share) for update in self.updates)
        return tuple((step, share) for step, share in shares if share is not None)

    def ends(self, reward: str) -> tuple[float | None, float | None]:
        """The shares in the first and in the last tenth of the updates, at least one update each."""
        tenth = max(1, len(self.updates) // 10)
        return self.total(reward, slice(tenth)).share, self.total(reward, slice(-tenth, None)).share


def find_runs(run_dir: Path) -> list[Path]:
    """The run itself where it has rollouts, and those of its variants below compare/.

    Raises RunDirectoryError when there are none.
    """
    if not run_dir.is_dir():
        raise RunDirectoryError(f"there is no run directory {run_dir}. Name the one of a training.")
    compared = sorted(path for path in (run_dir / "compare").glob("*") if path.is_dir())
    found = [path for path in (run_dir, *compared) if any((path / "rollouts").glob("*.parquet"))]
    if not found:
        raise RunDirectoryError(
            f"{run_dir} has no saved rollouts (rollouts/*.parquet, here or in compare/*/): RL writes them, an update "
            "at a time. Train its stage rl first."
        )
    return found


def name_runs(paths: Sequence[Path]) -> list[str]:
    """Their last folder, or the whole path where two would have one name."""
    names = [path.resolve().name for path in paths]
    return [name if names.count(name) == 1 else path.as_posix() for name, path in zip(names, paths, strict=True)]


def measure_runs(run_dirs: Sequence[Path]) -> tuple[list[RunCollapse], list[str]]:
    """Those that can be measured, with their variants, and a line for each that cannot.

    Raises RunDirectoryError, with the first of these lines, when none can.
    """
    paths: list[Path] = []
    problems: list[str] = []
    for run_dir in run_dirs:
        try:
            paths += [path for path in find_runs(run_dir) if path not in paths]
        except RunDirectoryError as error:
            problems.append(str(error))
    runs: list[RunCollapse] = []
    for path, name in zip(paths, name_runs(paths), strict=True):
        try:
            runs.append(measure_run(path, name))
        except RunDirectoryError as error:
            problems.append(str(error))
    if not runs:
        raise RunDirectoryError(problems[0])
    return runs, problems


def measure_run(run_dir: Path, name: str) -> RunCollapse:
    """Raises RunDirectoryError when none of its rollouts can be read."""
    saved = read_rollouts(run_dir)
    if not saved.groups:
        why = saved.problems[0] if saved.problems else "there are no files"
        raise RunDirectoryError(f"none of the {saved.num_files:,} rollout files of {run_dir} can be used: {why}.")
    by_step: dict[int, list[Mapping[str, Collapse]]] = {}
    num_masked = 0
    for group in saved.groups:
        rewards = [reward_of(row) for row in group.rows]
        by_step.setdefault(group.step, []).append(measure_group(rewards))
        num_masked += sum(reward.perception is not None and reward.perception.total is None for reward in rewards)
    return RunCollapse(
        name=name,
        updates=tuple(
            UpdateCollapse(step, {reward: _add(group[reward] for group in groups) for reward in REWARDS})
            for step, groups in sorted(by_step.items())
        ),
        num_rollouts=sum(len(group.rows) for group in saved.groups),
        num_masked=num_masked,
        problems=saved.problems,
    )


def measure_group(rewards: Sequence[RolloutReward]) -> dict[str, Collapse]:
    """One group by every name in REWARDS: of each, one group is counted or none."""
    perception = _measure([_total(reward.perception) for reward in rewards])
    reasoning = _measure([_total(reward.reasoning) for reward in rewards])
    is_paid = any(process is not None for reward in rewards for process in (reward.perception, reward.reasoning))
    counted = [collapse for collapse in (perception, reasoning) if collapse.num_groups]
    return {
        "perception": perception,
        "reasoning": reasoning,
        "grpo": _measure([reward.total if is_paid else None for reward in rewards]),
        "both": Collapse(1, int(all(collapse.num_collapsed for collapse in counted))) if counted else _NOTHING,
    }


def as_record(runs: Sequence[RunCollapse], problems: Sequence[str]) -> dict[str, Any]:
    """For JSON. A share that is over nothing is null; `smoothed` is the running mean that is drawn."""
    return {
        "collapsed_width": COLLAPSED_WIDTH,
        "runs": [_run_record(run) for run in runs],
        "problems": list(problems),
    }


def interval_of(collapse: Collapse) -> tuple[float, float] | None:
    """Wilson's 95 % interval. On the safe side where the share drifts in the course of a training."""
    return wilson_interval(collapse.num_collapsed, collapse.num_groups)


def _run_record(run: RunCollapse) -> dict[str, Any]:
    return {
        "run": run.name,
        "num_updates": len(run.updates),
        "num_rollouts": run.num_rollouts,
        "num_masked": run.num_masked,
        "problems": list(run.problems),
        "rewards": {reward: _reward_record(run, reward) for reward in REWARDS},
    }


def _reward_record(run: RunCollapse, reward: str) -> dict[str, Any]:
    total, points = run.total(reward), run.points(reward)
    first, last = run.ends(reward)
    shares = [share for _, share in points]
    smoothed = running_mean(shares, mean_window(len(shares))) if shares else []
    return {
        "num_groups": total.num_groups,
        "num_collapsed": total.num_collapsed,
        "share": total.share,
        "interval": interval_of(total),
        "first_tenth": first,
        "last_tenth": last,
        "updates": [
            {"step": step, "share": share, "smoothed": mean}
            for (step, share), mean in zip(points, smoothed, strict=True)
        ],
    }


def _measure(totals: Sequence[float | None]) -> Collapse:
    return measure_collapse(stack_rewards(totals), len(totals))


def _total(process: ProcessReward | None) -> float | None:
    return None if process is None else process.total


def _add(collapses: Iterable[Collapse]) -> Collapse:
    found = list(collapses)
    return Collapse(sum(each.num_groups for each in found), sum(each.num_collapsed for each in found))

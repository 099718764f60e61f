"""The completions that RL training saves (config `rollouts`), in groups of one prompt at one step.

The numbers are kept in memory, the texts stay in the files: a run of 1,000 updates writes half a million completions.
Files may be anybody's: what they lack is not recorded, what cannot be read is left out, and a note says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from app.rollout_columns import FittedFile, fit_file
from curation.errors import RunDirectoryError
from curation.schema import ROLLOUT

Process = Literal["perception", "reasoning"]
Sort = Literal["step", "collapse", "spread"]
SORTS: Final[tuple[Sort, ...]] = ("step", "collapse", "spread")

GROUPS_PER_PAGE: Final = 20
MOST_ROLLOUTS: Final = 64  # of one group that are shown; the paper samples 8
# Rewards this close are equal: an advantage divides by their deviation, and what is left of it is noise.
COLLAPSED_WIDTH: Final = 1e-4
NO_ROLLOUTS: Final = (
    "There are no rollouts here yet. RL training saves the completions that it samples, with the rewards and the "
    "advantages of both processes, as rollouts/rollouts-*.parquet. Start the viewer with --rollouts and the training's "
    "run directory, or put that folder beside the dataset's data/."
)
_PROCESSES: Final[tuple[Process, ...]] = ("perception", "reasoning")
# What is in memory of every rollout.
_INDEX: Final = {
    "step": pl.Int64,
    "group": pl.String,
    "rollout": pl.Int64,
    "id": pl.String,
    "model": pl.String,
    "perception_reward": pl.Float64,
    "reasoning_reward": pl.Float64,
    "is_malformed": pl.Boolean,
    "is_masked": pl.Boolean,
}


@dataclass(frozen=True, slots=True)
class Reward:
    """One process of one rollout; total = accuracy + format + length, at most 2.2. Null: masked or not recorded."""

    accuracy: float | None
    format: float | None
    length: float | None
    total: float | None
    advantage: float | None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion. is_malformed: it misses the template; null where answers are not recorded at all."""

    number: int | None
    completion: str | None
    observation: str | None
    think: str | None
    answer: str | None
    is_malformed: bool | None
    verdict: str | None
    perception: Reward
    reasoning: Reward
    observation_tokens: int | None
    think_tokens: int | None
    answer_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True)
class Spread:
    """The total rewards of one process over a group; `num` of its rollouts have one."""

    num: int
    low: float | None
    mean: float | None
    high: float | None
    width: float | None  # from low to high; null when there are fewer than two to compare

    @property
    def is_collapsed(self) -> bool:
        """All rewards are equal: every advantage is zero, and the group teaches this process nothing."""
        return self.width is not None and self.width <= COLLAPSED_WIDTH


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group without its texts. place: what `Rollouts.group` takes. num_malformed, num_masked: null = not recorded."""

    place: int
    step: int | None
    name: str
    question_id: str | None
    model: str | None
    num_rollouts: int
    num_malformed: int | None
    num_masked: int | None
    perception: Spread
    reasoning: Spread


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Up to GROUPS_PER_PAGE groups. Pages count from 1, and there is always one."""

    groups: tuple[GroupSummary, ...]
    num_groups: int
    number: int
    num_pages: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its completions, by rollout number. `num_left_out` more are in the files than are shown."""

    summary: GroupSummary
    rollouts: tuple[Rollout, ...]
    num_left_out: int
    dataset_repo: str | None
    dataset_tag: str | None
    dataset_commit: str | None


class Rollouts:
    """All groups of a folder. notes: a line for whatever is not as ROLLOUT describes it."""

    def __init__(self, files: Sequence[FittedFile], starts: Sequence[int], groups: pl.DataFrame, notes: Sequence[str]):
        self.notes = tuple(notes)
        self.num_groups = groups.height
        self.num_rollouts = int(groups["num_rollouts"].sum())
        self._files = tuple(files)
        self._starts = tuple(starts)
        self._groups = groups

    def page(self, sort: Sort = "step", number: int = 1) -> GroupPage:
        """Groups by step, or those first whose rewards collapsed, or those first whose rewards spread widest."""
        num_pages = max(1, -(-self.num_groups // GROUPS_PER_PAGE))
        number = min(max(number, 1), num_pages)
        widths = [pl.col(f"{process}_width") for process in _PROCESSES]
        match sort:
            case "step":
                ranked = self._groups
            case "collapse":
                num_collapsed = pl.sum_horizontal((width <= COLLAPSED_WIDTH).cast(pl.Int64) for width in widths)
                ranked = self._groups.sort(num_collapsed, descending=True, maintain_order=True)
            case "spread":
                widest = pl.max_horizontal(widths)
                ranked = self._groups.sort(widest, descending=True, nulls_last=True, maintain_order=True)
        shown = ranked.slice((number - 1) * GROUPS_PER_PAGE, GROUPS_PER_PAGE)
        return GroupPage(tuple(map(_summary, shown.iter_rows(named=True))), self.num_groups, number, num_pages)

    def group(self, place: int) -> Group | None:
        """The group with its texts; null when there is no such place. Raises RunDirectoryError."""
        if not 0 <= place < self.num_groups:
            return None
        row = self._groups.row(place, named=True)
        shown = row["places"][:MOST_ROLLOUTS]
        try:
            rollouts = pl.concat([self._read(start, num_rows) for start, num_rows in _runs(shown)])
            if rollouts.height != len(shown):
                raise OSError("the files have become shorter.")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise RunDirectoryError(
                f"cannot read the rollouts of group {row['name']!r:.80}: {str(error).splitlines()[0]:.300} "
                "Start the viewer again if the files were replaced."
            ) from error
        first = rollouts.row(0, named=True)
        return Group(
            _summary(row),
            tuple(map(_rollout, rollouts.iter_rows(named=True))),
            len(row["places"]) - len(shown),
            *(first[name] for name in ("dataset_repo", "dataset_tag", "dataset_commit")),
        )

    def _read(self, start: int, num_rows: int) -> pl.DataFrame:
        """Rows [start, start + num_rows), which may lie in several files."""
        read = []
        while num_rows > 0:
            place = bisect_right(self._starts, start) - 1
            stop = self._starts[place + 1] if place + 1 < len(self._starts) else start + num_rows
            num_here = min(num_rows, stop - start)
            read.append(self._files[place].scan.slice(start - self._starts[place], num_here).collect())
            start, num_rows = start + num_here, num_rows - num_here
        return pl.concat(read)


def read_rollouts(folder: Path) -> Rollouts | None:
    """The rollouts in a folder, or in the folder `rollouts` of a dataset; null when there are none: say NO_ROLLOUTS.

    Never raises on what the files hold. A group is one prompt at one step of one model; a row without `group` belongs
    to those of its question, and one without either stands alone.
    """
    paths = sorted(folder.glob("rollouts-*.parquet")) or sorted(folder.glob("rollouts/rollouts-*.parquet"))
    if not paths:
        return None
    files, starts, indices, notes = [], [], [], []
    num_rows = 0
    for path in paths:
        try:
            file = fit_file(path)
            index = file.scan.select(*_INDEX).collect(engine="streaming")
        except (OSError, pl.exceptions.PolarsError) as error:
            notes.append(f"{path.name} cannot be read and is left out: {str(error).splitlines()[0]:.300}")
            continue
        files.append(file)
        starts.append(num_rows)
        indices.append(index)
        num_rows += index.height
    groups = _group(pl.concat([pl.DataFrame(schema=_INDEX), *indices]))
    return Rollouts(files, starts, groups, [*notes, *_notes_on(files)])


def _group(index: pl.DataFrame) -> pl.DataFrame:
    """One row per group: its key, its counts, the spread of both rewards, and the `places` of its rollouts."""
    rows = index.with_row_index("place").with_columns(name=pl.coalesce("group", "id", pl.format("row {}", "place")))
    by_rollout = rows.sort("rollout", nulls_last=True, maintain_order=True)
    groups = by_rollout.group_by("step", "name", "model", maintain_order=True).agg(
        "place",
        question_id=pl.col("id").first(),
        num_rollouts=pl.len(),
        num_malformed=_count_if_known("is_malformed"),
        num_masked=_count_if_known("is_masked"),
        **{name: column for process in _PROCESSES for name, column in _spread_columns(process).items()},
    )
    return groups.rename({"place": "places"}).sort("step", "name", "model", nulls_last=True).with_row_index("place")


def _count_if_known(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_not_null().any()).then(pl.col(column).sum())


def _spread_columns(process: Process) -> dict[str, pl.Expr]:
    reward = pl.col(f"{process}_reward")
    return {
        f"{process}_num": reward.count(),
        f"{process}_low": reward.min(),
        f"{process}_mean": reward.mean(),
        f"{process}_high": reward.max(),
        f"{process}_width": pl.when(reward.count() > 1).then(reward.max() - reward.min()),
    }


def _summary(row: Mapping[str, Any]) -> GroupSummary:
    names = ("place", "step", "name", "question_id", "model", "num_rollouts", "num_malformed", "num_masked")
    return GroupSummary(
        **{name: row[name] for name in names},
        perception=_spread(row, "perception"),
        reasoning=_spread(row, "reasoning"),
    )


def _spread(row: Mapping[str, Any], process: Process) -> Spread:
    return Spread(**{name: row[f"{process}_{name}"] for name in ("num", "low", "mean", "high", "width")})


def _rollout(row: Mapping[str, Any]) -> Rollout:
    texts = ("completion", "observation", "think", "answer", "is_malformed", "verdict")
    tokens = ("observation_tokens", "think_tokens", "answer_tokens", "completion_tokens")
    return Rollout(
        number=row["rollout"],
        **{name: row[name] for name in (*texts, *tokens)},
        perception=_reward(row, "perception"),
        reasoning=_reward(row, "reasoning"),
    )


def _reward(row: Mapping[str, Any], process: Process) -> Reward:
    parts = {name: row[f"{process}_{name}"] for name in ("accuracy", "format", "length", "advantage")}
    return Reward(total=row[f"{process}_reward"], **parts)


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first place, how many) for every stretch of places that follow each other: the fewer reads, the faster."""
    # Along such a stretch the place and its rank rise together.
    for _, run in groupby(enumerate(places), lambda ranked: ranked[1] - ranked[0]):
        stretch = [place for _, place in run]
        yield stretch[0], len(stretch)


def _notes_on(files: Sequence[FittedFile]) -> list[str]:
    missing = Counter(name for file in files for name in file.missing)
    num_unfit: Counter[str] = Counter()
    for file in files:
        num_unfit.update(file.num_unfit)
    notes = [
        f"{', '.join(name for name in missing if missing[name] == num_files)}: not recorded in {num_files} of "
        f"{len(files)} files"
        for num_files in sorted(set(missing.values()), reverse=True)
    ]
    return notes + [
        f"{name}: {count:,} values cannot be read as {ROLLOUT.field(name).type} and show as not recorded"
        for name, count in num_unfit.items()
    ]

"""Observations for judges to disagree about: of a dataset's traces, or of the rollouts that a training saved.

A dataset has one observation a question, accepted and rejected ones alike, and perhaps labels. A training has groups of
them, so that it shows as well what a judge's verdicts do to the perception reward. A sample is drawn by hashes: the
same command draws the same one, and a larger one holds the smaller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.agreement import one_label_per_question
from curation.config import load_config
from curation.errors import ConfigError, RunDirectoryError
from curation.labelled import load_label_file
from curation.locate import locate
from curation.schema import CONFIG_FILES, CONFIGS, INSUFFICIENT, QUESTION, SUFFICIENT, Question
from training.benchmarks.analyses.saved_rollouts import SavedGroup, read_rollouts
from training.config import DatasetConfig, TrainConfig
from training.judging import JudgeAsk
from training.processes import BlockTokens
from training.rewards import RewardConfig, observation_to_judge
from training.rundir import TrainingRun
from training.variants import apply_variant

_VERDICTS: Final = (SUFFICIENT, INSUFFICIENT)
_LENGTHS: Final = ("observation_tokens", "think_tokens", "answer_tokens")


@dataclass(frozen=True, slots=True)
class ObservedRollout:
    """A saved rollout. key: of its observation in `Observations.asks`; null where it is malformed: nobody is asked."""

    key: str | None
    question: Question
    completion: str
    lengths: BlockTokens


@dataclass(frozen=True, slots=True)
class Observations:
    """What the judges are asked about.

    recorded: key -> the verdict that stands beside the observation. labels: key -> what people (or a rule) decided.
    groups: the rollouts of a prompt, with `rewards`, which pay perception alone; none for a dataset.
    num_all: observations (a dataset) or rollouts (a training) that there are to draw from. problems: a line each.
    """

    source: str
    asks: Mapping[str, JudgeAsk]
    recorded: Mapping[str, str]
    num_all: int
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[tuple[ObservedRollout, ...], ...] = ()
    rewards: RewardConfig | None = None
    problems: tuple[str, ...] = ()


def is_training(path: Path) -> bool:
    """Whether this is the run directory of a training that saved rollouts."""
    return any(TrainingRun(path).rollouts.glob("*.parquet"))


def of_dataset(name: str, num_rows: int) -> Observations:
    """Up to `num_rows` observations of a run directory, a dataset folder or org/name@tag, by the order of their ids.

    Raises RunDirectoryError and HubError.
    """
    located = locate(name, ("cot", "rejected"))
    columns = [*QUESTION.names, "observation", "verdict"]
    kept = _read(located.folder, "cot", columns, shown=name)
    # A duplicate record is rejected by its source under the id of the one that stays.
    rejected = _read(located.folder, "rejected", [*columns, "rejected_by"], shown=name)
    rejected = rejected.filter(pc.invert(pc.starts_with(rejected["rejected_by"], "source:"))).select(columns)
    rows = pa.concat_tables([kept, rejected])
    observation = pc.fill_null(rows["observation"], "")
    rows = rows.filter(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(observation)), 0)).sort_by("id")
    found = _by_id(rows.slice(0, num_rows).to_pylist(), name)
    if not found:
        raise RunDirectoryError(f"{name} holds no observation, so there is nothing to judge.")
    return Observations(
        source=name,
        asks={key: JudgeAsk(Question.from_row(row), row["observation"]) for key, row in found.items()},
        recorded={key: row["verdict"] for key, row in found.items() if row["verdict"] in _VERDICTS},
        num_all=rows.num_rows,
    )


def of_labels(name: str, labels: Path, num_rows: int) -> Observations:
    """The same, of the observations that were labelled, and whose labellers decided and agree.

    Raises SourceError, RunDirectoryError and HubError.
    """
    located = locate(name, ("cot", "rejected"))
    label_file = load_label_file(labels, located.folder)
    decided = dict(one_label_per_question(label_file.labels).select("id", "label").iter_rows())
    known = {
        key: (found.question, found.observation, found.recorded_verdict)
        for key, found in sorted(label_file.questions.items())
        if found.observation is not None and decided.get(key) in _VERDICTS
    }
    if not known:
        raise RunDirectoryError(
            f"{labels} decides about no observation of {name}. Another dataset, or nothing labelled?"
        )
    drawn = dict(list(known.items())[:num_rows])
    outdated = label_file.num_outdated
    return Observations(
        source=f"{name}, labelled in {label_file.name}",
        asks={key: JudgeAsk(question, observation) for key, (question, observation, _) in drawn.items()},
        recorded={key: verdict for key, (_, _, verdict) in drawn.items() if verdict is not None},
        num_all=len(known),
        labels={key: decided[key] for key in drawn},
        problems=(f"{labels}: {outdated:,} labels are of another text than the dataset has; left out",)
        * bool(outdated),
    )


def of_training(run_dir: Path, num_rows: int) -> Observations:
    """Whole groups of saved rollouts, until they are `num_rows`. Raises ConfigError, RunDirectoryError, HubError."""
    config = apply_variant(load_config(TrainConfig, TrainingRun(run_dir).config))
    if "agnostic" in (config.input.template, config.rewards.template):
        raise ConfigError(
            f"{run_dir} was trained with template agnostic: its completions hold no observation to judge."
        )
    rewards = RewardConfig.model_validate(config.rewards.model_dump() | {"perception": True, "reasoning": False})
    saved = read_rollouts(run_dir, ("id", "completion", "verdict", *_LENGTHS))
    if not saved.groups:
        why = saved.problems[0] if saved.problems else "there are no files"
        raise RunDirectoryError(f"none of the {saved.num_files:,} rollout files of {run_dir} can be used: {why}.")
    drawn = _draw(saved.groups, num_rows)
    questions = _questions(config.dataset, {row["id"] for group in drawn for row in group.rows})
    asks: dict[str, JudgeAsk] = {}
    recorded: dict[str, str] = {}
    groups = []
    for group in drawn:
        rollouts = []
        for row in group.rows:
            question, completion = questions[row["id"]], row["completion"]
            key = None
            observation = observation_to_judge(
                completion, problem_type=question.problem_type, options=question.options, config=rewards
            )
            if observation is not None:
                key = f"{group.step}/{group.group}/{row['rollout']}"
                asks[key] = JudgeAsk(question, observation)
                if row["verdict"] in _VERDICTS:
                    recorded[key] = row["verdict"]
            lengths = BlockTokens(*(row[name] for name in _LENGTHS))
            rollouts.append(ObservedRollout(key, question, completion, lengths))
        groups.append(tuple(rollouts))
    if not asks:
        raise RunDirectoryError(f"none of the {sum(map(len, groups)):,} rollouts drawn from {run_dir} is well-formed.")
    return Observations(
        source=str(run_dir),
        asks=asks,
        recorded=recorded,
        num_all=sum(len(group.rows) for group in saved.groups),
        groups=tuple(groups),
        rewards=rewards,
        problems=saved.problems,
    )


def _draw(groups: Sequence[SavedGroup], num_rows: int) -> list[SavedGroup]:
    """At least one; from all over the training, since the order is that of hashes."""
    drawn: list[SavedGroup] = []
    for group in sorted(groups, key=_hash):
        if drawn and sum(len(each.rows) for each in drawn) >= num_rows:
            break
        drawn.append(group)
    return drawn


def _hash(group: SavedGroup) -> str:
    return hashlib.sha256(f"{group.step}/{group.group}".encode()).hexdigest()


def _questions(config: DatasetConfig, ids: Iterable[str]) -> dict[str, Question]:
    """Of config `rl`. Raises RunDirectoryError when one is not there."""
    name = config.name if config.revision is None or Path(config.name).exists() else f"{config.name}@{config.revision}"
    wanted = sorted(set(ids))
    folder = locate(name, ("rl",)).folder
    rows = _read(folder, "rl", list(QUESTION.names), shown=name)
    found = _by_id(rows.filter(pc.is_in(rows["id"], pa.array(wanted))).to_pylist(), name)
    if missing := [question_id for question_id in wanted if question_id not in found]:
        raise RunDirectoryError(
            f"{name} has no question {missing[0]!r}, which a saved rollout answers: it is another dataset than the "
            "training's, or another version of it."
        )
    return {question_id: Question.from_row(row) for question_id, row in found.items()}


def _read(folder: Path, config: str, columns: list[str], *, shown: str) -> pa.Table:
    stem = folder / CONFIG_FILES[config]
    files = sorted(stem.parent.glob(f"{stem.name}-*.parquet"))
    if not files:
        raise RunDirectoryError(f"{shown} has no {CONFIG_FILES[config]}-*.parquet: it is no dataset of this project.")
    # A column that is all null in one file may lack its type.
    schema = pa.schema([CONFIGS[config].field(name) for name in columns])
    try:
        return pa.concat_tables([pq.read_table(path, columns=columns).select(columns).cast(schema) for path in files])
    except (OSError, KeyError, pa.ArrowException) as error:
        why = " ".join(str(error).split())[:120]
        raise RunDirectoryError(
            f"cannot read config {config} of {shown}: {why}. Was it written by another version?"
        ) from error


def _by_id(rows: Sequence[Mapping[str, Any]], shown: str) -> dict[str, Mapping[str, Any]]:
    """Raises RunDirectoryError for a question that stands twice, or lacks what a judge is shown."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["id"] in found:
            raise RunDirectoryError(f"{shown}: question {row['id']!r} stands twice.")
        if any(row[name] is None for name in ("problem", "options", "data_type", "problem_type", "solution")):
            raise RunDirectoryError(f"{shown}: question {row['id']!r} lacks its problem, options, types or solution.")
        found[row["id"]] = row
    return found

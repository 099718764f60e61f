"""The run directory of a training: where everything lies, and what must not change between its sessions.

config.yaml     the resolved config              base/           the model built from scratch, if it is
sft/, rl/       checkpoints, model, metrics      rollouts/       what RL sampled, one Parquet file an update
evaluation/     held-out scores                  report.html     curves and scores
benchmark/      scores of the last model (training/benchmarks/results.py)
compare/        one such directory a variant and seed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from curation.config import dump_config
from curation.errors import ConfigError
from training.config import TrainConfig

# What may be changed before a run is gone on with, because no weight depends on it.
_FREE: Final = (
    "report_to",
    "dataset.media_root",
    "dataset.manifest",
    "dataset.curate",
    "input.cache",
    "sft.num_workers",
    "sft.keep_checkpoints",
    "rl.num_workers",
    "rl.keep_checkpoints",
    "judge.dispatch",
    "judge.wait_s",
    "judge.budget_usd",
    "judge.stop_after_failed_updates",
    "evaluation.batch_size",
    "benchmark",
)

# What a run did that was begun before there was a key for it, where that is not the default of the key.
_UNSAID: Final[Mapping[str, Any]] = {
    "evaluation.rules_version": 1,
}


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Names of everything in a run directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.root / "config.yaml"

    @property
    def rollouts(self) -> Path:
        """The folder of saved rollouts."""
        return self.root / "rollouts"

    @property
    def evaluations(self) -> Path:
        """The folder of held-out scores."""
        return self.root / "evaluation"

    def stage(self, name: str) -> Path:
        """The folder of a stage, sft or rl."""
        return self.root / name

    def model(self, stage: str) -> Path:
        """The finished model of a stage; plain from_pretrained loads it."""
        return self.root / stage / "model"


def go_on_as_begun(run: TrainingRun, config: TrainConfig) -> tuple[TrainConfig, tuple[str, ...]]:
    """Return the config by which a run that was begun goes on, and what to tell about it, a line each.

    Which clips are held out is settled when a run begins: another split in mid-training would score a model on clips
    that it was trained on.
    """
    if not run.config.is_file():
        return config, ()
    begun = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    section = begun.get("evaluation") or {}
    rules = section.get("rules_version", 1)
    if rules == config.evaluation.rules_version:
        return config, ()
    evaluation = config.evaluation.model_copy(update={"rules_version": rules})
    if evaluation.held_out_share == 0:
        return config.model_copy(update={"evaluation": evaluation}), ()
    told = (
        f"{run.root} goes on with the clips and questions that it was begun with (evaluation.rules_version = {rules}). "
        f"A new run_dir chooses them by version {config.evaluation.rules_version}, which tells clips by their content."
    )
    return config.model_copy(update={"evaluation": evaluation}), (told,)


def keep_config(run: TrainingRun, config: TrainConfig) -> None:
    """Write the resolved config, or check that the run was begun with it.

    Raises ConfigError when a key that decides about the weights was changed.
    """
    values = config.model_dump(mode="json")
    if run.config.is_file():
        before = _recorded(yaml.safe_load(run.config.read_text(encoding="utf-8")))
        now = dict(_flatten(values))
        changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key) and not _is_free(key)]
        if changed:
            key = changed[0]
            more = f" and {len(changed) - 1} more keys differ" if len(changed) > 1 else ""
            raise ConfigError(
                f"{run.root} was begun with {key} = {before.get(key)!r}, now it is {now.get(key)!r}{more}. "
                "Set run_dir to another folder, or take back the change to go on."
            )
    run.root.mkdir(parents=True, exist_ok=True)
    written = run.config.with_suffix(".tmp")
    written.write_text(dump_config(config), encoding="utf-8")
    written.replace(run.config)


def _recorded(begun: Mapping[str, Any]) -> dict[str, Any]:
    """The flat config of a run; where its version had no key yet, what it did all the same."""
    written, values = dict(_flatten(begun)), dict(_flatten(_completed(begun)))
    values |= {name: value for name, value in _UNSAID.items() if name not in written}
    if values.get("input.template") == "agnostic" and "input.agnostic_prompt" not in written:
        values["input.prompt"] = values.get("input.prompt") or "curation/prompts/trace.txt"  # asks for an observation
    return values


def _completed(begun: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config as it was written, with the defaults of the keys that are newer; as it is where it is none of ours."""
    try:
        return TrainConfig.model_validate(begun).model_dump(mode="json")
    except ValidationError:
        return begun


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)

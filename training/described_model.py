"""What the card of a trained model says, from the run directory that made it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from curation.provenance import publishable
from training.benchmarks.eval_results import scores_of_model
from training.config import TrainConfig
from training.data_facts import load_data_facts
from training.evaluation_facts import EvaluatedStage, Evaluation, load_evaluation
from training.model_card import ModelFacts, Stage, write_model_card
from training.near_duplicates import NOT_COUNTED, load_near_duplicates
from training.prompts import load_template_prompt
from training.run_record import load_finished
from training.rundir import TrainingRun
from training.variants import stages_of

_PACKAGE: Final = "videop2r-hub"
_TAG: Final = re.compile(r"v\d+\.\d+\.\d+")
_LICENSE: Final = {"Qwen/Qwen2.5-VL-7B-Instruct": "apache-2.0", "Qwen/Qwen2.5-VL-3B-Instruct": "other"}


def write_card(config: TrainConfig, place: TrainingRun, repo: str | None = None) -> Path | None:
    """README.md of the last finished model, or None when none is finished. config: with its variant applied."""
    stages = {name: load_finished(place.stage(name) / "stage.json") for name in stages_of(config.variant)}
    finished = [(name, stage) for name, stage in stages.items() if stage is not None]
    if not finished:
        return None
    last, last_stage = finished[-1]
    evaluations: dict[EvaluatedStage, Evaluation] = {}
    seen: tuple[EvaluatedStage, ...] = ("base", *(name for name, _ in finished))
    for evaluated in seen:
        if (evaluation := load_evaluation(place.evaluations / f"{evaluated}.json")) is not None:
            evaluations[evaluated] = evaluation
    trained_on = load_data_facts(place.stage(last))
    is_published = trained_on is not None and trained_on.commit is not None
    near = load_near_duplicates(place.evaluations)
    facts = ModelFacts(
        repo=repo,
        base_model=None if Path(config.model.name).exists() else config.model.name,
        license=_LICENSE.get(config.model.name),
        dataset_repo=trained_on.name if trained_on is not None and is_published else None,
        dataset_tag=_tag(trained_on.revision) if trained_on is not None and is_published else None,
        dataset_commit=trained_on.commit if trained_on is not None else None,
        variant=config.variant,
        template=config.input.template,
        near_duplicates=NOT_COUNTED if near is None else near.describe(),
        stages=tuple(
            Stage(name=_title(name, config), num_updates=stage.updates, duration_s=stage.seconds)
            for name, stage in finished
        ),
        hardware=last_stage.hardware or "not recorded",
        scores=scores_of_model(place, last),
        config=_publishable(config),
        prompt=load_template_prompt(config.input.prompt, config.input.template).text,
        code_version=_code_version(),
    )
    return write_model_card(place.model(last), facts, evaluations)


def _code_version() -> str:
    try:
        return f"{_PACKAGE} {version(_PACKAGE)}"
    except PackageNotFoundError:  # run from a checkout
        return f"{_PACKAGE}, not installed as a package, so its version is not known"


def _title(stage: str, config: TrainConfig) -> str:
    if stage == "sft":
        return "SFT"
    return "PA-GRPO" if config.rl.separate else "GRPO"


def _tag(revision: str | None) -> str | None:
    return revision if revision is not None and _TAG.fullmatch(revision) else None


def _publishable(config: TrainConfig) -> dict[str, Any]:
    """Without what is of this machine only: folders and addresses."""
    values = config.model_dump(mode="json")
    del values["run_dir"], values["input"]["cache"], values["dataset"]["manifest"], values["dataset"]["curate"]
    del values["dataset"]["media_root"]
    values.pop("benchmark", None)  # no part of the training: each score says how it was measured
    for section, key in (("dataset", "name"), ("model", "name"), ("input", "prompt"), ("input", "agnostic_prompt")):
        if values[section][key] is not None and Path(values[section][key]).exists():
            values[section][key] = Path(values[section][key]).name
    if values["judge"] is not None:
        for key in ("base_url", "api_key_env", "extra_body"):
            values["judge"]["engine"].pop(key, None)
        values["judge"]["prompt"] = values["judge"]["prompt"] and Path(values["judge"]["prompt"]).name
    published: dict[str, Any] = publishable(values)
    return published

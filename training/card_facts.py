"""The facts of a model card, from what a run directory says about the training of its last stage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any, Final

from curation.errors import ConfigError
from curation.prompts import load_trace_prompt
from training.model_card import ModelFacts, Stage
from training.run_record import RunRecord
from training.variants import stages_of

# Folders and addresses of one machine; the facts of the dataset stand in the card by themselves.
_PRIVATE: Final = frozenset(
    ("run_dir", "base_url", "api_key_env", "media_root", "manifest", "curate", "cache", "extra_body")
)
_VERSION: Final = re.compile(r"v\d+\.\d+\.\d+")  # another revision is named by its commit alone


def gather_facts(record: RunRecord, *, repo: str | None, license: str | None) -> ModelFacts:
    """Of a run whose stages have finished. repo: the hub repository that the model goes to, if any.

    Raises ConfigError when there is no config, or a stage has not finished or does not say what it was trained on.
    """
    config = record.config
    if config is None:
        raise ConfigError(f"{record.root} has no config that can be read, so the model has no card. Run it again.")
    stages, hardware, data = [], "unknown", None
    for name in stages_of(config.variant):
        stage = record.stages[name]
        if stage.finished is None or stage.data is None:
            raise ConfigError(
                f"stage {name} of {record.root} has not finished, so the model has no card. Run it first."
            )
        data = stage.data if data is None else data
        hardware = stage.finished.hardware or hardware
        method = "sft" if name == "sft" else "pa_grpo" if config.rl.separate else "grpo"
        stages.append(Stage(name=method, num_updates=stage.finished.updates, duration_s=stage.finished.seconds))
    assert data is not None  # every variant has a stage
    is_published = data.commit is not None
    has_version = is_published and data.revision is not None and _VERSION.fullmatch(data.revision)
    return ModelFacts(
        repo=repo,
        base_model=None if config.model.scratch is not None or Path(config.model.name).exists() else config.model.name,
        license=license,
        dataset_repo=data.name if is_published else None,
        dataset_tag=data.revision if has_version else None,
        dataset_commit=data.commit,
        variant=config.variant,
        stages=tuple(stages),
        hardware=hardware,
        scores=(),
        config=_publishable(config.model_dump(mode="json")),
        prompt=load_trace_prompt(config.input.prompt).text,
        code_version=f"videop2r-hub {version('videop2r-hub')}",
    )


def _publishable(value: Any) -> Any:
    """Without private keys; an absolute path keeps its last part."""
    if isinstance(value, Mapping):
        return {key: _publishable(inner) for key, inner in value.items() if key not in _PRIVATE}
    if isinstance(value, list):
        return [_publishable(inner) for inner in value]
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    return value

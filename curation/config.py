"""One YAML file a run, `key.sub=value` overrides on the command line, into one frozen pydantic model.

Paths in a config are relative to the working directory. Secrets never stand in a config: engines name the environment
variable that holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from curation.errors import ConfigError


class Config(BaseModel):
    """The base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def load_config(model: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> ConfigT:
    """Read, override, validate. Raises ConfigError with every fault in one line."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not {type(values).__name__}")
    for override in overrides:
        _apply(values, override)
    return validate(model, values, origin=str(path))


def validate(model: type[ConfigT], values: dict[str, Any], *, origin: str) -> ConfigT:
    """Build the model; pydantic's report becomes one line. Raises ConfigError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {'; '.join(_describe(fault) for fault in error.errors())}") from error


def dump_config(config: BaseModel) -> str:
    """The resolved config as YAML, in the order of the model."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"an override reads key.sub=value, not {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of override {override!r} is no YAML: {' '.join(str(error).split())}") from error
    *sections, name = key.split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(f"override {override!r}: {section} is no section")
    values[name] = value


def _describe(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "config"
    got = fault.get("input")
    shown = f" (got {got!r:.60})" if isinstance(got, str | int | float | bool) else ""
    return f"{place}: {fault['msg']}{shown}"

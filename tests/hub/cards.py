"""README.md front matter: what the hub refuses before anything is uploaded."""

from __future__ import annotations

import re
from typing import Any

import yaml

_LISTS = (
    "language",
    "license",
    "tags",
    "task_categories",
    "size_categories",
    "annotations_creators",
    "source_datasets",
)


def front_matter(readme: str) -> Any:
    """The YAML between the first two `---` lines; None without any. Raises yaml.YAMLError."""
    match = re.match(r"\ufeff?\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", readme, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def metadata_of(readme: str) -> dict[str, Any] | None:
    """What the hub shows as card data; None where there is none that can be read."""
    try:
        content = front_matter(readme)
    except yaml.YAMLError:
        return None
    return content if isinstance(content, dict) else None


def check_card(readme: str) -> tuple[list[str], list[str]]:
    """(errors, warnings)."""
    try:
        content = front_matter(readme)
    except yaml.YAMLError as error:
        return [f"invalid YAML: {' '.join(str(error).split())}"], []
    if content is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(content, dict):
        return ["the front matter is no mapping"], []
    errors = [f'"{name}" must be text or a list of texts' for name in _LISTS if not _is_texts(content.get(name, []))]
    for number, config in enumerate(_as_list(content.get("configs", []))):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            errors.append(f'"configs[{number}].config_name" is required')
    return errors, []


def _is_texts(value: object) -> bool:
    return all(isinstance(entry, str) for entry in _as_list(value))


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""Where a dataset comes from, kept beside its rows in stats/provenance.json, so that its card can be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from curation.errors import RunDirectoryError, without_paths
from curation.origin import ORIGINS, Origin
from curation.shards import write_text

PROVENANCE_FILE: Final = "stats/provenance.json"
_PRIVATE: Final = frozenset(("run_dir", "base_url", "api_key_env"))


class Provenance(BaseModel):
    """What the rows themselves cannot tell.

    source: the kind of source, or what was imported. tokenizer: null = lengths in tokens were not counted. config: the
    resolved config, without addresses and local folders. media_repo: the hub repository that holds the media.
    note: anything that a reader has to know about the origin of these rows, in plain words. origin: whose traces they
    are, null where this project made them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    tokenizer: str | None
    config: dict[str, Any]
    media_repo: str | None = None
    note: str | None = None
    origin: Origin | None = None


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Keep it in the dataset folder."""
    path = folder / PROVENANCE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(provenance.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")


def read_provenance(folder: Path) -> Provenance:
    """Raises RunDirectoryError when the folder has none: nobody can say then where its rows come from."""
    path = folder / PROVENANCE_FILE
    try:
        provenance = Provenance.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        raise RunDirectoryError(
            f"{path} is missing or damaged: the card could not say where the rows come from. Run the pipeline again on "
            "this run directory, or import the release again."
        ) from error
    if provenance.origin is None and provenance.source in ORIGINS:  # written before the block existed
        return provenance.model_copy(update={"origin": ORIGINS[provenance.source]})
    return provenance


def publishable(value: Any) -> Any:
    """A config without server addresses, names of variables and folders of the machine: an absolute path keeps its
    last part."""
    match value:
        case Mapping():
            return {key: publishable(inner) for key, inner in value.items() if key not in _PRIVATE}
        case list() | tuple():
            return [publishable(inner) for inner in value]
        case str() | Path() if str(value).startswith(("/", "~")):
            return f".../{Path(value).name}"
        case str():
            return without_paths(value)
        case Path():
            return str(value)
        case _:
            return value

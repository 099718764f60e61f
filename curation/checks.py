"""Side results about a dataset: judge agreement, overlaps, the comparison with the authors' release.

They lie in `checks/NAME.json` beside the dataset (of a run: in the run directory, where a rebuilt dataset/ leaves them
alone) and go into the card and into `stats/` when it is published. Each remembers the rows it was measured on, so that
none is ever shown for other rows.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from curation.errors import RunDirectoryError
from curation.facts import config_files
from curation.rowhash import hash_rows
from curation.schema import CONFIGS
from curation.shards import write_text


class StaleCheck(RunDirectoryError):
    """A check of rows that are not these."""


CheckT = TypeVar("CheckT", bound=BaseModel)


def rows_sha256(folder: Path) -> str:
    """Of the accepted and the rejected rows, without `overlaps`, which is itself the result of a check."""
    columns = {config: [name for name in CONFIGS[config].names if name != "overlaps"] for config in ("cot", "rejected")}
    hashes = [hash_rows(config_files(folder, config), columns[config]) for config in columns]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def write_check(home: Path, name: str, folder: Path, check: BaseModel) -> Path:
    """Keep a result for the rows of `folder`. Returns its path."""
    path = home / "checks" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows_sha256": rows_sha256(folder), "check": check.model_dump(mode="json")}, indent=2)
    write_text(path, text + "\n")
    return path


def has_checks(home: Path) -> bool:
    """Whether anything was measured beside the rows; to hash them takes seconds."""
    return any((home / "checks").glob("*.json"))


def read_check(home: Path, name: str, rows: str, model: type[CheckT], *, remedy: str) -> CheckT | None:
    """The result for the rows with this `rows_sha256`; None when it was never measured.

    Raises RunDirectoryError when it cannot be read, StaleCheck when it was measured on other rows; `remedy` is what to
    run then.
    """
    path = home / "checks" / f"{name}.json"
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        measured_on = kept["rows_sha256"]
        if measured_on == rows:
            return model.model_validate(kept["check"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path} cannot be read. Delete it, or {remedy}") from error
    raise StaleCheck(f"{path} was measured on other rows. Delete it, or {remedy}")

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

from pydantic import BaseModel, ValidationError

from curation.errors import RunDirectoryError
from curation.facts import config_files
from curation.rowhash import hash_rows
from curation.schema import CONFIGS
from curation.shards import write_text

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


def read_check(home: Path, name: str, folder: Path, model: type[CheckT], *, remedy: str) -> CheckT | None:
    """The result for the rows of `folder`; None when it was never measured.

    Raises RunDirectoryError when it was measured on other rows or cannot be read; `remedy` is what to run then.
    """
    path = home / "checks" / f"{name}.json"
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        check = model.model_validate(kept["check"])
        measured_on = kept["rows_sha256"]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise RunDirectoryError(f"{path} cannot be read. Delete it, or {remedy}") from error
    if measured_on != rows_sha256(folder):
        raise RunDirectoryError(f"{path} was measured on other rows. Delete it, or {remedy}")
    return check

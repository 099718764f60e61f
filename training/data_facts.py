"""What a stage was trained on, {sft,rl}/data.json: the revision, and how many of its rows were used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, model_validator

from curation.errors import RunDirectoryError

if TYPE_CHECKING:
    from training.data import TrainingRows

FILE_NAME: Final = "data.json"


class DataFacts(BaseModel):
    """name: a hub repository, or a folder, which has neither revision nor commit. left_out: reason -> rows.

    Every published row is in one of num_used, num_held_out and left_out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    config: str
    revision: str | None
    commit: str | None
    num_published: NonNegativeInt
    num_used: NonNegativeInt
    num_held_out: NonNegativeInt
    left_out: Mapping[str, NonNegativeInt]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.num_used + self.num_held_out + sum(self.left_out.values())
        if total != self.num_published:
            raise ValueError(f"used, held out and left out are {total} rows, num_published is {self.num_published}")
        return self


def describe_data(rows: TrainingRows) -> DataFacts:
    """Of the rows that a stage trains on; what was usable and is not among them is held out."""
    num_usable = rows.num_published - sum(rows.left_out.values())
    return DataFacts(
        name=rows.name,
        config=rows.config,
        revision=rows.revision,
        commit=rows.commit,
        num_published=rows.num_published,
        num_used=len(rows.rows),
        num_held_out=num_usable - len(rows.rows),
        left_out=dict(rows.left_out),
    )


def write_data_facts(folder: Path, facts: DataFacts) -> Path:
    """Into a stage's folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    written = path.with_suffix(".tmp")
    written.write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
    written.replace(path)
    return path


def load_data_facts(folder: Path) -> DataFacts | None:
    """None when the stage has not begun. Raises RunDirectoryError that names the field."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return DataFacts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise RunDirectoryError(
            f"{path} does not say what was trained on: {place}: {fault['msg']}. Delete it and run the stage again."
        ) from error

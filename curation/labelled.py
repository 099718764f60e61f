"""Labels with what they are about: the question and the observation that the labeller saw.

Either from a dataset, by id, among its accepted and its rejected rows; or from the label file itself, when its rows
carry the question and the observation too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict

from curation.agreement import load_labels, read_label_file
from curation.config import validate
from curation.errors import RunDirectoryError, SourceError
from curation.facts import scan_config
from curation.schema import DATA_TYPES, INSUFFICIENT, PROBLEM_TYPES, QUESTION, SUFFICIENT, Question

# What a row of a self-contained label file carries beside id and label.
QUESTION_COLUMNS: Final = ("data_type", "problem", "options", "problem_type", "solution", "observation")
_ROW: Final = (*QUESTION.names, "observation", "verdict", "judge", "judge_prompt_sha256")


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question that stands in the label file. `observation` null: the row was rejected before there was one.

    recorded_verdict: the dataset's; null also where `recorded_judge` is, because no judge was asked.
    """

    question: Question
    observation: str | None
    recorded_verdict: str | None = None
    recorded_judge: str | None = None
    recorded_prompt_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class LabelFile:
    """labels: as `load_labels` returns them, without those of another text. questions: by id, the known ones."""

    name: str
    sha256: str
    labels: pl.DataFrame
    questions: Mapping[str, LabelledQuestion]
    num_outdated: int


class _Row(BaseModel):
    """One row of a self-contained label file, whatever else it carries."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    data_type: Literal["image", "video"]
    problem: str
    options: Annotated[tuple[str, ...], BeforeValidator(lambda options: _as_list(options))]
    problem_type: Literal["multiple choice", "numerical", "OCR", "free-form", "regression"]
    solution: str
    observation: str | None


def load_label_file(path: Path, dataset: Path | None) -> LabelFile:
    """The labels, with their questions from the dataset folder, or from the file itself when there is none.

    Raises SourceError or ConfigError for an unusable label file, RunDirectoryError for an unreadable dataset.
    """
    labels = load_labels(path)
    rows = read_label_file(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if dataset is None:
        return LabelFile(path.name, sha256, labels, _from_file(path, labels["id"], rows), 0)
    questions = _from_dataset(dataset, labels["id"])
    if labels.height and not questions:
        raise SourceError(f"{path}: none of its {labels['id'].n_unique()} questions is in {dataset}. Another dataset?")
    # An id stays when a trace is generated anew. A label of the old text says nothing about the new one.
    pairs = zip(labels["id"], rows.iter_rows(named=True), strict=True)
    is_current = pl.Series([_is_of(questions.get(question_id), row) for question_id, row in pairs], dtype=pl.Boolean)
    num_outdated = labels.filter(~is_current)["label"].count()
    return LabelFile(path.name, sha256, labels.filter(is_current), questions, num_outdated)


def _from_dataset(folder: Path, ids: pl.Series) -> dict[str, LabelledQuestion]:
    wanted = pl.col("id").is_in(ids.unique().to_list())
    scans = [
        scan_config(folder, "cot").filter(wanted).select(_ROW),
        # A duplicate record is rejected by the source under the id of the one that stays.
        scan_config(folder, "rejected").filter(wanted & ~pl.col("rejected_by").str.starts_with("source:")).select(_ROW),
    ]
    try:
        rows = pl.concat(pl.collect_all(scans, engine="streaming"))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunDirectoryError(
            f"cannot read {folder}: {str(error).splitlines()[0]} Run the pipeline again to rewrite it."
        ) from error
    _check_rows(rows, folder)
    return {
        row["id"]: LabelledQuestion(
            Question.from_row(row),
            row["observation"],
            row["verdict"] if row["verdict"] in (SUFFICIENT, INSUFFICIENT) else None,
            row["judge"],
            row["judge_prompt_sha256"],
        )
        for row in rows.iter_rows(named=True)
    }


def _check_rows(rows: pl.DataFrame, folder: Path) -> None:
    """A dataset may be anybody's, and data_type reaches the judge unfenced. Raises RunDirectoryError."""
    if rows["id"].is_duplicated().any():
        raise RunDirectoryError(
            f"{folder}: question {rows.filter(rows['id'].is_duplicated())['id'][0]!r} stands twice."
        )
    for column, allowed in (("data_type", DATA_TYPES), ("problem_type", PROBLEM_TYPES)):
        wrong = rows.filter(~pl.col(column).is_in(allowed).fill_null(False))
        if wrong.height:
            question_id, value = wrong.select("id", column).row(0)
            raise RunDirectoryError(
                f"{folder}: {column} of question {question_id!r} is {value!r:.60}, and none of {', '.join(allowed)}."
            )
    if rows.select(pl.any_horizontal(pl.col("problem", "options", "solution").is_null().any())).item():
        raise RunDirectoryError(f"{folder}: a labelled question lacks its problem, options or solution.")


def _from_file(path: Path, ids: pl.Series, rows: pl.DataFrame) -> dict[str, LabelledQuestion]:
    if missing := [name for name in QUESTION_COLUMNS if name not in rows.columns]:
        raise SourceError(f"{path} has no column {missing}. Name the dataset that it labels with --dataset.")
    questions: dict[str, LabelledQuestion] = {}
    for place, (question_id, values) in enumerate(zip(ids, rows.iter_rows(named=True), strict=True), start=1):
        row = validate(_Row, values, origin=f"{path} row {place}")
        found = LabelledQuestion(
            Question(
                id=question_id,
                problem_id=None,
                problem=row.problem,
                options=row.options,
                data_type=row.data_type,
                problem_type=row.problem_type,
                solution=row.solution,
                path="",
                data_source=None,
                license=None,
            ),
            row.observation if row.observation and row.observation.strip() else None,
        )
        if questions.setdefault(question_id, found) != found:
            raise SourceError(f"{path} row {place}: question {question_id!r} stands there with another text as well.")
    return questions


def _is_of(known: LabelledQuestion | None, row: Mapping[str, Any]) -> bool:
    """Whether a row labels the text that the dataset has; what the row does not carry is taken to agree."""
    if known is None:
        return True  # counted as unknown
    texts = {"observation": known.observation, "solution": known.question.solution}
    return all(row.get(name) is None or _plain(row[name]) == _plain(text) for name, text in texts.items())


def _plain(text: Any) -> str:
    """White space does not survive every file format."""
    return " ".join(str(text).split())


def _as_list(options: Any) -> Any:
    """A CSV holds the options as a JSON list; no options are an empty cell."""
    if options is None or options == "":
        return ()
    if isinstance(options, str):
        try:
            return json.loads(options)
        except ValueError as error:
            raise ValueError("options must be a JSON list of strings") from error
    return options

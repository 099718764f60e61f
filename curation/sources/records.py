"""The one place where a raw record becomes a question, or a counted reject with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from curation.schema import (
    DATA_TYPES,
    PROBLEM_TYPES,
    Question,
    SourceReject,
    find_unstorable,
    question_id,
    read_problem_type,
)
from curation.scoring.answer_text import answer_text
from curation.scoring.choice import MAX_OPTIONS, fold
from curation.sources.literals import is_null
from curation.sources.reading import RawRecord
from curation.tasks import find_gold_fault, score_answer

REQUIRED: Final = ("problem", "data_type", "problem_type", "solution", "path")
_SOLUTION: Final = re.compile(r"\s*<answer>(?:(?!</?answer>).)*</answer>\s*", re.DOTALL)
_INT64: Final = 2**63


class _RecordFault(ValueError):
    """The record is no question."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def question_from_record(
    record: object, *, file: str, record_number: int, licenses: Mapping[str, str]
) -> Question | SourceReject:
    """Check one record of the Video-R1 schema (paper.md 9). Fields that are not ours are left alone.

    A missing `data_source` stays null: the folder in `path` says where the media came from, but a guess is no value.
    Reasons: not_an_object, missing_field, bad_field, bad_encoding, unknown_problem_type, unknown_data_type,
    bad_options, bad_solution, bad_problem_id.
    """
    try:
        return _question(record, licenses)
    except _RecordFault as fault:
        return SourceReject(file, record_number, fault.reason, str(fault), _readable(record, licenses))


def questions_from_records(
    records: Iterable[RawRecord | SourceReject], licenses: Mapping[str, str]
) -> Iterator[Question | SourceReject]:
    """One question or one reject for each record, in order.

    Of equal questions the first is kept; a further one is a "duplicate", or with another gold "duplicate:conflict".
    """
    firsts: dict[str, tuple[str, int, str]] = {}
    for record in records:
        if isinstance(record, SourceReject):
            yield record
            continue
        file, number = record.file, record.number
        question = question_from_record(record.value, file=file, record_number=number, licenses=licenses)
        if isinstance(question, SourceReject) or question.id not in firsts:
            if isinstance(question, Question):
                firsts[question.id] = (file, number, question.solution)
            yield question
            continue
        first_file, first_number, solution = firsts[question.id]
        reason, detail = "duplicate", f"same question as record {first_number} of {first_file}"
        if not _same_gold(question, solution):
            golds = f"{ascii(answer_text(question.solution))[:80]} here and {ascii(answer_text(solution))[:80]} there"
            reason, detail = "duplicate:conflict", f"{detail}, with another gold: {golds}"
        yield SourceReject(file, number, reason, detail, question.as_row())


def _same_gold(question: Question, solution: str) -> bool:
    """Letter and text of an option are the same gold, and so are 4 and 4.0."""
    if fold(answer_text(question.solution)) == fold(answer_text(solution)):
        return True
    return question.problem_type in ("multiple choice", "numerical", "regression") and (
        score_answer(question.problem_type, question.solution, solution, options=question.options) == 1
    )


def find_license(data_source: str | None, path: str, licenses: Mapping[str, str]) -> str | None:
    """By data_source, else by the longest folder prefix of the path; null when none is configured."""
    if data_source is not None and data_source in licenses:
        return licenses[data_source]
    folders = path.removeprefix("./").split("/")[:-1]
    prefixes = ("/".join(folders[:depth]) for depth in range(len(folders), 0, -1))
    return next((licenses[prefix] for prefix in prefixes if prefix in licenses), None)


def _question(record: object, licenses: Mapping[str, str]) -> Question:
    if not isinstance(record, Mapping):
        raise _RecordFault("not_an_object", f"expected an object, got {ascii(record)[:80]}")
    problem, data_type, problem_type, solution, path = (_text(record, name) for name in REQUIRED)
    known_type = read_problem_type(problem_type)
    if known_type is None:
        raise _RecordFault("unknown_problem_type", f"{ascii(problem_type)[:80]} is none of {', '.join(PROBLEM_TYPES)}")
    if data_type not in DATA_TYPES:
        raise _RecordFault("unknown_data_type", f"{ascii(data_type)[:80]} is none of {', '.join(DATA_TYPES)}")
    if not _SOLUTION.fullmatch(solution):
        raise _RecordFault("bad_solution", f"expected <answer>...</answer>, got {ascii(solution)[:80]}")
    options = _options(record.get("options"), required=known_type == "multiple choice")
    if fault := find_gold_fault(known_type, solution, options):
        raise _RecordFault("bad_solution", fault)
    data_source = _optional_text(record, "data_source")
    return Question(
        id=question_id(path, problem, options),
        problem_id=_problem_id(record.get("problem_id")),
        problem=problem,
        options=options,
        data_type=data_type,
        problem_type=known_type,
        solution=solution,
        path=path,
        data_source=data_source,
        license=find_license(data_source, path, licenses),
    )


def _readable(record: object, licenses: Mapping[str, str]) -> dict[str, Any]:
    """The columns of a record that is no question which can be read by themselves."""
    if not isinstance(record, Mapping):
        return {}
    read: dict[str, Callable[[], Any]] = {
        **{name: partial(_text, record, name) for name in REQUIRED},
        "data_source": partial(_optional_text, record, "data_source"),
        "options": lambda: list(_options(record.get("options"), required=False)),
        "problem_id": lambda: _problem_id(record.get("problem_id")),
    }
    row: dict[str, Any] = {}
    for name, reader in read.items():
        with suppress(_RecordFault):
            row[name] = reader()
    # These columns have a fixed vocabulary; the row's `detail` quotes what is none of it.
    row["problem_type"] = read_problem_type(row.get("problem_type", ""))
    if row.get("data_type") not in DATA_TYPES:
        row.pop("data_type", None)
    row["license"] = find_license(row.get("data_source"), row.get("path", ""), licenses)
    return row


def _optional_text(record: Mapping[str, Any], name: str) -> str | None:
    return None if is_null(record.get(name)) else _text(record, name)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if isinstance(value, str) and not value.strip():
        raise _RecordFault("bad_field", f"{name} is empty")
    if is_null(value):
        raise _RecordFault("missing_field", name)
    if not isinstance(value, str):
        raise _RecordFault("bad_field", f"{name} must be text, got {ascii(value)[:80]}")
    return _storable(name, value)


def _options(options: object, *, required: bool) -> tuple[str, ...]:
    if is_null(options) or options in ([], ()):
        options = []
    if not isinstance(options, list | tuple):
        raise _RecordFault("bad_options", f"expected a list, got {ascii(options)[:80]}")
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise _RecordFault("bad_options", f"every option must be text, got {ascii(options)[:80]}")
    if required and len(options) < 2:
        raise _RecordFault("bad_options", f"a multiple choice question with {len(options)} options")
    if required and len(options) > MAX_OPTIONS:
        raise _RecordFault("bad_options", f"{len(options)} options are more than there are letters")
    return tuple(_storable("options", option) for option in options)


def _problem_id(problem_id: object) -> int | None:
    """An int, or a number written otherwise: "17" in the RL release, 17.0 after a trip through a data frame."""
    if is_null(problem_id):
        return None
    if isinstance(problem_id, str) and re.fullmatch(r"\s*-?[0-9]{1,19}(\.0)?\s*", problem_id):
        problem_id = int(problem_id.strip().removesuffix(".0"))
    if isinstance(problem_id, float) and problem_id.is_integer():
        problem_id = int(problem_id)
    if isinstance(problem_id, bool) or not isinstance(problem_id, int) or not -_INT64 <= problem_id < _INT64:
        raise _RecordFault("bad_problem_id", f"expected an integer, got {ascii(problem_id)[:80]}")
    return problem_id


def _storable(name: str, text: str) -> str:
    if fault := find_unstorable(text):
        raise _RecordFault("bad_encoding", f"{name}: {fault}")
    return text

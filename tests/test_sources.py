"""Sources: every record becomes one question or one counted reject, whatever the bytes look like."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from curation.errors import SourceError
from curation.schema import QUESTION, REJECTED, Question, SourceReject
from curation.sources import ReleaseConfig, SourceConfig, VideoR1Config, open_source, source_fingerprint
from curation.sources.literals import is_null, parse_literal
from curation.sources.records import REQUIRED, find_license, question_from_record
from curation.sources.release import iter_records as iter_release
from tests.hub import LoopbackHub, client_environment


def record(number: int = 1, **changes: Any) -> dict[str, Any]:
    fields = {
        "problem_id": number,
        "problem": f"Which colour has shape {number}?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. red", "B. blue"],
        "solution": "<answer>A</answer>",
        "path": f"./CLEVRER/video_{number}.mp4",
        "data_source": "CLEVRER",
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def check(raw: object) -> Question | SourceReject:
    return question_from_record(raw, file="f.json", record_number=7, licenses={})


def read(*paths: Path, **settings: Any) -> list[Question | SourceReject]:
    return list(open_source(VideoR1Config(kind="videor1", paths=paths, media_root=Path("media"), **settings)))


def read_release(*paths: Path) -> list[Question | SourceReject]:
    return list(open_source(ReleaseConfig(kind="release", paths=paths, media_root=Path("media"))))


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def reasons(stream: list[Question | SourceReject]) -> list[tuple[int, str]]:
    return [(reject.record, reject.reason) for reject in stream if isinstance(reject, SourceReject)]


def num_questions(stream: list[Question | SourceReject]) -> int:
    return sum(isinstance(entry, Question) for entry in stream)


def test_question_keeps_upstream_spelling_of_every_field() -> None:
    question = check(record(3, extra="ignored"))
    assert isinstance(question, Question)
    assert question.solution == "<answer>A</answer>"
    assert question.path == "./CLEVRER/video_3.mp4"
    assert (question.options, question.problem_id, question.license) == (("A. red", "B. blue"), 3, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ([1], "not_an_object"),
        (None, "not_an_object"),
        ("text", "not_an_object"),
        (record(problem=...), "missing_field"),
        (record(path=None), "missing_field"),
        (record(path=""), "bad_field"),
        (record(path=5), "bad_field"),
        (record(problem="  "), "bad_field"),
        (record(data_source=5), "bad_field"),
        (record(problem_type="riddle"), "unknown_problem_type"),
        (record(problem_type="multiple"), "unknown_problem_type"),
        (record(solution="<answer>C</answer>"), "bad_solution"),
        (record(solution="<answer>0</answer>"), "bad_solution"),
        (record(solution="<answer>A, B</answer>"), "bad_solution"),
        (record(solution="<answer>\u200b</answer>", problem_type="OCR"), "bad_solution"),
        (record(solution="<answer>NaN</answer>", problem_type="regression"), "bad_solution"),
        (record(solution="<answer>inf</answer>", problem_type="numerical"), "bad_solution"),
        (record(solution="<answer>about ten</answer>", problem_type="numerical"), "bad_solution"),
        (record(solution="<answer>7:30</answer>", problem_type="regression"), "bad_solution"),
        (record(solution="<answer>...</answer>", problem_type="free-form"), "bad_solution"),
        (record(options=["A. x"] * 27), "bad_options"),
        (record(data_type="audio"), "unknown_data_type"),
        (record(options=None), "bad_options"),
        (record(options=...), "bad_options"),
        (record(options=[]), "bad_options"),
        (record(options="['A. x']"), "bad_options"),
        (record(options=[1, 2]), "bad_options"),
        (record(options=["A. x", ""]), "bad_options"),
        (record(options={"A": "x"}), "bad_options"),
        (record(options=False), "bad_options"),
        (record(solution="A"), "bad_solution"),
        (record(solution="<answer> </answer>"), "bad_solution"),
        (record(solution="<answer>A<answer>"), "bad_solution"),
        (record(solution="<answer>A</answer><answer>B</answer>"), "bad_solution"),
        (record(solution="x <answer>A</answer>"), "bad_solution"),
        (record(problem_id=True), "bad_problem_id"),
        (record(problem_id=1.5), "bad_problem_id"),
        (record(problem_id="x"), "bad_problem_id"),
        (record(problem_id=2**63), "bad_problem_id"),
        (record(problem_id=float("inf")), "bad_problem_id"),
        (record(options=["A. red"]), "bad_options"),
        (record(path="None"), "missing_field"),
        (record(problem=float("nan")), "missing_field"),
        (record(problem="lone \ud800"), "bad_encoding"),
        (record(path="./a\x00b.mp4"), "bad_encoding"),
        (record(options=["A. \udcff", "B"]), "bad_encoding"),
        (record(data_source="\ud800"), "bad_encoding"),
    ],
)
def test_broken_record_is_a_reject_with_its_reason_and_place(raw: object, reason: str) -> None:
    reject = check(raw)
    assert isinstance(reject, SourceReject)
    assert (reject.file, reject.record, reject.reason) == ("f.json", 7, reason)
    assert reject.detail.encode("ascii") and "\n" not in reject.detail


@pytest.mark.parametrize(
    ("problem_id", "expected"), [(None, None), (..., None), ("17", 17), (17.0, 17), ("17.0", 17), (-(2**63), -(2**63))]
)
def test_problem_id_may_be_absent_or_written_as_text(problem_id: Any, expected: int | None) -> None:
    question = check(record(problem_id=problem_id))
    assert isinstance(question, Question) and question.problem_id == expected


@pytest.mark.parametrize(
    ("written", "problem_type"),
    [
        ("open-ended", "free-form"), ("free form", "free-form"), ("Free_Form", "free-form"), ("mcq", "multiple choice"),
        ("Multiple-Choice", "multiple choice"), ("number", "numerical"), ("Numeric", "numerical"), ("ocr", "OCR"),
        (" Regression ", "regression"),
    ],
)  # fmt: skip
def test_a_known_alias_of_a_problem_type_is_read(written, problem_type) -> None:
    solution = "<answer>4</answer>" if problem_type in ("numerical", "regression") else "<answer>A</answer>"
    question = check(record(problem_type=written, solution=solution))
    assert isinstance(question, Question) and question.problem_type == problem_type


@pytest.mark.parametrize("options", [None, ..., [], ["A. x"]])
def test_open_questions_may_have_no_options(options: Any) -> None:
    assert isinstance(check(record(problem_type="free-form", options=options)), Question)


@pytest.mark.parametrize("data_source", [None, "", ...])
def test_absent_data_source_stays_null_and_is_not_guessed_from_the_path(data_source: Any) -> None:
    question = check(record(data_source=data_source))
    assert isinstance(question, Question) and question.data_source is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(record(), json_values)) | json_values)
def test_any_json_value_gives_a_storable_question_or_a_reject(raw: object) -> None:
    outcome = check(raw | record() if isinstance(raw, dict) and len(raw) < 3 else raw)
    if isinstance(outcome, Question):
        pa.Table.from_pylist([outcome.as_row()], schema=QUESTION)
    else:
        assert outcome.reason and outcome.detail


@given(st.sampled_from(sorted(record())), json_values)
def test_any_value_in_any_field_gives_a_storable_question_or_a_reject(name: str, value: object) -> None:
    outcome = check(record() | {name: value})
    if isinstance(outcome, Question):
        pa.Table.from_pylist([outcome.as_row()], schema=QUESTION)


def test_license_comes_from_the_source_or_the_longest_folder_else_null() -> None:
    licenses = {"CLEVRER": "cc0-1.0", "Chart": "apache-2.0", "Chart/FigureQA": "mit"}
    assert find_license("CLEVRER", "./other/x.mp4", licenses) == "cc0-1.0"
    assert find_license(None, "./Chart/FigureQA/deep/x.png", licenses) == "mit"
    assert find_license("unknown", "Chart/x.png", licenses) == "apache-2.0"
    assert find_license(None, "./Charts/x.png", licenses) is None
    assert find_license(None, "Chart", licenses) is None


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_every_format_gives_the_same_questions(tmp_path: Path, suffix: str) -> None:
    records = [record(n, problem=f"Wie groß ist \U0001f600 {n}?\u2028") for n in range(1, 31)]
    path = tmp_path / f"q{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=7)
    elif "jsonl" in suffix:
        write(path, "\n".join(json.dumps(r, ensure_ascii=False) for r in records))
    else:
        write(path, json.dumps(records, indent=1))
    assert [entry.problem_id for entry in read(path)] == list(range(1, 31))  # type: ignore[union-attr]
    assert [entry.problem for entry in read(path)] == [r["problem"] for r in records]  # type: ignore[union-attr]


def test_bad_lines_cost_only_themselves_and_are_named_by_line(tmp_path: Path) -> None:
    lines = [
        json.dumps(record(1)),
        "{broken",
        "",
        json.dumps(record(2)),
        "[1]",
        "[" * 100_000,
        json.dumps(record(3))[:-5],
    ]
    stream = read(write(tmp_path / "q.jsonl", "\r\n".join(lines)))
    assert num_questions(stream) == 2
    assert reasons(stream) == [(2, "bad_json"), (5, "not_an_object"), (6, "bad_json"), (7, "bad_json")]


def test_lone_surrogate_and_bad_byte_cost_one_record_each_and_are_never_replaced(tmp_path: Path) -> None:
    text = json.dumps([record(1), record(2, problem="lone \ud800 x"), record(3, problem="byte @"), record(4)])
    stream = read(write(tmp_path / "q.json", text.encode().replace(b"@", b"\xff")))
    assert num_questions(stream) == 2
    assert reasons(stream) == [(2, "bad_encoding"), (3, "bad_encoding")]


@pytest.mark.parametrize("cut", [1, 2, 20, 200])
def test_torn_list_is_an_error_because_nothing_could_count_the_loss(tmp_path: Path, cut: int) -> None:
    text = json.dumps([record(n) for n in range(1, 4)])
    stream = open_source(
        VideoR1Config(kind="videor1", paths=(write(tmp_path / "q.json", text[:-cut]),), media_root=tmp_path)
    )
    assert isinstance(next(stream), Question)
    with pytest.raises(SourceError, match=r"q\.json breaks off at record \d") as raised:
        list(stream)
    assert "\n" not in str(raised.value)


def test_torn_gzip_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps([record(n) for n in range(1, 400)]).encode())
    (tmp_path / "q.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="breaks off"):
        read(tmp_path / "q.json.gz")
    (tmp_path / "q.json.gz").write_bytes(whole[:40] + b"\xff" * 40 + whole[80:])
    with pytest.raises(SourceError, match=r"cannot read|breaks off"):
        read(tmp_path / "q.json.gz")


def test_torn_parquet_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    pq.write_table(pa.Table.from_pylist([record()]), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="cannot read"):
        read(path)


def test_parquet_row_with_text_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    rows = [record(n) for n in range(1, 4)]
    table = pa.Table.from_pylist(rows)
    raw = pa.array([b"fine 1", b"bad \xff", b"fine 3"], pa.binary()).view(pa.string())
    path = tmp_path / "q.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index("problem"), "problem", raw), path)
    stream = read(path)
    assert (num_questions(stream), reasons(stream)) == (2, [(2, "bad_encoding")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.json", "", "is empty"),
        ("q.json", " \n", "is empty"),
        ("q.json", "17", "is no JSON"),
        ("q.json", '{\n "problem": 1\n}', "neither a JSON list nor JSON lines"),
        ("q.json", "[1, 2] trailing", "expected a JSON list"),
        ("q.json", "[1 2]", "breaks off at record 1"),
        ("q.json", "[", "breaks off at record 1"),
        ("q.csv", "a,b", "must end in one of"),
    ],
)
def test_file_that_is_no_source_is_one_line_with_the_remedy(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        read(write(tmp_path / name, content))
    assert "\n" not in str(raised.value)


def test_missing_file_and_folder_are_one_line(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.json", "No such file"), (tmp_path, "must end in")):
        with pytest.raises(SourceError, match=message):
            read(path)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(SourceError, match="Is a directory"):
        read(tmp_path / "folder.json")
    with pytest.raises(SourceError, match=r"none\.json"):
        source_fingerprint(VideoR1Config(kind="videor1", paths=(tmp_path / "none.json",), media_root=tmp_path))


def test_byte_order_mark_and_empty_list_are_fine(tmp_path: Path) -> None:
    assert num_questions(read(write(tmp_path / "q.json", b"\xef\xbb\xbf" + json.dumps([record()]).encode()))) == 1
    assert num_questions(read(write(tmp_path / "q.jsonl", b"\xef\xbb\xbf" + json.dumps(record()).encode()))) == 1
    assert read(write(tmp_path / "e.json", " [ ] \n")) == []
    assert read(write(tmp_path / "e.jsonl", "")) == []


def test_json_lines_under_a_json_name_are_read_as_lines(tmp_path: Path) -> None:
    stream = read(write(tmp_path / "q.json", "\n".join([json.dumps(record(1)), "oops", json.dumps(record(2))])))
    assert (num_questions(stream), reasons(stream)) == (2, [(2, "bad_json")])


def test_second_of_equal_questions_is_a_counted_reject_across_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", json.dumps([record(1), record(2), record(1, problem_id=9)]))
    second = write(tmp_path / "b.json", json.dumps([record(2, path="CLEVRER/video_2.mp4")]))
    stream = read(first, second)
    assert [(r.file, r.record, r.reason, r.detail) for r in stream if isinstance(r, SourceReject)] == [
        ("a.json", 3, "duplicate", "same question as record 1 of a.json"),
        ("b.json", 1, "duplicate", "same question as record 2 of a.json"),
    ]


def test_files_of_one_name_are_told_apart_without_absolute_paths(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "q.json", "[1]")
    stream = read(tmp_path / "x/q.json", tmp_path / "y/q.json")
    assert [entry.file for entry in stream] == ["x/q.json", "y/q.json"]  # type: ignore[union-attr]


def test_limit_counts_records_rejects_among_them(tmp_path: Path) -> None:
    path = write(tmp_path / "q.json", json.dumps([record(1), 5, record(2), record(3)]))
    assert len(read(path, limit=3)) == 3
    assert num_questions(read(path, limit=3)) == 2


def test_long_list_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    with path.open("w") as stream:
        stream.write("[")
        stream.writelines(json.dumps(5 if n % 10 else record(n, problem="x" * 3000)) + "," for n in range(40_000))
        stream.write("5]")
    assert path.stat().st_size > 12e6
    tracemalloc.start()
    count = Counter(
        type(entry).__name__
        for entry in open_source(
            TypeAdapter(SourceConfig).validate_python(
                {"kind": "videor1", "paths": str(path), "media_root": str(tmp_path)}
            )
        )
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == {"Question": 4000, "SourceReject": 36_001}
    assert peak < 8e6


@pytest.mark.parametrize("number", ["1000000000000000.0", "-1.5e+300", "2E-7", "0.25"])
def test_number_that_is_cut_anywhere_between_two_parts_is_read_whole(tmp_path, number):
    text = f"[{number}, {number}]"
    for cut in range(1, len(text)):
        paths = [tmp_path / "p0", tmp_path / "p1"]
        for path, piece in zip(paths, (text[:cut], text[cut:]), strict=True):
            path.write_text(piece)
        assert [entry.value for entry in iter_release(paths)] == json.loads(text)


@given(st.lists(json_values, max_size=8), st.integers(1, 400))
def test_list_reader_equals_json_loads_at_any_cut_into_parts(values: list[Any], cut: int) -> None:
    import tempfile

    raw = json.dumps(values).encode()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "p1", Path(folder) / "p2"]
        paths[0].write_bytes(raw[:cut])
        paths[1].write_bytes(raw[cut:])
        found = [entry.value for entry in iter_release(paths) if not isinstance(entry, SourceReject)]
    expected = [
        value | {name: parse_literal(value[name]) for name in ("options",) if name in value}
        if isinstance(value, dict) else value for value in json.loads(raw)
    ]  # fmt: skip
    assert repr(found) == repr(expected)


def rl_record(number: int) -> dict[str, str]:
    return {name: str(value) for name, value in (record(number) | {"reward": 0.5, "select": True}).items()}


def test_rl_file_where_every_value_is_a_string(tmp_path: Path) -> None:
    records = [
        rl_record(1),
        rl_record(2) | {"options": '["A. it\'s", "B. no"]'},
        rl_record(3) | {"options": "[]", "problem_type": "numerical", "solution": "<answer>3</answer>"},
        rl_record(4) | {"options": "None", "problem_type": "OCR", "problem_id": "None"},
        rl_record(5) | {"options": "__import__('os').system('true')"},
        rl_record(6) | {"options": "[" * 5000},
        rl_record(7) | {"problem": "[1, 2]"},
    ]
    stream = read_release(write(tmp_path / "p.json.gz", json.dumps(records)))
    questions = [entry for entry in stream if isinstance(entry, Question)]
    assert [question.problem_id for question in questions] == [1, 2, 3, None, 7]
    assert [question.options for question in questions][:3] == [("A. red", "B. blue"), ("A. it's", "B. no"), ()]
    assert questions[4].problem == "[1, 2]"
    assert reasons(stream) == [(5, "bad_options"), (6, "bad_options")]


@pytest.mark.parametrize(
    ("text", "value"),
    [("True", True), ("true", True), ("0.5", 0.5), ("['a']", ["a"]), ("", None), ("null", None), ("a b", "a b")],
)
def test_literals_are_restored_and_other_text_is_left_alone(text: str, value: object) -> None:
    assert parse_literal(text) == value


NULLS = (
    None,
    float("nan"),
    "",
    " ",
    "None",
    "none",
    "nan",
    "NaN",
    "null",
    "NULL",
    "<NA>",
    "NaT",
    "-nan",
    "N/A",
    " None ",
)
OPTIONAL = ("data_source", "problem_id", "options")


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("null", NULLS)
def test_every_spelling_of_null_is_null_in_every_optional_field_of_every_source(name: str, null: object) -> None:
    assert is_null(null) and parse_literal(null) is None
    question = check(record(problem_type="OCR", **{name: null}))
    assert isinstance(question, Question)
    assert getattr(question, name) in (None, ())


@pytest.mark.parametrize("text", ["none of them", "0", "False", "[]", "NaN-bread", "nano", "unknown", "Nullarbor"])
def test_text_that_only_looks_like_a_null_stays(text: str) -> None:
    assert not is_null(text)
    question = check(record(problem_type="OCR", data_source=text))
    assert isinstance(question, Question) and question.data_source == text


texts = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
    | st.sampled_from(["it's", 'say "hi"', "'\"", "a, b", "]x[", "\\frac", "line\nbreak", "...", "None", "# no"]),
    min_size=2,
    max_size=6,
)


@given(texts, st.integers(20, 200))
def test_any_options_in_any_spelling_of_a_list_come_back_as_they_were(options: list[str], width: int) -> None:
    with np.printoptions(linewidth=width):
        spellings = [
            json.dumps(options),
            json.dumps(options, ensure_ascii=False, indent=1),
            str(options),
            str(tuple(options)),
            str([np.str_(option) for option in options]),
            *(
                written
                for array in (np.array(options, dtype=object), np.array([option.rstrip("\0") for option in options]))
                for written in (str(array), repr(array), f"np.{array!r}")
            ),
        ]
    for spelling in spellings:
        restored = parse_literal(spelling)
        assert isinstance(restored, list | tuple), spelling
        assert list(restored) == options


@pytest.mark.parametrize(
    "text",
    ["['A. it''s' 'B. x']", "'A' 'B'", "['A' 'B' ... 'Z']", "['A. x' 'B. y", "['A. x' exit() 'B. y']", "['A' + 'B']"],
)
def test_list_that_cannot_be_read_for_certain_is_never_guessed(text: str) -> None:
    found = check(record(options=parse_literal(text)))
    assert isinstance(found, SourceReject) and found.reason == "bad_options"


@pytest.mark.parametrize(
    "text", ["\\'" * 49_000, "[" + "'a' [" * 15_000, "(" * 99_000, "['" + "a" * 99_000, "['a' " * 19_000]
)
def test_text_made_to_cost_time_is_left_alone_at_once(text: str) -> None:
    started = time.monotonic()
    assert parse_literal(text) == text
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"solution": "B"}, {"solution": "<answer>A</answer>"}),
        ({"options": ["A. one"]}, {}),
        ({"problem_type": "riddle"}, {"problem_type": None}),
        ({"data_type": "audio"}, {"data_type": None}),
        ({"problem": "x\0"}, {"problem": None}),
        ({"path": None}, {"path": None}),
        ({"problem_id": 1.5}, {"problem_id": None}),
        ({"data_source": 5}, {"data_source": None}),
    ],
)
def test_reject_keeps_every_column_that_could_be_read(changes: dict[str, Any], lost: dict[str, Any]) -> None:
    raw = record(3, **changes)
    reject = question_from_record(raw, file="f.json", record_number=7, licenses={"CLEVRER": "cc0-1.0"})
    assert isinstance(reject, SourceReject)
    row = reject.as_row("0123")
    expected = {name: raw.get(name) for name in (*REQUIRED, *OPTIONAL)} | {"license": "cc0-1.0"}
    for name, value in expected.items():
        assert row.get(name) == (value if name not in lost else changes.get(name) if name == "solution" else None)
    pa.Table.from_pylist([row], schema=REJECTED)


def test_release_parts_that_are_lists_of_their_own(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"r.part{n}of2.json.gz", json.dumps([record(2 * n), 5, record(2 * n + 1)])) for n in (1, 2)
    ]
    stream = read_release(*parts)
    assert [(r.file, r.record) for r in stream if isinstance(r, SourceReject)] == [
        ("r.part1of2.json.gz", 2),
        ("r.part2of2.json.gz", 2),
    ]
    assert num_questions(stream) == 4


def test_release_parts_of_json_lines_need_no_newline_at_their_end(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"r{n}.gz", "\n".join([json.dumps(record(2 * n)), "bad", json.dumps(record(2 * n + 1))]))
        for n in (1, 2)
    ]
    stream = read_release(*parts)
    assert [(r.file, r.record) for r in stream if isinstance(r, SourceReject)] == [("r1.gz", 2), ("r2.gz", 2)]
    assert num_questions(stream) == 4


@pytest.mark.parametrize("as_lines", [False, True])
def test_release_parts_that_are_slices_of_one_gzip_stream(tmp_path: Path, as_lines: bool) -> None:
    records = [record(n) for n in range(1, 60)]
    text = "\n".join(map(json.dumps, records)) if as_lines else json.dumps(records)
    whole = gzip.compress(text.encode())
    third = len(whole) // 3
    parts = [tmp_path / f"r.gz.{n}" for n in range(3)]
    for n, part in enumerate(parts):
        part.write_bytes(whole[n * third : (n + 1) * third if n < 2 else None])
    assert num_questions(read_release(*parts)) == 59
    with pytest.raises(SourceError, match="breaks off"):
        read_release(*parts[:2])


def test_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    def fingerprint(folder: str, content: str, **settings: Any) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        path = write(tmp_path / folder / "q.json", content)
        return source_fingerprint(
            VideoR1Config(kind="videor1", paths=(path,), media_root=tmp_path / folder, **settings)
        )

    base = fingerprint("a", "[1]")
    assert fingerprint("b", "[1]") == base
    assert len({base, fingerprint("a", "[2]"), fingerprint("a", "[1]", limit=1)}) == 3
    assert fingerprint("a", "[1]", licenses={"x": "mit"}) != base


def test_config_takes_one_path_and_refuses_unknown_keys() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(SourceConfig)
    config = adapter.validate_python({"kind": "videor1", "paths": "q.json", "media_root": "m"})
    assert config.paths == (Path("q.json"),)
    shapes = adapter.validate_python({"kind": "shapes", "root": "world"})
    assert shapes.media_root == Path("world")
    for wrong in ({"kind": "videor1", "paths": [], "media_root": "m"}, {"kind": "shapes", "root": "w", "x": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


HUB_PROGRAM = """
import json, sys
from pathlib import Path
from curation.errors import SourceError
from curation.schema import Question
from curation.sources import HubConfig, open_source, source_fingerprint
config = HubConfig(kind="hub", media_root=Path("m"), **json.loads(sys.argv[1]))
try:
    stream = list(open_source(config))
    rejects = [[r.file, r.record, r.reason] for r in stream if not isinstance(r, Question)]
    print(json.dumps([sum(isinstance(q, Question) for q in stream), rejects, source_fingerprint(config)]))
except SourceError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Read from a loopback hub in a fresh process, because the client fixes its endpoint when it is imported."""
    first, later = tmp_path / "first.parquet", tmp_path / "later.parquet"
    rows = [record(n, extra=1) for n in range(1, 6)] + [record(6, problem_type="riddle"), record(1)]
    pq.write_table(pa.Table.from_pylist(rows), first)
    pq.write_table(pa.Table.from_pylist(rows[:2]), later)
    with LoopbackHub(tmp_path / "hub") as running:
        running.tag("org/q", "v1", running.commit("org/q", {"data/train-00000.parquet": first}))
        running.commit("org/q", {"data/train-00000.parquet": later})

        def read_hub(**settings: Any) -> Any:
            environment = client_environment(running.url, tmp_path / "hf", None)
            command = [sys.executable, "-c", HUB_PROGRAM, json.dumps(settings)]
            reply = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
            return json.loads(reply.stdout)

        yield read_hub


def test_hub_dataset_is_streamed_at_the_commit_of_its_revision(hub: Callable[..., Any]) -> None:
    num, rejects, fingerprint = hub(repo="org/q", revision="v1")
    assert num == 5
    assert rejects == [["org/q@v1/train", 6, "unknown_problem_type"], ["org/q@v1/train", 7, "duplicate"]]
    assert re.fullmatch("[0-9a-f]{16}", fingerprint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repo": "org/none"}, "cannot find org/none@main"),
        ({"repo": "org/q", "revision": "v9"}, "cannot find org/q@v9"),
        ({"repo": "org/q", "split": "nope"}, "cannot read org/q@main/nope"),
        ({"repo": "not a name"}, "cannot find not a name@main"),
    ],
)
def test_hub_that_has_no_such_questions_is_one_line(
    hub: Callable[..., Any], settings: dict[str, str], message: str
) -> None:
    reply = hub(**settings)
    assert isinstance(reply, str) and message in reply and "\n" not in reply

import argparse
import io
import json
import math
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from curation.commands.diff import add_parser
from curation.diff import ConfigDiff, DatasetDiff, RowCounts, diff_folders
from curation.diff_view import print_diff
from curation.errors import ConfigError, RunDirectoryError
from curation.schema import CONFIG_FILES
from tests.folders import kept_row, rejected_row, write_folder


def diff(old: Path, new: Path) -> DatasetDiff:
    return diff_folders(old, new, old_name="v1.0.0", new_name="v1.1.0")


def part(found: DatasetDiff, config: str) -> ConfigDiff:
    return next(part for part in found.configs if part.config == config)


def counts(part: ConfigDiff) -> tuple[int, int, int, int]:
    return part.rows.added, part.rows.removed, part.rows.changed, part.rows.same


def reasons(part: ConfigDiff, kind: str) -> dict[str, int]:
    return {reason.reason: reason.num_rows for reason in part.reasons if reason.kind == kind}


def columns(part: ConfigDiff) -> dict[str, int]:
    return {column.column: column.num_rows for column in part.changed_columns}


def compare_rows(tmp_path: Path, old: list, new: list, *, rejected: tuple[list, list] = ([], [])) -> DatasetDiff:
    return diff(write_folder(tmp_path / "a", old, rejected[0]), write_folder(tmp_path / "b", new, rejected[1]))


def rewrite(folder: Path, config: str, change) -> None:
    """Replace the first file of a config by `change(table)`."""
    path = sorted(folder.glob(f"{CONFIG_FILES[config]}-*"))[0]
    pq.write_table(change(pq.read_table(path)), path)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


# What is no change


ROWS = st.lists(
    st.builds(
        lambda number, kept, variant: (number, kept, variant),
        st.integers(0, 12),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=10,
    unique_by=lambda row: row[0],
)


def build(folder: Path, rows: list[tuple[int, bool, int]], *, num_files: int = 1) -> Path:
    kinds = ("multiple choice", "numerical", "OCR")
    changes = [{}, {"think": "other"}, {"generator": "org/other", "think": "x"}, {"overlaps": ["MVBench"]}]
    kept = [kept_row(n, problem_type=kinds[n % 3], **changes[v]) for n, is_kept, v in rows if is_kept]
    rejected = [
        rejected_row(n, ["filter:score", "media:missing", "verify:insufficient", "source:duplicate"][v])
        for n, is_kept, v in rows
        if not is_kept
    ]
    return write_folder(folder, kept, rejected, num_files=num_files)


@settings(max_examples=25)
@given(rows=ROWS, num_files=st.integers(1, 4), shuffled=st.randoms())
def test_equal_folders_differ_in_nothing_however_they_are_cut_and_ordered(rows, num_files, shuffled):
    others = shuffled.sample(rows, len(rows))
    with tempfile.TemporaryDirectory() as folder:
        found = diff(build(Path(folder) / "a", rows), build(Path(folder) / "b", others, num_files=num_files))
    assert found.change == "nothing"
    assert all(part.reasons == () and part.changed_columns == () for part in found.configs)
    assert sum(part.rows.same for part in found.configs if part.config != "rl") == len(rows)


@settings(max_examples=40)
@given(old=ROWS, new=ROWS)
def test_swapping_the_sides_swaps_added_and_removed_and_all_counts_add_up(old, new):
    with tempfile.TemporaryDirectory() as folder:
        a, b = build(Path(folder) / "a", old), build(Path(folder) / "b", new)
        forth, back = diff(a, b), diff(b, a)
    assert DatasetDiff.model_validate_json(forth.model_dump_json()) == forth
    for one, other in zip(forth.configs, back.configs, strict=True):
        assert counts(one) == tuple(counts(other)[place] for place in (1, 0, 2, 3))
        assert columns(one) == columns(other)
        # The constructor checks the sums; here the ids themselves are counted.
        is_kept = one.config == "cot"
        if one.config != "rl":
            was = {row[0]: row for row in old if row[1] == is_kept}
            now = {row[0]: row for row in new if row[1] == is_kept}
            assert one.rows.added == len(now.keys() - was.keys())
            assert one.rows.removed == len(was.keys() - now.keys())
            assert one.rows.changed == sum(was[number] != now[number] for number in was.keys() & now.keys())
        assert sum(reason.num_rows for reason in one.reasons) == one.num_touched


def test_types_that_differ_in_width_or_encoding_only_are_no_change(tmp_path):
    rows = [kept_row(number, score=0.1, flags=["leaks_answer"]) for number in range(3)]
    a, b = (write_folder(tmp_path / name, rows) for name in "ab")

    def widen(table: pa.Table) -> pa.Table:
        types = {
            "problem": pa.large_string(),
            "flags": pa.large_list(pa.large_string()),
            "attempt": pa.int32(),
            "score": pa.float32(),
            "generator": pa.dictionary(pa.int32(), pa.string()),
            "judge": pa.dictionary(pa.int8(), pa.string()),
        }
        for name, dtype in types.items():
            column = table[name].combine_chunks()
            encoded = column.dictionary_encode() if pa.types.is_dictionary(dtype) else column
            table = with_column(table, name, encoded.cast(dtype))
        return table.select(sorted(table.column_names))  # another order of the columns, too

    rewrite(b, "cot", widen)
    assert diff(a, b).change == diff(b, a).change == "nothing"


def test_all_null_columns_without_a_type_are_not_retyped(tmp_path):
    rows = [kept_row(number, judge=None, flags=[], overlaps=None) for number in range(3)]
    a, b = (write_folder(tmp_path / name, rows, num_files=2) for name in "ab")

    def lose_types(table: pa.Table) -> pa.Table:
        table = with_column(table, "judge", pa.nulls(table.num_rows))
        table = with_column(table, "overlaps", pa.nulls(table.num_rows))
        return with_column(table, "flags", pa.array([[]] * table.num_rows, pa.list_(pa.null())))

    rewrite(b, "cot", lose_types)
    assert diff(a, b).change == diff(b, a).change == "nothing"


def test_nan_equals_nan_and_minus_zero_equals_zero(tmp_path):
    old = [kept_row(0, media_duration_s=math.nan), kept_row(1, media_duration_s=0.0)]
    new = [kept_row(0, media_duration_s=-math.nan), kept_row(1, media_duration_s=-0.0)]
    assert compare_rows(tmp_path, old, new).change == "nothing"


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("observation", None, ""),
        ("score", None, 0.0),
        ("score", math.nan, None),
        ("observation_tokens", None, 0),
        ("flags", None, []),
        ("flags", [], [None]),
        ("flags", [None], [""]),
        ("flags", ["ab", "c"], ["a", "bc"]),
        ("flags", ["a", "b"], ["b", "a"]),
        ("judge", None, ""),
        ("think", "a", "a "),
        ("think", "\u00e9", "e\u0301"),
    ],
)
def test_null_is_not_zero_and_no_other_value_passes_for_another(tmp_path, column, one, other):
    found = part(compare_rows(tmp_path, [kept_row(0, **{column: one})], [kept_row(0, **{column: other})]), "cot")
    assert counts(found) == (0, 0, 1, 0)
    assert columns(found) == {column: 1}


# Schema


def test_real_type_change_is_a_schema_change_and_its_values_are_not_compared(tmp_path):
    a, b = (write_folder(tmp_path / name, [kept_row(0), kept_row(1)]) for name in "ab")
    rewrite(b, "cot", lambda table: with_column(table, "attempt", table["attempt"].cast(pa.string())))
    found = part(diff(a, b), "cot")
    assert [(column.column, column.old, column.new) for column in found.columns_retyped] == [
        ("attempt", "Int64", "String")
    ]
    assert (found.change, counts(found)) == ("schema", (0, 0, 0, 2))


@pytest.mark.parametrize("dtype", [pa.float64(), pa.uint64(), pa.bool_()])
def test_other_kinds_of_number_are_another_type(tmp_path, dtype):
    a, b = (write_folder(tmp_path / name, [kept_row(0)]) for name in "ab")
    rewrite(b, "cot", lambda table: with_column(table, "attempt", table["attempt"].cast(dtype)))
    assert diff(a, b).change == "schema"


def test_added_and_removed_columns_are_a_schema_change_and_their_rows_are_the_same(tmp_path):
    a, b = (write_folder(tmp_path / name, [kept_row(0)]) for name in "ab")
    rewrite(b, "cot", lambda table: table.drop_columns(["flags"]).append_column("quality", pa.array([1.0])))
    found = diff(a, b)
    cot = part(found, "cot")
    assert (cot.columns_added, cot.columns_removed) == (("quality",), ("flags",))
    assert (found.change, counts(cot)) == ("schema", (0, 0, 0, 1))


def test_config_on_one_side_only_is_a_schema_change_with_all_its_rows(tmp_path):
    a, b = (write_folder(tmp_path / name, [kept_row(0), kept_row(1)]) for name in "ab")
    shutil.rmtree(a / "rl")
    shutil.rmtree(b / "rejected")
    found = diff(a, b)
    rl = part(found, "rl")
    assert (rl.num_old, rl.num_new, counts(rl)) == (None, 2, (2, 0, 0, 0))
    assert reasons(rl, "added") == {"config is new": 2}
    rejected = part(found, "rejected")
    assert (rejected.num_old, rejected.num_new, rejected.change) == (0, None, "schema")
    assert (part(found, "cot").change, found.change) == ("nothing", "schema")


def test_config_that_neither_side_has_is_not_mentioned(tmp_path):
    a, b = (write_folder(tmp_path / name, [kept_row(0)]) for name in "ab")
    for folder in (a, b):
        shutil.rmtree(folder / "rl")
    found = diff(a, b)
    assert [part.config for part in found.configs] == ["cot", "rejected"]
    assert found.change == "nothing"


def test_another_schema_version_is_a_schema_change_and_an_unknown_one_is_not(tmp_path):
    a, b = (write_folder(tmp_path / name, [kept_row(0)]) for name in "ab")
    (b / "stats").mkdir()
    (b / "stats" / "report.json").write_text('{"schema_version": 2}')
    found = diff(a, b)
    assert (found.old_schema_version, found.new_schema_version, found.change) == (None, 2, "nothing")
    (a / "stats").mkdir()
    (a / "stats" / "report.json").write_text('{"schema_version": 1}')
    assert diff(a, b).change == "schema"
    (a / "stats" / "report.json").write_text('{"schema_version": 2}')
    assert diff(a, b).change == "nothing"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": "1"}', '{"schema_version": true}'])
def test_report_that_does_not_say_its_schema_version_is_one_line(tmp_path, text):
    a = write_folder(tmp_path / "a", [kept_row(0)])
    (a / "stats").mkdir()
    (a / "stats" / "report.json").write_text(text)
    with pytest.raises(RunDirectoryError, match="schema_version") as error:
        diff(a, a)
    assert "\n" not in str(error.value)


# Which row is which


def test_id_that_stands_more_than_once_is_matched_by_what_it_says_not_by_its_place(tmp_path):
    def duplicate(record: int, **changes):
        return rejected_row(7, "source:duplicate", detail=f"record {record}", **changes)

    score = rejected_row(7, "filter:score")
    old = [duplicate(1), score, duplicate(2), duplicate(2)]
    same = compare_rows(tmp_path / "same", [], [], rejected=(old, old[::-1]))
    assert counts(part(same, "rejected")) == (0, 0, 0, 4)
    new = [duplicate(2, license="MIT"), score | {"license": "MIT"}, duplicate(1, license="MIT")]
    found = part(compare_rows(tmp_path / "other", [], [], rejected=(old, new)), "rejected")
    assert counts(found) == (0, 1, 3, 0)
    assert columns(found) == {"license": 3}


def test_rows_without_id_match_only_when_equal(tmp_path):
    def nameless(number: int, **changes):
        return rejected_row(number, "source:no_problem", id=None, **changes)

    old = [nameless(0), nameless(0), nameless(1), nameless(2)]
    new = [nameless(2), nameless(1, license="MIT"), nameless(0)]
    found = part(compare_rows(tmp_path, [], [], rejected=(old, new)), "rejected")
    assert counts(found) == (1, 2, 0, 2)
    assert reasons(found, "added") == {"no id to follow it by": 1}
    assert all(not reason.explained for reason in found.reasons)


def test_without_an_id_column_on_both_sides_rows_are_their_content(tmp_path):
    a, b = write_folder(tmp_path / "a", [kept_row(0), kept_row(1)]), write_folder(tmp_path / "b", [kept_row(1)])
    for folder in (a, b):
        for config in CONFIG_FILES:
            rewrite(folder, config, lambda table: table.drop_columns(["id"]))
    assert counts(part(diff(a, b), "cot")) == (0, 1, 0, 1)


def test_integer_ids_identify_rows(tmp_path):
    a, b = write_folder(tmp_path / "a", [kept_row(1), kept_row(2)]), write_folder(tmp_path / "b", [kept_row(2)])
    for folder in (a, b):
        rewrite(folder, "cot", lambda table: with_column(table, "id", table["problem_id"]))
    rewrite(b, "cot", lambda table: with_column(table, "think", pa.array(["other"])))
    assert counts(part(diff(a, b), "cot")) == (0, 1, 1, 0)


# Why


def test_known_answer_by_problem_type_column_and_reason(tmp_path):
    kept = [kept_row(n, problem_type="OCR" if n < 4 else "numerical") for n in range(10)]
    rejected = [rejected_row(100, "filter:score"), rejected_row(101, "verify:insufficient")]
    new = [dict(row) for row in kept[2:]]  # 0 goes to rejected, 1 vanishes
    new[0] |= {"generator": "org/second", "think": "new"}  # 2, OCR
    new[1] |= {"observation": "silently edited"}  # 3, OCR
    new[2] |= {"judge": "judge-2", "verdict_reason": "differently put"}  # 4
    new += [kept_row(100), kept_row(200, problem_type=None)]
    found = compare_rows(
        tmp_path, kept, new, rejected=(rejected, [rejected[1], rejected_row(0, "filter:think_length")])
    )
    cot = part(found, "cot")
    assert (cot.num_old, cot.num_new, counts(cot), found.change) == (10, 10, (2, 2, 3, 5), "rows")
    assert {(row.problem_type, row.added, row.removed, row.changed, row.same) for row in cot.by_type} == {
        ("OCR", 0, 2, 2, 0),
        ("numerical", 0, 0, 1, 5),
        ("multiple choice", 1, 0, 0, 0),
        (None, 1, 0, 0, 0),
    }
    assert cot.by_type[-1].problem_type is None
    assert columns(cot) == {"generator": 1, "think": 1, "observation": 1, "judge": 1, "verdict_reason": 1}
    assert reasons(cot, "added") == {"rejected before: filter:score": 1, "new question": 1}
    assert reasons(cot, "removed") == {"rejected now: filter:think_length": 1, "in no config now": 1}
    assert reasons(cot, "changed") == {
        "generator org/generator -> org/second": 1,
        "judge judge-1 -> judge-2": 1,
        "not explained": 1,
    }
    assert [(column.column, column.num_rows) for column in cot.unexplained_columns] == [("observation", 1)]
    rejected_part = part(found, "rejected")
    assert reasons(rejected_part, "added") == {"accepted before": 1}
    assert reasons(rejected_part, "removed") == {"accepted now": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generator": "g2", "prompt_sha256": "00" * 32, "think": "x", "score": 0.9}, "generator org/generator -> g2"),
        ({"prompt_sha256": "00" * 32, "think": "x"}, "prompt replaced"),
        ({"media_sha256": "00" * 32, "media_num_frames": 3, "observation": "x"}, "media file replaced"),
        ({"media_sha256": None}, "no media file any more"),
        ({"attempt": 2, "observation": "x", "answer": "b", "flags": ["f"]}, "another attempt"),
        ({"judge": "j2", "verdict_reason": "x"}, "judge judge-1 -> j2"),
        ({"judge_prompt_sha256": "00" * 32, "verdict_reason": "x"}, "judge prompt replaced"),
        ({"judge": None, "verdict": None, "verdict_reason": None}, "no judge any more"),
        ({"solution": "<answer>C</answer>", "score": 0.0}, "gold answer corrected upstream"),
        ({"license": "MIT"}, "licence corrected upstream"),
        ({"problem_type": "OCR", "score": 0.5}, "question corrected upstream"),
        ({"overlaps": []}, "overlaps computed"),
        ({"overlaps": ["MVBench"], "license": "MIT"}, "licence corrected upstream"),
        # Nothing says why these changed, so that a cause that holds beside them does not hide them.
        ({"think": "x"}, "not explained"),
        ({"overlaps": [], "observation": "x"}, "not explained"),
        ({"judge": "j2", "answer": "x"}, "not explained"),
        ({"license": "MIT", "score": 0.1}, "not explained"),
        ({"generator": "g2", "media_num_frames": 3}, "not explained"),
        ({"verdict": "insufficient"}, "not explained"),
        ({"observation_tokens": 151}, "not explained"),
    ],
)
def test_first_reason_of_a_changed_row(tmp_path, changes, reason):
    found = part(compare_rows(tmp_path, [kept_row(0), kept_row(1)], [kept_row(0, **changes), kept_row(1)]), "cot")
    assert reasons(found, "changed") == {reason: 1}
    assert found.reasons[0].explained == (reason != "not explained")


def test_what_was_null_and_is_counted_or_judged_now_is_explained(tmp_path):
    old = [kept_row(0, observation_tokens=None, think_tokens=None), kept_row(1, verdict=None, verdict_reason=None)]
    found = part(compare_rows(tmp_path, old, [kept_row(0), kept_row(1)]), "cot")
    assert reasons(found, "changed") == {"tokens counted": 1, "verdict where there was none": 1}
    back = part(diff(tmp_path / "b", tmp_path / "a"), "cot")
    assert reasons(back, "changed") == {"not explained": 1, "no verdict any more": 1}


def test_rejected_row_that_another_rule_rejects_names_both_rules(tmp_path):
    old = [rejected_row(0, "filter:score"), rejected_row(1, "verify:unscored"), rejected_row(2, "filter:score")]
    new = [
        rejected_row(0, "verify:insufficient"),
        rejected_row(1, "verify:insufficient"),
        rejected_row(2, "filter:score", detail="in other words"),
    ]
    found = part(compare_rows(tmp_path, [], [], rejected=(old, new)), "rejected")
    assert reasons(found, "changed") == {
        "rejected by filter:score -> verify:insufficient": 1,
        "verdict where there was none": 1,
        "not explained": 1,
    }


def test_duplicate_of_a_row_that_left_does_not_pass_for_the_reason(tmp_path):
    duplicate = rejected_row(0, "source:duplicate")
    found = compare_rows(
        tmp_path, [kept_row(0)], [], rejected=([duplicate], [duplicate, rejected_row(0, "filter:score")])
    )
    assert reasons(part(found, "cot"), "removed") == {"rejected now: filter:score": 1}
    vanished = compare_rows(tmp_path / "again", [kept_row(0)], [], rejected=([duplicate], [duplicate]))
    assert reasons(part(vanished, "cot"), "removed") == {"not explained": 1}


def test_question_leaves_rl_for_its_media_only_not_for_a_filter(tmp_path):
    old = [kept_row(0), kept_row(1)]
    rejected = [rejected_row(0, "media:corrupt"), rejected_row(1, "filter:score")]
    rl = part(compare_rows(tmp_path, old, [], rejected=([], rejected)), "rl")
    assert reasons(rl, "removed") == {"rejected now: media:corrupt": 1, "not explained": 1}


def test_new_question_is_only_claimed_where_the_old_side_says_what_it_rejected(tmp_path):
    a, b = write_folder(tmp_path / "a", [kept_row(0)]), write_folder(tmp_path / "b", [kept_row(0), kept_row(1)])
    shutil.rmtree(a / "rejected")
    cot = part(diff(a, b), "cot")
    assert [(reason.reason, reason.explained) for reason in cot.reasons] == [("in no config before", False)]


def test_foreign_columns_are_compared_and_never_explained(tmp_path):
    a, b = (write_folder(tmp_path / name, [kept_row(0)]) for name in "ab")
    for folder, value in ((a, {"x": 1, "y": ["a"]}), (b, {"x": 2, "y": ["a"]})):
        rewrite(folder, "cot", lambda table, value=value: table.append_column("=judge", pa.array([value])))
    found = part(diff(a, b), "cot")
    assert columns(found) == {"=judge": 1}
    assert reasons(found, "changed") == {"not explained": 1}


@pytest.mark.parametrize("name", ["generator", "judge", "rejected_by", "problem_type"])
def test_provenance_of_a_foreign_type_is_compared_without_a_crash(tmp_path, name):
    a, b = (write_folder(tmp_path / folder, [], [rejected_row(0, "filter:score")]) for folder in "ab")
    for folder, value in ((a, ["p"]), (b, ["q"])):
        rewrite(folder, "rejected", lambda table, value=value: with_column(table, name, pa.array([value])))
    assert columns(part(diff(a, b), "rejected")) == {name: 1}


# Trouble


def test_folder_without_a_dataset_is_one_line(tmp_path):
    a = write_folder(tmp_path / "a", [kept_row(0)])
    (tmp_path / "b").mkdir()
    for old, new in ((a, tmp_path / "b"), (tmp_path / "b", a)):
        with pytest.raises(RunDirectoryError, match=r"holds no data/train-\*\.parquet") as error:
            diff(old, new)
        assert "\n" not in str(error.value)


def test_torn_and_damaged_files_are_one_line(tmp_path):
    a = write_folder(tmp_path / "a", [kept_row(number) for number in range(500)])
    b = write_folder(tmp_path / "b", [kept_row(number) for number in range(500)])
    path = b / "data" / "train-00000-of-00001.parquet"
    whole = path.read_bytes()
    for torn in (b"", whole[: len(whole) // 2], whole[:200] + b"\xff" * 3000 + whole[3200:]):
        path.write_bytes(torn)
        with pytest.raises(RunDirectoryError, match="cannot read the Parquet files of") as error:
            diff(a, b)
        assert "\n" not in str(error.value)


def test_files_of_one_config_that_contradict_each_other_are_one_line(tmp_path):
    a = write_folder(tmp_path / "a", [kept_row(0), kept_row(1)], num_files=2)
    rewrite(a, "cot", lambda table: table.drop_columns(["flags"]))
    with pytest.raises(RunDirectoryError, match="disagree on the column 'flags'"):
        diff(a, a)


def test_folder_names_with_wildcards_and_equals_signs_are_names(tmp_path):
    a = write_folder(tmp_path / "run[1]*" / "seed=1", [kept_row(0)])
    assert diff(a, a).change == "nothing"


def test_diff_that_does_not_add_up_cannot_be_built():
    rows = RowCounts(added=1, removed=0, changed=0, same=0)
    with pytest.raises(ValidationError, match="do not add up"):
        ConfigDiff(
            config="cot",
            num_old=0,
            num_new=1,
            rows=rows,
            by_type=(),
            changed_columns=(),
            unexplained_columns=(),
            reasons=(),
        )


# On the terminal


@pytest.fixture
def two_versions(tmp_path) -> tuple[Path, Path]:
    old = [kept_row(number) for number in range(6)]
    new = [kept_row(0, think="x", overlaps=[]), kept_row(1, generator="[bold]org/" + "long" * 20), *old[3:]]
    return write_folder(tmp_path / "a", old), write_folder(tmp_path / "b", new, [rejected_row(2, "filter:[red]")])


@pytest.mark.parametrize("width", [80, 120])
def test_table_shows_every_kind_within_the_width_and_takes_no_name_for_markup(two_versions, width):
    out = io.StringIO()
    print_diff(diff(*two_versions), Console(width=width, file=out))
    text = out.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    for shown in ("cot: 6 -> 5 rows", "rejected now: filter:[red]", "[bold]org/", "think (1 not explained)"):
        assert shown in text
    assert "Rows changed, which asks for a minor version." in text


def test_unchanged_versions_say_so_in_a_line_a_config(two_versions):
    out = io.StringIO()
    print_diff(diff(two_versions[0], two_versions[0]), Console(width=80, file=out))
    assert out.getvalue().splitlines()[2:5] == [
        "cot: 6 rows, nothing changed",
        "rejected: 0 rows, nothing changed",
        "rl: 6 rows, nothing changed",
    ]


def command(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["diff", *map(str, arguments)])
    return int(args.command(args))


def test_command_writes_json_and_prints_the_changelog_entry(two_versions, tmp_path, capsys):
    assert command(*two_versions, "--json", tmp_path / "diff.json", "--changelog", "--as", "1.1.0") == 0
    read = DatasetDiff.model_validate(json.loads((tmp_path / "diff.json").read_text()))
    assert read.configs == diff(*two_versions).configs
    assert capsys.readouterr().out.startswith("## v1.1.0\n\nMinor: rows changed since ")


def test_command_does_not_make_up_a_version(two_versions):
    with pytest.raises(ConfigError, match="Name the entry's version: --as"):
        command(*two_versions, "--changelog")
    with pytest.raises(ConfigError, match="Add --changelog"):
        command(*two_versions, "--as", "1.1.0")
    with pytest.raises(ConfigError, match="is no version"):
        command(*two_versions, "--changelog", "--as", "next")


def test_bench_folders_change_the_share_that_they_are_told(tmp_path):
    from tests.bench.folders_162k import write_realistic_folder

    for name, changed in (("a", 0.0), ("same", 0.0), ("b", 0.05)):
        write_realistic_folder(tmp_path / name, num_rows=500, seed=3, changed=changed)
    assert diff(tmp_path / "a", tmp_path / "same").change == "nothing"
    found = diff(tmp_path / "a", tmp_path / "b")
    cot, rejected, rl = found.configs
    assert (cot.num_old, rejected.num_old, rl.change) == (500, 309, "nothing")
    assert 5 <= cot.rows.changed <= 60 and cot.rows.added == cot.rows.removed == 0
    assert set(reasons(cot, "changed")) == {"generator org/generator-1 -> org/generator-2"}
    frame = pl.read_parquet(tmp_path / "a" / "data" / "*.parquet")
    assert 2_500 < frame.select(pl.sum_horizontal(pl.col(pl.String).str.len_bytes()).mean()).item() < 3_500
    assert Counter(frame["problem_type"])["multiple choice"] > 350

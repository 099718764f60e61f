"""Rows over files: what did not change stays byte for byte, what is new is appended."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.publish import layout
from curation.publish.layout import lay_out, rows_per_file
from curation.shards import write_rows

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("flags", pa.list_(pa.string()))])


@pytest.fixture
def small_files(monkeypatch):
    """The same rules at a hundredth of the size."""
    monkeypatch.setattr(layout, "ONE_FILE_ROWS", 40)
    monkeypatch.setattr(layout, "MIN_FILES", 4)
    monkeypatch.setattr(layout, "MOST_ROWS_PER_FILE", 20)


def row(name, text="t"):
    return {"id": name, "text": text, "flags": [str(name)]}


def lay(folder: Path, rows, base=(), schema=SCHEMA):
    part = folder / "part.parquet"
    write_rows(part, rows, schema)
    lay_out([part], base, folder / "data" / "train", schema)
    return sorted((folder / "data").glob("*.parquet"))


def ids(file):
    return pq.read_table(file)["id"].to_pylist()


def contents(files):
    return [path.read_bytes() for path in files]


def test_unchanged_rows_in_any_order_give_the_very_same_files(tmp_path, small_files):
    rows = [row(str(n)) for n in range(90)]
    first = lay(tmp_path / "a", rows)
    random.Random(0).shuffle(rows)
    again = lay(tmp_path / "b", rows, first)
    assert [path.name for path in again] == [path.name for path in first]
    assert contents(again) == contents(first)


def test_files_written_by_another_program_are_taken_over_when_their_rows_are_the_same(tmp_path):
    foreign = tmp_path / "train-00000-of-00001.parquet"
    table = pa.Table.from_pylist([row("a"), row("b")], schema=SCHEMA)
    pq.write_table(table, foreign, compression="snappy")
    assert contents(lay(tmp_path / "b", [row("b"), row("a")], [foreign])) == [foreign.read_bytes()]


def test_changed_row_changes_the_one_file_it_lies_in(tmp_path, small_files):
    rows = [row(str(n)) for n in range(90)]
    first = lay(tmp_path / "a", rows)
    rows[50] = row("50", "other")
    again = lay(tmp_path / "b", rows, first)
    assert [a != b for a, b in zip(contents(first), contents(again), strict=True)] == [False, False, True, False, False]
    assert [ids(path) for path in again] == [ids(path) for path in first]


def test_new_rows_are_appended_and_removed_ones_leave_the_other_files_alone(tmp_path, small_files):
    first = lay(tmp_path / "a", [row(str(n)) for n in range(90)])
    later = [row(f"new {n}") for n in range(15)] + [row(str(n)) for n in range(90) if not 20 <= n < 40]
    again = lay(tmp_path / "b", later, first)
    assert [len(ids(path)) for path in again] == [20, 20, 20, 20, 5]
    assert contents(again)[:3] == [contents(first)[n] for n in (0, 2, 3)]
    assert ids(again[3]) == [str(n) for n in range(80, 90)] + [f"new {n}" for n in range(10)]
    assert ids(again[4]) == [f"new {n}" for n in range(10, 15)]


def test_dataset_that_grows_over_the_limit_is_spread_over_enough_files(tmp_path, small_files):
    first = lay(tmp_path / "a", [row(str(n)) for n in range(38)])
    assert len(first) == 1
    again = lay(tmp_path / "b", [row(str(n)) for n in range(41)], first)
    assert len(again) == 4
    assert [name for path in again for name in ids(path)] == [str(n) for n in range(41)]


def test_new_column_rewrites_every_file_in_the_same_order(tmp_path, small_files):
    rows = [row(str(n)) for n in range(90)]
    first = lay(tmp_path / "a", rows)
    wider = SCHEMA.append(pa.field("extra", pa.int64()))
    again = lay(tmp_path / "b", [r | {"extra": 1} for r in rows], first, wider)
    assert [ids(path) for path in again] == [ids(path) for path in first]
    assert all(pq.read_schema(path).names[-1] == "extra" for path in again)


def test_config_without_rows_is_one_file_without_a_row_group(tmp_path):
    (only,) = lay(tmp_path / "a", [])
    assert pq.read_metadata(only).num_row_groups == 0
    (again,) = lay(tmp_path / "b", [], [only])
    assert again.read_bytes() == only.read_bytes()
    (filled,) = lay(tmp_path / "c", [row("a")], [only])
    assert ids(filled) == ["a"]
    (emptied,) = lay(tmp_path / "d", [], [filled])
    assert ids(emptied) == []


def test_parquet_has_zstd_page_index_and_row_groups_of_at_most_10000(tmp_path):
    (path,) = lay(tmp_path, [row(str(n)) for n in range(10_001)])
    footer = pq.read_metadata(path)
    assert [footer.row_group(n).num_rows for n in range(footer.num_row_groups)] == [10_000, 1]
    column = footer.row_group(0).column(0)
    assert column.compression == "ZSTD" and column.has_offset_index and column.has_column_index
    assert not any(key.startswith(b"videop2r") for key in footer.metadata or {})


@pytest.mark.parametrize(("num_rows", "least"), [(100_001, 8), (162_062, 8), (263_071, 8), (1_000_000, 8)])
def test_at_least_eight_files_above_100k_rows(num_rows, least):
    assert -(-num_rows // rows_per_file(num_rows)) >= least
    assert rows_per_file(100_000) == 100_000


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*"abcdefghij", None]), max_size=30),
    st.lists(st.sampled_from([*"abcdefghijkl", None]), max_size=30),
    st.integers(1, 5),
)
def test_no_row_is_lost_or_doubled_whatever_the_versions_hold(tmp_path_factory, before, after, most):
    folder = tmp_path_factory.mktemp("layout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "ONE_FILE_ROWS", 3)
        patch.setattr(layout, "MIN_FILES", 2)
        patch.setattr(layout, "MOST_ROWS_PER_FILE", most)
        first = lay(folder / "a", [row(name, str(n)) for n, name in enumerate(before)])
        second = lay(folder / "b", [row(name, str(n)) for n, name in enumerate(after)], first)
    written = [r for path in second for r in pq.read_table(path).to_pylist()]
    expected = [row(name, str(n)) for n, name in enumerate(after)]
    assert sorted(written, key=lambda r: int(r["text"])) == expected
    for name in {name for name in after if name is not None}:
        assert [r["text"] for r in written if r["id"] == name] == [r["text"] for r in expected if r["id"] == name]

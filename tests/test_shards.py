import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import shards
from curation.errors import RunDirectoryError
from curation.rundir import RunDirectory

SCHEMA = pa.schema([("n", pa.int64()), ("words", pa.list_(pa.string()))])


def rows(start: int, stop: int) -> list[dict[str, object]]:
    return [{"n": n, "words": ["a"] * (n % 3)} for n in range(start, stop)]


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(0, 40), max_size=6), num_files=st.integers(1, 9), group=st.integers(1, 50))
def test_joining_shards_keeps_every_row_in_order_whatever_the_cuts(tmp_path_factory, sizes, num_files, group):
    root = tmp_path_factory.mktemp("split")
    parts, start = [], 0
    for number, size in enumerate(sizes):
        parts.append(root / f"{number}.parquet")
        shards.write_rows(parts[-1], rows(start, start + size), SCHEMA)
        start += size
    patch = pytest.MonkeyPatch()
    patch.setattr(shards, "ROW_GROUP_ROWS", group)
    try:
        assert shards.write_split(root / "out" / "train", parts, SCHEMA, num_files=num_files) == start
    finally:
        patch.undo()
    files = sorted((root / "out").iterdir())
    assert 1 <= len(files) <= num_files
    assert all(path.name.endswith(f"-of-{len(files):05d}.parquet") for path in files)
    tables = [pq.read_table(path) for path in files]
    assert all(table.schema.equals(SCHEMA) for table in tables)
    assert pa.concat_tables(tables).to_pylist() == rows(0, start)
    for path in files:
        metadata = pq.read_metadata(path)
        assert all(metadata.row_group(g).num_rows <= group for g in range(metadata.num_row_groups))


def test_files_have_zstd_and_a_page_index(tmp_path):
    shards.write_rows(tmp_path / "a.parquet", rows(0, 100), SCHEMA)
    column = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index


def test_fingerprint_is_read_back_and_absent_files_have_none(tmp_path):
    shards.write_rows(tmp_path / "a.parquet", [], SCHEMA, fingerprint="abc")
    assert shards.read_fingerprint(tmp_path / "a.parquet") == "abc"
    assert shards.read_fingerprint(tmp_path / "b.parquet") is None


def test_folder_replacement_that_was_killed_between_its_renames_is_mended(tmp_path):
    target = tmp_path / "dataset"
    (tmp_path / "dataset.old").mkdir()
    (tmp_path / "dataset.old" / "a").write_text("1")
    shards.restore_folder(target)
    assert (target / "a").read_text() == "1"
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shards.replace_folder(fresh, target)
    assert list(target.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset"]


def test_second_run_on_one_directory_is_refused_with_one_line(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with (
        directory.lock(),
        pytest.raises(RunDirectoryError, match="in use by another run") as caught,
        directory.lock(),
    ):
        pass
    assert "\n" not in str(caught.value)
    with directory.lock():
        pass

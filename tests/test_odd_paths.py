"""A folder may bear any name: none is a pattern, a column or an option to what reads it."""

import polars as pl
import pytest

from app.shards import find_shards, open_shard
from curation.__main__ import main
from curation.agreement import read_label_file
from curation.facts import load_facts
from curation.fetch.wanted import Selection, choose_files
from tests.folders import kept_row, rejected_row, write_folder
from training.data import _load_from_folder

NAMES = ("g*", "g[ab]", "g?", "a=1", "**", "{a,b}", "~g", "$g", "${g}", "g h", "g#1", "%41")


@pytest.fixture(params=NAMES)
def folder(request, tmp_path):
    """A dataset of two rows beside neighbours that the name would match as a pattern."""
    for neighbour in ("ga", "gb", "a", "b", "x"):
        write_folder(tmp_path / neighbour / "dataset", [kept_row(number) for number in range(9)])
    rows = [kept_row(1), kept_row(2)]
    return write_folder(tmp_path / request.param / "dataset", rows, [rejected_row(3, "filter:score")])


def test_a_dataset_folder_of_any_name_is_read_alone(folder):
    assert load_facts(folder).height == 3
    assert choose_files(folder, "cot", Selection()).num_questions == 2
    assert [shard.num_rows for shard in (open_shard(path, "cot") for path in find_shards(folder, "cot"))] == [2]
    assert sorted(_load_from_folder(folder, "cot")["problem_id"]) == [1, 2]


def test_stats_counts_one_run_alone(folder, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main(["stats", str(folder.parent), "--json", str(report)]) == 0
    assert '"num_records": 3' in report.read_text() or '"num_read": 3' in report.read_text()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_label_file_of_any_name_is_read_alone(folder, suffix):
    for path in (folder.parent / f"l[ab]*{suffix}", folder.parent / f"lab{suffix}"):
        labels = pl.DataFrame({"id": ["0" * 16], "label": ["sufficient"]})
        {".csv": labels.write_csv, ".jsonl": labels.write_ndjson, ".parquet": labels.write_parquet}[suffix](path)
    assert read_label_file(folder.parent / f"l[ab]*{suffix}").height == 1

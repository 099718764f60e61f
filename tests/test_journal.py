import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import RunDirectoryError
from curation.journal import Journal, content_key, read_journal

ENTRIES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=6)


def write(path: Path, entries: list[dict[str, str]]) -> None:
    with Journal(path) as journal:
        for entry in entries:
            journal.append(entry)


@given(entries=ENTRIES, data=st.data())
def test_a_journal_cut_anywhere_keeps_exactly_its_whole_lines(tmp_path_factory, entries, data):
    path = tmp_path_factory.mktemp("journal") / "a.jsonl"
    write(path, entries)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    expected = entries[: whole[:cut].count(b"\n")]
    assert list(read_journal(path)) == expected
    write(path, [{"after": "kill"}])
    assert list(read_journal(path)) == [*expected, {"after": "kill"}]


def test_missing_journal_is_an_empty_one(tmp_path):
    assert list(read_journal(tmp_path / "none.jsonl")) == []


def test_torn_line_longer_than_one_block_is_cut_off(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, [{"text": "x" * 200_000}])
    with path.open("ab") as file:
        file.write(b'{"text":"' + b"y" * 300_000)
    with Journal(path) as journal:
        journal.append({"n": 2})
    assert [len(entry.get("text", "")) for entry in read_journal(path)] == [200_000, 0]


def test_damage_before_the_end_is_an_error_with_its_line_and_never_skipped(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\nnonsense\n{"b":2}\n')
    with pytest.raises(RunDirectoryError, match="line 2"):
        list(read_journal(path))


def test_full_disk_raises_and_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        journal.append({"n": 1})
        real_write = os.write

        def half_then_full(descriptor: int, data: bytes) -> int:
            if len(data) > 10:
                return real_write(descriptor, data[:10])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", half_then_full)
        with pytest.raises(OSError, match="No space left"):
            journal.append({"text": "long enough to be torn", "n": 2})
        monkeypatch.undo()
        journal.append({"n": 3})
    assert list(read_journal(path)) == [{"n": 1}, {"n": 3}]


def test_the_kernel_refusing_to_grow_the_file_loses_no_earlier_line(tmp_path):
    path = tmp_path / "a.jsonl"
    script = f"""
import resource, signal
from pathlib import Path
from curation.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal(Path({str(path)!r}))
number = 0
try:
    while True:
        journal.append({{"number": number, "text": "x" * 50}})
        number += 1
except OSError as error:
    print(number, error.errno)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    num_written, _ = ran.stdout.split()
    assert [entry["number"] for entry in read_journal(path)] == list(range(int(num_written)))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_keys_differ_where_parts_differ_and_only_there():
    assert content_key("a", {"x": 1, "y": 2}) == content_key("a", {"y": 2, "x": 1})
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key(None) != content_key("null") != content_key(0)

"""What a run publishes holds no path of the machine that made it, and is the same on another machine."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from curation.__main__ import main
from tests.loopback import LoopbackServer
from tests.questions import Models, record, twenty_records, write_config, write_world


def texts(folder: Path) -> dict[str, str]:
    """Every file below it as text: a Parquet file as its rows and its footer."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".parquet":
            found[name] = json.dumps(pq.read_table(path).to_pylist()) + repr(pq.read_schema(path).metadata)
        else:
            found[name] = path.read_bytes().decode("utf-8", "replace")
    return found


BROKEN = {
    "broken.avif": b"\0\0\0\x1cftypavif\0\0\0\0avif",
    "broken.png": b"\x89PNG\r\n\x1a\nnothing",
    "broken.tif": b"II*\0" + bytes(40),
    "broken.mp4": b"\0\0\0\x18ftypisom" + bytes(80),
    "broken.webm": b"\x1a\x45\xdf\xa3" + bytes(90),
    "broken.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
}


def curate(world: Path, root: Path) -> dict[str, str]:
    """A run over a copy of the world; returns what would be published."""
    shutil.copytree(world, root)
    models = Models()
    with LoopbackServer(reply=models.write_trace) as generator, LoopbackServer(reply=models.judge) as judge:
        assert main(["run", str(write_config(root, generator, judge))]) == 0
    return texts(root / "run" / "dataset")


def test_rows_card_and_reports_hold_no_path_and_are_equal_on_two_machines(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret")
    broken = [record(20 + number, name) for number, name in enumerate(BROKEN)]
    folder = write_world(tmp_path / "world", twenty_records() + broken) / "Folder"
    for name, content in BROKEN.items():
        (folder / name).write_bytes(content)
    first, second = (curate(tmp_path / "world", tmp_path / name) for name in ("Secret Machine", "other"))
    for name, text in first.items():
        assert str(tmp_path) not in text and "Secret Machine" not in text and "sk-very-secret" not in text, name
    assert first.keys() == second.keys()
    rejected = "".join(text for name, text in first.items() if name.startswith("rejected/"))
    assert rejected.count("media:corrupt") >= len(BROKEN) - 1 and "media:unsupported" in rejected
    assert {name: text for name, text in first.items() if name.endswith(".parquet")} == {
        name: text for name, text in second.items() if name.endswith(".parquet")
    }

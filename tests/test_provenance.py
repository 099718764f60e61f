import json
from pathlib import Path

import pytest

from curation.errors import RunDirectoryError
from curation.provenance import PROVENANCE_FILE, Provenance, publishable, read_provenance, write_provenance


def test_provenance_is_read_as_it_was_written(tmp_path):
    provenance = Provenance(source="videor1", tokenizer=None, config={"rate": 1e-6, "name": "\u00e9"}, note="why")
    write_provenance(tmp_path, provenance)
    assert read_provenance(tmp_path) == provenance


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"source": "x"'])
def test_missing_or_damaged_provenance_is_one_line(tmp_path, text):
    if text is not None:
        (tmp_path / "stats").mkdir()
        (tmp_path / PROVENANCE_FILE).write_text(text)
    with pytest.raises(RunDirectoryError, match="provenance") as error:
        read_provenance(tmp_path)
    assert "\n" not in str(error.value)


def test_config_is_published_without_folders_servers_or_names_of_variables():
    config = {
        "run_dir": "/home/ann/run",
        "source": {"files": ["/mnt/disk/q.json", Path("relative/x")], "media_root": Path("/mnt/media")},
        "generate": {"engine": {"base_url": "http://10.0.0.1:8000", "api_key_env": "SECRET", "model": "m"}},
        "rate": 1e-6,
        "trainer_args": {"deepspeed": "/srv/ds.json", "note": "see file:///srv/a/b.txt"},
    }
    shown = publishable(config)
    text = json.dumps(shown)
    for private in ("/home", "/mnt", "/srv", "10.0.0.1", "SECRET", "run_dir"):
        assert private not in text
    assert shown["source"]["files"] == [".../q.json", "relative/x"]
    assert shown["generate"]["engine"] == {"model": "m"}
    assert shown["rate"] == 1e-6

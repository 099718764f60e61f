"""A model goes to the hub whole, in one commit; what the hub refuses is one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import LoopbackHub, client_environment

ROOT = Path(__file__).parent.parent
PROGRAM = """
import sys
from pathlib import Path
from curation.errors import UserError
from training.push import push_model
try:
    print(push_model(Path(sys.argv[1]), sys.argv[2]))
except UserError as error:
    print(f"error: {error}")
"""


def push(hub: LoopbackHub, home: Path, folder: Path, repo: str, token: str | None = "hf_writer") -> str:
    environment = client_environment(hub.url, home, token) | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(folder), repo]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "rl" / "model"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n# a model\n")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 64)
    return folder


def test_a_model_is_one_commit_and_again_is_no_other_one(tmp_path, model):
    with LoopbackHub(tmp_path / "hub") as hub:
        commit = push(hub, tmp_path / "home", model, "org/tiny")
        assert commit == hub.head("models/org/tiny")
        pushed = {"README.md", "config.json", "model.safetensors"}
        assert pushed <= set(hub.tree("models/org/tiny"))
        assert hub.read("models/org/tiny", "main", "model.safetensors") == (model / "model.safetensors").read_bytes()
        num_commits = len(hub.commits("models/org/tiny"))
        (model / "README.md").write_text("---\nlibrary_name: transformers\n---\n# with scores\n")
        push(hub, tmp_path / "home", model, "org/tiny")
        assert len(hub.commits("models/org/tiny")) == num_commits + 1
        assert b"with scores" in hub.read("models/org/tiny", "main", "README.md")


@pytest.mark.parametrize(
    ("repo", "token", "told"),
    [
        ("no slash", "hf_writer", "org/name"),
        ("org/tiny", None, "HF_TOKEN"),
        ("org/tiny", "hf_reader", "org/tiny"),
    ],
)
def test_what_cannot_be_pushed_is_one_line(tmp_path, model, repo, token, told):
    with LoopbackHub(tmp_path / "hub") as hub:
        shown = push(hub, tmp_path / "home", model, repo, token)
        assert shown.startswith("error: ")
        assert told in shown
        assert "\n" not in shown
        assert "models/org/tiny" not in hub.repos

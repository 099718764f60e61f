"""The Space: what its card and requirements promise holds, and the folder that they describe serves a dataset."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.folders import kept_row, write_folder
from tests.test_app_server import ask

ROOT = Path(__file__).parent.parent
APP = ROOT / "app"
REQUIREMENTS = [
    Requirement(line) for line in (APP / "requirements.txt").read_text().splitlines() if not line.startswith("#")
]
# Imports what serving imports, then says which files of ours that were.
LOADED = """
import sys
import app.opened, app.server, app.viewer, curation.decoding, curation.hub
print("\\n".join(module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in ("app", "curation")))
"""


def test_the_card_asks_for_the_gradio_that_is_pinned_and_tested():
    card = yaml.safe_load((APP / "README.md").read_text().split("---")[1])
    pinned = {canonicalize_name(each.name): str(each.specifier) for each in REQUIREMENTS}
    assert (card["sdk"], f"=={card['sdk_version']}") == ("gradio", pinned["gradio"])
    assert pinned["gradio"] in (ROOT / "pyproject.toml").read_text()
    assert (APP / card["app_file"]).exists()
    assert all(re.fullmatch(r"==[\w.]+", version) for version in pinned.values())


def test_every_package_that_serving_loads_is_brought_by_the_requirements():
    brought: set[str] = set()
    waiting = list(REQUIREMENTS)
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in brought:
            continue
        brought.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        parsed = (Requirement(need) for need in needs)
        waiting += [need for need in parsed if need.marker is None or need.marker.evaluate({"extra": ""})]
    loaded = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    distributions = importlib.metadata.packages_distributions()
    used = {
        name for path in loaded.split() for module in imported(Path(path)) for name in distributions.get(module, ())
    }
    missing = {canonicalize_name(name) for name in used} - brought - {"videop2r-hub"}
    assert missing == set()


def imported(path):
    """What a module imports as soon as it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.fixture
def space(tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()
    for name in ("README.md", "requirements.txt", "app.py"):
        shutil.copy(APP / name, folder)
    for package in ("app", "curation"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def start(space, **environment):
    command = [
        sys.executable,
        "-P",
        "-c",
        "import runpy, sys; sys.path.insert(0, '.'); runpy.run_path('app.py', run_name='__main__')",
    ]
    return subprocess.Popen(
        command,
        cwd=space,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "VIDEOP2R_DATASET"} | environment,
    )


def test_the_folder_of_the_space_serves_its_dataset_read_only(space, tmp_path):
    write_folder(tmp_path / "folder", [kept_row(1)])
    process = start(space, VIDEOP2R_DATASET=str(tmp_path / "folder"), GRADIO_SERVER_PORT="0")
    try:
        line = process.stdout.readline()
        port = re.search(r"http://0\.0\.0\.0:(\d+)/", line)[1]
        address = f"http://127.0.0.1:{port}/"
        assert ask(address, "/health", headers={"host": "org-name.hf.space"})[0] == 200
        assert ask(address, "/later/labels")[0] == 404
        assert b"Label" not in ask(address, "/config")[2]
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "VIDEOP2R_DATASET is not set"), ({"VIDEOP2R_DATASET": "nowhere"}, "no directory and no hub dataset")],
)
def test_a_space_that_is_not_set_up_says_what_to_set(space, settings, said):
    process = start(space, **settings)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in out and "Traceback" not in out


def test_gradio_neither_parses_nor_writes_its_stubs_when_the_viewer_starts():
    program = (
        "import app.viewer, gradio.component_meta, os;"
        "print(gradio.component_meta.create_or_modify_pyi(int, 'x', []), os.environ['GRADIO_ANALYTICS_ENABLED'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]

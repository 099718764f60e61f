"""What the README shows is true: its tested blocks run, its links and make targets exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks_marked_tested(language: str) -> list[str]:
    return re.findall(rf"<!-- tested -->\n```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_tested_blocks_of_the_readme_run_in_order_in_an_empty_folder(tmp_path):
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    commands = [
        line[2:] for block in blocks_marked_tested("console") for line in block.splitlines() if line.startswith("$ ")
    ]
    assert commands
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[0] == "python"
        subprocess.run([sys.executable, *words[1:]], check=True, cwd=tmp_path, env=environment, capture_output=True)
    programs = blocks_marked_tested("python")
    assert programs
    for program in programs:
        subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=environment, capture_output=True)


def test_linked_files_and_named_make_targets_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def shown_by(*words):
    command = [sys.executable, "-m", "curation", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_help_has_a_pasteable_example_for_every_command():
    commands = re.findall(r"^    ([a-z-]+)(?:  |$)", shown_by("--help"), flags=re.MULTILINE)
    assert {"run", "stats", "publish", "diff", "import-release", "media", "demo"} <= set(commands)
    for command in commands:
        words = ("media", "fetch") if command == "media" else (command,)
        shown = shown_by(*words, "--help").partition("\nexample:\n")[2]
        assert f"  python -m curation {' '.join(words)} " in shown, command


def test_shipped_configs_are_valid():
    from curation.calibrate import JudgeConfig
    from curation.config import load_config
    from curation.run_config import RunConfig

    for path in sorted((ROOT / "curation" / "configs").glob("*.yaml")):
        if path.name != "prices.yaml":
            load_config(JudgeConfig if path.name.startswith("judge_") else RunConfig, path)

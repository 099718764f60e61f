"""What a stranger gets: the published tag loaded by `datasets` in a fresh process, compared with what was published.

A process of its own with an empty cache, because the clients read HF_HOME once and fall back on their cache when the
hub refuses them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from curation.errors import HubError
from curation.facts import config_files, count_rows
from curation.hub import find_token
from curation.rowhash import hash_rows, hash_tables
from curation.schema import CONFIGS

_TIMEOUT_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one config: how many, and their hash in order (rowhash.py)."""

    num_rows: int
    rows_sha256: str


def rows_of(folder: Path) -> dict[str, Rows]:
    """By config, from the files of a dataset folder."""
    files = {config: config_files(folder, config) for config in CONFIGS}
    return {config: Rows(sum(map(count_rows, paths)), hash_rows(paths)) for config, paths in files.items()}


def read_back(repo: str, tag: str, expected: Mapping[str, Rows]) -> None:
    """Load every config at the tag. Raises HubError when that fails, or when a row is missing, moved or different."""
    with tempfile.TemporaryDirectory(prefix="readback-") as home:
        command = [sys.executable, "-m", "curation.publish.readback", repo, tag]
        command += [config for config, rows in expected.items() if rows.num_rows]
        try:
            done = subprocess.run(
                command, env=_environment(home), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise HubError(f"reading {repo}@{tag} back took more than an hour.", reason="unreachable") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise HubError(f"cannot load {repo}@{tag}: {lines[-1][:300]}", reason="failing")
    loaded = {config: Rows(**rows) for config, rows in json.loads(done.stdout.splitlines()[-1]).items()}
    for config, rows in expected.items():
        if rows.num_rows and loaded[config] != rows:
            got = loaded[config]
            raise HubError(
                f"{repo}@{tag} reads back with other rows in config {config}: {got.num_rows} with the hash "
                f"{got.rows_sha256[:12]}, but {rows.num_rows} with {rows.rows_sha256[:12]} were published.",
                reason="failing",
            )


def _environment(home: str) -> dict[str, str]:
    """This process's, with an empty cache and the token that this process would use."""
    caches = ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE", "HUGGINGFACE_HUB_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in caches}
    environment |= {"HF_HOME": home, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
    token = find_token()
    return environment if token is None else environment | {"HF_TOKEN": token}


def main() -> None:
    """Print the rows of each config that `datasets` loads, as JSON: `python -m curation.publish.readback REPO TAG ...`.

    Configs without rows are not asked for: `datasets` refuses to load those.
    """
    from datasets import load_dataset

    repo, tag, *configs = sys.argv[1:]
    found = {}
    for config in configs:
        table = load_dataset(repo, config, revision=tag, split="train").data.table
        found[config] = asdict(Rows(table.num_rows, hash_tables([table])))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""What a user may name where a dataset is wanted: a run directory, a dataset folder, or org/name@revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curation.errors import HubError, RunDirectoryError
from curation.facts import find_dataset
from curation.schema import CONFIG_FILES, CONFIGS

ROLLOUTS: Final = "rollouts"  # no part of a curated dataset; what training adds to one
_FILES: Final = {**CONFIG_FILES, ROLLOUTS: "rollouts/rollouts"}
# Beside the Parquet files, what describes them.
SMALL_FILES: Final = ("README.md", "CHANGELOG.md", "stats/", "prompts/")


@dataclass(frozen=True, slots=True)
class LocatedDataset:
    """A dataset folder on this disk.

    home is where the results of checks lie, null for a dataset of the hub, which nobody may change. commit is the
    hub's. `shown` is what a person calls it.
    """

    shown: str
    folder: Path
    home: Path | None
    repo: str | None = None
    revision: str | None = None
    commit: str | None = None


def locate(name: str, configs: Sequence[str] = tuple(CONFIGS)) -> LocatedDataset:
    """Find RUN, FOLDER or org/name@revision (default: main); from the hub only `configs` are downloaded.

    configs: of CONFIGS, and ROLLOUTS, which a dataset need not have.
    Raises RunDirectoryError when it is no dataset, HubError when the hub does not give it.
    """
    if Path(name).exists():
        return locate_folder(name)
    from curation.hub import REPO_NAME

    repo, _, revision = name.partition("@")
    if not REPO_NAME.fullmatch(repo):
        raise RunDirectoryError(
            f"{name} is no directory and no hub dataset. Name a run directory, a dataset folder or org/name@tag."
        )
    return download(repo, revision or "main", configs)


def locate_folder(name: str) -> LocatedDataset:
    """Find RUN or FOLDER on this disk; asks no hub. Raises RunDirectoryError when it is no dataset."""
    folder = find_dataset(Path(name))
    return LocatedDataset(name, folder, folder.parent if _is_part_of_a_run(folder) else folder)


def download(repo: str, revision: str, configs: Sequence[str]) -> LocatedDataset:
    """The dataset at one commit, in the client's cache. Raises HubError."""
    from curation.hub import HubRepo

    source = HubRepo(repo)
    commit = source.commit_of(revision)
    wanted = (*(f"{_FILES[config]}-" for config in configs), *SMALL_FILES)
    paths = [path for path in source.files(commit) if path.startswith(wanted)]
    if not any(path.endswith(".parquet") for path in paths):
        raise HubError(
            f"{repo}@{revision} holds no {_FILES[configs[0]]}-*.parquet: it is no dataset of this project.",
            reason="no_file",
        )
    # The cache mirrors the repository, so the folder is whatever lies above any one file.
    folder = None
    for path in paths:
        local = source.download(path, commit)
        folder = local.parents[path.count("/")]
    assert folder is not None
    return LocatedDataset(f"{repo}@{revision}", folder, None, repo, revision, commit)


def _is_part_of_a_run(folder: Path) -> bool:
    return folder.name == "dataset" and (folder.parent / "config.yaml").exists()

"""The folder of one version: rows laid out, everything that describes them, and nothing that depends on the clock.

The same dataset, base and version always give the same bytes, so that a publication that was interrupted can be
recognised on the hub and completed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from curation.card import Checks
from curation.changelog import add_entry, render_entry
from curation.describe import describe, find_checks
from curation.diff import DatasetDiff, diff_folders
from curation.errors import RunDirectoryError
from curation.facts import config_files, count_rows
from curation.fragment import NOTHING, Fragment, changed_pieces, split_card
from curation.hub import RemoteFile
from curation.locate import LocatedDataset
from curation.markdown import MOST_PROSE, escape
from curation.origin import works_of
from curation.provenance import read_provenance
from curation.publication import Publication, render_citation, render_license
from curation.publish.layout import lay_out
from curation.rowhash import hash_rows
from curation.schema import CONFIG_FILES, CONFIGS
from curation.shards import replace_folder, write_text
from curation.versions import Change, Version, check_successor

# What this project puts into a repository. Other files there are somebody else's and are left alone.
FOLDERS: Final = ("data/", "rejected/", "rl/", "stats/", "plots/", "prompts/")
TEXTS: Final = ("README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")


@dataclass(frozen=True, slots=True)
class Base:
    """The version before, as the hub has it; `folder` holds its Parquet files and its changelog."""

    version: Version
    commit: str
    folder: Path
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True, slots=True)
class Release:
    """A finished folder, and what is new in it. `diff` is null for a first version."""

    folder: Path
    version: Version
    change: Change
    diff: DatasetDiff | None
    num_rows: Mapping[str, int]

    def files(self) -> dict[str, Path]:
        """Every file by its path in the repository."""
        return dict(_files(self.folder))


def build_release(
    located: LocatedDataset,
    target: Path,
    *,
    repo: str,
    version: Version,
    base: Base | None,
    laid_out_like: Path | None,
    license_name: str,
    fragment: Fragment,
) -> Release:
    """Build the folder at `target`, in place of an older one.

    Rows are laid out over files like those of `laid_out_like`. fragment: what people wrote into the card.
    Raises ConfigError when the version does not say what changed; RunDirectoryError when the dataset or one of its
    checks cannot be published as it is.
    """
    assert located.home is not None
    provenance = read_provenance(located.folder)
    checks = find_checks(located.home, located.folder)
    fresh = target.with_name(target.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    for config, stem in CONFIG_FILES.items():
        before = sorted(laid_out_like.glob(f"{stem}-*.parquet")) if laid_out_like else []
        lay_out(config_files(located.folder, config), before, fresh / stem, CONFIGS[config])
    if (located.folder / "prompts").is_dir():
        shutil.copytree(located.folder / "prompts", fresh / "prompts")
    _write_stats(fresh, checks)

    def describe_as(of: Version) -> None:
        publication = Publication(repo=repo, version=str(of), license=license_name)
        report = describe(fresh, provenance, publication=publication, checks=checks, fragment=fragment)
        works = works_of((row.data_source for row in report.attribution), provenance.origin, provenance.media_repo)
        write_text(fresh / "LICENSE", render_license(report, publication, provenance.origin))
        write_text(fresh / "CITATION.cff", render_citation(publication, provenance.origin, works, fragment.fields))

    notes: list[str] = [escape(provenance.note, most=MOST_PROSE)] if provenance.note and base is None else []
    diff: DatasetDiff | None = None
    change: Change = "schema"  # everything is new in a first version
    if base is not None:
        diff = diff_folders(base.folder, fresh, old_name=base.version.tag, new_name=version.tag)
        change = diff.change
        if change == "nothing":
            # Described as the version before: whatever differs now is a change beside the rows.
            describe_as(base.version)
            change = "nothing" if _is_same(fresh, base.files) else "card"
            notes = _describe_texts(fresh, base)
        check_successor(version, base.version, change)
    describe_as(version)
    num_rows = {config: sum(map(count_rows, config_files(fresh, config))) for config in CONFIGS}
    changelog = base.folder / "CHANGELOG.md" if base else None
    before_text = changelog.read_text(encoding="utf-8") if changelog and changelog.exists() else None
    entry = render_entry(version, diff, num_rows=num_rows, notes=notes)
    write_text(fresh / "CHANGELOG.md", add_entry(before_text, version, entry))
    replace_folder(fresh, target)
    return Release(target, version, change, diff, num_rows)


def is_ours(path: str) -> bool:
    """Whether a path of a repository is one that this project writes."""
    return path in TEXTS or path.startswith(FOLDERS)


def _write_stats(folder: Path, checks: Checks) -> None:
    """stats/: the checks, and for each Parquet file its rows and their hash, so that anyone can verify a download."""
    stats = folder / "stats"
    stats.mkdir()
    named: dict[str, BaseModel | None] = {
        "agreement": checks.agreement,
        "overlaps": checks.overlaps,
        "release_comparison": checks.comparison,
    }
    for name, check in named.items():
        if check is not None:
            write_text(stats / f"{name}.json", check.model_dump_json(indent=2) + "\n")
    files = {
        file.relative_to(folder).as_posix(): {"num_rows": count_rows(file), "rows_sha256": hash_rows([file])}
        for config in CONFIGS
        for file in config_files(folder, config)
    }
    write_text(stats / "files.json", json.dumps(files, indent=2) + "\n")


def _is_same(folder: Path, remote: Mapping[str, RemoteFile]) -> bool:
    """Whether everything but the changelog is what the hub has."""
    local = dict(_files(folder))
    expected = {path for path in remote if is_ours(path)} - {"CHANGELOG.md"}
    return set(local) == expected and all(remote[path].is_same(file) for path, file in local.items())


def _describe_texts(folder: Path, base: Base) -> list[str]:
    """What changed beside the rows, one line each, in a folder that is described as the version before."""
    local = dict(_files(folder))
    remote = {path: file for path, file in base.files.items() if is_ours(path) and path != "CHANGELOG.md"}
    notes = []
    before = base.folder / "README.md"
    if before.exists():
        pieces = changed_pieces(_split(before), _split(local.pop("README.md")))
        remote.pop("README.md", None)
        notes += [f"README.md: {escape(', '.join(pieces), most=MOST_PROSE)}"] if pieces else []
    for what, paths in (
        ("added", local.keys() - remote.keys()),
        ("removed", remote.keys() - local.keys()),
        ("changed", {path for path in local.keys() & remote.keys() if not remote[path].is_same(local[path])}),
    ):
        notes += [f"{what}: {', '.join(escape(path) for path in sorted(paths))}"] if paths else []
    return notes


def _split(card: Path) -> Fragment:
    try:
        return split_card(card.read_text(encoding="utf-8"))
    except ValueError:  # a version whose card somebody had broken
        return NOTHING


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            relative = path.relative_to(folder).as_posix()
            if not is_ours(relative):
                raise RunDirectoryError(f"{path} does not belong into a version.")
            yield relative, path

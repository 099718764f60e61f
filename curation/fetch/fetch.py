"""The job: which files, where they lie, what is there already; then the transfer, and the media manifest.

plan = plan_fetch(choice, open_source("org/media"), root, ...)     # reads the lists of archives, writes nothing
report = fetch(plan, ...)                                          # may be killed at any moment and run again
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from curation.decoding import DecoderPool
from curation.errors import ConfigError
from curation.fetch.blobs import MediaRepo
from curation.fetch.faults import Fault
from curation.fetch.holdings import Holdings, Place, look_up
from curation.fetch.mirror import COMMIT, Mirror
from curation.fetch.parts import join_parts, open_blob, parts_of
from curation.fetch.plan import FilePlan, peak_bytes, plan_file, plan_search, plan_zip
from curation.fetch.transfer import NUM_CONNECTIONS, Transfer
from curation.fetch.unpack import is_whole
from curation.fetch.wanted import ARCHIVES, LOCK, MANIFEST, MISSING, Choice, WantedFile, plain_path
from curation.fetch.zips import Limits, ZipEntry
from curation.hub import HubRepo, RemoteFile
from curation.media import MediaRecord, build_manifest
from curation.progress import show_progress
from curation.shards import write_text
from curation.video import VideoConfig


@dataclass(frozen=True, slots=True)
class MediaSource:
    """A hub repository at one commit, or a mirror of it, and its files by path, archives in parts also joined."""

    shown: str
    repo: MediaRepo
    commit: str
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What is to be done. Every wanted file is in `there`, in a plan of `files`, in `faults`, or in `open_paths`.

    open_paths: lie nowhere, or in a tar. num_unchecked: of `there`, those with nothing to check them by.
    """

    source: MediaSource
    root: Path
    choice: Choice
    files: tuple[FilePlan, ...]
    there: frozenset[str]
    num_unchecked: int
    open_paths: frozenset[str]
    faults: Mapping[str, Fault]
    holdings: Holdings

    @property
    def transfer_bytes(self) -> int:
        """From the hub, over the lists of archives that were read for this plan."""
        return sum(plan.transfer_bytes for plan in self.files)


class FetchReport(BaseModel):
    """What came of it. num_files = num_there + num_fetched + the failed ones; media that are there may be unusable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    commit: str
    media_root: str
    num_questions: int
    num_files: int
    num_there: int
    num_unchecked: int
    num_fetched: int
    fetched_bytes: int
    failed: dict[str, int]
    manifest: str
    num_usable: int
    unusable: dict[str, int]
    missing: str | None

    @property
    def num_failed(self) -> int:
        """Wanted files that are not there."""
        return sum(self.failed.values())


def open_source(name: str) -> MediaSource:
    """org/name, org/name@revision, or a folder that mirrors one. Raises HubError, ConfigError for an empty folder."""
    if (folder := Path(name)).is_dir():
        mirror = Mirror(folder)
        return MediaSource(name, mirror, COMMIT, join_parts(mirror.files()))
    repo_name, _, revision = name.partition("@")
    repo = HubRepo(repo_name)
    commit = repo.commit_of(revision or "main")
    return MediaSource(f"{repo_name}@{revision or 'main'}", repo, commit, join_parts(repo.files(commit)))


def plan_fetch(
    choice: Choice,
    source: MediaSource,
    root: Path,
    *,
    whole_from: float,
    console: Console,
    limits: Limits | None = None,
) -> FetchPlan:
    """Look at the source and at the disk; writes nothing. Raises HubError, ConfigError for a root that is a file."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"the media root {root} is not a directory. Name a folder, or one that is to be made.")
    wanted = {file.path: file for file in choice.files}
    num_zips = sum(path.lower().endswith(".zip") for path in source.files)
    with show_progress(console, "archives", num_zips) as advance:
        holdings = look_up(
            wanted,
            source.files,
            lambda file: open_blob(source.repo, source.commit, file),
            limits=limits or Limits(),
            progress=advance,
        )
    faults = {**choice.refused, **_collisions(root, wanted)}
    there, num_unchecked = _look_around(root, wanted, holdings, faults, console)
    # What is there already needs no place; what the disk refuses gets none.
    todo = {path: place for path, place in holdings.places.items() if path not in there and path not in faults}
    faults |= {path: fault for path, fault in holdings.faults.items() if path not in there and path not in faults}
    open_paths = frozenset(wanted.keys() - there - todo.keys() - faults.keys())
    tars = holdings.tars if open_paths else []
    files = (
        *(plan_file(path, place) for path, place in sorted(todo.items()) if place.entry is None),
        *(
            plan_zip(source.files[archive], members, whole_from=whole_from, is_here=_is_here(root, source, archive))
            for archive, members in sorted(_by_archive(todo).items())
        ),
        *(plan_search(file, is_here=_is_here(root, source, file.path)) for file in tars),
    )
    return FetchPlan(source, root, choice, files, there, num_unchecked, open_paths, faults, holdings)


def check_disk(plan: FetchPlan) -> None:
    """Raises ConfigError when the disk of the media root has less free than the plan needs at its peak."""
    needed, free = peak_bytes(plan.files), free_bytes(plan.root)
    if needed > free:
        raise ConfigError(
            f"{plan.root} has {free:,} bytes free and {needed:,} are needed. Free some space, choose fewer rows, or "
            "name another --media-root."
        )


def free_bytes(root: Path) -> int:
    """Of the disk that a folder, perhaps not made yet, lies on."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free


def fetch(plan: FetchPlan, *, console: Console, limits: Limits | None = None) -> FetchReport:
    """Carry out a plan, in a root that the caller holds. Raises HubError and ConfigError; run again, it goes on."""
    check_disk(plan)
    source = plan.source
    hashes = {file.path: file.sha256 for file in plan.choice.files}
    transfer = Transfer(source.repo, source.commit, plan.root, hashes, limits or Limits())
    open_paths = set(plan.open_paths)
    transfer.run(plan.files, open_paths, console)
    shutil.rmtree(plan.root / ARCHIVES, ignore_errors=True)
    plan.holdings.unreadable.update(transfer.unreadable)
    faults = {**plan.faults, **transfer.faults, **{path: plan.holdings.missing(path) for path in open_paths}}
    missing = _write_missing(plan.root / MISSING, faults, hashes)
    records = _measure(plan.choice.row_paths, plan.root, console)
    wanted = {plain_path(path): record for path, record in records.items() if path not in plan.choice.refused}
    present = [record for path, record in wanted.items() if path not in faults]
    unusable = Counter(record.reason for record in present if record.reason is not None)
    return FetchReport(
        source=source.shown,
        commit=source.commit,
        media_root=str(plan.root),
        num_questions=plan.choice.num_questions,
        num_files=len(plan.choice.files) + len(plan.choice.refused),
        num_there=len(plan.there),
        num_unchecked=plan.num_unchecked,
        num_fetched=len(transfer.fetched),
        fetched_bytes=sum(transfer.fetched.values()),
        failed=dict(Counter(fault.reason for fault in faults.values()).most_common()),
        manifest=str(plan.root / MANIFEST),
        num_usable=sum(record.reason is None for record in present),
        unusable=dict(unusable.most_common()),
        missing=None if missing is None else str(missing),
    )


def _look_around(
    root: Path,
    wanted: Mapping[str, WantedFile],
    holdings: Holdings,
    faults: dict[str, Fault],
    console: Console,
) -> tuple[frozenset[str], int]:
    """What is there and whole, and how many of those have nothing to check them by; adds what may not be there."""

    def look(file: WantedFile) -> bool | Fault:
        try:
            return is_whole(root, file.path, holdings.places.get(file.path), file.sha256)
        except Fault as fault:
            return fault

    if not root.exists():
        return frozenset(), 0
    there = set()
    files = [file for path, file in wanted.items() if path not in faults]
    with show_progress(console, "looking", len(files)) as advance, ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
        for path, found in zip((file.path for file in files), pool.map(look, files), strict=True):
            advance(1)
            if isinstance(found, Fault):
                faults[path] = found
            elif found:
                there.add(path)
    unchecked = [path for path in there if wanted[path].sha256 is None and path not in holdings.places]
    return frozenset(there), len(unchecked)


def _collisions(root: Path, wanted: Iterable[str]) -> dict[str, Fault]:
    """Names that this disk cannot tell apart, for they differ only in case: the first one has the place."""
    lock = root / LOCK
    if not (lock.exists() and lock.with_name(LOCK.upper()).exists()):
        return {}
    first: dict[str, str] = {}
    return {
        path: Fault("unwritable", f"this disk does not tell it from {first[path.casefold()]}")
        for path in wanted
        if first.setdefault(path.casefold(), path) != path
    }


def _by_archive(places: Mapping[str, Place]) -> dict[str, dict[str, ZipEntry]]:
    archives: dict[str, dict[str, ZipEntry]] = {}
    for path, place in places.items():
        if place.entry is not None:
            archives.setdefault(place.file.path, {})[path] = place.entry
    return archives


def _is_here(root: Path, source: MediaSource, archive: str) -> bool:
    """Whether an archive was downloaded before: by the user into the client's cache, or by a fetch that was killed."""

    def is_part_here(part: RemoteFile) -> bool:
        if source.repo.cached(part.path, source.commit) is not None:
            return True
        local = root / ARCHIVES / part.path
        return local.is_file() and local.stat().st_size == part.size_bytes

    return all(map(is_part_here, parts_of(source.files[archive])))


def _write_missing(path: Path, faults: Mapping[str, Fault], hashes: Mapping[str, str | None]) -> Path | None:
    """One line a file that is not there, by path; no file when nothing is missing."""
    if not faults:
        path.unlink(missing_ok=True)
        return None
    lines = [
        json.dumps(
            {
                "path": name,
                "reason": fault.reason,
                "detail": str(fault),
                "wanted_sha256": hashes.get(name),
                "found_sha256": fault.found_sha256,
            }
        )
        for name, fault in sorted(faults.items())
    ]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _measure(row_paths: tuple[str, ...], root: Path, console: Console) -> dict[str, MediaRecord]:
    """The manifest of all wanted files, as a run would make it: by the paths that the rows write."""

    async def build() -> dict[str, MediaRecord]:
        num_done = 0

        def advance_to(total_done: int) -> None:
            nonlocal num_done
            advance(total_done - num_done)
            num_done = total_done

        with show_progress(console, "manifest", len(row_paths)) as advance:
            async with DecoderPool(VideoConfig()) as pool:
                return await build_manifest(
                    row_paths, root=root, pool=pool, manifest_path=root / MANIFEST, progress=advance_to
                )

    return asyncio.run(build())

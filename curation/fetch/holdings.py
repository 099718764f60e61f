"""Where in the source repository each wanted file lies.

A wanted path is, in this order: a file of the repository itself; a member of a zip that is unpacked in its own folder,
as Video-R1's own script does (FOLDER/x.zip holds a.mp4: FOLDER/a.mp4); a member whose whole name is the path. What is
left may be in a tar above it, which only reading it can tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from curation.fetch import tars
from curation.fetch.blobs import Blob
from curation.fetch.faults import ArchiveError, Fault, SplitZipError
from curation.fetch.names import composed, member_name
from curation.fetch.parts import SplitFile
from curation.fetch.zips import Limits, ZipEntry, list_members
from curation.hub import RemoteFile

_Found = dict[str, list[tuple[RemoteFile, ZipEntry]]]


@dataclass(frozen=True, slots=True)
class Place:
    """A file of the repository, or a member of one. entry: null for the file itself."""

    file: RemoteFile
    entry: ZipEntry | None

    @property
    def num_bytes(self) -> int:
        """Unpacked."""
        return self.file.size_bytes if self.entry is None else self.entry.num_bytes


@dataclass(slots=True)
class Holdings:
    """places and faults by wanted path. tars: what may hold the rest. unreadable: archive -> why."""

    places: dict[str, Place] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    tars: list[RemoteFile] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def missing(self, path: str) -> Fault:
        """Why a path that lies nowhere is not there: perhaps only because an archive could not be read."""
        for archive, why in self.unreadable.items():
            if path.startswith(folder_prefix(archive)):
                return Fault("bad_archive", f"{archive} may hold it, but {why}")
        return Fault("missing", "neither a file nor an archive of the source has this name")


def look_up(
    wanted: Iterable[str],
    files: Mapping[str, RemoteFile],
    open_blob: Callable[[RemoteFile], Blob],
    *,
    limits: Limits,
    progress: Callable[[int], None] = lambda num_archives: None,
) -> Holdings:
    """Find every wanted path. Reads the lists of the zips above a path first; of the others only when some is left."""
    holdings = Holdings()
    open_paths = set(wanted)
    for file in sorted(files.values(), key=lambda file: file.path not in open_paths):
        if (path := composed(file.path)) in open_paths and not isinstance(file, SplitFile):
            holdings.places.setdefault(path, Place(file, None))
    open_paths -= holdings.places.keys()
    zips = [file for path, file in sorted(files.items()) if path.lower().endswith(".zip")]
    for zips_of_round in (
        [file for file in zips if _is_above_any(file.path, open_paths)],
        [file for file in zips if not _is_above_any(file.path, open_paths)],
    ):
        if not open_paths:
            break
        beside: _Found = {}
        by_name: _Found = {}
        for file in zips_of_round:
            _read_zip(file, open_blob(file), open_paths, beside, by_name, holdings, limits)
            progress(1)
        for path in sorted(open_paths & (beside.keys() | by_name.keys())):
            _settle(path, beside.get(path) or by_name[path], holdings)
        open_paths -= holdings.places.keys() | holdings.faults.keys()
    for path, file in sorted(files.items()):
        if path.lower().endswith(tars.SUFFIXES) and _is_above_any(path, open_paths):
            if isinstance(file, SplitFile) and file.fault is not None:
                holdings.unreadable[path] = file.fault
            else:
                holdings.tars.append(file)
    return holdings


def folder_prefix(path: str) -> str:
    """The folder of a repository file as a prefix of wanted paths below it: "" or "FOLDER/"."""
    folder = composed(str(PurePosixPath(path).parent))
    return "" if folder == "." else f"{folder}/"


def wanted_name(archive: str, member: str, wanted: Container[str]) -> str | None:
    """The wanted path that a member stands for: its place beside the archive, or else its whole name."""
    name = member_name(member)
    beside = folder_prefix(archive) + name
    if beside in wanted:
        return beside
    return name if name in wanted else None


def _is_above_any(archive: str, paths: Iterable[str]) -> bool:
    prefix = folder_prefix(archive)
    return any(path.startswith(prefix) for path in paths)


def _read_zip(
    file: RemoteFile, blob: Blob, paths: set[str], beside: _Found, by_name: _Found, holdings: Holdings, limits: Limits
) -> None:
    if isinstance(file, SplitFile) and file.fault is not None:
        holdings.unreadable[file.path] = file.fault
        return
    try:
        entries = list_members(blob, lambda name: wanted_name(file.path, name, paths) is not None, limits)
    except SplitZipError as error:
        name = PurePosixPath(file.path).name
        holdings.unreadable[file.path] = f"{error}: join it (zip -s 0 {shlex.quote(name)} --out joined.zip)"
        return
    except ArchiveError as error:
        holdings.unreadable[file.path] = str(error)
        return
    for name, entry in entries.items():
        path = wanted_name(file.path, name, paths)
        assert path is not None
        found = beside if path == folder_prefix(file.path) + name else by_name
        found.setdefault(path, []).append((file, entry))


def _settle(path: str, found: list[tuple[RemoteFile, ZipEntry]], holdings: Holdings) -> None:
    """One place, or the reason why there is none that can be trusted."""
    if len({(entry.num_bytes, entry.crc32) for _, entry in found}) > 1:
        archives = ", ".join(file.path for file, _ in found[:3])
        holdings.faults[path] = Fault("ambiguous", f"{len(found)} archives hold it with different contents: {archives}")
        return
    file, entry = next((place for place in found if place[1].fault is None), found[0])
    if entry.fault is None:
        holdings.places[path] = Place(file, entry)
    else:
        reason, detail = entry.fault
        holdings.faults[path] = Fault(reason, f"{file.path}: {detail}")

"""What is to be transferred: for each file of the source, whether all of it or only the stretches that are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from curation.fetch.holdings import Place
from curation.fetch.zips import ZipEntry
from curation.hub import RemoteFile

# Reading over a smaller gap than this is quicker than one more request.
GAP_BYTES: Final = 2**20
# The longest stretch that one connection reads, as several run side by side; a single larger member is one stretch.
STRETCH_BYTES: Final = 2**27
WHOLE_FROM: Final = 0.5

How = Literal["file", "members", "whole", "search"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes [start, stop) of an archive, read in one go, and what is unpacked from them: (wanted path, member)."""

    start: int
    stop: int
    members: tuple[tuple[str, ZipEntry], ...]


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One file of the source.

    how: "file", it is a wanted one itself; "members", stretches of a zip; "whole", a zip that is downloaded first;
    "search", a tar that is downloaded and searched. is_here: it was downloaded before. disk_bytes: what is unpacked
    from it, null for a tar, which does not tell.
    """

    file: RemoteFile
    how: How
    paths: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    transfer_bytes: int
    disk_bytes: int | None
    is_here: bool = False


def plan_zip(
    file: RemoteFile, entries: Mapping[str, ZipEntry], *, whole_from: float, is_here: bool = False
) -> FilePlan:
    """Whole when at least the share `whole_from` of its bytes would be transferred, or when it is here already.

    entries: by wanted path.
    """
    stretches = tuple(join_members(entries.items()))
    disk_bytes = sum(entry.num_bytes for entry in entries.values())
    needed_bytes = sum(stretch.stop - stretch.start for stretch in stretches)
    is_whole = is_here or needed_bytes >= whole_from * file.size_bytes
    transfer_bytes = (0 if is_here else file.size_bytes) if is_whole else needed_bytes
    how: How = "whole" if is_whole else "members"
    return FilePlan(file, how, tuple(entries), stretches, transfer_bytes, disk_bytes, is_here)


def plan_file(path: str, place: Place) -> FilePlan:
    """A wanted file of the repository itself."""
    size = place.file.size_bytes
    return FilePlan(place.file, "file", (path,), (), size, size)


def plan_search(file: RemoteFile, *, is_here: bool) -> FilePlan:
    """A tar that may hold something."""
    return FilePlan(file, "search", (), (), 0 if is_here else file.size_bytes, None, is_here)


def join_members(members: Iterable[tuple[str, ZipEntry]]) -> list[Stretch]:
    """Stretches in the order of the archive; members closer than GAP_BYTES share one, up to STRETCH_BYTES."""
    stretches: list[Stretch] = []
    for path, entry in sorted(members, key=lambda member: member[1].start):
        last = stretches[-1] if stretches else None
        if last and entry.start - last.stop < GAP_BYTES and entry.stop - last.start <= STRETCH_BYTES:
            stretches[-1] = Stretch(last.start, entry.stop, (*last.members, (path, entry)))
        else:
            stretches.append(Stretch(entry.start, entry.stop, ((path, entry),)))
    return stretches


def peak_bytes(plans: Iterable[FilePlan]) -> int:
    """Disk space that is needed: all that is unpacked, and the largest archive that is downloaded for it."""
    plans = list(plans)
    downloads = [plan.transfer_bytes for plan in plans if plan.how in ("whole", "search")]
    return sum(plan.disk_bytes or 0 for plan in plans) + max(downloads, default=0)

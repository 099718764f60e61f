"""One file put into the media root: whole and checked, or not at all.

The bytes go into a hidden file of the same folder, which takes the final name when they have all come and are the right
ones. A kill leaves at most that hidden file, and the next run writes over it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from curation.errors import MediaError
from curation.fetch.faults import Fault
from curation.fetch.holdings import Place
from curation.hub import file_sha256
from curation.media import resolve_media, spelled_on_disk

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def place_file(
    root: Path,
    path: str,
    pieces: Iterator[bytes],
    *,
    sha256: str | None,
    progress: Callable[[int], None] = lambda num_bytes: None,
) -> int:
    """Write `pieces` to `path` below `root`; returns the number of bytes.

    path: as wanted.check_path lets it pass. sha256: what it must be, null = not known. Raises Fault (other_content with
    the hash that was found, refused_path, unwritable, and whatever `pieces` raises), or OSError when the disk is full.
    """
    try:
        target = _make_place(root, path)
        hidden = target.with_name(f".{hashlib.sha256(target.name.encode()).hexdigest()[:24]}.part")
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise _unwritable(error) from error
    try:
        num_bytes, found = _write(descriptor, pieces, sha256 is not None, progress)
        if found != sha256:
            raise Fault("other_content", f"its sha256 is {found}, the dataset's is {sha256}", found_sha256=found)
        try:
            hidden.replace(target)
        except OSError as error:
            raise _unwritable(error) from error
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    return num_bytes


def is_whole(root: Path, path: str, place: Place | None, sha256: str | None) -> bool:
    """Whether the file is there with the content that is known of it: the dataset's hash, or else the source's.

    place: null = the source tells nothing of it, so that being there is all that can be asked. Raises Fault
    (refused_path) when the place on this disk leads out of the root.
    """
    try:
        found = resolve_media(root, path)
        if sha256 is not None:
            return file_sha256(found) == sha256
        if place is None:
            return True
        if place.entry is None:
            return place.file.is_same(found)
        return found.stat().st_size == place.num_bytes and _crc32(found) == place.entry.crc32
    except MediaError as error:
        if error.reason == "outside_root":
            raise Fault("refused_path", str(error)) from error
        return False
    except OSError:
        return False


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            checksum = zlib.crc32(piece, checksum)
    return checksum


def _make_place(root: Path, path: str) -> Path:
    """The place of `path`, its folder made if need be, in the root whatever links lie on the way."""
    true_root = root.resolve(strict=True)
    target = spelled_on_disk(true_root, Path(path).parts)
    folder = target.parent
    try:
        # Looked at before anything is made, and again after: what is left of the way has no links by then.
        for _ in range(2):
            if not folder.resolve().is_relative_to(true_root):
                raise Fault("refused_path", f"{path[:200]!r} goes through a link out of the media root")
            folder.mkdir(parents=True, exist_ok=True)
    except RuntimeError as error:  # a loop of links
        raise Fault("refused_path", f"{path[:200]!r} goes through a loop of links") from error
    return target


def _write(
    descriptor: int, pieces: Iterator[bytes], want_hash: bool, progress: Callable[[int], None]
) -> tuple[int, str | None]:
    """(bytes written, their sha256 if wanted); closes the descriptor."""
    num_bytes = 0
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
            num_bytes += len(piece)
            if want_hash:
                digest.update(piece)
            progress(len(piece))
    return num_bytes, digest.hexdigest() if want_hash else None


def _unwritable(error: OSError) -> BaseException:
    if error.errno in _FULL_DISK:
        return error
    return Fault("unwritable", f"the file cannot be written here: {error.strerror}")

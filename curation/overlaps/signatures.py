"""Media files measured once: sha256 and frame hashes, in a journal, so that a killed run goes on where it was.

A line of the journal is used again while the file's size and modification time are the same. Paths in it are relative:
it holds nothing of this machine. A file that could not be read is looked at again each time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from curation.decoding import DecoderPool
from curation.errors import ConfigError, MediaError, RunDirectoryError
from curation.journal import Journal, read_journal
from curation.overlaps.frames import HASH_VERSION, NUM_WORDS, Signature, hash_frames
from curation.overlaps.names import is_media
from curation.overlaps.report import Fault, MediaCount

OWN: Final = ""  # the owner of the dataset's own media; benchmarks own theirs by name


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One file. sha256: null when not asked for or not readable. signature: null when not asked for, or `reason`."""

    sha256: str | None
    signature: Signature | None
    reason: str | None


def list_media(root: Path) -> list[str]:
    """Every video and picture below a folder, relative, in order. Raises ConfigError when there is none.

    Links to files are followed, as the hub's cache needs it, links to folders are not.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is no directory. Name the folder that a benchmark's videos are unpacked in.")
    found = (path for path in sorted(root.rglob("*")) if is_media(path.name) and path.is_file())
    paths = [path.relative_to(root).as_posix() for path in found]
    if not paths:
        raise ConfigError(f"{root} holds no video and no picture. Unpack the benchmark's archives there.")
    return paths


async def measure_files(
    owner: str,
    paths: Sequence[str],
    *,
    locate: Callable[[str], Path],
    journal_path: Path,
    with_sha256: bool,
    pool: DecoderPool | None,
    num_at_once: int,
    progress: Callable[[int], None] = lambda num_done: None,
) -> dict[str, MediaFile]:
    """Measure each path, or take it from the journal; without a pool no frames are read.

    `locate` gives the file of a path, or raises MediaError. A file's fault is its record; what this raises is the
    journal's: RunDirectoryError, OSError.
    """
    earlier = {line.path: line for line in _read_lines(journal_path) if line.owner == owner}
    measured: dict[str, MediaFile] = {}
    waiting = iter(paths)
    with Journal(journal_path) as journal:

        async def measure_in_turn() -> None:
            for path in waiting:
                line, reason = await _measure(owner, path, locate, earlier.get(path), with_sha256, pool)
                if line is not None and line != earlier.get(path):
                    journal.append(line.as_row())
                signature = line.signature() if line is not None and pool is not None else None
                measured[path] = MediaFile(None if line is None else line.sha256, signature, reason)
                progress(1)

        tasks = [asyncio.create_task(measure_in_turn()) for _ in range(num_at_once)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return {path: measured[path] for path in paths}


def count_files(files: Mapping[str, MediaFile], *, with_sha256: bool) -> MediaCount:
    """What came of the files."""
    signatures = [file.signature for file in files.values() if file.signature is not None]
    num_comparable = sum(signature.is_comparable for signature in signatures)
    reasons = Counter(file.reason for file in files.values() if file.reason is not None)
    return MediaCount(
        num_files=len(files),
        num_hashed=sum(file.sha256 is not None for file in files.values()) if with_sha256 else None,
        num_comparable=num_comparable,
        num_indistinct=len(signatures) - num_comparable,
        unreadable=tuple(Fault(reason=reason, num=num) for reason, num in sorted(reasons.items())),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A journal line. words: the frame hashes in hex, null when they were not, or could not be, computed."""

    owner: str
    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str | None
    version: str | None
    words: str | None

    def as_row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def signature(self) -> Signature | None:
        if self.words is None:
            return None
        return Signature.of(np.frombuffer(bytes.fromhex(self.words), "<u8").reshape(-1, NUM_WORDS))


def _read_lines(journal_path: Path) -> list[_Line]:
    try:
        return [_Line(**row) for row in read_journal(journal_path)]
    except TypeError as error:
        raise RunDirectoryError(f"{journal_path} holds foreign lines. Delete it to measure the media again.") from error


async def _measure(
    owner: str,
    path: str,
    locate: Callable[[str], Path],
    earlier: _Line | None,
    with_sha256: bool,
    pool: DecoderPool | None,
) -> tuple[_Line | None, str | None]:
    """The line of one file and why it is not complete: null for no file, with the reason."""
    try:
        file = locate(path)
        status = file.stat()
    except MediaError as fault:
        return None, fault.reason
    except OSError:
        return None, "missing"
    sha256 = words = None
    if earlier is not None and (earlier.size_bytes, earlier.mtime_ns) == (status.st_size, status.st_mtime_ns):
        sha256 = earlier.sha256
        words = earlier.words if earlier.version == HASH_VERSION else None
    reason = None
    try:
        if with_sha256 and sha256 is None:
            sha256 = await asyncio.to_thread(_sha256, file)
        if pool is not None and words is None:
            frames = await pool.frames(file)
            words = hash_frames(frames.frames).astype("<u8").tobytes().hex()
    except MediaError as fault:
        reason = fault.reason
    except OSError:
        reason = "unreadable"
    version = None if words is None else HASH_VERSION
    return _Line(owner, path, status.st_size, status.st_mtime_ns, sha256, version, words), reason


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

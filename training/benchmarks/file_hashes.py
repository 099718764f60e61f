"""The sha256 of files, each read once: a hundred gigabytes of videos are not hashed again for the next model.

A manifest holds one JSON line a file and only grows. A line stands for the file while its size and modification time
are the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from curation.journal import Journal, read_journal

MANIFEST: Final = ".sha256.jsonl"
_NUM_THREADS: Final = 4  # hashing lets other threads run; a disk is busy with fewer


def _ignore(_: int) -> None:
    """No progress is shown."""


class FileHashes:
    """The hashes of files below `root`, remembered in root/.sha256.jsonl, or in `otherwise` when that is read-only."""

    def __init__(self, root: Path, otherwise: Path) -> None:
        """Raises RunDirectoryError when the manifest is damaged."""
        self._root = root
        self._folder = root if os.access(root, os.W_OK) else otherwise
        self._known = {entry["file"]: entry for entry in read_journal(self._folder / MANIFEST)}

    def unread(self, files: Iterable[Path]) -> list[Path]:
        """Those, each once, that no line stands for."""
        return [file for file in dict.fromkeys(files) if self._find(file) is None and file.is_file()]

    def hash_all(self, files: Iterable[Path], progress: Callable[[int], None] = _ignore) -> dict[Path, str | None]:
        """file -> sha256 as hex; None for one that cannot be read. progress: in bytes, of those that were read."""
        files = list(dict.fromkeys(files))
        if unread := self.unread(files):
            with Journal(self._folder / MANIFEST) as journal, ThreadPoolExecutor(_NUM_THREADS) as pool:
                for entry in pool.map(self._read, unread):
                    if entry is not None:
                        self._known[entry["file"]] = entry
                        journal.append(entry)
                        progress(entry["size_bytes"])
        return {file: self._find(file) for file in files}

    def _find(self, file: Path) -> str | None:
        entry = self._known.get(self._name(file))
        return entry["sha256"] if entry is not None and self._look(file).items() <= entry.items() else None

    def _read(self, file: Path) -> dict[str, Any] | None:
        """Looked at before it is read: what changes meanwhile is read again the next time."""
        look = self._look(file)
        try:
            with file.open("rb") as stream:
                return look | {"sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
        except OSError:
            return None

    def _look(self, file: Path) -> dict[str, Any]:
        try:
            status = file.stat()
        except OSError:
            return {"file": self._name(file), "size_bytes": None}
        return {"file": self._name(file), "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}

    def _name(self, file: Path) -> str:
        """Below the root, so that the folder may be moved with its manifest; otherwise where it is."""
        inside = self._folder == self._root and file.is_relative_to(self._root)
        return str(file.relative_to(self._root) if inside else file.absolute())


def total_bytes(files: Iterable[Path]) -> int:
    """Of those that are there."""
    return sum(file.stat().st_size for file in dict.fromkeys(files) if file.is_file())

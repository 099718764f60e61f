"""The journal: one JSON line per answer, appended and flushed, so that paid work outlives a kill at any moment.

A line is written by one `write` call. A last line without its newline was torn by a kill or a full disk; it is cut off
when the journal is opened again, and only what was in flight is repeated. Journals are the source of truth for resume:
answers are found by a key that hashes everything they depend on, so nothing is ever invalidated, only looked up.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from curation.errors import RunDirectoryError


def content_key(*parts: Any) -> str:
    """sha256 (64 hex digits) over JSON values; equal parts give equal keys on every machine and in every run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line in order; a torn last line is left out. Raises RunDirectoryError on a damaged earlier line."""
    return JournalReader(path).gained()


class JournalReader:
    """Follows a journal that another process may be writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._num_lines = 0

    def gained(self) -> Iterator[dict[str, Any]]:
        """The whole lines since the last time, in order; a torn last line is left for later.

        Raises RunDirectoryError on a damaged earlier line.
        """
        if not self._path.exists() or self._path.stat().st_size <= self._offset:
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                entry = self._parse(line)
                self._offset += len(line)
                self._num_lines += 1
                yield entry

    def _parse(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError as error:
            raise RunDirectoryError(
                f"{self._path} line {self._num_lines + 1} is damaged ({error}). Restore the file, or delete the line "
                "to ask again."
            ) from error


class Journal:
    """The appending side of one journal file. When the disk is full it raises OSError and ends on a whole line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = _cut_torn_line(self._descriptor)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line; when this returns, a kill of this process cannot lose it."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                # A short write means a full disk; the second call reports it.
                written += os.write(self._descriptor, line[written:])
            if written < len(line):
                raise OSError(28, "No space left on device", str(self.path))
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Flush to the disk itself, so that a finished shard also outlives a power cut."""
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cut_torn_line(descriptor: int) -> int:
    """Truncate after the last newline; returns the new size in bytes."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end

"""Bytes that can be read by range, on the hub or on this disk, so that archives are read the same way from both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from curation.fetch.faults import Fault

PIECE_BYTES: Final = 2**18


class Blob(Protocol):
    """A file of known size."""

    @property
    def num_bytes(self) -> int: ...  # noqa: D102

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop), in pieces."""
        ...


class MediaRepo(Protocol):
    """What holds the archives: hub.HubRepo, or a mirror of it on this disk (mirror.py)."""

    def read(self, path: str, commit: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop) of a file, in pieces."""
        ...

    def cached(self, path: str, commit: str) -> Path | None:
        """The whole file, if it is on this disk already."""
        ...

    def download_to(self, folder: Path, path: str, commit: str) -> Path:
        """The whole file, fetched into a folder."""
        ...


@dataclass(frozen=True, slots=True)
class RepoBlob:
    """A file of a media repository. `read` raises HubError when that is on the hub."""

    repo: MediaRepo
    commit: str
    path: str
    num_bytes: int

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """One request for all of it."""
        return self.repo.read(self.path, self.commit, start, stop)


@dataclass(frozen=True, slots=True)
class LocalBlob:
    """A file of this disk."""

    path: Path

    @property
    def num_bytes(self) -> int:
        """Its size now."""
        return self.path.stat().st_size

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Ends early when the file does."""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE_BYTES, stop - start))):
                start += len(piece)
                yield piece


class Stream:
    """Forward reading of pieces, in the amounts that the reader wants; `position` is that of the next byte."""

    def __init__(self, pieces: Iterator[bytes], position: int = 0) -> None:
        self._pieces = pieces
        self._rest = b""
        self.position = position

    def pieces(self, num_bytes: int) -> Iterator[bytes]:
        """The next num_bytes. Raises Fault (bad_content) when there are fewer."""
        while num_bytes > 0:
            piece = self._rest or next(filter(None, self._pieces), b"")
            if not piece:
                raise Fault("bad_content", f"the archive ends {num_bytes} bytes early")
            piece, self._rest = piece[:num_bytes], piece[num_bytes:]
            num_bytes -= len(piece)
            self.position += len(piece)
            yield piece

    def take(self, num_bytes: int) -> bytes:
        """The next num_bytes in one; for what is known to be small."""
        return b"".join(self.pieces(num_bytes))

    def rest(self) -> Iterator[bytes]:
        """Whatever is left."""
        if self._rest:
            yield self._rest
        yield from self._pieces

    def skip_to(self, position: int) -> None:
        """Forward only."""
        for _ in self.pieces(position - self.position):
            pass


def read_whole(blob: Blob, start: int, stop: int) -> bytes:
    """A range in one. Raises Fault (bad_content) when the blob ends before `stop`."""
    return Stream(blob.read(start, stop), start).take(stop - start)

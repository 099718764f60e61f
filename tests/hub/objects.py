"""Bytes by their sha256. An object is there whole or not at all: it enters by a rename after its hash was checked."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hub.refusal import Refusal

CHUNK_BYTES = 1 << 20


class Objects:
    """A folder of objects; whatever a crash left half-way is removed when it is opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)

    def __contains__(self, sha256: str) -> bool:
        return self.path(sha256).exists()

    def path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int:
        return self.path(sha256).stat().st_size

    def add(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        with self.receiving(sha256) as write:
            write(content)
        return sha256

    def add_file(self, source: Path) -> str:
        """Copies; a big file is never held in memory."""
        with source.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            with self.receiving(sha256) as write:
                while chunk := stream.read(CHUNK_BYTES):
                    write(chunk)
        return sha256

    @contextmanager
    def receiving(self, sha256: str) -> Iterator[Callable[[bytes], object]]:
        """Yields what to call with each chunk. Raises Refusal when the bytes are others than announced."""
        torn = self._incoming / uuid.uuid4().hex
        digest = hashlib.sha256()
        try:
            with torn.open("wb") as stream:

                def write(chunk: bytes) -> None:
                    digest.update(chunk)
                    stream.write(chunk)

                yield write
            if digest.hexdigest() != sha256:
                raise Refusal(400, f"the bytes hash to {digest.hexdigest()}, announced was {sha256}")
            self.path(sha256).parent.mkdir(exist_ok=True)
            torn.replace(self.path(sha256))
        finally:
            torn.unlink(missing_ok=True)

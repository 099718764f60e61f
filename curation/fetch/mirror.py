"""A folder of this disk that mirrors a media repository: the same archives, already downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from curation.errors import ConfigError
from curation.fetch.blobs import LocalBlob
from curation.hub import RemoteFile

COMMIT: Final = "local"


class Mirror:
    """Answers like HubRepo. It lists no hashes, so plain files are known by their size and by what the rows say."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> dict[str, RemoteFile]:
        """Every file by its path in the folder; hidden ones are left out. Raises ConfigError when there is none."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                found[relative.as_posix()] = RemoteFile(relative.as_posix(), path.stat().st_size, None, None)
        if not found:
            raise ConfigError(f"{self.root} holds no file. Name the folder that mirrors the media repository.")
        return found

    def read(self, path: str, commit: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop) of a file, in pieces."""
        return LocalBlob(self.root / path).read(start, stop)

    def cached(self, path: str, commit: str) -> Path | None:
        """Everything is here."""
        return self.root / path

    def download_to(self, folder: Path, path: str, commit: str) -> Path:
        """Nothing is ever downloaded; raises FileNotFoundError for a file that has vanished."""
        raise FileNotFoundError(self.root / path)

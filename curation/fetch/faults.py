"""Why a wanted file could not be had. Each reason is recorded with the file; nothing is put in its place."""

from __future__ import annotations

from typing import Final

REASONS: Final = {
    "refused_path": "the row's path is not one inside a media root, or the place on this disk leads out of it",
    "contradiction": "rows want different contents under one path",
    "missing": "the source does not hold it",
    "bad_archive": "the archive that should hold it cannot be read",
    "ambiguous": "two archives hold different files under its name",
    "refused": "the archive's entry is not to be trusted",
    "unsupported": "encrypted, or compressed by a method that is not read here",
    "bad_content": "size or checksum are not what the source itself says",
    "other_content": "the source's file is not the one that the dataset was made with (media_sha256)",
    "unwritable": "the file system does not take it",
}


class Fault(ValueError):
    """One wanted file cannot be had; `reason` is one of REASONS. found_sha256: of what came instead, if hashed."""

    def __init__(self, reason: str, detail: str, *, found_sha256: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.found_sha256 = found_sha256


class ArchiveError(ValueError):
    """An archive whose list of contents cannot be read: damaged, or made to do harm."""


class SplitZipError(ArchiveError):
    """One part of a split zip, whose list of contents counts places by part."""

    def __init__(self) -> None:
        super().__init__("it is one part of several, a split zip")

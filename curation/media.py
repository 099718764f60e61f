"""The media manifest: every referenced file measured once, with the reason why it cannot be used, if so.

`media.jsonl` holds one line a file and only grows; a later line replaces an earlier one of the same path. A line is
used again while the file's size and modification time and the settings that it was measured with are the same; a file
that could not be used is always looked at again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

from curation.decoding import DecoderPool
from curation.errors import ConfigError, MediaError, RunDirectoryError
from curation.journal import Journal, read_journal
from curation.video import SAMPLER_VERSION, VideoConfig

# What decides whether a file can be used; num_frames, because exactly the sampled frames are decoded.
_SETTINGS: Final = ("num_frames", "min_pixels", "max_pixels", "max_source_pixels", "max_file_bytes")
_ADDED_LATER: Final = frozenset({"mirrored", "sample_aspect_ratio"})


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """One file. A usable one has everything but what its kind lacks; another one has a reason and a detail.

    size_bytes and mtime_ns are null when there is no file. The measures are those of `video.Probe`.
    """

    path: str
    settings: str
    size_bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    kind: str | None = None
    container: str | None = None
    codec: str | None = None
    duration_s: float | None = None
    num_frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    rotation: int | None = None
    mirrored: bool | None = None
    sample_aspect_ratio: str | None = None
    reason: str | None = None
    detail: str | None = None

    def as_row(self) -> dict[str, Any]:
        """The record's columns."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `as_row`; further columns are left alone, and those that were added later may lack."""
        names = [field.name for field in fields(cls) if field.name in row or field.name not in _ADDED_LATER]
        return cls(**{name: row[name] for name in names})

    def refuse(self, data_type: str) -> MediaError | None:
        """Why a question of this data_type cannot use the file: its own fault, or wrong_kind; None when it can."""
        if self.reason is not None:
            return MediaError(self.reason, self.detail or "")
        if self.kind != data_type:
            return MediaError("wrong_kind", f"the question says {data_type}, the file is {self.kind}")
        return None


def resolve_media(root: Path, path: str) -> Path:
    """The regular file that `path`, relative to the media root, names.

    A name may be spelled in another Unicode normal form on disk (macOS and some archives decompose accents): it is the
    same name. Raises MediaError: outside_root for whatever could lead out of the root (absolute, "..", backslash, NUL,
    empty, a symlink that leaves it); missing when no file is there, also when a directory is.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise MediaError("outside_root", f"{path[:200]!r} is not a path inside the media root")
    try:
        true_root = root.resolve(strict=True)
        resolved = spelled_on_disk(true_root, parts).resolve(strict=True)
        is_file = stat.S_ISREG(resolved.stat().st_mode)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of symlinks
        reason = getattr(error, "strerror", None) or "it cannot be resolved"
        raise MediaError("missing", f"no file {path[:200]!r} in the media root: {reason}") from error
    if not resolved.is_relative_to(true_root):
        raise MediaError("outside_root", f"{path[:200]!r} is a link out of the media root")
    if not is_file:
        raise MediaError("missing", f"{path[:200]!r} is not a regular file")
    return resolved


def spelled_on_disk(root: Path, parts: Sequence[str]) -> Path:
    """root/parts, each part in the spelling that is on disk."""
    path = root.joinpath(*parts)
    if path.exists() or path.as_posix().isascii():
        return path
    path = root
    for part in parts:
        exact, path = path / part, path
        if exact.exists() or not path.is_dir():
            path = exact
            continue
        wanted = unicodedata.normalize("NFC", part)
        same = sorted(entry for entry in path.iterdir() if unicodedata.normalize("NFC", entry.name) == wanted)
        path = same[0] if same else exact
    return path


async def build_manifest(
    paths: Iterable[str],
    *,
    root: Path,
    pool: DecoderPool,
    manifest_path: Path,
    progress: Callable[[int], None] = lambda num_done: None,
) -> dict[str, MediaRecord]:
    """Measure each distinct path once, or take it from an earlier, perhaps killed, run; records by path.

    `progress` is told the number of files that are done. A file's fault is its record; what this raises is ours or the
    machine's: ConfigError without a media root, RunDirectoryError, OSError when the manifest cannot be written.
    """
    if not root.is_dir():
        raise ConfigError(f"the media root {root} is not a directory. Point media_root to where the files are.")
    settings = settings_key(pool.config)
    earlier = load_manifest(manifest_path)
    records: dict[str, MediaRecord] = {}
    distinct = list(dict.fromkeys(paths))
    waiting = iter(distinct)

    with Journal(manifest_path) as journal:

        async def measure_in_turn() -> None:
            for path in waiting:
                record = _reusable(earlier.get(path), root, settings)
                if record is None:
                    record = await measure(path, root, pool, settings)
                    journal.append(record.as_row())
                records[path] = record
                progress(len(records))

        # Twice as many as workers, so that a worker never waits for the next path.
        tasks = [asyncio.create_task(measure_in_turn()) for _ in range(2 * pool.config.num_workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return {path: records[path] for path in distinct}


async def measure(path: str, root: Path, pool: DecoderPool, settings: str) -> MediaRecord:
    """The record of one path, whatever the file is like."""
    size_bytes = mtime_ns = None
    try:
        resolved = resolve_media(root, path)
        status = resolved.stat()
        size_bytes, mtime_ns = status.st_size, status.st_mtime_ns
        fingerprint = await pool.fingerprint(resolved)
    except MediaError as fault:
        return MediaRecord(path, settings, size_bytes, mtime_ns, reason=fault.reason, detail=str(fault))
    except OSError as error:  # it vanished between two looks
        return MediaRecord(path, settings, reason="missing", detail=error.strerror)
    return MediaRecord(path, settings, size_bytes, mtime_ns, fingerprint.sha256, **asdict(fingerprint.probe))


def load_manifest(manifest_path: Path) -> dict[str, MediaRecord]:
    """The records of an earlier run, {} when there is none. Raises RunDirectoryError for a line that is not ours."""
    records: dict[str, MediaRecord] = {}
    for number, row in enumerate(read_journal(manifest_path), start=1):
        try:
            record = MediaRecord.from_row(row)
        except (TypeError, KeyError) as error:
            raise RunDirectoryError(
                f"{manifest_path} line {number} is damaged. Delete the file to measure the media again."
            ) from error
        records[record.path] = record
    return records


def settings_key(config: VideoConfig) -> str:
    """A short hash of the settings, and of the sampler, that decide what is measured and whether it can be used."""
    chosen = config.model_dump(include=set(_SETTINGS)) | {"sampler": SAMPLER_VERSION}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


def _reusable(record: MediaRecord | None, root: Path, settings: str) -> MediaRecord | None:
    """The earlier record, if it still tells the truth."""
    if record is None or record.sha256 is None or record.settings != settings:
        return None
    try:
        status = resolve_media(root, record.path).stat()
    except (MediaError, OSError):
        return None
    return record if (status.st_size, status.st_mtime_ns) == (record.size_bytes, record.mtime_ns) else None

"""Decoded, resized frames on a local disk: a clip is decoded once, and later epochs and runs read pixels.

An entry is keyed by the content of the file, the settings and the version of the sampler, and the libraries that
decode; so it never needs to be invalidated. It is written beside its place and renamed, and checked on reading: what is
torn or damaged is no entry. A full cache keeps what it has and takes no more, because epochs read in cycles: with half
the clips in it, it saves half the work, where one that drops the oldest would save none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np
import PIL
from pydantic import BaseModel, ConfigDict, ValidationError

from curation.errors import ConfigError
from curation.video import SAMPLER_VERSION, Frames, VideoConfig, read_frames
from training.config import FrameCacheConfig

_SAMPLING_SETTINGS: Final = ("reader", "num_frames", "min_pixels", "max_pixels", "resize")

log = logging.getLogger(__name__)


class _Header(BaseModel):
    """The first line of an entry; the pixels follow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int, int]
    indices: tuple[int, ...]
    timestamps_s: tuple[float, ...]
    num_source_frames: int
    fps: float | None
    kind: Literal["image", "video"]
    crc32: int


class FrameCache:
    """Shared by any number of processes; a few paths and numbers, so that it can be sent to workers.

    Raises ConfigError when nothing can be written to `folder`.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._entries = folder / f"frames-{sampler_version()}"
        self._has_swept = False
        try:
            self._entries.mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass
        except OSError as error:
            raise ConfigError(
                f"the frame cache {folder} cannot be used: {error.strerror or error}. Set input.cache.folder to a "
                "folder on a local disk, or input.cache to null."
            ) from error

    def load(self, key: str) -> Frames | None:
        """The entry, its pixels read-only; None when there is none or it is damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        end = content.find(b"\n")
        try:
            header = _Header.model_validate_json(content[: max(end, 0)])
        except ValidationError:
            return None
        pixels = memoryview(content)[end + 1 :]
        if len(pixels) != math.prod(header.shape) or zlib.crc32(pixels) != header.crc32:
            return None
        frames = np.frombuffer(pixels, np.uint8).reshape(header.shape)
        return Frames(frames, **header.model_dump(exclude={"shape", "crc32"}))

    def store(self, key: str, frames: Frames) -> bool:
        """Write or replace the entry; False when there is no room for it. Reads go on meanwhile."""
        header = asdict(frames) | {"shape": frames.frames.shape, "crc32": zlib.crc32(frames.frames.tobytes())}
        del header["frames"]
        content = json.dumps(header).encode("ascii") + b"\n" + frames.frames.tobytes()
        try:
            with self._locked():
                return self._write(self._path(key), content)
        except OSError as error:  # a full disk: frames are decoded again, as without a cache
            log.warning("the frame cache %s cannot keep an entry: %s", self.folder, error.strerror or error)
            return False

    def _write(self, path: Path, content: bytes) -> bool:
        """Only under the lock. The size is booked first, so that a kill never leaves more on disk than in the book."""
        growth = len(content) - (path.stat().st_size if path.exists() else 0)
        used = self._read_usage()
        if used + growth > self.max_bytes and not self._has_swept:
            self._has_swept = True
            used = self._sweep()
        if used + growth > self.max_bytes:
            return False
        self._write_usage(used + growth)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # it was damaged, or the same: never two at a time
        torn = path.with_suffix(".tmp")
        try:
            torn.write_bytes(content)
            torn.replace(path)
        except OSError:
            torn.unlink(missing_ok=True)
            raise
        return True

    def _read_usage(self) -> int:
        """Bytes in the cache; counted anew when the book is missing or torn."""
        try:
            return int(self._book.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return self._sweep()

    def _write_usage(self, num_bytes: int) -> None:
        self._book.write_text(str(num_bytes), encoding="ascii")

    def _sweep(self) -> int:
        """Remove what a kill left, and entries of another sampler; returns and books the bytes that remain."""
        num_bytes = 0
        for path in self.folder.glob("frames-*/??/*"):
            if path.suffix == ".frames" and path.is_relative_to(self._entries):
                num_bytes += path.stat().st_size
            elif path.suffix in (".frames", ".tmp"):
                path.unlink(missing_ok=True)
        self._write_usage(num_bytes)
        return num_bytes

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Among all processes and threads; the lock ends with its holder."""
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def _book(self) -> Path:
        return self.folder / "usage"

    def _path(self, key: str) -> Path:
        return self._entries / key[:2] / f"{key}.frames"


def build_cache(config: FrameCacheConfig | None) -> FrameCache | None:
    """The cache that the config asks for. Raises ConfigError."""
    return None if config is None else FrameCache(config.folder, config.max_bytes)


def cache_key(content_sha256: str, config: VideoConfig) -> str:
    """Which frames these are; their indices follow from the content and num_frames."""
    payload = json.dumps([content_sha256, config.model_dump(include=set(_SAMPLING_SETTINGS))], sort_keys=True)
    return hashlib.sha256(payload.encode()).hexdigest()


@cache
def sampler_version() -> str:
    """Of our sampler, and eight hex digits over the libraries that decode and resize."""
    libraries = json.dumps([av.__version__, av.library_versions, PIL.__version__], sort_keys=True)
    return f"{SAMPLER_VERSION}-{hashlib.sha256(libraries.encode()).hexdigest()[:8]}"


def read_cached_frames(
    path: Path, config: VideoConfig, cache: FrameCache | None, content_sha256: str | None = None
) -> Frames:
    """As `video.read_frames`, from the cache where it has them.

    content_sha256: of the file as it is now, when it is known; otherwise it is computed, once a process. Raises
    MediaError.
    """
    if cache is None:
        return read_frames(path, config)
    if content_sha256 is None:
        try:
            status = path.stat()
            content_sha256 = _file_sha256(path, status.st_size, status.st_mtime_ns)
        except OSError:
            return read_frames(path, config)  # it says what is wrong with the file
    key = cache_key(content_sha256, config)
    frames = cache.load(key)
    if frames is None:
        frames = read_frames(path, config)
        cache.store(key, frames)
    return frames


@lru_cache(maxsize=2**18)
def _file_sha256(path: Path, size_bytes: int, mtime_ns: int) -> str:
    """Size and time only tell one state of the file from the next."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Where a benchmark's media are below the folder that they were unpacked to.

Links are followed, also out of the root: the hub's cache is made of them. Names that leave the root are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from curation.errors import ConfigError
from training.benchmarks.question import MediaReference

MISSING: Final = "missing"
OUTSIDE_ROOT: Final = "outside_root"
# What a clip may have been converted to, or not yet: only the name's stem is the benchmark's.
SUFFIXES: Final = (".mp4", ".MP4", ".mkv", ".webm", ".avi", ".mov", ".gif")
_NOT_MEDIA: Final = frozenset(("question_only", "__MACOSX"))


class MediaRoot:
    """The folder that a benchmark's archives were unpacked to. Raises ConfigError when there is none."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ConfigError(f"the media root {path} is no directory. Point it to where the archives were unpacked.")
        self.path = path

    def find(self, *names: str) -> MediaReference:
        """The first of `names` that is a file, else a reference that says that the first is missing."""
        for name in names:
            if _is_inside(name) and (self.path / name).is_file():
                return MediaReference(_plain(name), self.path / _plain(name))
        return _absent(names[0])

    def find_folder(self, *names: str) -> Path | None:
        """The first of `names` that is a folder."""
        return next((self.path / name for name in names if _is_inside(name) and (self.path / name).is_dir()), None)

    def find_stem(self, stem: str) -> MediaReference:
        """The video with this stem, wherever it lies below the root but for clips of a question alone."""
        if stem in self._by_stem:
            return MediaReference(self._by_stem[stem], self.path / self._by_stem[stem])
        return _absent(f"{stem}.mp4")

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        """stem -> name; of two files with one stem the one nearer to the root, then the first by name."""
        found: dict[str, str] = {}
        for folder, folders, files in os.walk(self.path, followlinks=True):
            folders[:] = sorted(name for name in folders if name not in _NOT_MEDIA and not name.startswith("."))
            for file in sorted(files):
                name = PurePosixPath(Path(folder, file).relative_to(self.path).as_posix())
                best = found.get(name.stem)
                if name.suffix in SUFFIXES and (best is None or len(name.parts) < len(PurePosixPath(best).parts)):
                    found[name.stem] = str(name)
        return found


def with_suffixes(name: str) -> Iterable[str]:
    """The name as it is, then with each other suffix of a video in place of its own."""
    stem = name.removesuffix(PurePosixPath(name).suffix) if PurePosixPath(name).suffix in SUFFIXES else name
    return dict.fromkeys((name, *(stem + suffix for suffix in SUFFIXES)))


def _absent(name: str) -> MediaReference:
    return MediaReference(_plain(name), None, missing=MISSING if _is_inside(name) else OUTSIDE_ROOT)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not set(name) & set("\\\0")


def _plain(name: str) -> str:
    return str(PurePosixPath(name))

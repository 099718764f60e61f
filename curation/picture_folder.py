"""A clip that comes as a folder of pictures, one a frame: sampled and resized like a video file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from curation.clip import frames_of, spread_over
from curation.errors import MediaError
from curation.gops import Span
from curation.pictures import read_picture
from curation.resizing import RGB
from curation.video import Frames, VideoConfig, check_file, fitted_size

_SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
_DIGITS: Final = re.compile(r"([0-9]+)")


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order, 2.jpg before 10.jpg. Raises MediaError (missing, empty)."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.name[0] != "."]
    except OSError as error:
        raise MediaError("missing", f"no such folder: {error.strerror or error}") from error
    if not found:
        raise MediaError("empty", "the folder has no pictures")
    return sorted(found, key=lambda path: (_natural(path.name), path.name))


def read_picture_folder(folder: Path, fps: float, config: VideoConfig, span: Span | None = None) -> Frames:
    """Frame n of the clip is the picture at place n, n / fps seconds after the first.

    All get the size that the first of those sampled gets. Raises MediaError: missing, empty, no_frames, and for a
    picture what `read_frames` raises.
    """
    pictures = list_pictures(folder)
    times_s = [number / fps for number in range(len(pictures))]
    inside = frames_of(span, times_s)
    indices = spread_over(inside, config.num_frames)
    frames: list[RGB] = []
    for number in indices:
        image = _read(pictures[number], config)
        if not frames:
            height, width = fitted_size(image.height, image.width, config)
        frames.append(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)))
    return Frames(
        np.stack(frames), tuple(indices), tuple(times_s[number] for number in indices), len(inside), fps, "video"
    )


def _read(path: Path, config: VideoConfig) -> Image.Image:
    try:
        check_file(path, config)
        return read_picture(path, max_source_pixels=config.max_source_pixels).image
    except MediaError as error:
        raise MediaError(error.reason, f"{path.name}: {error}") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers compare as numbers, before text."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]

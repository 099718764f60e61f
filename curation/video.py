"""Frames of a video or a picture, within a pixel budget: the same ones for every engine, for training and evaluation.

`read_frames` gives at most `num_frames` frames, evenly spread, each turned upright and resized to multiples of 28
within [min_pixels, max_pixels]; pixels are taken as square, as the training of the models took them, whatever a sample
aspect ratio says. `probe` measures a file and proves that those frames can be decoded. A file that cannot be
used raises MediaError and never gets a substitute. Run both in a worker process (decoding.py): decoders hang and crash.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self

import av
import numpy as np
from PIL import Image
from pydantic import Field, field_validator, model_validator

from curation.clip import frames_of, read_headers, sample_clip, spread_over, timestamps_tell_the_order
from curation.config import Config
from curation.errors import ConfigError, MediaError
from curation.gops import Span
from curation.orientation import Orientation
from curation.pictures import media_kind, read_picture, sample_animation
from curation.resizing import RGB, Resizer

# Raised by hand when the same file would give other frames, times or measures, so that caches and media manifests of
# before are not used; tests/golden holds it. 1 was a hash of source files.
SAMPLER_VERSION: Final = 2
PATCH: Final = 28  # pixels: a visual token of Qwen2.5-VL covers 28 x 28
MAX_ASPECT_RATIO: Final = 200  # the Qwen processors refuse narrower pictures
# From others (mpegts, mpeg, avi) decord gives other frames than asked for, without a word.
_DECORD_CONTAINERS: Final = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm"})


class VideoConfig(Config):
    """The section `video:`. Defaults are the paper's training budget: 16 frames of 128 tokens (VideoP2R section 5).

    max_pixels and min_pixels bound one resized frame; the budget is never exceeded, and small media are not enlarged
    unless min_pixels says so. max_source_pixels and max_file_bytes bound what is opened at all. timeout_s is per file.
    """

    reader: Literal["pyav", "decord"] = "pyav"
    """The decoder: pyav is exact; decord is refused the containers from which it takes wrong frames."""
    num_frames: int = Field(16, ge=1, le=4096)
    """Frames a clip, evenly spread, at most."""
    max_pixels: int = Field(128 * PATCH * PATCH, ge=PATCH * PATCH)
    """Of one resized frame; never exceeded."""
    min_pixels: int = Field(4 * PATCH * PATCH, ge=0)
    """Of one resized frame; enlarges small media."""
    resize: Literal["bicubic"] = "bicubic"
    """The kernel; there is one."""
    timeout_s: float = Field(120.0, gt=0, allow_inf_nan=False)
    """Of one file, in seconds."""
    num_workers: int = Field(2, ge=1)
    """Decoding processes."""
    max_source_pixels: int = Field(100_000_000, ge=1)
    """Larger pictures and frames are refused."""
    max_file_bytes: int = Field(16 * 2**30, ge=1)
    """Larger files are refused."""

    @field_validator("resize", mode="before")
    @classmethod
    def _swscale_is_gone(cls, resize: object) -> object:
        if resize == "swscale":
            raise ValueError("swscale was 26-32 dB away from bicubic and is gone; set video.resize=bicubic")
        return resize

    @model_validator(mode="after")
    def _budget_is_a_range(self) -> Self:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} exceeds max_pixels {self.max_pixels}; lower min_pixels")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The sampled frames of one file, or of a part of it.

    frames: (T, H, W, 3) uint8 RGB, upright, T <= num_frames. indices: frame numbers in the file. timestamps_s: seconds
    since the first frame of the file. num_source_frames, fps: of the part; fps is its average, None for a picture.
    """

    frames: RGB
    indices: tuple[int, ...]
    timestamps_s: tuple[float, ...]
    num_source_frames: int
    fps: float | None
    kind: Literal["image", "video"]

    @property
    def sampled_fps(self) -> float | None:
        """Sampled frames per second of video, as qwen-vl-utils counts it: second_per_grid_ts is 2 / sampled_fps."""
        return None if self.fps is None else self.fps * len(self.indices) / self.num_source_frames


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file is. width and height: of an upright frame, in stored pixels.

    rotation: degrees counter-clockwise by which a video is turned, after `mirrored` changed left and right.
    sample_aspect_ratio: width:height of one pixel of an upright frame, None where the file does not tell. A player
    stretches by it; neither the sampler nor the readers that models are trained with do.
    num_frames counts the frames that are shown, whatever the container claims. duration_s and fps: None for a picture.
    """

    kind: Literal["image", "video"]
    container: str
    codec: str
    duration_s: float | None
    num_frames: int
    width: int
    height: int
    fps: float | None
    rotation: int
    mirrored: bool = False
    sample_aspect_ratio: str | None = None


def smart_resize(height: int, width: int, *, min_pixels: int, max_pixels: int, factor: int = PATCH) -> tuple[int, int]:
    """The (height, width) to resize to: multiples of `factor`, near the aspect ratio, never above max_pixels.

    Equals qwen-vl-utils wherever that stays within the budget. Theirs can exceed it, when reaching for min_pixels or
    with a very narrow picture; here max_pixels wins. Raises MediaError (aspect_ratio) beyond 200:1, as theirs does.
    """
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise MediaError("aspect_ratio", f"{width}x{height} is narrower than {MAX_ASPECT_RATIO}:1")
    fitted_height = max(factor, round(height / factor) * factor)
    fitted_width = max(factor, round(width / factor) * factor)
    if fitted_height * fitted_width < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        fitted_height = math.ceil(height * scale / factor) * factor
        fitted_width = math.ceil(width * scale / factor) * factor
    if fitted_height * fitted_width > max_pixels:
        scale = math.sqrt(max_pixels / (height * width))
        fitted_height = max(factor, math.floor(height * scale / factor) * factor)
        fitted_width = max(factor, math.floor(width * scale / factor) * factor)
        # A side that was lifted to one patch leaves less for the other one.
        fitted_height = min(fitted_height, max_pixels // fitted_width // factor * factor) or factor
        fitted_width = min(fitted_width, max_pixels // fitted_height // factor * factor)
    return fitted_height, fitted_width


def read_frames(path: Path, config: VideoConfig, span: Span | None = None) -> Frames:
    """Sample, turn upright and resize; with a span, by the same rule within it.

    Raises MediaError: missing, empty, too_large, corrupt, no_video, aspect_ratio, and no_frames for a span without
    any; ConfigError when decord is asked for and not installed.
    """
    check_file(path, config)
    kind, max_source_pixels = media_kind(path), config.max_source_pixels
    if kind == "image":
        frames_of(span, (0.0,))
        frame = _fit_picture(read_picture(path, max_source_pixels=max_source_pixels).image, config)
        return Frames(frame[np.newaxis], (0,), (0.0,), 1, None, "image")
    if kind == "animation":
        fit = partial(_fit_picture, config=config)
        sampled = sample_animation(path, config.num_frames, fit, max_source_pixels=max_source_pixels, span=span)
    elif config.reader == "decord":
        return _read_by_decord(path, config, span)
    else:
        fitting = _Fitting(config)
        sampled = sample_clip(path, config.num_frames, fitting, max_source_pixels=max_source_pixels, span=span)
    return Frames(
        np.stack(sampled.frames),
        sampled.indices,
        sampled.timestamps_s,
        sampled.num_source_frames,
        sampled.fps,
        "video",
    )


def probe(path: Path, config: VideoConfig) -> Probe:
    """Measure a file by decoding the frames that `read_frames` would sample, through PyAV whatever the reader.

    Raises MediaError as `read_frames` does.
    """
    check_file(path, config)
    kind = media_kind(path)
    if kind != "video":
        picture = read_picture(path, max_source_pixels=config.max_source_pixels)
        width, height = picture.image.size
        fitted_size(height, width, config)
        name = picture.format
        if kind == "image":
            return Probe("image", name, name, None, 1, width, height, None, 0)
        moving = sample_animation(path, 1, _size, max_source_pixels=config.max_source_pixels)
        return Probe("video", name, name, moving.duration_s, moving.num_source_frames, width, height, moving.fps, 0)
    headers = read_headers(path, max_source_pixels=config.max_source_pixels)
    sampled = sample_clip(path, config.num_frames, _shape, max_source_pixels=config.max_source_pixels)
    height, width, orientation = sampled.frames[0]
    fitted_size(height, width, config)
    aspect = headers.sample_aspect_ratio
    if aspect is not None and orientation.swaps_sides:
        aspect = 1 / aspect
    return Probe(
        "video",
        headers.container,
        headers.codec,
        sampled.duration_s,
        sampled.num_source_frames,
        width,
        height,
        sampled.fps,
        90 * orientation.num_quarters,
        orientation.mirrored,
        None if aspect is None else f"{aspect.numerator}:{aspect.denominator}",
    )


def check_file(path: Path, config: VideoConfig) -> None:
    """Raises MediaError (missing, empty, too_large) for what need not be opened."""
    try:
        num_bytes = path.stat().st_size
        readable = path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError) as error:
        raise MediaError("missing", f"no such file: {getattr(error, 'strerror', None) or error}") from error
    if not readable:
        raise MediaError("missing", "not a file that can be read")
    if num_bytes == 0:
        raise MediaError("empty", "the file has no bytes")
    if num_bytes > config.max_file_bytes:
        raise MediaError("too_large", f"{num_bytes} bytes, the limit is {config.max_file_bytes}")


def fitted_size(height: int, width: int, config: VideoConfig) -> tuple[int, int]:
    """The (height, width) of a resized frame of this source size. Raises MediaError (aspect_ratio)."""
    return smart_resize(height, width, min_pixels=config.min_pixels, max_pixels=config.max_pixels)


def _fit_picture(picture: Image.Image, config: VideoConfig) -> RGB:
    height, width = fitted_size(picture.height, picture.width, config)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def _size(picture: Image.Image) -> tuple[int, int]:
    return picture.size


def _shape(frame: av.VideoFrame) -> tuple[int, int, Orientation]:
    """(height, width) when upright, and how it is brought there."""
    orientation = Orientation.of(frame)
    height, width = (frame.width, frame.height) if orientation.swaps_sides else (frame.height, frame.width)
    return height, width, orientation


class _Fitting:
    """Brings each decoded frame to the size that the first one gets, also where the stream changes its size."""

    def __init__(self, config: VideoConfig) -> None:
        self._config = config
        self._resize: Callable[[av.VideoFrame], RGB] | None = None

    def __call__(self, frame: av.VideoFrame) -> RGB:
        height, width, orientation = _shape(frame)
        if self._resize is None:
            fitted_height, fitted_width = fitted_size(height, width, self._config)
            if orientation.swaps_sides:
                fitted_height, fitted_width = fitted_width, fitted_height
            self._resize = Resizer(fitted_height, fitted_width)
        return orientation.apply(self._resize(frame))


def _read_by_decord(path: Path, config: VideoConfig, span: Span | None) -> Frames:
    """The same frames through decord, where decord is right (closed GOPs, no edit list, no AV1).

    A container from which it takes wrong frames is refused, and so are timestamps that are decode times, and
    reflections. One thread and a reader of its own: with more, decord fails on VP9, and a shared reader crashes.
    """
    decord = import_decord()
    limit = config.max_source_pixels
    container = read_headers(path, max_source_pixels=limit).container
    if container not in _DECORD_CONTAINERS:
        raise MediaError("corrupt", f"decord takes wrong frames from {container}: set video.reader=pyav")
    if not timestamps_tell_the_order(path, config.num_frames, max_source_pixels=limit):
        raise MediaError("corrupt", "its timestamps do not tell the order of its frames: set video.reader=pyav")
    if sample_clip(path, 1, Orientation.of, max_source_pixels=limit).frames[0].mirrored:
        raise MediaError("corrupt", "decord does not mirror frames: set video.reader=pyav")
    try:
        reader: Any = decord.VideoReader(os.fspath(path), num_threads=1)
        if not (num_source_frames := len(reader)):
            raise MediaError("corrupt", "decord finds no frame in it")
        starts_s = [float(start_s) for start_s in reader.get_frame_timestamp(range(num_source_frames))[:, 0]]
        times_s = [start_s - starts_s[0] for start_s in starts_s]
        inside = frames_of(span, times_s)
        indices = spread_over(inside, config.num_frames)
        fit = _Fitting(config)
        frames = [fit(av.VideoFrame.from_ndarray(reader[index].asnumpy(), format="rgb24")) for index in indices]
        fps = float(reader.get_avg_fps())
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise MediaError("corrupt", f"decord cannot decode it: {' '.join(str(error).split())[:200]}") from error
    timestamps_s = tuple(times_s[index] for index in indices)
    return Frames(np.stack(frames), tuple(indices), timestamps_s, len(inside), fps, "video")


def import_decord() -> Any:
    """The optional reader. Raises ConfigError with the line that installs it."""
    try:
        import decord
    except ImportError as error:
        raise ConfigError(
            "video.reader is decord, which is not installed. Run: pip install -e '.[decord]', or set video.reader=pyav."
        ) from error
    return decord

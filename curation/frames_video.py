"""Sampled frames as one small video file, for a server that takes videos: no other frames, each at its time.

The JPEG or PNG files become the file's packets as they are, at one frame rate, the mean one of the sampled frames:
Qwen2.5-VL knows one number of seconds a clip, and training gives it the same (training/collate.py).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
from PIL import Image

_CODECS: Final = {"image/jpeg": ("mjpeg", "yuvj444p"), "image/png": ("png", "rgb24")}
_FRAMES_PER_GRID: Final = 2
_TOKENS_PER_SECOND: Final = 2  # positions of every released Qwen2.5-VL
_MP4_LIMIT: Final = 2**31


def frames_as_video(frames: Sequence[bytes], mime: str, sampled_fps: float | None) -> bytes:
    """An MP4 file with these frames; mime: of all of them. A single frame stands in it twice: OpenCV reads no less.

    The model fills the clip's last grid in the same way. Raises ValueError for frames without a rate: they have no
    time.
    """
    if sampled_fps is None and len(frames) > 1:
        raise ValueError("the frames of a video have no frame rate, so they have no time")
    rate = Fraction(1) if sampled_fps is None else file_rate(sampled_fps, -(-len(frames) // _FRAMES_PER_GRID))
    tick = Fraction(1, rate.numerator)  # the muxer makes the stream's own finer
    codec, pixels = _CODECS[mime]
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = picture_size(frames[0])
        stream.pix_fmt = pixels
        stream.time_base = tick
        for number, frame in enumerate(frames if len(frames) > 1 else [*frames, *frames]):
            packet = av.Packet(frame)
            packet.stream = stream
            packet.time_base = tick
            packet.pts = packet.dts = number * rate.denominator
            packet.duration = rate.denominator
            packet.is_keyframe = True
            container.mux(packet)
    return content.getvalue()


def picture_size(picture: bytes) -> tuple[int, int]:
    """(width, height), from the header alone. Raises OSError for what is no picture."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def file_rate(sampled_fps: float, num_grids: int) -> Fraction:
    """The frame rate, as an MP4 file can tell it, at which a server gives the grids training's own time positions.

    A server keeps the seconds of a grid in single precision and multiplies in double, training multiplies in single:
    where a grid falls on a whole position the two can differ by one. One step more of the seconds mends that, but for
    about one clip of 64 frames in a thousand, of which the rate with the fewest differences is taken.
    """
    trained = _trained_positions(sampled_fps, num_grids)
    seconds = np.float32(_FRAMES_PER_GRID / sampled_fps)
    longer = np.nextafter(seconds, np.float32(np.inf))
    best = min((seconds, longer), key=lambda tried: np.sum(_served_positions(float(tried), num_grids) != trained))
    return _simplest(_FRAMES_PER_GRID / float(best), best) if best != seconds else _simplest(sampled_fps, seconds)


def _trained_positions(sampled_fps: float, num_grids: int) -> np.typing.NDArray[np.int64]:
    """As training/positions.py."""
    interval = np.float32(_TOKENS_PER_SECOND * (_FRAMES_PER_GRID / sampled_fps))
    return (np.arange(num_grids, dtype=np.float32) * interval).astype(np.int64)


def _served_positions(seconds_per_grid: float, num_grids: int) -> np.typing.NDArray[np.int64]:
    """As vLLM."""
    return (np.arange(num_grids) * (seconds_per_grid * _TOKENS_PER_SECOND)).astype(np.int64)


def _simplest(rate: float, seconds: np.float32) -> Fraction:
    """The rate with the smallest numbers that still makes exactly these seconds a grid."""
    for digits in range(10):
        found = Fraction(rate).limit_denominator(10**digits)
        if found > 0 and np.float32(_FRAMES_PER_GRID / float(found)) == seconds:
            break
    if not 0 < found.numerator < _MP4_LIMIT:
        raise ValueError(f"a video file cannot tell {rate:g} frames a second")
    return found

"""Antialiased bicubic resizing of decoded frames: always from packed RGB, each colour plane on its own.

A frame is first converted to rgb24. Other ways are cheaper and wrong: to planar RGB, swscale leaves the last columns
of 8-bit YUV unwritten where the width is no multiple of 16, and scaling before the conversion is 26-32 dB away.

FFmpeg's scaler is given the kernel of Pillow and torch (a = -0.5). It keeps 15 bits between its two passes where they
keep 8, and takes a third of Pillow's time. It repeats the outermost pixels where they cut the kernel off, so the
outermost target pixels are Pillow's. Against bicubic in double precision a value is off by at most one level, rarely by
two where a side hardly shrinks, and by more only where a pass overshoots 0-255 and is clipped before the next one, at
hard edges of saturated colours: there Pillow and torch are off alike.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

import av
import av.filter
import numpy as np
import numpy.typing as npt
from PIL import Image

_SCALE: Final = "{width}:{height}:flags=bicubic+accurate_rnd:param0=0:param1=0.5"
_MAX_SHRINKING: Final = 32  # the scaler's kernels end at 256 taps, 4 for each source pixel of a target pixel
_REACH: Final = 2  # target pixels on either side of a kernel's middle; so many at each border have a cut kernel

RGB = npt.NDArray[np.uint8]


class Resizer:
    """Resizes any number of frames to one size; builds its filters anew when the source size changes."""

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._source_size = (0, 0)
        self._graph: av.filter.Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> RGB:
        """(height, width, 3) RGB."""
        packed = frame.reformat(format="rgb24", threads=1)
        source = np.asarray(packed.to_ndarray(), np.uint8)
        shrinking = (frame.height / self._height, frame.width / self._width)
        if shrinking == (1, 1):
            return source
        if min(shrinking) < 1 or max(shrinking) > _MAX_SHRINKING:  # it enlarges unlike them, or has no such kernel
            return _by_pillow(source, self._height, self._width)
        if self._graph is None or self._source_size != (frame.height, frame.width):
            self._source_size = (frame.height, frame.width)
            self._graph = _build_graph(self._source_size, (self._height, self._width))
        self._graph.vpush(packed)
        resized = np.array(self._graph.vpull().to_ndarray(), np.uint8)
        _resize_borders(source, resized)
        return resized


def _by_pillow(source: RGB, height: int, width: int, box: tuple[float, float, float, float] | None = None) -> RGB:
    picture = Image.fromarray(np.ascontiguousarray(source))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box))


def _resize_borders(source: RGB, resized: RGB) -> None:
    """Put Pillow's pixels along the four borders of `resized`, each from as much of the source as they reach."""
    for horizontal in (False, True):  # views with the axis in question first
        from_view, to_view = (view.swapaxes(0, 1) if horizontal else view for view in (source, resized))
        scale = len(from_view) / len(to_view)
        covered = _REACH * scale
        reach = min(len(from_view), math.ceil(2 * covered) + 1)
        for strip, start, border in (
            (from_view[:reach], 0.0, to_view[:_REACH]),
            (from_view[-reach:], reach - covered, to_view[-_REACH:]),
        ):
            end = start + covered
            if horizontal:
                box = (start, 0, end, source.shape[0])
                border[...] = _by_pillow(strip.swapaxes(0, 1), len(resized), _REACH, box).swapaxes(0, 1)
            else:
                border[...] = _by_pillow(strip, _REACH, resized.shape[1], (0, start, source.shape[1], end))


def _build_graph(source_size: tuple[int, int], size: tuple[int, int]) -> av.filter.Graph:
    """Planes apart, each scaled, together again as rgb24; one thread."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=source_size[1], height=source_size[0], format=av.VideoFormat("rgb24"), time_base=Fraction(1)
    )
    number = graph.add("setpts", "N")  # the planes are merged by their times
    split = graph.add("extractplanes", "r+g+b")
    merge = graph.add("mergeplanes", "map0s=0:map1s=1:map2s=2:format=gbrp")
    source.link_to(number)
    number.link_to(split)
    for plane, place_in_gbr in enumerate((2, 0, 1)):
        scale = graph.add("scale", _SCALE.format(width=size[1], height=size[0]))
        split.link_to(scale, plane, 0)
        scale.link_to(merge, 0, place_in_gbr)
    packer = graph.add("format", "rgb24")
    merge.link_to(packer)
    packer.link_to(graph.add("buffersink"))
    graph.configure()
    return graph

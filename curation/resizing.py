"""Antialiased bicubic resizing of decoded frames, each colour plane on its own.

FFmpeg's scaler is given the kernel of Pillow and torch (a = -0.5) and planar RGB, so that it does not pass through YUV
once more. It keeps 15 bits between its two passes where they keep 8: against bicubic in double precision it differs in
0.4 % of the values, Pillow and torch in 5 %. And it takes a third of Pillow's time.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av
import av.filter
import numpy as np
import numpy.typing as npt
from PIL import Image

_SCALE: Final = "{width}:{height}:flags=bicubic+accurate_rnd:param0=0:param1=0.5"
_MAX_SHRINKING: Final = 32  # the scaler's kernels end at 256 taps, 4 for each source pixel of a target pixel


class Resizer:
    """Resizes any number of frames to one size; builds its filters anew when the source size changes."""

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._source_size = (0, 0)
        self._graph: av.filter.Graph | None = None
        self._num_frames = 0

    def __call__(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB."""
        if (frame.height, frame.width) == (self._height, self._width):
            return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        shrinking = (frame.height / self._height, frame.width / self._width)
        if (
            min(shrinking) < 1 or max(shrinking) > _MAX_SHRINKING
        ):  # beyond its kernels; at an edge it enlarges unlike them
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
            return np.asarray(picture.resize((self._width, self._height), Image.Resampling.BICUBIC))
        if self._graph is None or self._source_size != (frame.height, frame.width):
            self._source_size = (frame.height, frame.width)
            self._graph = _build_graph(self._source_size, (self._height, self._width))
        planar = frame.reformat(format="gbrp")
        planar.pts, planar.time_base = self._num_frames, Fraction(1)  # the planes are merged by their times
        self._num_frames += 1
        self._graph.vpush(planar)
        return np.asarray(self._graph.vpull().to_ndarray(), np.uint8)


class SwscaleResizer:
    """Resizes and converts to RGB in one step: cheaper, and 40-45 dB away from the above."""

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width

    def __call__(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """(height, width, 3) RGB."""
        small = frame.reformat(self._width, self._height, "rgb24", interpolation="BICUBIC")
        return np.asarray(small.to_ndarray(), np.uint8)


def _build_graph(source_size: tuple[int, int], size: tuple[int, int]) -> av.filter.Graph:
    """Planes apart, each scaled, together again as rgb24; one thread."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=source_size[1], height=source_size[0], format=av.VideoFormat("gbrp"), time_base=Fraction(1)
    )
    split = graph.add("extractplanes", "r+g+b")
    merge = graph.add("mergeplanes", "map0s=0:map1s=1:map2s=2:format=gbrp")
    source.link_to(split)
    for plane, place_in_gbr in enumerate((2, 0, 1)):
        scale = graph.add("scale", _SCALE.format(width=size[1], height=size[0]))
        split.link_to(scale, plane, 0)
        scale.link_to(merge, 0, place_in_gbr)
    packed = graph.add("format", "rgb24")
    merge.link_to(packed)
    packed.link_to(graph.add("buffersink"))
    graph.configure()
    return graph

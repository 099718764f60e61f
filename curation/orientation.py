"""How a decoded frame must be turned to stand as a player shows it: quarter turns and reflections.

A container (MP4, Matroska) or the stream itself (H.264, HEVC) may carry a display matrix, which decoders attach to
each frame and do not apply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from curation.resizing import RGB


@dataclass(frozen=True, slots=True)
class Orientation:
    """Mirror left and right if `mirrored`, then turn counter-clockwise by `num_quarters` (0 to 3) quarters."""

    mirrored: bool
    num_quarters: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """From its display matrix; an angle between quarters is rounded to the nearest."""
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls(mirrored=False, num_quarters=0)
        # Columns of the 2 x 2 part: where one step to the right goes, and one step down.
        right_x, right_y, _, down_x, down_y = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
        mirrored = bool(right_x * down_y < right_y * down_x)
        if mirrored:
            right_x, right_y = -right_x, -right_y
        return cls(mirrored, round(math.atan2(-right_y, right_x) / (math.pi / 2)) % 4)

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change places."""
        return self.num_quarters % 2 == 1

    def apply(self, pixels: RGB) -> RGB:
        """(H, W, 3), upright."""
        return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if self.mirrored else pixels, self.num_quarters))

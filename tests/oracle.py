"""What a sampled frame should be, without the code under test: every frame in order, then bicubic in double precision.

The kernel is the one of Pillow and torch: a = -0.5, as wide as the shrinking, cut off and renormalised at the borders.
"""

from __future__ import annotations

import numpy as np


def bicubic(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3) int, both axes in double precision, rounded and clipped once at the end."""
    rows, columns = _kernels(picture.shape[0], height), _kernels(picture.shape[1], width)
    narrow = np.einsum("hwc,ow->hoc", picture.astype(float), columns, optimize=True)
    small = np.einsum("hwc,oh->owc", narrow, rows, optimize=True)
    return np.clip(np.floor(small + 0.5), 0, 255).astype(int)


def _kernels(length: int, target: int) -> np.ndarray:
    """(target, length): the weights of each target pixel."""
    scale = length / target
    stretch = max(scale, 1.0)
    middles = (np.arange(target)[:, None] + 0.5) * scale
    distance = np.abs((np.arange(length) + 0.5 - middles) / stretch)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)

"""The metrics that only benchmarks have: mean relative accuracy, and overlap of intervals and of boxes."""

from __future__ import annotations

from typing import Final

import numpy as np

from training.benchmarks.answers import Box, Interval

# VSI-Bench writes linspace(0.5, 0.95, int((0.95 - 0.5) / 0.05 + 2)), which rounding makes ten points.
_OFFICIAL_TOLERANCES: Final = 1 - np.linspace(0.5, 0.95, 10)
_VIDEOR1_TOLERANCES: Final = np.float32(1) - np.arange(50, 100, 5).astype(np.float32) / np.float32(100)
_VIDEOR1_EPSILON: Final = np.float32(1e-8)


def mean_relative_accuracy(given: float, gold: float) -> float:
    """The share of ten thresholds 0.50, 0.55, ... 0.95 with |given - gold| / |gold| <= 1 - threshold (VSI-Bench).

    Against a gold of zero, 1 for zero and 0 else.
    """
    if gold == 0:
        return float(given == 0)
    with np.errstate(over="ignore"):
        error = np.float64(abs(given - gold)) / np.float64(abs(gold))
    return float((error <= _OFFICIAL_TOLERANCES).mean())


def mean_relative_accuracy_videor1(given: float, gold: float) -> float:
    """The same with "<" and in single precision (Video-R1, eval_bench.py): 3 of 4 scores 0.5 and not 0.6."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(np.float32(given) - np.float32(gold)) / (np.abs(np.float32(gold)) + _VIDEOR1_EPSILON)
    return float((error < _VIDEOR1_TOLERANCES).mean())


def interval_iou(left: Interval, right: Interval) -> float:
    """Shared time over covered time, in [0, 1]."""
    shared = min(left[1], right[1]) - max(left[0], right[0])
    covered = max(left[1], right[1]) - min(left[0], right[0])
    return max(0.0, shared) / covered if shared > 0 else 0.0


def box_iou(left: Box, right: Box) -> float:
    """Shared area over covered area, in [0, 1]; boxes are (x1, y1, x2, y2)."""
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(left) + _area(right) - width * height)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])

"""Which two videos show the same, from perceptual hashes of sampled frames: through re-encoding, resizing and cutting.

A frame's hash is the signs of its low spatial frequencies (a DCT of the luma against its median, and of the colours
with a dead zone, so that grey videos have stable bits too). Frames without contrast have none. Two frames match within
MAX_BITS. A video is compared by its distinct frames, any two more than 2 * MAX_BITS apart: by the triangle inequality
no frame of another video can match two of them, so that a still scene, a title card or a tripod's background yields
one match however long it lasts. Two videos are the same when a chain of at least MIN_CHAIN distinct frames of one
matches frames of the other in the same order, and its length times its share of all distinct frames reaches
MIN_EVIDENCE: of few frames most must match, of many a part is enough, as a cut leaves it.

The numbers were measured by tests/bench/bench_frame_hashes.py.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from curation.resizing import RGB
from curation.video import VideoConfig

NUM_FRAMES: Final = 64
MAX_BITS: Final = 10
MIN_CHAIN: Final = 4
MIN_EVIDENCE: Final = 2.5
# Small frames suffice for 12 x 12 frequencies.
SAMPLING: Final = VideoConfig(num_frames=NUM_FRAMES, max_pixels=64 * 28 * 28, min_pixels=0)
HASH_VERSION: Final = f"dct2-{NUM_FRAMES}"

NUM_WORDS: Final = 4  # 63 + 80 luma bits and 64 colour bits in four words of 64
_GRID: Final = 32
_COARSE, _FINE, _COLOUR = 8, 12, 4  # frequencies a side
_MIN_CONTRAST: Final = 1.0  # grey levels, RMS over the low frequencies: less is black, or noise
_COLOUR_DEAD_ZONE: Final = 0.15
_BLOCK_FRAMES: Final = 8

Words = npt.NDArray[np.uint64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """A video's hashes. words: (T, 4), one row per sampled frame with contrast; distinct: (D, 4), a subset of them."""

    words: Words
    distinct: Words

    @classmethod
    def of(cls, words: Words) -> Self:
        """Choose the distinct ones, in order."""
        return cls(words, words[_distinct_places(words)])

    @property
    def is_comparable(self) -> bool:
        """False when too few frames can be told apart."""
        return len(self.distinct) >= MIN_CHAIN


def hash_frames(frames: RGB) -> Words:
    """(T, H, W, 3) uint8 -> (at most T, 4): frames without contrast are left out."""
    frequencies = _frequencies(frames)
    luma = frequencies[:, 0].reshape(len(frames), -1)[:, 1:]  # without the mean brightness
    has_contrast = np.sqrt((luma**2).sum(axis=1)) >= _MIN_CONTRAST
    luma_bits = luma > np.median(luma, axis=1, keepdims=True)
    places = np.arange(_FINE * _FINE).reshape(_FINE, _FINE)
    coarse = places[:_COARSE, :_COARSE].ravel()[1:]
    fine = np.setdiff1d(places.ravel()[1:], coarse)
    colour = frequencies[:, 1:, :_COLOUR, :_COLOUR].reshape(len(frames), -1)
    bits = np.zeros((len(frames), NUM_WORDS * 64), bool)
    bits[:, :63] = luma_bits[:, coarse - 1]
    bits[:, 64:144] = luma_bits[:, fine - 1]
    bits[:, 144:176] = colour > _COLOUR_DEAD_ZONE
    bits[:, 176:208] = colour < -_COLOUR_DEAD_ZONE
    words: Words = np.packbits(bits, axis=1).view(np.uint64)[has_contrast]
    return words


def same_video(one: Signature, other: Signature) -> bool:
    """By the rule above; either may be a part of the other."""
    return one.is_comparable and other.is_comparable and (_is_found_in(one, other) or _is_found_in(other, one))


def find_same(
    own: Mapping[str, Signature],
    others: Mapping[str, Signature],
    progress: Callable[[int], None] = lambda num_done: None,
) -> dict[str, list[str]]:
    """The names of `others` that show the same as each of `own`; without those that have none.

    Every pair is compared. `progress` is told how many of `own` were done since the last call.
    """
    names = [name for name, signature in others.items() if signature.is_comparable]
    if not names:
        return {}
    coarse_of = [np.unique(others[name].words[:, 0]) for name in names]
    coarse, starts = np.concatenate(coarse_of), np.cumsum([0, *map(len, coarse_of[:-1])])

    def find(signature: Signature) -> list[str]:
        if not signature.is_comparable:
            return []
        candidates = _candidates(signature.words[:, 0], coarse, starts)
        return [names[place] for place in candidates if same_video(signature, others[names[place]])]

    found = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for name, same in zip(own, threads.map(find, own.values()), strict=True):
            if same:
                found[name] = same
            progress(1)
    return found


def _candidates(
    words: npt.NDArray[np.uint64], coarse: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64]
) -> list[int]:
    """Videos that can be the same at all: MIN_CHAIN frames come near one of theirs in the first word alone."""
    num_near = np.zeros(len(starts), np.int64)
    distinct, num_frames = np.unique(words, return_counts=True)
    for first in range(0, len(distinct), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        near = np.bitwise_count(distinct[block, None] ^ coarse) <= MAX_BITS
        num_near += num_frames[block] @ np.logical_or.reduceat(near, starts, axis=1)
    return [int(place) for place in np.flatnonzero(num_near >= MIN_CHAIN)]


def _is_found_in(part: Signature, whole: Signature) -> bool:
    """Enough distinct frames of `part`, in order, among the frames of `whole`."""
    near = _distances(part.distinct, whole.words) <= MAX_BITS
    # At most one distinct frame matches a frame of `whole`, so the longest chain is the longest increasing run of them.
    matched = near.argmax(axis=0)[near.any(axis=0)]
    chain = _longest_increasing(matched.tolist())
    return chain >= MIN_CHAIN and chain * chain / len(part.distinct) >= MIN_EVIDENCE


def _longest_increasing(places: Sequence[int]) -> int:
    """The length of the longest strictly increasing subsequence."""
    ends: list[int] = []
    for place in places:
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(ends)


def _distinct_places(words: Words) -> list[int]:
    """Each frame that is more than 2 * MAX_BITS from all that were chosen before it."""
    far = _distances(words, words) > 2 * MAX_BITS
    chosen: list[int] = []
    for place in range(len(words)):
        if far[place, chosen].all():
            chosen.append(place)
    return chosen


def _distances(ones: Words, others: Words) -> npt.NDArray[np.uint64]:
    """(A, 4), (B, 4) -> (A, B): bits that differ."""
    distances: npt.NDArray[np.uint64] = np.bitwise_count(ones[:, None] ^ others[None]).sum(axis=2, dtype=np.uint64)
    return distances


def _frequencies(frames: RGB) -> _Floats:
    """(T, H, W, 3) -> (T, 3, 12, 12): low DCT coefficients of luma, blue and red difference, in grey levels."""
    num_frames, height, width, _ = frames.shape
    rows, columns = _dct_of_areas(height), _dct_of_areas(width)
    low = np.empty((num_frames, 3, _FINE, _FINE), np.float32)
    for place, frame in enumerate(frames):  # one at a time: floats of all would be four times the frames
        rgb = np.moveaxis(frame.astype(np.float32), 2, 0)
        red, green, blue = rows @ rgb @ columns.T
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        low[place] = luma, 0.564 * (blue - luma), 0.713 * (red - luma)
    return low


def _dct_of_areas(length: int) -> _Floats:
    """(12, length): the means of 32 equal areas, then an orthonormal DCT-II scaled to grey levels, as one matrix."""
    edges = np.arange(_GRID + 1) * length / _GRID
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    areas = np.clip(covered, 0, None) * _GRID / length
    waves = np.sqrt(2 / _GRID) * np.cos(np.pi * np.outer(np.arange(_FINE), np.arange(_GRID) + 0.5) / _GRID)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves @ areas / np.sqrt(_GRID), np.float32)

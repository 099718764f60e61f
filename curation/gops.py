"""Which frames to sample, and the shortest way to decode them: pure, over packet timestamps.

A group of pictures (GOP) starts at a keyframe. A frame is exact when decoding starts at a keyframe that comes no later
than the frame both in decode order and in presentation order: in an open GOP, frames that follow a keyframe in the file
but are shown before it still need the GOP before.

Timestamps are a claim of the container; the decoder alone knows the order. Where they say that a frame is shown before
one that was decoded earlier, somebody has looked at the stream; where they merely ascend, they may be decode times.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

_ROUNDING_S: Final = 1e-6  # of a time that is ticks times the length of a tick


def sample_indices(num_frames_total: int, num_frames: int) -> list[int]:
    """At most `num_frames` frame numbers, evenly spread, the first and the last frame included.

    Equals qwen-vl-utils' linspace(0, total - 1, num_frames).round(), except that a clip shorter than `num_frames` gives
    each of its frames once: a frame is never repeated here. A consumer that needs an even number of frames pads.
    """
    if num_frames_total <= num_frames:
        return list(range(num_frames_total))
    if num_frames == 1:
        return [0]
    step = (num_frames_total - 1) / (num_frames - 1)
    return [round(place * step) for place in range(num_frames)]


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a clip from start_s to end_s, both included, in seconds since its first frame.

    None is its beginning, or its end.
    """

    start_s: float | None = None
    end_s: float | None = None

    def __str__(self) -> str:
        begin = "the beginning" if self.start_s is None else f"{self.start_s:g} s"
        return f"from {begin} to {'the end' if self.end_s is None else f'{self.end_s:g} s'}"

    def frames_within(self, times_s: Sequence[float]) -> list[int]:
        """The numbers of the frames that begin within it, each at its time."""
        start_s = float("-inf") if self.start_s is None else self.start_s - _ROUNDING_S
        end_s = float("inf") if self.end_s is None else self.end_s + _ROUNDING_S
        return [number for number, time_s in enumerate(times_s) if start_s <= time_s <= end_s]


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """The packets of one video stream, named by their place in decode order.

    pts: the unique presentation timestamp of each packet, in ticks; places: its inverse. keyframes: places, ascending.
    shown: the places of the frames that are shown, in presentation order; frame n of the clip is packet shown[n].
    hidden: the places of the others. overtakes: whether a packet is to be shown before one that precedes it in decode
    order.
    """

    pts: tuple[int, ...]
    places: Mapping[int, int]
    keyframes: tuple[int, ...]
    shown: tuple[int, ...]
    hidden: frozenset[int]
    overtakes: tuple[bool, ...]

    @classmethod
    def build(
        cls, pts: Sequence[int], keyframes: Sequence[int], hidden: Sequence[int], reorder_depth: int
    ) -> PacketIndex | None:
        """None when the timestamps cannot tell which frame is which: only decoding from the start can.

        That is when they are not unique, or in an order that no decoder with a delay of `reorder_depth` frames brings
        about, when nothing is shown, and when something is shown that comes before the first keyframe in either order:
        whether it can be decoded depends on the stream. hidden: packets that the container says not to show (an edit
        list).
        """
        if not keyframes or len(set(pts)) != len(pts) or not _can_be_sorted(pts, reorder_depth):
            return None
        first, not_shown = keyframes[0], frozenset(hidden)
        shown = sorted((place for place in range(len(pts)) if place not in not_shown), key=pts.__getitem__)
        if not shown or any(place < first or pts[place] < pts[first] for place in shown):
            return None
        places = {ticks: place for place, ticks in enumerate(pts)}
        overtakes = tuple(ticks < latest for ticks, latest in zip(pts, accumulate(pts, max), strict=True))
        return cls(tuple(pts), places, tuple(keyframes), tuple(shown), not_shown, overtakes)

    def is_settled(self, place: int) -> bool:
        """Whether the packet at `place` needs none after it to be shown in its turn.

        So it is where timestamps near it reorder packets, and are no decode times, and at the end of a GOP.
        """
        next_keyframe = bisect_right(self.keyframes, place)
        ends_gop = next_keyframe < len(self.keyframes) and self.keyframes[next_keyframe] == place + 1
        return ends_gop or any(self.overtakes[place : place + 3])

    def start_for(self, place: int) -> int:
        """The keyframe from which the packet at `place` can be decoded exactly."""
        latest = bisect_right(self.keyframes, place) - 1
        while latest > 0 and self.pts[self.keyframes[latest]] > self.pts[place]:
            latest -= 1
        return self.keyframes[latest]


def _can_be_sorted(pts: Sequence[int], depth: int) -> bool:
    """Whether a decoder that holds back `depth` frames, and always shows the earliest, shows them in order."""
    held: list[int] = []
    shown = None
    for ticks in pts:
        if len(held) < depth:
            heapq.heappush(held, ticks)
            continue
        earliest = heapq.heappushpop(held, ticks)
        if shown is not None and earliest < shown:
            return False
        shown = earliest
    return True


@dataclass(frozen=True, slots=True)
class Run:
    """Decode the packets from `start`, a keyframe, through `stop`; keep those at `wanted`."""

    start: int
    stop: int
    wanted: frozenset[int]


def plan_runs(index: PacketIndex, indices: Sequence[int]) -> list[Run]:
    """Runs that do not overlap, in decode order, that together give the frames numbered `indices`."""
    runs: list[Run] = []
    places = (index.shown[number] for number in indices)
    for start, place in sorted((index.start_for(place), place) for place in places):
        if runs and start <= runs[-1].stop:
            runs[-1] = Run(runs[-1].start, max(place, runs[-1].stop), runs[-1].wanted | {place})
        else:
            runs.append(Run(start, place, frozenset({place})))
    return runs

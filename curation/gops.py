"""Which frames to sample, and the shortest way to decode them: pure, over packet timestamps.

A group of pictures (GOP) starts at a keyframe. A frame is exact when decoding starts at a keyframe that comes no later
than the frame both in decode order and in presentation order: in an open GOP, frames that follow a keyframe in the file
but are shown before it still need the GOP before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """

    pts: tuple[int, ...]
    places: Mapping[int, int]
    keyframes: tuple[int, ...]
    shown: tuple[int, ...]

    @classmethod
    def build(cls, pts: Sequence[int], keyframes: Sequence[int], hidden: Sequence[int]) -> PacketIndex | None:
        """None when the timestamps cannot tell the frames apart, or nothing is shown.

        hidden: packets that the container says not to show (an edit list). Also hidden is what no decoder can show:
        what comes before the first keyframe in decode order, and the leading frames of that keyframe.
        """
        if not keyframes or len(set(pts)) != len(pts):
            return None
        first, not_shown = keyframes[0], frozenset(hidden)
        shown = [place for place in range(first, len(pts)) if pts[place] >= pts[first] and place not in not_shown]
        shown.sort(key=pts.__getitem__)
        if not shown:
            return None
        return cls(tuple(pts), {ticks: place for place, ticks in enumerate(pts)}, tuple(keyframes), tuple(shown))

    def start_for(self, place: int) -> int:
        """The keyframe from which the packet at `place` can be decoded exactly."""
        latest = bisect_right(self.keyframes, place) - 1
        while latest > 0 and self.pts[self.keyframes[latest]] > self.pts[place]:
            latest -= 1
        return self.keyframes[latest]


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

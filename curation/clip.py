"""Exact frames of one video file through PyAV, decoding as little as possible.

The packets are listed first, without decoding. Then only the GOPs that hold a wanted frame are decoded, from their
keyframe to the last wanted frame, and frames that nothing refers to are skipped on the way. What comes out is bit-equal
to decoding the whole file; where a container does not allow that (MPEG-TS, a seek that overshoots, timestamps that are
missing, not unique or contradict the decoder), the file is decoded from its start.

Frames are numbered as the decoder shows them. Their times grow: where the container has decode times instead (H.264
with B-frames in AVI, a careless remux), they are put in order; frames that share a time are spread up to the next one;
a file whose times run backwards or leap is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final, Generic, TypeVar

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from curation.ebml import segment_end
from curation.errors import MediaError
from curation.gops import PacketIndex, Run, Span, plan_runs, sample_indices

T = TypeVar("T")

# Demuxers that a media file may use. Playlists and other formats that point to further files are not among them, so a
# hostile file cannot make FFmpeg open another one or a network address.
_FORMATS: Final = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,asf,ogg,gif,mxf,dv,nut,rm,swf,"
    "mp3,wav,flac,aac,ac3,aiff,amr"
)
# A longer gap between two frames, beside gaps that are mostly a hundredth of it, is a wrong timestamp.
_LONGEST_GAP_S: Final = 60.0
_GAP_RATIO: Final = 100
_SEEKABLE: Final = frozenset({"mov", "mp4", "matroska", "webm", "avi", "flv", "asf"})


@dataclass(frozen=True, slots=True)
class Sampled(Generic[T]):
    """The sampled frames of a clip or of a part of it, converted by the caller, and where they stand in the clip.

    indices: frame numbers from 0. timestamps_s: seconds since the first frame. num_source_frames, duration_s, fps: of
    the part; fps is its average, None when the file does not tell.
    """

    frames: tuple[T, ...]
    indices: tuple[int, ...]
    timestamps_s: tuple[float, ...]
    num_source_frames: int
    duration_s: float | None
    fps: float | None


@dataclass(frozen=True, slots=True)
class Headers:
    """The names of the container and of the codec, as FFmpeg has them; width / height of a stored pixel, if told."""

    container: str
    codec: str
    sample_aspect_ratio: Fraction | None


@dataclass(frozen=True, slots=True)
class _Scan:
    """What the packets tell. index: None when they cannot tell the frames apart. end_pts: of the last frame, in ticks.

    is_ascending: every packet has a timestamp, and they ascend in decode order.
    """

    index: PacketIndex | None
    end_pts: int | None
    is_ascending: bool


class _CannotSeek(Exception):
    """The file must be decoded from its start."""


def read_headers(path: Path, *, max_source_pixels: int) -> Headers:
    """Raises MediaError: corrupt, no_video, too_large."""
    with _open(path, max_source_pixels) as (container, stream):
        names = container.format.name.split(",")  # FFmpeg has one demuxer for mov, mp4, m4a ...
        suffix = path.suffix.removeprefix(".").lower()
        return Headers(
            suffix if suffix in names else names[0],
            stream.codec_context.codec.canonical_name,
            stream.sample_aspect_ratio or None,  # 0 is unknown
        )


def timestamps_tell_the_order(path: Path, num_frames: int, *, max_source_pixels: int) -> bool:
    """Whether a reader that finds `num_frames` frames by their timestamps finds those that the decoder shows.

    Where the timestamps never reorder what may be reordered, the decoder is asked. Raises MediaError.
    """
    with _open(path, max_source_pixels) as (container, stream):
        scan = _scan(container, stream, path)
        codec = stream.codec_context
        if scan.index is None or any(scan.index.overtakes) or not (codec.codec.reorder and codec.reorder_depth):
            return scan.index is not None
        try:
            _sample_by_seeking(container, stream, scan.index, scan.end_pts, num_frames, None, lambda frame: None)
        except _CannotSeek:
            return False
        return True


def sample_clip(
    path: Path,
    num_frames: int,
    convert: Callable[[av.VideoFrame], T],
    *,
    max_source_pixels: int,
    span: Span | None = None,
) -> Sampled[T]:
    """Decode at most `num_frames` frames, evenly spread, and `convert` each at once: one is in memory at a time.

    span: of its frames alone; None is the whole clip. Raises MediaError (corrupt, no_video, too_large, no_frames)
    unless every sampled frame could be decoded.
    """
    with _open(path, max_source_pixels) as (container, stream):
        scan = _scan(container, stream, path)
        if scan.index is not None and _SEEKABLE & set(container.format.name.split(",")):
            try:
                return _sample_by_seeking(container, stream, scan.index, scan.end_pts, num_frames, span, convert)
            except _CannotSeek:
                pass  # decoded from the start below
    return _sample_from_start(path, scan, num_frames, span, convert, max_source_pixels)


def frames_of(span: Span | None, times_s: Sequence[float]) -> Sequence[int]:
    """The numbers of the frames of a part; all without a span. Raises MediaError (no_frames) when there is none."""
    if span is None:
        return range(len(times_s))
    if not (inside := span.frames_within(times_s)):
        raise MediaError("no_frames", f"no frame {span}; the last one is at {times_s[-1]:g} s")
    return inside


def spread_over(inside: Sequence[int], num_frames: int) -> list[int]:
    """At most `num_frames` of these frame numbers, by the rule of `sample_indices`."""
    return [inside[place] for place in sample_indices(len(inside), num_frames)]


@contextmanager
def _open(path: Path, max_source_pixels: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, one decoder thread; every fault of the file leaves as a MediaError."""
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{os.fspath(path)}", metadata_errors="replace", container_options=options) as container:
            stream = _video_stream(container)
            codec = stream.codec_context
            if codec.width * codec.height > max_source_pixels:
                raise MediaError("too_large", f"{codec.width}x{codec.height} pixels, the limit is {max_source_pixels}")
            codec.thread_count = 1
            codec.options = {"max_pixels": str(max_source_pixels)}
            # dav1d reads skip_frame when it is opened, so it is opened before skip_frame is first set.
            codec.open(strict=False)
            yield container, stream
    except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError("corrupt", f"cannot be decoded: {getattr(error, 'strerror', None) or error}") from error


def _video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; the cover of a sound file is none. The other streams are not read."""
    videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams})
        if not kinds:
            raise MediaError("corrupt", "no stream can be found in it")
        raise MediaError("no_video", f"no video stream, only {', '.join(kinds)}")
    if videos[0].codec_context is None or videos[0].time_base is None:
        raise MediaError("corrupt", "the video stream has no known codec or no time base")
    for stream in container.streams:
        if stream is not videos[0]:
            stream.discard = Discard.all
    return videos[0]


def _scan(container: InputContainer, stream: VideoStream, path: Path) -> _Scan:
    """List the packets without decoding. Raises MediaError when the file is shorter than its own tables say."""
    file_bytes = path.stat().st_size
    declared_end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    if max(declared_end, segment_end(path) or 0) > file_bytes:
        raise MediaError("corrupt", "the file ends before its last frame")
    pts: list[int] = []
    keyframes: list[int] = []
    hidden: list[int] = []
    has_every_pts = True
    end_pts: int | None = None
    for place, packet in enumerate(_packets(container, stream)):
        if packet.is_corrupt:
            raise MediaError("corrupt", "a packet is damaged or cut short")
        if packet.pts is None:
            has_every_pts = False
            continue
        pts.append(packet.pts)
        if packet.is_keyframe:
            keyframes.append(place)
        if packet.is_discard or _is_invisible(stream, packet):
            hidden.append(place)
        elif packet.duration:
            end_pts = max(packet.pts + packet.duration, end_pts or 0)
    if not has_every_pts:
        return _Scan(None, end_pts, is_ascending=False)
    codec = stream.codec_context
    index = PacketIndex.build(pts, keyframes, hidden, codec.reorder_depth if codec.codec.reorder else 0)
    return _Scan(index, end_pts, is_ascending=all(earlier < later for earlier, later in pairwise(pts)))


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
    """The packets that carry bytes, in file order; PyAV's closing empty packet is left out."""
    demuxing: Any = container.demux(stream)  # a generator, though typed as an iterator
    with closing(demuxing) as packets:  # one that is merely dropped stays until the next garbage collection
        yield from (packet for packet in packets if packet.size)


def _is_invisible(stream: VideoStream, packet: av.Packet[VideoStream]) -> bool:
    """A VP8 packet may hold a reference picture that is never shown: bit 4 of its frame tag is clear."""
    return stream.codec_context.codec.canonical_name == "vp8" and not bytes(memoryview(packet)[:1])[0] & 0x10


def _sample_by_seeking(
    container: InputContainer,
    stream: VideoStream,
    index: PacketIndex,
    end_pts: int | None,
    num_frames: int,
    span: Span | None,
    convert: Callable[[av.VideoFrame], T],
) -> Sampled[T]:
    assert stream.time_base is not None  # _video_stream saw to it
    tick_s = float(stream.time_base)
    first_pts, last_pts = index.pts[index.shown[0]], index.pts[index.shown[-1]]
    times_s = [(index.pts[place] - first_pts) * tick_s for place in index.shown]
    _refuse_leaps(times_s)
    inside = frames_of(span, times_s)
    indices = spread_over(inside, num_frames)
    frames: dict[int, T] = {}
    for run in plan_runs(index, indices):
        for frame in _decode_run(container, stream, index, run):
            assert frame.pts is not None  # it is one of the index
            frames[frame.pts] = convert(_intact(frame))
    wanted_pts = [index.pts[index.shown[number]] for number in indices]
    if not all(pts in frames for pts in wanted_pts):
        raise _CannotSeek
    has_end = inside[-1] == len(times_s) - 1
    return _sampled(
        [frames[pts] for pts in wanted_pts],
        indices,
        [times_s[number] for number in indices],
        num_source_frames=len(inside),
        span_s=times_s[inside[-1]] - times_s[inside[0]],
        last_frame_s=(end_pts - last_pts) * tick_s if has_end and end_pts is not None else None,
        nominal_fps=stream.average_rate,
    )


def _decode_run(
    container: InputContainer, stream: VideoStream, index: PacketIndex, run: Run
) -> Iterator[av.VideoFrame]:
    """The wanted frames of one run. Raises _CannotSeek when packets or frames do not come in the order of the index.

    Only packets that the timestamps reorder are skipped or end the run early: of others the decoder is asked for its
    order, until it shows the last wanted frame.
    """
    codec = stream.codec_context
    waiting = {index.pts[place] for place in run.wanted}
    try:
        container.seek(index.pts[run.start], stream=stream)
    except av.FFmpegError as error:
        raise _CannotSeek from error
    skips = _may_skip_unreferenced(stream)
    next_place = run.start  # or earlier, where the seek lands early
    held_pts: set[int] = set()  # of frames that the decoder has and must show
    shown_pts = float("-inf")

    def wanted_of(decoded: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        nonlocal shown_pts
        for frame in decoded:
            if frame.pts is None or frame.pts <= shown_pts or min(held_pts, default=frame.pts) < frame.pts:
                raise _CannotSeek
            shown_pts = frame.pts
            held_pts.discard(frame.pts)
            if frame.pts in waiting:
                waiting.remove(frame.pts)
                yield frame

    for packet in _packets(container, stream):
        place = -1 if packet.pts is None else index.places.get(packet.pts, -1)
        if not 0 <= place <= next_place:
            raise _CannotSeek
        next_place = place + 1
        if place < run.start:
            continue
        if skips and place not in run.wanted and (index.overtakes[place] or not codec.codec.reorder):
            codec.skip_frame = "NONREF"
        else:
            codec.skip_frame = "DEFAULT"
            if place not in index.hidden and index.pts[place] >= index.pts[run.start]:
                held_pts.add(index.pts[place])
        yield from wanted_of(codec.decode(packet))
        if place >= run.stop and (not waiting or index.is_settled(run.stop)):
            break
    if waiting:
        yield from wanted_of(codec.decode(None))


def _may_skip_unreferenced(stream: VideoStream) -> bool:
    """Whether the decoder's idea of an unreferenced frame is exact.

    In HEVC such a frame is unreferenced only within its temporal layer: frames of a higher layer may refer to it. The
    number of layers stands in byte 21 of the decoder configuration (hvcC), bits 3-5.
    """
    if stream.codec_context.codec.canonical_name != "hevc":
        return True
    configuration = stream.codec_context.extradata or b""
    return len(configuration) > 21 and configuration[0] == 1 and configuration[21] >> 3 & 7 == 1


def _sample_from_start(
    path: Path,
    scan: _Scan,
    num_frames: int,
    span: Span | None,
    convert: Callable[[av.VideoFrame], T],
    max_source_pixels: int,
) -> Sampled[T]:
    """Decode the whole file; once more when it holds other frames of the part than the scan let expect.

    Which of them are in a span is only known after the first time.
    """
    inside: Sequence[int] = range(len(scan.index.shown)) if scan.index is not None and span is None else []
    for _ in range(2):
        indices = spread_over(inside, num_frames)
        frames: dict[int, T] = {}
        times_s: list[float | None] = []
        last_frame_s = None
        with _open(path, max_source_pixels) as (container, stream):
            nominal_fps = stream.average_rate
            for number, frame in enumerate(container.decode(stream)):
                times_s.append(_seconds(frame.pts, frame.time_base))
                last_frame_s = _seconds(frame.duration, frame.time_base)
                if number in indices:
                    frames[number] = convert(_intact(frame))
        if not times_s:
            raise MediaError("corrupt", "no frame can be decoded")
        timeline_s = _timeline(times_s, nominal_fps, are_decode_times=scan.is_ascending)
        found = frames_of(span, timeline_s)
        if found == inside:
            return _sampled(
                [frames[number] for number in indices],
                indices,
                [timeline_s[number] for number in indices],
                num_source_frames=len(inside),
                span_s=timeline_s[inside[-1]] - timeline_s[inside[0]],
                last_frame_s=last_frame_s if inside[-1] == len(timeline_s) - 1 else None,
                nominal_fps=nominal_fps,
            )
        inside = found
    raise MediaError("corrupt", "the frames differ from one reading to the next")


def _timeline(times_s: list[float | None], nominal_fps: Fraction | None, *, are_decode_times: bool) -> list[float]:
    """Seconds since the first frame, growing: the frames' own times, or the frame rate where one has none.

    are_decode_times: times that run backwards were only given to the wrong frames. Raises MediaError (corrupt).
    """
    known_s = [time_s for time_s in times_s if time_s is not None]
    if len(known_s) < len(times_s) or (len(known_s) > 1 and min(known_s) == max(known_s)):
        if not nominal_fps:
            raise MediaError("corrupt", "the video has neither timestamps nor a frame rate")
        return [float(number / nominal_fps) for number in range(len(times_s))]
    if are_decode_times:
        known_s.sort()
    for number, (earlier_s, later_s) in enumerate(pairwise(known_s), start=1):
        if later_s < earlier_s:
            raise MediaError(
                "corrupt",
                f"its times run backwards, from {earlier_s:g} s to {later_s:g} s at frame {number}: "
                "give it new timestamps, for example by encoding it again",
            )
    timeline_s = _spread_ties([time_s - known_s[0] for time_s in known_s])
    _refuse_leaps(timeline_s)
    return timeline_s


def _spread_ties(times_s: list[float]) -> list[float]:
    """Frames that share a time, evenly up to the next one; at the end, in steps of the last growing one."""
    starts = [number for number, time_s in enumerate(times_s) if number == 0 or time_s > times_s[number - 1]]
    spread_s: list[float] = []
    for start, end in pairwise([*starts, len(times_s)]):
        step_s = spread_s[-1] - spread_s[-2] if len(spread_s) > 1 else 0.0
        if end < len(times_s):
            step_s = (times_s[end] - times_s[start]) / (end - start)
        spread_s += [times_s[start] + place * step_s for place in range(end - start)]
    return spread_s


def _refuse_leaps(times_s: list[float]) -> None:
    """Raises MediaError for a gap that stands out as a wrong timestamp does: long, and far longer than most."""
    gaps_s = [later_s - earlier_s for earlier_s, later_s in pairwise(times_s)]
    longest_s = max(gaps_s, default=0.0)
    if longest_s > _LONGEST_GAP_S and longest_s > _GAP_RATIO * median(gaps_s):
        number = gaps_s.index(longest_s) + 1
        raise MediaError(
            "corrupt",
            f"its times leap by {longest_s:g} s at frame {number}, where most frames are {median(gaps_s):g} s apart: "
            "give it new timestamps, for example by encoding it again",
        )


def _sampled(
    frames: list[T],
    indices: list[int],
    timestamps_s: list[float],
    *,
    num_source_frames: int,
    span_s: float,
    last_frame_s: float | None,
    nominal_fps: Fraction | None,
) -> Sampled[T]:
    """span_s: from the first to the last frame; last_frame_s: how long the last one is shown, where the file tells."""
    fps = float(nominal_fps) if nominal_fps else None
    if num_source_frames > 1 and span_s > 0:
        fps = (num_source_frames - 1) / span_s
    if not (last_frame_s and last_frame_s > 0) and fps:
        last_frame_s = 1 / fps
    return Sampled(
        tuple(frames),
        tuple(indices),
        tuple(timestamps_s),
        num_source_frames,
        None if last_frame_s is None else span_s + last_frame_s,
        fps,
    )


def _seconds(ticks: int | None, time_base: Fraction | None) -> float | None:
    return None if ticks is None or time_base is None else float(ticks * time_base)


def _intact(frame: av.VideoFrame) -> av.VideoFrame:
    """Raises MediaError when the decoder says that it made up part of the picture."""
    if frame.is_corrupt:
        raise MediaError("corrupt", "a sampled frame is damaged")
    return frame

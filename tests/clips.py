"""Real clips and pictures, small and quick to encode, whose frames can be told apart.

Every frame carries its number as a row of black and white blocks, so `frame_number` can say which frame a decoder
really returned, whatever the codec and the target size.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

NUM_BITS = 10
SIZE = (320, 192)


def draw_frame(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: a gradient that pans, a square that moves, and the number in the top quarter."""
    width, height = size
    columns, rows = np.arange(width), np.arange(height)
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = (columns + 5 * number) % 256
    picture[..., 1] = ((rows * 2)[:, None] + columns // 3) % 256
    picture[..., 2] = 255 - (rows % 256)[:, None]
    left = 7 * number % max(1, width - width // 6)
    picture[height // 2 : height // 2 + height // 5, left : left + width // 6] = (250, 240, 20)
    for bit, (start, stop) in enumerate(_bit_columns(width)):
        picture[: height // 4, start:stop] = 255 * (number >> bit & 1)
    return picture


def frame_number(frame: np.ndarray) -> int:
    """The number that `draw_frame` burnt into `frame` (H, W, 3), read back at any size."""
    height, width, _ = frame.shape
    number = 0
    for bit, (start, stop) in enumerate(_bit_columns(width)):
        middle = frame[height // 12 : height // 6 + 1, (start + stop) // 2]
        number |= int(middle.mean() > 127) << bit
    return number


def _bit_columns(width: int) -> list[tuple[int, int]]:
    edges = [round(bit * width / NUM_BITS) for bit in range(NUM_BITS + 1)]
    return list(pairwise(edges))


def write_video(
    path: Path,
    *,
    num_frames: int = 40,
    size: tuple[int, int] = SIZE,
    fps: int = 25,
    codec: str = "libx264",
    gop: int = 12,
    num_b_frames: int = 2,
    open_gop: bool = False,
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    rotation: int = 0,
    sample_aspect_ratio: Fraction | None = None,
    audio: bool = False,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode `num_frames` drawn frames; the container is the one of the suffix.

    times_ms: one presentation time a frame (milliseconds) for a variable frame rate. rotation: degrees counter-
    clockwise, as display metadata. open_gop: H.264 and HEVC only.
    """
    width, height = size
    with _ordinary_thread(), av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=fps, options={**_codec_options(codec, open_gop), **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        if codec in ("libx264", "mpeg4", "mpeg2video"):
            stream.codec_context.max_b_frames = num_b_frames
        time_base = Fraction(1, fps) if times_ms is None else Fraction(1, 1000)
        stream.codec_context.time_base = time_base
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48000) if audio else None
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(number, size), format="rgb24")
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _mux_silence(container, sound, num_frames / fps)
    return path


@contextmanager
def _ordinary_thread() -> Iterator[None]:
    """For root, SVT-AV1 makes the thread that encodes a real-time one, and with it every thread that it starts later.

    Such threads may keep all others of the machine from running, and wait for them for ever.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def _codec_options(codec: str, open_gop: bool) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "veryfast", "crf": "20", "x264-params": f"scenecut=0:open-gop={int(open_gop)}"}
    if codec == "libx265":
        parameters = f"scenecut=0:open-gop={int(open_gop)}:log-level=none:pools=1:frame-threads=1"
        return {"preset": "superfast", "crf": "20", "x265-params": parameters}
    if codec in ("libvpx", "libvpx-vp9"):
        return {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "1M"}
    if codec == "libsvtav1":
        return {"preset": "10", "crf": "12", "svtav1-params": "lp=1"}
    return {"b": "2M"}


def _mux_silence(container: av.container.OutputContainer, stream: av.AudioStream, duration_s: float) -> None:
    for start in range(0, int(duration_s * 48000), 960):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_audio(path: Path, *, duration_s: float = 0.5) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as container:
        _mux_silence(container, container.add_stream("aac", rate=48000, layout="mono"), duration_s)
    return path


def write_sound_with_cover(path: Path) -> Path:
    """Sound with an attached picture: no video, although the container lists a picture stream."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=48000, layout="mono")
        container.mux(cover.encode(av.VideoFrame.from_ndarray(draw_frame(0, (64, 64)), format="rgb24")))
        _mux_silence(container, sound, 0.5)
    return path


def copy_from(source: Path, path: Path, *, start_frame: int, fps: int = 25, shift: bool = True) -> Path:
    """Stream-copy `source` from the keyframe at or before `start_frame`.

    shift: make `start_frame` time zero, which MP4 keeps as an edit list that hides the frames before it.
    """
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        video = reading.streams.video[0]
        copy = writing.add_stream_from_template(video)
        start_pts = round(start_frame / fps / video.time_base) + (video.start_time or 0)
        reading.seek(start_pts, stream=video)
        offset = None
        for packet in reading.demux(video):
            if packet.size == 0:
                continue
            if offset is None:
                offset = start_pts if shift else packet.dts
            packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
            packet.stream = copy
            writing.mux(packet)
    return path


def retime(source: Path, path: Path, change: Callable[[av.Packet, int], None]) -> Path:
    """Stream-copy `source` after `change` was told each packet of the video and its number in the file."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        video = reading.streams.video[0]
        copy = writing.add_stream_from_template(video)
        for number, packet in enumerate(packet for packet in reading.demux(video) if packet.size):
            change(packet, number)
            packet.stream = copy
            writing.mux(packet)
    return path


def show_by_decode_time(packet: av.Packet, number: int) -> None:
    """What a careless tool writes: for `retime`."""
    packet.pts = packet.dts


def set_display_matrix(path: Path, matrix: Sequence[int]) -> Path:
    """Overwrite the matrix (a, b, c, d) of an MP4's only track: it shows (x, y) at x (a, b) + y (c, d)."""
    content = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    start = content.index(b"tkhd") + 44
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def truncate(source: Path, path: Path, *, keep: float) -> Path:
    """The first `keep` (a share) of the bytes of `source`."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def write_picture(
    path: Path, *, size: tuple[int, int] = SIZE, mode: str = "RGB", orientation: int | None = None
) -> Path:
    """A still picture in the format of the suffix; `orientation` is the EXIF tag (1-8)."""
    picture = Image.fromarray(draw_frame(5, size)).convert(mode)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return path


def write_animation(
    path: Path, *, num_frames: int = 6, size: tuple[int, int] = SIZE, durations_ms: int | list[int] = 100
) -> Path:
    """An animated GIF."""
    pictures = [Image.fromarray(draw_frame(number, size)) for number in range(num_frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations_ms, loop=0)
    return path


def decode_all(path: Path) -> list[np.ndarray]:
    """Every frame in order, decoded from the start by one thread: the truth that sampling is held against."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]

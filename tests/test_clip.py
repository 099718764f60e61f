"""Frames and times of files whose timestamps are wrong, against a sequential decode of the same file."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from curation import clip
from curation.errors import MediaError
from curation.video import VideoConfig, fitted_size, probe, read_frames
from tests import clips
from tests.oracle import bicubic

CONFIG = VideoConfig()


def read_all(path: Path, num_frames: int) -> clip.Sampled[np.ndarray]:
    return clip.sample_clip(
        path, num_frames, lambda frame: frame.to_ndarray(format="rgb24"), max_source_pixels=CONFIG.max_source_pixels
    )


def assert_equals_a_sequential_decode(path: Path) -> None:
    """The frames that every number of frames picks, at times that grow."""
    truth = clips.decode_all(path)
    for num_frames in (1, 2, 5, 7, 16, 1000):
        sampled = read_all(path, num_frames)
        assert sampled.num_source_frames == len(truth)
        for index, frame in zip(sampled.indices, sampled.frames, strict=True):
            assert np.array_equal(frame, truth[index]), (num_frames, index)
        assert sampled.timestamps_s[0] == 0
        assert all(earlier < later for earlier, later in pairwise(sampled.timestamps_s))


def fault_of(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        read_all(path, 7)
    assert caught.value.reason == "corrupt"
    return str(caught.value)


CODECS = ("libx264", "libx265", "mpeg4", "mpeg2video")


@pytest.fixture(scope="module")
def sane(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One clip with B-frames a codec."""
    folder = tmp_path_factory.mktemp("sane")
    return {codec: clips.write_video(folder / f"{codec}.mp4", codec=codec, num_b_frames=3) for codec in CODECS}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts", "avi"])
@pytest.mark.parametrize("codec", CODECS)
def test_decode_times_in_place_of_presentation_times_do_not_change_the_order(
    sane: dict[str, Path], tmp_path: Path, codec: str, suffix: str
) -> None:
    path = tmp_path / f"decode_times.{suffix}"
    if suffix == "avi" and codec == "libx265":
        return  # no such file
    if suffix == "avi":  # has no presentation times
        clips.write_video(path, codec=codec, num_b_frames=3)
    else:
        clips.retime(sane[codec], path, clips.show_by_decode_time)
    try:
        clips.decode_all(path)
    except (av.FFmpegError, ValueError):
        assert "decoded" in fault_of(path)
    else:
        assert_equals_a_sequential_decode(path)


@pytest.mark.parametrize("preset", ["b-pyramid=none", "b-pyramid=normal", "bframes=1", "bframes=8:b-adapt=0"])
@pytest.mark.parametrize("gop", [4, 250])
def test_decode_times_are_noticed_whatever_the_pattern_of_b_frames(tmp_path: Path, preset: str, gop: int) -> None:
    whole = clips.write_video(
        tmp_path / "whole.mp4", gop=gop, options={"x264-params": f"{preset}:keyint={gop}:scenecut=0"}
    )
    assert_equals_a_sequential_decode(whole)
    assert_equals_a_sequential_decode(clips.retime(whole, tmp_path / "same.mkv", clips.show_by_decode_time))


def test_decode_times_in_one_part_of_the_file_are_noticed(sane: dict[str, Path], tmp_path: Path) -> None:
    def break_late(packet: av.Packet, number: int) -> None:
        if number >= 24:
            packet.pts = packet.dts

    path = clips.retime(sane["libx264"], tmp_path / "partly.mkv", break_late)
    truth = clips.decode_all(path)
    for num_frames in (3, 7, 16, 1000):
        try:
            sampled = read_all(path, num_frames)
        except MediaError as fault:
            assert "backwards" in str(fault)
            continue
        for index, frame in zip(sampled.indices, sampled.frames, strict=True):
            assert np.array_equal(frame, truth[index])


CHANGES: dict[str, Callable[[av.Packet, int, random.Random], int]] = {
    "twins": lambda packet, number, chance: packet.pts - (packet.pts % 80),
    "coarse": lambda packet, number, chance: packet.pts - (packet.pts % 400),
    "shuffled": lambda packet, number, chance: 40 * chance.randrange(50),
    "one late": lambda packet, number, chance: packet.pts + 700 * (number == 20),
    "one early": lambda packet, number, chance: packet.pts - 700 * (number == 20),
    "restart": lambda packet, number, chance: packet.pts - 800 * (number >= 24),
    "all one": lambda packet, number, chance: 1000,
}


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
@pytest.mark.parametrize("change", CHANGES)
def test_broken_timestamps_give_the_frames_of_a_sequential_decode_or_a_reason(
    tmp_path: Path, change: str, codec: str
) -> None:
    whole = clips.write_video(tmp_path / "whole.mkv", codec=codec, num_b_frames=3)
    for seed in range(2):
        chance = random.Random(seed)

        def apply(packet: av.Packet, number: int, chance: random.Random = chance) -> None:
            packet.pts = CHANGES[change](packet, number, chance) + 2000  # in milliseconds, and after decoding
            packet.dts = number

        path = clips.retime(whole, tmp_path / "broken.mkv", apply)
        try:
            read_all(path, 7)
        except MediaError as fault:
            assert fault.reason == "corrupt" and "times" in str(fault)
        else:
            assert_equals_a_sequential_decode(path)


def test_a_packet_an_hour_late_is_refused_by_its_name(tmp_path: Path) -> None:
    times_ms = [*(100 * number for number in range(19)), 3_600_000]
    path = clips.write_video(tmp_path / "late.mp4", num_frames=20, num_b_frames=0, times_ms=times_ms)
    assert "leap by 3598.2 s at frame 19" in fault_of(path)


def test_slides_and_short_pauses_are_no_leaps(tmp_path: Path) -> None:
    slides = clips.write_video(tmp_path / "slides.mp4", num_frames=4, times_ms=[0, 120_000, 290_000, 400_000])
    assert read_all(slides, 4).timestamps_s[-1] == pytest.approx(400)
    pause = clips.write_video(tmp_path / "pause.mp4", num_frames=20, times_ms=[*range(0, 760, 40), 50_000])
    assert read_all(pause, 20).timestamps_s[-1] == pytest.approx(50)


@pytest.mark.parametrize("suffix", ["mpg", "ts"])
def test_two_joined_files_whose_times_start_again_are_refused(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg2video" if suffix == "mpg" else "libx264"
    part = clips.write_video(tmp_path / f"part.{suffix}", num_frames=30, codec=codec).read_bytes()
    (tmp_path / f"joined.{suffix}").write_bytes(2 * part)
    assert ("run backwards" if suffix == "mpg" else "damaged") in fault_of(tmp_path / f"joined.{suffix}")


def test_frames_before_the_first_keyframe_that_decode_are_counted(tmp_path: Path) -> None:
    whole = clips.write_video(
        tmp_path / "radl.mp4",
        num_frames=60,
        codec="libx265",
        options={"x265-params": "radl=2:keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0:log-level=none"},
    )
    assert_equals_a_sequential_decode(whole)
    cut = clips.copy_from(whole, tmp_path / "cut.mkv", start_frame=24, shift=False)
    with av.open(str(cut)) as container:
        first, *others = (packet.pts for packet in container.demux(video=0) if packet.size)
    assert min(others) < first, "the clip has leading frames"
    assert_equals_a_sequential_decode(cut)


def test_the_last_frame_of_an_animation_counts_in_its_duration(tmp_path: Path) -> None:
    path = clips.write_animation(tmp_path / "moving.gif", num_frames=4, durations_ms=[100, 100, 100, 2000])
    found = probe(path, CONFIG)
    assert found.duration_s == pytest.approx(2.3)
    assert found.num_frames == 4


FORMATS = [
    ("libx264", "mp4", "yuv420p"),
    ("libx264", "mkv", "yuv422p"),
    ("libx264", "flv", "yuv420p"),
    ("libx264", "ts", "yuv444p"),
    ("libx264", "mov", "yuv420p10le"),
    ("libx264", "mp4", "nv12"),
    ("libx264", "mp4", "yuvj420p"),
    ("libx264rgb", "mkv", "rgb24"),
    ("libx265", "mp4", "yuv420p"),
    ("libx265", "mkv", "yuv420p10le"),
    ("libvpx", "webm", "yuv420p"),
    ("libvpx-vp9", "webm", "yuv422p"),
    ("libvpx-vp9", "mkv", "yuv440p"),
    ("mpeg4", "avi", "yuv420p"),
    ("mpeg4", "mp4", "yuv420p"),
    ("mpeg2video", "mpg", "yuv422p"),
    ("mjpeg", "avi", "yuvj422p"),
    ("ffv1", "avi", "bgr0"),
    ("ffv1", "mkv", "gray16le"),
    ("ffv1", "mkv", "yuv410p"),
    ("rawvideo", "nut", "rgb24"),
    ("rawvideo", "avi", "bgr24"),
    ("huffyuv", "avi", "yuv422p"),
    ("wmv2", "asf", "yuv420p"),
    ("prores_ks", "mov", "yuv422p10le"),
    ("png", "mov", "rgb24"),
    ("qtrle", "mov", "rgb24"),
]


@pytest.mark.parametrize(("codec", "suffix", "pix_fmt"), FORMATS)
def test_sampled_frames_are_bicubic_of_the_sequentially_decoded_ones(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str
) -> None:
    chance = random.Random(f"{codec} {suffix} {pix_fmt}")
    width, height = chance.choice([(406, 60), (322, 182), (568, 94), (214, 130), (648, 48)])
    if codec in ("ffv1", "rawvideo", "png", "libx264rgb") or "444" in pix_fmt:  # odd sizes where there can be any
        width, height = width + 1, height - 1
    path = clips.write_video(
        tmp_path / f"clip.{suffix}", num_frames=9, size=(width, height), codec=codec, pix_fmt=pix_fmt
    )
    truth = clips.decode_all(path)
    read = read_frames(path, VideoConfig(num_frames=4))
    assert read.num_source_frames == len(truth)
    size = fitted_size(*truth[0].shape[:2], CONFIG)
    for index, frame in zip(read.indices, read.frames, strict=True):
        distance = np.abs(frame - bicubic(truth[index], *size))
        assert distance.mean() < 0.3 and np.quantile(distance, 0.97) <= 2, index

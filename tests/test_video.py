from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from curation import clip
from curation.errors import ConfigError, MediaError
from curation.gops import PacketIndex, plan_runs, sample_indices
from curation.video import PATCH, VideoConfig, probe, read_frames, smart_resize
from tests import clips

CONFIG = VideoConfig()
LIMIT = CONFIG.max_source_pixels

CLIPS: dict[str, Callable[[Path], Path]] = {
    "closed.mp4": lambda path: clips.write_video(path, audio=True),
    "open.mp4": lambda path: clips.write_video(path, num_frames=60, open_gop=True),
    "one_gop.mp4": lambda path: clips.write_video(path, gop=250),
    "intra_refresh.mp4": lambda path: clips.write_video(
        path, options={"x264-params": "intra-refresh=1:keyint=12:bframes=0"}
    ),
    "ten_bit.mp4": lambda path: clips.write_video(path, pix_fmt="yuv420p10le"),
    "interlaced.mp4": lambda path: clips.write_video(path, options={"x264-params": "interlaced=1:keyint=12"}),
    "fragmented.mp4": lambda path: clips.write_video(path, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "edit_list.mp4": lambda path: cut(path, "closed.mp4", 17),
    "edit_list_open_gop.mp4": lambda path: cut(path, "open.mp4", 30),
    "leading_frames.mkv": lambda path: cut(path, "open.mp4", 24, shift=False),
    "leading_frames_hevc.mkv": lambda path: cut(path, "hevc_open.mp4", 24, shift=False),
    "vfr.mp4": lambda path: clips.write_video(path, times_ms=VFR_MS),
    "vfr.mkv": lambda path: clips.write_video(path, times_ms=VFR_MS),
    "hevc.mp4": lambda path: clips.write_video(path, codec="libx265"),
    "hevc_open.mp4": lambda path: clips.write_video(path, num_frames=60, codec="libx265", open_gop=True),
    "hevc_layers.mp4": lambda path: clips.write_video(
        path, codec="libx265", options={"x265-params": "temporal-layers=1:b-adapt=0:bframes=7:log-level=none"}
    ),
    "vp8_hidden_frames.webm": lambda path: clips.write_video(
        path, codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "4"}
    ),
    "vp9.webm": lambda path: clips.write_video(path, codec="libvpx-vp9"),
    "vp9_444.webm": lambda path: clips.write_video(path, codec="libvpx-vp9", size=(321, 239), pix_fmt="yuv444p"),
    "av1.mp4": lambda path: clips.write_video(path, codec="libsvtav1"),
    "av1.webm": lambda path: clips.write_video(path, codec="libsvtav1"),
    "h264.mkv": lambda path: clips.write_video(path, open_gop=True),
    "h264.ts": lambda path: clips.write_video(path),
    "h264.flv": lambda path: clips.write_video(path),
    "h264.mov": lambda path: clips.write_video(path),
    "raw.h264": lambda path: clips.write_video(path),
    "mpeg4.avi": lambda path: clips.write_video(path, codec="mpeg4"),
    "mpeg2.mpg": lambda path: clips.write_video(path, codec="mpeg2video"),
    "mjpeg.avi": lambda path: clips.write_video(path, codec="mjpeg", pix_fmt="yuvj420p"),
    "one.mp4": lambda path: clips.write_video(path, num_frames=1),
    "two.webm": lambda path: clips.write_video(path, num_frames=2, codec="libvpx-vp9"),
    "moving.gif": lambda path: clips.write_animation(path),
}
VFR_MS = [40 * number + 7 * (number % 5) + (400 if number > 20 else 0) for number in range(40)]
# decord is wrong or blind on the rest (open GOP, edit lists, AV1 ...)
DECORD_CLIPS = ("closed.mp4", "one_gop.mp4", "vfr.mp4", "vp9.webm", "one.mp4")


def cut(path: Path, source: str, start_frame: int, *, shift: bool = True) -> Path:
    whole = path.parent / source
    if not whole.exists():
        CLIPS[source](whole)
    return clips.copy_from(whole, path, start_frame=start_frame, shift=shift)


@pytest.fixture(scope="module")
def clip_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


def make(clip_dir: Path, name: str) -> Path:
    path = clip_dir / name
    return path if path.exists() else CLIPS[name](path)


def sample_unresized(path: Path, num_frames: int) -> clip.Sampled[np.ndarray]:
    return clip.sample_clip(path, num_frames, lambda frame: frame.to_ndarray(format="rgb24"), max_source_pixels=LIMIT)


@pytest.mark.parametrize("name", CLIPS)
def test_sampled_frames_are_bit_equal_to_a_sequential_decode(clip_dir: Path, name: str) -> None:
    path = make(clip_dir, name)
    truth = clips.decode_all(path)
    for num_frames in (1, 2, 7, 16, 1000):
        sampled = sample_unresized(path, num_frames)
        assert sampled.num_source_frames == len(truth)
        assert list(sampled.indices) == sample_indices(len(truth), num_frames)
        for index, frame in zip(sampled.indices, sampled.frames, strict=True):
            assert np.array_equal(frame, truth[index]), index


@pytest.mark.parametrize(
    "name", ["closed.mp4", "open.mp4", "edit_list.mp4", "hevc_open.mp4", "vp9.webm", "av1.mp4", "h264.mkv"]
)
def test_common_files_are_read_by_seeking_not_from_the_start(
    clip_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(clip_dir, name)
    monkeypatch.setattr(clip, "_sample_from_start", lambda *_: pytest.fail("decoded from the start"))
    assert len(sample_unresized(path, 5).frames) == 5


@pytest.mark.parametrize("name", ["edit_list.mp4", "edit_list_open_gop.mp4"])
def test_frames_before_an_edit_list_are_not_counted(clip_dir: Path, name: str) -> None:
    path = make(clip_dir, name)
    start, end = (17, 40) if name == "edit_list.mp4" else (30, 60)
    sampled = sample_unresized(path, 1000)
    assert [clips.frame_number(frame) for frame in sampled.frames] == list(range(start, end))


def test_variable_frame_rate_keeps_the_true_times(clip_dir: Path) -> None:
    for name in ("vfr.mp4", "vfr.mkv"):
        sampled = sample_unresized(make(clip_dir, name), 1000)
        assert np.allclose(sampled.timestamps_s, np.array(VFR_MS) / 1000, atol=1e-3)
        assert sampled.fps == pytest.approx(39 / (VFR_MS[-1] / 1000), rel=1e-3)


@pytest.mark.parametrize("reader", ["pyav", "decord"])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied_before_resizing(tmp_path: Path, rotation: int, reader: str) -> None:
    pytest.importorskip("decord")
    path = clips.write_video(tmp_path / "turned.mp4", num_frames=3, rotation=rotation)
    frames = read_frames(path, VideoConfig(reader=reader, num_frames=3)).frames
    upright = np.rot90(clips.draw_frame(0), rotation // 90)
    height, width = smart_resize(*upright.shape[:2], min_pixels=CONFIG.min_pixels, max_pixels=CONFIG.max_pixels)
    assert frames.shape == (3, height, width, 3)
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(upright)).resize((width, height)))
    assert np.abs(frames[0].astype(int) - expected).mean() < 8
    assert probe(path, CONFIG).rotation == rotation % 360


def test_the_dropped_swscale_is_refused_with_what_to_set_instead() -> None:
    with pytest.raises(ValidationError, match=r"swscale .*; set video\.resize=bicubic"):
        VideoConfig.model_validate({"resize": "swscale"})


# (a, b, c, d) of the display matrix -> what NumPy must do to the stored picture; y points down.
MATRICES = {
    (1, 0, 0, 1): lambda stored: stored,
    (0, 1, -1, 0): lambda stored: np.rot90(stored, -1),
    (-1, 0, 0, -1): lambda stored: np.rot90(stored, 2),
    (0, -1, 1, 0): lambda stored: np.rot90(stored),
    (-1, 0, 0, 1): lambda stored: stored[:, ::-1],
    (1, 0, 0, -1): lambda stored: stored[::-1],
    (0, 1, 1, 0): lambda stored: stored.swapaxes(0, 1),
    (0, -1, -1, 0): lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_quarter_turns_and_reflections_are_shown_as_a_player_shows_them(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    path = clips.set_display_matrix(clips.write_video(tmp_path / "turned.mp4", num_frames=2, size=(280, 168)), matrix)
    (stored, *_), (shown, *_) = clips.decode_all(path), read_frames(path, VideoConfig()).frames
    assert np.array_equal(shown, MATRICES[matrix](stored))
    found = probe(path, CONFIG)
    assert (found.height, found.width) == shown.shape[:2]
    remade = np.rot90(stored[:, ::-1] if found.mirrored else stored, found.rotation // 90)
    assert np.array_equal(shown, remade)


@pytest.mark.parametrize(("rotation", "aspect"), [(0, "64:27"), (90, "27:64")])
def test_sample_aspect_ratio_is_recorded_and_not_applied(tmp_path: Path, rotation: int, aspect: str) -> None:
    path = clips.write_video(
        tmp_path / "wide.mp4", num_frames=2, size=(168, 112), rotation=rotation, sample_aspect_ratio=Fraction(64, 27)
    )
    found = probe(path, CONFIG)
    assert found.sample_aspect_ratio == aspect
    assert (found.width, found.height) == ((112, 168) if rotation else (168, 112))
    assert read_frames(path, CONFIG).frames.shape[1:3] == (found.height, found.width)
    plain = clips.write_video(tmp_path / "plain.mp4", num_frames=2)
    assert probe(plain, CONFIG).sample_aspect_ratio in (None, "1:1")


def test_decord_is_refused_what_it_would_show_wrongly(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    decord = VideoConfig(reader="decord", num_frames=7)
    whole = clips.write_video(tmp_path / "whole.mp4", num_b_frames=3)
    with pytest.raises(MediaError, match=r"order.*video\.reader=pyav"):
        read_frames(clips.retime(whole, tmp_path / "same.mkv", clips.show_by_decode_time), decord)
    with pytest.raises(MediaError, match=r"mirror.*video\.reader=pyav"):
        read_frames(clips.set_display_matrix(whole, (-1, 0, 0, 1)), decord)


@pytest.mark.parametrize("name", DECORD_CLIPS)
def test_decord_gives_the_same_frames_where_it_is_right(clip_dir: Path, name: str) -> None:
    pytest.importorskip("decord")
    path = make(clip_dir, name)
    ours, theirs = (read_frames(path, VideoConfig(reader=reader, num_frames=7)) for reader in ("pyav", "decord"))
    assert ours.indices == theirs.indices
    assert ours.num_source_frames == theirs.num_source_frames
    assert np.allclose(ours.timestamps_s, theirs.timestamps_s, atol=2e-3)
    assert np.abs(ours.frames.astype(int) - theirs.frames).max() <= 2


@pytest.mark.parametrize("name", ["h264.ts", "mpeg2.mpg", "mpeg4.avi"])
def test_container_from_which_decord_takes_wrong_frames_is_refused(clip_dir: Path, name: str) -> None:
    pytest.importorskip("decord")
    with pytest.raises(MediaError, match=r"wrong frames from (mpegts|mpeg|avi): set video\.reader=pyav") as caught:
        read_frames(make(clip_dir, name), VideoConfig(reader="decord", num_frames=7))
    assert caught.value.reason == "corrupt"


def test_decord_that_is_not_installed_is_a_config_error_with_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    path = clips.write_video(tmp_path / "clip.mp4", num_frames=2)
    with pytest.raises(ConfigError, match=r"pip install -e '.\[decord\]'"):
        read_frames(path, VideoConfig(reader="decord"))


def test_a_clip_shorter_than_asked_gives_each_frame_once(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "short.mp4", num_frames=5)
    frames = read_frames(path, CONFIG)
    assert frames.indices == (0, 1, 2, 3, 4)
    assert [clips.frame_number(frame) for frame in frames.frames] == [0, 1, 2, 3, 4]


def test_sampled_rate_gives_the_seconds_per_temporal_grid(tmp_path: Path) -> None:
    frames = read_frames(clips.write_video(tmp_path / "clip.mp4", num_frames=40, fps=25), VideoConfig(num_frames=8))
    assert frames.fps == pytest.approx(25)
    assert frames.sampled_fps == pytest.approx(5)
    assert frames.timestamps_s[-1] == pytest.approx(39 / 25)


def test_probe_counts_frames_where_the_container_says_none(clip_dir: Path) -> None:
    found = probe(make(clip_dir, "vp9.webm"), CONFIG)
    assert (found.kind, found.container, found.codec, found.num_frames) == ("video", "webm", "vp9", 40)
    assert (found.width, found.height, found.rotation) == (*clips.SIZE, 0)
    assert found.duration_s == pytest.approx(1.6)
    assert found.fps == pytest.approx(25)


@given(st.integers(1, 5000), st.integers(1, 800))
def test_indices_are_those_of_qwen_and_never_repeat(num_frames_total: int, num_frames: int) -> None:
    indices = sample_indices(num_frames_total, num_frames)
    assert len(indices) == min(num_frames, num_frames_total) == len(set(indices))
    assert indices[0] == 0 and sorted(indices) == indices
    if num_frames <= num_frames_total:
        assert indices == np.linspace(0, num_frames_total - 1, num_frames).round().astype(int).tolist()


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
    st.integers(1, 12),
)
def test_each_planned_frame_is_decoded_once_from_a_keyframe_that_comes_first_in_both_orders(
    flags: list[tuple[bool, bool]], shuffler: random.Random, num_frames: int
) -> None:
    pts = list(range(0, 10 * len(flags), 10))
    shuffler.shuffle(pts)
    keyframes = [place for place, (is_keyframe, _) in enumerate(flags) if is_keyframe]
    hidden = [place for place, (_, is_hidden) in enumerate(flags) if is_hidden]
    index = PacketIndex.build(pts, keyframes, hidden, len(pts))
    if index is None:
        return
    indices = sample_indices(len(index.shown), num_frames)
    runs = plan_runs(index, indices)
    assert sorted(place for run in runs for place in run.wanted) == sorted(index.shown[number] for number in indices)
    assert all(earlier.stop < later.start for earlier, later in pairwise(runs))
    for run in runs:
        assert run.start in keyframes and run.stop in run.wanted
        for place in run.wanted:
            assert index.start_for(place) >= run.start
            assert place >= index.start_for(place) and pts[place] >= pts[index.start_for(place)]


def test_timestamps_that_are_not_unique_give_no_index() -> None:
    assert PacketIndex.build([0, 1, 1], [0], [], 2) is None
    assert PacketIndex.build([0, 1, 2], [], [], 2) is None


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(1, 600), st.integers(0, 600))
def test_a_resized_frame_never_exceeds_the_budget(height: int, width: int, max_patches: int, min_patches: int) -> None:
    budget = {"min_pixels": min(min_patches, max_patches) * PATCH**2, "max_pixels": max_patches * PATCH**2}
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(MediaError) as caught:
            smart_resize(height, width, **budget)
        assert caught.value.reason == "aspect_ratio"
        return
    fitted_height, fitted_width = smart_resize(height, width, **budget)
    assert fitted_height % PATCH == fitted_width % PATCH == 0
    assert fitted_height >= PATCH and fitted_width >= PATCH
    assert fitted_height * fitted_width <= budget["max_pixels"]


@pytest.mark.parametrize(
    ("height", "width", "patches", "expected"),
    [
        (360, 640, 128, (224, 420)),
        (720, 1280, 256, (336, 588)),
        (180, 320, 128, (168, 308)),
        (240, 320, 128, (252, 308)),
    ],
)
def test_sizes_are_those_of_qwen_and_small_clips_are_not_enlarged(
    height: int, width: int, patches: int, expected: tuple[int, int]
) -> None:
    assert smart_resize(height, width, min_pixels=CONFIG.min_pixels, max_pixels=patches * PATCH**2) == expected


def test_a_floor_above_the_budget_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_pixels"):
        VideoConfig(min_pixels=200 * PATCH**2, max_pixels=128 * PATCH**2)
    with pytest.raises(ValidationError, match="extra"):
        VideoConfig.model_validate({"frames": 16})


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "avif"])
def test_a_picture_is_one_frame(tmp_path: Path, suffix: str) -> None:
    path = clips.write_picture(tmp_path / f"picture.{suffix}")
    frames = read_frames(path, CONFIG)
    assert (frames.kind, frames.indices, frames.timestamps_s, frames.fps) == ("image", (0,), (0.0,), None)
    assert clips.frame_number(frames.frames[0]) == 5
    found = probe(path, CONFIG)
    assert (found.kind, found.num_frames, found.duration_s) == ("image", 1, None)
    assert (found.width, found.height) == clips.SIZE


def test_a_picture_is_known_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    path = clips.write_picture(tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    assert probe(path, CONFIG).codec == "png"


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    path = clips.write_picture(tmp_path / "phone.jpg", orientation=6)  # to be shown a quarter turn clockwise
    frame = read_frames(path, CONFIG).frames[0]
    assert frame.shape[0] > frame.shape[1]
    assert clips.frame_number(np.rot90(frame)) == 5
    assert (probe(path, CONFIG).width, probe(path, CONFIG).height) == clips.SIZE[::-1]


def test_transparency_shows_white_and_16_bit_grey_is_not_clipped(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_frames(tmp_path / "clear.png", CONFIG).frames == 255).all()
    Image.fromarray(np.full((64, 64), 0x8000, np.uint16)).save(tmp_path / "grey.png")
    assert (read_frames(tmp_path / "grey.png", CONFIG).frames == 0x80).all()


# What cannot be used, and the reason that is recorded


def reason_of(path: Path, config: VideoConfig = CONFIG) -> str:
    started = time.monotonic()
    with pytest.raises(MediaError) as from_read:
        read_frames(path, config)
    with pytest.raises(MediaError) as from_probe:
        probe(path, config)
    assert time.monotonic() - started < 60, "a bad file must not take long"
    assert from_read.value.reason == from_probe.value.reason
    assert str(from_read.value) and "\n" not in str(from_read.value)
    return from_read.value.reason


def test_missing_and_empty_files(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert reason_of(tmp_path / "nowhere.mp4") == "missing"
    assert reason_of(tmp_path) == "missing"
    assert reason_of(tmp_path / "nul\0.mp4") == "missing"
    assert reason_of(tmp_path / "empty.mp4") == "empty"


def test_sound_without_a_picture_is_no_video_even_with_a_cover(tmp_path: Path) -> None:
    assert reason_of(clips.write_audio(tmp_path / "sound.mp4")) == "no_video"
    assert reason_of(clips.write_sound_with_cover(tmp_path / "cover.mp4")) == "no_video"


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"plain text " * 500,
        b"<html>404 not found</html>",
        random.Random(1).randbytes(20_000),
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a" + bytes(40),
        b"\xff\xd8\xff\xe0" + bytes(200),
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    ],
)
def test_what_is_no_media_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "garbage.mp4").write_bytes(content)
    assert reason_of(tmp_path / "garbage.mp4") == "corrupt"


def test_a_playlist_never_opens_another_file(tmp_path: Path) -> None:
    clips.write_video(tmp_path / "other.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{tmp_path / 'other.ts'}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(playlist)
    (tmp_path / "list.m3u8").write_text(playlist)
    assert reason_of(tmp_path / "list.mp4") == reason_of(tmp_path / "list.m3u8") == "corrupt"


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "name",
    ["front_index.mp4", "closed.mp4", "fragmented.mp4", "vp9.webm", "h264.mkv", "av1.mp4", "h264.ts", "mpeg4.avi"],
)
def test_a_truncated_video_is_corrupt_although_its_first_frames_decode(clip_dir: Path, name: str, keep: float) -> None:
    if name == "front_index.mp4":
        whole = clips.write_video(clip_dir / name, container_options={"movflags": "faststart"})
    else:
        whole = make(clip_dir, name)
    cut_short = clips.truncate(whole, clip_dir / f"short_{keep}_{name}", keep=keep)
    assert reason_of(cut_short) == "corrupt"


def test_a_video_with_a_zeroed_middle_is_corrupt(clip_dir: Path) -> None:
    content = bytearray(make(clip_dir, "one_gop.mp4").read_bytes())
    middle, length = len(content) // 2, len(content) // 8
    content[middle : middle + length] = bytes(length)
    (clip_dir / "zeroed.mp4").write_bytes(content)
    assert reason_of(clip_dir / "zeroed.mp4") == "corrupt"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_truncated_picture_is_corrupt(tmp_path: Path, suffix: str) -> None:
    whole = clips.write_picture(tmp_path / f"whole.{suffix}")
    assert reason_of(clips.truncate(whole, tmp_path / f"cut.{suffix}", keep=0.6)) == "corrupt"


def test_what_is_beyond_the_limits_is_too_large(tmp_path: Path) -> None:
    picture = clips.write_picture(tmp_path / "picture.png")
    video = clips.write_video(tmp_path / "video.mp4", num_frames=2)
    for path in (picture, video):
        assert reason_of(path, VideoConfig(max_source_pixels=1000)) == "too_large"
        assert reason_of(path, VideoConfig(max_file_bytes=10)) == "too_large"


def test_a_decompression_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    assert reason_of(tmp_path / "bomb.png") == "too_large"


def test_a_picture_narrower_than_the_model_takes_is_refused(tmp_path: Path) -> None:
    assert reason_of(clips.write_picture(tmp_path / "line.png", size=(2001, 10))) == "aspect_ratio"


FUZZED = ("closed.mp4", "hevc.mp4", "vp9.webm", "av1.webm", "h264.ts", "mpeg4.avi", "moving.gif")


@pytest.mark.parametrize("name", [*FUZZED, "picture.png", "picture.jpg", "picture.webp", "picture.gif"])
def test_no_bytes_let_anything_but_a_media_error_escape(clip_dir: Path, name: str) -> None:
    whole = make(clip_dir, name) if name in CLIPS else clips.write_picture(clip_dir / name)
    content = whole.read_bytes()
    for seed in range(25):
        damaged = damage(bytearray(content), random.Random(seed))
        path = clip_dir / f"fuzzed_{name}"
        path.write_bytes(damaged)
        for step in (read_frames, probe):
            try:
                step(path, VideoConfig(num_frames=4))
            except MediaError as fault:
                assert fault.reason in ("corrupt", "empty", "no_video", "too_large", "aspect_ratio"), seed


def damage(content: bytearray, chance: random.Random) -> bytes:
    """Flip bytes, in the header or anywhere; cut a span out; or zero one."""
    match chance.randrange(4):
        case 0:
            for _ in range(40):
                content[chance.randrange(len(content))] = chance.randrange(256)
        case 1:
            for _ in range(20):
                content[chance.randrange(min(len(content), 600))] = chance.randrange(256)
        case 2:
            start = chance.randrange(len(content))
            del content[start : start + chance.randrange(1, 2000)]
        case _:
            start = chance.randrange(len(content))
            end = min(len(content), start + 500)
            content[start:end] = bytes(end - start)
    return bytes(content)

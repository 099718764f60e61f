"""A part of a clip is sampled as a clip of its own would be, from exact frames; a folder of pictures is a clip too."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.decoding import DecoderPool
from curation.encoding import MediaEncoder
from curation.errors import MediaError
from curation.gops import Span, sample_indices
from curation.picture_folder import list_pictures, read_picture_folder
from curation.video import VideoConfig, read_frames
from tests import clips

SIZE = (112, 84)
FOUR = VideoConfig(num_frames=4, max_pixels=112 * 112, min_pixels=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """clip.* are 40 frames at 10 a second; pictures/ has twelve, 1.png to 12.png, and what else lies in folders."""
    folder = tmp_path_factory.mktemp("spans")
    clips.write_video(folder / "clip.mp4", num_frames=40, size=SIZE, fps=10)
    clips.write_video(folder / "clip.mkv", num_frames=40, size=SIZE, fps=10)
    clips.write_video(folder / "clip.ts", num_frames=40, size=SIZE, fps=10)  # decoded from its start
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(1, 13):
        Image.fromarray(clips.draw_frame(number, SIZE)).save(pictures / f"{number}.png")
    (pictures / "Thumbs.db").write_bytes(b"no picture")
    (pictures / "._1.png").write_bytes(b"no picture either")
    return folder


@given(
    times_s=st.lists(st.floats(0, 1e4), max_size=60).map(sorted),
    start_s=st.none() | st.floats(0, 1e4),
    end_s=st.none() | st.floats(0, 1e4),
)
def test_a_span_holds_the_frames_between_its_ends_and_no_other(times_s, start_s, end_s):
    inside = Span(start_s, end_s).frames_within(times_s)
    for number, time_s in enumerate(times_s):
        distances = [start_s - time_s] if start_s is not None else []
        distances += [time_s - end_s] if end_s is not None else []
        if all(distance <= 0 for distance in distances):
            assert number in inside
        if any(distance > 1e-5 for distance in distances):
            assert number not in inside


@pytest.mark.parametrize(
    ("reader", "name"),
    [("pyav", "clip.mp4"), ("pyav", "clip.mkv"), ("pyav", "clip.ts"), ("decord", "clip.mp4"), ("decord", "clip.mkv")],
)
@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(1.0, 2.0), [10, 13, 17, 20]),
        (Span(None, 0.55), [0, 2, 3, 5]),
        (Span(3.75, None), [38, 39]),
        (Span(2.0, 2.0), [20]),
        (Span(3.0, 99.0), [30, 33, 36, 39]),
    ],
)
def test_a_part_of_a_clip_has_its_own_frames_its_last_one_included(folder, reader, name, span, expected):
    read = read_frames(folder / name, FOUR.model_copy(update={"reader": reader}), span)
    assert [clips.frame_number(frame) for frame in read.frames] == expected == list(read.indices)
    assert read.timestamps_s == pytest.approx([number / 10 for number in expected])
    first, last = expected[0], expected[-1]
    assert read.num_source_frames == last - first + 1
    assert read.sampled_fps == pytest.approx(10 * len(expected) / (last - first + 1))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_the_whole_clip_is_the_same_with_and_without_a_span(folder, name):
    whole, bounded = read_frames(folder / name, FOUR), read_frames(folder / name, FOUR, Span(0.0, None))
    assert np.array_equal(whole.frames, bounded.frames)
    assert (whole.indices, whole.timestamps_s, whole.fps) == (bounded.indices, bounded.timestamps_s, bounded.fps)


@pytest.mark.parametrize("span", [Span(4.0, 5.0), Span(1.04, 1.06), Span(2.0, 1.0)])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
def test_bounds_without_a_frame_are_an_error_and_not_another_part(folder, name, span):
    with pytest.raises(MediaError, match=r"no frame from .* the last one is at 3\.9 s") as caught:
        read_frames(folder / name, FOUR, span)
    assert caught.value.reason == "no_frames"


def test_pictures_of_a_folder_are_in_natural_order_and_nothing_else_is_a_frame(folder):
    assert [path.name for path in list_pictures(folder / "pictures")] == [f"{number}.png" for number in range(1, 13)]
    read = read_picture_folder(folder / "pictures", 3.0, FOUR)
    expected = [place + 1 for place in sample_indices(12, 4)]
    assert [clips.frame_number(frame) for frame in read.frames] == expected == [1, 5, 8, 12]
    assert read.timestamps_s == pytest.approx([(number - 1) / 3 for number in expected])
    assert (read.kind, read.sampled_fps) == ("video", pytest.approx(1.0))


def test_a_part_of_a_folder_is_bounded_by_its_rate(folder):
    read = read_picture_folder(folder / "pictures", 3.0, FOUR, Span(1.0, 3.0))
    assert [clips.frame_number(frame) for frame in read.frames] == [4, 6, 8, 10]  # 4.png is one second in
    with pytest.raises(MediaError) as caught:
        read_picture_folder(folder / "pictures", 3.0, FOUR, Span(4.0, 5.0))
    assert caught.value.reason == "no_frames"


def test_a_folder_that_cannot_be_shown_says_why(folder, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "1.png").write_bytes((folder / "pictures" / "1.png").read_bytes()[:99])
    for name, reason in (("gone", "missing"), ("bare", "empty"), ("torn", "corrupt")):
        with pytest.raises(MediaError) as caught:
            read_picture_folder(tmp_path / name, 3.0, FOUR)
        assert caught.value.reason == reason
    assert "1.png" in str(caught.value)


def test_workers_encode_parts_and_folders_and_remember_each_apart(folder):
    async def encode():
        async with DecoderPool(FOUR) as pool:
            encoder = MediaEncoder(pool, "image/png")
            clip, pictures = folder / "clip.mp4", folder / "pictures"
            try:
                whole = await encoder.encode(clip, "video")
                part = await encoder.encode(clip, "video", span=Span(1.0, 2.0))
                frames = await encoder.encode(pictures, "video", folder_fps=3.0)
                assert await encoder.encode(clip, "video", span=Span(1.0, 2.0)) is part
                with pytest.raises(MediaError) as caught:
                    await encoder.encode(clip, "image", span=Span(2.0, 3.0))
                assert caught.value.reason == "wrong_kind"
            finally:
                await encoder.close()
            return whole, part, frames

    whole, part, frames = asyncio.run(encode())
    assert part.timestamps_s == pytest.approx((1.0, 1.3, 1.7, 2.0))
    assert frames.sampled_fps == pytest.approx(1.0)
    assert whole.sampled_fps == pytest.approx(1.0)
    assert len({whole.frames, part.frames, frames.frames}) == 3

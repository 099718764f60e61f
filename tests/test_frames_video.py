"""What a server that decodes our video file gets: the frames, and the times of training."""

import io
import math
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.frames_video import file_rate, frames_as_video
from tests.sent import noise, picture
from training.positions import VIDEO, rope_index


def served_times(seconds_per_grid, num_grids):
    """As vLLM 0.32: single precision on its way from the processor, then a product in double, cut."""
    t_factor = torch.tensor([seconds_per_grid]).item() * 2
    return (np.arange(num_grids) * t_factor).astype(np.int64).tolist()


def trained_times(sampled_fps, num_grids):
    kinds = [VIDEO] * num_grids
    grids, seconds = iter([(num_grids, 2, 2)]), iter([2 / sampled_fps])
    return rope_index(kinds, iter(()), grids, seconds, merge_size=2, tokens_per_second=2)[0].tolist()


def decoded(content):
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), stream.average_rate, stream.frames


def opened(frames):
    return np.stack([np.asarray(Image.open(io.BytesIO(frame)).convert("RGB")) for frame in frames])


@pytest.mark.parametrize("num_frames", [2, 3, 15, 16, 32, 33, 64])
@pytest.mark.parametrize("duration_s", [0.2, 3, 61.7, 600, 86_400])
def test_every_frame_is_there_and_the_rate_is_the_sampled_one(num_frames, duration_s):
    sampled_fps = num_frames / duration_s
    frames = [picture(frame) for frame in noise(num_frames, 56, 28)]
    pixels, rate, told = decoded(frames_as_video(frames, "image/jpeg", sampled_fps))
    assert len(pixels) == told == num_frames
    assert rate == file_rate(sampled_fps, math.ceil(num_frames / 2))
    assert float(rate) == pytest.approx(sampled_fps, rel=1e-6)
    assert np.abs(pixels.astype(int) - opened(frames)).max() <= 4  # two JPEG decoders


@settings(max_examples=40, deadline=None)
@given(columns=st.integers(1, 30), rows=st.integers(1, 30), num_frames=st.integers(1, 5))
def test_png_frames_arrive_bit_by_bit_at_every_size(columns, rows, num_frames):
    pixels = noise(num_frames, 28 * columns, 28 * rows)
    found, _, _ = decoded(frames_as_video([picture(frame, "PNG") for frame in pixels], "image/png", 1.5))
    assert np.array_equal(found[:num_frames], pixels)


@settings(max_examples=20, deadline=None)
@given(columns=st.integers(1, 30), rows=st.integers(1, 30))
def test_jpeg_frames_arrive_as_they_are_at_every_size(columns, rows):
    frames = [picture(frame) for frame in noise(2, 28 * columns, 28 * rows)]
    found, _, _ = decoded(frames_as_video(frames, "image/jpeg", 1.5))
    assert np.abs(found.astype(int) - opened(frames)).max() <= 4


def test_a_single_frame_fills_its_grid_as_training_does_and_opencv_reads_no_file_of_one():
    pixels = noise(1, 56, 56)
    for sampled_fps in (None, 30.0):
        found, _, _ = decoded(frames_as_video([picture(pixels[0], "PNG")], "image/png", sampled_fps))
        assert np.array_equal(found, np.repeat(pixels, 2, axis=0))


@pytest.mark.parametrize("num_frames", [2, 7, 16, 32])
def test_a_server_gives_the_grids_the_positions_of_training_at_every_rate(num_frames):
    num_grids = math.ceil(num_frames / 2)
    tenths = [tenth / 10 for tenth in range(1, 300)]
    sampled = [num_frames / total * fps for total in range(num_frames, 3000, 17) for fps in (24, 25, 30_000 / 1001, 60)]
    for sampled_fps in [*tenths, *sampled, 1e-3, 240.0]:
        rate = file_rate(sampled_fps, num_grids)
        assert served_times(2 / float(rate), num_grids) == trained_times(sampled_fps, num_grids), sampled_fps


def test_of_64_frames_two_clips_in_a_thousand_have_one_grid_by_one_position_elsewhere_and_no_more():
    """No number of seconds gives all of training's positions then: it rounds one grid up and another one down."""
    rates = [tenth / 10 for tenth in range(1, 300)] + [64 / total * 25 for total in range(64, 4000, 3)]
    off = [np.subtract(served_times(2 / float(file_rate(rate, 32)), 32), trained_times(rate, 32)) for rate in rates]
    assert max(np.abs(differing).max() for differing in off) <= 1
    assert sum(map(np.any, off)) <= len(off) // 500


@pytest.mark.parametrize(("sampled_fps", "expected"), [(1.0, 1), (0.5, Fraction(1, 2)), (16 / 600, Fraction(2, 75))])
def test_a_plain_rate_stays_plain(sampled_fps, expected):
    assert file_rate(sampled_fps, 8) == expected

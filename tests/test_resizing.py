from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.format import names
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.resizing import Resizer
from curation.video import VideoConfig, fitted_size
from tests import clips
from tests.oracle import bicubic

CONFIG = VideoConfig()


def formats() -> list[str]:
    """Every pixel format that swscale both writes, so that a test can make one, and reads."""
    small = av.VideoFrame.from_ndarray(clips.draw_frame(0, (32, 16)), format="rgb24")
    found = []
    for name in sorted(names):
        try:
            small.reformat(format=name).reformat(format="rgb24")
        except (ValueError, OSError):
            continue
        found.append(name)
    return found


def calm_picture(width: int, height: int, seed: int) -> np.ndarray:
    """Noise, steps and a gradient between 70 and 180: no kernel overshoots 0-255, so that nothing is clipped."""
    random = np.random.default_rng(seed)
    picture = random.integers(70, 110, (height, width, 3))
    picture += (
        50 * random.integers(0, 2, (-(-height // 9), -(-width // 9), 3)).repeat(9, 0).repeat(9, 1)[:height, :width]
    )
    return (picture + np.arange(width)[:, None] % 21).astype(np.uint8)


def as_frame(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def distance_to_bicubic(frame: av.VideoFrame) -> int:
    """The most levels between ours and double precision, at the size that the sampler would choose."""
    height, width = fitted_size(frame.height, frame.width, CONFIG)
    return int(np.abs(Resizer(height, width)(frame) - bicubic(frame.to_ndarray(format="rgb24"), height, width)).max())


@given(st.integers(16, 2000), st.integers(16, 200), st.booleans(), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_any_size_is_within_two_levels_of_bicubic_in_double_precision(
    long: int, short: int, is_portrait: bool, seed: int
) -> None:
    width, height = (short, long) if is_portrait else (long, short)
    if max(width, height) <= 100 * min(width, height):
        assert distance_to_bicubic(as_frame(calm_picture(width, height, seed))) <= 2


@pytest.mark.parametrize("size", [(854, 480), (1080, 1920), (1999, 1501)])
def test_common_odd_sizes_are_one_level_from_bicubic(size: tuple[int, int]) -> None:
    assert distance_to_bicubic(as_frame(calm_picture(*size, 1))) <= 1


def test_every_pixel_format_at_any_width_is_one_level_from_bicubic_of_its_rgb() -> None:
    random = np.random.default_rng(7)
    found = formats()
    assert len(found) > 150
    for name in found:
        for _ in range(3):
            width, height = (int(side) for side in random.integers(60, 260, 2))
            frame = as_frame(calm_picture(width, height, 3)).reformat(format=name)
            rgb = frame.to_ndarray(format="rgb24")
            # Dithered, or with a last column that swscale never wrote: hard edges, at which a kernel overshoots.
            is_calm = rgb.min() > 40 and rgb.max() < 210
            assert distance_to_bicubic(frame) <= (1 if is_calm else 40), (name, width, height)


@pytest.mark.parametrize("size", [(640, 360), (854, 480), (322, 180), (1281, 719)])
def test_saturated_edges_are_no_further_from_bicubic_than_pillow(size: tuple[int, int]) -> None:
    picture = clips.draw_frame(77, size)
    height, width = fitted_size(size[1], size[0], CONFIG)
    truth = bicubic(picture, height, width)
    ours = np.abs(Resizer(height, width)(as_frame(picture)) - truth)
    by_pillow = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    theirs = np.abs(by_pillow - truth)
    assert ours.max() <= max(1, theirs.max()) and ours.mean() <= theirs.mean()


PLANAR = {"yuv420p": (2, 2), "yuvj420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1), "yuv420p10le": (2, 2)}


@pytest.mark.parametrize("name", PLANAR)
def test_rgb_of_the_last_columns_is_that_of_a_wider_copy(name: str) -> None:
    """The oracle's own conversion: a copy whose planes go on to the right has the same pixels where both have some."""
    random = np.random.default_rng(11)
    for width in (*range(16, 34), 322, 406, 648, 854, 1080, 1999):
        height = int(random.integers(16, 40))
        levels, kind = (1024, np.uint16) if "10" in name else (256, np.uint8)
        planes = []
        for horizontal, vertical in ((1, 1), PLANAR[name], PLANAR[name]):
            shape = -(-height // vertical), -(-width // horizontal)
            # swscale stretches the chroma of an odd width over it, so that a wider one may have other colours.
            is_one_colour = planes and width % 2
            planes.append(np.full(shape, levels // 3) if is_one_colour else random.integers(0, levels, shape))
        planes = [plane.astype(kind) for plane in planes]
        wider = width + 64
        narrow_rgb = planar_frame(name, width, height, planes).to_ndarray(format="rgb24")
        wide_rgb = planar_frame(name, wider, height, planes).to_ndarray(format="rgb24")
        assert np.array_equal(narrow_rgb, wide_rgb[:, :width]), width


def planar_frame(name: str, width: int, height: int, planes: list[np.ndarray]) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        padded = np.pad(values, ((0, 0), (0, max(0, plane.width - values.shape[1]))), mode="edge")
        rows[:, : padded.shape[1]] = padded
        plane.update(rows.tobytes())
    return frame


def test_frames_are_bit_equal_at_each_reading_in_each_process(tmp_path: Path) -> None:
    sizes = [(854, 48), (1080, 64), (568, 40), (642, 50), (406, 60), (322, 180), (333, 51), (17, 16)]
    for width, height in sizes:
        pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        clips.write_video(tmp_path / f"{width}.mp4", num_frames=3, size=(width, height), pix_fmt=pix_fmt)
    program = f"""
import hashlib
from pathlib import Path
from curation.video import VideoConfig, read_frames
for path in sorted(Path({str(tmp_path)!r}).iterdir()):
    readings = {{hashlib.sha256(read_frames(path, VideoConfig()).frames).hexdigest() for _ in range(8)}}
    print(path.name, *readings)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    outputs = set()
    for fresh_byte in ("0", "90", "201"):  # what glibc fills new memory with
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**environment, "MALLOC_PERTURB_": fresh_byte}
        )
        outputs.add(done.stdout)
    (output,) = outputs
    assert len(output.split()) == 2 * len(sizes)


def test_one_resizer_serves_a_stream_that_changes_its_size_and_never_mixes_frames() -> None:
    resizer = Resizer(84, 140)
    for number, size in enumerate([(320, 192)] * 3 + [(641, 361)] * 3 + [(320, 192)] * 2):
        frame = as_frame(clips.draw_frame(number, size))
        frame.pts = 5 - number if number % 2 else None  # times that are missing or run backwards do not matter
        assert clips.frame_number(resizer(frame)) == number
        assert frame.pts == (5 - number if number % 2 else None)  # and are left as they are

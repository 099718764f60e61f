from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from curation.resizing import Resizer, SwscaleResizer
from tests import clips


def by_pillow(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)).astype(int)


def as_frame(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((640, 360), (420, 224)),
        ((321, 239), (112, 84)),
        ((1280, 720), (420, 224)),
        ((640, 360), (28, 28)),
        ((200, 120), (448, 252)),
        ((1920, 1080), (56, 28)),
        ((140, 84), (140, 84)),
        ((140, 84), (140, 56)),
    ],
)
def test_frames_look_as_pillow_makes_them_with_every_colour_in_its_place(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    picture = clips.draw_frame(77, source)
    ours = Resizer(target[1], target[0])(as_frame(picture))
    assert ours.shape == (target[1], target[0], 3) and ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - by_pillow(picture, target[1], target[0]))
    assert difference.mean() < 0.5
    assert (difference > 4).mean() < 0.02  # at the edges, and where Pillow clips between its two passes


def test_one_resizer_serves_a_stream_that_changes_its_size_and_never_mixes_frames() -> None:
    resizer = Resizer(84, 140)
    for number, size in enumerate([(320, 192)] * 3 + [(640, 360)] * 3 + [(320, 192)] * 2):
        frame = as_frame(clips.draw_frame(number, size))
        frame.pts = 5 - number if number % 2 else None  # times that are missing or run backwards do not matter
        assert clips.frame_number(resizer(frame)) == number


def test_swscale_is_near_the_exact_one() -> None:
    frame = as_frame(clips.draw_frame(9, (640, 360)))
    exact, quick = Resizer(224, 420)(frame), SwscaleResizer(224, 420)(frame)
    assert exact.shape == quick.shape
    assert np.abs(exact.astype(int) - quick).mean() < 4

"""Pixels of the demo world: frames drawn with Pillow, clips encoded by PyAV, and files broken on purpose."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation.sources.invent import RADIUS_PX
from curation.world.scenes import CANVASES, Point, Scene, Shape

# The media faults, by the reason that MediaError gives them.
MEDIA_FAULTS: Final = ("missing", "empty", "corrupt", "no_video")
RGB: Final = {
    "red": (220, 40, 40),
    "green": (40, 180, 70),
    "blue": (50, 90, 230),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (245, 140, 30),
}
_BACKGROUND: Final = (24, 24, 28)
_FONT_PX: Final = 24
_AUDIO_HZ: Final = 16_000


def draw_scene(scene: Scene, path: Path) -> None:
    """Write the scene as a PNG or an H.264 MP4, byte for byte the same each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if scene.data_type == "image":
        draw_frame(scene, 0).save(path, format="PNG")
        return
    with av.open(str(path), "w", format="mp4") as container:
        canvas = CANVASES[scene.level]
        options = {"crf": "18", "preset": "veryfast", "threads": "1"}
        stream = container.add_stream("libx264", rate=canvas.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = canvas.width, canvas.height, "yuv420p"
        for number in range(scene.num_frames):
            pixels = np.asarray(draw_frame(scene, number))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def draw_frame(scene: Scene, number: int) -> Image.Image:
    """One frame; `number` counts from 0."""
    canvas = CANVASES[scene.level]
    image = Image.new("RGB", (canvas.width, canvas.height), _BACKGROUND)
    pen = ImageDraw.Draw(image)
    stops_s = {place: hit.time_s for hit in scene.collisions for place in (hit.first, hit.second)}
    for place, shape in enumerate(scene.shapes):
        last_s = (scene.num_frames - 1) / canvas.fps
        path_share = min(1.0, (number / canvas.fps) / (stops_s.get(place) or last_s or 1.0))
        _draw_shape(pen, shape, path_share, turned=number >= scene.num_frames // 2)
    if scene.words is not None and scene.ink is not None:
        font = ImageFont.load_default(_FONT_PX)
        lines = "\n".join(scene.words.split())
        middle = (canvas.width / 2, canvas.height / 2)
        pen.multiline_text(middle, lines, RGB[scene.ink], font, anchor="mm", align="center")
    return image


def break_file(path: Path, fault: str) -> None:
    """Damage a finished file; `fault` is one of MEDIA_FAULTS."""
    match fault:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "corrupt":  # cut before the index, which an MP4 has at its end
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "no_video":
            _write_audio(path)
        case _:
            raise ValueError(f"unknown media fault {fault!r}; it is one of {MEDIA_FAULTS}")


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape, path_share: float, *, turned: bool) -> None:
    """path_share: how much of its path it has gone, in [0, 1]."""
    x, y = (start + (end - start) * path_share for start, end in zip(shape.start, shape.end, strict=True))
    colour = shape.turns if shape.turns and turned else shape.colour
    pen.polygon(outline(shape.form, (x, y), RADIUS_PX[shape.size]), fill=RGB[colour])


def outline(form: str, centre: tuple[float, float], radius: float) -> list[Point]:
    """The corners of a form about its centre, in pixels."""
    corners = {"circle": 40, "square": 4, "triangle": 3, "star": 10}[form]
    turn = math.pi / 4 if form == "square" else math.pi / 2
    points = []
    for corner in range(corners):
        reach = radius * (0.45 if form == "star" and corner % 2 else 1)
        angle = turn + 2 * math.pi * corner / corners
        points.append((round(centre[0] + reach * math.cos(angle)), round(centre[1] - reach * math.sin(angle))))
    return points


def _write_audio(path: Path) -> None:
    """One second of a tone in an MP4 without any picture."""
    tone = np.sin(2 * math.pi * 440 * np.arange(_AUDIO_HZ) / _AUDIO_HZ).astype(np.float32) / 4
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=_AUDIO_HZ, layout="mono")
        for start in range(0, _AUDIO_HZ, 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate = _AUDIO_HZ
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

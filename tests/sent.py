"""Clips as an engine is handed them: noise of any size in JPEG or PNG, with a rate or without."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from curation.engines.base import EncodedMedia

_OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "PNG": {"compress_level": 1}}


def picture(pixels, kind="JPEG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **_OPTIONS[kind])
    return buffer.getvalue()


def noise(num_frames, width=112, height=84, seed=0):
    """(T, H, W, 3), smooth enough for JPEG to keep it."""
    small = np.random.default_rng(seed).integers(0, 256, (num_frames, height // 7, width // 7, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), Image.BICUBIC)) for frame in small])


def clip_of(num_frames, sampled_fps, width=112, height=84, kind="JPEG", data_type="video", pictures=()):
    frames = tuple(picture(frame, kind) for frame in noise(num_frames, width, height))
    mime = f"image/{kind.lower()}"
    return EncodedMedia(data_type, Path("a"), frames, mime, sampled_fps=sampled_fps, pictures=tuple(pictures))

"""Still pictures as one-frame media, upright and on white, through Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageOps

from curation.errors import MediaError

Image.init()  # registers every format; Image.open(formats=...) fails on one that is not
_FORMATS: Final = tuple({"PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF"} & Image.OPEN.keys())
_SIGNATURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class Picture:
    """One upright RGB picture and the name of the format that it came in."""

    image: Image.Image
    format: str


def media_kind(path: Path) -> Literal["image", "video"]:
    """What the first bytes tell, whatever the file is called. A GIF that moves is a video; raises MediaError.

    Of other animated pictures (WebP, APNG, AVIF) the first frame counts, so they are images.
    """
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(b"GIF8"):
        with _opened(path) as image:
            return "video" if getattr(image, "is_animated", False) else "image"
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    is_avif = head[4:12] in (b"ftypavif", b"ftypavis")
    return "image" if head.startswith(_SIGNATURES) or is_webp or is_avif else "video"


def read_picture(path: Path, *, max_source_pixels: int) -> Picture:
    """Decode the whole picture (its first frame), turned by its EXIF orientation. Raises MediaError."""
    with _opened(path) as image:
        width, height = image.size
        if width * height > max_source_pixels:
            raise MediaError("too_large", f"{width}x{height} pixels, the limit is {max_source_pixels}")
        name = (image.format or "").lower()
        image.load()
        return Picture(_on_white(ImageOps.exif_transpose(image)), name)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file in Pillow's hands. Its format plugins raise anything at all on hostile bytes, hence the bare net."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError("too_large", str(error)) from error
    except Exception as error:
        raise MediaError(
            "corrupt", f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; transparency shows white, as in the Qwen processors. 16-bit grey keeps its high byte."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    return image.convert("RGB")

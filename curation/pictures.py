"""Still pictures as one-frame media, upright and on white, through Pillow.

Read: PNG, JPEG, WebP, GIF, BMP, TIFF and BigTIFF, AVIF, JPEG 2000. Other picture formats are refused by name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from curation.errors import MediaError, without_paths

Image.init()  # registers every format; Image.open(formats=...) fails on one that is not
_FORMATS: Final = tuple({"PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"} & Image.OPEN.keys())
_SIGNATURES: Final = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",
)  # fmt: skip
# What FFmpeg would take for a video, or refuse in words that do not help.
_REFUSED: Final = {
    b"8BPS": "PSD", b"DDS ": "DDS", b"\0\0\1\0": "ICO", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL",
    b"v/1\1": "OpenEXR", b"#?RADIANCE": "HDR", b"%PDF": "PDF", b"%!PS": "PostScript",
}  # fmt: skip
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TGA: Final = re.compile(rb".[\0\1][\1\2\3\x09\x0a\x0b]", re.DOTALL)  # it has no signature: its suffix counts too


@dataclass(frozen=True, slots=True)
class Picture:
    """One upright RGB picture and the name of the format that it came in."""

    image: Image.Image
    format: str


def media_kind(path: Path) -> Literal["image", "video"]:
    """What the first bytes tell, whatever the file is called. A GIF that moves is a video.

    Of other animated pictures (WebP, APNG, AVIF) the first frame counts, so they are images. Raises MediaError:
    unsupported for a picture format that is not read, corrupt.
    """
    with path.open("rb") as file:
        head = file.read(256)
    brands = _brands(head)
    if (name := _refused_format(head, brands, path.suffix.lower())) is not None:
        raise MediaError("unsupported", f"{name} files are not read; convert it to PNG or JPEG")
    if head.startswith(b"GIF8"):
        with _opened(path) as image:
            return "video" if getattr(image, "is_animated", False) else "image"
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return "image" if head.startswith(_SIGNATURES) or is_webp or brands & _AVIF_BRANDS else "video"


def _brands(head: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO media file; empty for any other."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: int.from_bytes(head[:4], "big")]
    return {box[8:12], *(box[start : start + 4] for start in range(16, len(box) - 3, 4))}


def _refused_format(head: bytes, brands: set[bytes], suffix: str) -> str | None:
    """The name of a picture format that is not read; None for all others."""
    if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS:
        return "HEIC and HEIF"
    if suffix == ".tga" and _TGA.match(head):
        return "TGA"
    return next((name for signature, name in _REFUSED.items() if head.startswith(signature)), None)


def read_picture(path: Path, *, max_source_pixels: int) -> Picture:
    """Decode the whole picture (its first frame), turned by its EXIF orientation. Raises MediaError."""
    with _opened(path) as image:
        width, height = image.size
        if width * height > max_source_pixels:
            raise MediaError("too_large", f"{width}x{height} pixels, the limit is {max_source_pixels}")
        name = (image.format or "").lower()
        image.load()
        return Picture(_on_white(_upright(image)), name)


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
    except UnidentifiedImageError as error:  # its words are the path
        raise MediaError("corrupt", "cannot be decoded: no picture format is recognised") from error
    except Exception as error:
        what = without_paths(" ".join(str(error).split())) or type(error).__name__
        raise MediaError("corrupt", f"cannot be decoded: {what}") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turned by its EXIF orientation; broken EXIF is no orientation, as to any viewer of pictures."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - Pillow parses it with anything it raises; the pixels are whole
        return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as 8: 16-bit keeps its high byte; 32-bit values are taken as 0..1, 0..255 or 0..65535.

    Raises MediaError (unsupported) for values outside these ranges: what was white is not known.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # NaN fails too
        raise MediaError("unsupported", f"its values go from {low:g} to {high:g}: no picture of 8 or 16 bits")
    is_fraction = image.mode == "F" and high <= 1
    scale = 255.0 if is_fraction else 1.0 if high <= 255 else 255 / 65535
    return Image.fromarray(np.rint(values * scale).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; transparency shows white, as in the Qwen processors. Raises MediaError as `_to_8_bit`."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    return image.convert("RGB")

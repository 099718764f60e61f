"""Picture files, upright and on white, through Pillow: still ones as one-frame media, moving ones as clips.

Read: PNG, JPEG, WebP, GIF, BMP, TIFF and BigTIFF, AVIF, JPEG 2000. Other picture formats are refused by name. One rule
for all that move (GIF, WebP, APNG, AVIF): a file that shows more than one frame is a clip, and no still picture.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from curation.clip import Sampled, frames_of, spread_over
from curation.errors import MediaError, without_paths
from curation.gops import Span

T = TypeVar("T")

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
_MOVING: Final = ("GIF", "WEBP", "PNG", "AVIF")  # a TIFF or MPO of several pages does not move
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TGA: Final = re.compile(rb".[\0\1][\1\2\3\x09\x0a\x0b]", re.DOTALL)  # it has no signature: its suffix counts too


@dataclass(frozen=True, slots=True)
class Picture:
    """One upright RGB picture and the name of the format that it came in."""

    image: Image.Image
    format: str


def media_kind(path: Path) -> Literal["image", "animation", "video"]:
    """What the bytes tell, whatever the file is called. Raises MediaError.

    unsupported: a picture format that is not read. corrupt: a picture that cannot be decoded.
    """
    with path.open("rb") as file:
        head = file.read(256)
    brands = _brands(head)
    if (name := _refused_format(head, brands, path.suffix.lower())) is not None:
        raise MediaError("unsupported", f"{name} files are not read; convert it to PNG or JPEG")
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    if not (head.startswith(_SIGNATURES) or is_webp or brands & _AVIF_BRANDS):
        return "video"
    with _opened(path) as image:
        moves = image.format in _MOVING and getattr(image, "n_frames", 1) > 1
    return "animation" if moves else "image"


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
    """Decode the whole picture, turned by its EXIF orientation. Raises MediaError."""
    with _opened(path) as image:
        _check_size(image, max_source_pixels)
        name = (image.format or "").lower()
        image.load()
        return Picture(_on_white(_upright(image)), name)


def sample_animation(
    path: Path,
    num_frames: int,
    convert: Callable[[Image.Image], T],
    *,
    max_source_pixels: int,
    span: Span | None = None,
) -> Sampled[T]:
    """The frames of a moving picture as `clip.sample_clip` gives those of a video. Raises MediaError as `read_picture`.

    A frame that is to be shown for 10 ms or less is shown for 100 ms, as browsers do.
    """
    with _opened(path) as image:
        _check_size(image, max_source_pixels)
        ends_s = list(accumulate(_durations_s(image)))
        starts_s = [0.0, *ends_s[:-1]]
        inside = frames_of(span, starts_s)
        indices = spread_over(inside, num_frames)
        frames = []
        for index in indices:
            image.seek(index)
            frames.append(convert(_on_white(image)))
    duration_s = ends_s[inside[-1]] - starts_s[inside[0]]
    times_s = tuple(starts_s[index] for index in indices)
    return Sampled(tuple(frames), tuple(indices), times_s, len(inside), duration_s, len(inside) / duration_s)


def _durations_s(image: Image.Image) -> Iterator[float]:
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        image.load()  # some formats tell only then
        duration_ms = float(image.info.get("duration") or 0)
        yield (duration_ms if duration_ms > 10 else 100.0) / 1000


def _check_size(image: Image.Image, max_source_pixels: int) -> None:
    width, height = image.size
    if width * height > max_source_pixels:
        raise MediaError("too_large", f"{width}x{height} pixels, the limit is {max_source_pixels}")


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

"""What a media file may be served as, told from its first bytes.

Only types that a browser shows without running anything are named; whatever else lies in the media root, HTML and SVG
above all, is bytes to be saved. A file's name is never asked.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 64
UNKNOWN: Final = "application/octet-stream"

_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"OggS", "video/ogg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\0\0\x01\xba", "video/mpeg"),
    (b"\0\0\x01\xb3", "video/mpeg"),
)
_RIFF: Final = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_STILL_BRANDS: Final = {b"avif": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif"}
# The first box of a QuickTime file that has no ftyp.
_QUICKTIME_BOXES: Final = (b"moov", b"mdat", b"wide", b"free", b"skip")


def content_type(head: bytes) -> str:
    """The type of a file that begins with `head` (HEAD_BYTES of it), UNKNOWN when it is no picture and no video."""
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska"
    if head[4:8] == b"ftyp":
        # Chromium plays QuickTime's H.264 when it is called MP4, and the two differ in little else.
        return _STILL_BRANDS.get(head[8:12], "video/mp4")
    if head[4:8] in _QUICKTIME_BOXES:
        return "video/mp4"
    if head[:1] == b"\x47" and len(head) >= HEAD_BYTES:
        return "video/mp2t"
    return UNKNOWN

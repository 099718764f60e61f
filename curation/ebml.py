"""Where a Matroska or WebM file says that it ends: a cut file demuxes without an error, so its size must be checked."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

_HEADER_ID: Final = 0x1A45DFA3
_SEGMENT_ID: Final = 0x18538067


def segment_end(path: Path) -> int | None:
    """The offset just past the first segment, in bytes; None for other files and for a live stream's unknown size."""
    with path.open("rb") as file:
        if _read_number(file, keep_marker=True) != _HEADER_ID:
            return None
        header_bytes = _read_number(file)
        if header_bytes is None:
            return None
        file.seek(header_bytes, 1)
        if _read_number(file, keep_marker=True) != _SEGMENT_ID:
            return None
        segment_bytes = _read_number(file)
        return None if segment_bytes is None else file.tell() + segment_bytes


def _read_number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """An EBML number: the zeros that lead its first byte count the bytes that follow. None when unknown or cut."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    num_more = 8 - first[0].bit_length()
    rest = file.read(num_more)
    if len(rest) < num_more:
        return None
    number = int.from_bytes(first + rest)
    if keep_marker:
        return number
    marker = 1 << 7 * (num_more + 1)
    return None if number == 2 * marker - 1 else number - marker

"""Zip archives by ranges of bytes: the list of contents at the end, then the wanted members and nothing else.

The archive is somebody else's and is believed in nothing that can be checked: sizes, places, names, checksums. Python's
zipfile would read a list of any length into memory and knows no ranges; the layout is that of APPNOTE 6.3, with zip64,
members stored, deflated, or compressed by bzip2 or LZMA.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from stat import S_IFMT, S_ISREG
from typing import Final

import numpy as np
import numpy.typing as npt

from curation.fetch.blobs import PIECE_BYTES, Blob, Stream, read_whole
from curation.fetch.faults import ArchiveError, Fault, SplitZipError
from curation.fetch.names import member_name

_END: Final = struct.Struct("<4s4H2LH")  # signature, disks, numbers, size and place of the list, comment
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_ENTRY: Final = struct.Struct("<4s6H3L")
_REST: Final = struct.Struct("<5H2L")
_HEADER: Final = struct.Struct("<4s5H3L2H")
_EXTRA: Final = struct.Struct("<2H")
_FULL16: Final = 0xFFFF
_FULL32: Final = 0xFFFFFFFF
_STORED: Final = 0
_DEFLATED: Final = 8
_BZIP2: Final = 12
_LZMA: Final = 14
# An LZMA member names the size of its dictionary itself, up to 4 GiB; no tool's strongest setting takes more than this.
_MAX_DICTIONARY_BYTES: Final = 2**27
# Ordinary, strong and masked-header encryption.
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may ask of this machine. max_ratio counts above 1 MiB: small files of one colour shrink a lot."""

    max_member_bytes: int = 16 * 2**30
    max_ratio: float = 200.0
    max_list_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One member. [start, stop) holds its header and data; stop is an upper bound, for headers vary in length.

    fault: why it is not to be unpacked, null for a good one.
    """

    name: str
    start: int
    stop: int
    stored_bytes: int
    num_bytes: int
    crc32: int
    method: int
    fault: tuple[str, str] | None


def list_members(blob: Blob, keep: Callable[[str], bool], limits: Limits) -> dict[str, ZipEntry]:
    """The members whose name `keep` wants, by name; names are spelled as names.py says.

    Raises ArchiveError when the list is damaged, and what the blob raises.
    """
    try:
        start, stop, shift = _find_list(blob, limits)
        return _parse_list(read_whole(blob, start, stop), start, shift, keep, limits)
    except (struct.error, Fault) as error:
        raise ArchiveError(f"its list of contents is damaged ({error})") from error


def _find_list(blob: Blob, limits: Limits) -> tuple[int, int, int]:
    """(start, stop) of the list, and by how much all places are off because something stands before the archive."""
    size = blob.num_bytes
    tail_start = max(0, size - _END.size - _FULL16 - _LOCATOR.size)
    tail = read_whole(blob, tail_start, size)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ArchiveError("it is no zip archive, or its end is missing")
    _, disk, list_disk, num_here, num_entries, list_bytes, list_start, _ = _END.unpack_from(tail, at)
    stop = tail_start + at
    if tail[max(0, at - _LOCATOR.size) : at].startswith(b"PK\6\7"):
        _, list_disk, end_start, num_disks = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
        if num_disks > 1:
            raise SplitZipError
        if end_start + _END64.size > stop - _LOCATOR.size:
            raise ArchiveError("its zip64 end lies outside of it")
        end = read_whole(blob, end_start, end_start + _END64.size)
        signature, _, _, _, disk, list_disk, num_here, num_entries, list_bytes, list_start = _END64.unpack(end)
        if signature != b"PK\6\6":
            raise ArchiveError("its zip64 end is damaged")
        stop = end_start
    if disk or list_disk or num_here != num_entries:
        raise SplitZipError
    start = stop - list_bytes
    if start < list_start:
        raise ArchiveError("its list of contents does not lie where it says")
    if list_bytes > limits.max_list_bytes:
        raise ArchiveError(f"its list of contents takes {list_bytes} bytes, the limit is {limits.max_list_bytes}")
    return start, stop, start - list_start


def _parse_list(
    listing: bytes, list_start: int, shift: int, keep: Callable[[str], bool], limits: Limits
) -> dict[str, ZipEntry]:
    starts, stops = array("q"), array("q")
    kept: dict[int, tuple[str, int, int, int, int, int, int, int]] = {}
    at = 0
    while at < len(listing):
        signature, *_, flags, method, _, _, crc32, stored_bytes, num_bytes = _ENTRY.unpack_from(listing, at)
        at += _ENTRY.size
        name_bytes, extra_bytes, comment_bytes, disk, _, attributes, start = _REST.unpack_from(listing, at)
        at += _REST.size
        if signature != b"PK\1\2":
            raise ArchiveError("its list of contents is damaged")
        raw_name = listing[at : at + name_bytes]
        extra = listing[at + name_bytes : at + name_bytes + extra_bytes]
        at += name_bytes + extra_bytes + comment_bytes
        if at > len(listing):
            raise ArchiveError("its list of contents is cut off")
        if _FULL32 in (num_bytes, stored_bytes, start):
            num_bytes, stored_bytes, start = _widen(extra, num_bytes, stored_bytes, start)
        start += shift
        # A place beyond the list is clipped, so that it fits; it overlaps the list and is refused all the same.
        starts.append(min(start, list_start))
        stops.append(min(start + _HEADER.size + name_bytes + stored_bytes, list_start + 1))
        name = _decode_name(raw_name)
        if keep(name):
            if disk not in (0, _FULL16):
                raise SplitZipError
            kept[len(starts) - 1] = (name, name_bytes, flags, method, crc32, stored_bytes, num_bytes, attributes >> 16)
    next_starts, overlapped = _neighbours(np.frombuffer(starts, np.int64), np.frombuffer(stops, np.int64), list_start)
    num_named = Counter(fields[0] for fields in kept.values())
    entries = {}
    for number, (name, name_bytes, flags, method, crc32, stored_bytes, num_bytes, mode) in kept.items():
        fault = _judge(flags, method, mode, stored_bytes, num_bytes, limits)
        if num_named[name] > 1:
            fault = ("refused", f"{name} stands {num_named[name]} times in its archive")
        elif overlapped[number]:
            fault = ("refused", f"{name} shares bytes with another member, or lies outside its archive")
        longest = starts[number] + _HEADER.size + name_bytes + _FULL16 + stored_bytes
        stop = min(int(next_starts[number]), longest)
        entries[name] = ZipEntry(name, starts[number], stop, stored_bytes, num_bytes, crc32, method, fault)
    return entries


def _widen(extra: bytes, num_bytes: int, stored_bytes: int, start: int) -> tuple[int, int, int]:
    """The zip64 values of the fields that are full."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - at) // 8}Q", extra, at))
            try:
                return (
                    next(values) if num_bytes == _FULL32 else num_bytes,
                    next(values) if stored_bytes == _FULL32 else stored_bytes,
                    next(values) if start == _FULL32 else start,
                )
            except StopIteration:
                raise ArchiveError("a zip64 size is missing from its list of contents") from None
        at += length
    return num_bytes, stored_bytes, start


def _decode_name(raw: bytes) -> str:
    """UTF-8 where it is UTF-8, as Linux tools write it also without the flag; else the zip format's old code page."""
    try:
        return member_name(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return member_name(raw.decode("cp437"))


def _neighbours(
    starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], list_start: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """For each member where the next one starts, and whether it shares bytes with any other or with the list."""
    order = np.argsort(starts, kind="stable")
    following = np.append(starts[order][1:], list_start)
    reached = np.append(-1, np.maximum.accumulate(stops[order])[:-1])
    next_starts = np.empty_like(starts)
    overlapped = np.empty(len(starts), np.bool_)
    next_starts[order] = following
    overlapped[order] = (stops[order] > following) | (reached > starts[order])
    return next_starts, overlapped


def _judge(
    flags: int, method: int, mode: int, stored_bytes: int, num_bytes: int, limits: Limits
) -> tuple[str, str] | None:
    """Why a member is not unpacked, from what the list says about it."""
    if S_IFMT(mode) and not S_ISREG(mode):
        return "refused", "it is a link or a device, not a file"
    if flags & _ENCRYPTED:
        return "unsupported", "it is encrypted"
    if method not in _READERS:
        return "unsupported", f"it is compressed by method {method}; {', '.join(map(str, _READERS))} are read"
    if num_bytes > limits.max_member_bytes:
        return "refused", f"it declares {num_bytes} bytes, the limit is {limits.max_member_bytes}"
    if num_bytes > max(limits.max_ratio * stored_bytes, 2**20):
        return "refused", f"it declares {num_bytes} bytes out of {stored_bytes}: a zip bomb"
    if method == _STORED and num_bytes != stored_bytes:
        return "refused", f"it declares {num_bytes} bytes stored in {stored_bytes}"
    return None


def read_member(stream: Stream, entry: ZipEntry) -> Iterator[bytes]:
    """The content of one member, checked against its own size and CRC32 by the time it ends.

    stream: at or before the member's start. Raises Fault; what came before it is not to be kept.
    """
    stream.skip_to(entry.start)
    signature, _, flags, method, _, _, _, _, _, name_bytes, extra_bytes = _HEADER.unpack(stream.take(_HEADER.size))
    contradiction = Fault("refused", "the archive's list of contents and the member itself contradict each other")
    if signature != b"PK\3\4" or method != entry.method or flags & _ENCRYPTED:
        raise contradiction
    if stream.position + name_bytes + extra_bytes + entry.stored_bytes > entry.stop:
        raise contradiction  # it would reach into the next member
    if _decode_name(stream.take(name_bytes)) != entry.name:
        raise contradiction
    stream.take(extra_bytes)
    stored = stream.pieces(entry.stored_bytes)
    return checked(_READERS[entry.method](stored), entry.num_bytes, entry.crc32)


def checked(pieces: Iterator[bytes], num_bytes: int, crc32: int) -> Iterator[bytes]:
    """Hand the pieces on. Raises Fault (bad_content) as soon as there are too many, and at the end."""
    num_left, found = num_bytes, 0
    for piece in pieces:
        num_left -= len(piece)
        if num_left < 0:
            raise Fault("bad_content", f"it unpacks to more than the {num_bytes} bytes that it declares")
        found = zlib.crc32(piece, found)
        yield piece
    if num_left:
        raise Fault("bad_content", f"it unpacks to {num_bytes - num_left} bytes and declares {num_bytes}")
    if found != crc32:
        raise Fault("bad_content", f"its CRC32 is {found:08x}, the archive says {crc32:08x}")


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in pieces:
            while piece and not inflater.eof:
                yield inflater.decompress(piece, PIECE_BYTES)
                piece = inflater.unconsumed_tail
        while not inflater.eof and (piece := inflater.decompress(b"", PIECE_BYTES)):
            yield piece
    except zlib.error as error:
        raise Fault("bad_content", f"its compressed data are damaged ({error})") from error
    if not inflater.eof:
        raise Fault("bad_content", "its compressed data end early")


def _bunzip2(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = bz2.BZ2Decompressor()
    yield from _expand(pieces, decompressor)
    if not decompressor.eof:
        raise Fault("bad_content", "its compressed data end early")


def _unlzma(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A version, the length of the properties, these, and a raw stream, whose end need not be marked."""
    stream = Stream(pieces)
    properties = stream.take(int.from_bytes(stream.take(4)[2:], "little"))
    if len(properties) != 5 or properties[0] >= 9 * 5 * 5:
        raise Fault("bad_content", "its LZMA properties are damaged")
    (dictionary_bytes,) = struct.unpack("<L", properties[1:])
    if dictionary_bytes > _MAX_DICTIONARY_BYTES:
        raise Fault("refused", f"its dictionary takes {dictionary_bytes} bytes, the limit is {_MAX_DICTIONARY_BYTES}")
    rest, lc = divmod(properties[0], 9)
    pb, lp = divmod(rest, 5)
    settings = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary_bytes, 4096), "lc": lc, "lp": lp, "pb": pb}
    try:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings])
    except lzma.LZMAError as error:
        raise Fault("bad_content", f"its LZMA properties are damaged ({error})") from error
    yield from _expand(stream.rest(), decompressor)


def _expand(pieces: Iterator[bytes], decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> Iterator[bytes]:
    try:
        for piece in pieces:
            while not decompressor.eof and (piece or not decompressor.needs_input):
                yield decompressor.decompress(piece, PIECE_BYTES)
                piece = b""
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise Fault("bad_content", f"its compressed data are damaged ({error})") from error


# By the format's number of a method.
_READERS: Final[dict[int, Callable[[Iterator[bytes]], Iterator[bytes]]]] = {
    _STORED: iter,
    _DEFLATED: _inflate,
    _BZIP2: _bunzip2,
    _LZMA: _unlzma,
}

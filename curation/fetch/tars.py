"""Tar archives, also gzipped, read once from the front: they have no list of contents and no checksum of a member.

tarfile would read an extended header of any declared size into memory; only the fields that name a file are read here.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from typing import Final

from curation.fetch.blobs import PIECE_BYTES, Stream
from curation.fetch.faults import ArchiveError, Fault

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
_BLOCK: Final = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES: Final = 2**16
# Of all that an archive unpacks to, above its own size: media hardly shrink.
_MAX_RATIO: Final = 200


def list_tar(stream: Stream) -> Iterator[tuple[str, int]]:
    """(name, bytes) of each regular file, in order; the caller may read those bytes from the stream, or leave them.

    Raises ArchiveError when the archive is damaged or cut off.
    """
    name = size = None
    try:
        while True:
            block = stream.take(_BLOCK)
            if block.count(0) == _BLOCK:
                return
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            start = stream.position
            if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
                if header.size > _MAX_HEADER_BYTES:
                    raise ArchiveError(f"a header takes {header.size} bytes, the limit is {_MAX_HEADER_BYTES}")
                content = stream.take(header.size)
                if header.type == tarfile.GNUTYPE_LONGNAME:
                    name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
                else:
                    name, size = _read_pax(content, name, size)
            else:
                num_bytes = header.size if size is None else size
                if num_bytes < 0:
                    raise ArchiveError("a file in it has a negative size")
                if header.isreg() and not header.issparse():
                    yield (header.name if name is None else name).removeprefix("./"), num_bytes
                header.size = num_bytes
                name = size = None
            stream.skip_to(start + -(-header.size // _BLOCK) * _BLOCK)
    except (tarfile.TarError, Fault, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"it is no tar archive, damaged or cut off ({error})") from error


def _read_pax(content: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """`path` and `size` of an extended header: lines of "LENGTH key=value", the length counting the whole line."""
    while content:
        length, _, _ = content.partition(b" ")
        line, content = content[: int(length)], content[int(length) :]
        key, _, value = line[len(length) + 1 :].removesuffix(b"\n").partition(b"=")
        if int(length) <= 0:
            raise ArchiveError("an extended header is damaged")
        if key == b"path":
            name = value.decode("utf-8", "surrogateescape")
        elif key == b"size":
            size = int(value)
    return name, size


def gunzip(pieces: Iterator[bytes], num_bytes: int) -> Iterator[bytes]:
    """The content of a gzip file of num_bytes, in bounded pieces; several streams may follow one another.

    Raises ArchiveError when it is damaged, cut off, or grows beyond any media archive.
    """
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    num_out = 0
    is_within = False
    try:
        for piece in pieces:
            while piece:
                if inflater.eof:
                    if not piece.strip(b"\0"):
                        break
                    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
                out = inflater.decompress(piece, PIECE_BYTES)
                piece = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                is_within = not inflater.eof
                num_out += len(out)
                if num_out > max(num_bytes * _MAX_RATIO, 2**24):
                    raise ArchiveError(f"it unpacks to more than {_MAX_RATIO} times its size")
                yield out
        while is_within and (out := inflater.decompress(b"", PIECE_BYTES)):
            yield out
            is_within = not inflater.eof
    except zlib.error as error:
        raise ArchiveError(f"its gzip data are damaged ({error})") from error
    if not inflater.eof:
        raise ArchiveError("its gzip data end early")

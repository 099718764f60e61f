"""What the client's own hf_xet left in a local content store: which files there are, and their bytes again.

A shard (.mdb) lists files as terms, each a range of chunks of a xorb; a xorb is a sequence of compressed chunks. All
integers are little-endian. Format: https://huggingface.co/docs/xet (shard, xorb).

hf_xet locks its index, so only one client process may use the store at a time, and the hub none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

_HEADER_BYTES = 48
_RECORD = struct.Struct("<32sIIII")
_SHA256 = struct.Struct("<32s16x")
_BOOKEND = b"\xff" * 32
_WITH_VERIFICATION = 1 << 31
_WITH_SHA256 = 1 << 30
_CHUNK_HEADER_BYTES = 8
_PLAIN, _LZ4, _GROUPED_LZ4 = range(3)


@dataclass(frozen=True, slots=True)
class XetFile:
    """`terms`: (xorb, first chunk, chunk after the last), in the order of the file."""

    hash: str
    sha256: str
    terms: tuple[tuple[str, int, int], ...]


class XetStore:
    """The store in a folder, which hf_xet fills when it is told to upload to `url`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"local://{folder.resolve()}"
        self._shards = folder / "xet/xorbs/shards"
        self._xorbs = folder / "xet/xorbs/xorbs"
        self._read: set[Path] = set()
        self._files: dict[str, XetFile] = {}

    def find(self, sha256: str) -> XetFile | None:
        """None for a file that did not come this way."""
        for shard in set(self._shards.glob("*.mdb")) - self._read:
            self._files |= {file.sha256: file for file in _files_of(shard.read_bytes())}
            self._read.add(shard)
        return self._files.get(sha256)

    def chunks(self, file: XetFile) -> Iterator[bytes]:
        """The file's bytes; at most one xorb (64 MiB) is in memory."""
        for xorb, first, stop in file.terms:
            packed = (self._xorbs / f"default.{xorb}").read_bytes()
            offset = 0
            for number in range(stop):
                num_packed, num_unpacked = _u24(packed, offset + 1), _u24(packed, offset + 5)
                start = offset + _CHUNK_HEADER_BYTES
                if number >= first:
                    yield _unpack(packed[start : start + num_packed], packed[offset + 4], num_unpacked)
                offset = start + num_packed


def _files_of(shard: bytes) -> Iterator[XetFile]:
    """Files of a shard that say their sha256."""
    offset = _HEADER_BYTES
    while True:
        digest, flags, num_terms, _, _ = _RECORD.unpack_from(shard, offset)
        if digest == _BOOKEND:
            return
        records = [_RECORD.unpack_from(shard, offset + _RECORD.size * (1 + number)) for number in range(num_terms)]
        terms = tuple((_hex(xorb), first, stop) for xorb, _, _, first, stop in records)
        offset += _RECORD.size * (1 + num_terms * (2 if flags & _WITH_VERIFICATION else 1))
        if flags & _WITH_SHA256:
            (sha256,) = _SHA256.unpack_from(shard, offset)
            offset += _SHA256.size
            yield XetFile(_hex(digest), _hex(sha256), terms)


def _hex(digest: bytes) -> str:
    """Hashes are four numbers of eight bytes, also those that were text before."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))


def _u24(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 3], "little")


def _unpack(packed: bytes, scheme: int, num_bytes: int) -> bytes:
    if scheme == _PLAIN:
        return packed
    if scheme not in (_LZ4, _GROUPED_LZ4):
        raise ValueError(f"chunk compression {scheme} is not known here")
    content: bytes = pa.decompress(packed, num_bytes, codec="lz4", asbytes=True)
    return interleave(content) if scheme == _GROUPED_LZ4 else content


def interleave(grouped: bytes) -> bytes:
    """Undo the grouping of each fourth byte, which helps tables of numbers to compress."""
    content = bytearray(len(grouped))
    start = 0
    for place in range(4):
        stop = start + len(range(place, len(grouped), 4))
        content[place::4] = grouped[start:stop]
        start = stop
    return bytes(content)

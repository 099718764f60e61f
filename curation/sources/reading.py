"""Files into raw records, one at a time: JSON lists, JSON lines, each also gzipped, and Parquet.

Memory is bounded by one record, not by the file. The JSON list is walked with the standard library's decoder, because
ijson turns a lone surrogate into "?" without a word and gives up a whole file for one bad byte.
A record that cannot be read costs that record, and is a `SourceReject`. A file that breaks off costs an unknown number
of records, so it is a `SourceError`: nothing could count what is missing.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import SourceError
from curation.schema import SourceReject

_CHUNK_BYTES: Final = 1 << 20
_MAX_RECORD_CHARS: Final = 1 << 24
_GZIP_MAGIC: Final = b"\x1f\x8b"
_NUMBER_REST: Final = re.compile(r"[-+.0-9eE]*")
_BLANK: Final = " \t\r\n\ufeff"  # a byte order mark may open any part


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One JSON value. `number` counts from 1: the line of a JSONL file, else the place in the list."""

    file: str
    number: int
    value: object


@dataclass(frozen=True, slots=True)
class _Chunk:
    file: str
    text: str


def iter_records(
    paths: Sequence[Path], files: Sequence[str], *, lines: bool = False
) -> Iterator[RawRecord | SourceReject]:
    """Read JSON parts in order as one stream.

    Each part may be a list of its own, or JSON lines, or a slice of one (gzipped) document: a document goes on into
    the next part until it is complete. `lines` forbids lists. Raises SourceError when a part cannot be read, is no
    JSON, or when the last document breaks off.
    """
    chunks = _text_chunks(paths, files)
    first = next((chunk for chunk in chunks if chunk.text.strip(_BLANK)), None)
    if first is None:
        if lines:
            return
        raise SourceError(f"{paths[0]} is empty: expected a JSON list or JSON lines.")
    reader = _Reader(first, chunks)
    start = first.text.lstrip(_BLANK)[0]
    if start not in "[{" and not lines:
        raise SourceError(f"{first.file} is no JSON: it begins with {first.text[:20]!a}.")
    yield from reader.lines() if lines or start == "{" else reader.lists()


def iter_parquet(path: Path, file: str) -> Iterator[RawRecord | SourceReject]:
    """Rows of a Parquet file as records. Raises SourceError when it is damaged."""
    number = 0
    try:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=1024):
                for row in _rows(batch):
                    number += 1
                    if row is None:
                        yield SourceReject(file, number, "bad_encoding", "the row holds text that is not UTF-8")
                    else:
                        yield RawRecord(file, number, row)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"cannot read {path} after row {number}: {one_line(error)}. Fetch the file again.") from error


def display_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """How rejects name the files: relative to their common folder, so that no local path is ever published."""
    folder = os.path.commonpath([path.absolute().parent for path in paths])
    return tuple(path.absolute().relative_to(folder).as_posix() for path in paths)


def _rows(batch: pa.RecordBatch) -> Iterator[object]:
    """The rows as dicts; None for one whose text is not UTF-8, which Parquet writers do not always check."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


class _Reader:
    """Walks a stream of chunks; `buffer` holds what is not consumed yet, `file` the part it came from."""

    def __init__(self, first: _Chunk, chunks: Iterator[_Chunk]) -> None:
        self.chunks = chunks
        self.file = first.file
        self.buffer = first.text
        self.at = 0
        self.decoder = json.JSONDecoder()

    def lines(self) -> Iterator[RawRecord | SourceReject]:
        """JSON lines. Numbers start again with each part."""
        number, file = 0, ""
        while self.at < len(self.buffer) or self._more():
            number, file = (number + 1, file) if file == self.file else (1, self.file)
            text = self._line().strip(_BLANK)
            if number == 1 and text == "{":
                raise SourceError(f"{file} is neither a JSON list nor JSON lines: its first line is a lone brace.")
            if not text:
                continue
            try:
                yield RawRecord(file, number, json.loads(text))
            except (ValueError, RecursionError) as error:
                yield SourceReject(file, number, "bad_json", f"{one_line(error)}: {text[:60]!a}")

    def lists(self) -> Iterator[RawRecord]:
        """One JSON list after another. Numbers start again with each list."""
        while (start := self._peek()) is not None:
            if start != "[":
                raise SourceError(f"{self.file}: expected a JSON list, found {self.buffer[self.at :][:20]!a}.")
            self.at += 1
            yield from self._elements()

    def _elements(self) -> Iterator[RawRecord]:
        number, file = 0, self.file
        if self._peek() == "]":
            self.at += 1
            return
        while True:
            number += 1
            yield RawRecord(file, number, self._element(number))
            delimiter = self._peek()
            if delimiter not in (",", "]"):
                raise _torn(self.file, number, "expected a comma or the end of the list" if delimiter else "it ends")
            self.at += 1
            if delimiter == "]":
                return

    def _element(self, number: int) -> object:
        """The value at `at`. The decoder cannot tell a broken value from one that is not all here, so it gets more."""
        if self._peek() is None:
            raise _torn(self.file, number, "it ends")
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.at)
            except (ValueError, RecursionError) as error:
                fault = error.msg if isinstance(error, json.JSONDecodeError) else one_line(error)
            else:
                if not _NUMBER_REST.fullmatch(self.buffer, end):  # a number that is cut may go on: 1 | 1. | 1e+
                    self.at = end
                    return value
                fault = "it ends"
            if len(self.buffer) - self.at > _MAX_RECORD_CHARS or not self._more():
                raise _torn(self.file, number, fault)

    def _line(self) -> str:
        """The next line, without its end."""
        num_searched = 0
        while (end := self.buffer.find("\n", self.at + num_searched)) < 0:
            rest, file = self.buffer[self.at :], self.file
            if len(rest) > _MAX_RECORD_CHARS:
                raise SourceError(f"{file} has a line of more than {_MAX_RECORD_CHARS} characters.")
            if not self._more() or (file != self.file and _is_json(rest)):  # parts need not end in a newline
                self.at = len(rest) if self.file != file else len(self.buffer)
                return rest
            num_searched = len(rest)
        line, self.at = self.buffer[self.at : end], end + 1
        return line

    def _peek(self) -> str | None:
        """The next character that is not blank, unconsumed; None at the end of the stream."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in _BLANK:
                self.at += 1
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._more():
                return None

    def _more(self) -> bool:
        """Add one chunk to the buffer and drop what is consumed."""
        chunk = next(self.chunks, None)
        if chunk is None:
            return False
        self.buffer, self.at = self.buffer[self.at :] + chunk.text, 0
        self.file = chunk.file
        return True


def _torn(file: str, number: int, fault: str) -> SourceError:
    return SourceError(
        f"{file} breaks off at record {number} ({fault}): what follows cannot be read or counted. "
        "Fetch the file again, or repair it."
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text.strip(_BLANK))
    except (ValueError, RecursionError):
        return False
    return True


def _text_chunks(paths: Sequence[Path], files: Sequence[str]) -> Iterator[_Chunk]:
    """Decode the parts in order; bytes that are not UTF-8 become lone surrogates, which a question may not hold."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    file = ""
    for file, raw in _plain_bytes(paths, files):
        if text := decoder.decode(raw):
            yield _Chunk(file, text)
    if rest := decoder.decode(b"", final=True):
        yield _Chunk(file, rest)


def _plain_bytes(paths: Sequence[Path], files: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The parts' bytes, gunzipped where they are gzip; a gzip stream may go on into the next part."""
    member: zlib._Decompress | None = None
    for path, file in zip(paths, files, strict=True):
        try:
            with path.open("rb") as stream:
                zipped = member is not None or stream.peek(2)[:2] == _GZIP_MAGIC
                while raw := stream.read(_CHUNK_BYTES):
                    while zipped and raw:
                        member = member or zlib.decompressobj(wbits=31)
                        plain = member.decompress(raw, _CHUNK_BYTES)
                        raw = member.unconsumed_tail
                        if member.eof:
                            raw, member = member.unused_data.lstrip(b"\0"), None
                        yield file, plain
                    if not zipped:
                        yield file, raw
        except (OSError, zlib.error) as error:
            raise SourceError(
                f"cannot read {path}: {one_line(error)}. Check the path, or fetch the file again."
            ) from error
    if member is not None:
        raise SourceError(f"{paths[-1]} breaks off inside its gzip stream. Fetch the file again.")


def one_line(error: BaseException) -> str:
    """An error in one line."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split())[:200] or type(error).__name__

"""Archives that were cut into parts: all.zip.001, .part1, .part_aa, .tar.gz.00, as split, 7-Zip and people name them.

The parts of one archive are read as one file, in their order. A split zip (all.z01, all.z02, all.zip) is another thing:
its list of contents counts places by part, and zips.py says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import PurePosixPath
from string import ascii_lowercase
from typing import Final

from curation.fetch.blobs import Blob, MediaRepo, RepoBlob, Stream
from curation.fetch.tars import SUFFIXES
from curation.hub import RemoteFile

_ARCHIVE: Final = "|".join(re.escape(suffix) for suffix in sorted((".zip", *SUFFIXES), key=len, reverse=True))
# The archive's own name; how its parts are told from it; the part; and perhaps of how many.
_PART: Final = re.compile(
    rf"(?P<archive>.+(?:{_ARCHIVE}))(?P<mark>[._-]?(?:(?P<word>part|split|chunk|piece|vol)[._-]?)?)"
    r"(?P<number>[0-9]{1,9}|[a-z]{1,9})(?P<rest>[._-]?of[._-]?(?P<total>[0-9]{1,9}))?",
    re.IGNORECASE | re.ASCII,
)
_Part = tuple[re.Match[str], RemoteFile]
_SPLIT_ZIP: Final = re.compile(r"(?P<stem>.+)\.z[0-9]{2,9}", re.IGNORECASE | re.ASCII)
_ENDS: Final = (".zip", ".ZIP")


@dataclass(frozen=True, slots=True)
class SplitFile(RemoteFile):
    """The file that the parts make up. fault: why they cannot be joined, null when they can."""

    parts: tuple[RemoteFile, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class JoinedBlob:
    """Several blobs, one behind the other. `read` raises Fault when one of them ends early."""

    blobs: Sequence[Blob]

    @property
    def num_bytes(self) -> int:
        """Of all together."""
        return sum(blob.num_bytes for blob in self.blobs)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """One read for each of the blobs that the range touches."""
        at = 0
        for blob in self.blobs:
            first, last = max(start - at, 0), min(stop - at, blob.num_bytes)
            if first < last:
                yield from Stream(blob.read(first, last)).pieces(last - first)
            at += blob.num_bytes


def join_parts(files: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
    """`files`, but for each archive that is only there in parts one SplitFile, under the name it had before."""
    groups: dict[str, list[_Part]] = {}
    joined = dict(files)
    for path, file in files.items():
        if (match := _PART.fullmatch(path)) and match["archive"] not in files:
            groups.setdefault(match["archive"], []).append((match, file))
        elif (match := _SPLIT_ZIP.fullmatch(path)) and not files.keys() & {f"{match['stem']}{end}" for end in _ENDS}:
            archive = f"{match['stem']}.zip"
            why = f"the last part of this split zip, {PurePosixPath(archive).name}, is not there"
            joined[archive] = SplitFile(archive, 0, None, None, (), why)
    for archive, found in groups.items():
        if parts := _without_others(found):
            joined[archive] = whole = _join(archive, parts)
            for part in whole.parts if whole.fault is None else ():
                del joined[part.path]
    return joined


def parts_of(file: RemoteFile) -> tuple[RemoteFile, ...]:
    """The files of the repository that hold this one."""
    return file.parts if isinstance(file, SplitFile) else (file,)


def join_blobs(blobs: Iterable[Blob]) -> Blob:
    """One blob of all of them."""
    first, *others = blobs
    return JoinedBlob((first, *others)) if others else first


def open_blob(repo: MediaRepo, commit: str, file: RemoteFile) -> Blob:
    """A file of a repository by ranges, whether it is whole there or in parts."""
    return join_blobs(RepoBlob(repo, commit, part.path, part.size_bytes) for part in parts_of(file))


def _without_others(found: Sequence[_Part]) -> list[_Part]:
    """Without what only looks like a part, all.zip.md or all.zip.asc: split counts letters up from a, at one length."""
    numbers = [match["number"].lower() for match, _ in found if match["number"].isalpha()]
    first_letters = {number[0] for number in numbers}
    run = set(takewhile(first_letters.__contains__, ascii_lowercase))
    length = min(map(len, numbers), default=0)
    kept = {number for number in numbers if number[0] in run and (len(number) == length or number[0] == "z")}
    is_alone = len(kept) == 1 and kept != {"a" * length}
    return [
        (match, file)
        for match, file in found
        if match["number"].isdigit() or (match["number"].lower() in kept and (match["word"] or not is_alone))
    ]


def _join(archive: str, found: Sequence[_Part]) -> SplitFile:
    found = sorted(found, key=lambda part: _order(part[0]["number"]))
    parts = tuple(file for _, file in found)
    why_not = _why_not([match for match, _ in found])
    return SplitFile(archive, sum(file.size_bytes for file in parts), None, None, parts, why_not)


def _order(number: str) -> tuple[int, str]:
    return (int(number) if number.isdigit() else -1), number


def _why_not(matches: Sequence[re.Match[str]]) -> str | None:
    """Why parts, in order, do not make up an archive; null when they do."""
    first, number = matches[0], matches[0]["number"]
    for match in matches[1:]:
        if _kind(match) != _kind(first):
            return f"its parts are numbered in two ways: {_named(first, number)} and {_named(match, match['number'])}"
    lowest = "a" * len(number) if number.islower() else "A" * len(number)
    if number.isdigit() and int(number) > 1:
        return _missing(first, str(int(number) - 1).zfill(len(number)))
    if number.isalpha() and number != lowest:
        return _missing(first, lowest)
    for match, following in pairwise(matches):
        if following["number"] not in (nexts := _next(match["number"])):
            return _missing(match, nexts[0])
    if first["total"] and len(matches) < int(first["total"]):
        return _missing(first, _next(matches[-1]["number"])[0])
    return None


def _kind(match: re.Match[str]) -> tuple[str, str, bool]:
    return match["mark"], match["rest"] or "", match["number"].isdigit()


def _next(number: str) -> tuple[str, ...]:
    """What may follow a part: the next number, or that with two more digits, as split goes on when they run out."""
    if number.isdigit():
        following, zeros = str(int(number) + 1).zfill(len(number)), "00"
    else:
        lowest, highest = ("a", "z") if number.islower() else ("A", "Z")
        kept = number.rstrip(highest)
        num_turned = len(number) - len(kept)
        following = (kept[:-1] + chr(ord(kept[-1]) + 1) if kept else lowest) + lowest * num_turned
        zeros = lowest * 2
    return following, following + zeros


def _missing(match: re.Match[str], number: str) -> str:
    return f"its part {_named(match, number)} is not there"


def _named(match: re.Match[str], number: str) -> str:
    """The name of the part with another number."""
    name = f"{match['archive']}{match['mark']}{number}{match['rest'] or ''}"
    return PurePosixPath(name).name

"""Archives from strangers: what they claim is checked, and only what was asked for is written, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import struct
import tarfile
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.fetch.blobs import Stream
from curation.fetch.faults import ArchiveError, Fault
from curation.fetch.holdings import Holdings, Place, look_up, wanted_name
from curation.fetch.names import composed
from curation.fetch.parts import JoinedBlob, SplitFile, join_parts, parts_of
from curation.fetch.plan import GAP_BYTES, join_members, plan_zip
from curation.fetch.tars import gunzip, list_tar
from curation.fetch.unpack import is_whole, place_file
from curation.fetch.wanted import check_path
from curation.fetch.zips import Limits, ZipEntry, list_members, read_member
from curation.hub import RemoteFile

NOISE = bytes(i * 197 + i // 251 & 0xFF for i in range(20_000))


@dataclass
class Memory:
    """A blob in memory that hands out small pieces and remembers what was read."""

    content: bytes
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        return len(self.content)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        self.ranges.append((start, stop))
        for at in range(start, min(stop, len(self.content)), 701):
            yield self.content[at : min(at + 701, stop)]


def make_zip(
    members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], *, method: int = zipfile.ZIP_STORED, comment: bytes = b""
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name that stands twice is what some tests are about
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = comment
    return buffer.getvalue()


def listed(content: bytes, *names: str, limits: Limits | None = None) -> dict[str, ZipEntry]:
    return list_members(Memory(content), lambda name: not names or name in names, limits or Limits())


def unpacked(content: bytes, name: str) -> bytes:
    entry = listed(content, name)[name]
    assert entry.fault is None, entry.fault
    return b"".join(read_member(Stream(Memory(content).read(entry.start, entry.stop), entry.start), entry))


def patched(content: bytes, signature: bytes, offset: int, layout: str, *values: int, last: bool = False) -> bytes:
    """`content` with a field of the first (or last) record of this signature replaced."""
    at = (content.rfind if last else content.find)(signature)
    assert at >= 0
    changed = bytearray(content)
    struct.pack_into(layout, changed, at + offset, *values)
    return bytes(changed)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\\/."), min_size=1, max_size=12).map(composed),
        st.binary(max_size=3000),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    st.binary(max_size=40).filter(lambda comment: b"PK" not in comment),
)
def test_what_zipfile_writes_is_read_back(members: dict[str, bytes], method: int, comment: bytes) -> None:
    content = make_zip(members.items(), method=method, comment=comment)
    assert set(listed(content)) == set(members)
    for name in members:
        assert unpacked(content, name) == members[name]


def test_a_member_written_in_one_go_without_its_sizes_is_read() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, piece: bytes) -> int:  # type: ignore[override]
            self.content += piece
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", NOISE)
        archive.writestr("b", b"second")
    assert unpacked(bytes(pipe.content), "a") == NOISE
    assert unpacked(bytes(pipe.content), "b") == b"second"


def test_zip64_members_and_zip64_end_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    content = make_zip([("a", NOISE), ("b", b"small"), ("c", NOISE[:5000])], method=zipfile.ZIP_DEFLATED)
    assert b"PK\6\6" in content
    assert unpacked(content, "a") == NOISE
    assert unpacked(content, "b") == b"small"
    assert unpacked(content, "c") == NOISE[:5000]


def test_an_archive_with_something_before_it_is_read() -> None:
    content = b"#!/bin/sh\n" * 50 + make_zip([("a", NOISE)])
    assert unpacked(content, "a") == NOISE


def test_names_that_linux_wrote_in_utf8_without_saying_so_are_found() -> None:
    content = make_zip([("\u4e2d.mp4", b"x" * 50)])
    plain = patched(patched(content, b"PK\1\2", 8, "<H", 0), b"PK\3\4", 6, "<H", 0)
    assert unpacked(plain, "\u4e2d.mp4") == b"x" * 50


def test_only_the_end_and_the_list_of_a_large_archive_are_read() -> None:
    content = make_zip([(f"{number}", NOISE) for number in range(40)])
    blob = Memory(content)
    list_members(blob, lambda name: name == "7", Limits())
    assert sum(stop - start for start, stop in blob.ranges) < 70_000


@pytest.mark.parametrize(
    "name",
    ["../a", "/a", "C:/a", "C:\\a", "b\\..\\a", "a\0", "a/", "./../a", "A", "a ", "x/../a"],
)
def test_a_hostile_name_never_stands_for_a_wanted_one(name: str) -> None:
    content = make_zip([(name.replace("\0", "_"), b"evil")]).replace(name.replace("\0", "_").encode(), name.encode())
    assert listed(content, "a") == {}


def test_a_leading_dot_folder_in_a_member_is_the_same_name() -> None:
    assert unpacked(make_zip([("./a", b"x")]).replace(b"./a", b"./a"), "a") == b"x"


@pytest.mark.parametrize("member", ["./sub/w.mp4", "sub\\w.mp4", ".\\sub\\w.mp4"])
def test_a_member_with_backward_slashes_is_found_by_its_path(member: str) -> None:
    raw = member.replace("\\", "?")
    content = make_zip([(raw, NOISE)]).replace(raw.encode(), member.encode())
    assert unpacked(content, "sub/w.mp4") == NOISE


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_either_normal_form_in_file_folder_zip_and_tar(form: str) -> None:
    path = composed("Caf\u00e9/vid\u00e9o.mp4")
    spelled = unicodedata.normalize(form, path)
    name = PurePosixPath(spelled).name
    folder = str(PurePosixPath(spelled).parent)
    assert found({spelled: b"x"}, {path}).places[path].file.path == spelled
    for archives in ({f"{folder}/a.zip": make_zip([(name, b"x")])}, {"a.zip": make_zip([(spelled, b"x")])}):
        entry = found(archives, {path}).places[path].entry
        assert entry is not None
        assert unpacked(next(iter(archives.values())), entry.name) == b"x"
    assert wanted_name(f"{folder}/a.tar", name, {path}) == path
    assert wanted_name("a.tar", spelled, {path}) == path


def test_one_name_in_both_normal_forms_stands_twice() -> None:
    entry = listed(make_zip([("\u00e9", b"one"), ("e\u0301", b"two")]))["\u00e9"]
    assert entry.fault is not None and "stands 2 times" in entry.fault[1]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda good: patched(good, b"PK\1\2", 24, "<L", 19_999), "more than the 19999"),
        (lambda good: patched(good, b"PK\1\2", 20, "<L", 50), "bytes and declares|end early|ends"),
        (lambda good: patched(good, b"PK\1\2", 16, "<L", 1), "CRC32 is"),
        (lambda good: patched(good, b"PK\3\4", 31, "<4B", 7, 7, 7, 7), "damaged|ends"),
        (lambda good: patched(good, b"PK\3\4", 36, "<L", 0xFFFFFFFF), "dictionary takes|damaged"),
    ],
)
def test_damaged_bzip2_and_lzma_members_bring_a_reason(
    method: int, damage: Callable[[bytes], bytes], words: str
) -> None:
    content = damage(make_zip([("a", NOISE)], method=method))
    with pytest.raises(Fault, match=words):
        unpacked(content, "a")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bzip2_or_lzma_bomb_is_cut_off_in_bounded_pieces(method: int) -> None:
    content = patched(make_zip([("a", bytes(50_000_000))], method=method), b"PK\1\2", 24, "<L", 1000)
    entry = listed(content)["a"]
    assert entry.fault is None
    num_bytes = 0
    with pytest.raises(Fault, match="more than the 1000 bytes"):
        for piece in read_member(Stream(Memory(content).read(0, len(content))), entry):
            num_bytes += len(piece)
    assert num_bytes <= 1000


def _link(content: bytes) -> bytes:
    info = zipfile.ZipInfo("a")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return make_zip([(info, b"/etc/passwd")])


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "symlink": (_link, "refused", "link"),
    "twice": (lambda _: make_zip([("a", b"one"), ("a", b"two")]), "refused", "stands 2 times"),
    "twice, dot": (lambda _: make_zip([("a", b"one"), ("./a", b"two")]), "refused", "stands 2 times"),
    "encrypted": (lambda good: patched(good, b"PK\1\2", 8, "<H", 1), "unsupported", "encrypted"),
    "method": (lambda good: patched(good, b"PK\1\2", 10, "<H", 93), "unsupported", "method 93"),
    "bomb by ratio": (lambda good: patched(good, b"PK\1\2", 24, "<L", 2**31), "refused", "zip bomb"),
    "stored grows": (lambda good: patched(good, b"PK\1\2", 24, "<L", 20_001), "refused", "stored in"),
    "outside": (lambda good: patched(good, b"PK\1\2", 42, "<L", 2**30), "refused", "shares bytes"),
    "into the list": (lambda good: patched(good, b"PK\1\2", 20, "<2L", 99_999, 99_999), "refused", "shares bytes"),
}


@pytest.mark.parametrize("trap", HOSTILE)
def test_a_hostile_entry_is_refused_with_its_reason(trap: str) -> None:
    make, reason, words = HOSTILE[trap]
    fault = listed(make(make_zip([("a", NOISE)])), "a")["a"].fault
    assert fault is not None
    assert fault[0] == reason
    assert words in fault[1]


def test_a_member_over_the_limit_is_refused() -> None:
    fault = listed(make_zip([("a", NOISE)]), limits=Limits(max_member_bytes=19_999))["a"].fault
    assert fault is not None and "limit is 19999" in fault[1]


def test_a_quoted_bomb_of_members_that_share_bytes_is_refused_and_its_neighbours_are_not() -> None:
    inner = make_zip([("b", NOISE)])
    content = make_zip([("before", b"fine"), ("a", inner), ("after", b"fine")])
    # A list entry for the member that lies quoted inside of "a".
    quoted = inner[inner.find(b"PK\1\2") :][: 46 + 1]
    at_b = content.find(inner)
    quoted = quoted[:42] + struct.pack("<L", at_b) + quoted[46:]
    end = content.rfind(b"PK\5\6")
    fields = list(struct.unpack_from("<4s4H2LH", content, end))
    fields[3] += 1
    fields[4] += 1
    fields[5] += len(quoted)
    bomb = content[:end] + quoted + struct.pack("<4s4H2LH", *fields)
    entries = listed(bomb)
    assert {name for name, entry in entries.items() if entry.fault} == {"a", "b"}
    assert unpacked(bomb, "after") == b"fine"


def test_a_stream_that_exceeds_its_declared_size_is_cut_off_at_once() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(bytes(50_000_000)) + deflater.flush()
    entry = ZipEntry("a", 0, 31 + len(bomb), len(bomb), 1000, 0, 8, None)
    header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, 0, 0, 1, 0) + b"a"
    num_bytes = 0
    with pytest.raises(Fault, match="more than the 1000 bytes") as caught:
        for piece in read_member(Stream(iter([header + bomb])), entry):
            num_bytes += len(piece)
    assert caught.value.reason == "bad_content"
    assert num_bytes <= 1000


@pytest.mark.parametrize(
    ("damage", "reason", "words"),
    [
        (lambda zipped: patched(zipped, b"PK\1\2", 16, "<L", 1), "bad_content", "CRC32 is"),
        (lambda zipped: patched(zipped, b"PK\1\2", 24, "<L", 19_999), "bad_content", "more than the 19999"),
        (lambda zipped: patched(zipped, b"PK\1\2", 24, "<L", 20_001), "bad_content", "unpacks to 20000"),
        (lambda zipped: patched(zipped, b"PK\1\2", 20, "<L", 50), "bad_content", "end early"),
        (lambda zipped: patched(zipped, b"PK\3\4", 30, "<B", ord("b")), "refused", "contradict"),
        (lambda zipped: patched(zipped, b"PK\3\4", 8, "<H", 0), "refused", "contradict"),
        (lambda zipped: patched(zipped, b"PK\3\4", 28, "<H", 40_000), "refused", "contradict"),
        (lambda zipped: patched(zipped, b"PK\3\4", 26, "<H", 40_000), "refused", "contradict"),
        (lambda zipped: patched(zipped, b"PK\3\4", 0, "<L", 0), "refused", "contradict"),
        (lambda zipped: patched(zipped, b"PK\3\4", 31, "<4B", 7, 7, 7, 7), "bad_content", "damaged"),
    ],
)
def test_a_list_that_lies_about_a_member_brings_a_reason_and_no_file(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str, words: str
) -> None:
    content = damage(make_zip([("a", NOISE)], method=zipfile.ZIP_DEFLATED))
    entry = listed(content, "a")["a"]
    assert entry.fault is None
    with pytest.raises(Fault, match=words) as caught:
        stream = Stream(Memory(content).read(entry.start, entry.stop), entry.start)
        place_file(tmp_path, "a", read_member(stream, entry), sha256=None)
    assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []


def test_a_lying_header_does_not_take_the_next_member_with_it() -> None:
    content = patched(make_zip([("a", NOISE), ("b", b"fine")]), b"PK\3\4", 28, "<H", 60_000)
    entries = listed(content)
    stream = Stream(Memory(content).read(0, len(content)))
    with pytest.raises(Fault):
        list(read_member(stream, entries["a"]))
    assert b"".join(read_member(stream, entries["b"])) == b"fine"


def _with_end(content: bytes, **changes: int) -> bytes:
    at = content.rfind(b"PK\5\6")
    names = ("disk", "list_disk", "num_here", "num_entries", "list_bytes", "list_start")
    fields = dict(zip(names, struct.unpack_from("<4H2L", content, at + 4), strict=True)) | changes
    return content[: at + 4] + struct.pack("<4H2L", *fields.values()) + content[at + 20 :]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda good: good[: len(good) // 2], "end is missing"),
        (lambda good: b"", "no zip"),
        (lambda good: b"<html>not found</html>", "no zip"),
        (lambda good: good[:-3], "end is missing"),
        (lambda good: _with_end(good, list_bytes=2**31), "where it says"),
        (lambda good: _with_end(good, list_start=2**31), "where it says"),
        (lambda good: _with_end(good, disk=1), "one part of several"),
        (lambda good: _with_end(good, num_here=0), "one part of several"),
        (lambda good: patched(good, b"PK\1\2", 0, "<L", 0), "damaged"),
        (lambda good: patched(good, b"PK\1\2", 28, "<H", 60_000), "cut off"),
        (lambda good: patched(good, b"PK\1\2", 20, "<2L", 0xFFFFFFFF, 0xFFFFFFFF), None),
    ],
)
def test_an_archive_that_cannot_be_read_is_one_sentence(damage: Callable[[bytes], bytes], words: str | None) -> None:
    content = damage(make_zip([("a", NOISE)]))
    if words is None:  # sizes that promise a zip64 field which is not there are taken as they stand, and refused
        assert listed(content)["a"].fault is not None
        return
    with pytest.raises(ArchiveError, match=words):
        listed(content)


def test_a_list_longer_than_the_limit_is_not_read() -> None:
    content = make_zip([(f"{number:0200}", b"") for number in range(400)])
    blob = Memory(content)
    with pytest.raises(ArchiveError, match="the limit is 50000"):
        list_members(blob, lambda name: True, Limits(max_list_bytes=50_000))
    assert sum(stop - start for start, stop in blob.ranges) < 70_000


@given(st.binary(max_size=400), st.data())
def test_no_damage_gives_anything_but_the_content_or_a_reason(noise: bytes, data: st.DataObject) -> None:
    good = make_zip([("a", noise), ("b", NOISE[:300])], method=zipfile.ZIP_DEFLATED)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(damaged)[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else bytes(damaged)
    try:
        entry = listed(content, "a").get("a")
        if entry is not None and entry.fault is None:
            stream = Stream(Memory(content).read(entry.start, entry.stop), entry.start)
            read = b"".join(read_member(stream, entry))
            assert len(read) == entry.num_bytes and zlib.crc32(read) == entry.crc32
    except (ArchiveError, Fault):
        pass


# --- places on this disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b", "C:/x", "c:x"),
        *("a/", "x" * 256, "a/" + "\u4e2d" * 90),
        *("media.jsonl", "./missing.jsonl", ".lock", ".archives/a.zip"),
    ],
)
def test_a_path_that_could_lead_out_or_hit_our_own_files_is_refused(path: str) -> None:
    with pytest.raises(Fault) as caught:
        check_path(path)
    assert caught.value.reason == "refused_path"


@pytest.mark.parametrize("path", ["a", "./a/b.mp4", "a//b", "a/./b", "..a", "a..b/c", "sub/media.jsonl", "x" * 255])
def test_an_ordinary_path_is_not_refused(path: str) -> None:
    check_path(path)


def test_a_linked_folder_that_leads_out_is_refused_and_nothing_is_written_there(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "out").symlink_to(outside)
    (root / "new").symlink_to(outside / "made")
    (root / "loop").symlink_to("loop")
    for path in ("out/a", "out/deep/a", "new/a", "loop/a"):
        with pytest.raises(Fault) as caught:
            place_file(root, path, iter([b"x"]), sha256=None)
        assert caught.value.reason in ("refused_path", "unwritable"), path
    assert list(outside.iterdir()) == []


def test_a_linked_folder_that_stays_inside_is_used(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    place_file(tmp_path, "link/a", iter([b"x"]), sha256=None)
    assert (tmp_path / "real" / "a").read_bytes() == b"x"


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep me")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").symlink_to(victim)
    place_file(root, "a", iter([b"new"]), sha256=None)
    assert victim.read_bytes() == b"keep me"
    assert not (root / "a").is_symlink()


@pytest.mark.parametrize("path", ["folder", "file/inside"])
def test_a_place_that_is_taken_is_a_reason_and_leaves_no_rest(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fault) as caught:
        place_file(tmp_path, path, iter([b"x"]), sha256=None)
    assert caught.value.reason == "unwritable"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_other_content_than_the_dataset_knows_is_not_put_in_place_and_both_hashes_are_told(tmp_path: Path) -> None:
    place_file(tmp_path, "a", iter([b"the ", b"old"]), sha256=hashlib.sha256(b"the old").hexdigest())
    with pytest.raises(Fault) as caught:
        place_file(tmp_path, "a", iter([b"new"]), sha256="ab" * 32)
    found = hashlib.sha256(b"new").hexdigest()
    assert caught.value.found_sha256 == found
    assert found in str(caught.value) and "ab" * 32 in str(caught.value)
    assert (tmp_path / "a").read_bytes() == b"the old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_the_final_name_appears_only_when_everything_is_there(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(3):
            assert not (tmp_path / "a.mp4").exists(), number
            yield b"x"

    assert place_file(tmp_path, "a.mp4", pieces(), sha256=None) == 3
    assert (tmp_path / "a.mp4").read_bytes() == b"xxx"


def test_a_file_is_whole_by_the_hash_of_the_dataset_or_else_by_what_the_source_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(NOISE)
    remote = RemoteFile("x.zip", 1, "0" * 40, None)
    entry = listed(make_zip([("a", NOISE)]))["a"]
    other = listed(make_zip([("a", NOISE[:-1] + b"!")]))["a"]
    sha256 = hashlib.sha256(NOISE).hexdigest()
    assert is_whole(tmp_path, "a", Place(remote, entry), None)
    assert not is_whole(tmp_path, "a", Place(remote, other), None)
    assert is_whole(tmp_path, "a", Place(remote, other), sha256)
    assert not is_whole(tmp_path, "a", Place(remote, entry), "ab" * 32)
    assert not is_whole(tmp_path, "b", Place(remote, entry), None)
    blob = hashlib.sha1(b"blob %d\0" % len(NOISE) + NOISE).hexdigest()
    assert is_whole(tmp_path, "a", Place(RemoteFile("a", len(NOISE), blob, None), None), None)
    assert not is_whole(tmp_path, "a", Place(RemoteFile("a", len(NOISE), "0" * 40, None), None), None)


# --- what lies where, and what is transferred ----------------------------------------------------------------------


def found(archives: dict[str, bytes], wanted: set[str]) -> Holdings:
    files = {path: RemoteFile(path, len(content), "0" * 40, None) for path, content in archives.items()}
    return look_up(wanted, files, lambda file: Memory(archives[file.path]), limits=Limits())


def test_a_path_is_a_file_or_beside_its_archive_or_a_whole_member_name_in_that_order() -> None:
    archives = {
        "A/single.png": b"x",
        "A/one.zip": make_zip([("v/beside.mp4", b"1"), ("single.png", b"not this"), ("A/named.mp4", b"2")]),
        "far/two.zip": make_zip([("A/v/beside.mp4", b"not this"), ("B/elsewhere.mp4", b"3")]),
    }
    holdings = found(archives, {"A/single.png", "A/v/beside.mp4", "A/named.mp4", "B/elsewhere.mp4", "B/nowhere.mp4"})
    assert {path: (place.file.path, place.entry and place.entry.name) for path, place in holdings.places.items()} == {
        "A/single.png": ("A/single.png", None),
        "A/v/beside.mp4": ("A/one.zip", "v/beside.mp4"),
        "A/named.mp4": ("A/one.zip", "A/named.mp4"),
        "B/elsewhere.mp4": ("far/two.zip", "B/elsewhere.mp4"),
    }
    assert holdings.missing("B/nowhere.mp4").reason == "missing"


def joined_paths(*paths: str) -> dict[str, RemoteFile]:
    files = {path: RemoteFile(path, 1, None, None) for path in paths}
    return {path: file for path, file in join_parts(files).items() if path not in files}


LETTERS = [first + second for first in ascii_lowercase[:25] for second in ascii_lowercase]  # as split goes: aa to yz


@pytest.mark.parametrize(
    "archive", ["A/all.zip", "all.ZIP", "A/all.tar", "all.tar.gz", "all.tgz", "v1.2/a.zip.d/b.zip"]
)
@pytest.mark.parametrize(
    "suffixes",
    [
        [f".part{number}" for number in range(1, 13)],
        [f".{number:03}" for number in range(1, 13)],
        [f".{number:02}" for number in range(12)],
        [f".{number:03}" for number in range(1, 1002)],
        [f".part_{letters}" for letters in LETTERS[:40]],
        LETTERS[:2],
        [f".{letters}" for letters in [*LETTERS, "zaaa", "zaab"]],
        [f"-{number:02}" for number in range(90)] + ["-9000", "-9001"],
        [f".part-{number:05}-of-00011" for number in range(11)],
        [".001"],
    ],
)
def test_parts_of_an_archive_are_one_file_in_their_order(archive: str, suffixes: list[str]) -> None:
    paths = [archive + suffix for suffix in suffixes]
    shuffled = random.Random(0).sample(paths, len(paths))
    (joined,) = joined_paths(*shuffled, "A/README.md").values()
    assert isinstance(joined, SplitFile)
    assert (joined.path, joined.fault, joined.size_bytes) == (archive, None, len(paths))
    assert [part.path for part in parts_of(joined)] == paths


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a.zip.part1", "a.zip.part3"], "its part a.zip.part2 is not there"),
        (["a.zip.002", "a.zip.003"], "its part a.zip.001 is not there"),
        (["a.zip.09", "a.zip.00", "a.zip.01"], "its part a.zip.02 is not there"),
        (["a.tar.part_aa", "a.tar.part_ac"], "its part a.tar.part_ab is not there"),
        (["a.tar.gz.ab", "a.tar.gz.ac"], "its part a.tar.gz.aa is not there"),
        ([f"a.zip.{letters}" for letters in LETTERS[:60] if letters != "az"], "its part a.zip.az is not there"),
        (["a.zip.part1of3", "a.zip.part2of3"], "its part a.zip.part3of3 is not there"),
        (["a.zip.part_ab"], "its part a.zip.part_aa is not there"),
        (["a.zip.1", "a.zip.01"], "its part a.zip.02 is not there"),
        (["a.zip.001", "a.zip.part1"], "numbered in two ways"),
        (["a.z01", "a.z02"], "the last part of this split zip, a.zip, is not there"),
    ],
)
def test_a_gap_in_the_parts_is_refused_by_the_name_of_the_missing_one(names: list[str], missing: str) -> None:
    files = {f"A/{name}": RemoteFile(f"A/{name}", 1, None, None) for name in names}
    holdings = look_up({"A/v.mp4"}, join_parts(files), lambda file: Memory(b""), limits=Limits())
    fault = holdings.missing("A/v.mp4")
    assert fault.reason == "bad_archive"
    assert missing in str(fault)


@pytest.mark.parametrize(
    "names",
    [
        ["a.tar.gz", "a.tar.xz", "a.zip", "a.zip.001"],
        ["a.zip.md", "b.zip.asc", "c.zip.txt", "d.zip.sha256", "e.tar.bz2", "f.zip.json", "part1.zip", "x.001", "xaa"],
        ["a.zip.partial", "b.tar.parts", "c.zip.zip", "d.tar.tgz", "e.zip.part.txt"],
    ],
)
def test_what_only_looks_like_a_part_is_none(names: list[str]) -> None:
    assert joined_paths(*names) == {}
    assert joined_paths(*names, "z.zip.aa", "z.zip.ab", "z.zip.md", "z.zip.asc")["z.zip"].size_bytes == 2


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.data())
def test_a_range_over_parts_is_that_of_the_whole(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    blob = JoinedBlob([Memory(part) for part in parts])
    assert blob.num_bytes == len(whole)
    assert b"".join(blob.read(start, stop)) == whole[start:stop]


def test_a_part_that_ends_early_does_not_move_the_next_one_up() -> None:
    class Short(Memory):
        @property
        def num_bytes(self) -> int:
            return len(self.content) + 1

    with pytest.raises(Fault, match="1 bytes early"):
        list(JoinedBlob([Short(b"ab"), Memory(b"cd")]).read(0, 5))


def test_a_gzip_cut_in_its_header_is_read_through() -> None:
    content = gzip.compress(make_tar([("a", NOISE)]))
    blob = JoinedBlob([Memory(content[:3]), Memory(content[3:5]), Memory(b""), Memory(content[5:])])
    stream = Stream(gunzip(blob.read(0, blob.num_bytes), blob.num_bytes))
    assert {name: stream.take(size) for name, size in list_tar(stream)} == {"a": NOISE}


@pytest.mark.parametrize("field", ["disk", "list_disk"])
def test_a_split_zip_is_named_with_the_way_to_join_it(field: str) -> None:
    last = _with_end(make_zip([("v.mp4", NOISE)]), **{field: 2})
    holdings = found({"A/all of it.zip": last, "A/all of it.z01": b"x"}, {"A/v.mp4"})
    assert str(holdings.missing("A/v.mp4")) == (
        "A/all of it.zip may hold it, but it is one part of several, a split zip: join it "
        "(zip -s 0 'all of it.zip' --out joined.zip)"
    )


def test_two_archives_with_different_files_of_a_name_are_ambiguous_and_with_the_same_are_not() -> None:
    archives = {
        "A/1.zip": make_zip([("same", b"x"), ("other", b"x")]),
        "A/2.zip": make_zip([("same", b"x"), ("other", b"y")]),
    }
    holdings = found(archives, {"A/same", "A/other"})
    assert set(holdings.places) == {"A/same"}
    assert holdings.faults["A/other"].reason == "ambiguous"


def test_a_broken_archive_is_named_as_the_reason_for_what_it_may_hold() -> None:
    holdings = found({"A/1.zip": b"broken", "B/2.zip": make_zip([("b", b"x")])}, {"A/a", "B/b", "C/c"})
    assert set(holdings.places) == {"B/b"}
    assert holdings.missing("A/a").reason == "bad_archive"
    assert "A/1.zip" in str(holdings.missing("A/a"))
    assert holdings.missing("C/c").reason == "missing"


def test_an_archive_elsewhere_is_only_looked_into_when_something_is_left() -> None:
    seen = []
    archives = {"A/1.zip": make_zip([("a", b"x")]), "B/2.zip": make_zip([("b", b"x")])}
    files = {path: RemoteFile(path, len(content), "0" * 40, None) for path, content in archives.items()}

    def open_blob(file: RemoteFile) -> Memory:
        seen.append(file.path)
        return Memory(archives[file.path])

    look_up({"A/a"}, files, open_blob, limits=Limits())
    assert seen == ["A/1.zip"]


def entry_at(name: str, start: int, size: int) -> tuple[str, ZipEntry]:
    return name, ZipEntry(name, start, start + size, size, size, 0, 0, None)


@given(st.lists(st.tuples(st.integers(0, 3 * GAP_BYTES), st.integers(1, 2 * GAP_BYTES)), min_size=1, max_size=12))
def test_stretches_hold_every_member_once_in_order_and_never_touch(gaps: list[tuple[int, int]]) -> None:
    members, at = [], 0
    for number, (gap, size) in enumerate(gaps):
        members.append(entry_at(str(number), at + gap, size))
        at += gap + size
    stretches = join_members(reversed(members))
    assert [member for stretch in stretches for member in stretch.members] == members
    for stretch in stretches:
        assert stretch.start == stretch.members[0][1].start
        assert stretch.stop == stretch.members[-1][1].stop
    for first, second in pairwise(stretches):
        assert second.start - first.stop >= GAP_BYTES


def test_an_archive_is_downloaded_whole_when_most_of_it_is_needed_or_it_is_here() -> None:
    file = RemoteFile("a.zip", 100 * GAP_BYTES, "0" * 40, None)
    few = dict([entry_at("a", 0, GAP_BYTES), entry_at("b", 50 * GAP_BYTES, GAP_BYTES)])
    most = dict([entry_at("a", 0, 60 * GAP_BYTES)])
    assert plan_zip(file, few, whole_from=0.5).how == "members"
    assert plan_zip(file, few, whole_from=0.5).transfer_bytes == 2 * GAP_BYTES
    assert plan_zip(file, most, whole_from=0.5).how == "whole"
    assert plan_zip(file, most, whole_from=0.5).transfer_bytes == file.size_bytes
    assert plan_zip(file, most, whole_from=2).how == "members"
    assert plan_zip(file, few, whole_from=0).how == "whole"
    here = plan_zip(file, few, whole_from=0.5, is_here=True)
    assert (here.how, here.transfer_bytes) == ("whole", 0)


# --- tar -----------------------------------------------------------------------------------------------------------


def make_tar(members: Iterable[tuple[str, bytes]], *, layout: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read_tar(content: bytes) -> dict[str, bytes]:
    stream = Stream(Memory(content).read(0, len(content)))
    return {name: stream.take(size) for name, size in list_tar(stream)}


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_what_tarfile_writes_is_read_back_whatever_is_left_unread(layout: int) -> None:
    long_name = "/".join(["folder" * 8] * 3) + "/clip.mp4"
    members = {"./a": b"", "b/c.mp4": NOISE, long_name: b"x" * 513, "z": b"last"}
    content = make_tar(members.items(), layout=layout)
    assert read_tar(content) == {name.removeprefix("./"): body for name, body in members.items()}
    stream = Stream(Memory(content).read(0, len(content)))
    assert [size for _, size in list_tar(stream)] == [0, 20_000, 513, 4]


def test_links_folders_and_devices_of_a_tar_are_no_files() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"x{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert read_tar(buffer.getvalue()) == {}


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.7])
def test_a_tar_that_is_cut_off_is_one_sentence(keep: float) -> None:
    content = make_tar([("a", NOISE), ("b", NOISE)])
    with pytest.raises((ArchiveError, Fault), match=r"cut off|early"):
        read_tar(content[: int(len(content) * keep)])


def test_a_tar_with_a_huge_extended_header_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, 2**33
    with pytest.raises(ArchiveError, match="limit"):
        read_tar(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


@pytest.mark.parametrize(
    "record", [b"0 path=x\n", b"-5 path=x\n", b"x path=x\n", b"12 size=-9\n", b"99999999 size=1\n"]
)
def test_a_malformed_extended_header_ends(record: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    body = record + bytes(-len(record) % 512)
    content = info.tobuf(tarfile.GNU_FORMAT) + body + make_tar([("b", b"x")])
    with suppress(ArchiveError):
        assert set(read_tar(content)) <= {"b", "x"}


def test_a_negative_size_in_a_tar_is_damage_and_no_empty_file() -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, 11
    content = info.tobuf(tarfile.GNU_FORMAT) + b"11 size=-9\n" + bytes(501) + make_tar([("b", b"x")])
    with pytest.raises(ArchiveError, match="negative"):
        read_tar(content)


def test_gzip_is_read_in_bounded_pieces_also_when_streams_follow_one_another() -> None:
    content = gzip.compress(NOISE * 50) + gzip.compress(b"more") + bytes(100)
    pieces = list(gunzip(Memory(content).read(0, len(content)), len(content)))
    assert b"".join(pieces) == NOISE * 50 + b"more"
    assert max(map(len, pieces)) <= 2**18


@pytest.mark.parametrize(
    "damage", [lambda good: good[:-9], lambda good: good[:-8] + bytes(8), lambda good: b"nonsense"]
)
def test_damaged_gzip_is_one_sentence(damage: Callable[[bytes], bytes]) -> None:
    content = damage(gzip.compress(NOISE))
    with pytest.raises(ArchiveError, match="gzip"):
        list(gunzip(iter([content]), len(content)))


def test_a_gzip_bomb_is_stopped() -> None:
    content = gzip.compress(bytes(2**26))
    num_bytes = 0
    with pytest.raises(ArchiveError, match="times its size"):
        for piece in gunzip(iter([content]), len(content)):
            num_bytes += len(piece)
    assert num_bytes <= 2**24 + 2**18


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise Fault("bad_content", "no")

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        with pytest.raises(Fault):
            place_file(tmp_path, "a", failing(), sha256=None)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

"""`media fetch` against the loopback hub: real zips of real clips, the real client, faults and kills in the middle."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from curation.errors import ConfigError
from curation.fetch.fetch import MediaSource, check_disk, plan_fetch
from curation.fetch.wanted import Choice, Selection, WantedFile, choose_files
from curation.hub import HubRepo, RemoteFile
from curation.media import load_manifest, resolve_media
from curation.provenance import Provenance, write_provenance
from tests import clips
from tests.folders import kept_row, rejected_row, write_folder
from tests.hub import HubFault, LoopbackHub, client_environment

REPO = "org/media"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Real clips and pictures by their path in the dataset."""
    folder = tmp_path_factory.mktemp("media")
    contents = {}
    for number in range(8):
        clip = clips.write_video(folder / f"{number}.mp4", num_frames=4 + number, size=(64, 48))
        contents[f"CLEVRER/train/{number}.mp4"] = clip.read_bytes()
    for number in range(3):
        picture = clips.write_picture(folder / f"{number}.png", size=(64, 48 + number))
        contents[f"Chart/{number}.png"] = picture.read_bytes()
    return contents


def zipped(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def below(folder: str, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path.removeprefix(f"{folder}/"): content for path, content in contents.items() if path.startswith(folder)}


def question(number: int, path: str, content: bytes | None, **changes: Any) -> dict[str, Any]:
    sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    data_type = "image" if path.endswith(".png") else "video"
    return kept_row(number, path=path, data_type=data_type, media_sha256=sha256, **changes)


@dataclass
class Bench:
    """A hub with a media repository, a dataset about it, and a media root that is not made yet."""

    hub: LoopbackHub
    dataset: Any  # a folder, or a name on the hub
    root: Path
    home: Path

    def start(self, *arguments: str, token: str | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "curation", "media", "fetch", str(self.dataset)]
        return subprocess.Popen(
            [*command, "--media-root", str(self.root), *arguments],
            env=client_environment(self.hub.url, self.home, token) | {"COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, token: str | None = None) -> tuple[int, str, str]:
        process = self.start("--from", REPO, *arguments, token=token)
        stdout, stderr = process.communicate(timeout=120)
        assert "Traceback" not in stderr, stderr
        return process.returncode, stdout, stderr

    def files(self) -> dict[str, bytes]:
        """What lies in the media root, but for what the command keeps for itself."""
        own = {"media.jsonl", "missing.jsonl", ".lock"}
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.name not in own
        }

    def missing(self) -> dict[str, dict[str, Any]]:
        lines = (self.root / "missing.jsonl").read_text().splitlines()
        return {entry["path"]: entry for entry in map(json.loads, lines)}

    def served(self) -> int:
        """Bytes of files that the hub was asked for since the last call."""
        served = sum(request.num_bytes for request in self.hub.requests if request.endpoint == "resolve")
        self.hub.requests.clear()
        return served


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with LoopbackHub(tmp_path / "hub", large_above_bytes=2000) as hub:
        yield Bench(hub, tmp_path / "dataset", tmp_path / "deep" / "root", tmp_path / "home")


def write_dataset(bench: Bench, contents: Mapping[str, bytes], *, known: bool = True, prefix: str = "./") -> None:
    rows = [
        question(number, prefix + path, content if known else None)
        for number, (path, content) in enumerate(contents.items())
    ]
    write_folder(bench.dataset, rows)


def test_members_of_zips_and_single_files_arrive_with_a_manifest_and_a_second_run_asks_for_no_file(
    bench: Bench, media: dict[str, bytes]
) -> None:
    clever = below("CLEVRER", media)
    half = dict(list(clever.items())[:4])
    rest = dict(list(clever.items())[4:])
    charts = {path: content for path, content in media.items() if path.startswith("Chart")}
    bench.hub.commit(
        REPO,
        {
            "CLEVRER/CLEVRER.zip": zipped(half, method=zipfile.ZIP_DEFLATED),
            "everything/rest.zip": zipped({f"CLEVRER/{name}": content for name, content in rest.items()}),
            **charts,
            "Video-R1-260k.json": b"[]",
        },
    )
    write_dataset(bench, media)
    status, stdout, stderr = bench.run("--json", str(bench.root.parent / "report.json"))
    assert status == 0, stderr
    assert bench.files() == media
    assert "To fetch from org/media@main" in stdout
    assert "11 questions want 11 files: 11 to fetch, 0 there already" in stdout
    report = json.loads((bench.root.parent / "report.json").read_text())
    assert (report["num_files"], report["num_fetched"], report["num_usable"], report["failed"]) == (11, 11, 11, {})
    records = load_manifest(bench.root / "media.jsonl")
    assert set(records) == {f"./{path}" for path in media}
    assert records["./CLEVRER/train/3.mp4"].num_frames == 7
    assert not (bench.root / "missing.jsonl").exists()
    bench.served()
    status, stdout, _ = bench.run()
    assert status == 0
    assert "0 to fetch, 11 there already" in stdout
    # Only the lists of the two archives, each once: its end, and the list itself.
    assert bench.hub.count("resolve") == 4


def big_zip(media: Mapping[str, bytes], *, num_others: int, other_bytes: int, seed: int = 0) -> bytes:
    """The wanted clips among others, far from one another."""
    noise = random.Random(seed)
    members: dict[str, bytes] = {}
    wanted = iter(below("CLEVRER", media).items())
    for number in range(num_others):
        members[f"train/other{number}.mp4"] = noise.randbytes(other_bytes)
        name, content = next(wanted, (None, b""))
        if name is not None:
            members[name] = content
    return zipped(members)


def test_only_the_bytes_of_the_needed_members_and_the_list_are_transferred(
    bench: Bench, media: dict[str, bytes]
) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    archive = big_zip(media, num_others=12, other_bytes=2_000_000)
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": archive})
    write_dataset(bench, clever)
    status, stdout, stderr = bench.run()
    assert status == 0, stderr
    assert bench.files() == clever
    assert "only what is needed" in stdout
    needed = sum(len(content) + 30 + len(path) for path, content in below("CLEVRER", clever).items())
    tail = 65_535 + 22 + 20
    listing = sum(46 + len(name) for name in zipfile.ZipFile(io.BytesIO(archive)).namelist())
    assert bench.served() == needed + tail + listing


def test_an_archive_that_is_needed_for_the_most_part_is_downloaded_whole_and_not_kept(
    bench: Bench, media: dict[str, bytes]
) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": zipped(below("CLEVRER", clever))})
    write_dataset(bench, clever)
    status, stdout, _ = bench.run()
    assert status == 0
    assert "whole" in stdout
    assert bench.files() == clever
    assert not (bench.root / ".archives").exists()
    for path in bench.root.rglob("*.mp4"):
        path.unlink()
    status, stdout, _ = bench.run("--whole-from", "2")
    assert status == 0
    assert "only what is needed" in stdout
    assert bench.files() == clever


def test_a_dry_run_says_how_much_and_writes_nothing(bench: Bench, media: dict[str, bytes]) -> None:
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": big_zip(media, num_others=8, other_bytes=2_000_000)})
    write_dataset(bench, {"CLEVRER/train/0.mp4": media["CLEVRER/train/0.mp4"]})
    status, stdout, _ = bench.run("--dry-run")
    assert status == 0
    assert "1 to fetch" in stdout
    assert "CLEVRER/CLEVRER.zip" in stdout
    assert not bench.root.exists()


def test_what_the_source_lacks_or_spoils_is_recorded_and_the_rest_arrives(
    bench: Bench, media: dict[str, bytes]
) -> None:
    clever = below("CLEVRER", media)
    archive = bytearray(zipped({**clever, "train/link.mp4": b"x" * 3000}))
    spoilt = archive.find(media["CLEVRER/train/1.mp4"]) + 100
    archive[spoilt] ^= 1
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": bytes(archive), "STAR/STAR.zip": b"no zip at all" * 300})
    wanted = {path: media[path] for path in media if path.startswith("CLEVRER")}
    rows = [question(number, path, content) for number, (path, content) in enumerate(wanted.items())]
    rows[2]["media_sha256"] = "ab" * 32
    hostile = ("../../evil.mp4", "/etc/evil.mp4", "CLEVRER\\x.mp4", "media.jsonl", "C:/x.mp4")
    rows += [question(100 + number, path, None) for number, path in enumerate(hostile)]
    rows += [question(200, "CLEVRER/train/nowhere.mp4", None), question(201, "STAR/a.mp4", None)]
    rows += [question(202, "CLEVRER/train/0.MP4", None)]
    write_folder(bench.dataset, rows)
    status, stdout, stderr = bench.run()
    assert status == 2
    assert stderr.splitlines()[-1].startswith("error: 10 of 16 files are not there; ")
    arrived = {path: content for path, content in wanted.items() if path[-5] not in "12"}
    assert bench.files() == arrived
    missing = bench.missing()
    reasons = {path: entry["reason"] for path, entry in missing.items()}
    assert reasons == {
        **dict.fromkeys(hostile, "refused_path"),
        "CLEVRER/train/1.mp4": "bad_content",
        "CLEVRER/train/2.mp4": "other_content",
        "CLEVRER/train/nowhere.mp4": "missing",
        "CLEVRER/train/0.MP4": "missing",
        "STAR/a.mp4": "bad_archive",
    }
    wrong = missing["CLEVRER/train/2.mp4"]
    assert wrong["wanted_sha256"] == "ab" * 32
    assert wrong["found_sha256"] == hashlib.sha256(wanted["CLEVRER/train/2.mp4"]).hexdigest()
    assert "other_content" in stdout
    assert not (bench.root.parent.parent / "evil.mp4").exists()
    records = load_manifest(bench.root / "media.jsonl")
    assert records["../../evil.mp4"].reason == "outside_root"
    assert records["CLEVRER/train/nowhere.mp4"].reason == "missing"


def test_a_file_that_was_changed_on_this_disk_is_fetched_again_and_the_others_are_not(
    bench: Bench, media: dict[str, bytes]
) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": big_zip(media, num_others=10, other_bytes=2_000_000)})
    write_dataset(bench, clever, known=False)
    assert bench.run()[0] == 0
    changed = bench.root / "CLEVRER" / "train" / "5.mp4"
    content = bytearray(changed.read_bytes())
    content[50] ^= 255
    changed.write_bytes(content)
    (bench.root / "CLEVRER" / "train" / "6.mp4").write_bytes(b"short")
    status, stdout, _ = bench.run()
    assert status == 0
    assert "2 to fetch, 6 there already" in stdout
    assert bench.files() == clever


def test_a_linked_folder_out_of_the_media_root_is_refused(bench: Bench, media: dict[str, bytes]) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    outside = bench.root.parent.parent / "outside"
    outside.mkdir()
    bench.root.mkdir(parents=True)
    (bench.root / "CLEVRER").symlink_to(outside)
    bench.hub.commit(
        REPO, {"CLEVRER/CLEVRER.zip": zipped(below("CLEVRER", clever)), "Chart/0.png": media["Chart/0.png"]}
    )
    write_dataset(bench, {**clever, "Chart/0.png": media["Chart/0.png"]})
    assert bench.run()[0] == 2
    assert list(outside.iterdir()) == []
    assert {entry["reason"] for entry in bench.missing().values()} == {"refused_path"}
    assert (bench.root / "Chart" / "0.png").read_bytes() == media["Chart/0.png"]


@pytest.mark.parametrize("arguments", [("--whole-from", "2"), ("--whole-from", "0")])
def test_a_fetch_killed_in_the_middle_is_completed_by_the_next(
    bench: Bench, media: dict[str, bytes], arguments: Sequence[str]
) -> None:
    noise = random.Random(1)
    large = {f"CLEVRER/train/{number}.bin": noise.randbytes(3_000_000) for number in range(6)}
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": zipped(below("CLEVRER", large))})
    write_dataset(bench, large)
    processes: list[subprocess.Popen[str]] = []
    # The list takes two requests; the kill comes when half of a stretch, or of the archive, has gone out.
    bench.hub.inject(
        HubFault("resolve", "after", "cut", method="GET", nth=3, call=lambda: os.kill(processes[0].pid, signal.SIGKILL))
    )
    processes.append(bench.start("--from", REPO, *arguments))
    processes[0].communicate(timeout=120)
    assert processes[0].returncode == -signal.SIGKILL
    for path, content in bench.files().items():
        if path.endswith(".bin"):
            assert content == large[path]
    status, _, stderr = bench.run(*arguments)
    assert status == 0, stderr
    assert bench.files() == large


def test_a_connection_that_breaks_in_the_middle_is_taken_up_where_it_broke(
    bench: Bench, media: dict[str, bytes]
) -> None:
    noise = random.Random(2)
    large = {f"CLEVRER/train/{number}.bin": noise.randbytes(2_000_000) for number in range(4)}
    archive = zipped(below("CLEVRER", large))
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": archive})
    write_dataset(bench, large)
    bench.hub.inject(HubFault("resolve", "after", "cut", method="GET", nth=3))
    bench.hub.inject(HubFault("resolve", "before", "reset", method="GET", nth=4))
    status, _, stderr = bench.run("--whole-from", "2")
    assert status == 0, stderr
    assert bench.files() == large
    # The half that had come is not asked for again.
    assert bench.served() < 1.1 * len(archive)


def test_a_hub_that_goes_away_ends_with_one_line_and_what_has_come_stays(bench: Bench, media: dict[str, bytes]) -> None:
    charts = {path: content for path, content in media.items() if path.startswith("Chart")}
    bench.hub.commit(REPO, {**charts, "Chart/more.zip": zipped({"x.png": b"x" * 5000})})
    write_dataset(bench, {**charts, "Chart/x.png": b"x" * 5000})
    bench.hub.inject(HubFault("resolve", "before", "status", status=403, method="GET", path="/2.png", times=99))
    status, _, stderr = bench.run("--whole-from", "2")
    assert status == 2
    assert stderr.splitlines()[-1].startswith("error: cannot read Chart/2.png of org/media: ")
    assert not [path for path in bench.files() if path.endswith(".part")]
    bench.hub.faults.clear()
    assert bench.run("--whole-from", "2")[0] == 0


def test_a_gated_an_unknown_and_a_wrongly_named_repository_are_one_line_each(
    bench: Bench, media: dict[str, bytes]
) -> None:
    bench.hub.commit(REPO, {"Chart/0.png": media["Chart/0.png"], "A/a.zip": zipped({"x": b"x" * 3000})})
    bench.hub.configure(REPO, gated="auto")
    write_dataset(bench, {"Chart/0.png": media["Chart/0.png"]})
    status, _, stderr = bench.run(token="hf_stranger")
    assert status == 2
    assert "org/media is gated" in stderr.splitlines()[-1]
    for name, words in (
        ("org/nowhere", "does not exist"),
        ("org/media@v9", "has no revision 'v9'"),
        ("media", "reads org/name"),
    ):
        process = bench.start("--from", name)
        stderr = process.communicate(timeout=60)[1]
        assert process.returncode == 2
        assert words in stderr.splitlines()[-1]
        assert "Traceback" not in stderr


def test_the_repository_that_the_dataset_names_is_the_default(bench: Bench, media: dict[str, bytes]) -> None:
    bench.hub.commit(REPO, {"Chart/0.png": media["Chart/0.png"]})
    write_dataset(bench, {"Chart/0.png": media["Chart/0.png"]})
    process = bench.start()
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert stderr.splitlines()[-1].endswith("does not say where its media are. Name the repository: --from org/name")
    write_provenance(bench.dataset, Provenance(source="videor1", tokenizer=None, config={}, media_repo=REPO))
    process = bench.start()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert bench.files() == {"Chart/0.png": media["Chart/0.png"]}


def test_the_media_of_the_rl_questions_of_a_dataset_on_the_hub_are_checked_by_the_hashes_of_its_traces(
    bench: Bench, media: dict[str, bytes]
) -> None:
    charts = {path: content for path, content in media.items() if path.startswith("Chart")}
    write_dataset(bench, {**charts, "Chart/0.png": b"what the dataset was made with"})
    write_provenance(bench.dataset, Provenance(source="videor1", tokenizer=None, config={}, media_repo=REPO))
    files = [path for path in bench.dataset.rglob("*") if path.is_file()]
    oid = bench.hub.commit("org/traces", {str(path.relative_to(bench.dataset)): path for path in files})
    bench.hub.tag("org/traces", "v1.0.0", oid)
    bench.hub.commit(REPO, charts)
    process = replace(bench, dataset="org/traces@v1.0.0").start("--config", "rl")
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 2, stderr
    assert {path: entry["reason"] for path, entry in bench.missing().items()} == {"Chart/0.png": "other_content"}
    assert set(bench.files()) == set(charts) - {"Chart/0.png"}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_files_of_a_tar_arrive_and_are_not_fetched_twice(bench: Bench, media: dict[str, bytes], suffix: str) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in [*below("CLEVRER", clever).items(), ("train/unwanted.mp4", b"x" * 999)]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    content = buffer.getvalue() if suffix == ".tar" else gzip.compress(buffer.getvalue())
    bench.hub.commit(REPO, {f"CLEVRER/videos{suffix}": content})
    write_dataset(bench, clever, known=False)
    status, stdout, stderr = bench.run()
    assert status == 0, stderr
    assert "searched" in stdout
    assert bench.files() == clever
    bench.served()
    status, stdout, _ = bench.run()
    assert status == 0
    assert "8 there already" in stdout
    assert bench.served() == 0


def in_parts(content: bytes, names: Sequence[str]) -> dict[str, bytes]:
    size = -(-len(content) // len(names))
    return {name: content[number * size : (number + 1) * size] for number, name in enumerate(names)}


def test_members_of_a_zip_in_parts_arrive_by_ranges_and_whole(bench: Bench, media: dict[str, bytes]) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    archive = big_zip(media, num_others=12, other_bytes=2_000_000)
    bench.hub.commit(REPO, in_parts(archive, [f"CLEVRER/all.zip.part{number}" for number in range(1, 12)]))
    write_dataset(bench, clever)
    status, stdout, stderr = bench.run()
    assert status == 0, stderr
    assert "CLEVRER/all.zip " in stdout and "only what is needed" in stdout
    assert bench.files() == clever
    assert bench.served() < len(archive) / 50
    for path in bench.root.rglob("*.mp4"):
        path.unlink()
    status, stdout, _ = bench.run("--whole-from", "0")
    assert status == 0
    assert "whole" in stdout
    assert bench.files() == clever


@pytest.mark.parametrize("from_mirror", [False, True])
def test_files_of_a_tar_in_parts_arrive_from_the_hub_and_from_a_mirror(
    bench: Bench, media: dict[str, bytes], from_mirror: bool
) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in below("CLEVRER", clever).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    parts = in_parts(buffer.getvalue(), [f"CLEVRER/videos.tar.gz.part_a{letter}" for letter in "abc"])
    mirror = bench.home.parent / "mirror"
    (mirror / "CLEVRER").mkdir(parents=True)
    for path, content in parts.items():
        (mirror / path).write_bytes(content)
    bench.hub.commit(REPO, parts)
    write_dataset(bench, clever)
    source = str(mirror) if from_mirror else REPO
    process = bench.start("--from", source)
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 0, stderr
    assert bench.files() == clever
    assert not (bench.root / ".archives").exists()
    assert len(list((mirror / "CLEVRER").iterdir())) == 3


def test_a_split_zip_is_one_line_that_says_how_to_join_it(bench: Bench) -> None:
    last = bytearray(zipped({"v.mp4": b"x" * 3000}))
    last[last.rfind(b"PK\5\6") + 4] = 1  # the end lies in the second part
    bench.hub.commit(REPO, {"A/all.zip": bytes(last), "A/all.z01": b"x" * 3000})
    write_dataset(bench, {"A/v.mp4": b"x" * 3000})
    status, stdout, _ = bench.run()
    assert status == 2
    assert "(zip -s 0 all.zip --out joined.zip)" in stdout
    assert bench.missing()["A/v.mp4"]["reason"] == "bad_archive"


def test_a_server_without_ranges_sends_the_whole_archive_once(bench: Bench, media: dict[str, bytes]) -> None:
    clever = {path: content for path, content in media.items() if path.startswith("CLEVRER")}
    archive = big_zip(media, num_others=10, other_bytes=2_000_000)
    bench.hub.commit(REPO, {"CLEVRER/CLEVRER.zip": archive})
    write_dataset(bench, clever)
    bench.hub.inject(HubFault("resolve", kind="whole", method="GET", times=99))
    status, _, stderr = bench.run("--whole-from", "2")
    assert status == 0, stderr
    assert bench.files() == clever
    assert stderr.count("CLEVRER/CLEVRER.zip is not served by ranges: all of it is downloaded.") == 1
    gets = [request for request in bench.hub.requests if request.endpoint == "resolve" and request.method == "GET"]
    assert len(gets) == 2  # the range that comes as the whole file, and the download


def test_names_in_another_normal_form_or_with_backslashes_arrive_where_the_rows_find_them(bench: Bench) -> None:
    spelled = {"A/caf\u00e9.bin": b"1" * 3000, "A/re\u0301sume\u0301.bin": b"2" * 3000, "A/sub/w.bin": b"3" * 3000}
    members = {
        "cafe\u0301.bin": b"1" * 3000,
        "r\u00e9sum\u00e9.bin": b"2" * 3000,
        "sub?w.bin": b"3" * 3000,
    }
    bench.hub.commit(REPO, {"A/a.zip": zipped(members).replace(b"sub?w", b"sub\\w")})
    write_dataset(bench, spelled)
    (bench.root / "A").mkdir(parents=True)
    (bench.root / "A" / "re\u0301sume\u0301.bin").write_bytes(b"an earlier one")
    status, _, stderr = bench.run()
    assert status == 0, stderr
    assert sorted(bench.files().values()) == sorted(spelled.values())
    for path, content in spelled.items():
        assert resolve_media(bench.root, path).read_bytes() == content
    status, stdout, _ = bench.run()
    assert status == 0 and "0 to fetch, 3 there already" in stdout


def test_an_interrupt_ends_with_one_line_and_leaves_only_whole_files(bench: Bench) -> None:
    noise = random.Random(3)
    large = {f"A/{number}.bin": noise.randbytes(3_000_000) for number in range(4)}
    bench.hub.commit(REPO, large)
    write_dataset(bench, large)
    processes: list[subprocess.Popen[str]] = []
    interrupt = HubFault("resolve", "after", "cut", method="GET", call=lambda: processes[0].send_signal(signal.SIGINT))
    bench.hub.inject(interrupt)
    processes.append(bench.start("--from", REPO))
    _, stderr = processes[0].communicate(timeout=120)
    assert processes[0].returncode == 130
    assert stderr.splitlines()[-1] == "error: interrupted; run the same command again to go on"
    assert all(content == large[path] for path, content in bench.files().items())
    assert bench.run()[0] == 0
    assert bench.files() == large


def test_names_that_differ_in_case_are_two_files_unless_the_disk_says_otherwise(bench: Bench) -> None:
    contents = {"A/x.bin": b"1" * 3000, "A/X.bin": b"2" * 3000}
    bench.hub.commit(REPO, {"A/a.zip": zipped(below("A", contents))})
    write_dataset(bench, contents)
    assert bench.run()[0] == 0
    assert bench.files() == contents
    (bench.root / "A" / "X.bin").unlink()
    (bench.root / ".LOCK").symlink_to(".lock")  # what the lock looks like on a disk that ignores case
    assert bench.run()[0] == 2
    assert [(path, entry["reason"]) for path, entry in bench.missing().items()] == [("A/X.bin", "unwritable")]


def test_a_disk_that_is_too_small_is_one_line_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile("A/1.bin", 5000, "0" * 40, None)
    source = MediaSource("org/media@main", HubRepo("org/media"), "0" * 40, {"A/1.bin": file})
    choice = Choice(1, ("A/1.bin",), (WantedFile("A/1.bin", 1, None),), {})
    plan = plan_fetch(choice, source, tmp_path, whole_from=0.5, console=Console(quiet=True))
    check_disk(plan)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=4999))
    with pytest.raises(ConfigError, match="has 4,999 bytes free and 5,000 are needed"):
        check_disk(plan)


def test_two_fetches_into_one_root_do_not_meet(bench: Bench, media: dict[str, bytes]) -> None:
    bench.hub.commit(REPO, {"Chart/0.png": media["Chart/0.png"]})
    write_dataset(bench, {"Chart/0.png": media["Chart/0.png"]})
    seen: list[str] = []
    bench.hub.inject(HubFault("resolve", kind="call", call=lambda: seen.append(bench.run()[2])))
    assert bench.run()[0] == 0
    assert "is in use by another run" in seen[0]
    assert "--media-root" in seen[0]


def test_a_media_root_that_is_a_file_is_one_line(bench: Bench, media: dict[str, bytes]) -> None:
    bench.hub.commit(REPO, {"Chart/0.png": media["Chart/0.png"]})
    write_dataset(bench, {"Chart/0.png": media["Chart/0.png"]})
    bench.root.parent.mkdir()
    bench.root.write_bytes(b"")
    for arguments in ((), ("--dry-run",)):
        status, _, stderr = bench.run(*arguments)
        assert status == 2
        assert str(bench.root) in stderr.splitlines()[-1]


# --- which files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        kept_row(0, path="./a.mp4", media_sha256="aa" * 32),
        kept_row(1, path="a.mp4", media_sha256="aa" * 32, data_source=None),
        kept_row(2, path="b.png", data_type="image", problem_type="OCR", data_source="Chart", media_sha256=None),
        kept_row(3, path="c.mp4", media_sha256="cc" * 32, problem_type="numerical"),
        kept_row(5, path="d.mp4", media_sha256=None, data_source="LLaVA/30_s"),
        kept_row(6, path="e.mp4", media_sha256=None, data_source="LLaVA-2"),
    ]
    return write_folder(tmp_path, rows, [rejected_row(4, "filter:score", path="b.png", media_sha256="bb" * 32)])


def paths(folder: Path, config: str = "cot", **selection: Any) -> list[str]:
    return [file.path for file in choose_files(folder, config, Selection(**selection)).files]


def test_each_file_is_wanted_once_however_it_is_written_and_keeps_its_hash(folder: Path) -> None:
    choice = choose_files(folder, "cot", Selection())
    assert [(file.path, file.num_questions, file.sha256) for file in choice.files] == [
        ("a.mp4", 2, "aa" * 32),
        ("b.png", 1, "bb" * 32),
        ("c.mp4", 1, "cc" * 32),
        ("d.mp4", 1, None),
        ("e.mp4", 1, None),
    ]
    assert choice.row_paths == ("./a.mp4", "a.mp4", "b.png", "c.mp4", "d.mp4", "e.mp4")
    assert choose_files(folder, "rl", Selection()).files == choice.files


def test_rows_are_chosen_by_type_kind_source_id_and_number(folder: Path) -> None:
    assert paths(folder, problem_types=["OCR", "numerical"]) == ["b.png", "c.mp4"]
    assert paths(folder, data_types=["image"]) == ["b.png"]
    assert paths(folder, sources=["CLEVRER"]) == ["a.mp4", "c.mp4"]
    assert paths(folder, sources=["LLaVA"]) == ["d.mp4"]
    assert paths(folder, sources=["LLaVA/30_s", "Chart"]) == ["b.png", "d.mp4"]
    assert paths(folder, ids=[f"{3:016x}"]) == ["c.mp4"]
    assert paths(folder, limit=2) == ["a.mp4"]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"problem_types": ["ocr"]}, "no row has --type 'ocr'. The rows that are left have 'OCR'"),
        ({"sources": ["STAR"]}, "no row has --source 'STAR'"),
        ({"ids": ["nobody"]}, "the first is 'nobody'"),
        ({"problem_types": ["OCR"], "data_types": ["video"]}, "no row has --data-type 'video'"),
    ],
)
def test_a_choice_that_fits_no_row_names_what_there_is(folder: Path, selection: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_files(folder, "cot", Selection(**selection))


def test_rows_that_contradict_each_other_about_a_file_refuse_it(tmp_path: Path) -> None:
    rows = [kept_row(0, path="a.mp4", media_sha256="aa" * 32), kept_row(1, path="./a.mp4", media_sha256="bb" * 32)]
    choice = choose_files(write_folder(tmp_path, rows), "cot", Selection())
    assert choice.files == ()
    assert {fault.reason for fault in choice.refused.values()} == {"contradiction"}


def test_folder_that_mirrors_the_archives_serves_as_well_as_the_hub(bench: Bench, media: dict[str, bytes]) -> None:
    mirror = bench.home.parent / "mirror"
    (mirror / "CLEVRER").mkdir(parents=True)
    (mirror / "CLEVRER" / "train.zip").write_bytes(zipped(below("CLEVRER", media)))
    (mirror / "Chart").mkdir()
    (mirror / "Chart" / "0.png").write_bytes(media["Chart/0.png"])
    (mirror / "Chart" / "more.tar.gz").write_bytes(b"not a tar")
    write_dataset(bench, media)
    process = bench.start("--from", str(mirror))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in stderr
    kept = {path: content for path, content in media.items() if path not in ("Chart/1.png", "Chart/2.png")}
    assert bench.files() == kept
    assert set(bench.missing()) == {"Chart/1.png", "Chart/2.png"}
    assert sorted(path.name for path in mirror.rglob("*.*")) == ["0.png", "more.tar.gz", "train.zip"]
    assert not bench.hub.requests

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.decoding import DecoderPool, Fingerprint
from curation.errors import ConfigError, MediaError, RunDirectoryError
from curation.media import MediaRecord, build_manifest, load_manifest, resolve_media, settings_key
from curation.video import Probe, VideoConfig
from tests import clips

CONFIG = VideoConfig(num_frames=4, timeout_s=30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "Chart").mkdir(parents=True)
    clips.write_video(folder / "clip.mp4", num_frames=8)
    clips.write_picture(folder / "Chart" / "picture.png")
    clips.write_audio(folder / "sound.m4a")
    clips.truncate(folder / "clip.mp4", folder / "cut.mp4", keep=0.7)
    (folder / "empty.mp4").touch()
    return folder


class CountingPool(DecoderPool):
    """The real pool, with the names of the files that it was asked about."""

    def __init__(self, config: VideoConfig = CONFIG) -> None:
        super().__init__(config)
        self.asked: list[str] = []

    async def fingerprint(self, path: Path) -> Fingerprint:
        self.asked.append(path.name)
        return await super().fingerprint(path)


def manifest(
    paths: Iterable[str], root: Path, *, config: VideoConfig = CONFIG, ticks: list[int] | None = None
) -> tuple[dict[str, MediaRecord], list[str]]:
    async def build() -> tuple[dict[str, MediaRecord], list[str]]:
        async with CountingPool(config) as pool:
            progress = (ticks if ticks is not None else []).append
            path = root.parent / "run" / "media.jsonl"
            return await build_manifest(paths, root=root, pool=pool, manifest_path=path, progress=progress), pool.asked

    return asyncio.run(build())


def test_every_file_is_recorded_with_what_it_is_or_why_it_cannot_be_used(root: Path) -> None:
    ticks: list[int] = []
    paths = ["./clip.mp4", "Chart/picture.png", "sound.m4a", "cut.mp4", "empty.mp4", "nowhere.mp4", "../x.mp4", "Chart"]
    records, _ = manifest(paths, root, ticks=ticks)
    assert list(records) == paths
    assert sorted(ticks) == list(range(1, 9))
    assert [record.reason for record in records.values()] == [
        None,
        None,
        "no_video",
        "corrupt",
        "empty",
        "missing",
        "outside_root",
        "missing",
    ]
    clip = records["./clip.mp4"]
    assert (clip.kind, clip.container, clip.codec, clip.num_frames) == ("video", "mp4", "h264", 8)
    assert (clip.width, clip.height, clip.duration_s) == (*clips.SIZE, pytest.approx(8 / 25))
    assert clip.size_bytes == (root / "clip.mp4").stat().st_size
    assert clip.sha256 is not None and len(clip.sha256) == 64
    assert records["Chart/picture.png"].kind == "image"
    for record in records.values():
        assert (record.reason is None) == (record.sha256 is not None) == (record.detail is None)
    assert records["nowhere.mp4"].size_bytes is None
    assert records["empty.mp4"].size_bytes == 0


def test_a_file_is_measured_once_however_often_it_is_named(root: Path) -> None:
    _, asked = manifest(["clip.mp4"] * 5, root)
    assert asked == ["clip.mp4"]


def test_a_second_run_measures_only_what_changed_or_could_not_be_used(root: Path) -> None:
    paths = ["clip.mp4", "Chart/picture.png", "cut.mp4", "late.mp4"]
    first, _ = manifest(paths, root)
    clips.write_video(root / "late.mp4", num_frames=3)
    os.utime(root / "Chart" / "picture.png", ns=(1, 1))
    second, asked = manifest(paths, root)
    assert sorted(asked) == ["cut.mp4", "late.mp4", "picture.png"]
    assert second["clip.mp4"] == first["clip.mp4"]
    assert second["late.mp4"].num_frames == 3
    assert load_manifest(root.parent / "run" / "media.jsonl") == second


def test_a_file_that_went_away_is_not_taken_from_the_earlier_run(root: Path) -> None:
    manifest(["clip.mp4"], root)
    (root / "clip.mp4").unlink()
    records, _ = manifest(["clip.mp4"], root)
    assert records["clip.mp4"].reason == "missing"


def test_other_sampling_settings_measure_again_but_other_workers_do_not(root: Path) -> None:
    manifest(["clip.mp4"], root)
    assert manifest(["clip.mp4"], root, config=CONFIG.model_copy(update={"num_workers": 1}))[1] == []
    assert manifest(["clip.mp4"], root, config=CONFIG.model_copy(update={"num_frames": 5}))[1] == ["clip.mp4"]


def test_a_line_torn_by_a_kill_is_cut_off_and_the_rest_is_kept(root: Path) -> None:
    first, _ = manifest(["clip.mp4", "Chart/picture.png"], root)
    path = root.parent / "run" / "media.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in (0, 1, len(lines[0]) - 1, len(lines[0]), len(whole) - 1):
        path.write_bytes(whole[:length])
        records, asked = manifest(["clip.mp4", "Chart/picture.png"], root)
        assert records == first
        assert len(asked) == 2 - whole[:length].count(b"\n")
        assert [json.loads(line)["path"] for line in path.read_bytes().splitlines()]


def test_a_damaged_manifest_is_reported_with_its_line(root: Path) -> None:
    manifest(["clip.mp4"], root)
    path = root.parent / "run" / "media.jsonl"
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(RunDirectoryError, match="line 2 is damaged"):
        manifest(["clip.mp4"], root)


def test_a_media_root_that_is_not_there_is_one_clear_error(root: Path) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        manifest(["clip.mp4"], root / "nowhere")


def test_a_manifest_that_cannot_be_written_ends_with_its_own_error(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            manifest(["clip.mp4", "cut.mp4"], root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    records, _ = manifest(["clip.mp4", "cut.mp4"], root)
    assert [record.reason for record in records.values()] == [None, "corrupt"]


def test_hangs_and_crashes_are_recorded(root: Path) -> None:
    class FailingPool(DecoderPool):
        async def fingerprint(self, path: Path) -> Fingerprint:
            raise MediaError("timeout" if path.name == "clip.mp4" else "crashed", "simulated")

    async def build() -> dict[str, MediaRecord]:
        async with FailingPool(CONFIG) as pool:
            path = root.parent / "media.jsonl"
            return await build_manifest(["clip.mp4", "cut.mp4"], root=root, pool=pool, manifest_path=path)

    assert [record.reason for record in asyncio.run(build()).values()] == ["timeout", "crashed"]


def test_a_picture_that_is_called_a_video_is_refused(root: Path) -> None:
    records, _ = manifest(["clip.mp4", "Chart/picture.png", "cut.mp4"], root)
    assert records["clip.mp4"].refuse("video") is None
    assert records["Chart/picture.png"].refuse("image") is None
    for path, data_type, reason in (
        ("clip.mp4", "image", "wrong_kind"),
        ("Chart/picture.png", "video", "wrong_kind"),
        ("cut.mp4", "video", "corrupt"),
    ):
        refusal = records[path].refuse(data_type)
        assert refusal is not None and refusal.reason == reason


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "./",
        "/etc/passwd",
        "../secret",
        "a/../clip.mp4",
        "a\\b.mp4",
        "c:\\x",
        "clip.mp4\0",
        "link_out/secret",
        "file_out",
    ],
)
def test_paths_that_could_leave_the_root_are_refused(root: Path, path: str) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "link_out").symlink_to(root.parent)
    (root / "file_out").symlink_to(root.parent / "secret")
    with pytest.raises(MediaError) as caught:
        resolve_media(root, path)
    assert caught.value.reason == "outside_root"


def test_links_inside_the_root_and_a_root_that_is_a_link_are_fine(root: Path, tmp_path: Path) -> None:
    (root / "inside.mp4").symlink_to(root / "clip.mp4")
    (tmp_path / "alias").symlink_to(root)
    expected = (root / "clip.mp4").resolve()
    assert resolve_media(root, "inside.mp4") == expected
    assert resolve_media(tmp_path / "alias", "./clip.mp4") == expected


def test_what_is_no_regular_file_is_missing(root: Path) -> None:
    os.mkfifo(root / "pipe")  # opening it would block for ever
    (root / "loop").symlink_to(root / "loop")
    (root / "dangling").symlink_to(root / "gone")
    for path in ("pipe", "loop", "dangling", "Chart", "clip.mp4/x", "x" * 5000, "nowhere/clip.mp4"):
        with pytest.raises(MediaError) as caught:
            resolve_media(root, path)
        assert caught.value.reason == "missing", path


@given(st.text(max_size=30))
def test_no_path_escapes_the_root_or_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzzed"
    root.mkdir(exist_ok=True)
    try:
        assert resolve_media(root, path).is_relative_to(root.resolve())
    except MediaError as fault:
        assert fault.reason in ("outside_root", "missing")


PROBES = st.builds(
    Probe,
    kind=st.sampled_from(["image", "video"]),
    container=st.text(),
    codec=st.text(),
    duration_s=st.none() | st.floats(0, 1e6),
    num_frames=st.integers(1, 10**6),
    width=st.integers(1, 10**4),
    height=st.integers(1, 10**4),
    fps=st.none() | st.floats(0.01, 1e3),
    rotation=st.sampled_from([0, 90, 180, 270]),
)


@given(st.text(), PROBES, st.integers(0), st.integers(0))
def test_a_record_survives_its_line(path: str, probe: Probe, size_bytes: int, mtime_ns: int) -> None:
    record = MediaRecord(
        path, settings_key(CONFIG), size_bytes, mtime_ns, "0" * 64, **{name: getattr(probe, name) for name in FIELDS}
    )
    assert MediaRecord.from_row(json.loads(json.dumps(record.as_row()))) == record


FIELDS = Probe.__slots__

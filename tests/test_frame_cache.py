"""The frame cache: what is read back is what was decoded, or nothing; and the disk never holds more than agreed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError, MediaError
from curation.video import Frames, VideoConfig, read_frames
from tests.clips import frame_number, write_picture, write_video
from training import frame_cache
from training.frame_cache import FrameCache, cache_key, read_cached_frames

ROOT = Path(__file__).parent.parent
KEY = "ab" * 32
VIDEO = VideoConfig(num_frames=4, max_pixels=16 * 28 * 28)
finite = st.floats(allow_nan=False, allow_infinity=False)


def make_frames(seed: int = 0, shape: tuple[int, int, int, int] = (2, 28, 56, 3)) -> Frames:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Frames(pixels, tuple(range(shape[0])), tuple(0.1 * t for t in range(shape[0])), 40, 25.0, "video")


def assert_same(found: Frames | None, expected: Frames) -> None:
    assert found is not None
    assert np.array_equal(found.frames, expected.frames)
    for name in ("indices", "timestamps_s", "num_source_frames", "fps", "kind"):
        assert getattr(found, name) == getattr(expected, name)


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("frames-*/*/*"))


def size_of_entry(folder: Path) -> int:
    cache = FrameCache(folder, 10**9)
    assert cache.store(KEY, make_frames())
    return stored_bytes(folder)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.just(3)),
    times=st.lists(finite, min_size=4, max_size=4),
    fps=st.none() | finite,
    kind=st.sampled_from(["image", "video"]),
)
def test_an_entry_is_read_back_to_the_bit(tmp_path_factory, seed, shape, times, fps, kind):
    cache = FrameCache(tmp_path_factory.mktemp("cache"), 10**9)
    pixels = make_frames(seed, shape).frames
    frames = Frames(pixels, tuple(range(shape[0])), tuple(times[: shape[0]]), 7, fps, kind)
    assert cache.load(KEY) is None
    assert cache.store(KEY, frames)
    assert_same(cache.load(KEY), frames)


@settings(max_examples=60)
@given(data=st.data())
def test_a_torn_or_damaged_entry_is_no_entry_and_can_be_replaced(tmp_path_factory, data):
    cache = FrameCache(tmp_path_factory.mktemp("cache"), 10**9)
    cache.store(KEY, make_frames())
    (path,) = cache.folder.glob("frames-*/*/*.frames")
    whole = path.read_bytes()
    if data.draw(st.booleans(), "cut"):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        place = data.draw(st.integers(whole.index(b"\n"), len(whole) - 1))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))]) + whole[place + 1 :])
    assert cache.load(KEY) is None
    assert cache.store(KEY, make_frames(1))
    assert_same(cache.load(KEY), make_frames(1))


def test_a_clip_is_decoded_once_and_its_cached_frames_equal_the_decoded_ones(tmp_path, monkeypatch):
    clip = write_video(tmp_path / "clip.mp4", num_frames=30)
    picture = write_picture(tmp_path / "picture.png")
    cache = FrameCache(tmp_path / "cache", 10**9)
    for path in (clip, picture):
        expected = read_frames(path, VIDEO)
        assert_same(read_cached_frames(path, VIDEO, cache), expected)
        with monkeypatch.context() as patch:
            patch.setattr(frame_cache, "read_frames", lambda *_: pytest.fail("decoded again"))
            assert_same(read_cached_frames(path, VIDEO, cache), expected)


def test_a_file_that_changes_under_its_name_is_decoded_anew(tmp_path):
    cache = FrameCache(tmp_path / "cache", 10**9)
    clip = write_video(tmp_path / "clip.mp4", num_frames=8)
    assert frame_number(read_cached_frames(clip, VIDEO, cache).frames[-1]) == 7
    write_video(clip, num_frames=20)
    assert frame_number(read_cached_frames(clip, VIDEO, cache).frames[-1]) == 19


def test_a_copy_under_another_name_shares_the_entry(tmp_path):
    cache = FrameCache(tmp_path / "cache", 10**9)
    clip = write_video(tmp_path / "clip.mp4", num_frames=8)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    read_cached_frames(clip, VIDEO, cache)
    before = stored_bytes(cache.folder)
    read_cached_frames(copy, VIDEO, cache)
    assert stored_bytes(cache.folder) == before


@pytest.mark.parametrize("cached", [True, False])
def test_a_file_without_frames_is_an_error_and_makes_no_entry(tmp_path, cached):
    cache = FrameCache(tmp_path / "cache", 10**9) if cached else None
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    for name, reason in (("clip.mp4", "corrupt"), ("gone.mp4", "missing")):
        with pytest.raises(MediaError) as caught:
            read_cached_frames(tmp_path / name, VIDEO, cache)
        assert caught.value.reason == reason
    assert stored_bytes(tmp_path / "cache") == 0


def test_the_key_follows_what_decides_the_pixels_and_nothing_else():
    same = [VIDEO, VIDEO.model_copy(update={"timeout_s": 1.0, "num_workers": 7, "max_file_bytes": 9})]
    other = [
        VIDEO.model_copy(update={name: value})
        for name, value in {"num_frames": 5, "min_pixels": 0, "max_pixels": 784, "reader": "decord"}.items()
    ]
    assert len({cache_key(KEY, config) for config in same}) == 1
    assert len({cache_key(KEY, config) for config in [VIDEO, *other]} | {cache_key("cd" * 32, VIDEO)}) == 6


def test_frames_of_other_sampling_code_are_not_read_and_make_room_when_it_is_needed(tmp_path, monkeypatch):
    size = size_of_entry(tmp_path)
    cache = FrameCache(tmp_path, size)
    monkeypatch.setattr(frame_cache, "sampler_version", lambda: "2-other000")
    newer = FrameCache(tmp_path, size)
    assert newer.load(KEY) is None
    assert newer.store(KEY, make_frames(1))
    assert cache.load(KEY) is None
    assert_same(newer.load(KEY), make_frames(1))


def test_a_full_cache_keeps_what_it_has_and_takes_no_more(tmp_path):
    limit = 3 * size_of_entry(tmp_path) + 100
    cache = FrameCache(tmp_path, limit)
    keys = [f"{number:064x}" for number in range(4)]
    assert [cache.store(key, make_frames(number)) for number, key in enumerate(keys)] == [True, True, False, False]
    assert cache.store(KEY, make_frames(9))  # in the place of its old self
    assert [cache.load(key) is not None for key in [KEY, *keys]] == [True, True, True, False, False]
    assert stored_bytes(tmp_path) <= limit


@pytest.mark.parametrize("book", [None, "", "1e9", "-"])
def test_a_lost_or_torn_book_is_counted_anew(tmp_path, book):
    size = size_of_entry(tmp_path)
    (tmp_path / "usage").unlink()
    if book is not None:
        (tmp_path / "usage").write_text(book)
    cache = FrameCache(tmp_path, 2 * size + 10)
    assert cache.store("00" * 32, make_frames())
    assert not cache.store("11" * 32, make_frames())


def test_room_that_was_booked_by_a_killed_writer_is_found_again(tmp_path):
    size = size_of_entry(tmp_path)
    (tmp_path / "usage").write_text(str(10**9))
    (tmp_path / next(tmp_path.glob("frames-*")) / "00").mkdir()
    torn = next(tmp_path.glob("frames-*")) / "00" / "00ff.tmp"
    torn.write_bytes(b"half of an entry")
    assert FrameCache(tmp_path, 2 * size + 10).store("00" * 32, make_frames())
    assert not torn.exists()


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"frame cache .* cannot be used: .*input\.cache") as caught:
        FrameCache(tmp_path / "file" / "cache", 10**9)
    assert "\n" not in str(caught.value)


def test_threads_and_handles_never_pass_the_limit(tmp_path):
    limit = 5 * size_of_entry(tmp_path) + 100
    most = []

    def fill(first: int) -> None:
        cache = FrameCache(tmp_path, limit)
        for number in range(first, first + 6):
            cache.store(f"{number:064x}", make_frames(number))
            with cache._locked():  # no writer moves a file while they are counted
                most.append(stored_bytes(tmp_path))

    threads = [threading.Thread(target=fill, args=(3 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= limit
    assert len(list(tmp_path.glob("frames-*/*/*.frames"))) == 5


WRITER = """
import sys
from pathlib import Path
from tests.test_frame_cache import make_frames
from training.frame_cache import FrameCache
cache = FrameCache(Path(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
for turn in range(int(sys.argv[3])):
    for number in range(6):
        cache.store(f"{number:064x}", make_frames(number, (4, 280, 280, 3)))
"""


def start_writer(folder: Path, limit: int, num_turns: int) -> subprocess.Popen:
    words = [sys.executable, "-c", WRITER, str(folder), str(limit), str(num_turns)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_readers_see_whole_entries_or_none_while_processes_write_and_one_is_killed(tmp_path):
    limit = 4 * (4 * 280 * 280 * 3 + 1000)
    writers = [start_writer(tmp_path, limit, 10**6), start_writer(tmp_path, limit, 20)]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    cache = FrameCache(tmp_path, limit)
    expected = {f"{number:064x}": make_frames(number, (4, 280, 280, 3)) for number in range(6)}
    killed = False
    while writers[1].poll() is None:
        for key, frames in expected.items():
            if (found := cache.load(key)) is not None:
                assert_same(found, frames)
        with cache._locked():
            assert stored_bytes(tmp_path) <= limit
        if not killed and len(list(tmp_path.glob("frames-*/*/*.frames"))) == 4:
            writers[0].send_signal(signal.SIGKILL)
            killed = True
        time.sleep(0.01)
    assert killed
    assert [writer.wait(30) for writer in writers] == [-signal.SIGKILL, 0]
    assert sum(cache.load(key) is not None for key in expected) == 4
    for writer in writers:
        writer.stdout.close()


def test_a_full_disk_costs_the_entry_and_not_the_run(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from tests.test_frame_cache import KEY, make_frames
from training.frame_cache import FrameCache
cache = FrameCache(Path(sys.argv[1]), 10**9)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print(cache.store(KEY, make_frames()), cache.load(KEY))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout == "False None\n"
    assert "cannot keep an entry" in ended.stderr
    assert stored_bytes(tmp_path) == 0

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.decoding import DecoderPool
from curation.errors import ConfigError, MediaError
from curation.video import VideoConfig, probe, read_frames
from tests import clips

MISBEHAVING = (sys.executable, "-m", "tests.decoders")
CONFIG = VideoConfig(num_frames=6, num_workers=1, timeout_s=60)
IMPATIENT = CONFIG.model_copy(update={"timeout_s": 0.5})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", num_frames=20)


def workers_seen(clip: Path) -> list[int]:
    return [int(line) for line in (clip.parent / "workers.txt").read_text().split()]


async def reason(pool: DecoderPool, path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        await pool.frames(path)
    return caught.value.reason


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    for _ in range(600):
        if not is_running(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still running")


def test_a_worker_gives_what_reading_here_gives(clip: Path) -> None:
    async def read() -> None:
        async with DecoderPool(CONFIG) as pool:
            ours, theirs = await pool.frames(clip), read_frames(clip, CONFIG)
            assert np.array_equal(ours.frames, theirs.frames)
            assert (ours.indices, ours.timestamps_s, ours.fps) == (theirs.indices, theirs.timestamps_s, theirs.fps)
            assert (ours.kind, ours.num_source_frames) == (theirs.kind, theirs.num_source_frames)
            fingerprint = await pool.fingerprint(clip)
            assert fingerprint.probe == probe(clip, CONFIG)
            digest = subprocess.run(["sha256sum", clip], capture_output=True, text=True, check=True).stdout.split()[0]
            assert fingerprint.sha256 == digest

    asyncio.run(read())


def test_encoded_frames_are_files_of_the_sampled_frames(clip: Path) -> None:
    async def read() -> None:
        async with DecoderPool(CONFIG) as pool:
            expected = read_frames(clip, CONFIG)
            for mime, name, tolerance in (("image/png", "PNG", 0), ("image/jpeg", "JPEG", 4)):
                encoded = await pool.encoded(clip, mime)
                assert encoded.timestamps_s == expected.timestamps_s and encoded.mime == mime
                for content, frame in zip(encoded.images, expected.frames, strict=True):
                    with Image.open(io.BytesIO(content)) as image:
                        assert image.format == name
                        assert np.abs(np.asarray(image).astype(int) - frame).mean() <= tolerance
            with pytest.raises(ValueError, match="image/jpeg"):
                await pool.encoded(clip, "image/tiff")

    asyncio.run(read())


def test_a_bad_file_raises_here_and_the_worker_lives_on(clip: Path, tmp_path: Path) -> None:
    async def read() -> None:
        (tmp_path / "empty.mp4").touch()
        async with DecoderPool(CONFIG) as pool:
            assert await reason(pool, tmp_path / "empty.mp4") == "empty"
            assert await reason(pool, tmp_path / "no\nwhere \udc80.mp4") == "missing"
            assert len((await pool.frames(clip)).indices) == 6

    asyncio.run(read())


@pytest.mark.parametrize("fault", ["spin", "stop"])
def test_a_hung_decoder_is_killed_and_replaced(clip: Path, fault: str) -> None:
    async def read() -> None:
        async with DecoderPool(IMPATIENT, command=MISBEHAVING) as pool:
            assert await reason(pool, clip.with_stem(fault)) == "timeout"
        async with DecoderPool(CONFIG, command=MISBEHAVING) as pool:
            assert len((await pool.frames(clip)).indices) == 6

    asyncio.run(read())


def test_a_pool_serves_on_after_each_kind_of_fault(clip: Path) -> None:
    async def read() -> None:
        async with DecoderPool(CONFIG.model_copy(update={"timeout_s": 3}), command=MISBEHAVING) as pool:
            for fault, expected in (("abort", "crashed"), ("spin", "timeout"), ("abort", "crashed")):
                assert await reason(pool, clip.with_stem(fault)) == expected
                assert len((await pool.frames(clip)).indices) == 6
            with pytest.raises(RuntimeError, match="a bug"):
                await pool.frames(clip.with_stem("bug"))
            assert len((await pool.frames(clip.with_stem("chatty"))).indices) == 6

    asyncio.run(read())


def test_a_worker_that_died_while_idle_is_not_blamed_on_the_next_file(clip: Path) -> None:
    async def read() -> None:
        async with DecoderPool(CONFIG, command=MISBEHAVING) as pool:
            await pool.frames(clip)
            pid = workers_seen(clip)[-1]
            os.kill(pid, signal.SIGKILL)
            while is_running(pid):
                await asyncio.sleep(0.01)
            assert len((await pool.frames(clip)).indices) == 6
            assert workers_seen(clip)[-1] != pid

    asyncio.run(read())


def test_a_cancelled_caller_does_not_poison_the_next_one(clip: Path) -> None:
    async def read() -> None:
        async with DecoderPool(CONFIG, command=MISBEHAVING) as pool:
            await pool.frames(clip)
            spinning = asyncio.create_task(pool.frames(clip.with_stem("spin")))
            waiting = asyncio.create_task(pool.frames(clip))
            queued = asyncio.create_task(pool.frames(clip))
            await asyncio.sleep(0.2)
            queued.cancel()
            spinning.cancel()
            assert len((await waiting).indices) == 6
            for task in (spinning, queued):
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(read())


def test_no_more_than_num_workers_read_at_a_time_and_they_are_reused(clip: Path) -> None:
    async def read() -> None:
        (clip.parent / "workers.txt").unlink(missing_ok=True)
        config = CONFIG.model_copy(update={"num_workers": 2})
        async with DecoderPool(config, command=MISBEHAVING) as pool:
            await asyncio.gather(*(pool.frames(clip.with_stem("slow")) for _ in range(6)))
        assert len(workers_seen(clip)) == 6
        assert len(set(workers_seen(clip))) == 2

    asyncio.run(read())


def test_closing_ends_busy_workers_at_once_and_may_be_repeated(clip: Path) -> None:
    async def read() -> None:
        pool = DecoderPool(CONFIG, command=MISBEHAVING)
        await pool.frames(clip)
        pid = workers_seen(clip)[-1]
        spinning = asyncio.create_task(pool.frames(clip.with_stem("spin")))
        await asyncio.sleep(0.2)
        await pool.close()
        await pool.close()
        assert not is_running(pid)
        with pytest.raises(RuntimeError, match="closed"):
            await spinning
        with pytest.raises(RuntimeError, match="closed"):
            await pool.frames(clip)

    asyncio.run(read())


def test_a_pool_that_was_never_used_starts_no_process(clip: Path) -> None:
    async def use() -> None:
        async with DecoderPool(CONFIG, command=("/nowhere/python",)):
            pass

    asyncio.run(use())


def test_a_worker_that_cannot_start_is_our_fault_not_the_files(clip: Path) -> None:
    async def read() -> None:
        async with DecoderPool(CONFIG, command=(sys.executable, "-c", "raise SystemExit(3)")) as pool:
            with pytest.raises(RuntimeError, match="exit status 3"):
                await pool.frames(clip)

    asyncio.run(read())


def test_decord_that_is_not_installed_stops_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ConfigError, match="pip install"):
        DecoderPool(VideoConfig(reader="decord"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker deep in a decoder outlives its parent")
@pytest.mark.parametrize("stem", ["clip", "spin"])
def test_a_killed_parent_leaves_no_worker_behind(clip: Path, stem: str) -> None:
    program = f"""
import asyncio
from pathlib import Path
from curation.decoding import DecoderPool
from curation.video import VideoConfig
async def main():
    pool = DecoderPool(VideoConfig(num_workers=1, num_frames=2), command={MISBEHAVING!r})
    await pool.frames(Path({str(clip)!r}))
    print("ready", flush=True)
    await pool.frames(Path({str(clip.with_stem(stem))!r}))
    await asyncio.sleep(60)
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        pid = workers_seen(clip)[-1]
        assert is_running(pid)
        parent.kill()
    wait_until_gone(pid)

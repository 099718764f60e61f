"""What the frame cache saves: seconds of the collator on 720p clips, decoded each time and read from the cache.

    python tests/bench/bench_collator.py [--clips 4] [--seconds 10] [--rounds 5]

The clips are made first (H.264, 30 frames a second, a keyframe each 250 frames, as encoders do by default). A batch is
one row with the paper's budget: 16 frames of 128 tokens. Both sides decode or read, patch and tokenise in this process,
on one thread; the cache is filled, and its files lie in the page cache, as in a second epoch that fits in memory. Times
are CPU seconds, so that another load of the machine counts little. Exit status 1 when the ratio is below 10.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from curation.prompts import load_trace_prompt
from curation.video import VideoConfig, read_frames
from tests.folders import kept_row
from tests.tiny_qwen import save_tiny_qwen
from training.collate import Collator
from training.config import ModelConfig
from training.frame_cache import FrameCache, cache_key
from training.models import Processor, load_processor
from training.patches import patchify

LIMIT: Final = 10.0
SIZE: Final = (1280, 720)
FPS: Final = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=10, help="of each clip (default 10)")
    parser.add_argument("--rounds", type=int, default=5, help="over all clips; the median of each clip counts")
    parser.add_argument("--gop", type=int, default=250, help="frames from one keyframe to the next (default 250)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        return measure(Path(scratch), args)


def measure(folder: Path, args: argparse.Namespace) -> int:
    processor = load_processor(ModelConfig(name=str(save_tiny_qwen(folder / "model"))))
    rows = [
        row_of(write_clip(folder / f"{number}.mp4", args.seconds, args.gop, number), number)
        for number in range(args.clips)
    ]
    video = VideoConfig()
    cache = FrameCache(folder / "cache", 10**10)
    plain = Collator(processor, video, load_trace_prompt(None))
    cached = Collator(processor, video, load_trace_prompt(None), cache=cache)
    for row in rows:  # fills the cache, and proves that it changes nothing
        assert_same(plain([row]), cached([row]))
        assert_same(plain([row]), cached([row]))
    uncached_s = seconds_of(lambda row: plain([row]), rows, args.rounds)
    cached_s = seconds_of(lambda row: cached([row]), rows, args.rounds)
    table = Table("", "ms a clip", "least", "most", title=f"{args.clips} clips 720p, {args.seconds} s, 16 frames")
    for name, seconds in (("collator, decoding", uncached_s), ("collator, cached frames", cached_s)):
        table.add_row(name, *(f"{1000 * value:.2f}" for value in (np.mean(seconds), min(seconds), max(seconds))))
    for name, seconds in parts_of(rows, video, cache, processor, args.rounds).items():
        table.add_row(f"  {name}", *(f"{1000 * value:.2f}" for value in (np.mean(seconds), min(seconds), max(seconds))))
    Console(width=90).print(table)
    ratio = sum(uncached_s) / sum(cached_s)
    met = ratio >= LIMIT
    print(f"cached frames are {ratio:.1f} times as fast; limit {LIMIT:.0f}: {'met' if met else 'NOT MET'}")
    return 0 if met else 1


def parts_of(
    rows: list[dict[str, Any]], video: VideoConfig, cache: FrameCache, processor: Processor, rounds: int
) -> dict[str, list[float]]:
    """Where the time of a cached batch goes."""
    keys = {row["id"]: cache_key(row["content_sha256"], video) for row in rows}
    frames = {row["id"]: read_frames(Path(row["media_file"]), video) for row in rows}
    return {
        "key": seconds_of(lambda row: cache_key(row["content_sha256"], video), rows, rounds),
        "read and check": seconds_of(lambda row: cache.load(keys[row["id"]]), rows, rounds),
        "patches": seconds_of(lambda row: patchify(frames[row["id"]].frames, processor.layout), rows, rounds),
    }


def seconds_of(act: Callable[[Mapping[str, Any]], object], rows: list[dict[str, Any]], rounds: int) -> list[float]:
    """CPU seconds for each row, the median over the rounds."""
    spent: list[list[float]] = [[] for _ in rows]
    for _ in range(rounds):
        for row, seconds in zip(rows, spent, strict=True):
            begin = time.process_time()
            act(row)
            seconds.append(time.process_time() - begin)
    return [statistics.median(seconds) for seconds in spent]


def assert_same(batch: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert batch.keys() == other.keys()
    for name, value in batch.items():
        assert torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name], name


def row_of(path: Path, number: int) -> dict[str, Any]:
    """A row as `data.load_rows` gives it, with a trace of the usual length."""
    words = "a red ball rolls slowly behind the box and comes out on the other side "
    row = kept_row(number, observation=(words * 13).strip(), think=(words * 26).strip(), path=path.name)
    return row | {"media_file": str(path), "content_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def write_clip(path: Path, seconds: int, gop: int, seed: int) -> Path:
    """A texture that pans, shapes that move, and noise: what makes a decoder work as a real clip does."""
    random = np.random.default_rng(seed)
    width, height = SIZE
    spectrum = np.fft.rfft2(random.normal(size=(height, 2 * width)))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(2 * width)[None]
    texture = np.fft.irfft2(spectrum / np.maximum(np.hypot(rows, columns), 1e-3), s=(height, 2 * width))
    texture = (128 + 40 * texture / texture.std()).clip(0, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        for number in range(seconds * FPS):
            left = 4 * number % width
            grey = texture[:, left : left + width] + random.normal(scale=3, size=(height, width))
            picture = np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
            for shape in range(6):
                x, y = (37 * shape + 11 * number) % (width - 120), (97 * shape + 5 * number) % (height - 120)
                picture[y : y + 120, x : x + 120] = (40 * shape, 255 - 30 * shape, 90)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    sys.exit(main())

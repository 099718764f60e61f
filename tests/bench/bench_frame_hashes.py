"""Which videos does the frames rule of overlaps call the same? True pairs (a clip and its copies) and false ones.

    python tests/bench/bench_frame_hashes.py [--questions 400] [VIDEO ...]

Clips: the demo world's (shapes on black, some still, many alike but for a colour or a path), and per scene a set of
hard ones: the same textured background with other small things moving, the same grey one, and pans over noise. Copies:
coarser, smaller, slower, all of it, brighter, and cut to three quarters, half and a quarter. Further videos on the
command line are only compared with their own copies.
"""

import argparse
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import av
import numpy as np

from curation.errors import MediaError
from curation.overlaps.frames import MAX_BITS, SAMPLING, Signature, hash_frames, same_video
from curation.sources.shapes import build_world
from curation.video import read_frames

COPIES = {
    "crf 35": {"crf": 35},
    "half size": {"scale": 0.5},
    "half fps": {"every": 2},
    "crf 32, 0.6 size, half fps": {"crf": 32, "scale": 0.6, "every": 2},
    "brighter": {"gain": 1.15},
    "middle 3/4": {"start": 0.125, "end": 0.875},
    "middle 1/2": {"start": 0.25, "end": 0.75},
    "middle 1/2, crf 32, 0.6 size": {"start": 0.25, "end": 0.75, "crf": 32, "scale": 0.6},
    "middle 1/4": {"start": 0.375, "end": 0.625},
}


def encode(path: Path, frames: list[np.ndarray], *, fps: float, crf: int = 23, scale: float = 1.0) -> Path:
    height, width = (int(side * scale) // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(width, height)))
        container.mux(stream.encode(None))
    return path


def copy(source: Path, path: Path, *, start=0.0, end=1.0, every=1, gain=1.0, crf=23, scale=1.0) -> Path:
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    chosen = frames[round(len(frames) * start) : max(round(len(frames) * end), 1) : every]
    if gain != 1.0:
        chosen = [np.clip(frame * gain + 8, 0, 255).astype(np.uint8) for frame in chosen]
    return encode(path, chosen, fps=fps / every, crf=crf, scale=scale)


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W): 1/f noise, as natural pictures have it."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    radius = np.hypot(rows, columns)
    radius[0, 0] = 1
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / radius, s=(height, width))
    return 40 + 170 * (field - field.min()) / np.ptp(field)


def movers(background: np.ndarray, rng: np.random.Generator, size: float) -> Iterator[np.ndarray]:
    """Three rectangles of `size` (a share of the side) on a background that stands still."""
    height, width = background.shape
    ends, colours = rng.uniform(size=(3, 2, 2)), rng.uniform(0, 255, (3, 3))
    for number in range(48):
        frame = np.repeat(background[..., None], 3, axis=2)
        for (start, end), colour in zip(ends, colours, strict=True):
            top, left = ((start + (end - start) * number / 47) * (1 - size) * (height, width)).astype(int)
            frame[top : top + int(height * size), left : left + int(width * size)] = colour
        yield frame.astype(np.uint8)


def pan(rng: np.random.Generator) -> Iterator[np.ndarray]:
    picture, (start, end) = texture(rng, 360, 640), rng.uniform(size=(2, 2))
    for number in range(48):
        top, left = ((start + (end - start) * number / 47) * (180, 320)).astype(int)
        yield np.repeat(picture[top : top + 180, left : left + 320, None], 3, axis=2).astype(np.uint8)


def hard_clips(folder: Path) -> dict[str, list[Path]]:
    rng = np.random.default_rng(0)
    shared = texture(rng, 180, 320)
    grey = 120 + np.linspace(-20, 20, 320)[None] + np.linspace(-15, 25, 180)[:, None]
    kinds = {
        "tripod, movers 15 %": lambda: movers(shared, rng, 0.15),
        "tripod, movers 8 %": lambda: movers(shared, rng, 0.08),
        "grey tripod, movers 15 %": lambda: movers(grey, rng, 0.15),
        "pans over noise": lambda: pan(rng),
    }
    return {
        kind: [encode(folder / f"{place}-{number}.mp4", list(draw()), fps=12, crf=20) for number in range(12)]
        for place, (kind, draw) in enumerate(kinds.items())
    }


def sign(path: Path) -> Signature | None:
    try:
        return Signature.of(hash_frames(read_frames(path, SAMPLING).frames))
    except MediaError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("videos", type=Path, nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world = build_world(folder / "world", num_questions=args.questions, seed=5)
        families = {"demo world": sorted((world.root / "media").rglob("*.mp4")), **hard_clips(folder)}
        families |= {video.name: [video] for video in args.videos}
        for family, paths in families.items():
            signed = {path: signature for path in paths if (signature := sign(path)) is not None}
            comparable = {path: signature for path, signature in signed.items() if signature.is_comparable}
            pairs = list(combinations(signed.values(), 2))
            num_false = sum(same_video(one, other) for one, other in pairs)
            print(f"\n{family}: {len(signed)} clips, {len(comparable)} comparable")
            print(f"  {'different clips called the same':34} {num_false:5} of {len(pairs)}")
            for name, changes in COPIES.items():
                distances, num_found = [], 0
                for path, signature in comparable.items():
                    copied = sign(copy(path, folder / "copy.mp4", **changes))
                    num_found += copied is not None and same_video(signature, copied)
                    if copied is not None and len(copied.words):
                        bits = np.bitwise_count(copied.words[:, None] ^ signature.words).sum(axis=2)
                        distances += bits.min(axis=1).tolist()
                quantiles = "/".join(f"{bits:.0f}" for bits in np.percentile(distances or [0], (50, 90, 99)))
                print(f"  {name:34} {num_found:5} of {len(comparable)} found; nearest frame, bits: {quantiles}")
    print(f"\nframes match within {MAX_BITS} bits of 207")


if __name__ == "__main__":
    main()

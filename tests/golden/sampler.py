"""Which frames of a medium a model sees, to the pixel. The media lie beside this: encoders differ by version."""

import hashlib
from pathlib import Path
from typing import Any

from curation.video import VideoConfig, probe, read_frames

MEDIA = Path(__file__).parent / "media"
CONFIG = VideoConfig(num_frames=6, max_pixels=64 * 28 * 28)


def outputs() -> dict[str, Any]:
    """File -> what is measured of it, which frames are taken, and a hash of their pixels."""
    found: dict[str, Any] = {}
    for path in sorted(MEDIA.iterdir()):
        frames, facts = read_frames(path, CONFIG), probe(path, CONFIG)
        found[path.name] = {
            "shape": frames.frames.shape,
            "indices": frames.indices,
            "timestamps_s": [round(time, 6) for time in frames.timestamps_s],
            "fps": None if frames.fps is None else round(frames.fps, 6),
            "pixels_sha256": hashlib.sha256(frames.frames.tobytes()).hexdigest(),
            "probe": [facts.kind, facts.codec, facts.num_frames, facts.width, facts.height],
        }
    return found

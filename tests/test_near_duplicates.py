"""A clip that was encoded again under another name is a near duplicate; another clip is none."""

from pathlib import Path

import av
import numpy as np

from training.near_duplicates import count_near_duplicates, load_near_duplicates


def test_clips_encoded_again_are_counted_and_others_are_not(tmp_path):
    root = tmp_path / "media"
    root.mkdir()
    write_textured(root / "trained.mp4", seed=1, crf=18)
    write_textured(root / "again.mp4", seed=1, crf=30)
    write_textured(root / "other.mp4", seed=2, crf=18)
    (root / "torn.mp4").write_bytes(b"no clip")
    folder = tmp_path / "evaluation"
    assert load_near_duplicates(folder) is None
    held_out = ["again.mp4", "other.mp4", "torn.mp4", "missing.mp4"]
    found = count_near_duplicates(held_out, ["trained.mp4"], media_root=root, folder=folder, num_workers=1)
    assert (found.num_held_out, found.num_trained, found.num_compared, found.num_near) == (4, 1, 2, 1)
    assert found.examples == (("again.mp4", "trained.mp4"),)
    assert load_near_duplicates(folder) == found
    assert found.describe().startswith("1 of 2 held-out clips")


def write_textured(path: Path, *, seed: int, crf: int) -> None:
    """Eight scenes of random patches: enough distinct frames."""
    scenes = np.random.default_rng(seed).integers(0, 255, (8, 12, 16, 3), dtype=np.uint8)
    frames = [np.kron(scene, np.ones((10, 10, 1), np.uint8)) for scene in scenes] * 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())

"""Which files are large ones: the hub's .gitattributes says so by name, its limit by size, a zero byte by content."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

_LARGE: Final = (
    "7z arrow bin bz2 ckpt ftz gz h5 joblib lfs.* lz4 mds mlmodel model msgpack npy npz onnx ot parquet pb "
    "pickle pkl pt pth rar safetensors tar.* tar tflite tgz wasm xz zip zst pcm sam raw aac flac mp3 ogg wav "
    "bmp gif png tiff jpg jpeg webp mp4 webm"
)
SAMPLE_BYTES: Final = 512  # what the client sends of a file for this decision
DATASET_ATTRIBUTES: Final = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LARGE.split())


def is_large(path: str, size: int, sample: bytes, attributes: str, above_bytes: int) -> bool:
    """Whether the hub keeps a file as a large one. An empty file never is, because no store takes empty objects."""
    if size == 0:
        return False
    return size > above_bytes or b"\0" in sample[:SAMPLE_BYTES] or _is_named(path, attributes)


def _is_named(path: str, attributes: str) -> bool:
    """A pattern without a slash means the file's name, any other the whole path; the last one that fits decides."""
    large = False
    for line in attributes.splitlines():
        pattern, *settings = line.split() or [""]
        if fnmatchcase(path if "/" in pattern else path.rsplit("/", 1)[-1], pattern):
            large = "filter=lfs" in settings or (large and not {"-filter", "!filter"} & set(settings))
    return large

"""What a question shows, as an engine takes it: frames by our sampler, or the file alone for a server that reads it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from curation.encoding import MediaEncoder
from curation.engines.base import EncodedMedia
from curation.errors import MediaError
from curation.gops import Span
from training.benchmarks.question import MediaReference


@dataclass(slots=True)
class MediaShower:
    """Pictures that a row brings as bytes become files of `_scratch`: a worker decodes them, like any other file."""

    encoder: MediaEncoder
    _scratch: TemporaryDirectory[str] | None = field(default=None, init=False)

    async def show(self, media: MediaReference) -> EncodedMedia:
        """The frames of the file, of its part, or of its folder, and the further picture behind them.

        Raises MediaError: no_frames for bounds without a frame, wrong_kind, and what the sampler raises.
        """
        file = _file_of(media)
        if media.kind == "frames" and media.fps is None:
            raise ValueError(f"{media.name} is a folder of frames without fps, so that they have no time")
        shown = await self.encoder.encode(
            file,
            "image" if media.kind == "image" else "video",
            span=_span_of(media),
            folder_fps=media.fps if media.kind == "frames" else None,
        )
        if media.image is None:
            return shown
        picture = await self.encoder.encode(self._picture_file(media.image), "image")
        return replace(shown, pictures=picture.frames)

    async def close(self) -> None:
        """Stop what is still being encoded, and remove the files."""
        await self.encoder.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _picture_file(self, image: bytes | Path) -> Path:
        if isinstance(image, Path):
            return image
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="pictures-")
        file = Path(self._scratch.name) / hashlib.sha256(image).hexdigest()
        if not file.exists():
            file.write_bytes(image)
        return file


def show_file(media: MediaReference) -> EncodedMedia:
    """The whole file, for a server that samples its own frames.

    Raises MediaError: missing, and needs_frames for what is not one whole file. Such a question fails: the whole video
    would be another question.
    """
    file = _file_of(media)
    needs = None
    if media.kind == "frames":
        needs = "a folder of pictures"
    elif (span := _span_of(media)) is not None:
        needs = f"the part {span}"
    elif media.image is not None:
        needs = "a further picture"
    if needs is not None:
        raise MediaError("needs_frames", f"it shows {needs}, and the engine is sent whole files. Set send: frames")
    if not file.is_file():
        raise MediaError("missing", "no such file")
    return EncodedMedia("image" if media.kind == "image" else "video", file)


def media_identity(media: MediaReference) -> list[Any]:
    """What the pixels depend on, as JSON: names, sizes and times of change of the files, and what is shown of them.

    Another file of the same name is another medium; no file is read for it.
    """
    image: object = hashlib.sha256(media.image).hexdigest() if isinstance(media.image, bytes) else None
    if isinstance(media.image, Path):
        image = _stamps(media.image)
    file = None if media.file is None else _stamps(media.file)
    return [media.name, media.kind, media.start_s, media.end_s, media.fps, file, image]


def _file_of(media: MediaReference) -> Path:
    if media.file is None:
        raise MediaError(media.missing or "missing", "no such file")
    return media.file


def _span_of(media: MediaReference) -> Span | None:
    return None if media.start_s is None and media.end_s is None else Span(media.start_s, media.end_s)


def _stamps(path: Path) -> list[tuple[str, int, int]] | None:
    """(name, bytes, time of change) of a file, or of each file of a folder; None when it is gone."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [(file.name, (facts := file.stat()).st_size, facts.st_mtime_ns) for file in files]
    except OSError:
        return None

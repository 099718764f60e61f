"""The frames that the model saw, as small pictures with their times: from the sampler that curation uses.

    async with Strips("runs/demo", provenance, media_root) as strips:
        html = await strips.render(row)

How many frames, and within how many pixels, stands in the dataset's provenance; where it does not, the defaults are
taken, and the caption says so. A file that is not there, not the one the trace was made from, or not decodable is a
note with the command that fetches it, never another picture.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import shlex
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from markupsafe import Markup
from PIL import Image
from pydantic import ValidationError

from app.markup import fill, join
from app.reasons import reason_in_words
from curation.decoding import DecoderPool
from curation.errors import ConfigError, MediaError
from curation.media import resolve_media
from curation.video import Frames, VideoConfig, import_decord

THUMBNAIL_PIXELS: Final = 120  # height of a frame; a single picture gets thrice that
MOST_STRIPS: Final = 64  # remembered: 16 frames are about 60 KB
# A dataset may be anybody's: what it asks for is decoded within these.
MOST_FRAMES: Final = 256
MOST_FRAME_BYTES: Final = 512 * 2**20
MOST_SECONDS: Final = 30.0

_JPEG_QUALITY: Final = 80
# A player shows the frame that has begun; where it begins is rounded by file and browser, so it is asked for a moment
# later: by half a frame, or by this where frames last longer or unevenly.
_MOST_INTO_FRAME_S: Final = 0.004


@dataclass(frozen=True, slots=True)
class Sampling:
    """How frames are taken, and what the caption says of it. refusal: why none are taken."""

    config: VideoConfig
    told: str
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One small picture. index: its number in the file. into_s: how long after its timestamp it surely shows."""

    jpeg: bytes
    width: int
    height: int
    index: int
    timestamp_s: float
    into_s: float


@dataclass(frozen=True, slots=True)
class Strip:
    """The frames of one file. width, height: in pixels, as the model gets them. sha256: of the file."""

    frames: tuple[Frame, ...]
    width: int
    height: int
    num_source_frames: int
    kind: Literal["image", "video"]
    sha256: str


def read_sampling(provenance: Mapping[str, Any] | None) -> Sampling:
    """The section `video` of the run that made the dataset, else the defaults. Never raises."""
    run = _section(provenance, "config")
    found = run.get("video")
    config, told = VideoConfig(), "The dataset does not say how its frames were taken; these are the defaults"
    if found is not None:
        try:
            config = VideoConfig.model_validate(found)
            told = "Taken as the dataset's provenance says"
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            told = (
                f"What the provenance says of frames cannot be used ({where}: {first['msg']}); these are the defaults"
            )
    if config.reader == "decord":
        try:
            import_decord()
        except ConfigError:
            config = config.model_copy(update={"reader": "pyav"})
            told += "; decord, which the run read with, is not installed here, so PyAV decodes the same frames"
    told += (
        f": at most {config.num_frames} frames of {config.max_pixels:,} pixels; a sample aspect ratio is not applied. "
        f"{_sent(run)}"
    )
    refusal = None
    if config.num_frames > MOST_FRAMES or config.num_frames * config.max_pixels * 3 > MOST_FRAME_BYTES:
        refusal = (
            f"This dataset was made with {config.num_frames:,} frames of up to {config.max_pixels:,} pixels a file, "
            "which is more than the viewer decodes."
        )
    limits = VideoConfig()
    bounded = config.model_copy(
        update={
            "timeout_s": min(config.timeout_s, MOST_SECONDS),
            "num_workers": limits.num_workers,
            "max_source_pixels": min(config.max_source_pixels, limits.max_source_pixels),
            "max_file_bytes": min(config.max_file_bytes, limits.max_file_bytes),
        }
    )
    return Sampling(bounded, told, refusal)


class Strips:
    """Strips of a dataset's rows, remembered. Belongs to one event loop; close it, for it holds decoder processes."""

    def __init__(self, dataset: str, provenance: Mapping[str, Any] | None, media_root: Path | None) -> None:
        """dataset: as `--dataset` names it, for the commands that the notes give."""
        self.sampling = read_sampling(provenance)
        self._dataset = dataset
        self._media_repo = (provenance or {}).get("media_repo")
        self._media_root = media_root
        self._pool = DecoderPool(self.sampling.config)
        self._strips: OrderedDict[tuple[Path, int, int], Strip] = OrderedDict()

    async def render(self, row: Mapping[str, Any]) -> Markup:
        """The strip of a row's media, or why there is none. Raises nothing, whatever the row and its file hold."""
        if self.sampling.refusal is not None:
            return _note(self.sampling.refusal)
        path = row.get("path")
        if not path:
            return _note("This row names no media file.")
        if self._media_root is None:
            return self._fetch_note(row, "The viewer was not told where the media lie.")
        try:
            strip = await self._strip(resolve_media(self._media_root, path))
        except MediaError as error:
            if error.reason == "outside_root":
                return _note("The row's path leads out of the media root and is not followed.", path)
            detail = "" if error.reason == "missing" else f" ({error})"
            return self._fetch_note(row, f"No frames: {reason_in_words('media:' + error.reason)}{detail}.")
        except (ConfigError, OSError, RuntimeError) as error:
            # RuntimeError is what a decoder worker could not handle; the last line of its report says why.
            return _note(f"The frames could not be read: {(str(error).splitlines() or ['no reason given'])[-1]}", path)
        expected = row.get("media_sha256")
        if expected is not None and strip.sha256 != expected:
            return self._fetch_note(row, "The file in the media root is not the one that the trace was made from.")
        if (data_type := row.get("data_type")) not in (strip.kind, None):
            return _note(f"The question says {data_type}, but the file is of kind {strip.kind}.", path)
        return render_strip(strip, self.sampling.told, is_proven=expected is not None)

    async def close(self) -> None:
        """End the decoder processes."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _strip(self, file: Path) -> Strip:
        """Remembered as long as the file stays as it is."""
        found = await asyncio.to_thread(file.stat)
        key = (file, found.st_size, found.st_mtime_ns)
        if key not in self._strips:
            frames = await self._pool.frames(file)
            self._strips[key] = await asyncio.to_thread(_shrink, frames, file)
        self._strips.move_to_end(key)
        strip = self._strips[key]
        while len(self._strips) > MOST_STRIPS:
            self._strips.popitem(last=False)
        return strip

    def _fetch_note(self, row: Mapping[str, Any], words: str) -> Markup:
        root = "media" if self._media_root is None else str(self._media_root)
        command = ["python", "-m", "curation", "media", "fetch", self._dataset]
        if source := row.get("data_source"):
            command += ["--source", source]
        fetch = "This fetches it:"
        if not self._media_repo:
            command += ["--from", "REPO_OR_FOLDER"]
            fetch = "This fetches it from the repository or folder that holds the media:"
        line = shlex.join([*command, "--media-root", root])
        after = " Then start the viewer with --media-root media." if self._media_root is None else ""
        return fill(
            '<div class="vp vp-media-note"><p>{} File <code>{}</code> of {}.</p><p>{}</p>'
            '<pre class="vp-command" tabindex="0">{}</pre>{}</div>',
            words,
            row["path"],
            fill("<bdi>{}</bdi>", source) if source else "a source that is not recorded",
            fetch,
            line,
            fill("<p>{}</p>", after) if after else "",
        )


def render_strip(strip: Strip, told: str, *, is_proven: bool) -> Markup:
    """Frames in order of time; a click on one of a video's seeks the player (keys.js). is_proven: the hash agreed."""
    seen = f"{strip.width} x {strip.height} pixels"
    if strip.kind == "image":
        what = f"The picture at {seen}."
    else:
        what = f"{len(strip.frames)} of {strip.num_source_frames:,} frames at {seen}."
    proof = "The file is the one that the trace was made from." if is_proven else "No hash is recorded to compare with."
    return fill(
        '<figure class="vp vp-strip"><ol class="vp-frames {}">{}</ol><figcaption>{} {}. {}</figcaption></figure>',
        "vp-single" if strip.kind == "image" else "",
        join(_picture(frame, strip.kind) for frame in strip.frames),
        what,
        told.rstrip("."),
        proof,
    )


def _picture(frame: Frame, kind: Literal["image", "video"]) -> Markup:
    time = _clock(frame.timestamp_s)
    said = "the picture" if kind == "image" else f"frame {frame.index}, {time}"
    picture = fill(
        '<img src="data:image/jpeg;base64,{}" width="{}" height="{}" alt="{}">',
        base64.b64encode(frame.jpeg).decode("ascii"),
        frame.width,
        frame.height,
        said,
    )
    if kind == "image":
        return fill("<li>{}</li>", picture)
    return fill(
        '<li><button type="button" class="vp-frame" data-seek="{:.6f}" data-into="{:.6f}" title="{}">{}<span>{}</span>'
        "</button></li>",
        frame.timestamp_s,
        frame.into_s,
        said,
        picture,
        time,
    )


def _clock(seconds: float) -> str:
    """`1:02.5`."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def _shrink(frames: Frames, file: Path) -> Strip:
    height, width = frames.frames.shape[1:3]
    wanted = THUMBNAIL_PIXELS if frames.kind == "video" else 3 * THUMBNAIL_PIXELS
    scale = min(1.0, wanted / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    into_frame_s = min(_MOST_INTO_FRAME_S, 0.5 / frames.fps) if frames.fps else 0.0
    small = []
    for pixels, index, timestamp_s in zip(frames.frames, frames.indices, frames.timestamps_s, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        small.append(Frame(buffer.getvalue(), *size, index, timestamp_s, into_frame_s))
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Strip(tuple(small), width, height, frames.num_source_frames, frames.kind, sha256)


def _sent(run: Mapping[str, Any]) -> str:
    """What of these frames the generator got, by its config."""
    engine = _section(_section(run, "generate"), "engine")
    match engine.get("kind"), engine.get("send"):
        case "openai", "frames" | "video_frames":
            return "These are the very frames that the model was sent"
        case "openai", "file_url" | "data_url":
            return "The model's server got the whole file and took frames of its own, which may be others"
        case "openai", "none":
            return "The model was sent text only"
        case "scripted", _:
            return "The scripted generator reads the scene record; a model would be sent these frames"
        case _:
            return "What the model was sent is not recorded"


def _section(parent: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """A mapping inside a mapping; empty where it is none."""
    found = parent.get(name) if isinstance(parent, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _note(words: str, path: str | None = None) -> Markup:
    named = Markup("") if path is None else fill(" File <code>{}</code>.", path)
    return fill('<div class="vp vp-media-note"><p>{}{}</p></div>', words, named)

"""Media as an engine takes them: sampled frames as picture files, encoded once for the questions that follow."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from curation.decoding import DecoderPool
from curation.engines.base import EncodedMedia
from curation.errors import MediaError
from curation.gops import Span
from curation.video import VideoConfig

_PIXELS_PER_TOKEN: Final = 28 * 28
_FRAMES_PER_TOKEN: Final = 2  # Qwen2.5-VL merges two frames of a video
_CACHED_MEDIA: Final = 32  # questions about one video stand together upstream, 3.35 a video

_Key = tuple[Path, Span | None, float | None]


@dataclass(slots=True)
class MediaEncoder:
    """Encodes the sampled frames of a file once for the questions that follow each other on it."""

    pool: DecoderPool
    mime: str
    _recent: OrderedDict[_Key, asyncio.Task[EncodedMedia]] = field(default_factory=OrderedDict)

    async def encode(
        self, path: Path, data_type: str, *, span: Span | None = None, folder_fps: float | None = None
    ) -> EncodedMedia:
        """The frames of a file, of the part `span` of it, or of a folder with folder_fps pictures a second.

        Raises MediaError, each time it is asked; wrong_kind for a picture where a video should be, and the reverse.
        """
        key = (path, span, folder_fps)
        task = self._recent.get(key)
        if task is None:
            task = self._recent[key] = asyncio.create_task(self._encode(path, data_type, span, folder_fps))
            if len(self._recent) > _CACHED_MEDIA:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(key)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what is still being encoded for nobody."""
        for task in self._recent.values():
            task.cancel()
        await asyncio.gather(*self._recent.values(), return_exceptions=True)

    async def _encode(self, path: Path, data_type: str, span: Span | None, folder_fps: float | None) -> EncodedMedia:
        encoded = await self.pool.encoded(path, self.mime, span=span, folder_fps=folder_fps)
        if encoded.kind != data_type:
            raise MediaError("wrong_kind", f"the question says {data_type}, the file is {encoded.kind}")
        return EncodedMedia(
            data_type, path, encoded.images, encoded.mime, encoded.timestamps_s, sampled_fps=encoded.sampled_fps
        )


def frames_identity(video: VideoConfig) -> dict[str, object]:
    """What decides which pixels a model sees; time-outs and worker counts do not."""
    return video.model_dump(mode="json", include={"reader", "num_frames", "max_pixels", "min_pixels", "resize"})


def visual_tokens(video: VideoConfig, data_type: str, *, as_pictures: bool = False) -> float:
    """What the media of one request take at most, as Qwen2.5-VL counts; another model may count otherwise.

    as_pictures: the frames of a video travel as pictures, which are not merged.
    """
    num_frames = video.num_frames if data_type == "video" else 1
    num_merged = _FRAMES_PER_TOKEN if data_type == "video" and not as_pictures else 1
    return num_frames / num_merged * video.max_pixels / _PIXELS_PER_TOKEN

"""A prompt with any number of clips and pictures, or none, as the model takes it; of one, as training/collate.py does.

Text is tokenised apart from what the template writes around it, so that a question never becomes a special token.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from curation.engines.base import EncodedMedia
from training.collate import Vision, stack_vision
from training.models import Processor
from training.patches import patchify
from training.positions import IMAGE, VIDEO

_TYPES: Final[Mapping[str, int]] = {"image": IMAGE, "video": VIDEO}
_TEXT: Final = "the-text-of-this-turn"
# split_special_tokens is a switch of the tokenizer itself: another thread would encode its placeholders as text.
_ENCODING: Final = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One request: the ids with all placeholders, and what stands in their place, in the same order."""

    ids: tuple[int, ...]
    visions: tuple[Vision, ...]


def prepare(
    processor: Processor, text: str, media: EncodedMedia | None, *, send: Literal["video", "images"]
) -> Prepared:
    """One turn of the user, media first, and the beginning of the assistant's.

    send: the frames of a clip as one video with its times, or as images. Raises ValueError for a clip whose frames have
    no time, and for a template that does not write what it is given; OSError for a picture that is none.
    """
    visions = () if media is None else tuple(_see(media, processor, send))
    head, tail = _around_text(processor, [vision.kind for vision in visions])
    encode = processor.tokenizer.encode
    with _ENCODING:
        ids = [*encode(head, add_special_tokens=False)]
        ids += encode(text, add_special_tokens=False, split_special_tokens=True)
        ids += encode(tail, add_special_tokens=False)
    return Prepared(tuple(_expand(ids, visions, processor)), visions)


def stack(rows: Sequence[Prepared], processor: Processor) -> dict[str, Any]:
    """The model's inputs, padded on the left: B rows of at most T tokens, as `collate.stack` names them."""
    num_tokens = max(len(row.ids) for row in rows)
    type_of = {processor.pad_ids[kind]: number for kind, number in _TYPES.items()}
    pad_id = processor.tokenizer.pad_token_id
    paddings = [num_tokens - len(row.ids) for row in rows]
    columns = {
        "input_ids": [[pad_id] * missing + [*row.ids] for row, missing in zip(rows, paddings, strict=True)],
        "attention_mask": [[0] * missing + [1] * len(row.ids) for row, missing in zip(rows, paddings, strict=True)],
        "mm_token_type_ids": [
            [0] * missing + [type_of.get(token, 0) for token in row.ids]
            for row, missing in zip(rows, paddings, strict=True)
        ],
    }
    batch: dict[str, Any] = {name: torch.tensor(values) for name, values in columns.items()}
    return batch | stack_vision([vision for row in rows for vision in row.visions])


def _see(media: EncodedMedia, processor: Processor, send: Literal["video", "images"]) -> Iterator[Vision]:
    frames = [_decode(frame) for frame in media.frames]
    if media.data_type == "video" and send == "video":
        patches, grid = patchify(np.stack(frames), processor.layout)
        if media.sampled_fps is None and grid[0] > 1:
            raise ValueError("the file tells no frame rate, so its frames have no time")
        seconds = processor.layout.temporal_patch_size / media.sampled_fps if media.sampled_fps else 0.0
        yield Vision("video", patches, grid, seconds)
        frames = []
    for picture in [*frames, *(_decode(picture) for picture in media.pictures)]:
        yield Vision("image", *patchify(picture[np.newaxis], processor.layout), None)


def _decode(picture: bytes) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB."""
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


def _around_text(processor: Processor, kinds: Sequence[str]) -> tuple[str, str]:
    content = [*({"type": kind} for kind in kinds), {"type": "text", "text": _TEXT}]
    rendered: str = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=processor.chat_template,
        tokenize=False,
        add_generation_prompt=True,
    )
    head, *tail = rendered.split(_TEXT)
    if len(tail) != 1:
        raise ValueError(f"the chat template of {processor.name} does not write the user's text once")
    return head, tail[0]


def _expand(ids: Sequence[int], visions: Sequence[Vision], processor: Processor) -> Iterator[int]:
    """Each placeholder as often as its medium has tokens."""
    coming = iter(visions)
    pads = {token: kind for kind, token in processor.pad_ids.items()}
    for token in ids:
        if token not in pads:
            yield token
        elif (vision := next(coming, None)) is not None and vision.kind == pads[token]:
            yield from (token,) * processor.layout.num_tokens(vision.grid)
        else:
            raise ValueError(f"the chat template of {processor.name} writes other placeholders than its media")
    if next(coming, None) is not None:
        raise ValueError(f"the chat template of {processor.name} leaves out media")

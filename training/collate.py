"""Rows of the published dataset to a batch of Qwen2.5-VL: one turn of the user (media first), one of the assistant.

Only the assistant's tokens are trained on, the end of turn included. Every row brings its own media, so that a batch
may mix pictures and clips of any length. Frames are decoded here, which is in a worker of the DataLoader.

Text is tokenised in three pieces: what the template puts around the user's text, that text, and the target. Text from
the dataset never becomes a special token, so a question that quotes <|video_pad|> stays a question; and the target
begins where generation begins, whatever a tokenizer would have merged across.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curation.errors import ConfigError, MediaError, UserError
from curation.prompts import Prompt, render_trace_prompt
from curation.schema import DATA_TYPES, Question
from curation.trace import TraceFormatError
from curation.video import Frames, VideoConfig
from training.config import InputConfig
from training.data import CONTENT_SHA256, MEDIA_FILE
from training.frame_cache import FrameCache, build_cache, read_cached_frames
from training.models import Processor
from training.patches import patchify
from training.positions import IMAGE, VIDEO
from training.processes import Template, render_target
from training.prompts import load_template_prompt

IGNORED: Final = -100  # a label that the loss leaves out
_KINDS: Final = {"image": IMAGE, "video": VIDEO}
_PATCHES: Final = {"image": "pixel_values", "video": "pixel_values_videos"}
_GRIDS: Final = {"image": "image_grid_thw", "video": "video_grid_thw"}
_TEXT: Final = "the-text-of-this-turn"
_TARGET: Final = "the-text-of-the-answer"


@dataclass(frozen=True, slots=True, eq=False)
class Vision:
    """The media of one row. patches: (t * h * w, values) float32; grid: (t, h, w) in patches.

    seconds_per_grid: between one grid in time and the next; None for a picture.
    """

    kind: str
    patches: npt.NDArray[np.float32]
    grid: tuple[int, int, int]
    seconds_per_grid: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One row. ids: the prompt, its media expanded to placeholders, then the target; the target may be empty."""

    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    vision: Vision


class _UnusableRowError(UserError):
    """Made once more, where a DataLoader's worker raised it, from the text of its traceback.

    The last line of that text is the message.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.rstrip().rpartition("\n")[2].removeprefix(f"{__name__}.{type(self).__name__}: "))


class UnusableMediaError(_UnusableRowError):
    """A row's media cannot be used."""


class UnusableTraceError(_UnusableRowError):
    """A row's texts are no trace."""


class Collator:
    """Called with rows of `data.load_rows`, returns the batch that the model takes (`stack`). May be sent to workers.

    with_target: False leaves the assistant's turn to be generated. padding_side: right to train on, left to generate.
    pictures_as_clips: see `as_clip`. Raises ConfigError when the chat template cannot be used.
    """

    def __init__(
        self,
        processor: Processor,
        video: VideoConfig,
        prompt: Prompt,
        *,
        template: Template = "full",
        with_target: bool = True,
        padding_side: Literal["left", "right"] = "right",
        pictures_as_clips: bool = False,
        cache: FrameCache | None = None,
    ) -> None:
        self._processor = processor
        self._video = video
        self._prompt = prompt
        self._template: Template = template
        self._with_target = with_target
        self._padding_side: Literal["left", "right"] = padding_side
        self._pictures_as_clips = pictures_as_clips
        self._cache = cache
        self._turns = {kind: _Turn.build(processor, kind) for kind in DATA_TYPES}

    @classmethod
    def of(cls, config: InputConfig, processor: Processor, *, for_training: bool = False, **options: Any) -> Self:
        """Build the collator of a section `input`, whose one template decides prompt and target.

        for_training: with target, padded on the right; else the assistant's turn is left to be generated. Raises
        ConfigError.
        """
        return cls(
            processor,
            config.video,
            load_template_prompt(config.prompt, config.template),
            template=config.template,
            with_target=for_training,
            padding_side="right" if for_training else "left",
            cache=build_cache(config.cache),
            **options,
        )

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of these rows."""
        return stack([self.encode(row) for row in rows], self._processor, self._padding_side)

    def encode(self, row: Mapping[str, Any]) -> Encoded:
        """One row with its media. Raises UnusableMediaError and UnusableTraceError."""
        question = Question.from_row(row)
        vision = self.look(row)
        turn = self._turns[question.data_type]
        text_ids = _encode_text(self._processor, render_trace_prompt(self._prompt, question))
        pads = (self._processor.pad_ids[vision.kind],) * self._processor.layout.num_tokens(vision.grid)
        target_ids: tuple[int, ...] = ()
        if self._with_target:
            target_ids = (*_encode_text(self._processor, self._target(row)), self._processor.tokenizer.eos_token_id)
        encoded = Encoded((*turn.before, *pads, *turn.between, *text_ids, *turn.after), target_ids, vision)
        return as_clip(encoded, self._processor) if self._pictures_as_clips else encoded

    def _target(self, row: Mapping[str, Any]) -> str:
        try:
            return render_target(row, self._template)
        except TraceFormatError as error:
            raise UnusableTraceError(
                f"the trace of question {row['id']} cannot be trained on ({error.fault}): {error}. Correct the row, or "
                "remove it from the dataset."
            ) from error

    def look(self, row: Mapping[str, Any]) -> Vision:
        """Raises UnusableMediaError: a run must not go on with another clip in the place of this one."""
        try:
            frames = read_cached_frames(Path(row[MEDIA_FILE]), self._video, self._cache, row.get(CONTENT_SHA256))
            if frames.kind != row["data_type"]:
                raise MediaError("wrong_kind", f"the question says {row['data_type']}, the file is {frames.kind}")
            return _see(frames, self._processor)
        except MediaError as error:
            reason = " ".join(str(error).split())
            raise UnusableMediaError(
                f"the media {row['path']} of question {row['id']} cannot be used ({error.reason}): {reason}. Fetch the "
                "file again, or delete it: rows without media are left out and counted."
            ) from error


@dataclass(frozen=True, slots=True)
class _Turn:
    """Tokens of the template: before the media's placeholders, between them and the user's text, and after it."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def build(cls, processor: Processor, kind: str) -> _Turn:
        """Raises ConfigError when the template does not do what training relies on."""
        user = {"role": "user", "content": [{"type": kind}, {"type": "text", "text": _TEXT}]}
        asked = _render(processor, [user], add_generation_prompt=True)
        assistant = {"role": "assistant", "content": [{"type": "text", "text": _TARGET}]}
        answered = _render(processor, [user, assistant], add_generation_prompt=False)
        pad = f"<|{kind}_pad|>"
        before, *rest = asked.split(pad)
        between, *after = "".join(rest).split(_TEXT)
        if len(rest) != 1 or len(after) != 1:
            raise ConfigError(f"the chat template of {processor.name} must write {pad} once, and the text behind it")
        if not answered.startswith(f"{asked}{_TARGET}{processor.tokenizer.eos_token}"):
            raise ConfigError(
                f"the chat template of {processor.name} does not end the assistant's turn with the end token "
                f"{processor.tokenizer.eos_token}, or begins it otherwise than for generation. Use an "
                "instruction-tuned Qwen2.5-VL."
            )
        pieces = (processor.tokenizer.encode(piece, add_special_tokens=False) for piece in (before, between, after[0]))
        return cls(*(tuple(piece) for piece in pieces))


def as_clip(row: Encoded, processor: Processor) -> Encoded:
    """A picture as the clip of one moment that it is to the vision tower: same features, same positions.

    The model takes pictures and clips in two passes of that tower. Under ZeRO-3 a pass is collective, so processes
    whose rows are not of the same kinds would wait for each other for ever, or mistake each other's weights.
    """
    if row.vision.kind == "video":
        return row
    pads = processor.pad_ids
    prompt_ids = tuple(pads["video"] if token == pads["image"] else token for token in row.prompt_ids)
    return replace(row, prompt_ids=prompt_ids, vision=replace(row.vision, kind="video", seconds_per_grid=0.0))


def stack(rows: Sequence[Encoded], processor: Processor, padding_side: Literal["left", "right"]) -> dict[str, Any]:
    """The model's inputs; B rows of at most T tokens, N patches.

    input_ids, attention_mask, mm_token_type_ids, labels: int64 (B, T). pixel_values, image_grid_thw: (N, values) and
    (images, 3), of the pictures in row order; pixel_values_videos, video_grid_thw, second_per_grid_ts: of the videos.
    What the batch has none of is absent, labels without any target too. second_per_grid_ts is a list, because
    DeepSpeed rounds float tensors to the model's precision, which would move frames in time.
    """
    num_tokens = max(len(row.prompt_ids) + len(row.target_ids) for row in rows)
    pad_id = processor.tokenizer.pad_token_id
    kind_of = {processor.pad_ids[kind]: number for kind, number in _KINDS.items()}
    columns: defaultdict[str, list[list[int]]] = defaultdict(list)
    for row in rows:
        ids = [*row.prompt_ids, *row.target_ids]
        num_missing = num_tokens - len(ids)
        for name, values, filler in (
            ("input_ids", ids, pad_id),
            ("attention_mask", [1] * len(ids), 0),
            ("mm_token_type_ids", [kind_of.get(token, 0) for token in ids], 0),
            ("labels", [IGNORED] * len(row.prompt_ids) + list(row.target_ids), IGNORED),
        ):
            padding = [filler] * num_missing
            columns[name].append(padding + values if padding_side == "left" else values + padding)
    batch: dict[str, Any] = {name: torch.tensor(values) for name, values in columns.items()}
    if not any(row.target_ids for row in rows):
        del batch["labels"]
    batch |= stack_vision([row.vision for row in rows])
    check_vision(batch, processor)
    return batch


def stack_vision(visions: Sequence[Vision]) -> dict[str, Any]:
    """The part of `stack` that does not depend on the tokens: pixels, grids and times, in the order of the rows."""
    batch: dict[str, Any] = {}
    for kind in DATA_TYPES:
        seen = [vision for vision in visions if vision.kind == kind]
        if seen:
            patches = [vision.patches for vision in seen]
            batch[_PATCHES[kind]] = torch.from_numpy(patches[0] if len(seen) == 1 else np.concatenate(patches))
            batch[_GRIDS[kind]] = torch.tensor([vision.grid for vision in seen])
    seconds = [vision.seconds_per_grid for vision in visions if vision.seconds_per_grid is not None]
    if seconds:
        batch["second_per_grid_ts"] = seconds
    return batch


def check_vision(batch: Mapping[str, Any], processor: Processor) -> None:
    """Raises ValueError unless every placeholder has its pixels and every clip its time, in the order of the rows.

    Cheap enough for every forward: a model that is not given its video answers all the same.
    """
    input_ids: Tensor = batch["input_ids"]
    for kind in DATA_TYPES:
        counts = [count for count in (input_ids == processor.pad_ids[kind]).sum(dim=1).tolist() if count]
        grids = batch[_GRIDS[kind]].tolist() if _GRIDS[kind] in batch else []
        expected = [processor.layout.num_tokens((t, h, w)) for t, h, w in grids]
        if counts != expected:
            raise ValueError(f"rows hold {counts} {kind} placeholders, but the grids {grids} make {expected}")
        num_patches = sum(t * h * w for t, h, w in grids)
        given = len(batch[_PATCHES[kind]]) if _PATCHES[kind] in batch else 0
        if given != num_patches:
            raise ValueError(f"{given} {kind} patches were given, but the grids {grids} make {num_patches}")
    num_clips = len(batch.get("video_grid_thw", ()))
    num_timed = len(batch.get("second_per_grid_ts", ()))
    if num_clips != num_timed:
        raise ValueError(f"{num_timed} of {num_clips} clips have their second_per_grid_ts")


def _see(frames: Frames, processor: Processor) -> Vision:
    """Raises MediaError for a clip whose frames have no time."""
    patches, grid = patchify(frames.frames, processor.layout)
    if frames.kind == "image":
        return Vision("image", patches, grid, None)
    if frames.sampled_fps is not None:
        return Vision("video", patches, grid, processor.layout.temporal_patch_size / frames.sampled_fps)
    if grid[0] > 1:
        raise MediaError("corrupt", "the file tells no frame rate, so its frames have no time")
    return Vision("video", patches, grid, 0.0)  # one moment, at time zero


def _render(processor: Processor, messages: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
    text: str = processor.tokenizer.apply_chat_template(
        messages,
        chat_template=processor.chat_template,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )
    return text


def _encode_text(processor: Processor, text: str) -> list[int]:
    """Plain text, whatever special tokens it may spell."""
    ids: list[int] = processor.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids

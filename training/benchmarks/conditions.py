"""Under which conditions a score was measured, as data: of a published one by its table, of ours by its result.

A gap between two scores says something about the models only where all of these agree. What a source does not state,
and what a result did not record, is null: it agrees with nothing, and is named as the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from training.benchmarks.fingerprint import Fingerprint
from training.benchmarks.results import BenchmarkResult

Name = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]

# Results of the first version record neither what is shown of a video nor the blocks that a prompt asks for.
_MAY_SHOW_PARTS: Final = ("mvbench",)
_MAY_SHOW_PICTURES: Final = ("videommmu",)
_FORMS: Final[Mapping[str, str]] = {"trace": "observation-think-answer", "direct": "answer"}


class Conditions(BaseModel):
    """Null: not stated, or not recorded.

    rules: by which a reply is scored. prompt: the blocks that it asks for ("observation-think-answer", "answer").
    num_frames: at most, a video. max_pixels: of a frame. sampled_by: who picks the frames, the client that asks or the
    server. videos: whole ones, parts of longer ones where the benchmark has parts, or the clip of the question alone.
    pictures: of VideoMMMU's exams, at the end of the video alone or beside it too. num_questions: in the overall.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rules: Name | None
    prompt: Name | None
    sent_as: Literal["video", "images", "nothing"] | None
    sampled_by: Literal["client", "server"] | None
    num_frames: PositiveInt | None
    max_pixels: PositiveInt | None
    temperature: NonNegativeFloat | None
    top_p: Share | None
    max_tokens: PositiveInt | None
    videos: Literal["whole videos", "parts of videos", "question clips"] | None
    pictures: Literal["in the video", "beside the video"] | None
    subtitles: Literal["with", "without"] | None
    num_questions: PositiveInt | None


_WORDS: Final[Mapping[str, str]] = {
    "rules": "{} rules",
    "prompt": "asked for {}",
    "sent_as": "clips sent as {}",
    "sampled_by": "frames sampled by the {}",
    "num_frames": "{:,} frames",
    "max_pixels": "{:,} pixels",
    "temperature": "temperature {}",
    "top_p": "top_p {}",
    "max_tokens": "{:,} tokens",
    "videos": "{}",
    "pictures": "exam pictures {}",
    "subtitles": "{} subtitles",
    "num_questions": "{:,} questions",
}


def conditions_of(result: BenchmarkResult) -> Conditions:
    """Of a score of ours."""
    made, name = result.fingerprint, result.benchmark
    shows_parts = None if name in _MAY_SHOW_PARTS else False
    shows_pictures = None if name in _MAY_SHOW_PICTURES else False
    if result.shown is not None:
        shows_parts, shows_pictures = result.shown.num_parts > 0, result.shown.num_pictures > 0
    return Conditions(
        rules=made.protocol,
        prompt=result.prompt_form or _FORMS.get(made.prompt),
        sent_as=made.frames.sent_as,
        sampled_by=_sampled_by(result.engine, made),
        num_frames=made.frames.num_frames,
        max_pixels=made.frames.max_pixels,
        temperature=made.decoding.temperature,
        top_p=made.decoding.top_p,
        max_tokens=made.decoding.max_tokens,
        videos=None if shows_parts is None else "parts of videos" if shows_parts else "whole videos",
        pictures=None if shows_pictures is None else "beside the video" if shows_pictures else "in the video",
        subtitles="without",
        num_questions=result.counted.num_rows or None,
    )


def differing(ours: Conditions, theirs: Conditions) -> Iterator[str]:
    """Every condition in which a score of ours is no match for a published one, in words."""
    for field, words in _WORDS.items():
        mine, stated = getattr(ours, field), getattr(theirs, field)
        if stated is None:
            yield f"{_title(field)} not stated by the source"
        elif mine is None:
            yield f"{_title(field)} not recorded by this result"
        elif mine != stated:
            yield f"{words.format(mine)}, not {format(stated, ',') if isinstance(stated, int) else stated}"


def describe(conditions: Conditions) -> str:
    """In one line; what is not stated stands at its end."""
    values = {field: getattr(conditions, field) for field in _WORDS}
    stated = [words.format(values[field]) for field, words in _WORDS.items() if values[field] is not None]
    unstated = [_title(field) for field in _WORDS if values[field] is None]
    return ", ".join(stated) + (f"; not stated: {', '.join(unstated)}" if unstated else "")


def _sampled_by(engine: str, made: Fingerprint) -> Literal["client", "server"] | None:
    if made.frames.reader.startswith("server"):
        return "server"
    # The first version sent frames of which a server made another clip, so it is not known what the model saw.
    is_first_version = not made.code_version.startswith("scoring-")
    return None if is_first_version and engine == "openai" and made.frames.sent_as == "video" else "client"


def _title(field: str) -> str:
    return field.removeprefix("num_").replace("_", " ")

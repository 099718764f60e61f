"""What a score depends on besides the model. Scores with different fingerprints never stand in one table.

One benchmark's fingerprint is of one run; a table holds several benchmarks, which have their own questions and media
but share everything else (`TABLE_WIDE`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from curation.errors import UserError
from curation.tasks import SCORING_VERSION
from training.benchmarks.scoring import BENCHMARKS_VERSION

Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# What every benchmark of a table shares. The prompt's text is the benchmark's own under `official`; its name is not.
TABLE_WIDE: Final = ("protocol", "prompt", "frames", "decoding", "code_version")


class MixedFingerprints(UserError, ValueError):
    """Scores that were not made in the same way were about to stand side by side."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Frames(_Part):
    """What the model sees of a video.

    num_frames: at most. fps: a short video gets this many a second instead; None when it gets num_frames anyway.
    min_pixels and max_pixels: of a frame. All of these are None where a server samples: they are its own.
    sent_as: a server that gets a list of images sees image tokens and no times (Qwen2.5-VL), which is another task.
    reader: the decoder and the rule by which it picks frames; "server" where a server that is sent files does both.
    times: what the model knows of them. "true" is the frames' own mean rate; "one a second" is what a server made of
    the lists of pictures that the first version sent; "server" its own.
    server: which one samples, and how, as far as is told; None where we do.
    """

    num_frames: PositiveInt | None
    fps: PositiveFloat | None
    min_pixels: NonNegativeInt | None
    max_pixels: PositiveInt | None
    sent_as: Literal["video", "images", "nothing"]
    reader: Name
    times: Literal["true", "one a second", "none", "server"]
    server: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _tell_times_of_the_first_version(cls, values: Any) -> Any:
        if isinstance(values, dict) and "times" not in values:
            return {**values, "times": _times_untold(values.get("sent_as"), values.get("reader"))}
        return values


def _times_untold(sent_as: Any, reader: Any) -> str:
    """Of results of the first version, which do not say. In process they were true; only servers were sent JPEG."""
    if reader == "server":
        return "server"
    if sent_as != "video":
        return "none"
    return "one a second" if str(reader).endswith(" jpeg") else "true"


class Decoding(_Part):
    """How the answer is sampled; seed: None when the engine chose. further: fields of a server's request, as JSON."""

    temperature: NonNegativeFloat
    top_p: Annotated[float, Field(gt=0, le=1)]
    max_tokens: PositiveInt
    seed: int | None = None
    further: Annotated[str, Field(min_length=1)] | None = None


class Fingerprint(_Part):
    """One model's run over one benchmark, without the model.

    prompt: its name, such as "trace" or "direct"; prompt_sha256: of its text. questions_sha256 and media_sha256: of
    `hash_questions` and `hash_media`. judge: the model that judges open answers, None where none does.
    code_version: of `code_version`.
    """

    benchmark: Name
    protocol: Literal["videor1", "official"]
    prompt: Name
    prompt_sha256: Sha256
    frames: Frames
    decoding: Decoding
    dataset_revision: Name
    questions_sha256: Sha256
    media_sha256: Sha256
    judge: Name | None
    code_version: Name

    @property
    def sha256(self) -> str:
        """The same for the same values on every machine, in every process and version of this code."""
        values = self.model_dump(mode="json")
        frames = values["frames"]
        if frames["times"] == _times_untold(frames["sent_as"], frames["reader"]):
            del frames["times"]
        if frames["server"] is None:
            del frames["server"]
        return _digest(values)


def same_table(fingerprints: Iterable[Fingerprint]) -> None:
    """Raises MixedFingerprints, naming the first field that differs, unless all may stand in one table.

    Of one benchmark all are equal; of different ones all agree in TABLE_WIDE.
    """
    first: Fingerprint | None = None
    seen: dict[str, Fingerprint] = {}
    for found in fingerprints:
        first = first or found
        reference = seen.setdefault(found.benchmark, found)
        for left, right, names in ((first, found, TABLE_WIDE), (reference, found, None)):
            if differing := differences(left, right, names):
                field, (one, other) = next(iter(differing.items()))
                raise MixedFingerprints(
                    f"scores of {left.benchmark} and {right.benchmark} cannot stand in one table: {field} is {one} "
                    f"for one and {other} for the other. Evaluate both in the same way, or make two tables."
                )


def differences(
    left: Fingerprint, right: Fingerprint, fields: Iterable[str] | None = None
) -> dict[str, tuple[object, object]]:
    """Field -> its two values, where they differ; a field of a part reads "frames.max_pixels"."""
    ours, theirs = (
        _flatten(found.model_dump(mode="json", include=None if fields is None else set(fields)))
        for found in (left, right)
    )
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def hash_questions(ids: Iterable[str]) -> str:
    """Of the questions that were asked, in any order: a part of a benchmark is another benchmark."""
    return _digest(sorted(ids))


def hash_media(sha256s: Mapping[str, str | None]) -> str:
    """Of every media path and its sha256, in any order; None is missing, which is a difference too."""
    return _digest(dict(sha256s))


def code_version() -> str:
    """Of the rules from files and outputs to scores, so that old scores are not mixed with those of a changed rule.

    Saved outputs can be scored again at no cost. Results of the first version hold twelve hex digits here.
    """
    return f"scoring-{SCORING_VERSION}.{BENCHMARKS_VERSION}"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat

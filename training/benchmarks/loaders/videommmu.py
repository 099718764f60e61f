"""VideoMMMU: lectures; three questions each, in the tracks perception, comprehension and adaptation.

The exam picture of an adaptation question is the end of its video: always the full video, never the clip of the
question alone. Where the rows bring that picture too, it is the question's further image under `official`; under
`videor1` the video is shown alone, as Video-R1 and lmms-eval do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from training.benchmarks.loaders.layout import Columns, Layout, LeftOut, Row
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.options import letter_options, read_gold
from training.benchmarks.question import BenchmarkQuestion, MediaReference
from training.benchmarks.scoring import Protocol

TRACKS: Final = ("Perception", "Comprehension", "Adaptation")


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    # question_type is no guide: some multiple-choice rows are tagged "open".
    options = letter_options(row.texts("options"))
    kind, answer = read_gold("mc" if options else "numeric", _gold(row), options)
    video = media.find_stem(row.text("id"))
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=f"{row.part}/{row.text('id')}",
        kind=kind,
        text=row.text("question"),
        options=options,
        answer=answer,
        media=_with_image(row, video, media) if protocol == "official" else video,
        groups={"task": row.part.lower()} | subject_group(row.text("id")),
    )


def _gold(row: Row) -> str:
    """A text or a number; a list of texts, any of which is right, as MMMU writes it in its text."""
    value = row.values["answer"]
    if isinstance(value, list) and value and all(isinstance(answer, str) and answer.strip() for answer in value):
        return value[0] if len(value) == 1 else repr(value)
    return row.gold("answer")


def subject_group(video: str) -> dict[str, str]:
    """ "validation_Basic_Medical_Science_10" -> Basic_Medical_Science; nothing for a name of another form."""
    parts = video.split("_")
    return {"subject": "_".join(parts[1:-1])} if len(parts) > 2 else {}


def _with_image(row: Row, reference: MediaReference, media: MediaRoot) -> MediaReference:
    image: Any = row.values.get("image")
    if image is None:
        return reference
    if isinstance(image, Mapping) and isinstance(image.get("bytes"), bytes) and image["bytes"]:
        return replace(reference, image=image["bytes"])
    if isinstance(image, Mapping) and isinstance(image.get("path"), str) and image["path"]:
        found = media.find(image["path"])
        missing = reference.missing or (f"{found.missing} image" if found.file is None else None)
        return replace(reference, image=found.file, missing=missing)
    if isinstance(image, Mapping) and not any(image.values()):
        return reference
    raise row.fault(f"image must hold bytes or a path, not {type(image).__name__}")


LAYOUT: Final = Layout(
    name="videommmu",
    title="VideoMMMU",
    repo="lmms-lab/VideoMMMU",
    mirrors=("lmms-eval/VideoMMMU",),
    licence="not stated on its page",
    is_gated=True,
    split="test",
    parts={track: (f"{track}/test*.parquet", f"{track}.parquet", f"{track}.json*") for track in TRACKS},
    default_parts=TRACKS,
    columns=Columns(
        frozenset(("id", "question", "options", "answer", "question_type")), optional=frozenset(("image",))
    ),
    num_rows=900,
    media="the zips of the six disciplines, to folders of any name",
    media_bytes=13_900_000_000,
    read=_read,
)

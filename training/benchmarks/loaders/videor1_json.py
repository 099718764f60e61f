"""Video-R1's evaluation files: eval_mmvu.json and its like, one schema for all benchmarks.

Rows of some benchmarks keep their own columns beside the common ones. Videos are whole: start and end do not apply, and
a row whose path leads to a cut clip of MVBench says that it shows a part.
VCR-Bench has no such file of Video-R1's; one in the same schema is read all the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from curation.schema import read_problem_type
from curation.scoring.answer_text import answer_text
from training.benchmarks.loaders import mmvu, mvbench, tempcompass, vcr_bench, video_mme, videommmu, vsi_bench
from training.benchmarks.loaders.annotations import hash_files, read_rows
from training.benchmarks.loaders.layout import NOT_MULTIPLE_CHOICE, BenchmarkError, Columns, Layout, LeftOut, Row
from training.benchmarks.loaders.loading import collect, layout_of
from training.benchmarks.loaders.media import MediaRoot, with_suffixes
from training.benchmarks.loaders.options import letter_options, read_gold
from training.benchmarks.question import BenchmarkQuestion, LoadedBenchmark, MediaReference
from training.benchmarks.scoring import Kind, Protocol

_REQUIRED: Final = frozenset(("problem_id", "problem", "data_type", "problem_type", "options", "solution", "path"))
_OPTIONAL: Final = frozenset(("original_question_type", "process", "data_source", "subtitle"))
# As Video-R1 published them, which its TempCompass could not be read for; MMVU is its choices alone.
_NUM_ROWS: Final = {"vsi_bench": 5_130, "videommmu": 900, "mmvu": 625, "mvbench": 4_000, "video_mme": 2_700}
UNKNOWN_TYPE: Final = "unknown problem type"
_KINDS: Final[dict[str, Kind]] = {
    "multiple choice": "mc",
    "numerical": "numeric",
    "regression": "regression",
    "OCR": "ocr",
    "free-form": "free-form",
}
# "frame": 200 rows of MVBench. Video-R1's own script sends those without any media.
_DATA_TYPES: Final = ("video", "image", "frame")
_QUESTION_ONLY: Final = re.compile(r"(?P<folder>.*/)?question_only/(?P<video>[^/]+)_image(?P<suffix>\.\w+)")


def load_videor1(name: str, file: Path, media_root: Path, *, protocol: Protocol) -> LoadedBenchmark:
    """The questions of one evaluation file. media_root: where "./Evaluation/..." begins.

    Its revision is a hash of the file. Raises BenchmarkError, and ConfigError without a media root.
    """
    layout, media = layout_of(name), MediaRoot(media_root)
    if not file.is_file():
        raise BenchmarkError(f"{layout.title}: there is no file {file}. It is one of Video-R1's evaluation files.")
    columns = Columns(_REQUIRED, _OPTIONAL | layout.columns.known)
    rows = read_rows(
        {"": ((file.name, file),)},
        title=f"{layout.title} (Video-R1)",
        repo="Video-R1/Video-R1-eval",
        columns=columns,
    )
    return collect(
        name,
        rows,
        lambda row: _read(row, layout, media, protocol),
        title=layout.title,
        columns=columns,
        protocol=protocol,
        revision=hash_files([(file.name, file)]),
        num_published=_NUM_ROWS.get(name),
    )


def _read(row: Row, layout: Layout, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    problem_type = read_problem_type(row.text("problem_type"))
    if problem_type is None:
        return LeftOut(UNKNOWN_TYPE)
    kind = _KINDS[problem_type]
    if kind != "mc" and (layout.name == "mmvu" or (layout.name == "vcr_bench" and protocol == "videor1")):
        return LeftOut(NOT_MULTIPLE_CHOICE)
    options = letter_options(row.texts("options")) if kind == "mc" else ()
    answer = answer_text(row.gold("solution"))
    if layout.name == "vcr_bench" and kind == "free-form":
        kind = vcr_bench.open_kind(answer)
    if kind in ("mc", "numeric"):
        kind, answer = read_gold(kind, answer, options)
    path = row.text("path").removeprefix("./")
    return BenchmarkQuestion(
        benchmark=layout.name,
        uid=row.identifier("problem_id"),
        kind=kind,
        text=row.text("problem"),
        options=options,
        answer=answer,
        media=_find(row, path, media),
        groups=_groups(row, layout.name, path),
    )


def _find(row: Row, path: str, media: MediaRoot) -> MediaReference:
    """The file of a row; of a clip that shows a VideoMMMU question alone, the full video, which ends with it."""
    data_type = row.one_of("data_type", _DATA_TYPES)
    if clip := _QUESTION_ONLY.fullmatch(path):
        found = media.find(*with_suffixes(f"{clip['folder'] or ''}{clip['video']}{clip['suffix']}"))
        elsewhere = media.find_stem(clip["video"])
        return elsewhere if found.file is None and elsewhere.file else found
    found = media.find(*with_suffixes(path))
    folder = media.find_folder(path) if data_type == "frame" else None
    if folder:
        return MediaReference(found.name, folder, "frames", fps=3.0)
    return replace(found, kind="image" if data_type == "image" else "video", is_part=mvbench.is_cut(path))


def _groups(row: Row, name: str, path: str) -> dict[str, str]:
    """What the row says beside the common columns, under the names that the other layout has for it."""
    kind = row.optional_groups(kind="original_question_type").get("kind", "")
    video = PurePosixPath(path).stem
    match name:
        case "vsi_bench":
            known = (*vsi_bench.CHOICE_TASKS, *vsi_bench.NUMBER_TASKS)
            return vsi_bench.groups_of(row.one_of("original_question_type", known)) | {"source": Path(path).parent.name}
        case "videommmu":
            return videommmu.subject_group(video.removesuffix("_image"))
        case "mmvu":
            return {"task": "multiple-choice"} | mmvu.subject_group(path)
        case "mvbench":
            task = kind.lower().replace(" ", "_").replace("-", "_")
            return {"task": task} if task in mvbench.SOURCES else {}
        case "tempcompass":
            groups = row.optional_groups(dimension="dim")
            return groups | ({"task": kind} if kind in tempcompass.TASKS else {})
        case "video_mme":
            names = {"task": "task_type", "duration": "duration", "domain": "domain", "subject": "sub_category"}
            groups = row.optional_groups(**names)
            if groups.get("duration", "short") not in video_mme.DURATIONS:
                raise row.fault(f"duration is {groups['duration']!r}, which is none of {video_mme.DURATIONS}")
            return groups
        case _:
            return row.optional_groups(task="dimension")

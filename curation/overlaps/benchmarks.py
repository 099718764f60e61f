"""Benchmark annotation files, in each benchmark's own layout, as (question text, video).

    VSI-Bench    question, dataset + scene_name        MVBench      question, video; the folder follows from the task
    VideoMMMU    question, id                          TempCompass  question, video_id
    MMVU         question, video (a link), youtube_url Video-MME    question, videoID
    VCR-Bench    question, video_path                  Video-R1's evaluation JSON: problem, path

JSON lists, JSON lines (both also gzipped), Parquet and TSV; a folder gives every such file in it, configs included.
Only what overlap needs is read here: options and answers are left alone.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.errors import SourceError
from curation.overlaps.names import path_keys, youtube_id_of_link
from curation.schema import SourceReject
from curation.sources.reading import RawRecord, iter_parquet, iter_records, one_line

SUFFIXES: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet", ".tsv")
# Files beside the annotations in a folder from the hub.
_NOT_ANNOTATIONS: Final = frozenset(("dataset_infos.json", "dataset_info.json", "state.json"))
_QUESTION_FIELDS: Final = ("problem", "question")
_VIDEO_FIELDS: Final = ("path", "video_path", "videoID", "scene_name", "video", "video_id", "id (of VideoMMMU)")
_LINKS: Final = ("youtube_url", "url", "data_source", "video")
_VIDEOMMMU_ID: Final = re.compile(r"(?:dev|validation|test|new)_\w+_[0-9]+")
_HUB_FILE: Final = re.compile(r"^https?://.*/(?:resolve|blob)/[^/]+/")
# MVBench's rows name a file only; where it lies follows from the task, which is the name of the annotation file.
_MVBENCH_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "star": ("action_sequence", "action_prediction", "object_interaction"),
    "sta": ("action_localization",),
    "ssv2_video": ("action_antonym",),
    "Moments_in_Time_Raw": ("fine_grained_action",),
    "FunQA_test": ("unexpected_action",),
    "scene_qa": ("scene_transition",),
    "clevrer": (
        *("object_existence", "moving_direction", "moving_count", "moving_attribute"),
        "counterfactual_inference",
    ),
    "perception": ("object_shuffle", "action_count", "state_change", "character_order"),
    "nturgbd": ("fine_grained_pose",),
    "vlnqa": ("egocentric_navigation",),
    "tvqa": ("episodic_reasoning",),
}
_MVBENCH_TASKS: Final = {task: folder for folder, tasks in _MVBENCH_FOLDERS.items() for task in tasks}


@dataclass(frozen=True, slots=True)
class BenchmarkRecord:
    """One record. `place` is "file:number"; question or video is null where the record has none.

    video is shown to people; keys (names.py) are what it is compared by, youtube_ids its declared YouTube ids.
    """

    place: str
    question: str | None
    video: str | None
    keys: frozenset[str]
    youtube_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was read of one benchmark. `unread` counts records without a question, without a video, or not readable."""

    name: str
    records: tuple[BenchmarkRecord, ...]
    unread: Mapping[str, int]


def read_benchmark(name: str, paths: Sequence[Path]) -> Benchmark:
    """Read files, and every annotation file of folders.

    Raises SourceError when a file cannot be read, or when it holds no question or no video at all: a benchmark that was
    misread would look clean.
    """
    records: list[BenchmarkRecord] = []
    unread: Counter[str] = Counter()
    for file, shown in (found for path in paths for found in _annotation_files(path)):
        read = []
        for raw in _raw_records(file, shown):
            if isinstance(raw, SourceReject):
                unread[raw.reason] += 1
            elif not isinstance(raw.value, Mapping):
                unread["not_an_object"] += 1
            else:
                read.append(_record(name, raw, file))
        for what, fields in (("question", _QUESTION_FIELDS), ("video", _VIDEO_FIELDS)):
            num_missing = sum(getattr(record, what) is None for record in read)
            if num_missing == len(read):
                raise SourceError(
                    f"{file} holds {len(read)} records and no {what}: none of the fields {', '.join(fields)}. "
                    f"Name the annotation files of {name}."
                )
            unread[f"no_{what}"] += num_missing
        records += read
    return Benchmark(name, tuple(records), {reason: num for reason, num in sorted(unread.items()) if num})


def _annotation_files(path: Path) -> Iterator[tuple[Path, str]]:
    """(file, how it is shown), in order. Raises SourceError when there is none."""
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise SourceError(f"cannot tell the format of {path}: its name must end in one of {', '.join(SUFFIXES)}.")
        yield path, path.name
        return
    if not path.is_dir():
        raise SourceError(f"{path} is no file and no folder. Name a benchmark's annotations.")
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.name.endswith(SUFFIXES)
        and file.name not in _NOT_ANNOTATIONS
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.is_file()
    ]
    if not files:
        raise SourceError(f"{path} holds no annotation file ({', '.join(SUFFIXES)}).")
    for file in files:
        yield file, file.relative_to(path).as_posix()


def _raw_records(file: Path, shown: str) -> Iterator[RawRecord | SourceReject]:
    if file.name.endswith(".parquet"):
        return iter_parquet(file, shown)
    if file.name.endswith(".tsv"):
        return _iter_tsv(file, shown)
    return iter_records([file], [shown], lines=file.name.removesuffix(".gz").endswith(".jsonl"))


def _iter_tsv(file: Path, shown: str) -> Iterator[RawRecord]:
    """Rows of a tab-separated file with a header and perhaps quoted fields. Raises SourceError."""
    # A field may hold a picture in base64; the limit is the C long.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream, delimiter="\t"), start=1):
                yield RawRecord(shown, number, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"cannot read {file}: {one_line(error)}. Fetch the file again.") from error


def _record(benchmark: str, raw: RawRecord, file: Path) -> BenchmarkRecord:
    value = raw.value
    assert isinstance(value, Mapping)
    video = _video(value, file)
    # Under the benchmark's name too, for its own numbering means nothing elsewhere.
    names = () if video is None else (video, f"{re.sub('[^A-Za-z0-9]+', '', benchmark)}/{video}")
    youtube_ids = {found for name in _LINKS if (found := youtube_id_of_link(_text(value, name) or ""))}
    if declared := _text(value, "videoID"):
        youtube_ids.add(declared)
    return BenchmarkRecord(
        place=f"{raw.file}:{raw.number}",
        question=next((text for name in _QUESTION_FIELDS if (text := _text(value, name))), None),
        video=video,
        keys=frozenset(key for name in names for key in path_keys(name)),
        youtube_ids=frozenset(youtube_ids),
    )


def _video(value: Mapping[str, Any], file: Path) -> str | None:
    """The video's path as the benchmark lays out its files; the first field that is there decides."""
    if (path := _text(value, "path") or _text(value, "video_path")) is not None:
        return path.removeprefix("./")
    if (youtube_id := _text(value, "videoID")) is not None:
        return youtube_id
    if (scene := _text(value, "scene_name")) is not None:
        return f"{_text(value, 'dataset') or ''}/{scene}".removeprefix("/")
    if (video := _text(value, "video")) is not None:
        folder = next((_MVBENCH_TASKS[name] for name in (_stem(file), file.parent.name) if name in _MVBENCH_TASKS), "")
        return f"{folder}/{_HUB_FILE.sub('', video)}".removeprefix("/")
    if (video_id := _text(value, "video_id")) is not None:
        return video_id
    identifier = _text(value, "id")
    return identifier if identifier is not None and _VIDEOMMMU_ID.fullmatch(identifier) else None


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    return found.strip() or None if isinstance(found, str) else None


def _stem(file: Path) -> str:
    return file.name.split(".")[0]

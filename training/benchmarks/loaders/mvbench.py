"""MVBench: twenty tasks over clips of eleven sources.

Branch main has whole files, whose part a row bounds in five tasks, and TV episodes as folders of pictures; branch
`video` has the parts as clips of their own, in folders of another name. `official` shows the parts; which one was found
decides whether the bounds still apply. `videor1` shows whole videos, as Video-R1 did (clips score higher, says its
author); where only the cut clip is there it shows that one, and the question says that it is a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from training.benchmarks.loaders.layout import Columns, Layout, LeftOut, Row
from training.benchmarks.loaders.media import MediaRoot, with_suffixes
from training.benchmarks.loaders.options import letter_options, place_letter
from training.benchmarks.question import BenchmarkQuestion, MediaReference
from training.benchmarks.scoring import Protocol

_ROOTS: Final = ("", "data0613/", "video/", "video/data0613/")  # some zips nest; main keeps them in video/
_EPISODE_FPS: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Source:
    """Folders of one source. whole: on main; cut: on branch `video`, None where both are the same files.

    has_bounds: the clips of `cut` are parts; else they are the whole ones, converted.
    """

    whole: str
    cut: str | None = None
    has_bounds: bool = False
    is_frames: bool = False


_STAR: Final = _Source("star/Charades_v1_480", "star/Charades_segment", has_bounds=True)
_CLEVRER: Final = _Source("clevrer/video_validation")
_PERCEPTION: Final = _Source("perception/videos")
SOURCES: Final[Mapping[str, _Source]] = {
    "action_sequence": _STAR,
    "action_prediction": _STAR,
    "object_interaction": _STAR,
    "action_localization": _Source("sta/sta_video", "sta/sta_video_segment", has_bounds=True),
    "action_antonym": _Source("ssv2_video", "ssv2_video_mp4"),
    "fine_grained_action": _Source("Moments_in_Time_Raw/videos"),
    "unexpected_action": _Source("FunQA_test/test"),
    "scene_transition": _Source("scene_qa/video"),
    "object_existence": _CLEVRER,
    "moving_direction": _CLEVRER,
    "moving_count": _CLEVRER,
    "moving_attribute": _CLEVRER,
    "counterfactual_inference": _CLEVRER,
    "object_shuffle": _PERCEPTION,
    "action_count": _PERCEPTION,
    "state_change": _PERCEPTION,
    "character_order": _PERCEPTION,
    "fine_grained_pose": _Source("nturgbd", "nturgbd_convert"),
    "egocentric_navigation": _Source("vlnqa"),
    "episodic_reasoning": _Source("tvqa/frames_fps3_hq", "tvqa/video_fps3_hq_segment", has_bounds=True, is_frames=True),
}


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    texts = row.texts("candidates")  # five questions have a single one
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=f"{row.part}/{row.number}",
        kind="mc",
        text=row.text("question"),
        options=letter_options(texts),
        answer=place_letter(row.gold("answer"), texts),
        media=_find_whole(row, media) if protocol == "videor1" else _find_part(row, media),
        groups={"task": row.part},
    )


def is_cut(path: str) -> bool:
    """Whether a file lies where branch `video` has parts of longer videos."""
    return any(source.has_bounds and source.cut and f"/{source.cut}/" in f"/{path}" for source in SOURCES.values())


def _find_part(row: Row, media: MediaRoot) -> MediaReference:
    source = SOURCES[row.part]
    if (found := _find_cut(row, source, media)) is not None:
        return found
    start_s, end_s = (row.seconds("start"), row.seconds("end")) if source.has_bounds else (None, None)
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise row.fault(f"the part from {start_s} s to {end_s} s is empty")
    is_part = start_s is not None or end_s is not None
    return replace(_find_file(row, source, media), start_s=start_s, end_s=end_s, is_part=is_part)


def _find_whole(row: Row, media: MediaRoot) -> MediaReference:
    source = SOURCES[row.part]
    found = _find_file(row, source, media)
    return found if found.file is not None else _find_cut(row, source, media) or found


def _find_cut(row: Row, source: _Source, media: MediaRoot) -> MediaReference | None:
    """The clip of branch `video`."""
    if source.cut is None:
        return None
    found = media.find(*_names(source.cut, row.text("video")))
    return replace(found, is_part=source.has_bounds) if found.file else None


def _find_file(row: Row, source: _Source, media: MediaRoot) -> MediaReference:
    """The whole file of main, or its folder of pictures."""
    video = row.text("video")
    if not source.is_frames:
        return media.find(*_names(source.whole, video))
    folders = [f"{root}{source.whole}/{video}" for root in _ROOTS]
    if folder := media.find_folder(*folders):
        return MediaReference(folder.relative_to(media.path).as_posix(), folder, "frames", fps=_EPISODE_FPS)
    found = media.find(*folders, *_names(source.whole, video))  # a file where somebody made a video of the pictures
    return found if found.file else replace(found, kind="frames", fps=_EPISODE_FPS)


def _names(folder: str, video: str) -> Iterator[str]:
    """As the row says it under each root, then with another suffix: clips of main are .webm and .avi too."""
    for name in with_suffixes(video):
        for root in _ROOTS:
            yield f"{root}{folder}/{name}"


LAYOUT: Final = Layout(
    name="mvbench",
    title="MVBench",
    repo="OpenGVLab/MVBench",
    mirrors=(),
    licence="mit",
    is_gated=True,
    split="train",  # really
    parts={task: (f"json/{task}.json", f"{task}.json", f"{task}/train*.parquet") for task in SOURCES},
    default_parts=tuple(SOURCES),
    columns=Columns(
        frozenset(("video", "question", "candidates", "answer")),
        optional=frozenset(("start", "end", "accurate_start", "accurate_end", "subtitle", "show_name", "fps")),
    ),
    num_rows=4_000,
    media="the zips of video/ (NTU RGB+D, for fine_grained_pose, has its own page), to folders as they nest",
    media_bytes=None,
    read=_read,
)

"""Which two paths name the same video, from the names alone.

    ./CLEVRER/train/video_10009.mp4       clevrer/video_validation/video_10009.mp4     same: a number within CLEVRER
    ./PerceptionTest/video_10009.mp4      clevrer/video_validation/video_10009.mp4     not: two collections number alike
    ./LLaVA/ytb_fFjv93ACGo8.mp4           a benchmark's YouTube id fFjv93ACGo8         same, also for a clip of it
    ./somewhere/0.mp4                     videos/Chemistry/0.mp4                       not: "0" says nothing

A stem that only words and numbers make up ("0", "video_10009", "YSKX3") counts within a known collection; one that can
hardly be chosen twice ("S001C001P001R001A001_rgb", a hash, a number of nine digits) counts everywhere; any other path
counts as a whole, when at least two folders, one of them not generic, agree. Case and media suffix never matter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

YOUTUBE_ID_CHARS: Final = 11
# Folder names, squeezed to letters and digits, by the collection that numbers its videos on its own. Charades feeds
# STAR and Charades-STA, so these three number alike.
_COLLECTIONS: Final[Mapping[str, str]] = {
    "clevrer": "clevrer",
    "perception": "perception",
    "perceptiontest": "perception",
    "charades": "charades",
    "star": "charades",
    "sta": "charades",
    "ssv2": "ssv2",
    "somethingsomething": "ssv2",
    "somethingsomethingv2": "ssv2",
    "sthsthv2": "ssv2",
    "moments": "moments",
    "momentsintimeraw": "moments",
    "momentsintime": "moments",
    "funqa": "funqa",
    "funqatest": "funqa",
    "sceneqa": "sceneqa",
    "nturgbd": "nturgbd",
    "vlnqa": "vlnqa",
    "tvqa": "tvqa",
    "activitynet": "activitynet",
    "nextqa": "nextqa",
    "nextvideo": "nextqa",
    "ego4d": "ego4d",
    "youcook2": "youcook2",
    "arkitscenes": "arkitscenes",
    "scannet": "scannet",
    "scannetpp": "scannetpp",
    "mvbench": "mvbench",
    "tempcompass": "tempcompass",
    "videomme": "videomme",
    "videommmu": "videommmu",
    "mmvu": "mmvu",
    "vcrbench": "vcrbench",
    "videoespresso": "videoespresso",
    "vsibench": "vsibench",
}
# Collections whose numbers start again in every folder: the folders below them belong to the name.
_NUMBERED_BY_FOLDER: Final = frozenset(("mmvu", "vcrbench", "videoespresso", "youcook2", "ego4d"))
_GENERIC_FOLDERS: Final = frozenset(
    (
        *("video", "videos", "clip", "clips", "media", "data", "dataset", "datasets", "evaluation", "eval", "raw"),
        *("train", "test", "val", "valid", "validation", "dev", "files", "mp4", "mp4s", "images", "frames"),
        *("v1", "v2", "main"),
    )
)
_SUFFIX: Final = re.compile(r"(?i)\.(mp4|m4v|mkv|webm|avi|mov|gif|ts|mpe?g|flv|wmv|3gp|ogv)$")
_IMAGE_SUFFIX: Final = re.compile(r"(?i)\.(jpe?g|png|webp|bmp|tiff?|avif)$")
_RUN: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LONG_NUMBER: Final = re.compile(r"[1-9][0-9]{8}")  # zeros in front are padding
_LEAST_BORDERS: Final = 4
_LEAST_CHARS: Final = 8
_YOUTUBE_LINK: Final = re.compile(r"(?:youtube\.com/(?:watch\?(?:[^#\s]*&)?v=|embed/|shorts/)|youtu\.be/)([\w-]{11})")


def path_keys(path: str) -> frozenset[str]:
    """Keys of one video path; two paths name the same video when they share a key. A still image has none."""
    if _IMAGE_SUFFIX.search(path):
        return frozenset()
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in (".", "/")]
    if not parts:
        return frozenset()
    *folders, name = parts
    stem = _SUFFIX.sub("", name)
    if is_distinctive(stem):
        return frozenset((f"id:{_without_prefix(stem).lower()}",))
    folders = [folder.lower() for folder in folders]
    stem = stem.lower()
    keys = set()
    if (found := _innermost_collection(folders)) is not None:
        place, collection = found
        below = [] if collection not in _NUMBERED_BY_FOLDER else _specific(folders[place + 1 :])
        keys.add(f"in {collection}:{'/'.join([*below, stem])}")
    if len(folders) >= 2 and _specific(folders):
        keys.add(f"path:{'/'.join([*folders, stem])}")
    return frozenset(keys)


def is_media(name: str) -> bool:
    """By its suffix, a video or a picture."""
    return _SUFFIX.search(name) is not None or _IMAGE_SUFFIX.search(name) is not None


def is_distinctive(stem: str) -> bool:
    """True for a name that two people hardly choose: letters, cases and digits mixed as in an id, or a long number.

    Counted are the borders between capitalised words, capitals and numbers that nothing separates: "video_10009" has
    none, "scene0011_00" one, "fFjv93ACGo8" five.
    """
    runs = list(_RUN.finditer(stem))
    borders = sum(one.end() == other.start() for one, other in pairwise(runs))
    return (borders >= _LEAST_BORDERS and len(stem) >= _LEAST_CHARS) or _LONG_NUMBER.search(stem) is not None


def youtube_key(youtube_id: str) -> str:
    """The key of a declared YouTube id, as `youtube_keys` gives it."""
    return f"youtube:{youtube_id}"


def youtube_keys(path: str, known: Collection[str]) -> frozenset[str]:
    """Keys of the `known` YouTube ids that stand in a path, free on both sides, so that clips of a video count too."""
    return frozenset(youtube_key(found) for found in _windows(path) if found in known)


def youtube_id_of_link(link: str) -> str | None:
    """The id in a link to YouTube; None for any other text."""
    found = _YOUTUBE_LINK.search(link)
    return found[1] if found else None


def _windows(path: str) -> Iterator[str]:
    for part in path.split("/"):
        text = _SUFFIX.sub("", part)
        for start in range(len(text) - YOUTUBE_ID_CHARS + 1):
            end = start + YOUTUBE_ID_CHARS
            if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
                yield text[start:end]


def _without_prefix(stem: str) -> str:
    """What downloaders put before an id, when an id remains."""
    bare = re.sub(r"^(?:v|yt|ytb|youtube|video)[_-]", "", stem)
    return bare if is_distinctive(bare) else stem


def _innermost_collection(folders: list[str]) -> tuple[int, str] | None:
    for place in range(len(folders) - 1, -1, -1):
        words = re.split(r"[^a-z0-9]+", folders[place])
        for name in ("".join(words), *words):
            if name in _COLLECTIONS:
                return place, _COLLECTIONS[name]
    return None


def _specific(folders: list[str]) -> list[str]:
    return [folder for folder in folders if folder not in _GENERIC_FOLDERS]

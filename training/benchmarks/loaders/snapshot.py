"""Which files of a repository are a benchmark's annotations, and where they are on this disk.

Only annotations are read. Media are tens of gigabytes in archives, unpacked by hand to a media root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from training.benchmarks.loaders.annotations import hash_files
from training.benchmarks.loaders.layout import BenchmarkError, Layout

README: Final = "README.md"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Annotation files that are on this disk. files: part -> (name in the repository, file)."""

    revision: str
    files: Mapping[str, tuple[tuple[str, Path], ...]]


def read_folder(layout: Layout, folder: Path, parts: Sequence[str]) -> Snapshot:
    """A local copy of the repository. Its revision is a hash of the files that are read. Raises BenchmarkError."""
    # A folder that holds the media too has many files: names only, no look at each.
    found = (Path(place, name) for place, _, files in os.walk(folder, followlinks=True) for name in files)
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    readme = (folder / README).read_text(encoding="utf-8", errors="replace") if README in names else ""
    chosen = choose_files(layout, names, readme, parts, place=str(folder))
    files = {part: tuple((name, folder / name) for name in found) for part, found in chosen.items()}
    return Snapshot(hash_files([named for found in files.values() for named in found]), files)


def choose_files(
    layout: Layout, names: Sequence[str], readme: str, parts: Sequence[str], *, place: str
) -> dict[str, tuple[str, ...]]:
    """part -> its files, in order: those that the README's `configs:` name, else those of the first pattern that hits.

    names: of the repository's files, sorted. Raises BenchmarkError for a part without any.
    """
    declared = _declared_files(readme, layout.split)
    chosen = {}
    for part in parts:
        if part not in layout.parts:
            raise BenchmarkError(f"{layout.title} has no part {part!r}; it has {', '.join(layout.parts)}.")
        groups = [declared.get(part, ()), *((pattern,) for pattern in layout.parts[part])]
        found = next((hits for patterns in groups if (hits := _matching(names, patterns))), ())
        if not found:
            raise BenchmarkError(
                f"{layout.title}: {place} has no file {' or '.join(layout.parts[part])} (part {part}). "
                f"Fetch a snapshot of {layout.repo}, or name other parts of {', '.join(layout.parts)}."
            )
        chosen[part] = found
    return chosen


def _declared_files(readme: str, split: str) -> dict[str, tuple[str, ...]]:
    """config -> patterns of one split, as a dataset's README declares them; {} when it declares none."""
    head = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|\Z)", readme, re.DOTALL)
    try:
        front = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return {}
    configs = front.get("configs") if isinstance(front, dict) else None
    declared = {}
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict) and (patterns := tuple(_patterns(config.get("data_files"), split))):
            declared[str(config.get("config_name"))] = patterns
    return declared


def _patterns(data_files: Any, split: str) -> Iterator[str]:
    """A pattern, a list of them, or a list of {split, path} of which only ours counts."""
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, list):
        for entry in data_files:
            if not isinstance(entry, dict):
                yield from _patterns(entry, split)
            elif entry.get("split") == split:
                yield from _patterns(entry.get("path"), split)


def _matching(names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Names that a pattern hits, in order; `*` stays within a folder and `**` does not, as on the hub."""
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    hits = []
    for pattern in patterns:
        pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
        hits.append(re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces)))
    return tuple(name for name in names if any(hit.fullmatch(name) for hit in hits))

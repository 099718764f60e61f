"""Which clips are held out. By clip and not by row, so that no question about a held-out clip is ever trained on.

A clip is told by what it shows, not by how its path is spelled: rows with the same media_sha256 show one clip, and so
do rows with the same path, however it is written. Config `rl` publishes no sha256, so what another config says about a
path holds there too.
"""

from __future__ import annotations

import hashlib
import posixpath
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

# What is held out and which questions are asked, raised by hand. 1: clips by the spelling of their path, and the first
# questions. 2: clips by content, and questions of all types.
RulesVersion = Literal[1, 2]
RULES_VERSION: Final[RulesVersion] = 2


@dataclass(frozen=True, slots=True)
class ClipSplit:
    """share: of the clips, in [0, 1]. keys: what tells a clip, by its plain path; one that is missing tells itself."""

    share: float
    keys: Mapping[str, str] = field(default_factory=dict)
    rules: RulesVersion = RULES_VERSION

    def key(self, path: str) -> str:
        """Return what tells the clip at `path`."""
        if self.rules == 1:
            return path
        plain = plain_path(path)
        return self.keys.get(plain, plain)

    def holds_out(self, path: str) -> bool:
        """Return whether no stage may train on the clip at `path`.

        A function of the dataset alone: every run and every machine holds out the same clips, and those of a smaller
        share are among those of a larger one.
        """
        first = hashlib.sha256(self.key(path).encode("utf-8", "surrogatepass")).digest()[:4]
        return int.from_bytes(first, "big") / 2**32 < self.share


def plain_path(path: str) -> str:
    """Return the one spelling of a path: `./A//x.mp4` and `A/x.mp4` are the same file."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def tell_clips(
    published: Iterable[tuple[str, str | None]], measured: Iterable[tuple[str, str | None]] = ()
) -> dict[str, str]:
    """Return what tells each clip, by its plain path: the least sha256 of all rows that show it, else its least path.

    published: (path, media_sha256) of the rows. measured: the same of what is known beside them (rejected rows, the
    manifest of this machine): it says which paths are one clip, but never names the clip, which would differ elsewhere.
    """
    clips = _Clips()
    for path, sha256 in published:
        clips.add(plain_path(path), sha256, is_published=True)
    for path, sha256 in measured:
        if sha256 is not None:
            clips.add(plain_path(path), sha256, is_published=False)
    return clips.names()


def choose_questions(rows: Sequence[Mapping[str, Any]], most: int, seed: int) -> list[int]:
    """Return the places of at most `most` rows, in order: of each problem type the share that it has of all rows.

    Which ones depends on the seed and on their ids, not on the order of the rows. No type is left out as long as there
    are enough questions for one of each.
    """
    strata: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        strata.setdefault(row["problem_type"], []).append(place)
    shares = {name: most * len(places) / max(1, len(rows)) for name, places in strata.items()}
    counts = {name: min(len(strata[name]), max(1, int(share))) for name, share in shares.items()}
    by_need = sorted(shares, key=lambda name: (counts[name] - shares[name], name))
    while sum(counts.values()) > most:  # more types than questions, or types so rare that one is already too many
        counts[max((name for name in by_need if counts[name]), key=lambda name: (counts[name], name))] -= 1
    while sum(counts.values()) < min(most, len(rows)):
        open_names = [name for name in by_need if counts[name] < len(strata[name])]
        counts[min(open_names, key=lambda name: (counts[name] - shares[name], name))] += 1
    chosen: list[int] = []
    for name, places in strata.items():
        drawn = sorted(places, key=lambda place: Random(f"{seed}:{rows[place]['id']}").random())
        chosen += drawn[: counts[name]]
    return sorted(chosen)


class _Clips:
    """Union-find over paths and sha256s: what is joined shows one clip."""

    def __init__(self) -> None:
        self._parent: dict[tuple[str, str], tuple[str, str]] = {}
        self._named: set[tuple[str, str]] = set()  # the sha256s that may name a clip

    def add(self, path: str, sha256: str | None, *, is_published: bool) -> None:
        place = self._find(("path", path))
        if sha256 is None:
            return
        content = ("sha256", sha256)
        self._parent[self._find(content)] = place
        if is_published:
            self._named.add(content)

    def names(self) -> dict[str, str]:
        best: dict[tuple[str, str], str] = {}
        for node in sorted(self._named):
            best.setdefault(self._find(node), node[1])
        paths = sorted(node for node in self._parent if node[0] == "path")
        for node in paths:
            best.setdefault(self._find(node), node[1])
        return {path: best[self._find(("path", path))] for _, path in paths}

    def _find(self, node: tuple[str, str]) -> tuple[str, str]:
        self._parent.setdefault(node, node)
        while (parent := self._parent[node]) != node:
            self._parent[node] = self._parent[parent]
            node = parent
        return node

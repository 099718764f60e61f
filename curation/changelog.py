"""CHANGELOG.md of a published dataset: one entry a version, the newest first.

The entry is cards/changelog_entry.md.j2 over a DatasetDiff. Nothing depends on the clock, so that the same change gives
the same bytes; what comes from the data is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from curation.diff import KINDS, DatasetDiff
from curation.markdown import Markdown, render
from curation.versions import Version, published_versions

TEMPLATE: Final = "changelog_entry.md.j2"
MOST_REASONS: Final = 20
PREAMBLE: Final = """# Changelog

What changed from version to version. Major: the schema or its meaning changed. Minor: rows were added, removed or
rewritten. Patch: only the card or other text beside the rows. A version is a tag of this repository and is never moved;
pin one with `revision=`.
"""
# A whole code block, or a heading of level 1 or 2.
_LANDMARK: Final = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)|^(?P<level>#{1,2})[ \t]+(?P<word>\S*)", re.MULTILINE | re.DOTALL
)


def render_entry(
    version: Version, diff: DatasetDiff | None, *, num_rows: Mapping[str, int], notes: Sequence[str] = ()
) -> str:
    """The entry of one version. diff: against the version before it, None for the first one.

    num_rows: config -> its rows in this version. notes: what the publisher has to say, one list item of Markdown each.
    """
    return render(
        TEMPLATE,
        version=version,
        diff=diff,
        num_rows=num_rows,
        rows_of={} if diff is None else {part.config: part.rows for part in diff.configs},
        notes=[Markdown(" ".join(note.split())) for note in notes],
        kinds=KINDS,
        most_reasons=MOST_REASONS,
    )


def add_entry(changelog: str | None, version: Version, entry: str) -> str:
    """The changelog with this entry in its place, newest first; an entry of the same version is replaced.

    The text of other versions stays as it is. Raises ValueError when `entry` is not the entry of this version alone.
    """
    if [(start, found) for start, _, found in _sections(entry)] != [(0, version)]:
        raise ValueError(f"the entry must start with '## {version.tag}' and hold no other heading of that level")
    entry = entry.rstrip() + "\n"
    text = changelog if changelog and changelog.strip() else PREAMBLE
    sections = _sections(text)
    same = [(start, end) for start, end, found in sections if found == version]
    older = [(start, start) for start, _, found in sections if found is not None and found < version]
    newer = [(end, end) for _, end, found in sections if found is not None and found > version]
    start, end = [*same[:1], *older[:1], *newer[-1:], (len(text), len(text))][0]
    before, after = text[:start], text[end:]
    if before and not before.endswith("\n\n"):
        before += "\n" if before.endswith("\n") else "\n\n"
    return before + entry + ("\n" + after if after else "")


def _sections(text: str) -> list[tuple[int, int, Version | None]]:
    """(start, end, version) of each heading of level 1 or 2 with what follows; None when it names no version."""
    headings = [match for match in _LANDMARK.finditer(text) if match["level"]]
    ends = [match.start() for match in headings[1:]] + [len(text)]
    return [(match.start(), end, _version(match)) for match, end in zip(headings, ends, strict=False)]


def _version(heading: re.Match[str]) -> Version | None:
    """`## v1.0.0`, also as `## [1.0.0] - 2026-01-31`."""
    word = heading["word"].strip("[]").removeprefix("v")
    return next(iter(published_versions([f"v{word}"])), None) if heading["level"] == "##" else None

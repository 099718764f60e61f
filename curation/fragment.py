"""What people write into a card: RUN/card.md, kept with the run, so that no publication drops it.

It is a card of its own: YAML between `---` lines (contact, doi, thumbnail, extra_gated_prompt, ...), then text before
the first heading, which follows the introduction, and sections (`## Intended use`), each of which replaces the one of
that name or is added. What is computed cannot be written by hand. An edit of the hub's page is merged into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from curation.errors import ConfigError
from curation.shards import write_text

FILE: Final = "card.md"
COMPUTED_FIELDS: Final = frozenset(
    ("license", "license_name", "license_link", "size_categories", "source_datasets", "configs", "dataset_info")
)
# Sections of the template that people may replace.
OPEN_SECTIONS: Final = (
    "Intended use",
    "Out-of-scope use",
    "Personal and sensitive information",
    "Biases",
    "What training on it gives",
    "Maintenance",
    "Contact",
)
COMPUTED_SECTIONS: Final = (
    "Contents",
    "Load",
    "Train on it as chat messages",
    "The first row",
    "Composition",
    "How it was made",
    "How good it is",
    "Known limits",
    "Beside the authors' release",
    "Columns",
    "Versions",
    "Licences and attribution",
    "Config",
    "Citation",
)
_FRONT: Final = re.compile(r"---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# A whole code block, or a heading of level 1 or 2.
_LANDMARK: Final = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n(?:.*?^(?P=fence)[`~]*[ \t]*$|.*\Z)|^##?[ \t]+(?P<heading>[^\n]*)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A card in pieces: YAML fields, the text before the first heading of level 2, and the sections by heading."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    lead: str = ""
    sections: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Merge:
    """A fragment with an edit in it; names of the pieces that were taken over, and of those that could not be."""

    fragment: Fragment
    taken: tuple[str, ...]
    lost: tuple[str, ...]


NOTHING: Final = Fragment()


def read_fragment(home: Path) -> Fragment:
    """The fragment of a run; empty when there is none. Raises ConfigError."""
    path = home / FILE
    if not path.exists():
        return NOTHING
    try:
        fragment = split_card(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}. Mend it.") from error
    if computed := [name for name in fragment.fields if name in COMPUTED_FIELDS]:
        raise ConfigError(f"{path} sets {computed[0]}, which is computed from the dataset. Take it out.")
    if computed := [name for name in fragment.sections if name in COMPUTED_SECTIONS]:
        raise ConfigError(f"{path} has a section {computed[0]!r}, which is computed. Give it another name.")
    return fragment


def write_fragment(home: Path, fragment: Fragment) -> None:
    """Keep it with the run."""
    front = f"---\n{yaml.safe_dump(dict(fragment.fields), sort_keys=False)}---\n\n" if fragment.fields else ""
    parts = [fragment.lead, *(f"## {name}\n\n{text}" for name, text in fragment.sections.items())]
    write_text(home / FILE, front + "\n\n".join(part for part in parts if part) + "\n")


def split_card(text: str) -> Fragment:
    """The pieces of a card, or of a fragment. Raises ValueError for YAML that is none, or a code block without end."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    front = _FRONT.match(text)
    try:
        fields = yaml.safe_load(front["yaml"]) if front else {}
    except yaml.YAMLError as error:
        raise ValueError(f"its YAML is damaged ({error})") from error
    if not isinstance(fields or {}, dict) or not all(isinstance(name, str) for name in fields or {}):
        raise ValueError("its YAML is no mapping of names")
    body = text[front.end() :] if front else text
    headings = []
    for landmark in _LANDMARK.finditer(body):
        if landmark["heading"] is not None and landmark[0].startswith("## "):
            headings.append(landmark)
        elif landmark["fence"] and not re.search(rf"\n{landmark['fence']}[`~]*[ \t]*\Z", landmark[0]):
            raise ValueError("a code block in it has no end")
    ends = [match.start() for match in headings[1:]] + [len(body)]
    sections: dict[str, str] = {}
    for match, end in zip(headings, ends, strict=False):
        name = match["heading"].strip()
        if name in sections:
            raise ValueError(f"it has two sections {name!r}")
        sections[name] = _tidy(body[match.end() : end])
    return Fragment(fields or {}, _tidy(body[: headings[0].start()] if headings else body), sections)


def merge_edit(fragment: Fragment, before: Fragment, after: Fragment) -> Merge:
    """Take over what somebody changed in a published card, from `before` to `after`.

    A piece that is computed, or that the fragment has changed too, is not taken over but named as lost.
    """
    taken: list[str] = []
    lost: list[str] = ["the text above the first section"] if before.lead != after.lead else []

    def merge(
        mine: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], computed: frozenset[str], kind: str
    ) -> dict[str, Any]:
        merged = dict(mine)
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) == new.get(name) or (name in mine and mine[name] == new.get(name)):
                continue
            is_mine_too = name in mine and mine[name] != old.get(name)
            if name in computed or is_mine_too or (name not in new and name not in mine):
                lost.append(f"{kind} {name!r}")
                continue
            taken.append(f"{kind} {name!r}")
            merged.pop(name, None)
            if name in new:
                merged[name] = new[name]
        return merged

    fields = merge(fragment.fields, before.fields, after.fields, COMPUTED_FIELDS, "field")
    sections = merge(fragment.sections, before.sections, after.sections, frozenset(COMPUTED_SECTIONS), "section")
    return Merge(Fragment(fields, fragment.lead, sections), tuple(taken), tuple(lost))


def changed_pieces(before: Fragment, after: Fragment) -> list[str]:
    """What differs between two cards, in words."""
    pieces = ["the text above the first section"] if before.lead != after.lead else []
    for kind, old, new in (("field", before.fields, after.fields), ("section", before.sections, after.sections)):
        pieces += [f"{kind} {name}" for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return pieces


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()).strip()

"""Semantic versions of a dataset: what may follow what.

major   columns or their meaning changed: code that reads the dataset may have to change
minor   rows were added, removed or rewritten
patch   only the card or other text beside the rows changed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

from curation.errors import ConfigError

Change = Literal["schema", "rows", "card", "nothing"]
Level = Literal["major", "minor", "patch"]
LEVELS: Final[Mapping[Change, Level]] = {"schema": "major", "rows": "minor", "card": "patch"}
_MEANING: Final[Mapping[Change, str]] = {
    "schema": "the schema changed",
    "rows": "rows changed and the schema did not",
    "card": "neither rows nor schema changed, only what stands beside them",
}
_NUMBER: Final = "(0|[1-9][0-9]{0,8})"
_VERSION: Final = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}")


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """MAJOR.MINOR.PATCH, ordered as numbers."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`1.0.0` or `v1.0.0`, nothing else. Raises ConfigError."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"{text[:40]!r} is no version. Write three numbers without leading zeros and without a pre-release, "
                "such as 1.0.0 or v1.0.0."
            )
        return cls(*map(int, match.groups()))

    @property
    def tag(self) -> str:
        """What the hub calls it: `v1.0.0`."""
        return f"v{self}"

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def successor(self, level: Level) -> Version:
        """The nearest version of that level."""
        match level:
            case "major":
                return Version(self.major + 1, 0, 0)
            case "minor":
                return Version(self.major, self.minor + 1, 0)
            case "patch":
                return Version(self.major, self.minor, self.patch + 1)


def published_versions(tags: Iterable[str]) -> list[Version]:
    """The versions among a repository's tags, oldest first.

    Other tags are left out, `1.0.0` without its v too: nothing here would find it again by `Version.tag`.
    """
    matches = (_VERSION.fullmatch(tag) for tag in tags if tag.startswith("v"))
    return sorted({Version(*map(int, match.groups())) for match in matches if match is not None})


def check_successor(version: Version, previous: Version | None, change: Change) -> None:
    """Raises ConfigError, with the version that would be right, unless `version` says just how much changed.

    The number may skip some (1.2.0 -> 1.5.0), the parts below it are 0. The first version may be any.
    """
    if previous is None:
        return
    if change == "nothing":
        raise ConfigError(f"nothing changed since {previous.tag}, so there is nothing to publish as {version.tag}.")
    level = LEVELS[change]
    if version <= previous or _level(version, previous) != level:
        raise ConfigError(
            f"{version.tag} cannot follow {previous.tag}: {_MEANING[change]}, which asks for a {level} version. "
            f"Use {previous.successor(level)}."
        )


def _level(version: Version, previous: Version) -> Level | None:
    """The level of a step upwards; None when a part below the one that grew is not 0."""
    if version.major != previous.major:
        return "major" if (version.minor, version.patch) == (0, 0) else None
    if version.minor != previous.minor:
        return "minor" if version.patch == 0 else None
    return "patch"

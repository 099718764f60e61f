"""One spelling for the names of files, so that a member is found however its archive spells it."""

from __future__ import annotations

import unicodedata


def composed(name: str) -> str:
    """Accents composed (NFC); macOS and some archives write them apart, and it is the same name."""
    return unicodedata.normalize("NFC", name)


def member_name(raw: str) -> str:
    """A member's name with slashes, which some tools of Windows write backwards, and without a leading "./"."""
    return composed(raw.replace("\\", "/").removeprefix("./"))

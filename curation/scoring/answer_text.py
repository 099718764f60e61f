"""The text of an answer, with or without its <answer> tags."""

from __future__ import annotations

from typing import Final

_OPENING: Final = "<answer>"
_CLOSING: Final = "</answer>"


def answer_text(text: str) -> str:
    """What stands in the first closed <answer> block, stripped; the whole text when there is none. Linear time."""
    start = text.find(_OPENING)
    end = text.find(_CLOSING, start)
    return (text[start + len(_OPENING) : end] if 0 <= start < end else text).strip()

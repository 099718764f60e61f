"""Texts in which a model declines to answer: they share chance words with any gold, so no metric may score them."""

from __future__ import annotations

import re
from typing import Final

_HEAD_CHARS: Final = 400
_CANNOT: Final = (
    r"(?:can\s?not|can't|could not|couldn't|am unable|'m unable|was unable|am not able|'m not able|"
    r"won't|will not|do not feel comfortable|must decline)"
)
_DO: Final = (
    r"(?:assist|help|answer|provide|determine|identify|see|view|watch|access|process|analy[sz]e|fulfil|comply|"
    r"discuss|describe|continue|respond|tell|say|give|do that|engage|support|create|generate|recognize)"
)
_REFUSAL: Final = re.compile(
    r"(?:i(?:'m| am)? (?:so |very )?sorry|sorry|my apologies|i apologi[sz]e|unfortunately)\b"
    rf".{{0,60}}?\b(?:i|we) ?{_CANNOT}"
    rf"|(?:but |however,? )?(?:i|we) ?{_CANNOT}(?: to)? {_DO}\b"
    r"|as an? (?:ai|artificial intelligence|language model|large language model)\b"
    r"|(?:i(?:'m| am) )?unable to (?:assist|help|answer|comply|provide an answer|determine the answer)\b"
    r"|(?:\u5f88?\u62b1\u6b49|\u5bf9\u4e0d\u8d77).{0,20}(?:\u65e0\u6cd5|\u4e0d\u80fd)|\u6211(?:\u65e0\u6cd5|\u4e0d\u80fd)(?:\u56de\u7b54|\u63d0\u4f9b|\u534f\u52a9|\u5e2e\u52a9)"
)


def is_refusal(text: str) -> bool:
    """Whether a text begins by declining to answer, in English or Chinese. Bounded time on any string."""
    head = " ".join(text[:_HEAD_CHARS].replace("\u2019", "'").casefold().split()).lstrip("*_`\"' ")
    return _REFUSAL.match(head) is not None

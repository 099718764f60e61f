"""What a word is, in any script: the unit of word error rate, ROUGE, segment lengths and repetition.

Words stand between white space. Scripts that are written without spaces (Han, kana, Thai, Lao, Burmese, Khmer) give one
word per character, as mixed error rates in speech recognition do: else a Chinese line would be a single word, and one
wrong character would cost the whole score.
"""

from __future__ import annotations

import re
from typing import Final

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
# For other engines too: the controls are white space to Python and not to Rust, so they are named.
WORD_PATTERN: Final = rf"[{_UNSPACED}]|[^\s\x1c-\x1f{_UNSPACED}]+"
_WORD: Final = re.compile(WORD_PATTERN)


def words(text: str) -> list[str]:
    """The words of a text, in order; on ASCII text exactly `str.split()`."""
    return text.split() if text.isascii() else _WORD.findall(text)

"""Values that were written as text, or by a data frame, read back: nulls, numbers, lists of Python and of numpy."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from typing import Final

# What Python, JSON, pandas, numpy, R and spreadsheets write for a value that is not there, in lower case.
_NULLS: Final = frozenset(("", "none", "null", "nan", "+nan", "-nan", "<na>", "na", "n/a", "#n/a", "nat", "nil"))
_MAX_LITERAL_CHARS: Final = 100_000
_ARRAY: Final = re.compile(
    r"(?:\w+\.)?(?:array|list|tuple)\((?P<listed>\s*[\[(].*[\])])(?:,\s*\w+=[^\[\]]*)?\)", re.DOTALL
)
_STRING: Final = r"""[uU]?(?:'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")"""
# A quote that opens nothing matches no alternative, so that a text is read once, whatever it holds.
_TOKEN: Final = re.compile(
    rf"(?P<element>(?:(?:np|numpy)\.)?str_\((?P<scalar>{_STRING})\)|{_STRING}|None|True|False)"
    r"|(?P<space>\s+)|[\w.+-]+|[^'\"\\\w\s]",
    re.DOTALL,
)


def is_null(value: object) -> bool:
    """Whether a value stands for none: None, NaN, or a text that spells either (`None`, `nan`, `null`, `<NA>`, ``)."""
    if isinstance(value, str):
        return value.strip().lower() in _NULLS
    return value is None or (isinstance(value, float) and math.isnan(value))


def parse_literal(value: object) -> object:
    """Undo str(), json.dumps() or numpy's printing: "['A. x', 'B. y']", "['A. x' 'B. y']", "[]", "True", "0.5", "None".

    What is no literal stays as it is. Nothing is evaluated, and a text too long for a literal is not even parsed.
    """
    if is_null(value):
        return None
    if not isinstance(value, str) or len(value) > _MAX_LITERAL_CHARS:
        return value
    text = value.strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # not JSON: Python's own spelling, or numpy's, is the other candidate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # "3D model" is prose, and no bad number
            return ast.literal_eval(_as_python(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return value


def _as_python(text: str) -> str:
    """A list as numpy prints it, `['A. x' 'B. y']` or `array([...], dtype=object)`, with its commas.

    Python reads two strings without a comma between them as one, and would fuse the elements. Raises ValueError where
    it is not certain that they are two.
    """
    if (array := _ARRAY.fullmatch(text)) is not None:
        text = array["listed"].strip()
    pieces: list[str] = []
    depth, at, was_element, was_space = 0, 0, False, False
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError("a text in it does not end")
        at = token.end()
        is_element = token["element"] is not None
        if is_element and was_element:
            if depth == 0 or not was_space:
                raise ValueError("it may be one text or two")
            pieces.append(",")
        was_space = token["space"] is not None
        was_element = is_element or (was_space and was_element)
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(token[0], 0)
        pieces.append(token["scalar"] or token[0])
    return "".join(pieces)

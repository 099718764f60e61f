r"""LaTeX as models and gold answers write it, in plain text: \boxed{\frac{1}{2}} -> 1/2, $90^\circ$ -> 90 degrees sign.

A rewriting of the commands that stand in answers, by regular expressions that cannot blow up: nothing is evaluated, and
what is not known stays as it is, so that it equals itself only.
"""

from __future__ import annotations

import re
from typing import Final

_DRESSED: Final = re.compile(r"[\\$]|\{[,.]\}")
_MAX_DEPTH: Final = 5  # \boxed{\text{\frac{...}{...}}} is 3
_DEGREE: Final = "\u00b0"
_GROUP: Final = r"\{([^{}]{0,200})\}"
_FONT: Final = re.compile(
    r"\\(?:boxed|fbox|text(?:bf|it|rm|sf|tt|normal)?|math(?:bf|rm|it|sf|tt)|mbox|operatorname)\s*" + _GROUP
)
_FRACTION: Final = re.compile(rf"\\[dtc]?frac\s*(?:{_GROUP}\s*{_GROUP}|(\d)\s*(\d)(?!\d))")
_ROOT: Final = re.compile(rf"\\sqrt\s*(?:{_GROUP}|(\d))")
_DEGREES: Final = re.compile(r"\^(?:\{ ?\\(?:circ|degree) ?\}|\\circ\b)|\\degree\b")
_DELIMITERS: Final = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_SYMBOLS: Final = {
    r"\times": "\u00d7",
    r"\cdot": "\u00b7",
    r"\approx": "\u2248",
    r"\sim": "~",
    r"\pi": "\u03c0",
    r"\infty": "\u221e",
    r"\left": "",
    r"\right": "",
    r"\quad": " ",
    r"\qquad": " ",
    r"\displaystyle": "",
}
_SYMBOL: Final = re.compile(r"\\[A-Za-z]+")
_ESCAPED: Final = re.compile(r"\\([%$#&_{}])")
_SPACE: Final = re.compile(r"\\[,;:! ]|(?<=.)~")
_GROUPED_COMMA: Final = re.compile(r"\{([,.])\}")  # 1{,}000
_PLAIN_NUMBER: Final = re.compile(r"\w+|-?\d+(?:\.\d+)?")


def plain_latex(text: str) -> str:
    """The text without the LaTeX that dresses it; a text without any is returned as it is. Linear time."""
    if not _DRESSED.search(text):
        return text
    for opening, closing in _DELIMITERS:
        inner = text.strip().removesuffix(".").strip()
        if len(inner) > len(opening + closing) and inner.startswith(opening) and inner.endswith(closing):
            body = inner[len(opening) : -len(closing)]
            if opening not in body and closing not in body:  # $3 and $4 is no formula
                text = body
    text = _GROUPED_COMMA.sub(r"\1", text)
    if "\\" not in text:
        return text
    text = _SPACE.sub(" ", _DEGREES.sub(_DEGREE, text))
    text = _SYMBOL.sub(lambda match: _SYMBOLS.get(match[0], match[0]), text)
    for _ in range(_MAX_DEPTH):
        undressed = _ROOT.sub(_write_root, _FRACTION.sub(_write_fraction, _FONT.sub(r"\1", text)))
        if undressed == text:
            break
        text = undressed
    return _ESCAPED.sub(r"\1", text).strip()


def _write_fraction(match: re.Match[str]) -> str:
    """A blank before it, so that 3\\frac{1}{2} is three and a half."""
    return f" {_bracket(match[1] or match[3])}/{_bracket(match[2] or match[4])}"


def _write_root(match: re.Match[str]) -> str:
    return f"\u221a{_bracket(match[1] or match[2])}"


def _bracket(part: str | None) -> str:
    """In brackets where it is more than a number."""
    part = (part or "").strip()
    return part if _PLAIN_NUMBER.fullmatch(part) else f"({part})"

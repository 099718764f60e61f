"""Numbers as people and models write them: 1,000 = 1000, 4.0 = 4, 1/2 = 0.5, 1.5e3, $12, 12 cm, 50%, 3 million.

A quantity is one number with at most one unit, as an exact fraction. Whatever holds a second number ("3 or 4", "10-12",
"7:30"), hedges ("more than 5") or lies outside the range of a double ("nan", "inf", "1e999") is not a quantity.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

MAX_QUANTITY_CHARS: Final = 400  # longer than any double written out
_MAX_DOUBLE: Final = Fraction(sys.float_info.max)
_MAX_EXPONENT: Final = 400

_SIGNS: Final = str.maketrans(
    dict.fromkeys("\u2212\u2012\u2013\u2014\ufe63\uff0d", "-") | {"\uff0b": "+", "\u2044": "/"}
)
_CURRENCY: Final = "$\u20ac\u00a3\u00a5\u20b9\u20a9"
_THIN_SPACES: Final = " \u00a0\u2009\u202f"
_NUMBER: Final = rf"""
    [1-9]\d{{0,2}}(?:,\d{{2,3}})*,\d{{3}}(?:\.\d*)?       # 1,234,567.8 and 12,34,567
  | [1-9]\d{{0,2}}(?:[{_THIN_SPACES}]\d{{3}})+(?:[.,]\d*)?  # 1 234 567
  | [1-9]\d{{0,2}}(?:\.\d{{3}})+,\d+                      # 1.234,5
  | [1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}                     # 1.234.567
  | \d+(?:[.,]\d*)?                                       # 12, 12.5, 12. and the decimal comma of 12,5
  | [.,]\d+                                               # .5
"""
_QUANTITY: Final = re.compile(
    rf"""
    (?:[A-Za-z]?\s*[=~\u2248]\s*)?                        # x =
    (?P<before>[-+{_CURRENCY}\s]{{0,6}})
    (?:
        (?:(?P<whole>\d+)\s+)?(?P<numerator>\d+)\s*/\s*(?P<denominator>\d+)
      | (?P<number>{_NUMBER})
        (?:[eE](?P<exponent>[-+]?\d{{1,4}})|\s*[x*\u00d7\u00b7]\s*10\s*(?:\^|\*\*)\s*\{{?(?P<power>[-+]?\d{{1,4}})\}}?)?
    )
    (?P<after>\D.{{0,40}})?
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_ATTACHED_SCALES: Final = {"k": 3, "K": 3, "M": 6, "B": 9}  # 12k, but 300 K is a temperature
_SECOND_NUMBER: Final = re.compile(r"(?<![^\W\d_])(?<!\^)(?<!\^-)\d")  # the 2 of cm2, m^2 and s^-1 is none
_NOT_UNITS: Final = frozenset(
    ("and", "or", "but", "not", "to", "than", "if", "plus", "minus", "times", "over", "by", "half", "dozen", "x")
)
_MAX_UNIT_WORDS: Final = 3


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact value and its unit: lower-case, singular, "%" for per cent, empty when there is none."""

    value: Fraction
    unit: str


def parse_quantity(text: str) -> Quantity | None:
    """The one number that this text states, or None. Never raises; bounded time on any string.

    A comma before three digits groups thousands (1,000), any other comma is a decimal comma (3,14; 0,500); where both
    signs occur, the last one is the decimal sign. A fraction of two integers is a number (1/2, 3 1/2).
    """
    text = text.strip()
    if not text or len(text) > MAX_QUANTITY_CHARS:
        return None
    if len(text) > 2 and text[0] == text[-1] == "$":  # a formula, not dollars
        text = text[1:-1]
    match = _QUANTITY.fullmatch(_plain(text))
    if match is None:
        return None
    value = _value(match)
    tail = _unit(match["after"] or "")
    if value is None or tail is None:
        return None
    unit, scale = tail
    signs = match["before"].count("-") + match["before"].count("+")
    currencies = [sign for sign in match["before"] if sign in _CURRENCY]
    if signs > 1 or len(currencies) > 1 or (currencies and unit):
        return None
    value *= 10**scale * (-1 if "-" in match["before"] else 1)
    return Quantity(value, unit or "".join(currencies)) if abs(value) <= _MAX_DOUBLE else None


def same_scale(left: Quantity, right: Quantity) -> list[tuple[Fraction, Fraction]]:
    """The ways in which two quantities can be compared; empty when both name a unit and the units differ.

    A missing unit agrees with any. A per cent sign that only one side has may be a unit (50% and 50) or a hundredth
    (50% and 0.5), so there are two ways.
    """
    if left.unit and right.unit and left.unit != right.unit:
        return []
    ways = [(left.value, right.value)]
    if left.unit == "%" and not right.unit:
        ways.append((left.value / 100, right.value))
    if right.unit == "%" and not left.unit:
        ways.append((left.value, right.value / 100))
    return ways


def _plain(text: str) -> str:
    """Digits of any script, dashes and vulgar fractions in ASCII; superscripts stay, 10^3 written small is not 103."""
    if text.isascii():
        return text
    plain = []
    for character in text.translate(_SIGNS):
        if character.isdecimal():
            plain.append(str(unicodedata.decimal(character)))
        elif unicodedata.decomposition(character).startswith("<fraction>"):
            plain.append(" " + unicodedata.normalize("NFKD", character).translate(_SIGNS))
        else:
            plain.append(character)
    return "".join(plain).strip()


def _value(match: re.Match[str]) -> Fraction | None:
    """The number of a match without its sign; None when it has no finite value."""
    if match["denominator"]:
        if not int(match["denominator"]):
            return None
        return int(match["whole"] or 0) + Fraction(int(match["numerator"]), int(match["denominator"]))
    exponent = int(match["exponent"] or match["power"] or 0)
    if abs(exponent) > _MAX_EXPONENT:
        return None
    digits = re.sub(rf"[{_THIN_SPACES}]", "", match["number"])
    thousands = re.fullmatch(r"[1-9]\d{0,2}(,\d{2,3})*,\d{3}(\.\d*)?", digits)
    if thousands:
        digits = digits.replace(",", "")
    elif "," in digits:
        digits = digits.replace(".", "").replace(",", ".")
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    return Fraction(f"0{digits}") * Fraction(10) ** exponent


def _unit(after: str) -> tuple[str, int] | None:
    """The unit after a number and the power of ten that a scale word brings; None when this is no unit."""
    attached = after[:1].isalpha()
    unit = after.strip().rstrip(".,;:!").strip()
    if not unit:
        return "", 0
    if attached and unit in _ATTACHED_SCALES:
        return "", _ATTACHED_SCALES[unit]
    head, *rest = unit.lstrip("-").split()
    if head.lower() in _SCALES:
        unit = " ".join(rest)
        return unit.lower(), _SCALES[head.lower()]
    if not (unit[0].isalpha() or unit[0] in f"%\u00b0\u2032\u2033'\"{_CURRENCY}") or _SECOND_NUMBER.search(unit):
        return None
    named = unit.lower().replace("per cent", "%").replace("percent", "%").split()
    if len(named) > _MAX_UNIT_WORDS or not _NOT_UNITS.isdisjoint(named):
        return None
    name = " ".join(named)
    return name.removesuffix("s") if len(name) > 3 else name, 0

"""Numbers as people and models write them: 1,000 = 1000, 4.0 = 4, 1/2 = 0.5, 1.5e3, $12, 12 cm, 50%, 3 million, four.

A quantity is one number with at most one unit, as an exact fraction. Whatever holds a second number ("3 or 4", "10-12",
"7:30"), hedges ("more than 5") or lies outside the range of a double ("nan", "inf", "1e999") is not a quantity.
What leads up to a number, as in "The answer is 4" and "about 4", belongs to an answer and not to a quantity.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from curation.scoring.latex import plain_latex
from curation.scoring.number_words import NUMBER_WORDS, read_number_words
from curation.scoring.units import conversion, name_unit

MAX_QUANTITY_CHARS: Final = 400  # longer than any double written out
_MAX_DOUBLE: Final = Fraction(sys.float_info.max)
_MAX_EXPONENT: Final = 400
_TENTH: Final = Fraction(1, 10)
_HUNDREDTH: Final = Fraction(1, 100)

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
    (?:[A-Za-z\u0370-\u03ff]{{0,12}}\s*[=~\u2248]\s*)?       # x =
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
_MINUS: Final = re.compile(r"(?:minus|negative)\s+|-\s*", re.IGNORECASE)
_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_ATTACHED_SCALES: Final = {"k": 3, "K": 3, "M": 6, "B": 9}  # 12k, but 300 K is a temperature
_SECOND_NUMBER: Final = re.compile(r"(?<![^\W\d_])(?<!\^)(?<!\^-)\d")  # the 2 of cm2, m^2 and s^-1 is none
_NOT_UNITS: Final = frozenset(
    (
        *("and", "or", "but", "not", "to", "than", "if", "plus", "minus", "times", "over", "by", "half", "dozen", "x"),
        *(
            "at",
            "least",
            "most",
            "more",
            "less",
            "fewer",
            "maybe",
            "perhaps",
            "probably",
            "possibly",
            "nearly",
            "almost",
        ),
        *NUMBER_WORDS,
    )
)
_MAX_UNIT_WORDS: Final = 3
_WHERE: Final = re.compile(
    r"\s+(?:in (?:the |this )?(?:video|image|picture|photo|scene|clip|figure|frame)|in total|in all|altogether)\s*\.?$",
    re.IGNORECASE,
)
_REPEATED: Final = re.compile(r"([^()]+)\(([^()]+)\)\.?")
_PAIRS: Final = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "`": "`", "*": "*", "_": "_", "(": ")"}
# "The answer is", "There are", "about", and both: what may stand before a number in an answer.
_LEAD: Final = re.compile(
    r"(?:(?:(?:so|thus|therefore|hence),?\s+)?"
    r"(?:(?:(?:the|my)\s+)?(?:(?:correct|final|right|total)\s+)?(?:answer|result|value|number|total|count|sum)"
    r"(?:\s*(?::|=)|\s+(?:is|would be|equals)(?:\s*:)?(?!\w))"
    r"|(?:it|that|this|there|they)(?:\s+(?:is|are)|'s)|i (?:count|see|counted))\s*)?"
    r"(?:(?:exactly|precisely|a total of|equal to|about|around|roughly|approximately|approx\.?|circa|ca\.)\s+)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact value and its unit: a symbol of units.py, else lower-case and singular; empty when there is none.

    step: the place value of the last digit that is written, 0 for fractions and number words, which are exact.
    num_digits: the significant ones that are written.
    """

    value: Fraction
    unit: str
    step: Fraction = Fraction(0)
    num_digits: int = 0

    def scaled(self, factor: Fraction) -> Quantity:
        """The same quantity counted in another unit."""
        return Quantity(self.value * factor, self.unit, self.step * factor, self.num_digits)

    def rounds_off(self, other: Quantity) -> bool:
        """Whether this is the other one, rounded to the digits that are given here.

        Three significant digits with one decimal, or two with two decimals: fewer say too little, and an integer is
        itself.
        """
        is_fine = (self.num_digits >= 3 and self.step <= _TENTH) or (self.num_digits >= 2 and self.step <= _HUNDREDTH)
        return self.step > 0 and is_fine and abs(self.value - other.value) <= self.step / 2


def parse_stated(text: str) -> Quantity | None:
    """The one number that an answer states: as `parse_quantity`, or with words before it that add nothing."""
    quantity = parse_quantity(text)
    if quantity is not None or len(text) > MAX_QUANTITY_CHARS:
        return quantity
    text = _undress(text)
    lead = _LEAD.match(text)
    stated = _WHERE.sub("", text[lead.end() :] if lead else text).strip()
    if repeated := _REPEATED.fullmatch(stated):  # 4 (four)
        first, second = map(parse_quantity, repeated.groups())
        return first if first and second and same_quantity(first, second) else None
    return parse_quantity(stated.rstrip(".")) if stated != text else None


def parse_quantity(text: str) -> Quantity | None:
    """The one number that this text is, or None. Never raises; bounded time on any string.

    A comma before three digits groups thousands (1,000), any other comma is a decimal comma (3,14; 0,500); where both
    signs occur, the last one is the decimal sign. A fraction of two integers is a number (1/2, 3 1/2).
    """
    if len(text) > MAX_QUANTITY_CHARS:
        return None
    text = _undress(text)
    match = _QUANTITY.fullmatch(_plain(text))
    return _from_words(text) if match is None else _from_digits(match)


def parse_tuple(text: str) -> list[Quantity] | None:
    """Two or more numbers in brackets: (1, 2), (1,2), [0.5; 1,000]; None for anything else."""
    text = plain_latex(text[: MAX_QUANTITY_CHARS + 1]).strip().rstrip(".")
    if len(text) > MAX_QUANTITY_CHARS or (text[:1], text[-1:]) not in (("(", ")"), ("[", "]"), ("{", "}")):
        return None
    separator = next((sign for sign in (";", ", ", ",") if sign in text), None)
    if separator is None:
        return None
    quantities = [parse_quantity(part) for part in text[1:-1].split(separator)]
    known = [quantity for quantity in quantities if quantity is not None]
    return known if len(known) == len(quantities) else None


def _from_digits(match: re.Match[str]) -> Quantity | None:
    value = _value(match)
    tail = _unit(match["after"] or "")
    if value is None or tail is None:
        return None
    unit, scale = tail
    signs = match["before"].count("-") + match["before"].count("+")
    currencies = [sign for sign in match["before"] if sign in _CURRENCY]
    if signs > 1 or len(currencies) > 1 or (currencies and unit):
        return None
    factor = Fraction(10) ** scale * (-1 if "-" in match["before"] else 1)
    return _finite(value.scaled(factor), unit or "".join(currencies))


def _from_words(text: str) -> Quantity | None:
    """four, minus twenty-one degrees, two and a half meters."""
    negative = _MINUS.match(text)
    found = read_number_words(text[negative.end() :] if negative else text)
    tail = _unit(found[1]) if found else None
    if found is None or tail is None:
        return None
    unit, scale = tail
    value = found[0] * 10**scale
    return Quantity(-value if negative else value, unit)


def _finite(quantity: Quantity, unit: str) -> Quantity | None:
    if abs(quantity.value) > _MAX_DOUBLE:
        return None
    return Quantity(quantity.value, unit, abs(quantity.step), quantity.num_digits)


def _undress(text: str) -> str:
    """Without LaTeX, emphasis, and one pair of quotes or brackets around the whole."""
    text = plain_latex(text.strip()).strip()
    if text.startswith("**"):
        text = text.strip("*").strip()
    if len(text) > 2 and _PAIRS.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    return text


def same_scale(left: Quantity, right: Quantity) -> list[tuple[Quantity, Quantity]]:
    """The ways in which two quantities can be compared; empty when they name units of different things.

    A missing unit agrees with any. A per cent sign that only one side has may be a unit (50% and 50) or a hundredth
    (50% and 0.5), so there are two ways.
    """
    if left.unit and right.unit:
        factor = conversion(left.unit, right.unit)
        return [] if factor is None else [(left.scaled(factor), right)]
    ways = [(left, right)]
    if left.unit == "%" and not right.unit:
        ways.append((left.scaled(_HUNDREDTH), right))
    if right.unit == "%" and not left.unit:
        ways.append((left, right.scaled(_HUNDREDTH)))
    return ways


def same_quantity(answer: Quantity, gold: Quantity) -> bool:
    """Whether an answer is the gold number, in any of its units, or one of them is the other rounded off.

    A gold that is rounded off has at least two decimals: 12.5 may be meant as it stands, and then 12.46 is wrong.
    """
    return any(
        given.value == wanted.value
        or given.rounds_off(wanted)
        or (wanted.step <= _HUNDREDTH and wanted.rounds_off(given))
        for given, wanted in same_scale(answer, gold)
    )


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


def _value(match: re.Match[str]) -> Quantity | None:
    """The number of a match without sign and unit; None when it has no finite value."""
    if match["denominator"]:
        if not int(match["denominator"]):
            return None
        return Quantity(int(match["whole"] or 0) + Fraction(int(match["numerator"]), int(match["denominator"])), "")
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
    scale = Fraction(10) ** exponent
    num_decimals = len(digits.partition(".")[2])
    num_digits = len(digits.replace(".", "").lstrip("0"))
    return Quantity(Fraction(f"0{digits}") * scale, "", scale / 10**num_decimals, num_digits)


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
        return name_unit(" ".join(rest).lower()), _SCALES[head.lower()]
    if not (unit[0].isalpha() or unit[0] in f"%\u00b0\u2032\u2033'\"{_CURRENCY}") or _SECOND_NUMBER.search(unit):
        return None
    named = unit.lower().replace("per cent", "%").replace("percent", "%").split()
    if len(named) > _MAX_UNIT_WORDS or not _NOT_UNITS.isdisjoint(named):
        return None
    return name_unit(" ".join(named)), 0

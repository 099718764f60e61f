"""Units of measurement as people write them: "centimeters" is cm, "meters per second" is m/s, 120 mm are 12 cm.

A table instead of a unit library: it has what questions about pictures and videos ask for, converts exactly, and
evaluates nothing. What is not in the table ("people", "cars") equals itself only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

DEGREE: Final = "\u00b0"

# dimension -> symbol -> (in the base unit, spellings in the singular)
_TABLE: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "length": {
        "m": ("1", "meter metre"),
        "nm": ("1e-9", "nanometer nanometre"),
        "um": ("1e-6", "micrometer micrometre micron \u00b5m \u03bcm"),
        "mm": ("1e-3", "millimeter millimetre mms"),
        "cm": ("1e-2", "centimeter centimetre cms"),
        "dm": ("1e-1", "decimeter decimetre"),
        "km": ("1e3", "kilometer kilometre kms"),
        "in": ("0.0254", 'inch " \u2033 \u201d'),
        "ft": ("0.3048", "foot feet ' \u2032 \u2019"),
        "yd": ("0.9144", "yard yds"),
        "mi": ("1609.344", "mile"),
    },
    "mass": {
        "g": ("1", "gram gramme gm"),
        "mg": ("1e-3", "milligram"),
        "kg": ("1e3", "kilogram kilo kgs"),
        "t": ("1e6", "tonne"),
        "oz": ("28.349523125", "ounce"),
        "lb": ("453.59237", "pound lbs"),
    },
    "time": {
        "s": ("1", "second sec"),
        "ms": ("1e-3", "millisecond msec"),
        "min": ("60", "minute"),
        "h": ("3600", "hour hr hrs"),
        "day": ("86400", ""),
        "week": ("604800", ""),
    },
    "volume": {"l": ("1", "liter litre"), "ml": ("1e-3", "milliliter millilitre"), "cl": ("1e-2", "centiliter")},
    "angle": {DEGREE: ("1", "degree deg")},
    "dollar": {"$": ("1", "dollar usd us$")},
    "euro": {"\u20ac": ("1", "euro eur")},
    "sterling": {"\u00a3": ("1", "gbp quid")},
    "yen": {"\u00a5": ("1", "yen jpy")},
    "celsius": {f"{DEGREE}c": ("1", f"celsius centigrade {DEGREE}celsius {DEGREE}centigrade")},
    "fahrenheit": {f"{DEGREE}f": ("1", f"fahrenheit {DEGREE}fahrenheit")},
}
_SCALES: Final = {
    symbol: (dimension, Fraction(factor))
    for dimension, symbols in _TABLE.items()
    for symbol, (factor, _) in symbols.items()
}
_SYMBOLS: Final = {
    spelling: symbol
    for symbols in _TABLE.values()
    for symbol, (_, spellings) in symbols.items()
    for spelling in (symbol, *spellings.split())
} | {"mph": "mi/h", "kph": "km/h", "kmh": "km/h", "mps": "m/s", "fps": "frame/s", "person": "people"}
_POWER: Final = re.compile(r"(?P<unit>.*?[^\W\d_])\^?(?P<power>[23])")
_IN_WORDS: Final = re.compile(
    r"(?P<power>square|sq\.?|cubic|cu\.?)\s+(?P<unit>.+)|(?P<base>.+)\s+(?P<raised>squared|cubed)"
)
_ES: Final = re.compile(r"(?<=x)es|(?<=[cs]h)es|(?<=ss)es")


@lru_cache(maxsize=1 << 12)
def name_unit(text: str) -> str:
    """A unit by its symbol where the table has it, else in the singular. `text` is in small letters and short."""
    text = text.replace("\u00b2", "^2").replace("\u00b3", "^3").replace(f"{DEGREE} ", DEGREE)
    above, slash, below = text.replace(" per ", "/").partition("/")
    if slash:
        return f"{name_unit(above.strip())}/{name_unit(below.strip())}"
    if words := _IN_WORDS.fullmatch(text):
        power = "2" if (words["power"] or words["raised"]).startswith("sq") else "3"
        return f"{name_unit(words['unit'] or words['base'])}^{power}"
    if (raised := _POWER.fullmatch(text)) and raised["unit"] in _SYMBOLS:
        return f"{_SYMBOLS[raised['unit']]}^{raised['power']}"
    singular = " ".join(map(_singular, text.split()))
    if singular.startswith("degree "):
        singular = f"{DEGREE}{singular.removeprefix('degree ')}"
    return _SYMBOLS.get(text) or _SYMBOLS.get(singular, singular)


def conversion(unit: str, wanted: str) -> Fraction | None:
    """How many of `wanted` are one of `unit`, both as `name_unit` gives them; None when they measure other things."""
    if unit == wanted:
        return Fraction(1)
    (dimension, factor), (wanted_dimension, wanted_factor) = _scale(unit), _scale(wanted)
    return factor / wanted_factor if dimension and dimension == wanted_dimension else None


def _scale(unit: str) -> tuple[str, Fraction]:
    """(dimension, size in its base unit); no dimension for a unit that is not in the table."""
    above, slash, below = unit.partition("/")
    if slash:
        (dimension, factor), (per, divisor) = _scale(above), _scale(below)
        return (f"{dimension}/{per}", factor / divisor) if dimension and per else ("", Fraction(1))
    base, _, power = unit.partition("^")
    dimension, factor = _SCALES.get(base, ("", Fraction(1)))
    if not power or not dimension:
        return dimension, factor
    return f"{dimension}^{power}", factor ** int(power)


def _singular(word: str) -> str:
    """Of longer words; the "s" of "ms" and "bus" is none of the plural. "celsius" is its own singular."""
    if len(word) <= 3 or word.endswith("sius"):
        return word
    return _ES.sub("", word) if _ES.search(word) else word.removesuffix("s")

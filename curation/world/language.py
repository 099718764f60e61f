"""Facts into sentences and back: `state` and `read_facts` are inverses.

A sentence states a fact only when all of it has the form of one of these wordings: "the red circle moves about" states
nothing, and "it is false that the red circle moves to the left." neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from curation.world.queries import MOTION_PHRASES
from curation.world.scenes import (
    COLOURS,
    FORMS,
    PLACES,
    SIZES,
    AllApart,
    Apart,
    Centre,
    Fact,
    Moves,
    Ref,
    Seen,
    Touch,
    Turns,
    Written,
)

_STILL: Final = "still"
_DIRECTION_OF: Final = {phrase: direction for direction, phrase in MOTION_PHRASES.items()}
_WORDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "seen": (
        "There is a {size} {shape} in the {place} part.",
        "The {place} part holds a {size} {shape}.",
        "I can see a {size} {shape} at the {place}.",
        "In the {place} area stands a {size} {shape}.",
    ),
    "moves": (
        "The {shape} moves {direction}.",
        "The {shape} drifts {direction}.",
        "Frame by frame, the {shape} travels {direction}.",
        "The {shape} glides {direction} at an even pace.",
    ),
    "still": (
        "The {shape} stays in one place.",
        "The {shape} does not move at all.",
        "From first to last, the {shape} keeps its position.",
        "The {shape} remains where it is.",
    ),
    "turns": (
        "Half-way through, the {shape} turns {colour}.",
        "The {shape} changes its colour to {colour}.",
        "The {shape} becomes {colour} in the second half.",
    ),
    "touch": (
        "The {shape} collides with the {other} about {time} seconds in.",
        "About {time} seconds in, the {shape} and the {other} touch and come to rest.",
        "The {shape} meets the {other} after about {time} seconds.",
    ),
    "apart": (
        "The {shape} and the {other} never touch.",
        "The {shape} keeps clear of the {other}.",
        "Between the {shape} and the {other} there is always a gap.",
    ),
    "all_apart": (
        "No two shapes touch each other.",
        "All the shapes keep clear of each other.",
        "None of the shapes ever meet.",
    ),
    "centre": (
        "The {shape} has its centre at x = {x}, y = {y}.",
        "The centre of the {shape} lies at x = {x} and y = {y}.",
        "The middle of the {shape} is at x = {x}, y = {y}.",
    ),
    "written": (
        'The text reads "{words}", in {ink} letters.',
        'In {ink} letters it says "{words}".',
        'The words "{words}" are written in {ink}.',
    ),
}
_NAME: Final = rf"(?:{'|'.join(COLOURS)}) (?:{'|'.join(FORMS)})"
_SLOTS: Final[Mapping[str, str]] = {
    "shape": _NAME,
    "other": _NAME,
    "size": "|".join(SIZES),
    "place": "|".join(PLACES),
    "direction": "|".join(MOTION_PHRASES.values()),
    "colour": "|".join(COLOURS),
    "ink": "|".join(COLOURS),
    "time": r"\d+(?:\.\d+)?",
    "x": r"\d+",
    "y": r"\d+",
    "words": r"[A-Z]+(?: [A-Z]+)*",
}


def state(fact: Fact, wording: int) -> str:
    """One sentence for one fact; `wording` picks how it is said."""
    name, slots = _slots_of(fact)
    wordings = _WORDINGS[name]
    return wordings[wording % len(wordings)].format_map(slots)


def read_facts(text: str) -> tuple[Fact, ...]:
    """The facts that a text states, in order."""
    facts = (_read_sentence(sentence) for sentence in re.split(r"(?<=[.!?])\s+", text.strip()))
    return tuple(fact for fact in facts if fact is not None)


def _slots_of(fact: Fact) -> tuple[str, dict[str, str]]:
    match fact:
        case Seen(shape, size, place):
            return "seen", {"shape": shape.bare, "size": size, "place": place}
        case Moves(shape, motion) if motion == _STILL:
            return "still", {"shape": shape.bare}
        case Moves(shape, motion):
            return "moves", {"shape": shape.bare, "direction": MOTION_PHRASES[motion]}
        case Turns(shape, colour):
            return "turns", {"shape": shape.bare, "colour": colour}
        case Touch(first, second, time_s):
            return "touch", {"shape": first.bare, "other": second.bare, "time": f"{time_s:g}"}
        case Apart(first, second):
            return "apart", {"shape": first.bare, "other": second.bare}
        case AllApart():
            return "all_apart", {}
        case Centre(shape, x, y):
            return "centre", {"shape": shape.bare, "x": str(x), "y": str(y)}
        case Written(words, ink):
            return "written", {"words": words, "ink": ink}


_FACT_OF: Final[Mapping[str, Callable[[Mapping[str, str]], Fact]]] = {
    "seen": lambda slots: Seen(_ref(slots["shape"]), slots["size"], slots["place"]),
    "still": lambda slots: Moves(_ref(slots["shape"]), _STILL),
    "moves": lambda slots: Moves(_ref(slots["shape"]), _DIRECTION_OF[slots["direction"]]),
    "turns": lambda slots: Turns(_ref(slots["shape"]), slots["colour"]),
    "touch": lambda slots: Touch(_ref(slots["shape"]), _ref(slots["other"]), float(slots["time"])),
    "apart": lambda slots: Apart(_ref(slots["shape"]), _ref(slots["other"])),
    "all_apart": lambda slots: AllApart(),
    "centre": lambda slots: Centre(_ref(slots["shape"]), int(slots["x"]), int(slots["y"])),
    "written": lambda slots: Written(slots["words"], slots["ink"]),
}


def _ref(bare: str) -> Ref:
    colour, form = bare.split()
    return Ref(colour, form)


def _pattern(wording: str) -> str:
    return re.sub(r"\\\{(\w+)\\\}", lambda slot: rf"(?P<{slot[1]}>{_SLOTS[slot[1]]})", re.escape(wording))


_PATTERNS: Final = [
    (name, re.compile(_pattern(wording))) for name, wordings in _WORDINGS.items() for wording in wordings
]


def _read_sentence(sentence: str) -> Fact | None:
    for name, pattern in _PATTERNS:
        if match := pattern.fullmatch(sentence):
            return _FACT_OF[name](match.groupdict())
    return None

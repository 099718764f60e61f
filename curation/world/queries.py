"""What can be asked of a scene, and what follows from a set of facts.

`derive` is the one meaning of each question: the world takes the gold answer from all the facts of the scene, the judge
takes what follows from the facts that an observation states. It returns None where nothing follows, be it that a fact
is missing or that two contradict each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from curation.world.scenes import (
    COLOURS,
    DIRECTIONS,
    FORMS,
    PLACES,
    AllApart,
    Apart,
    Centre,
    Fact,
    Moves,
    Ref,
    Scene,
    Seen,
    Touch,
    Turns,
    Written,
    facts_of,
    name_of,
)

MOTION_PHRASES: Final = {
    "left": "to the left",
    "right": "to the right",
    "up": "upwards",
    "down": "downwards",
}
_T = TypeVar("_T")
_NO_REF: Final = Ref()
_MIN_SIDE_PX: Final = 12  # "left of" is asked only where it can be seen


@dataclass(frozen=True, slots=True)
class Query:
    """A question in parts. `a` and `b` are the shapes asked about; for counts, `a` says which are counted."""

    kind: str
    a: Ref = _NO_REF
    b: Ref = _NO_REF


Facts = Collection[Fact]


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of question.

    wordings: slots {a} {b} (the red circle), {many} (red shapes), {medium} (image, video).
    topic: what has to be noticed. choices: the vocabulary of options, empty where it is made from the scene.
    """

    name: str
    problem_types: tuple[str, ...]
    data_types: tuple[str, ...]
    wordings: tuple[str, ...]
    topic: str
    derive: Callable[[Query, Facts], str | None]
    choices: tuple[str, ...] = ()


def derive(query: Query, facts: Facts) -> str | None:
    """The answer that follows from the facts, in words; None when none does."""
    return KINDS[query.kind].derive(query, facts)


def render_query(query: Query, data_type: str, wording: int) -> str:
    """The question's text."""
    kind = KINDS[query.kind]
    return fill(kind.wordings[wording % len(kind.wordings)], query, data_type)


def parse_query(problem: str) -> Query | None:
    """The inverse of `render_query`; None when the text is no question of this world."""
    for kind, pattern in _PATTERNS:
        if match := pattern.fullmatch(problem.strip()):
            slots = match.groupdict()
            many = slots.get("many")
            first = Ref(*_parse_bare(many.removesuffix("s"))) if many else _parse_name(slots.get("a"))
            return Query(kind, first, _parse_name(slots.get("b")))
    return None


def fill(text: str, query: Query, data_type: str) -> str:
    """Put a query's shapes into a text with slots."""
    filled = text.format(a=query.a, b=query.b, many=f"{query.a.bare}s", medium=data_type)
    return filled[0].upper() + filled[1:]


def queries_about(scene: Scene) -> Iterator[tuple[Query, str]]:
    """Every query that has an answer in this scene, with that answer."""
    facts = facts_of(scene)
    names = [name_of(shape) for shape in scene.shapes]
    for kind in KINDS.values():
        if scene.data_type in kind.data_types:
            for a, b in _arguments(kind, names):
                query = Query(kind.name, a, b)
                if (answer := derive(query, facts)) is not None:
                    yield query, answer


def _arguments(kind: Kind, names: list[Ref]) -> list[tuple[Ref, Ref]]:
    slots = kind.wordings[0]
    if "{many}" in slots:
        forms = [Ref(form=form) for form in dict.fromkeys(name.form for name in names)]
        colours = [Ref(colour=colour) for colour in dict.fromkeys(name.colour for name in names)]
        return [(ref, Ref()) for ref in (Ref(), *forms, *(colours if kind.name == "count_image" else ()))]
    if "{b}" in slots:
        return [(a, b) for a in names for b in names if a != b]
    if kind.name == "colour":
        return [(Ref(form=name.form), Ref()) for name in names]
    if kind.name == "form":
        return [(Ref(colour=name.colour), Ref()) for name in names]
    return [(name, Ref()) for name in names] if "{a}" in slots else [(Ref(), Ref())]


def names_in(facts: Facts) -> list[Ref]:
    """The distinct shapes that the facts mention."""
    names: dict[Ref, None] = {}
    for fact in facts:
        match fact:
            case Seen() | Moves() | Turns() | Centre():
                names[fact.shape] = None
            case Touch() | Apart():
                names.update({fact.first: None, fact.second: None})
    return list(names)


def _named(ref: Ref, facts: Facts) -> Ref | None:
    """The one shape that `ref` can mean."""
    return _only(name for name in names_in(facts) if ref.matches(name))


def _only(values: Iterator[_T]) -> _T | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _motion(query: Query, facts: Facts) -> str | None:
    name = _named(query.a, facts)
    return _only(fact.motion for fact in facts if isinstance(fact, Moves) and fact.shape == name)


def _direction(query: Query, facts: Facts) -> str | None:
    motion = _motion(query, facts)
    return None if motion == "still" else motion


def _motion_text(query: Query, facts: Facts) -> str | None:
    motion = _motion(query, facts)
    if motion is None:
        return None
    phrase = "stays in one place" if motion == "still" else f"moves {MOTION_PHRASES[motion]}"
    return f"{_capital(query.a)} {phrase}."


def _colour(query: Query, facts: Facts) -> str | None:
    name = _named(query.a, facts)
    turns = any(isinstance(fact, Turns) and fact.shape == name for fact in facts)
    return None if name is None or turns else name.colour


def _form(query: Query, facts: Facts) -> str | None:
    name = _named(query.a, facts)
    return None if name is None else name.form


def _final_colour(query: Query, facts: Facts) -> str | None:
    name = _named(query.a, facts)
    return _only(fact.colour for fact in facts if isinstance(fact, Turns) and fact.shape == name)


def _touches(name: Ref | None, facts: Facts) -> Iterator[Ref]:
    for fact in facts:
        if isinstance(fact, Touch) and name in (fact.first, fact.second):
            yield fact.second if fact.first == name else fact.first


def _partner(query: Query, facts: Facts) -> str | None:
    partner = _only(_touches(_named(query.a, facts), facts))
    return None if partner is None else str(partner)


def _touch(query: Query, facts: Facts) -> str | None:
    pair = {query.a, query.b}
    together = any(isinstance(fact, Touch) and {fact.first, fact.second} == pair for fact in facts)
    apart = any(isinstance(fact, Apart) and {fact.first, fact.second} == pair for fact in facts)
    apart = apart or AllApart() in facts
    return None if together == apart else "Yes" if together else "No"


def _touch_time(query: Query, facts: Facts) -> str | None:
    pair = {query.a, query.b}
    time_s = _only(fact.time_s for fact in facts if isinstance(fact, Touch) and {fact.first, fact.second} == pair)
    return None if time_s is None else f"{time_s:g}"


def _num_touches(query: Query, facts: Facts) -> str | None:
    pairs = {frozenset((fact.first, fact.second)) for fact in facts if isinstance(fact, Touch)}
    none = AllApart() in facts
    return None if bool(pairs) == none else str(len(pairs))


def _num_moving(query: Query, facts: Facts) -> str | None:
    motions = {fact.shape: fact.motion for fact in facts if isinstance(fact, Moves)}
    return str(sum(motion != "still" for motion in motions.values())) if motions else None


def _count(query: Query, facts: Facts) -> str | None:
    num = sum(query.a.matches(name) for name in names_in(facts))
    return str(num) if num else None


def _centre(ref: Ref, facts: Facts) -> Centre | None:
    name = _named(ref, facts)
    return _only(fact for fact in facts if isinstance(fact, Centre) and fact.shape == name)


def _left_of(query: Query, facts: Facts) -> str | None:
    a, b = _centre(query.a, facts), _centre(query.b, facts)
    if a is None or b is None or abs(a.x - b.x) < _MIN_SIDE_PX:
        return None
    return "Yes" if a.x < b.x else "No"


def _distance(query: Query, facts: Facts) -> str | None:
    a, b = _centre(query.a, facts), _centre(query.b, facts)
    return None if a is None or b is None else str(round(math.dist((a.x, a.y), (b.x, b.y))))


def _place(query: Query, facts: Facts) -> str | None:
    name = _named(query.a, facts)
    return _only(fact.place for fact in facts if isinstance(fact, Seen) and fact.shape == name)


def _place_text(query: Query, facts: Facts) -> str | None:
    place = _place(query, facts)
    return None if place is None else f"{_capital(query.a)} is in the {place} part of the image."


def _event_text(query: Query, facts: Facts) -> str | None:
    """Only shapes with one event are asked about: which of two to tell would be a matter of taste."""
    partner, colour = _partner(query, facts), _final_colour(query, facts)
    if (partner is None) == (colour is None):
        return None
    return f"{_capital(query.a)} {f'turns {colour}' if partner is None else f'collides with {partner}'}."


def _words(query: Query, facts: Facts) -> str | None:
    return _only(fact.words for fact in facts if isinstance(fact, Written))


def _num_words(query: Query, facts: Facts) -> str | None:
    words = _words(query, facts)
    return None if words is None else str(len(words.split()))


def _ink(query: Query, facts: Facts) -> str | None:
    return _only(fact.ink for fact in facts if isinstance(fact, Written))


def _capital(ref: Ref) -> str:
    return str(ref).capitalize()


_MC: Final = ("multiple choice",)
_VIDEO: Final = ("video",)
_IMAGE: Final = ("image",)
_BOTH: Final = ("image", "video")
_NUMBERS: Final = ("1", "2", "3", "4", "5", "6")
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "direction",
            _MC,
            _VIDEO,
            ("In which direction does {a} move?", "Which way is {a} moving in the video?"),
            "which way {a} goes",
            _direction,
            DIRECTIONS,
        ),
        Kind(
            "colour",
            _MC,
            _BOTH,
            ("What colour is {a}?", "Which colour does {a} in the {medium} have?"),
            "what colour {a} has",
            _colour,
            COLOURS,
        ),
        Kind(
            "form",
            _MC,
            _BOTH,
            ("Which form does {a} have?", "What kind of shape is {a} in the {medium}?"),
            "what form {a} has",
            _form,
            FORMS,
        ),
        Kind(
            "final_colour",
            _MC,
            _VIDEO,
            ("Which colour does {a} have at the end of the video?", "What colour does {a} turn?"),
            "how the colour of {a} changes over time",
            _final_colour,
            COLOURS,
        ),
        Kind(
            "partner",
            _MC,
            _VIDEO,
            ("Which shape does {a} collide with?", "What does {a} run into?"),
            "what {a} meets on its way",
            _partner,
        ),
        Kind(
            "touch",
            _MC,
            _VIDEO,
            ("Do {a} and {b} collide?", "Does a collision between {a} and {b} happen?"),
            "whether {a} and {b} ever meet",
            _touch,
            ("Yes", "No"),
        ),
        Kind(
            "left_of",
            _MC,
            _IMAGE,
            ("Is {a} further to the left than {b}?", "Does {a} lie to the left of {b}?"),
            "where {a} and {b} lie",
            _left_of,
            ("Yes", "No"),
        ),
        Kind(
            "place",
            _MC,
            _BOTH,
            ("In which part of the {medium} is {a} at first?", "Which part of the frame does {a} begin in?"),
            "in which part {a} is",
            _place,
            PLACES,
        ),
        Kind(
            "ink",
            _MC,
            _IMAGE,
            ("In which colour are the words written?", "What colour do the letters have?"),
            "what colour the letters have",
            _ink,
            COLOURS,
        ),
        Kind(
            "count_image",
            ("numerical", "multiple choice"),
            _IMAGE,
            ("How many {many} are there in the image?", "Count the {many} in the image."),
            "which {many} there are, one by one",
            _count,
            _NUMBERS,
        ),
        Kind(
            "count_video",
            ("numerical", "multiple choice"),
            _VIDEO,
            ("How many {many} are there in the video?", "Count the {many} that the video shows."),
            "which {many} there are, one by one",
            _count,
            _NUMBERS,
        ),
        Kind(
            "num_moving",
            ("numerical",),
            _VIDEO,
            ("How many shapes move in the video?", "How many of the shapes change their position?"),
            "which of the shapes move and which do not",
            _num_moving,
        ),
        Kind(
            "num_touches",
            ("numerical",),
            _VIDEO,
            ("How many collisions happen in the video?", "How often do two shapes collide in the video?"),
            "which shapes meet, if any",
            _num_touches,
        ),
        Kind(
            "num_words",
            ("numerical",),
            _IMAGE,
            ("How many words are written in the image?", "Count the words in the image."),
            "which words are written",
            _num_words,
        ),
        Kind(
            "read",
            ("OCR",),
            _IMAGE,
            ("What is written in the image?", "Which words can be read in the image?", "Read the text in the image."),
            "which words are written, letter by letter",
            _words,
        ),
        Kind(
            "motion_text",
            ("free-form",),
            _VIDEO,
            ("How does {a} move?", "Describe the motion of {a}."),
            "how {a} behaves over time",
            _motion_text,
        ),
        Kind(
            "event_text",
            ("free-form",),
            _VIDEO,
            ("What happens to {a}?", "Describe what happens to {a} in the video."),
            "what happens to {a} over time",
            _event_text,
        ),
        Kind(
            "place_text",
            ("free-form",),
            _IMAGE,
            ("Where is {a}?", "Describe the place of {a} in the image."),
            "where {a} is",
            _place_text,
        ),
        Kind(
            "distance",
            ("regression",),
            _IMAGE,
            (
                "How many pixels lie between the centres of {a} and {b}?",
                "Estimate the distance in pixels from the centre of {a} to the centre of {b}.",
            ),
            "where exactly {a} and {b} lie",
            _distance,
        ),
        Kind(
            "touch_time",
            ("regression",),
            _VIDEO,
            (
                "After how many seconds do {a} and {b} touch?",
                "Estimate the time in seconds at which {a} and {b} meet.",
            ),
            "when {a} and {b} meet",
            _touch_time,
        ),
    )
}

_BARE: Final = rf"(?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join((*FORMS, 'shape'))})"


def _pattern(wording: str) -> re.Pattern[str]:
    slots = {
        r"\{a\}": rf"(?P<a>the {_BARE})",
        r"\{b\}": rf"(?P<b>the {_BARE})",
        r"\{many\}": rf"(?P<many>{_BARE}s)",
        r"\{medium\}": "(?:image|video)",
    }
    pattern = re.escape(wording[0].upper() + wording[1:])
    for slot, expression in slots.items():
        pattern = pattern.replace(slot, expression)
    return re.compile(pattern)


_PATTERNS: Final = [(kind.name, _pattern(wording)) for kind in KINDS.values() for wording in kind.wordings]


def _parse_bare(text: str) -> tuple[str | None, str | None]:
    words = text.split()
    form = None if words[-1] == "shape" else words[-1]
    return (words[0] if len(words) == 2 else None), form


def _parse_name(text: str | None) -> Ref:
    return Ref(*_parse_bare(text.removeprefix("the "))) if text else Ref()

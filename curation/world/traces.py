"""Traces of the demo world, written from a scene's record: nobody looks at pixels here.

An observation states facts in sentences that can be read back (language.py), between sentences that state nothing. It
is sufficient when the gold answer can be derived from what it states, and that is checked, not hoped for.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

from curation.trace import OBSERVATION_OPENING, THINK_OPENING, Trace
from curation.world.language import state
from curation.world.queries import KINDS, Facts, Query, derive, fill, parse_query
from curation.world.scenes import WORDS, Fact, SceneRecord, Written, facts_of
from curation.world.terse import terse_observation, terse_think

_OBSERVATION_WORDS: Final = (42, 76)
_THINK_WORDS: Final = 66
_OPTION: Final = re.compile(r"([A-Z])[.)] (.*)", re.DOTALL)

# What stands where a fact was withheld. None of these states a fact, which language.read_facts is tested to agree with.
_VAGUE: Final = {
    "direction": ("{a} moves about, but it is hard to tell which way.", "{a} changes its position somehow."),
    "motion_text": ("{a} behaves in some way or other.", "Over time, something about {a} changes or does not."),
    "colour": ("{a} has some bright colour.", "{a} is filled with one of the usual colours."),
    "form": ("{a} has a simple outline.", "The outline of {a} is plain."),
    "final_colour": ("{a} looks different by the end.", "Something about {a} changes on the way."),
    "partner": ("{a} comes close to something.", "{a} bumps into one of the others."),
    "touch": ("{a} and {b} are both in the frame.", "It is hard to say how near {a} comes to {b}."),
    "touch_time": ("{a} and {b} meet at some moment.", "At some point {a} reaches {b}."),
    "left_of": ("{a} and {b} lie at some distance from each other.", "{a} and {b} are both in the frame."),
    "distance": ("{a} and {b} lie some way apart.", "There is a gap between {a} and {b}."),
    "place": ("{a} is somewhere in the frame.", "{a} can be found in one of the corners."),
    "place_text": ("{a} is somewhere in the frame.", "{a} can be found in one of the corners."),
    "event_text": ("Something happens to {a}.", "{a} does not stay as it was."),
    "count_image": ("There are several {many} of different kinds.", "A number of {many} can be seen."),
    "count_video": ("There are several {many} of different kinds.", "A number of {many} can be seen."),
    "num_moving": ("Some of the shapes are in motion.", "There is some movement among the shapes."),
    "num_touches": ("Some of the shapes may meet on the way.", "The shapes come near each other now and then."),
    "num_words": ("A few words are written across the middle.", "Some words are written in large letters."),
    "read": ("Some words are written there, but they are hard to read.", "There is some writing across the middle."),
    "ink": ("The letters stand out well from the background.", "The writing has a colour of its own."),
}
_SETTING: Final = (
    "The background is dark and plain.",
    "The {medium} shows flat colours with sharp edges.",
    "The light is the same everywhere in the frame.",
    "No part of the {medium} is hidden or blurred.",
    "The view is straight from the front.",
    "Nothing in the background draws the eye.",
    "The frame is wider than it is high.",
)
_CHECKS: Final = (
    "Wait, could I have mixed up two things that look alike? I go back over what I noted, and each is named clearly.",
    "Hmm, that was quick, so let me check it again from the beginning before I settle on anything.",
    "Let me look at this from the other side: if it were otherwise, what I noted would read differently.",
    "I should be careful here, because a hasty reading could easily lead me to a wrong conclusion.",
    "Let me see whether anything that I noted speaks against this: no, everything fits together.",
    "Is there something that I have overlooked? I think through the {medium} once more and find nothing new.",
    "The rest of what I noted is only background and does not matter for this question.",
)


def write_trace(
    record: SceneRecord,
    rng: random.Random,
    *,
    wrong_answer: bool = False,
    insufficient: bool = False,
    leaked_answer: bool = False,
) -> Trace:
    """One trace for a question, with the named faults. Raises ValueError when the record's problem is not of ours."""
    query = parse_query(record.problem)
    if query is None:
        raise ValueError(f"not a question of the demo world: {record.problem!r}")
    terse = record.scene.level == "terse"
    told = list(facts_of(record.scene)) if terse else _choose_facts(query, record, rng)
    if insufficient:
        told = _withhold(query, record.gold, told, rng)
    if terse:
        observation = terse_observation(query, told)
    else:
        observation = _observation(query, record, told, rng, vague=insufficient and rng.random() < 0.7)
    value = wrong_value(record, rng) if wrong_answer else record.gold
    if leaked_answer:
        observation += " " + _leak(record, value, rng)
    answer = answer_of(record, value)
    think = terse_think(value, answer) if terse else _think(query, record, told, value, rng)
    return Trace(observation, think, answer)


def answer_of(record: SceneRecord, value: str) -> str:
    """How a value is answered: by the letter of its option where there are options. Raises ValueError without one."""
    if not record.options:
        return value
    for letter, text in split_options(record.options):
        if text == value:
            return letter
    raise ValueError(f"{value!r} is none of the options {list(record.options)}")


def split_options(options: Sequence[str]) -> list[tuple[str, str]]:
    """Options as (letter, text), from "A. text" or "A) text"."""
    return [(match[1], match[2]) for match in map(_OPTION.fullmatch, options) if match]


def wrong_value(record: SceneRecord, rng: random.Random) -> str:
    """A value that the task metric puts below 0.6 (VideoP2R section 3.2)."""
    match record.problem_type:
        case "multiple choice":
            return rng.choice([text for _, text in split_options(record.options) if text != record.gold])
        case "numerical":
            return str(int(record.gold) + rng.randint(1, 3))
        case "regression":
            return f"{float(record.gold) * rng.choice((0.25, 2, 3)):g}"
        case "OCR":
            gold = record.gold.split()
            return " ".join(rng.sample([word for word in WORDS if word not in gold], len(gold)))
        case _:
            return rng.choice(("Several grey hexagons spin around each other.", "It fades away bit by bit."))


def _choose_facts(query: Query, record: SceneRecord, rng: random.Random) -> list[Fact]:
    """The facts that the answer needs, then others until the paragraph is long enough; in telling order."""
    facts = facts_of(record.scene)
    needed = list(facts)
    for fact in reversed(facts):  # from the end: what is merely implied by later facts is told first
        without = [other for other in needed if other != fact]
        if derive(query, without) == record.gold:
            needed = without
    others = [fact for fact in facts if fact not in needed]
    rng.shuffle(others)
    budget = rng.randint(40, 60) - 10 * len(needed)
    told = {*needed, *others[: max(0, budget // 10)]}
    return [fact for fact in facts if fact in told]


def _withhold(query: Query, gold: str, told: list[Fact], rng: random.Random) -> list[Fact]:
    """Leave out facts until the answer no longer follows."""
    kept = list(told)
    while derive(query, kept) == gold:
        breaking = [fact for fact in kept if derive(query, [other for other in kept if other != fact]) != gold]
        kept.remove(rng.choice(breaking or kept))
    return kept


def _observation(query: Query, record: SceneRecord, told: Facts, rng: random.Random, *, vague: bool) -> str:
    kind = KINDS[query.kind]
    medium = record.scene.data_type
    topic = kind.topic.format(a=query.a, b=query.b, many=f"{query.a.bare}s")
    wording = rng.randrange(12)
    sentences = [state(fact, wording + place) for place, fact in enumerate(told)]
    if vague:
        hint = fill(rng.choice(_VAGUE[query.kind]), query, medium)
        sentences.insert(rng.randint(0, len(sentences)), hint)
    opening = f"{OBSERVATION_OPENING} {topic}."
    setting = [sentence.format(medium=medium) for sentence in rng.sample(_SETTING, len(_SETTING))]
    least = rng.randint(*_OBSERVATION_WORDS)
    while setting and _num_words([opening, *sentences]) < least:
        sentences.insert(rng.choice((0, len(sentences))), setting.pop())
    return " ".join([opening, *sentences])


def _leak(record: SceneRecord, value: str, rng: random.Random) -> str:
    shown = value.rstrip(".")
    wordings = [f"The answer is {shown}.", f"So the answer is {shown}."]
    if record.options:
        letter = answer_of(record, value)
        wordings += [f"This is option {letter}.", f"So the answer is {letter}.", f"It matches option {letter}."]
    return rng.choice(wordings)


def _think(query: Query, record: SceneRecord, told: Sequence[Fact], value: str, rng: random.Random) -> str:
    kind = KINDS[query.kind]
    topic = kind.topic.format(a=query.a, b=query.b, many=f"{query.a.bare}s")
    sentences = [f"{THINK_OPENING} I have to work out {topic}."]
    alone = [fact for fact in told if derive(query, [other for other in told if other != fact]) != derive(query, told)]
    wording = rng.randrange(12)
    for place, fact in enumerate(alone[:2]):
        sentence = state(fact, wording + place)
        sentences.append(f"I noted {'this' if place == 0 else 'also'}: {sentence}")
    checks = [check.format(medium=record.scene.data_type) for check in rng.sample(_CHECKS, len(_CHECKS))]
    sentences.append(checks.pop())
    conclusion = _conclusion(record, told, value, rng)
    while _num_words([*sentences, *conclusion]) < _THINK_WORDS:
        sentences.append(checks.pop())
    return " ".join([*sentences, *conclusion])


def _conclusion(record: SceneRecord, told: Sequence[Fact], value: str, rng: random.Random) -> list[str]:
    closing = rng.choice(("I am sure of this.", "That settles it.", "So this is what I answer."))
    match record.problem_type:
        case "multiple choice":
            options = split_options(record.options)
            named = ", ".join(f"{letter} is {text}" for letter, text in options)
            return [f"Of the options, {named}.", f"Only {value} fits, so I take {answer_of(record, value)}.", closing]
        case "numerical":
            return [f"Going through what I noted one by one, I come to {value}.", closing]
        case "regression":
            return [f"Working it out from the numbers that I noted, I come to about {value}.", closing]
        case "OCR":
            words = any(isinstance(fact, Written) for fact in told)
            how = "Spelled letter by letter" if words else "As well as I can tell"
            return [f"{how}, it reads {value}.", closing]
        case _:
            return [f"Put into one sentence: {value}", closing]


def _num_words(sentences: Sequence[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)

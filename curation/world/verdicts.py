"""The rule judge: does the correct answer follow from what an observation states, and from nothing else?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from curation.tasks import score_answer
from curation.world.language import read_facts
from curation.world.queries import KINDS, derive, parse_query
from curation.world.traces import split_options

_THRESHOLD = 0.6  # VideoP2R section 3.2: an estimate this near counts as right


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """Whether the observation is sufficient, and why."""

    sufficient: bool
    explanation: str


def judge_observation(question: str, answer: str, observation: str) -> RuleVerdict | None:
    """Derive the answer from the observation's facts and compare. None when the question is not of the demo world.

    `question` is the problem, followed by a line "Options:" and the options where there are some; `answer` is the
    correct one, with or without its tags, as a letter or in words.
    """
    problem, _, listed = question.strip().partition("\nOptions:\n")
    query = parse_query(problem)
    if query is None:
        return None
    facts = read_facts(observation)
    derived = derive(query, facts)
    if derived is None:
        stated = f"it states {len(facts)} facts, but none that decides this" if facts else "it states no fact"
        return RuleVerdict(False, f"The answer cannot be deduced from the observation: {stated}.")
    correct = _in_words(answer, listed.splitlines())
    problem_type = "multiple choice" if listed else KINDS[query.kind].problem_types[0]
    agrees = _agrees(problem_type, derived, correct)
    relation = "which agrees with" if agrees else "which is not"
    return RuleVerdict(agrees, f"From the observation alone follows {derived!r}, {relation} the correct answer.")


def _in_words(answer: str, options: list[str]) -> str:
    text = re.sub(r"</?answer>", "", answer).strip()
    for letter, option in split_options(options):
        if text in (letter, f"{letter}.", f"{letter})", f"({letter})", f"{letter}. {option}", f"{letter}) {option}"):
            return option
    return text


def _agrees(problem_type: str, derived: str, correct: str) -> bool:
    if problem_type in ("numerical", "regression"):
        return score_answer(problem_type, derived, correct) >= _THRESHOLD
    return _plain(derived) == _plain(correct)


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()

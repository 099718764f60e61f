"""What a completion may do in place of seeing and reasoning: give the answer away in its observation, repeat itself.

The rules are those by which curation rejects a trace (curation/leaks.py, curation/repetition.py). RL always counts them
(grpo_metrics.py) and pays less for them where the config says so (rewards.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curation.leaks import find_leak
from curation.repetition import repetition
from training.processes import Processes


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """Of one completion; None where the process is not well-formed.

    leaks_answer: whether the observation gives the answer away. perception_repetition, reasoning_repetition: the share
    of repeated words in the observation, and in think and answer together.
    """

    leaks_answer: bool | None
    perception_repetition: float | None
    reasoning_repetition: float | None


def find_shortcuts(
    completion: str, processes: Processes, problem_type: str, options: Sequence[str] | None
) -> Shortcuts:
    """Measure one completion. processes: of it. Never raises on any completion."""
    observation = observation_in(completion, processes)
    think, answer = processes.think, processes.answer
    reasoning = None
    if think is not None and answer is not None:
        reasoning = " ".join(completion[block.inner_start : block.inner_end] for block in (think, answer))
    return Shortcuts(
        None if observation is None else gives_answer_away(observation, problem_type, options),
        None if observation is None else repetition(observation),
        None if reasoning is None else repetition(reasoning),
    )


def observation_in(completion: str, processes: Processes) -> str | None:
    """The text of the observation; None when it is not well-formed."""
    block = processes.observation
    return None if block is None else completion[block.inner_start : block.inner_end].strip()


def gives_answer_away(observation: str | None, problem_type: str, options: Sequence[str] | None) -> bool:
    """Whether it states the answer or names an option; what is not there does not."""
    return observation is not None and find_leak(observation, problem_type, options or ()) is not None

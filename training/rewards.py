"""The rewards of both processes (VideoP2R section 3.3): plain numbers, no torch, no network.

    R_k = R_acc,k + R_form,k + R_len,k    for perception (k = P) and reasoning (k = R), at most 2.2 each

| part   | perception                                   | reasoning                                            |
|--------|----------------------------------------------|------------------------------------------------------|
| acc    | 1 if judged sufficient, else 0               | the task metric of the answer, in [0, 1]             |
| format | 1 if the observation block is well-formed    | 1 if the think and the answer blocks are well-formed |
| length | 0.2 if acc and format are not 0 and the segment's tokens lie in its window, ends included           |

Format is decided by the parser of the published format, each process on its own segment (processes.py). Lengths are
tokens of the inner texts as sampled (segments.py), think and answer together for reasoning.

Null is not zero. Where the judge was asked and gave no verdict, the perception reward is None: masked, left out of its
group. Where the observation is not well-formed the judge is not asked, because there is no observation to show it:
accuracy is 0, which is known without it. An answer is scored wherever the reasoning segment has exactly one answer
block, also when the think is malformed: accuracy and format are separate parts, and the metric costs nothing.

Two keys beyond the paper, off by default, pay less for what curation rejects (shortcuts.py): an observation that gives
the answer away then has accuracy 0, unasked too, and a segment that repeats itself earns no length bonus.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from curation.config import Config
from curation.judge import Verdict
from curation.tasks import Scoring, score_answer
from training.processes import BlockTokens, Processes, Template, split_processes
from training.shortcuts import find_shortcuts, gives_answer_away, observation_in


def _ordered(window: tuple[int, int]) -> tuple[int, int]:
    low, high = window
    if not 0 <= low <= high:
        raise ValueError(f"a window is [least, most] with 0 <= least <= most, got [{low}, {high}]")
    return window


TokenWindow = Annotated[tuple[int, int], AfterValidator(_ordered)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_ANSWER_TAGS: Final = re.compile(r"</?answer>")


class RewardConfig(Config):
    """Section `rewards` of a training config; the defaults are the paper's (section 3.3).

    accuracy_weight, format_weight: factors of these parts. length_bonus: what a length in the window earns.
    perception_tokens, reasoning_tokens: the windows [least, most], ends included.
    perception, reasoning, length: false leaves that reward out (the paper's ablations).
    scoring: default (curation.tasks), or videor1 for the equality rules of Video-R1's reward.
    template: agnostic when the policy writes think and answer only; it then has no perception reward.
    """

    accuracy_weight: Weight = 1.0
    format_weight: Weight = 1.0
    length_bonus: Weight = 0.2
    perception_tokens: TokenWindow = (128, 320)
    reasoning_tokens: TokenWindow = (320, 512)
    perception: bool = True
    reasoning: bool = True
    length: bool = True
    scoring: Scoring = "default"
    template: Template = "full"
    leaks_answer: Literal["pay", "zero"] = "pay"
    """What an observation that gives the answer away earns for accuracy, by the rule of curation's filters: what the
    judge says (the paper), or zero, and the judge is not asked. It keeps its format reward."""
    max_repetition: Annotated[float, Field(ge=0, le=1)] | None = None
    """The largest share of a segment's words inside an 8-gram that occurred before, think and answer read as one text.
    A segment above it earns no length bonus, only accuracy and format. Null: loops earn the bonus too (the paper)."""

    @model_validator(mode="after")
    def _something_is_rewarded(self) -> RewardConfig:
        if not (self.perception or self.reasoning):
            raise ValueError("perception and reasoning are both false, so nothing is rewarded. Set one of them to true")
        if self.template == "agnostic" and self.perception:
            raise ValueError("template agnostic has no observation to reward. Set perception to false")
        return self


@dataclass(frozen=True, slots=True)
class ProcessReward:
    """One process of one rollout.

    accuracy in [0, 1], format 0 or 1, length 0 or the bonus; total is their weighted sum. Masked, because the judge
    gave no verdict: accuracy, length and total are None. tokens: the segment's length; None when it is not well-formed.
    """

    accuracy: float | None
    format: float
    length: float | None
    total: float | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class RolloutReward:
    """Both processes of one rollout; a process is None when the config does not reward it."""

    perception: ProcessReward | None
    reasoning: ProcessReward | None

    @property
    def total(self) -> float | None:
        """The sum over the rewarded processes; None when one of them is masked (half a sum compares with nothing)."""
        totals = [process.total for process in (self.perception, self.reasoning) if process is not None]
        known = [total for total in totals if total is not None]
        return sum(known) if len(known) == len(totals) else None


def observation_to_judge(
    completion: str, *, problem_type: str, options: Sequence[str] | None, config: RewardConfig
) -> str | None:
    """The observation that the judge must see; None when it is not asked.

    It is not where the observation is malformed or not rewarded, or gives the answer away and earns zero for that.
    """
    if not config.perception:
        return None
    observation = observation_in(completion, split_processes(completion, config.template))
    if config.leaks_answer == "zero" and gives_answer_away(observation, problem_type, options):
        return None
    return observation


def reward_rollout(
    completion: str,
    *,
    problem_type: str,
    solution: str,
    options: Sequence[str] | None,
    verdict: Verdict | None,
    lengths: BlockTokens,
    config: RewardConfig,
) -> RolloutReward:
    """Reward one completion.

    completion: its text without special tokens, and `lengths` its blocks (both: segments.find_segments). verdict: of
    the judge on `observation_to_judge`, None when it gave none or was not asked. Raises ValueError when a well-formed
    process has no length but is paid by it, or for an unknown problem type.
    """
    processes = split_processes(completion, config.template)
    shortcuts = find_shortcuts(completion, processes, problem_type, options)
    perception = reasoning = None
    if config.perception:
        well_formed = processes.observation is not None
        is_paid = well_formed and not (shortcuts.leaks_answer and config.leaks_answer == "zero")
        accuracy = _perception_accuracy(verdict) if is_paid else 0.0
        bonus = _bonus(shortcuts.perception_repetition, config)
        perception = _reward(accuracy, well_formed, lengths.observation, config.perception_tokens, bonus, config)
    if config.reasoning:
        answer = _answer(completion, processes)
        accuracy = 0.0
        if answer is not None:
            accuracy = score_answer(problem_type, answer, solution, options=options or (), strict=config.scoring)
        well_formed = processes.answer is not None
        bonus = _bonus(shortcuts.reasoning_repetition, config)
        reasoning = _reward(accuracy, well_formed, lengths.reasoning, config.reasoning_tokens, bonus, config)
    return RolloutReward(perception, reasoning)


def _perception_accuracy(verdict: Verdict | None) -> float | None:
    return None if verdict is None else float(verdict.sufficient)


def _bonus(repetition: float | None, config: RewardConfig) -> float:
    """What a length in its window earns; repetition is None where the segment is not well-formed."""
    is_loop = repetition is not None and config.max_repetition is not None and repetition > config.max_repetition
    return 0.0 if is_loop else config.length_bonus


def _answer(completion: str, processes: Processes) -> str | None:
    """The text of the only answer block in the reasoning segment; None when there is none, or more than one."""
    if processes.border is None:
        return None
    match list(_ANSWER_TAGS.finditer(completion, processes.border)):
        case [opening, closing] if (opening[0], closing[0]) == ("<answer>", "</answer>"):
            return completion[opening.end() : closing.start()].strip()
    return None


def _reward(
    accuracy: float | None,
    well_formed: bool,
    tokens: int | None,
    window: tuple[int, int],
    bonus: float,
    config: RewardConfig,
) -> ProcessReward:
    """The sum of the three parts; masked where the accuracy is."""
    form = float(well_formed)
    if accuracy is None:
        return ProcessReward(None, form, None, None, tokens)
    length = bonus if config.length and accuracy > 0 and well_formed and _fits(tokens, window) else 0.0
    total = config.accuracy_weight * accuracy + config.format_weight * form + length
    return ProcessReward(accuracy, form, length, total, tokens)


def _fits(tokens: int | None, window: tuple[int, int]) -> bool:
    if tokens is None:
        raise ValueError("a well-formed process has no length: count its tokens with segments.find_segments")
    least, most = window
    return least <= tokens <= most

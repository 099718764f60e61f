"""The demo world's two engines: a generator with known faults, and a judge that reasons by rules.

Neither is a model. The generator does not see pixels: it writes its trace from the scene record of the question, so
that the pipeline's precision and recall can be measured against faults that were put in on purpose. The judge gets the
judge prompt's text and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import random
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from curation.config import Config, LocalPath
from curation.engines.base import Completion, Request
from curation.errors import FatalEngineError, PoisonError
from curation.trace import Trace, render_trace
from curation.world.scenes import SceneRecord
from curation.world.traces import write_trace
from curation.world.verdicts import judge_observation


class Fault(StrEnum):
    """What is wrong with a trace, on purpose. Each breaks one thing and leaves the rest right."""

    WRONG_ANSWER = "wrong_answer"
    BROKEN_TEMPLATE = "broken_template"
    INSUFFICIENT_OBSERVATION = "insufficient_observation"
    LEAKED_ANSWER = "leaked_answer"


class FaultRates(Config):
    """Shares of completions, in [0, 1]; a completion has one fault at most."""

    wrong_answer: NonNegativeFloat = 0.06
    """The answer is not the gold."""
    broken_template: NonNegativeFloat = 0.05
    """A tag is missing or doubled."""
    insufficient_observation: NonNegativeFloat = 0.06
    """The observation leaves the asked fact out."""
    leaked_answer: NonNegativeFloat = 0.04
    """The observation says the answer."""

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if (total := sum(getattr(self, fault) for fault in Fault)) > 1:
            raise ValueError(f"fault rates add up to {total}, which is more than 1")
        return self


class ScriptedConfig(Config):
    """The demo generator."""

    kind: Literal["scripted"] = "scripted"
    """The demo generator: writes from scene records, sees no pixels."""
    scenes: LocalPath
    """The world's scenes.jsonl."""
    seed: int = 0
    """Another seed is other faults."""
    latency_s: NonNegativeFloat = 0.0
    """How long it pretends to think."""
    fault_rates: FaultRates = Field(default_factory=FaultRates)
    """Shares of completions with a fault."""


class ScriptedJudgeConfig(Config):
    """The demo judge; it has nothing to set but its pretended latency."""

    kind: Literal["scripted_judge"] = "scripted_judge"
    """The demo judge: parses the observation and decides from it."""
    latency_s: NonNegativeFloat = 0.0
    """How long it pretends to think."""


def injected_fault(seed: int, question_id: str, attempt: int, rates: FaultRates) -> Fault | None:
    """The fault of one completion: a pure function of its arguments, uniform over questions and attempts."""
    draw = _hash(seed, question_id, attempt, "fault") / 2**64
    for fault in Fault:
        draw -= getattr(rates, fault)
        if draw < 0:
            return fault
    return None


class ScriptedEngine:
    """Writes traces from scene records; it does not see pixels. Same seed, question and attempt, same text."""

    wants: Literal["nothing", "frames", "file"] = "nothing"
    model = "scripted-shapes"

    def __init__(self, config: ScriptedConfig) -> None:
        self._config = config
        self._offsets: Mapping[str, int] | None = None

    async def complete(self, request: Request) -> Completion:
        """Raises PoisonError for a question that the world does not hold, FatalEngineError when there is no world."""
        await asyncio.sleep(self._config.latency_s)
        record = self._find(request.id)
        fault = injected_fault(self._config.seed, request.id, request.attempt, self._config.fault_rates)
        rng = random.Random(_hash(self._config.seed, request.id, request.attempt, "text"))
        try:
            return Completion(write_completion(record, fault, rng), self.model)
        except ValueError as error:
            raise PoisonError(f"the scene of question {request.id} cannot be told: {error}") from error

    async def close(self) -> None:
        """Nothing is held."""

    def _find(self, question_id: str) -> SceneRecord:
        """Read one record. Only offsets are kept, so that memory does not grow with the scenes."""
        path = self._config.scenes
        try:
            if self._offsets is None:
                self._offsets = _index(path)
            if question_id not in self._offsets:
                raise PoisonError(f"{path} has no scene for question {question_id}")
            with path.open("rb") as stream:
                stream.seek(self._offsets[question_id])
                return SceneRecord.model_validate_json(stream.readline())
        except (OSError, ValueError, KeyError, TypeError) as error:  # ValueError: no JSON, or no SceneRecord
            reason = " ".join(str(error).split())
            raise FatalEngineError(f"cannot read the scenes {path}: {reason}. Build the demo world again.") from error


class ScriptedJudge:
    """Decides by rules from the prompt's text alone; it sees neither pixels nor scene records."""

    wants: Literal["nothing", "frames", "file"] = "nothing"
    model = "scripted-rules"

    def __init__(self, config: ScriptedJudgeConfig) -> None:
        self._config = config

    async def complete(self, request: Request) -> Completion:
        """A verdict as JSON. Raises PoisonError when the prompt is no judge prompt about a demo question."""
        await asyncio.sleep(self._config.latency_s)
        question, answer, observation = (
            _section(request.prompt, name) for name in ("QUESTION", "ANSWER", "OBSERVATION")
        )
        verdict = judge_observation(question, answer, observation)
        if verdict is None:
            raise PoisonError(f"not a question of the demo world: {question[:80]!r}")
        judgement = "Yes" if verdict.sufficient else "No"
        reply = json.dumps({"explanation": verdict.explanation, "judgement": judgement})
        return Completion(reply, self.model)

    async def close(self) -> None:
        """Nothing is held."""


def write_completion(record: SceneRecord, fault: Fault | None, rng: random.Random) -> str:
    """A completion in the template, unless the fault is that it is not."""
    trace = write_trace(
        record,
        rng,
        wrong_answer=fault is Fault.WRONG_ANSWER,
        insufficient=fault is Fault.INSUFFICIENT_OBSERVATION,
        leaked_answer=fault is Fault.LEAKED_ANSWER,
    )
    return rng.choice(NEAR_MISSES)(trace) if fault is Fault.BROKEN_TEMPLATE else render_trace(trace)


def _near_miss(template: str) -> Callable[[Trace], str]:
    return lambda trace: template.format(o=trace.observation, t=trace.think, a=trace.answer)


# The template as models miss it: the first two stand in the paper's failure figures.
NEAR_MISSES: Final = tuple(
    _near_miss(template)
    for template in (
        "<observation>{o}</<observation> <think>{t}</think><answer>{a}</answer>",
        "<observation>{o}</observation> <think>{t}</think><answer>{a}<answer>",
        "<observation>{o}</observation> <observation>{o}</observation> <think>{t}</think><answer>{a}</answer>",
        "<observation>{o}</observation> <think>{t}</think><answer>{a}</answer><answer>{a}</answer>",
        "<observation>{o} <think>{t}</think></observation><answer>{a}</answer>",
        "<think>{t}</think> <observation>{o}</observation><answer>{a}</answer>",
        "<observation>{o}</observation> <think>{t}<answer>{a}</answer>",
        "<observation>{o}</observation> <think>{t}</think><answer>{a}",
        "Here is my answer. <observation>{o}</observation> <think>{t}</think><answer>{a}</answer>",
        "<observation>{o}</observation> <think>{t}</think><answer>{a}</answer> I hope this helps.",
        "<observation>{o}</observation> <think></think><answer>{a}</answer>",
        "<observation> </observation> <think>{t}</think><answer>{a}</answer>",
        "<think>{t}</think><answer>{a}</answer>",
        "<observation>{o}</observation>",
        "{o}</observation> <think>{t}</think><answer>{a}</answer>",
        "{o}\n\n{t}\n\n{a}",
    )
)


def _hash(seed: int, question_id: str, attempt: int, use: str) -> int:
    """64 bits, the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}:{question_id}:{attempt}:{use}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _index(path: Path) -> dict[str, int]:
    """Where each question's line begins."""
    offsets: dict[str, int] = {}
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            offsets[json.loads(line)["id"]] = offset
            offset += len(line)
    return offsets


def _section(prompt: str, name: str) -> str:
    """The text between a pair of delimiter lines, unescaped. Raises PoisonError when there is no such pair, or two."""
    found = re.findall(rf"^<<<{name} (\S+)>>>\n(.*?)\n<<<END {name} \1>>>$", prompt, re.DOTALL | re.MULTILINE)
    if len(found) != 1:
        raise PoisonError(f"expected one {name} section in the judge prompt, found {len(found)}")
    return html.unescape(found[0][1])

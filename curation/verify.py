"""Step 3: a text-only judge decides whether the correct answer follows from the observation alone (section 3.2).

A reply that is no verdict (unparsable, refused, cut) is asked for again up to `tries` times; what was refused by the
server, or not answered in dispatch.max_tries, is not. Without a verdict it stays null: the row is counted as unscored,
never as sufficient or insufficient.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import NonNegativeFloat, PositiveInt

from curation.answers import Answer, Ask, Caller, answer, read_answers
from curation.config import Config, LocalPath
from curation.engines.base import Request
from curation.engines.config import DispatchConfig, EngineConfig, identity
from curation.journal import content_key
from curation.judge import JUDGE_SCHEMA, judge_text, read_verdict
from curation.prompts import Prompt
from curation.schema import INSUFFICIENT, SUFFICIENT, Question


class VerifyConfig(Config):
    """YAML section `verify`. The Anthropic API takes no temperature: both are left out for it."""

    engine: EngineConfig
    """Who judges; text only."""
    prompt: LocalPath | None = None
    """A prompt file in place of the shipped one."""
    tries: PositiveInt = 2
    """Requests for one observation until a reply is a verdict; then it stays null."""
    temperature: NonNegativeFloat = 0.0
    """Of the first try."""
    retry_temperature: NonNegativeFloat = 0.7
    """Of further tries."""
    max_tokens: PositiveInt = 2048
    """Longest reply."""
    structured: bool = True
    """Ask the server for JSON that follows the judge's schema."""
    dispatch: DispatchConfig = DispatchConfig()
    """How hard the server is pressed."""


def _ignore(_: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, slots=True)
class Verification:
    """`verdict` is "sufficient", "insufficient" or null; `detail` says why it is null."""

    verdict: str | None
    reason: str | None
    detail: str | None


class Observed(Protocol):
    """All that the judge sees of a trace."""

    @property
    def observation(self) -> str:
        """Without its tags."""
        ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """Asks the judge about the observations of one shard."""

    config: VerifyConfig
    prompt: Prompt
    caller: Caller

    async def verify(
        self,
        traces: Mapping[str, tuple[Question, Observed]],
        attempt: int,
        journal_path: Path,
        *,
        retry_failed: bool = False,
        progress: Callable[[int], None] = _ignore,
        seen: Callable[[str, Verification], None] = lambda question_id, found: None,
    ) -> dict[str, Verification]:
        """Verdicts by question id; text only, the media never reach the judge.

        progress: hears of first tries. seen: told of each new reply, as it comes.
        """
        verdicts: dict[str, Verification] = {}
        failed: set[str] = set()
        for try_number in range(1, self.config.tries + 1):
            asks = {
                question_id: self._ask(question, trace, attempt, try_number)
                for question_id, (question, trace) in traces.items()
                if question_id not in verdicts or verdicts[question_id].verdict is None
            }
            if failed:  # earlier versions asked again after a failure, too: what they were answered holds
                known = read_answers(journal_path)
                asks = {name: ask for name, ask in asks.items() if name not in failed or ask.key in known}
            answers = await answer(
                asks.values(),
                journal_path,
                self.caller,
                retry_failed=retry_failed,
                resend_lost=retry_failed,
                progress=progress if try_number == 1 else _ignore,
                is_usable=_is_verdict,
                seen=_by_question(asks, seen),
            )
            verdicts |= {question_id: _verification(answers[ask.key]) for question_id, ask in asks.items()}
            failed |= {question_id for question_id, ask in asks.items() if answers[ask.key].text is None}
        return verdicts

    def _ask(self, question: Question, trace: Observed, attempt: int, try_number: int) -> Ask:
        text = judge_text(self.prompt, question, trace.observation)
        temperature = self.config.temperature if try_number == 1 else self.config.retry_temperature
        key = content_key(
            "verify", question.id, text, identity(self.config.engine), self.config.max_tokens, temperature,
            self.config.structured, try_number,
        )  # fmt: skip
        return Ask(key, question.id, attempt, self._prepare(question.id, text, attempt, temperature))

    def _prepare(
        self, question_id: str, text: str, attempt: int, temperature: float
    ) -> Callable[[], Awaitable[Request]]:
        async def prepare() -> Request:
            schema = JUDGE_SCHEMA if self.config.structured else None
            return Request(question_id, text, self.config.max_tokens, attempt, temperature, None, schema)

        return prepare


def _is_verdict(found: Answer) -> bool:
    return found.text is not None and read_verdict(found.text, found.stop_reason) is not None


def _by_question(asks: Mapping[str, Ask], seen: Callable[[str, Verification], None]) -> Callable[[str, Answer], None]:
    names = {ask.key: question_id for question_id, ask in asks.items()}
    return lambda key, found: seen(names[key], _verification(found))


def _verification(found: Answer) -> Verification:
    if found.failure is not None or found.text is None:
        return Verification(None, None, f"{found.failure}: {found.detail}")
    verdict = read_verdict(found.text, found.stop_reason)
    if verdict is None:
        return Verification(None, None, f"no verdict ({found.stop_reason}): {found.text[:200]!r}")
    return Verification(SUFFICIENT if verdict.sufficient else INSUFFICIENT, verdict.reason, None)


def rejected_by(verification: Verification) -> str | None:
    """The reason when step 3 did not find the observation sufficient."""
    if verification.verdict is None:
        return "verify:unscored"
    return None if verification.verdict == SUFFICIENT else "verify:insufficient"

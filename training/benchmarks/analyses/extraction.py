"""The model that reads which option a chain of thought settles on (VideoP2R section 4): text in, a letter or "No" out.

It gets the question and the think text, never the video nor the answer. A reply that is neither a letter of the
question nor "No" is asked for again up to `tries` times and then stays null: unread, and counted. The think text was
written by a model and may be hostile: it is fenced off and escaped, so that nothing of it reads as a reply.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, NonNegativeFloat, PositiveInt

from curation.answers import Answer, Ask, Caller, answer
from curation.budget import FREE, Budget, known_price, load_prices
from curation.config import Config
from curation.engines.base import Engine, Request
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, DispatchConfig, OpenAIConfig, identity
from curation.engines.limiter import Limiter
from curation.errors import ServerDown
from curation.journal import content_key
from curation.prompts import Prompt, render_question
from curation.scoring.choice import parse_options

UNDECIDED: Final = "No"
PROMPT_FILE: Final = "settled_option.txt"
_REPLY: Final = re.compile(r".*<option>\s*([A-Za-z]+)\s*</option>[\s.]*", re.DOTALL)
_TAG_LIKE: Final = re.compile(r"<[/\s]*option\b", re.IGNORECASE)


def _ignore(_: int) -> None:
    """No progress is shown."""


class ExtractorConfig(Config):
    """Who reads the think texts: the file of `mismatch --extractor`.

    tries: requests for one text whose reply is not in form. The Anthropic API takes no temperature.
    """

    engine: Annotated[OpenAIConfig | AnthropicConfig, Field(discriminator="kind")]
    tries: PositiveInt = 2
    temperature: NonNegativeFloat = 0.0
    retry_temperature: NonNegativeFloat = 0.7
    max_tokens: PositiveInt = 512
    dispatch: DispatchConfig = DispatchConfig()


@dataclass(frozen=True, slots=True)
class Thought:
    """A think text without its tags, and the question that it is about. uid: unique among the thoughts of one call."""

    uid: str
    question: str
    options: tuple[str, ...]
    think: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """option: a capital letter, UNDECIDED, or null with `detail`, which says why."""

    option: str | None
    detail: str | None


def load_extraction_prompt() -> Prompt:
    """Ours; its hash is provenance."""
    content = (files("training.benchmarks") / "prompts" / PROMPT_FILE).read_bytes()
    return Prompt(content.decode("utf-8"), hashlib.sha256(content).hexdigest())


def extraction_text(prompt: Prompt, thought: Thought) -> str:
    """What the extractor is asked, the same for the same thought."""
    question = render_question(thought.question, thought.options)
    contents = json.dumps([question, thought.think])
    nonce = hashlib.sha256(contents.encode("ascii")).hexdigest()[:12]
    return prompt.fill(
        question=_fence("QUESTION", nonce, question), reasoning=_fence("REASONING", nonce, thought.think)
    )


def read_extraction(reply: str, options: Sequence[str]) -> str | None:
    """The letter of an option, or UNDECIDED; None when the reply is not in form. Never raises, on any string.

    In form is a text that ends with the only option tag in it. Without options any letter is one.
    """
    match = _REPLY.fullmatch(reply)
    if match is None or len(_TAG_LIKE.findall(reply)) != 2:
        return None
    if match[1].lower() == UNDECIDED.lower():
        return UNDECIDED
    letter = match[1].upper()
    letters = {option.letter for option in parse_options(options)}
    return letter if len(letter) == 1 and (letter in letters or not letters) else None


def extract_options(
    thoughts: Sequence[Thought],
    config: ExtractorConfig,
    prompt: Prompt,
    journal: Path,
    *,
    progress: Callable[[int], None] = _ignore,
) -> dict[str, Extraction]:
    """Ask for all of them, by uid; an answer that the journal holds is not asked for again, a failure is.

    Raises ConfigError (no key, no SDK), FatalEngineError when no request can work, RunDirectoryError.
    """
    try:
        return asyncio.run(_extract(thoughts, config, prompt, journal, progress))
    except ServerDown as error:  # its own remedy is that of curation
        raise ServerDown(
            f"the extractor: {error.what}", ". See to it and run the same command again: what was read is kept."
        ) from error


async def _extract(
    thoughts: Sequence[Thought],
    config: ExtractorConfig,
    prompt: Prompt,
    journal: Path,
    progress: Callable[[int], None],
) -> dict[str, Extraction]:
    engine = build_engine(config.engine)
    try:
        caller = _caller(engine, config)
        found: dict[str, Extraction] = {}
        for try_number in range(1, config.tries + 1):
            todo = [thought for thought in thoughts if thought.uid not in found or found[thought.uid].option is None]
            asks = {thought.uid: _ask(thought, config, prompt, try_number) for thought in todo}
            heard = progress if try_number == 1 else _ignore
            answers = await answer(asks.values(), journal, caller, retry_failed=True, progress=heard)
            for thought in todo:
                reply = answers[asks[thought.uid].key]
                option = None if reply.text is None else read_extraction(reply.text, thought.options)
                told = (
                    f"{reply.failure}: {reply.detail}" if reply.text is None else f"not in form: {reply.text[-200:]!r}"
                )
                found[thought.uid] = Extraction(option, told if option is None else None)
        return found
    finally:
        await engine.close()


def _extraction(reply: Answer, options: Sequence[str]) -> Extraction:
    if reply.text is None:
        return Extraction(None, f"{reply.failure}: {reply.detail}")
    option = read_extraction(reply.text, options)
    return Extraction(option, None if option else f"not in form ({reply.stop_reason}): {reply.text[-200:]!r}")


def _caller(engine: Engine, config: ExtractorConfig) -> Caller:
    price = known_price(config.engine, load_prices({}).models) or FREE
    batches = config.engine.batches if isinstance(config.engine, AnthropicConfig) else None
    limiter = Limiter(config.dispatch.max_in_flight)
    return Caller(engine, limiter, config.dispatch, Budget(None, 0.0), price, batches)


def _ask(thought: Thought, config: ExtractorConfig, prompt: Prompt, try_number: int) -> Ask:
    text = extraction_text(prompt, thought)
    temperature = config.temperature if try_number == 1 else config.retry_temperature
    key = content_key("extract", text, identity(config.engine), config.max_tokens, temperature, try_number)
    return Ask(key, thought.uid, try_number, _prepare(thought.uid, text, config.max_tokens, try_number, temperature))


def _prepare(
    uid: str, text: str, max_tokens: int, try_number: int, temperature: float
) -> Callable[[], Awaitable[Request]]:
    async def prepare() -> Request:
        return Request(uid, text, max_tokens, try_number, temperature)

    return prepare


def _fence(name: str, nonce: str, text: str) -> str:
    """No angle bracket of the text survives, so no tag and no fence of its own."""
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    return f"<<<{name} {nonce}>>>\n{escaped}\n<<<END {name} {nonce}>>>"

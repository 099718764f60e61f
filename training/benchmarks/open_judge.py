"""The judge of open answers (VCR-Bench, captions): does a reply say what the benchmark's own answer says?

Text in, text out. The reply was written by a model and may be hostile: it is fenced off and escaped as observations are
for the judge of curation, whose verdicts and parser these are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.answers import Ask, Caller, answer
from curation.budget import FREE, Budget, known_price, load_prices
from curation.engines.base import Request
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, identity, model_name
from curation.engines.dispatch import Limiter
from curation.errors import ServerDown
from curation.journal import content_key
from curation.judge import JUDGE_SCHEMA, read_verdict, render_judge_prompt
from curation.progress import show_progress
from curation.prompts import Prompt, load_judge_prompt, render_question
from training.benchmarks.answers import official_passage, videor1_passage
from training.benchmarks.config import BenchmarkConfig, OpenJudgeConfig
from training.benchmarks.question import BenchmarkQuestion

PROMPT: Final = "open_judge.txt"
_RETRY_TEMPERATURE: Final = 0.7  # the same again would give the same again


def load_open_judge_prompt() -> Prompt:
    """Ours, which belongs to the code as the scoring rules do."""
    with as_file(files("training.benchmarks.prompts").joinpath(PROMPT)) as own:
        return load_judge_prompt(own)


def judge_name(config: OpenJudgeConfig) -> str:
    """Who judges and by which prompt, as the fingerprint has it."""
    return f"{model_name(config.engine)}, prompt {load_open_judge_prompt().sha256[:8]}"


def check_judge(config: OpenJudgeConfig) -> None:
    """Raises ConfigError now when the judge's SDK or key is not there."""
    build_engine(config.engine)


def judge_text(prompt: Prompt, question: BenchmarkQuestion, passage: str) -> str:
    """What the judge is asked about one reply. passage: where the answer stands in it."""
    return render_judge_prompt(
        prompt,
        data_type="picture" if question.media.kind == "image" else "video",
        question=render_question(question.text, question.options),
        answer=question.answer,
        observation=passage,
    )


def judge_open_answers(
    config: BenchmarkConfig,
    questions: Iterable[BenchmarkQuestion],
    outputs: Mapping[str, str | None],
    journal: Path,
    console: Console,
) -> dict[str, bool | None]:
    """Verdicts on the open questions that were answered, by uid; None when `tries` replies were none.

    outputs: uid -> what the model wrote. Without a judge there is no verdict on anything. What failed earlier is asked
    again. Raises FatalEngineError and ConfigError; verdicts are kept.
    """
    find_passage = videor1_passage if config.protocol == "videor1" else official_passage
    passages = {
        question.uid: (question, find_passage(text))
        for question in questions
        if question.kind == "open" and (text := outputs.get(question.uid)) is not None and text.strip()
    }
    if config.judge is None or not passages:
        return {}
    with show_progress(console, "judge", len(passages)) as advance:
        try:
            return asyncio.run(_judge(config.judge, passages, journal, advance))
        except ServerDown as error:
            raise ServerDown(
                f"the judge: {error.what}", ". See to it and run the same command again: verdicts are kept."
            ) from error


async def _judge(
    config: OpenJudgeConfig,
    passages: Mapping[str, tuple[BenchmarkQuestion, str]],
    journal: Path,
    progress: Callable[[int], None],
) -> dict[str, bool | None]:
    prompt = load_open_judge_prompt()
    verdicts: dict[str, bool | None] = dict.fromkeys(passages)
    async with AsyncExitStack() as stack:
        engine = build_engine(config.engine)
        stack.push_async_callback(engine.close)
        caller = Caller(
            engine,
            Limiter(config.dispatch.max_in_flight),
            config.dispatch,
            Budget(None, 0.0),
            known_price(config.engine, load_prices({}).models) or FREE,
            config.engine.batches if isinstance(config.engine, AnthropicConfig) else None,
        )
        failed: set[str] = set()  # by the server, in all tries of dispatch: asked no more
        for try_number in range(1, config.tries + 1):
            asks = {
                uid: _ask(config, uid, judge_text(prompt, question, passage), try_number)
                for uid, (question, passage) in passages.items()
                if verdicts[uid] is None and uid not in failed
            }
            answers = await answer(
                asks.values(),
                journal,
                caller,
                retry_failed=True,
                progress=progress if try_number == 1 else lambda _: None,
            )
            for uid, ask in asks.items():
                found = answers[ask.key]
                if found.text is None:
                    failed.add(uid)
                verdict = None if found.text is None else read_verdict(found.text, found.stop_reason)
                verdicts[uid] = None if verdict is None else verdict.sufficient
    return verdicts


def _ask(config: OpenJudgeConfig, uid: str, text: str, try_number: int) -> Ask:
    temperature = 0.0 if try_number == 1 else _RETRY_TEMPERATURE
    key = content_key("open_judge", uid, text, identity(config.engine), config.max_tokens, temperature, try_number)
    return Ask(key, uid, try_number, _prepare(config, uid, text, try_number, temperature))


def _prepare(
    config: OpenJudgeConfig, uid: str, text: str, try_number: int, temperature: float
) -> Callable[[], Awaitable[Request]]:
    async def prepare() -> Request:
        return Request(uid, text, config.max_tokens, try_number, temperature, None, JUDGE_SCHEMA)

    return prepare

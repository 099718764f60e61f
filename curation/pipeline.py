"""The main job on one screen: questions -> completions -> filtered traces -> verdicts -> shards -> dataset.

The unit of work is `run_shard`: idempotent, restartable, and free of engine calls for everything in its journals.
A finished shard carries a fingerprint of all that its rows depend on; it is made again only when that changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation import generate, verify
from curation.answers import Answer, answer
from curation.encoding import frames_identity
from curation.engines.config import identity
from curation.errors import without_paths
from curation.filters import REFUSAL, FilterConfig, Filtered, filter_completion
from curation.generate import Generator
from curation.ingest import read_questions
from curation.journal import content_key
from curation.media import MediaRecord
from curation.rundir import RunDirectory
from curation.schema import BAD_ENCODING, CONFIGS, REJECTED, SCHEMA_VERSION, Question, find_unstorable
from curation.shards import read_fingerprint, write_rows
from curation.shares import Shares
from curation.tasks import SCORING_VERSION
from curation.tokens import CountTokens
from curation.trace import Trace
from curation.verify import Verification, Verifier

# Raised by hand when the same answers and media would give other rows (template, filters, verdicts, refusals, columns),
# so that a mended rule reaches the shards of an old run; tests/golden holds it. 1 was a hash of source files.
RULES_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Stages:
    """Everything that a shard needs; built once a run, shared by all shards."""

    generator: Generator
    filter: FilterConfig
    verifier: Verifier
    media: Mapping[str, MediaRecord]
    count_tokens: CountTokens
    tokenizer: str | None
    retry_failed: bool = False
    shares: Shares = field(default_factory=Shares)


@dataclass(slots=True)
class Attempt:
    """What became of one question in one attempt; the first reason that hits stands."""

    question: Question
    number: int
    completion: str | None = None
    generator: str | None = None
    filtered: Filtered | None = None
    verification: Verification | None = None
    rejected_by: str | None = None
    detail: str | None = None

    @property
    def trace(self) -> Trace | None:
        """The parsed completion, if it is one."""
        return self.filtered.trace if self.filtered else None


async def run_shard(
    directory: RunDirectory, shard: int, stages: Stages, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Bring one shard to its three Parquet files. Raises FatalEngineError, BudgetExceeded and OSError (disk full)."""
    questions = read_questions(directory, shard)
    fingerprint = _fingerprint(questions, stages)
    if not stages.retry_failed and all(
        read_fingerprint(shard_file(directory, shard, config)) == fingerprint for config in CONFIGS
    ):
        progress(len(questions))
        return
    attempts = [_media_attempt(question, stages.media[question.path]) for question in questions]
    final = {attempt.question.id: attempt for attempt in attempts}
    history: list[Attempt] = []
    open_questions = [attempt.question for attempt in attempts if attempt.rejected_by is None]
    progress(len(questions) - len(open_questions))
    for number in range(1, stages.generator.config.attempts + 1):
        if not open_questions:
            break
        tried = await _attempt(directory, shard, stages, open_questions, number, progress if number == 1 else _ignore)
        history += tried
        final |= {attempt.question.id: attempt for attempt in tried}
        open_questions = [attempt.question for attempt in tried if _worth_another(attempt)]
    await asyncio.to_thread(_write, directory, shard, stages, list(final.values()), history, fingerprint)


async def _attempt(
    directory: RunDirectory,
    shard: int,
    stages: Stages,
    questions: Sequence[Question],
    number: int,
    progress: Callable[[int], None],
) -> list[Attempt]:
    """Steps 1 to 3 for the questions that are still open."""
    asks = stages.generator.asks(questions, stages.media, number)
    by_key = {ask.key: question for question, ask in zip(questions, asks, strict=True)}
    filtered: dict[str, Attempt] = {}

    def filter_one(key: str, found: Answer) -> None:
        attempt = filtered[key] = _filtered(by_key[key], number, found, stages.filter)
        stages.shares.filtered(attempt.question.id, attempt.rejected_by)

    def filter_known(answers: Mapping[str, Answer]) -> None:
        for key in by_key.keys() - filtered.keys():
            filter_one(key, answers[key])

    answers = await answer(
        asks,
        directory.journal(shard, "generate"),
        stages.generator.caller,
        retry_failed=stages.retry_failed,
        resend_lost=stages.retry_failed,
        progress=progress,
        is_usable=generate.is_trace,
        seen=filter_one,
    )
    await asyncio.to_thread(filter_known, answers)
    attempts = [filtered[ask.key] for ask in asks]
    kept = {attempt.question.id: attempt for attempt in attempts if attempt.rejected_by is None}
    traces = {name: (attempt.question, attempt.trace) for name, attempt in kept.items() if attempt.trace is not None}
    verifications = await stages.verifier.verify(
        traces,
        number,
        directory.journal(shard, "verify"),
        retry_failed=stages.retry_failed,
        seen=lambda question_id, found: stages.shares.judged(question_id, verify.rejected_by(found)),
    )
    for question_id, verification in verifications.items():
        stages.shares.judged(question_id, verify.rejected_by(verification))
        attempt = kept[question_id]
        attempt.verification = verification
        attempt.rejected_by = verify.rejected_by(verification)
        attempt.detail = verification.detail
    return attempts


def shard_file(directory: RunDirectory, shard: int, config: str) -> Path:
    """Where the finished rows of one config lie; config "attempts" keeps every attempt's record."""
    return directory.shards / f"{shard:05d}.{config}.parquet"


def _fingerprint(questions: Sequence[Question], stages: Stages) -> str:
    return content_key(
        SCHEMA_VERSION,
        [RULES_VERSION, SCORING_VERSION],
        [(question.id, question.license, question.data_source, question.problem_id) for question in questions],
        [(question.solution, question.problem_type, question.data_type) for question in questions],
        [(media.sha256, media.reason, media.kind) for media in (stages.media[q.path] for q in questions)],
        stages.generator.config.model_dump(mode="json", exclude={"engine", "prompt", "dispatch"}),
        identity(stages.generator.config.engine),
        stages.generator.prompt.sha256,
        frames_identity(stages.generator.video),
        stages.filter.model_dump(mode="json"),
        stages.verifier.config.model_dump(mode="json", exclude={"engine", "prompt", "dispatch"}),
        identity(stages.verifier.config.engine),
        stages.verifier.prompt.sha256,
        stages.tokenizer,
    )


def _media_attempt(question: Question, media: MediaRecord) -> Attempt:
    """Unusable media exclude a question with a reason; no other file ever takes their place."""
    fault = media.refuse(question.data_type)
    if fault is None:
        return Attempt(question, 0)
    return Attempt(question, 0, rejected_by=f"media:{fault.reason}", detail=str(fault))


def _filtered(question: Question, number: int, found: Answer, config: FilterConfig) -> Attempt:
    attempt = Attempt(question, number, found.text, found.model, rejected_by=generate.rejected_by(found))
    if found.text is None:
        attempt.detail = found.detail
        return attempt
    if fault := find_unstorable(found.text):
        attempt.completion, attempt.rejected_by, attempt.detail = None, BAD_ENCODING, f"the completion: {fault}"
        return attempt
    if found.stop_reason == "refusal":
        attempt.rejected_by, attempt.detail = REFUSAL, "the model's server says that it declines"
        return attempt
    attempt.filtered = filter_completion(found.text, question, config)
    attempt.rejected_by, attempt.detail = attempt.filtered.rejected_by, attempt.filtered.detail
    return attempt


def _worth_another(attempt: Attempt) -> bool:
    """Failures of steps 2 and 3 are regenerated; an unscored row is the judge's failure, not the generator's."""
    return attempt.rejected_by is not None and (
        attempt.rejected_by.startswith("filter:") or attempt.rejected_by in (BAD_ENCODING, "verify:insufficient")
    )


def _write(
    directory: RunDirectory,
    shard: int,
    stages: Stages,
    final: Sequence[Attempt],
    history: Sequence[Attempt],
    fingerprint: str,
) -> None:
    rows = _rows(final, stages)
    usable = [attempt.question.as_row() for attempt in final if not (attempt.rejected_by or "").startswith("media:")]
    tables: dict[str, tuple[list[dict[str, Any]], pa.Schema]] = {
        "cot": ([row for row in rows if row["rejected_by"] is None], CONFIGS["cot"]),
        "rejected": ([row for row in rows if row["rejected_by"] is not None], REJECTED),
        "rl": (usable, CONFIGS["rl"]),
    }
    if stages.generator.config.attempts > 1:
        tables["attempts"] = (_rows(history, stages), REJECTED)
    for config, (table_rows, schema) in tables.items():
        write_rows(shard_file(directory, shard, config), table_rows, schema, fingerprint=fingerprint)


def _rows(attempts: Sequence[Attempt], stages: Stages) -> list[dict[str, Any]]:
    """Rows of the rejected schema, in order; a kept row has no `rejected_by`."""
    places = [place for place, attempt in enumerate(attempts) if attempt.trace is not None]
    traces = [attempt.trace for attempt in attempts if attempt.trace is not None]
    observation_tokens = stages.count_tokens([trace.observation for trace in traces])
    think_tokens = stages.count_tokens([trace.think for trace in traces])
    lengths = dict(zip(places, zip(observation_tokens, think_tokens, strict=True), strict=True))
    return [_row(attempt, stages, *lengths.get(place, (None, None))) for place, attempt in enumerate(attempts)]


def _row(attempt: Attempt, stages: Stages, observation_tokens: int | None, think_tokens: int | None) -> dict[str, Any]:
    media = stages.media[attempt.question.path]
    filtered, verification, trace = attempt.filtered, attempt.verification, attempt.trace
    return {
        **attempt.question.as_row(),
        "observation": trace.observation if trace else None,
        "think": trace.think if trace else None,
        "answer": trace.answer if trace else None,
        "score": filtered.score if filtered else None,
        "verdict": verification.verdict if verification else None,
        "verdict_reason": verification.reason if verification else None,
        "observation_tokens": observation_tokens,
        "think_tokens": think_tokens,
        "flags": list(filtered.flags) if filtered else [],
        "overlaps": None,
        "media_sha256": media.sha256,
        "media_duration_s": media.duration_s,
        "media_num_frames": media.num_frames,
        "generator": attempt.generator,
        "prompt_sha256": stages.generator.prompt.sha256 if attempt.number else None,
        "judge": stages.verifier.caller.engine.model if verification else None,
        "judge_prompt_sha256": stages.verifier.prompt.sha256 if verification else None,
        "attempt": attempt.number or None,
        "rejected_by": attempt.rejected_by,
        "detail": None if attempt.detail is None else without_paths(attempt.detail),
        "completion": attempt.completion if attempt.rejected_by else None,
    }


def _ignore(_: int) -> None:
    """Later attempts are not progress: their questions were counted."""

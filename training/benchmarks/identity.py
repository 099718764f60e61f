"""How a benchmark is scored, before anything is asked: its media, and the run's fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from curation.engines.config import OpenAIConfig
from curation.prompts import Prompt
from training.benchmarks.answering import engine_frames
from training.benchmarks.config import BenchmarkConfig, PromptName
from training.benchmarks.fingerprint import (
    Decoding,
    Fingerprint,
    code_version,
    hash_media,
    hash_questions,
)
from training.benchmarks.question import BenchmarkQuestion, LoadedBenchmark, MediaReference
from training.benchmarks.rendering import prompt_sha256


def make_fingerprint(
    loaded: LoadedBenchmark,
    prompt: PromptName,
    config: BenchmarkConfig,
    *,
    trace_prompt: Prompt,
    media_sha256: str,
    judge: str | None,
) -> Fingerprint:
    """judge: who judges its open answers; None where it has none. media_sha256: of `hash_all_media`."""
    return Fingerprint(
        benchmark=loaded.benchmark,
        protocol=config.protocol,
        prompt=prompt,
        prompt_sha256=prompt_sha256(prompt, trace_prompt),
        frames=engine_frames(config),
        decoding=_decoding(config),
        dataset_revision=loaded.revision,
        questions_sha256=hash_questions(question.uid for question in loaded.questions),
        media_sha256=media_sha256,
        judge=judge,
        code_version=code_version(),
    )


def media_files(questions: Sequence[BenchmarkQuestion]) -> Iterator[Path]:
    """Every file that the questions show, each as often as it is shown."""
    for question in questions:
        yield from _files_of(question.media)


def hash_all_media(questions: Sequence[BenchmarkQuestion], sha256s: dict[Path, str | None]) -> str:
    """sha256s: of `media_files`. Pictures that stand in the rows themselves count too."""
    seen: dict[str, str | None] = {}
    for question in questions:
        media = question.media
        hashes = [sha256s[file] for file in _files_of(media)]
        # A folder of frames is one medium; one frame that cannot be read makes it another one.
        seen[media.name] = _join(hashes) if len(hashes) > 1 else hashes[0] if hashes else None
        if isinstance(media.image, bytes):
            seen[f"{media.name} of {question.uid}"] = hashlib.sha256(media.image).hexdigest()
    return hash_media(seen)


def _files_of(media: MediaReference) -> Iterator[Path]:
    if media.file is not None:
        yield from sorted(media.file.iterdir()) if media.kind == "frames" else (media.file,)
    if isinstance(media.image, Path):
        yield media.image


def _join(sha256s: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(sha256s).encode()).hexdigest()


def _decoding(config: BenchmarkConfig) -> Decoding:
    further = dict(config.engine.extra_body) if isinstance(config.engine, OpenAIConfig) else {}
    seed = further.pop("seed") if isinstance(further.get("seed"), int) else None
    return Decoding(
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        seed=seed,
        further=json.dumps(further, sort_keys=True) if further else None,
    )

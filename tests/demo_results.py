"""Results over the demo world's multiple-choice questions, from outputs that a test makes up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curation.scoring.answer_text import answer_text
from curation.sources.invent import invent_media
from curation.world.scenes import SceneRecord
from training.benchmarks.fingerprint import Fingerprint, hash_questions
from training.benchmarks.protocols import score_questions, summarise
from training.benchmarks.question import BenchmarkQuestion, MediaReference
from training.benchmarks.results import BenchmarkResult, GroupScore, ResultRow, result_folder, write_result
from training.benchmarks.scoring import Reply

SHA = "0" * 64


def demo_records(num_questions: int, seed: int = 0) -> list[SceneRecord]:
    """Multiple-choice questions of the demo world with the scenes behind them."""
    return [record for record in _records(3 * num_questions + 20, seed) if record.options][:num_questions]


def question_of(record: SceneRecord, *, benchmark: str = "shapes", missing: str | None = None) -> BenchmarkQuestion:
    return BenchmarkQuestion(
        benchmark=benchmark,
        uid=record.id,
        kind="mc",
        text=record.problem,
        options=record.options,
        answer=answer_text(record.solution),
        media=MediaReference(record.path, None if missing else Path(record.path), missing=missing),
        groups={"task": record.problem_type},
    )


def fingerprint(ids: Sequence[str], **changes: Any) -> Fingerprint:
    values = {
        "benchmark": "shapes",
        "protocol": "official",
        "prompt": "trace",
        "prompt_sha256": SHA,
        "frames": {
            "num_frames": 32,
            "fps": None,
            "min_pixels": 3136,
            "max_pixels": 200704,
            "sent_as": "video",
            "reader": "pyav",
        },
        "decoding": {"temperature": 0.01, "top_p": 0.001, "max_tokens": 1024},
        "dataset_revision": "files",
        "questions_sha256": hash_questions(ids),
        "media_sha256": SHA,
        "judge": None,
        "code_version": "test",
    }
    return Fingerprint.model_validate(values | changes)


def write_demo_result(
    run_dir: Path,
    questions: Sequence[BenchmarkQuestion],
    outputs: Mapping[str, str | None],
    *,
    model: str = "org/base",
    **changes: Any,
) -> Path:
    """Score `outputs` (uid -> text) and write the result as a finished run has it; `changes` are of the fingerprint."""
    benchmark = questions[0].benchmark
    made = fingerprint([question.uid for question in questions], benchmark=benchmark, **changes)
    replies = {question.uid: Reply(outputs.get(question.uid)) for question in questions}
    rows = score_questions(questions, replies, made.protocol)
    score = summarise(benchmark, made.protocol, rows)
    result = BenchmarkResult(
        benchmark=benchmark,
        model=model,
        model_revision=None,
        engine="openai",
        fingerprint=made,
        overall=score.overall,
        lenient=score.lenient,
        interval=score.interval,
        counted=GroupScore.model_validate(asdict(score.counted)),
        every=GroupScore.model_validate(asdict(score.every)),
        groups={
            name: {value: GroupScore.model_validate(asdict(tally)) for value, tally in by_value.items()}
            for name, by_value in score.groups.items()
        },
        macro=score.macro,
        num_published=None,
        left_out={},
        seconds=1.0,
        source="a test",
    )
    written = [
        ResultRow(
            id=question.uid,
            kind=question.kind,
            question=question.text,
            options=question.options,
            gold=question.answer,
            groups=question.groups,
            media=question.media.name,
            output=replies[question.uid].output,
            stop_reason=None if replies[question.uid].output is None else "stop",
            num_tokens=None,
            passage=row.score.passage,
            score=row.score.score,
            lenient=row.score.lenient,
            failure=row.score.failure,
            detail=None,
            verdict=None,
            weight=score.weights[question.uid],
        )
        for question, row in zip(questions, rows, strict=True)
    ]
    folder = result_folder(run_dir, benchmark, made.prompt)
    write_result(folder, result, written)
    return folder


def _records(num_questions: int, seed: int) -> Iterator[SceneRecord]:
    for media in invent_media(num_questions, seed):
        yield from media.records

"""Predictions as a run saves them: rows.parquet and score.json, with our score of every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from training.benchmarks.fingerprint import Decoding, Fingerprint, Frames, code_version, hash_media, hash_questions
from training.benchmarks.protocols import score_questions, summarise
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.results import BenchmarkResult, GroupScore, ResultRow, read_rows, result_folder, write_result
from training.benchmarks.scoring import Reply

_FRAMES = Frames(num_frames=1, fps=None, min_pixels=1, max_pixels=1, sent_as="nothing", reader="nothing is shown")
_DECODING = Decoding(temperature=0, top_p=1, max_tokens=1)


def save_run(run_dir: Path, loaded: LoadedBenchmark, outputs: Mapping[str, str]) -> list[ResultRow]:
    """Score the outputs (uid -> text) by `official`, write them, and read them back."""
    scored = score_questions(loaded.questions, {uid: Reply(output) for uid, output in outputs.items()}, "official")
    score = summarise(loaded.benchmark, "official", scored)
    rows = [
        ResultRow(
            id=question.uid,
            kind=question.kind,
            question=question.text,
            options=question.options,
            gold=question.answer,
            groups=question.groups,
            media=question.media.name,
            output=outputs[question.uid],
            stop_reason="stop",
            num_tokens=None,
            passage=row.score.passage,
            score=row.score.score,
            lenient=row.score.lenient,
            failure=row.score.failure,
            detail=None,
            verdict=None,
            weight=score.weights[question.uid],
        )
        for question, row in zip(loaded.questions, scored, strict=True)
    ]
    result = BenchmarkResult(
        benchmark=loaded.benchmark,
        model="written by hand",
        model_revision=None,
        engine="none",
        fingerprint=Fingerprint(
            benchmark=loaded.benchmark,
            protocol="official",
            prompt="direct",
            prompt_sha256="0" * 64,
            frames=_FRAMES,
            decoding=_DECODING,
            dataset_revision=loaded.revision,
            questions_sha256=hash_questions(outputs),
            media_sha256=hash_media({}),
            judge=None,
            code_version=code_version(),
        ),
        overall=score.overall,
        lenient=score.lenient,
        interval=score.interval,
        counted=GroupScore.model_validate(asdict(score.counted)),
        every=GroupScore.model_validate(asdict(score.every)),
        groups={
            name: {value: GroupScore.model_validate(asdict(found)) for value, found in values.items()}
            for name, values in score.groups.items()
        },
        macro=score.macro,
        num_published=None,
        left_out={},
        seconds=0,
        source=loaded.describe(),
    )
    folder = result_folder(run_dir, loaded.benchmark, "direct")
    write_result(folder, result, rows)
    return read_rows(folder)

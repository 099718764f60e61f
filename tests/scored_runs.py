"""Run directories of benchmark runs that never took place, with scores that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from training.benchmarks.fingerprint import Decoding, Fingerprint, Frames, hash_media, hash_questions
from training.benchmarks.protocols import ScoredRow, summarise
from training.benchmarks.results import BenchmarkResult, GroupScore, ResultRow, result_folder, write_result
from training.benchmarks.scoring import Failure, RowScore

SEVEN: Final = ("vsi_bench", "videommmu", "mmvu", "vcr_bench", "mvbench", "tempcompass", "video_mme")


def fingerprint(benchmark: str, prompt: str = "trace", *, num_rows: int = 100, **changes: Any) -> Fingerprint:
    """The paper's settings; changes are of the whole or, with a dot written as two underscores, of a part."""
    frames = {
        "num_frames": 32,
        "fps": None,
        "min_pixels": 3136,
        "max_pixels": 200_704,
        "sent_as": "video",
        "reader": "ours",
    }
    decoding = {"temperature": 0.01, "top_p": 0.001, "max_tokens": 1024}
    parts = {"frames": frames, "decoding": decoding}
    values: dict[str, Any] = {
        "benchmark": benchmark,
        "protocol": "videor1",
        "prompt": prompt,
        "prompt_sha256": hash_questions([prompt]),
        "dataset_revision": "ab" * 20,
        "questions_sha256": hash_questions(f"{benchmark}-{place}" for place in range(num_rows)),
        "media_sha256": hash_media({benchmark: "0" * 64}),
        "judge": None,
        "code_version": "0123456789ab",
    }
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            parts[part][field] = value
        else:
            values[name] = value
    return Fingerprint(frames=Frames(**frames), decoding=Decoding(**decoding), **values)


def scored_rows(
    benchmark: str,
    num_right: int,
    *,
    num_rows: int = 100,
    kind: str = "mc",
    groups: Mapping[str, Sequence[str]] | None = None,
    failures: Sequence[Failure] = (),
    num_lenient: int = 0,
) -> list[ScoredRow]:
    """The first are right, then come the failures, of which `num_lenient` are right when read leniently.

    groups: name -> its values, which take turns.
    """
    rows = []
    for place in range(num_rows):
        is_right, nth = place < num_right, place - num_right
        failure = failures[nth] if 0 <= nth < len(failures) else None
        score = RowScore(float(is_right), float(is_right or (failure is not None and nth < num_lenient)), "A", failure)
        values = {name: found[place % len(found)] for name, found in (groups or {}).items()}
        rows.append(ScoredRow(f"{benchmark}-{place}", kind, values, score))  # type: ignore[arg-type]
    return rows


def result_of(found: Fingerprint, rows: Sequence[ScoredRow], **changes: Any) -> tuple[BenchmarkResult, list[ResultRow]]:
    """What a run leaves behind of these rows."""
    score = summarise(found.benchmark, found.protocol, rows, judge=found.judge)

    def part(tally: Any) -> GroupScore:
        return GroupScore(
            num_rows=tally.num_rows,
            num_parsed=tally.num_parsed,
            num_missing=tally.num_missing,
            failures=tally.failures,
            sum_score=tally.sum_score,
            sum_lenient=tally.sum_lenient,
        )

    values: dict[str, Any] = {
        "benchmark": found.benchmark,
        "model": "org/model-7b",
        "model_revision": "cd" * 20,
        "engine": "in_process",
        "fingerprint": found,
        "overall": score.overall,
        "lenient": score.lenient,
        "interval": score.interval,
        "counted": part(score.counted),
        "every": part(score.every),
        "groups": {name: {value: part(tally) for value, tally in by.items()} for name, by in score.groups.items()},
        "macro": score.macro,
        "num_published": len(rows),
        "left_out": {},
        "seconds": 93.0,
        "source": f"{found.benchmark} at abab",
    }
    written = [
        ResultRow(
            id=row.id,
            kind=row.kind,
            question="What happens?",
            options=("A. this", "B. that"),
            gold="A",
            groups=row.groups,
            media="clip.mp4",
            output=None if row.score.failure in (Failure.MISSING_VIDEO, Failure.NO_OUTPUT) else "I think that it is A",
            stop_reason=None,
            num_tokens=None,
            passage=row.score.passage,
            score=row.score.score,
            lenient=row.score.lenient,
            failure=row.score.failure,
            detail=None,
            verdict=None,
            weight=score.weights[row.id],
        )
        for row in rows
    ]
    return BenchmarkResult(**(values | changes)), written


def write_score(
    run_dir: Path,
    benchmark: str,
    num_right: int,
    prompt: str = "trace",
    *,
    rows: Mapping[str, Any] | None = None,
    made: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """One finished score. rows: of `scored_rows`; made: of `fingerprint`; changes: of the result."""
    about = dict(rows or {})
    scored = scored_rows(benchmark, num_right, **about)
    found = fingerprint(benchmark, prompt, num_rows=len(scored), **(made or {}))
    folder = result_folder(run_dir, benchmark, prompt)
    write_result(folder, *result_of(found, scored, **changes))
    return folder

"""Scored answers, from the finished results of benchmarks or from a training's held-out predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import RunDirectoryError
from training.benchmarks.analyses.breakdown import ScoredAnswer, ScoredSet
from training.benchmarks.protocols import KIND, TITLES
from training.benchmarks.results import FOLDER, ResultRow, find_results, read_rows
from training.evaluation_facts import EvaluatedStage, load_evaluation
from training.measures import MODEL_TITLES
from training.rundir import TrainingRun

NO_VERDICT: Final = "no verdict"
MALFORMED: Final = "malformed"
_HELD_OUT_COLUMNS: Final = (
    "kind", "completion", "is_well_formed", "has_observation", "score", "verdict", "num_tokens",
)  # fmt: skip


def benchmark_answers(run_dir: Path, prompt: str) -> Iterator[ScoredSet]:
    """Every finished result with this prompt, in the order of the paper's table.

    Raises RunDirectoryError when there is none.
    """
    finished = find_results(run_dir)
    found = [(folder, result) for folder, result in finished if folder.name == prompt]
    if not found:
        others = sorted({folder.name for folder, _ in finished})
        raise RunDirectoryError(
            f"{run_dir} has no finished result with the prompt {prompt!r} below {FOLDER}/; "
            + (f"there are some with {', '.join(others)}." if others else "run the benchmark stage first.")
        )
    order = {name: place for place, name in enumerate(TITLES)}
    for folder, result in sorted(found, key=lambda entry: order.get(entry[1].benchmark, len(order))):
        title = f"{TITLES.get(result.benchmark, result.benchmark)}, prompt {prompt}"
        provenance = {
            "model": result.model,
            "model_revision": result.model_revision,
            "fingerprint": result.fingerprint.sha256,
        }
        yield ScoredSet(result.benchmark, title, provenance, [_of_row(row) for row in read_rows(folder)])


def held_out_answers(run_dir: Path) -> Iterator[ScoredSet]:
    """Every finished evaluation. Raises RunDirectoryError when there is none."""
    folder = TrainingRun(run_dir).evaluations
    stages: tuple[EvaluatedStage, ...] = get_args(EvaluatedStage)
    # The JSON is written last. A comparison leaves one without predictions, of the model that it begins with.
    done = {
        stage: evaluation
        for stage in stages
        if (evaluation := load_evaluation(folder / f"{stage}.json")) is not None
        and (folder / f"{stage}.parquet").is_file()
    }
    if not done:
        raise RunDirectoryError(
            f"{run_dir} has no held-out predictions (evaluation/*.parquet). Set evaluation.held_out_share and run "
            "the stage evaluate."
        )
    for stage, evaluation in done.items():
        rows = _read_predictions(folder / f"{stage}.parquet")
        title = f"Held-out questions, {MODEL_TITLES[stage]}"
        yield ScoredSet(stage, title, {"model": evaluation.model}, [_of_prediction(row) for row in rows])


def _of_row(row: ResultRow) -> ScoredAnswer:
    return ScoredAnswer(
        score=row.score,
        is_in_form=row.failure is None,
        is_counted=row.weight > 0,
        output=row.output,
        num_tokens=row.num_tokens,
        groups={KIND: row.kind} | dict(row.groups),
    )


def _of_prediction(row: dict[str, Any]) -> ScoredAnswer:
    """kind is the problem type, and the options where many questions have the same ones (held_out.name_kinds)."""
    problem_type = row["kind"].partition(": ")[0]
    observation = (row["verdict"] or NO_VERDICT) if row["has_observation"] else MALFORMED
    return ScoredAnswer(
        score=row["score"],
        is_in_form=row["is_well_formed"],
        is_counted=True,
        output=row["completion"],
        num_tokens=row["num_tokens"],
        groups={"problem type": problem_type, KIND: row["kind"], "observation": observation},
    )


def _read_predictions(path: Path) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        why = " ".join(str(error).split())[:120]
        raise RunDirectoryError(f"cannot read {path}: {why}. Delete its .json and score the model again.") from error
    if missing := [name for name in _HELD_OUT_COLUMNS if name not in table.column_names]:
        raise RunDirectoryError(f"{path} has no column {missing[0]!r}: it holds no held-out predictions.")
    rows: list[dict[str, Any]] = table.select(list(_HELD_OUT_COLUMNS)).to_pylist()
    return rows

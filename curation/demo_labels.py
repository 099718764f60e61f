"""Labels for the demo, with known answers: a stand-in for people, written from the scene record.

The demo knows from which observations it withheld what the answer needs (world/traces.py); neither the pipeline nor its
judge is told. So a calibration on these labels has a known answer, and says nothing about how people label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from curation.agreement import DESIGN
from curation.engines.scripted import Fault, ScriptedConfig, injected_fault
from curation.facts import scan_config
from curation.labelled import QUESTION_COLUMNS
from curation.schema import INSUFFICIENT, SUFFICIENT

LABELLER: Final = "scene record"  # nobody may take these for human labels
NUM_LABELS: Final = 200


def write_demo_labels(run_dir: Path, engine: ScriptedConfig, *, num_labels: int = NUM_LABELS) -> Path:
    """Write `labels.parquet` into the run directory; returns its path.

    Of the observations that reached the judge, `num_labels` in turn from each problem type and label, as far as there
    are any: types are even, and insufficient ones are more frequent than in the dataset, because they are what a judge
    can be wrong about. The columns of agreement.DESIGN say by how much. Same run, same labels.
    """
    columns = ("id", "attempt", "judge", *QUESTION_COLUMNS)
    rows = pl.concat([scan_config(run_dir / "dataset", config).select(columns) for config in ("cot", "rejected")])
    judged = rows.filter(pl.col("judge").is_not_null()).collect()
    labels = [
        _true_label(engine, question_id, attempt) for question_id, attempt in judged.select("id", "attempt").iter_rows()
    ]
    stratum = ("problem_type", "label")
    chosen = (
        judged.with_columns(label=pl.Series(labels, dtype=pl.String), labeller=pl.lit(LABELLER))
        .sort("id")  # a hash: as good as drawn by chance
        .with_columns(
            place=pl.int_range(pl.len()).over(stratum),
            stratum=pl.struct(stratum).rank("dense").cast(pl.Int64),
            stratum_rows=pl.len().over(stratum).cast(pl.Int64),
            population_rows=pl.len().cast(pl.Int64),
        )
        .sort("place", *stratum)
        .head(num_labels)
    )
    path = run_dir / "labels.parquet"
    torn = path.with_suffix(".tmp")
    chosen.select("id", "label", "labeller", *DESIGN, *QUESTION_COLUMNS).write_parquet(torn)
    torn.replace(path)
    return path


def _true_label(engine: ScriptedConfig, question_id: str, attempt: int) -> str:
    fault = injected_fault(engine.seed, question_id, attempt, engine.fault_rates)
    return INSUFFICIENT if fault is Fault.INSUFFICIENT_OBSERVATION else SUFFICIENT

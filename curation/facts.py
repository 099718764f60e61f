"""A dataset folder as facts: one small row per record, boiled down in a single streamed pass over the texts.

    DIR/dataset/{data,rejected,rl}/*.parquet -> load_facts -> statistics that only group and count

The texts are never in memory at once: words are counted and texts hashed on the way in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import RunDirectoryError
from curation.schema import CONFIG_FILES, CONFIGS, STEPS
from curation.scoring.words import WORD_PATTERN

Segment = Literal["observation", "think"]
SEGMENTS: Final[tuple[Segment, ...]] = ("observation", "think")
# Columns that are small as they are.
_CATEGORIES: Final = (
    "id",
    "problem_type",
    "data_type",
    "data_source",
    "license",
    "score",
    "verdict",
    "flags",
    "overlaps",
    "attempt",
    "generator",
    "prompt_sha256",
    "judge",
    "judge_prompt_sha256",
)


def find_dataset(directory: Path) -> Path:
    """The dataset folder of a run directory, or the folder itself. Raises RunDirectoryError when there is none."""
    if not directory.is_dir():
        raise RunDirectoryError(f"{directory} is no directory. Name a run directory or a dataset folder.")
    return directory / "dataset" if (directory / "dataset").is_dir() else directory


def config_files(dataset_dir: Path, config: str) -> list[Path]:
    """The Parquet files of one config, in order. Raises RunDirectoryError when there is none."""
    pattern = f"{CONFIG_FILES[config]}-*.parquet"
    files = sorted(dataset_dir.glob(pattern))
    if not files:
        raise RunDirectoryError(
            f"{dataset_dir} has no {pattern} (config {config}). Name a finished run directory or its dataset folder."
        )
    return files


def read_footer(file: Path) -> pq.FileMetaData:
    """The Parquet footer. Raises RunDirectoryError when the file is none, or torn."""
    try:
        return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{file} is no readable Parquet file: {str(error).splitlines()[0]} Run the pipeline again to rewrite it."
        ) from error


def count_rows(file: Path) -> int:
    """Rows of one Parquet file, from its footer. Raises RunDirectoryError."""
    return int(read_footer(file).num_rows)


def load_facts(dataset_dir: Path) -> pl.DataFrame:
    """One row per kept or rejected record: `kept`, `step`, `reason`, the categories and the measured columns.

    What is measured on kept rows only (words, tokens, hashes, answer) is null for the rejected; `solution` and
    `options` are there for multiple choice. Raises RunDirectoryError when a config is missing, unreadable or
    contradicts itself.
    """
    kept = scan_config(dataset_dir, "cot").select(
        *_CATEGORIES,
        *_choices(),
        "answer",
        *(
            pl.col(segment).str.count_matches(WORD_PATTERN).cast(pl.Int64).alias(f"{segment}_words")
            for segment in SEGMENTS
        ),
        *(f"{segment}_tokens" for segment in SEGMENTS),
        *_hashes(),
        kept=pl.lit(True),
    )
    rejected = scan_config(dataset_dir, "rejected").select(
        *_CATEGORIES,
        *_choices(),
        pl.col("rejected_by").str.extract(r"^([^:]+):").alias("step"),
        pl.col("rejected_by").str.extract(r"(?s)^[^:]+:(.+)$").alias("reason"),
        kept=pl.lit(False),
    )
    try:
        facts = pl.concat(pl.collect_all([kept, rejected], engine="streaming"), how="diagonal")
    except (OSError, pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
        raise RunDirectoryError(
            f"cannot read {dataset_dir}: {str(error).splitlines()[0]} Run the pipeline again to rewrite it."
        ) from error
    _check_rows(facts, dataset_dir)
    return facts


def scan_config(dataset_dir: Path, config: str) -> pl.LazyFrame:
    """The config's files with the published column types: a column that is all null in one file may lack its type.

    Raises RunDirectoryError when there is no file, or one without all columns.
    """
    schema: pa.Schema = CONFIGS[config]
    types = pl.DataFrame(schema.empty_table()).schema
    scans = []
    for file in config_files(dataset_dir, config):
        if missing := set(schema.names) - set(read_footer(file).schema.to_arrow_schema().names):
            raise RunDirectoryError(f"{file} has no column {sorted(missing)}; it was written by another version.")
        scan = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        scans.append(scan.select(pl.col(name).cast(dtype) for name, dtype in types.items()))
    return pl.concat(scans)


def _choices() -> list[pl.Expr]:
    """`solution` and `options` of multiple-choice rows, null elsewhere."""
    chosen = pl.col("problem_type") == "multiple choice"
    return [pl.when(chosen).then(pl.col(name)).alias(name) for name in ("solution", "options")]


def _hashes() -> list[pl.Expr]:
    """64-bit hashes to count distinct texts by: among 162K rows two texts share one with a chance below 1e-9."""
    forms = {}
    for column in ("problem", "observation", "think"):
        text = pl.col(column)
        forms[f"{column} exact"] = text.hash()
        forms[f"{column} normalised"] = text.str.to_lowercase().str.replace_all(r"\p{P}+", "").hash()
    for form in ("exact", "normalised"):
        forms[f"problem and path {form}"] = pl.struct(forms[f"problem {form}"], "path").hash()
    nulls = {name: pl.col(name.split()[0]).is_null() for name in forms}
    return [pl.when(~nulls[name]).then(hashed).alias(name) for name, hashed in forms.items()]


def _check_rows(facts: pl.DataFrame, dataset_dir: Path) -> None:
    """Raises RunDirectoryError on rows that no run writes: counting them would give a wrong funnel in silence."""
    rejected = facts.filter(~pl.col("kept"))
    nameless = rejected.filter(pl.col("reason").is_null() | ~pl.col("step").is_in(STEPS).fill_null(False))
    if nameless.height:
        raise RunDirectoryError(
            f"{dataset_dir}: {nameless.height} rejected rows, the first with id {nameless['id'][0]!r}, have no "
            f"rejected_by of the form step:reason with a step of {', '.join(STEPS)}."
        )
    # A duplicate record is rejected under the id of the one that stays; past the source an id stands once.
    questions = facts.filter(pl.col("kept") | (pl.col("step") != "source"))["id"].drop_nulls()
    twice = questions.filter(questions.is_duplicated())
    if twice.len():
        raise RunDirectoryError(f"{dataset_dir}: question {twice[0]!r} stands there more than once.")
    if facts.filter(~pl.col("score").is_between(0, 1)).height:
        raise RunDirectoryError(f"{dataset_dir}: a score lies outside [0, 1].")

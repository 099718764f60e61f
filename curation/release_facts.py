"""One side of the comparison with the authors' release as facts: its questions and its traces, boiled down.

The texts are never in memory at once: words and tokens are counted and texts hashed on the way in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import RunDirectoryError
from curation.facts import SEGMENTS, config_files, scan_config
from curation.scoring.words import WORD_PATTERN
from curation.tokens import CountTokens

_BATCH_ROWS: Final = 2_000
_QUESTION: Final = ("id", "problem_type", "data_source")


@dataclass(frozen=True, slots=True)
class Side:
    """questions: id, near (hash of path and problem, without options), problem_type, data_source, solution, rejected_by
    (null = accepted): one row for every record that was a question.
    traces: id, problem_type, options, answer, score, {observation,think}_{words,tokens,hash} of the accepted; tokens
    are null where they were not counted.
    """

    questions: pl.DataFrame
    traces: pl.DataFrame


def load_side(folder: Path, count_tokens: CountTokens | None, progress: Callable[[int], None]) -> Side:
    """A dataset folder's questions and traces; `progress` gets traces whose tokens were counted since.

    Raises RunDirectoryError when a config is missing, unreadable or contradicts itself.
    """
    accepted = _questions(folder, "cot", pl.lit(None, pl.String).alias("rejected_by"))
    rejected = _questions(folder, "rejected", pl.col("rejected_by"))
    rejected = rejected.filter(~pl.col("rejected_by").str.starts_with("source:"))
    traces = scan_config(folder, "cot").select(
        "id",
        "problem_type",
        "options",
        "answer",
        "score",
        *(pl.col(name).str.count_matches(WORD_PATTERN).cast(pl.Int64).alias(f"{name}_words") for name in SEGMENTS),
        *(pl.col(name).hash().alias(f"{name}_hash") for name in SEGMENTS),
    )
    try:
        first, second, texts = pl.collect_all([accepted, rejected, traces], engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise RunDirectoryError(f"cannot read {folder}: {str(error).splitlines()[0]}") from error
    questions = pl.concat([first, second])
    if questions["id"].is_duplicated().any():
        twice = questions.filter(pl.col("id").is_duplicated())["id"][0]
        raise RunDirectoryError(f"{folder}: question {twice!r} stands there more than once.")
    return Side(questions, texts.join(_count_tokens(folder, count_tokens, progress), on="id", how="left"))


def load_asked(folder: Path) -> pl.DataFrame:
    """Config rl as questions: id, near, problem_type, data_source. Raises RunDirectoryError."""
    return _questions(folder, "rl").collect(engine="streaming")


def _questions(folder: Path, config: str, *more: pl.Expr) -> pl.LazyFrame:
    near = pl.concat_str(pl.col("path").str.strip_prefix("./"), "problem", separator="\0").hash()
    return scan_config(folder, config).select(*_QUESTION, "solution", *more, near=near)


def _count_tokens(folder: Path, count_tokens: CountTokens | None, progress: Callable[[int], None]) -> pl.DataFrame:
    """id, {observation,think}_tokens. Counted anew on both sides: what two tokenizers count cannot be compared."""
    counts: dict[str, list[str | int | None]] = {"id": [], **{f"{name}_tokens": [] for name in SEGMENTS}}
    if count_tokens is not None:
        for batch in _texts(folder):
            counts["id"] += batch["id"].to_pylist()
            for name in SEGMENTS:
                counts[f"{name}_tokens"] += count_tokens(batch[name].to_pylist())
            progress(batch.num_rows)
    return pl.DataFrame(counts, {name: pl.String if name == "id" else pl.Int64 for name in counts})


def _texts(folder: Path) -> Iterator[pa.RecordBatch]:
    for file in config_files(folder, "cot"):
        with pq.ParquetFile(file) as parquet:
            yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=["id", *SEGMENTS])

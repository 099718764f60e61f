"""The attempts that a run made before the one whose row it kept: a dataset holds one row a question.

A run with generate.attempts above 1 writes each attempt to RUN/shards/*.attempts.parquet, in the columns of a rejected
row. They are not published, so only a run on this disk has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.filters import whole_characters
from app.shards import open_shard, read


def find_attempts(run: Path | None, row_id: str, *, besides: Sequence[int | None] = ()) -> list[dict[str, Any]]:
    """The attempts at a question by number, as rows; but for those of the numbers `besides`.

    run: null for what is no run of this disk. Raises RunDirectoryError when a file cannot be read.
    """
    paths = [] if run is None else sorted(run.glob("shards/*.attempts.parquet"))
    is_wanted = (pl.col("id") == whole_characters(row_id)) & ~pl.col("attempt").is_in([*besides], nulls_equal=True)
    rows: list[dict[str, Any]] = []
    for path in paths:
        shard = open_shard(path, "rejected")
        rows += read([shard], [shard.rows.filter(is_wanted)]).iter_rows(named=True)
    kinds = {True: "cot", False: "rejected"}
    return sorted(
        (row | {"config": kinds[row["rejected_by"] is None]} for row in rows), key=lambda row: row["attempt"] or 0
    )

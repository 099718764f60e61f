"""The columns of config `rollouts`, and how a file that has others is read as if it had these.

ROLLOUT is what a training run is expected to write to `rollouts/rollouts-*.parquet`: one row per completion, plain
strings and numbers. Perception is the observation, reasoning is think and answer; each has its own reward, and its own
advantage within the group (VideoP2R eq. 6). Null is not zero: a completion that misses the template has no texts, and
where the judge gave no verdict the perception reward is masked, so that accuracy, reward and advantage are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from curation.schema import INSUFFICIENT, SUFFICIENT

ROLLOUT: Final = pa.schema(
    [
        ("step", pa.int64()),  # the update that it was sampled for, from 1
        ("group", pa.string()),  # the prompt: at one step, the rollouts of a group have the same
        ("rollout", pa.int64()),  # which one of its group
        ("id", pa.string()),  # of the question
        ("completion", pa.string()),  # raw, as the model wrote it
        ("observation", pa.string()),  # this and the next two: null where the completion misses the template
        ("think", pa.string()),
        ("answer", pa.string()),
        ("verdict", pa.string()),  # sufficient, insufficient; null = masked
        ("perception_accuracy", pa.float64()),  # 1 sufficient, 0 insufficient
        ("perception_format", pa.float64()),  # 0 or 1
        ("perception_length", pa.float64()),  # 0 or 0.2
        ("perception_reward", pa.float64()),  # the sum of the three
        ("perception_advantage", pa.float64()),
        ("reasoning_accuracy", pa.float64()),  # the score of the answer, in [0, 1]
        ("reasoning_format", pa.float64()),
        ("reasoning_length", pa.float64()),
        ("reasoning_reward", pa.float64()),
        ("reasoning_advantage", pa.float64()),
        ("observation_tokens", pa.int64()),
        ("think_tokens", pa.int64()),
        ("answer_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("model", pa.string()),  # the policy that is trained
        ("dataset_repo", pa.string()),  # on the questions of this dataset
        ("dataset_tag", pa.string()),
        ("dataset_commit", pa.string()),
    ]
)
# Beyond it a number is no reward, advantage or token count, and would only spoil means and bars.
MOST_NUMBER: Final = 1e9


@dataclass(frozen=True, slots=True)
class FittedFile:
    """A file with the columns of ROLLOUT, and is_malformed and is_masked, which are null where nobody can know.

    missing: columns that the file lacks or has in a type that cannot be theirs; they are null here. num_unfit: by
    column, how many of its values cannot be theirs; they are null here too.
    """

    path: Path
    scan: pl.LazyFrame
    missing: tuple[str, ...]
    num_unfit: Mapping[str, int]


def fit_file(path: Path) -> FittedFile:
    """Read a file's footer and count what does not fit. Raises OSError or PolarsError when it cannot be read."""
    scan = pl.scan_parquet(path)
    types = scan.collect_schema()
    fitted = {field.name: _fit(field, types[field.name]) for field in ROLLOUT if field.name in types}
    usable = {name: column for name, column in fitted.items() if column is not None}
    unfit = [(pl.col(name).is_not_null() & column.is_null()).sum().alias(name) for name, column in usable.items()]
    counts = scan.select(unfit).collect(engine="streaming").row(0, named=True) if unfit else {}
    absent = {field.name: pl.lit(None, _dtype(field)) for field in ROLLOUT if field.name not in usable}
    unknown = pl.lit(None, pl.Boolean)
    columns = scan.select(**usable).with_columns(**absent)
    return FittedFile(
        path,
        columns.with_columns(
            is_malformed=pl.col("answer").is_null() if "answer" in usable else unknown,
            is_masked=pl.col("verdict").is_null() if "verdict" in usable else unknown,
        ),
        tuple(absent),
        {name: count for name, count in counts.items() if count},
    )


def _dtype(field: pa.Field) -> pl.DataType:
    return pl.String() if field.type == pa.string() else pl.Int64() if field.type == pa.int64() else pl.Float64()


def _fit(field: pa.Field, dtype: pl.DataType) -> pl.Expr | None:
    """The column in the published type, null where a value cannot be it; null when none of that type can."""
    column = pl.col(field.name)
    is_number = dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)
    if not is_number and dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    match _dtype(field):
        case pl.String():
            text = column.cast(pl.String)
            return pl.when(text.is_in([SUFFICIENT, INSUFFICIENT])).then(text) if field.name == "verdict" else text
        case pl.Int64() if dtype.is_integer():
            return column.cast(pl.Int64, strict=False)
        case wanted:
            number = column.cast(pl.String).cast(pl.Float64, strict=False) if not is_number else column.cast(pl.Float64)
            is_fit = number.is_between(-MOST_NUMBER, MOST_NUMBER)
            if wanted == pl.Int64:
                is_fit &= number == number.floor()
            return pl.when(is_fit).then(number.cast(wanted, strict=False))

"""The judge against human labels: is a substitute for the paper's judge good enough?

A label file has the columns `id`, `label` (sufficient, insufficient, cannot_tell, or empty = not labelled yet) and
perhaps `labeller`, as Parquet, JSONL or CSV. A labeller who labels a question again overrules himself; labellers who
disagree make the question disputed, which is counted apart. Paper: 95 % agreement on 200 labels (VideoP2R section 3.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from curation.errors import SourceError
from curation.report import Agreement, Share
from curation.schema import INSUFFICIENT, SUFFICIENT
from curation.statistics import kappa_of_two

CANNOT_TELL: Final = "cannot_tell"
DISPUTED: Final = "disputed"
_VERDICTS: Final = (SUFFICIENT, INSUFFICIENT)


def read_label_file(path: Path) -> pl.DataFrame:
    """The file as it is, every column. Raises SourceError in one line."""
    try:
        return _read(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"cannot read the labels {path}: {str(error).splitlines()[0]}") from error


def load_labels(path: Path) -> pl.DataFrame:
    """The label file as strings: id, label (null = not labelled), labeller. Raises SourceError in one line."""
    frame = read_label_file(path)
    if missing := {"id", "label"} - set(frame.columns):
        raise SourceError(f"{path} has no column {sorted(missing)}; it has {frame.columns}. Labels need id and label.")
    if "labeller" not in frame.columns:
        frame = frame.with_columns(labeller=pl.lit(None, pl.String))
    try:
        labels = frame.select(
            pl.col("id").cast(pl.String).str.strip_chars(),
            pl.col("label").cast(pl.String).str.strip_chars().replace("", None),
            pl.col("labeller").cast(pl.String).str.strip_chars().replace("", None),
        )
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path}: id, label and labeller must be text: {str(error).splitlines()[0]}") from error
    wrong = labels.filter(
        pl.col("id").is_null() | (pl.col("label").is_not_null() & ~pl.col("label").is_in([*_VERDICTS, CANNOT_TELL]))
    )
    if wrong.height:
        row = wrong.row(0, named=True)
        raise SourceError(
            f"{path} labels id {row['id']!r} as {row['label']!r:.60}; "
            f"a label is {SUFFICIENT}, {INSUFFICIENT}, {CANNOT_TELL} or empty."
        )
    return labels


def measure_agreement(verdicts: pl.DataFrame, labels: pl.DataFrame) -> Agreement:
    """Compare one verdict with one label per question.

    verdicts: columns id, verdict (null = unscored); an id may stand more than once, then its first verdict counts.
    labels: as `load_labels` returns them.
    """
    judged = verdicts.group_by("id").agg(pl.col("verdict").drop_nulls().first())
    labelled = one_label_per_question(labels)
    known = labelled.join(judged, on="id", how="inner", maintain_order="left")
    human_decided = known.filter(pl.col("label").is_in(_VERDICTS))
    both = human_decided.filter(pl.col("verdict").is_in(_VERDICTS))

    def count(label: str, verdict: str) -> int:
        return both.filter((pl.col("label") == label) & (pl.col("verdict") == verdict)).height

    yes, no = count(SUFFICIENT, SUFFICIENT), count(INSUFFICIENT, INSUFFICIENT)
    judge_only, human_only = count(INSUFFICIENT, SUFFICIENT), count(SUFFICIENT, INSUFFICIENT)
    return Agreement(
        accuracy=Share.of(yes + no, both.height),
        kappa=kappa_of_two(yes, judge_only, human_only, no),
        both_sufficient=yes,
        both_insufficient=no,
        judge_only_sufficient=judge_only,
        human_only_sufficient=human_only,
        num_disputed=known.filter(pl.col("label") == DISPUTED).height,
        num_cannot_tell=known.filter(pl.col("label") == CANNOT_TELL).height,
        num_unlabelled=known.filter(pl.col("label").is_null()).height,
        num_unscored=human_decided.height - both.height,
        num_unknown_ids=labelled.height - known.height,
    )


def _read(path: Path) -> pl.DataFrame:
    match path.suffix.lower():
        case ".parquet":
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        case ".jsonl" | ".ndjson":
            return pl.read_ndjson(path.read_bytes(), infer_schema_length=None)
        case ".csv":
            # As text: a type guess would turn the id 0000000000000012 into 12.
            return pl.read_csv(path, infer_schema=False, glob=False)
        case suffix:
            raise SourceError(f"{path} ends in {suffix!r}; labels are .parquet, .jsonl or .csv.")


def one_label_per_question(labels: pl.DataFrame) -> pl.DataFrame:
    """id, label: what all labellers who decided say, else disputed; cannot_tell or null when none decided."""
    # Without a name two rows may be two people, so none of them overrules the other.
    by_labeller = (
        labels.drop_nulls("label")
        .with_row_index("row")
        .with_columns(person=pl.coalesce("labeller", pl.format("row {}", "row")))
        .unique(["id", "person"], keep="last", maintain_order=True)
    )
    decided = pl.col("label").filter(pl.col("label") != CANNOT_TELL)
    consensus = by_labeller.group_by("id").agg(
        pl.when(decided.n_unique() > 1)
        .then(pl.lit(DISPUTED))
        .otherwise(pl.coalesce(decided.first(), pl.lit(CANNOT_TELL)))
        .alias("label")
    )
    return labels.select(pl.col("id").unique(maintain_order=True)).join(
        consensus, on="id", how="left", maintain_order="left"
    )

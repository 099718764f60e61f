"""The judge against human labels: is a substitute for the paper's judge good enough?

A label file has the columns `id`, `label` (sufficient, insufficient, cannot_tell, or empty = not labelled yet) and
perhaps `labeller`, as Parquet, JSONL or CSV. A labeller who labels a question again overrules himself; labellers who
disagree make the question disputed, which is counted apart. Paper: 95 % agreement on 200 labels (VideoP2R section 3.2).

The viewer draws the questions to label evenly over problem types and verdicts, so that rare ones are among them. How
often judge and people agree on such a sample is not how often they agree on the dataset: `stratum`, `stratum_rows` and
`population_rows` in the file say from which stratum of what size each question was drawn, and every share is weighted
by these sizes. Files without them are read, and their shares are those of the labelled questions as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Final

import polars as pl

from curation.errors import SourceError
from curation.report import Agreement, Share, percent
from curation.schema import INSUFFICIENT, SUFFICIENT
from curation.statistics import cohens_kappa

CANNOT_TELL: Final = "cannot_tell"
DISPUTED: Final = "disputed"
_VERDICTS: Final = (SUFFICIENT, INSUFFICIENT)
# Of each label: the number of its stratum, how many rows of the dataset are in it, and in all strata together.
DESIGN: Final = ("stratum", "stratum_rows", "population_rows")


def read_label_file(path: Path) -> pl.DataFrame:
    """The file as it is, every column. Raises SourceError in one line."""
    try:
        return _read(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"cannot read the labels {path}: {str(error).splitlines()[0]}") from error


def load_labels(path: Path) -> pl.DataFrame:
    """id, label (null = not labelled) and labeller as strings, and the columns DESIGN, null where the file has none.

    Raises SourceError in one line.
    """
    frame = read_label_file(path)
    if missing := {"id", "label"} - set(frame.columns):
        raise SourceError(f"{path} has no column {sorted(missing)}; it has {frame.columns}. Labels need id and label.")
    missing_columns = [name for name in ("labeller", *DESIGN) if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in missing_columns)
    try:
        labels = frame.select(
            pl.col("id").cast(pl.String).str.strip_chars(),
            pl.col("label").cast(pl.String).str.strip_chars().replace("", None),
            pl.col("labeller").cast(pl.String).str.strip_chars().replace("", None),
            pl.col(DESIGN).cast(pl.String).replace("", None).cast(pl.Int64),
        )
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"{path}: id, label and labeller must be text, {', '.join(DESIGN)} whole numbers: {reason}"
        ) from error
    wrong = labels.filter(
        pl.col("id").is_null() | (pl.col("label").is_not_null() & ~pl.col("label").is_in([*_VERDICTS, CANNOT_TELL]))
    )
    if wrong.height:
        row = wrong.row(0, named=True)
        raise SourceError(
            f"{path} labels id {row['id']!r} as {row['label']!r:.60}; "
            f"a label is {SUFFICIENT}, {INSUFFICIENT}, {CANNOT_TELL} or empty."
        )
    _check_design(labels, path)
    return labels


def _check_design(labels: pl.DataFrame, path: Path) -> None:
    """A stratum has one size, no smaller than what is labelled of it. Raises SourceError."""
    strata = labels.drop_nulls("stratum").group_by("stratum")
    sizes = strata.agg(pl.col(*DESIGN[1:]).drop_nulls().unique(), num_labelled=pl.col("id").n_unique()).sort("stratum")
    for stratum, rows, population, num_labelled in sizes.iter_rows():
        if len(rows) != 1 or len(population) != 1 or not num_labelled <= rows[0] <= population[0]:
            raise SourceError(
                f"{path}: stratum {stratum} has {num_labelled:,} labelled questions and the sizes {rows} of "
                f"{population}. Labels of several versions? Export each by itself, or take the columns {DESIGN} out."
            )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How often two readers say the same. num_strata, coverage: as Agreement has them."""

    same: Share
    kappa: float | None
    num_strata: int | None
    coverage: float | None


def compare(pairs: pl.DataFrame) -> Comparison:
    """Compare two readers, question by question.

    pairs: columns first and second, sufficient or insufficient, and the columns DESIGN of the label. Weighted where all
    of them have a stratum.
    """
    is_weighted = pairs.height > 0 and not pairs["stratum"].has_nulls()
    strata = pairs if is_weighted else pairs.with_columns(pl.lit(0).alias(name) for name in DESIGN)
    cells = strata.group_by("stratum", "stratum_rows", "first", "second").len().sort("stratum", "first", "second")
    is_same = pl.col("first") == pl.col("second")
    sizes = cells.group_by("stratum", "stratum_rows", maintain_order=True).agg(
        pl.col("len").filter(is_same).sum().alias("num_same"), pl.col("len").sum()
    )
    if not is_weighted:
        same = Share.of(int(sizes["num_same"].sum()), pairs.height)
        return Comparison(same, cohens_kappa(_counts(cells, {0: 1})), None, None)
    same = Share.of_strata(list(sizes.select("stratum_rows", "num_same", "len").iter_rows()))
    # Whole numbers in proportion to size / labelled, so that kappa stays exact.
    common = lcm(*sizes["len"])
    weights = {number: rows * (common // num) for number, rows, _, num in sizes.iter_rows()}
    covered = int(sizes["stratum_rows"].sum()) / pairs["population_rows"][0]
    return Comparison(same, cohens_kappa(_counts(cells, weights)), sizes.height, covered)


def _counts(cells: pl.DataFrame, weights: Mapping[int, int]) -> dict[tuple[Hashable, Hashable], int]:
    counts: Counter[tuple[Hashable, Hashable]] = Counter()
    for stratum, first, second, num in cells.select("stratum", "first", "second", "len").iter_rows():
        counts[first, second] += weights[stratum] * num
    return counts


def with_design(frame: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """The frame, by its column id, with the columns DESIGN of the labels; null where these have none."""
    known = [name for name in DESIGN if name in labels.columns]
    design = labels.select("id", *known).unique("id", keep="first", maintain_order=True)
    missing = [pl.lit(None, pl.Int64).alias(name) for name in DESIGN if name not in known]
    return frame.join(design.with_columns(missing), on="id", how="left", maintain_order="left")


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

    compared = compare(with_design(both.rename({"label": "first", "verdict": "second"}), labels))
    return Agreement(
        accuracy=compared.same,
        kappa=compared.kappa,
        both_sufficient=count(SUFFICIENT, SUFFICIENT),
        both_insufficient=count(INSUFFICIENT, INSUFFICIENT),
        judge_only_sufficient=count(INSUFFICIENT, SUFFICIENT),
        human_only_sufficient=count(SUFFICIENT, INSUFFICIENT),
        num_disputed=known.filter(pl.col("label") == DISPUTED).height,
        num_cannot_tell=known.filter(pl.col("label") == CANNOT_TELL).height,
        num_unlabelled=known.filter(pl.col("label").is_null()).height,
        num_unscored=human_decided.height - both.height,
        num_unknown_ids=labelled.height - known.height,
        num_strata=compared.num_strata,
        coverage=compared.coverage,
    )


def how_weighted(found: Agreement) -> str:
    """Of what the shares are shares: of the dataset, or of the labelled questions alone."""
    if found.num_strata is None:
        return (
            "shares are those of the labelled questions as they are: the labels do not say how these were drawn, and "
            "where rare verdicts were drawn more often, the dataset's agreement is another"
        )
    missing = 0.0 if found.coverage is None else 1 - found.coverage
    without = f"; strata with {percent(missing)} of the rows have no label yet" if missing > 0 else ""
    return (
        "shares, intervals and kappa are the dataset's: weighted by the sizes of the "
        f"{found.num_strata} strata that the questions were drawn from{without}"
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

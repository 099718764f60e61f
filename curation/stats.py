"""What a dataset folder holds, measured: its funnel, survival, lengths, balance and duplicates, as a Report.

Every statistic groups and counts the facts of facts.py; tables, plots and the card only show what stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import polars as pl

from curation.agreement import load_labels, measure_agreement
from curation.errors import RunDirectoryError
from curation.facts import SEGMENTS, Segment, config_files, count_rows, find_dataset, load_facts
from curation.report import (
    Attribution,
    Cell,
    Duplicates,
    Funnel,
    Histogram,
    Lengths,
    Letter,
    Maker,
    Reason,
    Report,
    Scores,
    Share,
    Step,
    Survival,
    Tally,
    TopAnswer,
)
from curation.schema import DATA_TYPES, PROBLEM_TYPES, SCHEMA_VERSION, STEPS
from curation.scoring.answer_text import answer_text
from curation.scoring.choice import named_letter

# VideoP2R Table 3 (kept) and the Video-R1-260k counts it starts from (read). Survival is derived from the two.
PAPER_KEPT: Final = {
    "multiple choice": 134_001,
    "numerical": 19_847,
    "OCR": 4_014,
    "free-form": 3_507,
    "regression": 693,
    "image": 72_775,
    "video": 89_287,
    "all": 162_062,
}
PAPER_READ: Final = {
    "multiple choice": 168_769,
    "numerical": 34_354,
    "OCR": 15_886,
    "free-form": 38_722,
    "regression": 5_340,
    "image": 146_823,
    "video": 116_248,
    "all": 263_071,
}
Unit = Literal["words", "tokens"]
UNITS: Final[tuple[Unit, ...]] = ("words", "tokens")
# The length reward of RL pays inside these (VideoP2R, R_len); both ends belong to the window.
RL_WINDOWS: Final[dict[Segment, tuple[int, int]]] = {"observation": (128, 320), "think": (320, 512)}
QUANTILES: Final = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
TOP_ANSWERS: Final = 5
ANSWER_CHARS: Final = 80
HISTOGRAM_BINS: Final = 40
_BARE_LETTERS: Final = (r"^\s*([A-Za-z])\s*$", r"^<answer>\s*([A-Za-z])\s*</answer>$")
_DUPLICATES: Final[tuple[Literal["problem", "problem and path", "observation", "think"], ...]] = (
    "problem",
    "problem and path",
    "observation",
    "think",
)


def measure(dataset_dir: Path, *, labels: Path | None = None, num_read: int | None = None) -> Report:
    """Measure a run directory's dataset, or a dataset folder.

    `num_read` is the number of records that the source gave, when the caller knows it: the rows must add up to it.
    Raises RunDirectoryError when a config is missing, unreadable or contradicts itself; SourceError for bad labels.
    """
    folder = find_dataset(dataset_dir)
    facts = load_facts(folder)
    funnel = _measure_funnel(facts)
    if num_read is not None and funnel.num_read != num_read:
        raise RunDirectoryError(
            f"{folder} holds {funnel.num_kept} kept and {funnel.num_rejected} rejected rows, but {num_read} records "
            "were read. Run the pipeline again on this directory."
        )
    kept = facts.filter("kept")
    return Report(
        schema_version=SCHEMA_VERSION,
        funnel=funnel,
        num_rl=sum(count_rows(file) for file in config_files(folder, "rl")),
        survival=_measure_survival(facts),
        composition=_measure_composition(facts),
        lengths=_measure_lengths(kept),
        histograms=tuple(_histogram(kept, segment, unit) for segment in SEGMENTS for unit in UNITS),
        duplicates=_measure_duplicates(kept),
        letters=_measure_letters(facts),
        top_answers=_measure_top_answers(kept),
        scores=_measure_scores(facts),
        verdicts=_tally(facts, "verdict"),
        flags=_tally_lists(facts, "flags"),
        overlaps=_tally_lists(facts, "overlaps"),
        attempts=_tally(facts, "attempt"),
        licenses=_tally(facts, "license"),
        attribution=_measure_attribution(facts),
        generators=_measure_makers(facts, "generator", "prompt_sha256"),
        judges=_measure_makers(facts, "judge", "judge_prompt_sha256"),
        agreement=None if labels is None else measure_agreement(facts.select("id", "verdict"), load_labels(labels)),
    )


def _measure_funnel(facts: pl.DataFrame) -> Funnel:
    counts = facts.filter(~pl.col("kept")).group_by("step", "reason").len("num_rows")
    counts = counts.sort("num_rows", "reason", descending=[True, False])
    steps = []
    left = facts.height
    for step in STEPS:
        reasons = counts.filter(pl.col("step") == step).select("reason", "num_rows")
        num_rejected = int(reasons["num_rows"].sum())
        steps.append(
            Step(
                step=step,
                num_in=left,
                num_rejected=num_rejected,
                num_left=left - num_rejected,
                reasons=tuple(Reason(**row) for row in reasons.iter_rows(named=True)),
            )
        )
        left -= num_rejected
    num_kept = int(facts["kept"].sum())
    return Funnel(num_read=facts.height, num_kept=num_kept, num_rejected=facts.height - num_kept, steps=tuple(steps))


def _measure_survival(facts: pl.DataFrame) -> tuple[Survival, ...]:
    """Kept among ALL questions read of a group, as the paper's tables count; unknown groups come last, as null."""

    def row(by: Literal["all", "problem_type", "data_type", "data_source"], value: str | None) -> Survival:
        num_read, num_kept = (facts.height, int(facts["kept"].sum())) if by == "all" else counted[by].get(value, (0, 0))
        name = "all" if by == "all" else value
        paper = PAPER_KEPT[name] / PAPER_READ[name] if by != "data_source" and name in PAPER_KEPT else None
        return Survival(by=by, value=value, kept=Share.of(num_kept, num_read), paper=paper)

    known = {"problem_type": PROBLEM_TYPES, "data_type": DATA_TYPES, "data_source": None}
    counted = {by: _count_survivors(facts, by, names) for by, names in known.items()}
    sources = sorted(counted["data_source"], key=lambda name: (name is None, -counted["data_source"][name][0], name))
    return (
        row("all", None),
        *(row("problem_type", name) for name in (*PROBLEM_TYPES, *([None] if None in counted["problem_type"] else []))),
        *(row("data_type", name) for name in (*DATA_TYPES, *([None] if None in counted["data_type"] else []))),
        *(row("data_source", name) for name in sources),
    )


def _count_survivors(facts: pl.DataFrame, by: str, known: Sequence[str] | None) -> dict[str | None, tuple[int, int]]:
    """Group -> (read, kept). A name outside `known`, as a broken record may carry, counts as not known (null)."""
    value = pl.col(by) if known is None else pl.when(pl.col(by).is_in(known)).then(pl.col(by))
    counts = facts.group_by(value.alias("value")).agg(pl.len(), pl.col("kept").sum())
    return {name: (num_read, num_kept) for name, num_read, num_kept in counts.iter_rows()}


def _measure_composition(facts: pl.DataFrame) -> tuple[Cell, ...]:
    counts = facts.group_by("problem_type", "data_type").agg(pl.len(), pl.col("kept").sum())
    cells = {(kind, modality): (num_read, num_kept) for kind, modality, num_read, num_kept in counts.iter_rows()}
    rows = []
    for kind in PROBLEM_TYPES:
        for modality in DATA_TYPES:
            num_read, num_kept = cells.get((kind, modality), (0, 0))
            rows.append(Cell(problem_type=kind, data_type=modality, num_read=num_read, num_kept=num_kept))
    return tuple(rows)


def _measure_lengths(kept: pl.DataFrame) -> tuple[Lengths, ...]:
    return tuple(
        _summarise(kept if kind is None else kept.filter(pl.col("problem_type") == kind), segment, unit, kind)
        for segment in SEGMENTS
        for unit in UNITS
        for kind in (None, *PROBLEM_TYPES)
    )


def _summarise(rows: pl.DataFrame, segment: Segment, unit: Unit, problem_type: str | None) -> Lengths:
    lengths = rows[f"{segment}_{unit}"].drop_nulls()
    window = RL_WINDOWS[segment] if unit == "tokens" else None
    # polars gives no mean of nothing (null), so that a segment that was not measured stays null throughout.
    summary = lengths.to_frame("length").select(
        pl.col("length").mean().alias("mean"),
        *(pl.col("length").quantile(q, "linear").alias(name) for name, q in QUANTILES.items()),
    )
    return Lengths(
        segment=segment,
        unit=unit,
        problem_type=problem_type,
        num_rows=rows.height,
        num_measured=lengths.len(),
        window=window,
        in_window=None if window is None else Share.of(int(lengths.is_between(*window).sum()), lengths.len()),
        **summary.row(0, named=True),
    )


def _histogram(kept: pl.DataFrame, segment: Segment, unit: Unit) -> Histogram:
    lengths = kept[f"{segment}_{unit}"].drop_nulls()
    if lengths.is_empty():
        return Histogram(segment=segment, unit=unit, bin_width=1, counts=())
    # The longest thousandth shares the last bin, or a single loop of 8,000 words would flatten the picture.
    longest = int(lengths.quantile(0.999, "lower") or 0)
    bin_width = _round_width(longest / HISTOGRAM_BINS)
    last_bin = longest // bin_width
    bins = (lengths // bin_width).clip(upper_bound=last_bin).value_counts()
    counts = dict(bins.iter_rows())
    return Histogram(
        segment=segment,
        unit=unit,
        bin_width=bin_width,
        counts=tuple(counts.get(place, 0) for place in range(last_bin + 1)),
    )


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is no less than `least`."""
    scale = 1
    while True:
        for step in (1, 2, 5):
            if step * scale >= least:
                return step * scale
        scale *= 10


def _measure_duplicates(kept: pl.DataFrame) -> tuple[Duplicates, ...]:
    rows = []
    for over in _DUPLICATES:
        for form in ("exact", "normalised"):
            hashes = kept[f"{over} {form}"].drop_nulls()
            rows.append(Duplicates(over=over, form=form, num_rows=hashes.len(), num_distinct=hashes.n_unique()))
    return tuple(rows)


def _measure_letters(facts: pl.DataFrame) -> tuple[Letter, ...]:
    choices = facts.filter(pl.col("problem_type") == "multiple choice")
    gold = name_letters(choices, "solution")
    read, kept, answered = (
        dict(letters.value_counts().iter_rows())
        for letters in (gold, gold.filter(choices["kept"]), name_letters(choices.filter("kept"), "answer"))
    )
    letters = sorted({*read, *kept, *answered}, key=lambda letter: (letter is None, letter))
    return tuple(
        Letter(
            letter=letter,
            num_gold_read=read.get(letter, 0),
            num_gold_kept=kept.get(letter, 0),
            num_answered_kept=answered.get(letter, 0),
        )
        for letter in letters
    )


def name_letters(choices: pl.DataFrame, column: str) -> pl.Series:
    """The option letter that each text of `column` names by the scorer's rules (choice.py), null where it names none.

    choices: columns `options` and `column`.
    """
    # Nearly every text is a bare letter: those are named at once, the others one by one.
    bare = pl.coalesce(pl.col(column).str.extract(pattern) for pattern in _BARE_LETTERS).str.to_uppercase()
    letters = choices.select(bare).to_series()
    others = letters.is_null() & choices[column].is_not_null()
    named = [
        named_letter(answer_text(text), options or ())
        for text, options in choices.filter(others).select(column, "options").iter_rows()
    ]
    return letters.scatter(others.arg_true(), named) if named else letters


def _measure_top_answers(kept: pl.DataFrame) -> tuple[TopAnswer, ...]:
    counts = (
        kept.filter(pl.col("problem_type").is_in(PROBLEM_TYPES))
        .drop_nulls("answer")
        .group_by("problem_type", pl.col("answer").str.slice(0, ANSWER_CHARS))
        .len("num_rows")
        .sort("num_rows", "answer", descending=[True, False])
    )
    return tuple(
        TopAnswer(**row)
        for kind in PROBLEM_TYPES
        for row in counts.filter(pl.col("problem_type") == kind).head(TOP_ANSWERS).iter_rows(named=True)
    )


def _measure_scores(facts: pl.DataFrame) -> Scores:
    binned = facts.with_columns(bin=(pl.col("score") * 10).floor().cast(pl.Int64).clip(upper_bound=9))
    counts = {(kept, place): count for kept, place, count in binned.group_by("kept", "bin").len().iter_rows()}
    mean = facts.filter("kept").select(pl.col("score").mean()).item()
    return Scores(
        kept=tuple(counts.get((True, place), 0) for place in range(10)),
        rejected=tuple(counts.get((False, place), 0) for place in range(10)),
        num_unscored_kept=counts.get((True, None), 0),
        num_unscored_rejected=counts.get((False, None), 0),
        mean_kept=mean,
    )


def _count_kept_and_rejected(facts: pl.DataFrame, *by: str) -> pl.DataFrame:
    """The columns `by`, num_kept, num_rejected: the most frequent first, ties in alphabetical order."""
    return (
        facts.group_by(*by)
        .agg(num_kept=pl.col("kept").sum().cast(pl.Int64), num_rows=pl.len().cast(pl.Int64))
        .with_columns(num_rejected=pl.col("num_rows") - pl.col("num_kept"))
        .sort("num_rows", *by, descending=[True, *(False for _ in by)], nulls_last=True)
        .drop("num_rows")
    )


def _tally(facts: pl.DataFrame, column: str) -> tuple[Tally, ...]:
    counts = _count_kept_and_rejected(facts, column).rename({column: "value"})
    return tuple(Tally(**row) for row in counts.iter_rows(named=True))


def _tally_lists(facts: pl.DataFrame, column: str) -> tuple[Tally, ...]:
    """Rows per entry of a list column; a null list (not computed) counts as null, an empty one nowhere."""
    entries = pl.col(column).list.unique()
    filled = facts.filter(pl.col(column).is_null() | (pl.col(column).list.len() > 0))
    return _tally(filled.select("kept", entries).explode(column), column)


def _measure_attribution(facts: pl.DataFrame) -> tuple[Attribution, ...]:
    counts = _count_kept_and_rejected(facts, "data_source", "license")
    return tuple(Attribution(**row) for row in counts.iter_rows(named=True))


def _measure_makers(facts: pl.DataFrame, model: str, prompt: str) -> tuple[Maker, ...]:
    counts = _count_kept_and_rejected(facts, model, prompt).rename({model: "model", prompt: "prompt_sha256"})
    return tuple(Maker(**row) for row in counts.iter_rows(named=True))

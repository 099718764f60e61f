"""Evidence that rows and a benchmark share a video or a question. Pure: frames in, frames out.

Evidence is a frame with one line per row and kind: row (its number), kind, matched (what of the benchmark it was).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from curation.overlaps.benchmarks import Benchmark
from curation.overlaps.names import path_keys, youtube_key, youtube_keys
from curation.overlaps.ngrams import MIN_WORDS, count_words, normalise, phrase_at, phrases
from curation.overlaps.report import SharedText

KINDS: Final = ("path", "sha256", "frames", "question")
EVIDENCE: Final = pl.Schema({"row": pl.UInt32, "kind": pl.String, "matched": pl.String})
_MOST_SHARED_TEXTS: Final = 10


def path_evidence(paths: pl.Series, benchmark: Benchmark) -> pl.DataFrame:
    """paths: one per row, null where a row has none."""
    named: dict[str, str] = {}
    youtube_ids: set[str] = set()
    for record in benchmark.records:
        for key in (*sorted(record.keys), *map(youtube_key, sorted(record.youtube_ids))):
            named.setdefault(key, record.video or record.place)
        youtube_ids |= record.youtube_ids
    found = {}
    for path in paths.drop_nulls().unique():
        keys = path_keys(path) | youtube_keys(path, youtube_ids)
        if matched := sorted(named[key] for key in keys if key in named):
            found[path] = matched[0]
    return by_value(paths, found, "path")


def by_value(values: pl.Series, found: Mapping[str, str], kind: str) -> pl.DataFrame:
    """Evidence for the rows whose value is in `found`: value -> what it matched."""
    table = pl.DataFrame(
        {"value": list(found), "matched": list(found.values())}, {"value": pl.String, "matched": pl.String}
    )
    rows = pl.DataFrame({"value": values}).with_row_index("row")
    return rows.join(table, on="value").select("row", kind=pl.lit(kind), matched="matched").cast(EVIDENCE)


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of one side, made comparable once.

    texts: distinct and normalised. number: for each row the place of its text, or null. phrases: see ngrams.py.
    """

    texts: pl.Series
    number: pl.Series
    phrases: pl.DataFrame

    @property
    def num_short(self) -> int:
        """Questions of too few words to be compared."""
        return int((count_words(self.texts) < MIN_WORDS).gather(self.number.drop_nulls()).sum())


def prepare(questions: pl.Series) -> Questions:
    """questions: one per row, null where a row has none."""
    normalised = pl.DataFrame({"text": questions.cast(pl.String)}).select(normalise(pl.col("text")))["text"]
    texts = normalised.drop_nulls().unique(maintain_order=True)
    numbers = pl.DataFrame({"text": texts}).with_row_index("number")
    number = pl.DataFrame({"text": normalised}).join(numbers, on="text", how="left", maintain_order="left")["number"]
    return Questions(texts, number, phrases(texts))


@dataclass(frozen=True, slots=True)
class SharedQuestions:
    """Evidence by questions, and the texts behind it: how many distinct ones, and the most frequent."""

    evidence: pl.DataFrame
    num_shared_texts: int
    top: tuple[SharedText, ...]


def question_evidence(own: Questions, benchmark: Questions, places: pl.Series) -> SharedQuestions:
    """places: of each benchmark record, as `matched` shows it."""
    records = pl.DataFrame({"text": benchmark.number, "place": places}).drop_nulls("text")
    theirs = (
        benchmark.phrases.join(
            records.group_by("text").agg(pl.col("place").first(), num=pl.len()), on="text", maintain_order="left"
        )
        .unique(["phrase", "text"], maintain_order=True)
        .group_by("phrase", maintain_order=True)
        .agg(pl.col("place").first(), num_benchmark_questions=pl.col("num").sum())
    )
    shared = own.phrases.join(theirs, on="phrase", maintain_order="left").unique(
        ["text", "phrase"], maintain_order=True
    )
    rows = pl.DataFrame({"text": own.number}).with_row_index("row").drop_nulls("text")
    per_text = shared.group_by("text").agg(pl.col("place").first())
    evidence = rows.join(per_text, on="text").select("row", kind=pl.lit("question"), matched="place")
    counts = (
        shared.join(rows.group_by("text").agg(num_rows=pl.len()), on="text")
        .group_by("phrase", maintain_order=True)
        .agg(pl.col("text", "word").first(), pl.col("num_rows").sum(), pl.col("num_benchmark_questions").first())
    )
    # A template gives several phrases that overlap: one of a text is enough to be seen.
    top = (
        counts.sort("num_rows", "text", "word", descending=[True, False, False])
        .unique("text", keep="first", maintain_order=True)
        .head(_MOST_SHARED_TEXTS)
    )
    return SharedQuestions(
        evidence.cast(EVIDENCE),
        counts.height,
        tuple(
            SharedText(
                text=phrase_at(own.texts[line["text"]], line["word"]),
                num_rows=line["num_rows"],
                num_benchmark_questions=line["num_benchmark_questions"],
            )
            for line in top.iter_rows(named=True)
        ),
    )

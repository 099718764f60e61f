"""A dataset folder as the viewer reads it: an index of small columns in memory, every text where it lies.

    Dataset.open(locate("runs/demo")).page(Filter(problem_type=("OCR",)))

A place is a row's number among the accepted and then the rejected rows, from 0. A row is read by slice, which takes
10 ms where files have row groups of 10,000 rows; a search streams through the texts. Many threads may ask at once.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from threading import Lock
from typing import Any, Final

import polars as pl

from app.beside import read_provenance, read_report
from app.conditions import CATEGORIES, in_order, matches
from app.filters import NONE, UNKNOWN, Filter, whole_characters
from app.search import SharedScan, Terms, holds_all, search_terms
from app.shards import COLUMNS, Shard, describe_shards, find_shards, open_shard, read
from curation.errors import RunDirectoryError, UserError
from curation.locate import LocatedDataset
from curation.schema import CONFIG_FILES
from curation.scoring.words import WORD_PATTERN

BROWSED: Final = ("cot", "rejected")  # the configs whose rows have places, in this order
ROWS_PER_PAGE: Final = 50
PROBLEM_CHARS: Final = 160

_FACTS: Final = (
    "id",
    "config",
    "problem_type",
    "data_type",
    "data_source",
    "score",
    "verdict",
    "rejected_by",
    "flags",
    "overlaps",
    "observation_tokens",
    "think_tokens",
)
_SEGMENTS: Final = ("observation", "think")
_MOST_FILTERS: Final = 32  # remembered, of 1 MB at most
_MOST_SEARCHES: Final = 32


class NoSuchRowError(UserError, LookupError):
    """A place or a column that this dataset does not have."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A row as a line of a list. problem: its first PROBLEM_CHARS characters. Null = not recorded."""

    id: str | None
    config: str
    place: int
    problem: str | None
    problem_type: str | None
    data_type: str | None
    data_source: str | None
    score: float | None
    verdict: str | None
    rejected_by: str | None
    observation_tokens: int | None
    think_tokens: int | None
    flags: list[str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number` of num_pages, from 1; a dataset without a matching row has one page with none."""

    rows: list[Summary]
    num_matching: int
    number: int
    num_pages: int


class Dataset:
    """Made by `Dataset.open`.

    shown: what a person calls it. folder: where it lies; home: its run, null for one of the hub; repo, revision,
    commit: of the hub, null for a folder of this disk. num_rows: by config. columns: those of the published ones that
    are recorded. report, provenance: null where there is none that can be used. notes: what a reader should know about
    this copy, a line each.
    """

    def __init__(self, located: LocatedDataset, shards: Sequence[Shard], index: pl.DataFrame) -> None:
        """shards: of the configs BROWSED, in this order; index: `place` and the small columns of their rows."""
        by_config = {config: [shard for shard in shards if shard.config == config] for config in BROWSED}
        num_rows = {config: sum(shard.num_rows for shard in found) for config, found in by_config.items() if found}
        self.shown, self.folder, self.home = located.shown, located.folder, located.home
        self.repo, self.revision, self.commit = located.repo, located.revision, located.commit
        self.num_rows: Mapping[str, int] = dict.fromkeys(BROWSED, 0) | num_rows
        self.columns = tuple(name for name in COLUMNS if any(name in shard.recorded for shard in shards))
        self.report, about_report = read_report(located.folder, num_rows)
        self.provenance, about_origin = read_provenance(located.folder)
        about_rows = [note for config, found in by_config.items() for note in describe_shards(config, found)]
        self.notes = (*about_rows, *about_report, *about_origin)

        self._shards = shards
        self._starts = [0, *accumulate(shard.num_rows for shard in shards)]
        self._index = index
        self._places = lru_cache(_MOST_FILTERS)(self._find_places)
        self._found = lru_cache(_MOST_SEARCHES)(SharedScan(self._scan).find)
        self._counting: Future[pl.DataFrame] | None = None
        self._one_start = Lock()

    @classmethod
    def open(cls, located: LocatedDataset, *, progress: Callable[[int], None] = lambda _: None) -> Dataset:
        """Read the small columns. `progress` gets the rows read since.

        A missing config or column is fine, and noted. Raises RunDirectoryError where there is nothing to browse, and
        for a file that cannot be read.
        """
        paths = [(path, config) for config in BROWSED for path in find_shards(located.folder, config)]
        if not paths:
            wanted = " nor ".join(f"{CONFIG_FILES[config]}-*.parquet" for config in BROWSED)
            raise RunDirectoryError(
                f"{located.shown} holds neither {wanted}. Name a finished run directory, a dataset folder or "
                "org/name@tag."
            )
        shards, parts = [], []
        for path, config in paths:
            shard = open_shard(path, config)
            parts.append(read([shard], [_small_columns(shard)]))
            shards.append(shard)
            progress(shard.num_rows)
        return cls(located, shards, pl.concat(parts).with_row_index("place"))

    def page(self, filter: Filter) -> Page:
        """The page that the filter asks for, or the last one there is. Raises RunDirectoryError, as a search may."""
        places = self._matching(filter)
        num_pages = max(1, -(-len(places) // ROWS_PER_PAGE))
        number = min(filter.page, num_pages)
        rows = self._index[places.slice((number - 1) * ROWS_PER_PAGE, ROWS_PER_PAGE)].drop("overlaps")
        return Page([Summary(**row) for row in rows.iter_rows(named=True)], len(places), number, num_pages)

    def row(self, place: int) -> dict[str, Any]:
        """Every published column, null where it is not recorded, and `config`.

        Raises NoSuchRowError for a place that is none, RunDirectoryError when the file cannot be read any more.
        """
        if not 0 <= place < self._index.height:
            raise NoSuchRowError(f"{self.shown} has no row {place:,}; it has {self._index.height:,}, from 0.")
        number = bisect_right(self._starts, place) - 1
        shard = self._shards[number]
        found = read([shard], [shard.rows.slice(place - self._starts[number], 1)])
        return found.row(0, named=True) | {"config": shard.config}

    def find(self, row_id: str) -> int | None:
        """The place of an id: of the accepted row where a rejected one bears it too, and of the first of several."""
        return self._index["id"].index_of(whole_characters(row_id))

    def places(self, row_id: str) -> list[int]:
        """Every place of an id, the accepted first: a record read twice is rejected under the id of the first."""
        bears_it = self._index["id"] == whole_characters(row_id)
        return [int(place) for place in bears_it.arg_true()]

    def by_ids(self, row_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows of these ids, as `row` gives them; ids that are not there are left out. Raises RunDirectoryError."""
        wanted = [whole_characters(row_id) for row_id in row_ids]
        named = self._index.filter(pl.col("id").is_in(wanted)).unique("id", keep="first", maintain_order=True)
        rows: dict[str, dict[str, Any]] = {}
        for shard, start in zip(self._shards, self._starts, strict=False):
            offsets = (named["place"].cast(pl.Int64) - start).to_list()
            offsets = [offset for offset in offsets if 0 <= offset < shard.num_rows]
            if offsets:
                numbered = shard.rows.with_row_index("offset")
                found = read([shard], [numbered.filter(pl.col("offset").is_in(offsets)).drop("offset")])
                rows |= {row["id"]: row | {"config": shard.config} for row in found.iter_rows(named=True)}
        return rows

    def problems(self, row_ids: Sequence[str]) -> dict[str, str | None]:
        """The beginnings of the questions of these ids; ids that are not there are left out."""
        named = self._index.filter(pl.col("id").is_in(list(row_ids))).unique("id", keep="first", maintain_order=True)
        return dict(named.select("id", "problem").iter_rows())

    def neighbours(self, filter: Filter, place: int) -> tuple[int | None, int | None, int, int]:
        """(place before, place after, position from 1, number of rows) in the filter's order.

        Position 0 and no neighbours when the row does not match.
        """
        places = self._matching(filter)
        at = places.index_of(place) if 0 <= place < self._index.height else None
        if at is None:
            return None, None, 0, len(places)
        before = places[at - 1] if at > 0 else None
        after = places[at + 1] if at + 1 < len(places) else None
        return before, after, at + 1, len(places)

    def random_place(self, filter: Filter, seed: int) -> int | None:
        """One of the matching rows, the same one for the same seed; null when none matches."""
        places = self._matching(filter)
        return int(places[random.Random(seed).randrange(len(places))]) if len(places) else None

    def values(self, column: str, config: str | None = None) -> list[tuple[str, int]]:
        """The distinct values of a category or of the lists `flags` and `overlaps`, the most frequent first.

        Each as a Filter names it, with the number of rows, of one config or of both: "none" counts the rows whose
        category is null, and whose list of overlaps is empty; "unknown" those whose overlaps are null. Raises
        NoSuchRowError.
        """
        values = pl.col(column)
        index = self._index if config is None else self._index.filter(pl.col("config") == config)
        counts: Counter[str] = Counter()
        if column in CATEGORIES:
            entries = index.select(values.fill_null(NONE))
        elif column == "rejected_by":
            entries = index.select(values)
        elif column in ("flags", "overlaps"):
            entries = index.select(values.list.unique()).explode(column)
            if column == "overlaps":
                counts[NONE] = index.filter(values.list.len() == 0).height
                counts[UNKNOWN] = index[column].null_count()
        else:
            raise NoSuchRowError(f"{column} is no column of categories.")
        counts.update(dict(entries.drop_nulls().group_by(column).len().iter_rows()))
        present = [(value, count) for value, count in counts.items() if count]
        return sorted(present, key=lambda each: (-each[1], each[0]))

    def measure_texts(self) -> Future[pl.DataFrame]:
        """Begin, in the background, to count what `facts` tells of the texts, which takes seconds."""
        with self._one_start:
            if self._counting is None:
                background = ThreadPoolExecutor(1)
                self._counting = background.submit(self._count_words)
                background.shutdown(wait=False)
            return self._counting

    @property
    def has_measured_texts(self) -> bool:
        """Whether `facts` can tell of the texts without a wait."""
        return self._counting is not None and self._counting.done()

    def facts(self, filter: Filter, *, with_texts: bool = True) -> pl.DataFrame:
        """The small columns of the matching rows in the dataset's order, with `place` and measures of the texts.

        `observation_words`, `think_words`; `trace_hash`, equal for equal traces as long as this process runs.

        The first call after opening may wait some seconds for these, unless it is made without. Raises
        RunDirectoryError.
        """
        places = self._matching(filter).sort()
        facts = self._index.select("place", *_FACTS)
        return (facts.hstack(self.measure_texts().result()) if with_texts else facts)[places]

    def _matching(self, filter: Filter) -> pl.Series:
        return self._places(filter.model_copy(update={"page": 1}))

    def _find_places(self, filter: Filter) -> pl.Series:
        """The matching rows in the filter's order, whichever page it asks for."""
        rows = self._index.filter(matches(filter))
        if terms := search_terms(filter.text):
            rows = rows.filter(self._found(terms)[rows["place"]])
        return in_order(rows, filter)["place"]

    def _scan(self, searches: Sequence[Terms]) -> dict[Terms, pl.Series]:
        """Whether each row holds all terms, for each search."""
        columns = {str(place): holds_all(terms) for place, terms in enumerate(searches)}
        found = read(self._shards, [shard.rows.select(**columns) for shard in self._shards])
        return {terms: found[str(place)] for place, terms in enumerate(searches)}

    def _count_words(self) -> pl.DataFrame:
        """`observation_words` and `think_words` of every row, null where there is no such text; and `trace_hash`."""
        words = [
            pl.col(segment).str.count_matches(WORD_PATTERN).cast(pl.Int64).alias(f"{segment}_words")
            for segment in _SEGMENTS
        ]
        trace = pl.struct("observation", "think", "answer").hash().alias("trace_hash")
        return read(self._shards, [shard.rows.select(*words, trace) for shard in self._shards])


def _small_columns(shard: Shard) -> pl.LazyFrame:
    """The index of one shard. A slice of a text would keep the whole text in memory; joined to nothing it is a copy."""
    problem = pl.concat_str(pl.col("problem").str.slice(0, PROBLEM_CHARS), pl.lit(""))
    return shard.rows.with_columns(problem=problem, config=pl.lit(shard.config)).select("problem", *_FACTS)

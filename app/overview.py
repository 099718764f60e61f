"""What a dataset, or the part of it that a filter chooses, looks like: counted from its facts, drawn by charts.

Accepted and rejected rows are counted side by side whichever of the two a list shows, for one says little without the
other. Null is not zero: rows in which something was not measured are a bar of their own, or stand in a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl
from markupsafe import Markup

from app.charts import (
    MOST_LABEL,
    RL_WINDOWS,
    Bar,
    Series,
    draw_bars,
    panel,
    quiet,
    render_bars,
    render_histogram,
    round_step,
)
from app.filters import NONE, UNKNOWN, Filter
from app.markup import cut, fill, join
from app.reasons import STEPS, reason_in_words
from app.tables_html import render_notes, render_table
from curation.report import Report, percent

if TYPE_CHECKING:
    from app.rows import Dataset

Link = Callable[[Filter], str]

NUM_BINS: Final = 40  # about: the width of a bin is a round number
SCORE_BINS: Final = 10
MOST_REASONS: Final = 24

_CATEGORIES: Final = {"problem_type": "Problem types", "data_type": "Images and videos", "data_source": "Collections"}
_SERIES: Final = {"cot": "accepted", "rejected": "rejected"}
_BY: Final = {"all": "all", "problem_type": "type", "data_type": "media"}


def render_overview(dataset: Dataset, filter: Filter, link: Link | None = None, later: str | None = None) -> Markup:
    """The page; what the filter says of accepted or rejected, order and page does not matter here.

    link: the address of the rows of a filter, to which bars then lead. later: where `render_word_lengths` is to be had;
    with it the page does not wait for the words, which after opening takes some seconds. Raises RunDirectoryError when
    the dataset's files cannot be read any more.
    """
    chosen = _every_state(filter)
    is_whole = chosen == Filter(rows="all")
    facts = dataset.facts(chosen, with_texts=later is None or dataset.has_measured_texts)
    report = dataset.report if is_whole else None
    if facts.is_empty():
        drawn = quiet("No row matches. Loosen or clear the filter.")
    else:
        page = _Page(facts, chosen, link, dataset.columns)
        survival = Markup("") if report is None else _survival(report)
        tiles = _tiles(facts, is_whole)
        drawn = fill('{}<div class="vp-flow">{}</div>{}', tiles, join(page.panels(report, later)), survival)
    return fill('<div class="vp vp-overview">{}{}</div>', render_notes(dataset.notes), drawn)


def render_word_lengths(dataset: Dataset, filter: Filter) -> Markup:
    """The panels that count words. Waits for the count; raises RunDirectoryError."""
    chosen = _every_state(filter)
    facts = dataset.facts(chosen)
    return Markup("") if facts.is_empty() else join(_Page(facts, chosen, None, dataset.columns).word_lengths())


def _every_state(filter: Filter) -> Filter:
    return filter.model_copy(update={"rows": "all", "sort": "order", "descending": False, "page": 1})


class _Page:
    """The panels of one page. columns: those that the dataset has; the facts have null for the others."""

    def __init__(self, facts: pl.DataFrame, filter: Filter, link: Link | None, columns: Sequence[str]) -> None:
        self._facts = facts
        self._filter = filter
        self._link = link
        self._columns = columns

    def panels(self, report: Report | None, later: str | None) -> list[Markup]:
        """report: of the whole dataset, when that is what the page is about. later: where the words come from."""
        windows = {**RL_WINDOWS, **_windows(report)}
        return [
            self._funnel(report),
            *(self._categories(column, title) for column, title in _CATEGORIES.items()),
            *(self._lengths(segment, "tokens", window) for segment, window in windows.items()),
            *([_wait_for(later)] if later and "think_words" not in self._facts.columns else self.word_lengths()),
            self._scores(),
            self._verdicts(),
            self._entries("flags", "Flags", "flag", "no flag", None),
            self._entries("overlaps", "Overlaps with benchmarks", "overlap", "no overlap", NONE),
        ]

    def word_lengths(self) -> list[Markup]:
        """Of both segments."""
        return [self._lengths(segment, "words", None) for segment in RL_WINDOWS]

    def _funnel(self, report: Report | None) -> Markup:
        steps = _count_reasons(self._facts) if report is None else _reported_reasons(report)
        left = num_read = self._facts.height
        bars = [Bar("read", left, num_read)]
        rows = []
        for step, reasons in steps.items():
            left -= sum(reasons.values())
            if reasons:
                bars.append(Bar(f"left after {STEPS.get(step, step)}", left, num_read))
            for name, count in reasons.items():
                reason = cut(reason_in_words(name), MOST_LABEL)
                words = fill("{} <code>{}</code>", reason, cut(name, MOST_LABEL))
                rows.append((self._linked(words, rejected_by=(name,)), f"{count:,}"))
        why = fill("<h4>Rejected because</h4>{}", _reasons(rows)) if rows else Markup("")
        source = "Counted over the rows that match." if report is None else "As measured in stats/report.json."
        return panel("From read to accepted", draw_bars(bars) + why, source)

    def _categories(self, column: str, title: str) -> Markup:
        if missing := self._missing(column):
            return panel(title, missing)
        counts = self._facts.group_by(column).agg(pl.len(), kept=(pl.col("config") == "cot").sum())
        counts = counts.sort("len", column, descending=[True, False]).sort(
            pl.col(column).is_null(), maintain_order=True
        )
        bars = [
            Bar(value or "not recorded", kept, num_rows, value is None, self._address(**{column: (value or NONE,)}))
            for value, num_rows, kept in counts.iter_rows()
        ]
        return render_bars(title, bars, "accepted of all that were read")

    def _lengths(self, segment: str, unit: str, window: tuple[int, int] | None) -> Markup:
        title, column = f"Length of {segment}, {unit}", f"{segment}_{unit}"
        if missing := self._missing(column if unit == "tokens" else segment):
            return panel(title, missing)
        measured = self._facts.select("config", length=column).drop_nulls("length")
        # The longest thousandth shares the last bin, or one endless loop would flatten the picture.
        longest = int(measured["length"].quantile(0.999, "lower") or 0)
        end = max(longest, 0 if window is None else window[1])
        bin_width = max(1, round(round_step(max(1, end) / NUM_BINS)))
        num_bins = end // bin_width + 1
        series = _bin(measured, (pl.col("length") // bin_width).clip(0, num_bins - 1), num_bins)
        accepted = measured.filter(pl.col("config") == "cot")["length"]
        told = []
        if accepted.len():
            told.append(f"Accepted: median {accepted.quantile(0.5) or 0:,.0f}")
            if window is not None:
                inside = int(accepted.is_between(*window).sum())
                told.append(f"{percent(inside / accepted.len())} of {accepted.len():,} inside the window")
        return render_histogram(
            title,
            series,
            bin_width=bin_width,
            unit=unit,
            window=window,
            is_open=int(measured["length"].quantile(1.0) or 0) >= num_bins * bin_width,
            note=_sentences("; ".join(told), self._unmeasured(column)),
        )

    def _scores(self) -> Markup:
        if missing := self._missing("score"):
            return panel("Scores", missing)
        scored = self._facts.select("config", "score").drop_nulls("score")
        places = (pl.col("score") * SCORE_BINS).floor().cast(pl.Int64).clip(0, SCORE_BINS - 1)
        return render_histogram(
            "Scores",
            _bin(scored, places, SCORE_BINS),
            bin_width=1 / SCORE_BINS,
            unit="score",
            note=_sentences(self._unmeasured("score")),
        )

    def _verdicts(self) -> Markup:
        if missing := self._missing("verdict"):
            return panel("Verdicts", missing)
        counts = dict(self._facts.group_by("verdict").len().sort("len", descending=True).iter_rows())
        num_null = counts.pop(None, 0)
        judged = sum(counts.values())
        bars = [Bar(value, count, judged, False, self._address(verdict=(value,))) for value, count in counts.items()]
        if num_null:
            bars.append(Bar("no verdict", num_null, None, True, self._address(verdict=(NONE,))))
        return render_bars(
            "Verdicts", bars, "Shares are of the rows that have a verdict; the others are counted apart."
        )

    def _entries(self, column: str, title: str, field: str, empty: str, named_empty: str | None) -> Markup:
        """Rows per entry of a list column; a null list was not computed, an empty one is a finding."""
        if missing := self._missing(column):
            return panel(title, missing)
        lists = self._facts.select(column)
        counts = lists.select(pl.col(column).list.unique()).explode(column).drop_nulls().group_by(column).len()
        counts = counts.sort("len", column, descending=[True, False])
        total = lists.height
        bars = [
            Bar(value, count, total, False, self._address(**{field: (value,)})) for value, count in counts.iter_rows()
        ]
        num_null = lists[column].null_count()
        num_empty = lists.filter(pl.col(column).list.len() == 0).height
        if num_empty:
            href = None if named_empty is None else self._address(**{field: (named_empty,)})
            bars.append(Bar(empty, num_empty, total, False, href))
        if num_null:
            href = None if named_empty is None else self._address(**{field: (UNKNOWN,)})
            bars.append(Bar("not computed", num_null, total, True, href))
        return render_bars(title, bars)

    def _missing(self, column: str) -> Markup | None:
        """What to say where the dataset has no such column."""
        if column in self._columns:
            return None
        return quiet(f"This dataset has no column {column}, so nothing is known of it.")

    def _unmeasured(self, column: str) -> str:
        nulls = self._facts.filter(pl.col(column).is_null())["config"]
        counts = {words: int((nulls == config).sum()) for config, words in _SERIES.items()}
        said = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count)
        return f"Without a value: {said}" if said else ""

    def _address(self, **condition: tuple[str, ...]) -> str | None:
        """The rows of this page for which the condition holds too."""
        return None if self._link is None else self._link(self._filter.model_copy(update=condition))

    def _linked(self, words: Markup, **condition: tuple[str, ...]) -> Markup:
        href = self._address(**condition)
        return words if href is None else fill('<a data-go href="{}">{}</a>', href, words)


def _reasons(rows: Sequence[tuple[Markup, str]]) -> Markup:
    """The most frequent in a table; the others can be unfolded, as bars can."""
    headings = ("reason", "rows")
    shown, rest = render_table(headings, rows[:MOST_REASONS]), rows[MOST_REASONS:]
    if not rest:
        return shown
    unfolded = "{}<details><summary>{} more</summary>{}</details>"
    return fill(unfolded, shown, f"{len(rest):,}", render_table(headings, rest))


def _wait_for(address: str) -> Markup:
    """Panels that keys.js fetches."""
    waiting = panel("Lengths in words", quiet("The words are being counted ..."))
    return fill('<div class="vp-later" data-fetch="{}">{}</div>', address, waiting)


def _tiles(facts: pl.DataFrame, is_whole: bool) -> Markup:
    num_kept = int((facts["config"] == "cot").sum())
    figures = (
        ("rows" if is_whole else "rows that match", f"{facts.height:,}"),
        ("accepted", f"{num_kept:,}"),
        ("rejected", f"{facts.height - num_kept:,}"),
        ("accepted of all", percent(num_kept / facts.height)),
    )
    tiles = join(fill("<div><dt>{}</dt><dd>{}</dd></div>", *figure) for figure in figures)
    return fill('<dl class="vp-tiles">{}</dl>', tiles)


def _count_reasons(facts: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Step -> rejected_by -> rows, the most frequent first; steps in their order, unknown ones last."""
    rejected = facts.filter(pl.col("config") == "rejected").group_by("rejected_by").len()
    steps: dict[str, dict[str, int]] = {step: {} for step in STEPS}
    for name, count in rejected.sort("len", "rejected_by", descending=[True, False]).iter_rows():
        steps.setdefault((name or "").partition(":")[0], {})[name or ""] = count
    return steps


def _reported_reasons(report: Report) -> dict[str, dict[str, int]]:
    """The same, from the report."""
    return {
        step.step: {f"{step.step}:{reason.reason}": reason.num_rows for reason in step.reasons}
        for step in report.funnel.steps
    }


def _windows(report: Report | None) -> Mapping[str, tuple[int, int]]:
    """The windows of the RL length reward that the report was measured with."""
    lengths = () if report is None else report.lengths
    return {row.segment: row.window for row in lengths if row.window is not None}


def _survival(report: Report) -> Markup:
    """Kept of all that were read, beside what the paper's tables imply."""
    rows = [
        (
            _BY[row.by] if row.by == "all" else f"{_BY[row.by]}: {row.value or 'not recorded'}",
            f"{row.kept.num:,} of {row.kept.total:,}",
            percent(row.kept.share),
            f"{percent(row.kept.low)} to {percent(row.kept.high)}" if row.kept.total else "-",
            percent(row.paper),
        )
        for row in report.survival
        if row.by in _BY
    ]
    return panel(
        "Survival beside the paper's",
        render_table(("", "accepted of read", "share", "95 % interval", "paper"), rows),
        "The paper's shares follow from VideoP2R Table 3 and the counts of Video-R1-260k.",
    )


def _bin(measured: pl.DataFrame, place: pl.Expr, num_bins: int) -> list[Series]:
    """Rows per bin, accepted and rejected apart."""
    counts = {
        (config, number): count
        for config, number, count in measured.group_by("config", place.alias("bin")).len().iter_rows()
    }
    return [
        Series(words, tuple(counts.get((config, number), 0) for number in range(num_bins)))
        for config, words in _SERIES.items()
    ]


def _sentences(*said: str) -> str:
    return " ".join(f"{sentence}." for sentence in said if sentence)

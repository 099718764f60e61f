"""The judge ablation to look at: judges, pairs of judges, and what training would see of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from training.benchmarks.analyses.judge_ablation import (
    Ablation,
    Interval,
    JudgePair,
    as_record,
    share_agreed,
    share_collapsed,
    share_null,
    share_sufficient,
)
from training.benchmarks.analyses.outputs import between, print_lines, print_table, write_json
from training.benchmarks.statistics import ALPHA
from training.plots import draw_intervals, write_figure
from training.report_html import Cell, Picture, Row, Section, Table, picture, write_page
from training.report_words import DASH, percent

_JUDGES_NOTE: Final = (
    "sufficient: of its verdicts, with Wilson's 95 % interval. null: of what it was asked, without a verdict."
)
_LABELS_NOTE: Final = (
    " agree, kappa: with the labels; lenient: sufficient where the label says insufficient, strict: the reverse."
)
_PAIRS_NOTE: Final = (
    "Over the observations that both decided. only 1st, only 2nd: sufficient to one of them alone. p: McNemar's exact "
    "test of equal strictness."
)
_REWARD_NOTE: Final = (
    "Computed as in training from each judge's verdicts on the same rollouts. collapsed: groups whose perception "
    "rewards are (nearly) equal. minus: the judge's reward minus the first judge's, on the rollouts that both "
    "score, with the 95 % interval over groups."
)
_ONE_EACH: Final = (
    "A dataset has one observation a question, so there are no groups: name a training's run directory to see what "
    "the judges do to the perception reward and its collapse."
)


def show_ablation(found: Ablation, folder: Path, console: Console) -> Path:
    """Print the tables; write judges.json, judges.html and the pictures. Returns the page."""
    write_json(folder / "judges.json", as_record(found))
    tables = {"Judges": _judges(found), "Pairs of judges": _pairs(found)}
    if found.num_groups:
        tables["Perception reward"] = _rewards(found)
    for title, table in tables.items():
        print_table(title, table, console)
    remarks = tuple(_remarks(found))
    print_lines(remarks, console)
    return write_page(
        folder / "judges.html",
        title="Judge ablation",
        subtitle=_subject(found),
        tiles=(),
        problems=found.problems,
        sections=(
            Section("Pictures", pictures=tuple(_draw(found, folder))),
            *(Section(title, tables=(table,)) for title, table in tables.items()),
            Section("What to know", absences=remarks),
        ),
    )


def _subject(found: Ablation) -> str:
    what = f"{found.num_groups:,} groups of rollouts" if found.num_groups else f"{found.num_all:,} observations"
    return f"{found.num_observations:,} observations of {what}: {found.source}"


def _judges(found: Ablation) -> Table:
    with_labels = found.num_labels > 0
    headings = ["judge", "verdicts", "sufficient", "null", *(("agree", "kappa", "lenient", "strict") * with_labels)]
    rows = []
    for judge in found.judges:
        share, interval = share_sufficient(judge)
        cells = [
            Cell(f"{judge.num_verdicts:,}"),
            Cell(percent(share), between(interval)),
            Cell(percent(share_null(judge))),
        ]
        if judge.labels is not None:
            agreed, agreed_interval = share_agreed(judge.labels.agreement)
            cells += [
                Cell(percent(agreed), between(agreed_interval)),
                Cell(_kappa(judge.labels.agreement.kappa)),
                Cell(f"{judge.labels.num_lenient:,}"),
                Cell(f"{judge.labels.num_strict:,}"),
            ]
        rows.append(Row(judge.name, tuple(cells)))
    return Table(tuple(headings), tuple(rows), _JUDGES_NOTE + _LABELS_NOTE * with_labels)


def _pairs(found: Ablation) -> Table:
    rows = []
    for pair in found.pairs:
        share, interval = share_agreed(pair.agreement)
        cells = (
            Cell(f"{pair.agreement.num:,}"),
            Cell(percent(share), between(interval)),
            Cell(_kappa(pair.agreement.kappa)),
            Cell(f"{pair.num_only_first:,}"),
            Cell(f"{pair.num_only_second:,}"),
            Cell("<0.001" if pair.p_value < 0.001 else f"{pair.p_value:.3f}"),
        )
        rows.append(Row(_pair_name(pair), cells))
    return Table(("pair", "both", "same", "kappa", "only 1st", "only 2nd", "p"), tuple(rows), _PAIRS_NOTE)


def _rewards(found: Ablation) -> Table:
    first = found.judges[0].name
    differences = {pair.second: pair for pair in found.pairs if pair.first == first}
    rows = []
    for judge in found.judges:
        if judge.reward is None:
            continue
        share, interval = share_collapsed(judge.reward)
        mean, pair = judge.reward.mean_reward, differences.get(judge.name)
        cells = (
            Cell(f"{judge.reward.num_scored:,}"),
            Cell(DASH if mean is None else f"{mean:.3f}"),
            _difference(pair),
            Cell(percent(share), between(interval)),
        )
        rows.append(Row(judge.name, cells))
    return Table(("judge", "scored", "mean R_P", f"minus {first}", "collapsed"), tuple(rows), _REWARD_NOTE)


def _difference(pair: JudgePair | None) -> Cell:
    if pair is None or pair.reward_difference is None or pair.reward_interval is None:
        return Cell(DASH)
    low, high = pair.reward_interval
    return Cell(f"{pair.reward_difference:+.3f}", f"{low:+.3f} to {high:+.3f}")


def _remarks(found: Ablation) -> Iterator[str]:
    yield _subject(found)
    yield from found.problems
    for judge in found.judges:
        if judge.unscored:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in judge.unscored.items())
            yield f"{judge.name}: no verdict on {judge.num_asked - judge.num_verdicts:,}: {reasons}"
        if judge.spent_usd:
            yield f"{judge.name}: {judge.spent_usd:,.4f} USD spent on what is in its journal"
    for pair in found.pairs:
        yield _strictness(pair)
    if not found.num_groups:
        yield _ONE_EACH


def _strictness(pair: JudgePair) -> str:
    if pair.p_value >= ALPHA:
        return f"{_pair_name(pair)}: that one is stricter than the other is inside the noise (p {pair.p_value:.2f})"
    strict, lenient = (
        (pair.second, pair.first) if pair.num_only_first > pair.num_only_second else (pair.first, pair.second)
    )
    return f"{_pair_name(pair)}: {strict} is stricter than {lenient} by more than chance"


def _draw(found: Ablation, folder: Path) -> Iterator[Picture]:
    labelled = [(judge.name, judge.labels.agreement) for judge in found.judges if judge.labels is not None]
    effects = [(judge.name, judge.reward) for judge in found.judges if judge.reward is not None]
    pictures: tuple[tuple[str, str, str, list[tuple[str, float | None, Interval | None]]], ...] = (
        (
            "sufficient",
            "Observations found sufficient",
            "sufficient, % of verdicts",
            [(judge.name, *share_sufficient(judge)) for judge in found.judges],
        ),
        (
            "agreement",
            "Judges that agree",
            "same verdict, %",
            [(_pair_name(pair), *share_agreed(pair.agreement)) for pair in found.pairs],
        ),
        (
            "labels",
            "Agreement with the labels",
            "same as the label, %",
            [(name, *share_agreed(agreement)) for name, agreement in labelled],
        ),
        (
            "collapse",
            "Collapsed groups",
            "groups with equal perception rewards, %",
            [(name, *share_collapsed(effect)) for name, effect in effects],
        ),
    )
    for name, title, unit, shares in pictures:
        if known := [(label, share, interval) for label, share, interval in shares if share is not None]:
            path = folder / f"{name}.png"
            write_figure(partial(draw_intervals, known, unit=unit, marks={}), path)
            reading = ", ".join(f"{label} {percent(share)}" for label, share, _ in known)
            yield picture(path, title=title, meaning="With 95 % intervals.", reading=reading)


def _pair_name(pair: JudgePair) -> str:
    return f"{pair.first}, {pair.second}"


def _kappa(kappa: float | None) -> str:
    return DASH if kappa is None else f"{kappa:.2f}"

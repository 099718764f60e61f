"""The calibration as terminal tables: judges side by side, beside the paper's, and what the figures do not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from curation.agreement import how_weighted
from curation.calibration import MOST_HALF_WIDTH, PAPER_JUDGES, Calibration, JudgeAgreement, JudgePair
from curation.report import Agreement, Share, percent, plain
from curation.schema import INSUFFICIENT, SUFFICIENT

ENOUGH_LABELS: Final = 100  # Wilson's interval is narrower than +-10 points from 93 on, whatever the accuracy
_COLUMNS: Final = ("n", "agree", "95 %", "kappa", "lenient", "strict", "null")
_DASH: Final = "-"
_MOST_PAIRS: Final = 10


def print_calibration(calibration: Calibration, console: Console) -> None:
    """Tables at 80 columns and up, then the warnings, one a line."""
    console.print(_judges(calibration))
    console.print(_types(calibration))
    if calibration.judge_pairs:
        console.print(_judge_pairs(calibration.judge_pairs))
    if calibration.human_pairs:
        console.print(_human_pairs(calibration))
    for line in notes(calibration):
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)


def notes(calibration: Calibration) -> list[str]:
    """What a reader of the figures has to know, for the terminal and for the card."""
    first = calibration.judges[0].agreement
    lines = [_what_is_compared(calibration, first), how_weighted(first)]
    lines += [_unscored(judge) for judge in calibration.judges if judge.unscored]
    lines += [_imprecise(judge) for judge in calibration.judges if judge.is_imprecise]
    lines += [_compared(pair) for pair in calibration.judge_pairs]
    if first.num_disputed:
        lines.append(
            f"{first.num_disputed:,} disputed questions are left out, so judges face the easier ones; "
            f"the labellers themselves agree on {percent(calibration.humans.share)} of what two of them decided"
        )
    lines.append("lenient: sufficient where the labellers say insufficient; strict: the reverse; null: no verdict")
    lines.append(f"* from the paper, on {PAPER_JUDGES[0].accuracy.total} other questions; their intervals are ours")
    return lines


def _judges(calibration: Calibration) -> Table:
    table = _table("Judges against labels, beside the paper's (*)", ["judge"], _COLUMNS)
    for judge in calibration.judges:
        table.add_row(_named(judge.name, 19), *_cells(judge.agreement), style="bold")
    majority = calibration.majority
    always = SUFFICIENT if calibration.num_sufficient >= calibration.num_insufficient else INSUFFICIENT
    if majority.total:
        table.add_row(f"(all {always})", f"{majority.total:,}", percent(majority.share), *[""] * 5, style="dim")
    for paper in PAPER_JUDGES:
        found = paper.accuracy
        table.add_row(f"* {paper.name}", f"{found.total}", percent(found.share), interval(found), *[_DASH] * 4)
    return table


def _types(calibration: Calibration) -> Table:
    table = _table("By problem type", ["problem type"], _COLUMNS)
    judges = calibration.judges
    for place, row in enumerate(judges[0].by_type):
        if len(judges) == 1:
            table.add_row(row.problem_type, *_cells(row.agreement))
            continue
        table.add_row(row.problem_type, style="bold")
        for judge in judges:
            table.add_row(_named(f"  {judge.name}", 19), *_cells(judge.by_type[place].agreement))
    return table


def _cells(found: Agreement) -> tuple[str, ...]:
    return (
        f"{found.accuracy.total:,}",
        percent(found.accuracy.share),
        interval(found.accuracy),
        _kappa(found.kappa),
        f"{found.judge_only_sufficient:,}",
        f"{found.human_only_sufficient:,}",
        f"{found.num_unscored:,}",
    )


def _judge_pairs(pairs: Sequence[JudgePair]) -> Table:
    table = _table(
        "Who alone is right, of two judges (exact McNemar test)",
        ["first", "second"],
        ["questions", "only 1st", "only 2nd", "p"],
    )
    for pair in pairs:
        table.add_row(
            _named(pair.first, 20),
            _named(pair.second, 20),
            f"{pair.num_questions:,}",
            f"{pair.num_only_first_right:,}",
            f"{pair.num_only_second_right:,}",
            _p_value(pair.p_value),
        )
    return table


def _human_pairs(calibration: Calibration) -> Table:
    table = _table(
        "Labellers among themselves", ["first", "second"], ["questions", "agree", "95 %", "kappa", "cannot tell"]
    )
    for pair in calibration.human_pairs[:_MOST_PAIRS]:
        table.add_row(
            _named(pair.first, 20),
            _named(pair.second, 20),
            f"{pair.same.total:,}",
            percent(pair.same.share),
            interval(pair.same),
            _kappa(pair.kappa),
            f"{pair.num_cannot_tell:,}",
        )
    if (num_more := len(calibration.human_pairs) - _MOST_PAIRS) > 0:
        table.add_row(f"and {num_more} more pairs", *[""] * 6)
    humans = calibration.humans
    table.add_row("all pairs", "", f"{humans.total:,}", percent(humans.share), interval(humans), "", "", style="bold")
    return table


def _what_is_compared(calibration: Calibration, found: Agreement) -> str:
    apart = [
        f"{count:,} {name}"
        for name, count in (
            ("disputed", found.num_disputed),
            ("cannot tell", found.num_cannot_tell),
            ("not labelled", found.num_unlabelled),
            ("not in this dataset", found.num_unknown_ids),
        )
        if count
    ]
    decided = calibration.num_sufficient + calibration.num_insufficient
    who = ", ".join(plain(name) for name in calibration.labellers[:5]) or "somebody without a name"
    more = f" and {len(calibration.labellers) - 5} more" if len(calibration.labellers) > 5 else ""
    outdated = f"; {calibration.num_outdated:,} labels of another text left out" if calibration.num_outdated else ""
    return (
        f"{plain(calibration.labels_file, 60)}, labelled by {who}{more}: {decided:,} questions decided "
        f"({calibration.num_sufficient:,} sufficient, {calibration.num_insufficient:,} insufficient)"
        f"{''.join(f', {part}' for part in apart)}{outdated}"
    )


def _unscored(judge: JudgeAgreement) -> str:
    reasons = ", ".join(f"{plain(reason.reason, 40)} {reason.num_rows:,}" for reason in judge.unscored)
    return f"{plain(judge.name)} gave no verdict on {judge.agreement.num_unscored:,}, never averaged in: {reasons}"


def _imprecise(judge: JudgeAgreement) -> str:
    accuracy = judge.agreement.accuracy
    if accuracy.total == 0:
        return f"{plain(judge.name)}: nothing to compare, no question has both a label and a verdict"
    enough = f"; {ENOUGH_LABELS} are enough for any judge" if judge.agreement.num_strata is None else ""
    return (
        f"{plain(judge.name)}: too few labels, {interval(accuracy)} is wider than "
        f"+-{100 * MOST_HALF_WIDTH:.0f} points{enough}"
    )


def _compared(pair: JudgePair) -> str:
    first, second = plain(pair.first), plain(pair.second)
    if pair.p_value is None:
        return f"{first} and {second} cannot be compared: they have no question in common"
    counts = f"{pair.num_only_first_right:,} to {pair.num_only_second_right:,}, p {_p_value(pair.p_value)}"
    if pair.is_noise:
        return f"{first} and {second}: the difference is inside the noise ({counts})"
    better, worse = (first, second) if pair.num_only_first_right > pair.num_only_second_right else (second, first)
    return f"{better} agrees with the labels more often than {worse} ({counts})"


def interval(share: Share) -> str:
    """`76.1-86.7`, in percent; a dash where nothing was compared."""
    return _DASH if share.low is None or share.high is None else f"{100 * share.low:.1f}-{100 * share.high:.1f}"


def _named(name: str, most: int) -> Text:
    """A name from outside: never markup."""
    return Text(plain(name, most))


def _kappa(kappa: float | None) -> str:
    return _DASH if kappa is None else f"{kappa:.2f}"


def _p_value(p_value: float | None) -> str:
    if p_value is None:
        return _DASH
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _table(title: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table

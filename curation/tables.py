"""The report as terminal tables. In a pipe there are no colours; names from the data are shown as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from curation.report import Agreement, Funnel, Lengths, Letter, Maker, Report, Share, Tally, percent, plain

BAR_CELLS: Final = 24
MOST_SOURCES: Final = 12
UNKNOWN: Final = "(not known)"
NOT_MEASURED: Final = "-"
_BY: Final = {"all": "all", "problem_type": "type", "data_type": "modality", "data_source": "source"}


def print_report(report: Report, console: Console) -> None:
    """Everything the report holds, one table a question, at 80 columns and up."""
    print_funnel(report, console)
    console.print(_survival(report))
    console.print(_composition(report))
    for unit in ("words", "tokens"):
        console.print(_lengths(report, unit))
    console.print(_scores(report))
    console.print(_letters(report))
    console.print(_top_answers(report))
    console.print(_duplicates(report))
    console.print(_tallies(report))
    console.print(_makers(report))
    console.print(_agreement(report))


def print_funnel(report: Report, console: Console) -> None:
    """Where the questions went: each step with its reasons, down to what is kept."""
    funnel = report.funnel
    bar = "#" if console.options.ascii_only else "\u2588"
    table = _table("Funnel", ["step", "reason"], ["rows", "of read"], bars=True)
    table.add_row("read", "", f"{funnel.num_read:,}", *_of_read(funnel, funnel.num_read, bar))
    for step in funnel.steps:
        # A step that rejects nothing still has its line: that it ran and found nothing is worth knowing.
        table.add_row(step.step, "", _minus(step.num_rejected), *_of_read(funnel, step.num_rejected, ""))
        for reason in step.reasons:
            table.add_row("", _named(reason.reason), _minus(reason.num_rows), *_of_read(funnel, reason.num_rows, ""))
        table.add_row("", Text("left", "dim"), f"{step.num_left:,}", *_of_read(funnel, step.num_left, bar))
    table.add_row("kept", "", f"{funnel.num_kept:,}", *_of_read(funnel, funnel.num_kept, bar), style="bold")
    console.print(table)


def _named(name: str | int | None, most: int = 28) -> Text:
    """A name from the data: never markup."""
    return Text(UNKNOWN, "dim") if name is None else Text(plain(str(name), most))


def _of_read(funnel: Funnel, num_rows: int, bar: str) -> tuple[str, str]:
    share = num_rows / funnel.num_read if funnel.num_read else None
    return percent(share), bar * round(BAR_CELLS * (share or 0))


def _minus(num_rows: int) -> str:
    return f"-{num_rows:,}" if num_rows else "0"


def _survival(report: Report) -> Table:
    table = _table(
        "Survival: kept of all questions read, beside the paper's",
        ["by", "group"],
        ["read", "kept", "share", "95 %", "paper", "diff."],
    )
    sources = [row for row in report.survival if row.by == "data_source"]
    others = [row for row in report.survival if row.by != "data_source"]
    last = ""
    for row in [*others, *sources[:MOST_SOURCES]]:
        differs = None if row.paper is None or row.kept.share is None else 100 * (row.kept.share - row.paper)
        table.add_row(
            "" if row.by == last else _BY[row.by],
            Text("") if row.by == "all" else _named(row.value, 15),
            f"{row.kept.total:,}",
            f"{row.kept.num:,}",
            percent(row.kept.share),
            _interval(row.kept),
            percent(row.paper),
            NOT_MEASURED if differs is None else f"{differs:+.1f}",
        )
        last = row.by
    if len(sources) > MOST_SOURCES:
        table.add_row("", f"and {len(sources) - MOST_SOURCES} more", *[""] * 6)
    return table


def _interval(share: Share) -> str:
    if share.low is None or share.high is None:
        return NOT_MEASURED
    return f"{100 * share.low:.1f}-{100 * share.high:.1f}"


def _composition(report: Report) -> Table:
    table = _table("Kept traces by type and modality", ["problem type"], ["image", "video", "all"])
    for kind, image, video in report.table3:
        table.add_row(kind, f"{image:,}", f"{video:,}", f"{image + video:,}", style="bold" if kind == "total" else "")
    return table


def _lengths(report: Report, unit: Literal["words", "tokens"]) -> Table:
    columns = ["rows", "mean", "p5", "p25", "p50", "p75", "p95"]
    table = _table(
        f"Lengths in {unit}", ["segment", "problem type"], [*columns, "window"] if unit == "tokens" else columns
    )
    for segment in ("observation", "think"):
        rows = [row for row in report.lengths if (row.segment, row.unit) == (segment, unit)]
        filled = [row for row in rows if row.num_rows or row.problem_type is None]
        for place, row in enumerate(filled):
            table.add_row(
                _segment_cell(row, place),
                row.problem_type or "all",
                f"{row.num_measured:,}",
                *(NOT_MEASURED if value is None else f"{value:.0f}" for value in row.summary),
                *([] if row.in_window is None else [percent(row.in_window.share)]),
            )
    return table


def _segment_cell(row: Lengths, place: int) -> str:
    """The segment beside its first row, its RL window below."""
    if place == 1 and row.window is not None:
        return f"({row.window[0]}-{row.window[1]})"
    return row.segment if place == 0 else ""


def _scores(report: Report) -> Table:
    scores = report.scores
    mean = NOT_MEASURED if scores.mean_kept is None else f"{scores.mean_kept:.3f}"
    table = _table("Task scores", ["score"], ["kept", "rejected"])
    for place, (kept, rejected) in enumerate(zip(scores.kept, scores.rejected, strict=True)):
        table.add_row(f"{place / 10:.1f} to {(place + 1) / 10:.1f}", f"{kept:,}", f"{rejected:,}")
    table.add_row("no score", f"{scores.num_unscored_kept:,}", f"{scores.num_unscored_rejected:,}")
    table.add_row("mean", mean, "", style="bold")
    return table


def _letters(report: Report) -> Table:
    table = _table("Multiple choice: option letters", ["letter"], ["right, read", "right, kept", "answered, kept"])
    totals = [sum(column) for column in zip(*map(_letter_counts, report.letters), strict=True)]
    for letter in report.letters:
        cells = (
            f"{count:,} ({percent(count / total if total else None)})"
            for count, total in zip(_letter_counts(letter), totals, strict=True)
        )
        table.add_row("none" if letter.letter is None else letter.letter, *cells)
    return table


def _letter_counts(letter: Letter) -> tuple[int, int, int]:
    return (letter.num_gold_read, letter.num_gold_kept, letter.num_answered_kept)


def _top_answers(report: Report) -> Table:
    table = _table("Most frequent answers, kept", ["problem type", "answer"], ["rows"])
    last = ""
    for row in report.top_answers:
        kind = "" if row.problem_type == last else row.problem_type
        table.add_row(kind, _named(row.answer, 40), f"{row.num_rows:,}")
        last = row.problem_type
    return table


def _duplicates(report: Report) -> Table:
    table = _table("Duplicates among the kept", ["text", "compared"], ["rows", "distinct", "repeated"])
    for row in report.duplicates:
        table.add_row(row.over, row.form, f"{row.num_rows:,}", f"{row.num_distinct:,}", f"{row.num_extra:,}")
    return table


def _tallies(report: Report) -> Table:
    table = _table("Marks", ["mark", "value"], ["kept", "rejected"])
    named: tuple[tuple[str, str, tuple[Tally, ...]], ...] = (
        ("verdict", "no verdict", report.verdicts),
        ("flag", "not computed", report.flags),
        ("overlap", "not computed", report.overlaps),
        ("attempt", "not recorded", report.attempts),
        ("licence", UNKNOWN, report.licenses),
    )
    for name, if_null, tallies in named:
        for place, tally in enumerate(tallies or (Tally(value="(none)", num_kept=0, num_rejected=0),)):
            value = Text(if_null, "dim") if tally.value is None else _named(tally.value)
            table.add_row("" if place else name, value, f"{tally.num_kept:,}", f"{tally.num_rejected:,}")
    return table


def _makers(report: Report) -> Table:
    table = _table("Models and their prompts", ["role", "model", "prompt"], ["kept", "rejected"])
    roles: tuple[tuple[str, tuple[Maker, ...]], ...] = (("generator", report.generators), ("judge", report.judges))
    for role, makers in roles:
        for place, maker in enumerate(makers):
            prompt = "" if maker.prompt_sha256 is None else _named(maker.prompt_sha256[:12])
            model = Text("never reached", "dim") if maker.model is None else _named(maker.model, 30)
            table.add_row("" if place else role, model, prompt, f"{maker.num_kept:,}", f"{maker.num_rejected:,}")
    return table


def _agreement(report: Report) -> Table:
    agreement = report.agreement
    if agreement is None:
        table = _table("Judge against human labels", [""], [])
        table.add_row("not measured: give a label file (id, label) with --labels")
        return table
    accuracy = agreement.accuracy
    table = _table("Judge against human labels", ["", "human: sufficient"], ["human: insufficient"])
    table.add_row("judge: sufficient", f"{agreement.both_sufficient:,}", f"{agreement.judge_only_sufficient:,}")
    table.add_row("judge: insufficient", f"{agreement.human_only_sufficient:,}", f"{agreement.both_insufficient:,}")
    kappa = "-" if agreement.kappa is None else f"{agreement.kappa:.3f}"
    table.add_row(
        f"agreement {percent(accuracy.share)}", f"95 %: {_interval(accuracy)}", f"kappa {kappa}", style="bold"
    )
    if agreement.num_strata is not None:
        table.add_row("weighted by strata", f"{agreement.num_strata:,}", "")
    for name, count in _apart(agreement):
        table.add_row(name, f"{count:,}", "")
    return table


def _apart(agreement: Agreement) -> tuple[tuple[str, int], ...]:
    return (
        ("disputed", agreement.num_disputed),
        ("cannot tell", agreement.num_cannot_tell),
        ("not labelled", agreement.num_unlabelled),
        ("no verdict", agreement.num_unscored),
        ("id not here", agreement.num_unknown_ids),
    )


def _table(title: str, names: Sequence[str], numbers: Sequence[str], *, bars: bool = False) -> Table:
    """Text columns to the left, number columns to the right, then perhaps a column of bars."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    if bars:
        table.add_column("", no_wrap=True)
    return table

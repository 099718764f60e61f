"""Rows in a list, numbers in a table, two texts side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from app.charts import MOST_LABEL
from app.differences import Difference, Span
from app.markup import cut, fill, join
from app.reasons import reason_in_words
from app.trace_html import chips, verdict_badge

if TYPE_CHECKING:
    from app.rows import Page, Summary

MOST_FLAGS: Final = 8  # of a row in a list
_COARSE: Final = "These texts are too long and too different to compare word by word: some marked words stand in both."


def render_page_table(page: Page, link: Callable[[Summary], str], *, selected: int | None = None) -> Markup:
    """The rows of a page, each a link. link: the address of a row. selected: the place of the open one."""
    if not page.rows:
        return Markup('<p class="vp vp-quiet">No row matches. Loosen or clear the filter.</p>')
    items = join(_line(row, link(row), is_open=row.place == selected) for row in page.rows)
    return fill('<ol class="vp vp-rows">{}</ol>', items)


def render_table(headings: Sequence[str], rows: Sequence[Sequence[str | Markup]]) -> Markup:
    """A small table; the first column names the row, the others are figures."""
    # An empty heading is announced as one of the table; a cell that heads nothing is none.
    head = join(fill('<th scope="col">{}</th>', heading) if heading else Markup("<td></td>") for heading in headings)
    body = join(
        fill('<tr><th scope="row">{}</th>{}</tr>', row[0], join(fill("<td>{}</td>", cell) for cell in row[1:]))
        for row in rows
    )
    return fill(
        '<div class="vp-scroll"><table class="vp-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )


def render_difference(difference: Difference, left: str, right: str) -> Markup:
    """Two texts side by side under their names; what stands on one side only is marked by colour and line."""
    note = fill('<p class="vp-note">{}</p>', _COARSE) if difference.is_coarse else Markup("")
    return fill(
        '<div class="vp vp-difference">{}<section><h4>{}</h4>{}</section><section><h4>{}</h4>{}</section></div>',
        note,
        left,
        _side(difference.left),
        right,
        _side(difference.right),
    )


def render_notes(notes: Sequence[str]) -> Markup:
    """What a reader has to know before all else; nothing where there is nothing."""
    if not notes:
        return Markup("")
    return fill('<ul class="vp vp-notes">{}</ul>', join(fill("<li>{}</li>", note) for note in notes))


def _line(row: Summary, href: str, *, is_open: bool) -> Markup:
    if row.rejected_by is not None:
        state = fill('<span class="vp-why">{}</span>', cut(reason_in_words(row.rejected_by), MOST_LABEL))
    elif row.config == "rejected":
        state = Markup('<span class="vp-why">rejected, no reason recorded</span>')
    else:
        state = verdict_badge(row.verdict)
    named = (row.problem_type, row.data_type, row.data_source)
    kinds = " / ".join(cut(value, MOST_LABEL) for value in named if value)
    return fill(
        '<li class="{css}"><a class="row-link" data-go data-place="{place}" href="{href}" aria-current="{current}">'
        '<span class="vp-row-problem" dir="auto">{problem}</span>'
        '<span class="vp-row-kind">{kinds}</span><span class="vp-row-state">{state}{flags}</span>'
        '<span class="vp-row-figures">{figures}</span></a></li>',
        css="vp-row-rejected" if row.config == "rejected" else "",
        place=row.place,
        href=href,
        current="true" if is_open else "false",
        problem=row.problem or "no question was recorded",
        kinds=kinds or "kind not recorded",
        state=state,
        flags=chips([cut(flag, MOST_LABEL) for flag in (row.flags or ())[:MOST_FLAGS]], {}, "vp-flag"),
        figures=_figures(row),
    )


def _figures(row: Summary) -> Markup:
    """Score and lengths; nothing for a row that was rejected before it had any."""
    if row.score is row.observation_tokens is row.think_tokens is None:
        return Markup("")
    score = "not scored" if row.score is None else f"score {row.score:.2f}"
    lengths = [
        f"{name} {'-' if tokens is None else f'{tokens:,}'}"
        for name, tokens in (("obs", row.observation_tokens), ("think", row.think_tokens))
    ]
    return join(fill("<span>{}</span>", figure) for figure in (score, *lengths))


def _side(spans: Sequence[Span]) -> Markup:
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    marked = join(fill(tags[span.kind], span.text) for span in spans)
    return fill('<div class="vp-text vp-long" dir="auto" tabindex="0">{}</div>', marked)

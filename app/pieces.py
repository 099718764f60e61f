"""The pieces of a page: values in, escaped HTML out, looked at by style.css.

Every one is Markup, a `str` whose text is safe as it stands; put several together with `fill`, `join` or an f-string,
not with `+`, which escapes whatever is no Markup.
"""

from __future__ import annotations

from importlib.resources import files

from app.charts import Bar, Series, render_bars, render_histogram
from app.markup import fill, join, link
from app.tables_html import render_difference, render_notes, render_page_table, render_table
from app.trace_html import render_trace

__all__ = [
    "Bar",
    "Series",
    "fill",
    "join",
    "link",
    "read_style",
    "render_bars",
    "render_difference",
    "render_histogram",
    "render_notes",
    "render_page_table",
    "render_table",
    "render_trace",
]


def read_style() -> str:
    """The style sheet of every piece."""
    return (files("app") / "style.css").read_text(encoding="utf-8")

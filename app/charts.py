"""Counts, lengths and scores as pictures: HTML bars and inline SVG, drawn by style.css in light and dark.

Every number of a picture can also be read as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import floor, log10
from typing import Final

from markupsafe import Markup

from app.markup import cut, fill, join
from curation.report import percent

# The length reward of RL pays inside these (VideoP2R, R_len); both ends belong to the window. As curation/stats.py.
RL_WINDOWS: Final[Mapping[str, tuple[int, int]]] = {"observation": (128, 320), "think": (320, 512)}
MOST_TICKS: Final = 6  # labels below a histogram, but for the zero
MOST_BARS: Final = 12  # that are open at once; the others can be unfolded
# Characters of a name from the data: a dataset may be anybody's, and one value must not be a page of its own.
MOST_LABEL: Final = 80
MOST_TITLE: Final = 300


@dataclass(frozen=True, slots=True)
class Bar:
    """`count` rows, or `count` of `total`. is_null: the rows for which this was not measured. href: the rows."""

    label: str
    count: int
    total: int | None = None
    is_null: bool = False
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a histogram: rows per bin, and what they are."""

    name: str
    counts: tuple[int, ...]


def render_bars(
    title: str, bars: Sequence[Bar | tuple[str, int] | tuple[str, int, int | None]], note: str = ""
) -> Markup:
    """One bar a label. With totals, the bars say which share of each total counts; without, how the counts compare."""
    return panel(title, draw_bars([bar if isinstance(bar, Bar) else Bar(*bar) for bar in bars]), note)


def draw_bars(bars: Sequence[Bar]) -> Markup:
    """The bars without a box; those beyond MOST_BARS can be unfolded."""
    if not bars:
        return quiet("no rows")
    most = max(bar.count if bar.total is None else bar.total for bar in bars)
    drawn = [_bar(bar, most) for bar in bars]
    shown, rest = drawn[:MOST_BARS], drawn[MOST_BARS:]
    listed = fill('<ul class="vp-bars">{}</ul>', join(shown))
    if not rest:
        return listed
    unfolded = '{}<details><summary>{} more</summary><ul class="vp-bars">{}</ul></details>'
    return fill(unfolded, listed, f"{len(rest):,}", join(rest))


def render_histogram(
    title: str,
    series: Sequence[Series],
    *,
    bin_width: float,
    unit: str,
    window: tuple[float, float] | None = None,
    is_open: bool = False,
    note: str = "",
) -> Markup:
    """Rows per bin, the series stacked; bin i holds [i * bin_width, (i + 1) * bin_width).

    window: the range to shade, both ends in it. is_open: the last bin holds all that is longer as well.
    """
    num_bins = max((len(one.counts) for one in series), default=0)
    stacks = [[one.counts[place] if place < len(one.counts) else 0 for one in series] for place in range(num_bins)]
    highest = max(map(sum, stacks), default=0)
    if not highest:
        return panel(title, quiet("Not measured for any of these rows."), note)
    end = num_bins * bin_width
    shaded = None if window is None else (min(window[0], end), min(window[1], end))
    bars = join(
        _stack(place, stack, highest, _span(place, bin_width, unit, is_open and place == num_bins - 1), series)
        for place, stack in enumerate(stacks)
    )
    band = Markup("")
    if shaded is not None and shaded[0] < shaded[1]:
        left, right = (100 * edge / end for edge in shaded)
        band = fill('<rect class="vp-window" x="{:.2f}" y="0" width="{:.2f}" height="100"/>', left, right - left)
    picture = fill(
        '<div class="vp-plot"><span class="vp-most">{}</span><svg viewBox="0 0 100 100" preserveAspectRatio="none" '
        'role="img" aria-label="{}">{}<g transform="scale({:.6f} 1)">{}</g></svg>{}</div>',
        f"{highest:,}",
        title,
        band,
        100 / num_bins,
        bars,
        _axis(end, unit),
    )
    legend = [
        fill('<span class="vp-key vp-series-{}">{}: {}</span>', place, one.name, f"{sum(one.counts):,}")
        for place, one in enumerate(series)
    ]
    if window is not None:
        words = f"window of the RL length reward: {_number(window[0])} to {_number(window[1])} {unit}"
        legend.append(fill('<span class="vp-key vp-key-window">{}</span>', words))
    if is_open:
        legend.append(Markup("<span>The last bar holds all that is longer.</span>"))
    return panel(title, fill('{}<p class="vp-legend">{}</p>', picture, join(legend)), note)


def render_length(name: str, num_tokens: int | None, window: tuple[int, int]) -> Markup:
    """A length as a bar against the window in which RL rewards it."""
    low, high = window
    if num_tokens is None:
        return fill('<p class="vp-length vp-quiet">{} length in tokens: not measured</p>', name)
    place = "below" if num_tokens < low else "above" if num_tokens > high else "inside"
    end = 1.15 * max(num_tokens, high)
    return fill(
        '<p class="vp-length"><span class="vp-track" aria-hidden="true">'
        '<i class="vp-band" style="left:{left:.2f}%;width:{width:.2f}%"></i>'
        '<i class="vp-fill vp-{name}" style="width:{fill:.2f}%"></i></span>'
        "<span><b>{tokens}</b> tokens, {place} the RL window {low}&ndash;{high}</span></p>",
        left=100 * low / end,
        width=100 * (high - low) / end,
        name=name,
        fill=100 * max(num_tokens, 0) / end,
        tokens=f"{num_tokens:,}",
        place=place,
        low=low,
        high=high,
    )


def round_step(least: float) -> float:
    """The smallest of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is no less than `least` > 0."""
    scale = 10.0 ** floor(log10(least))
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= least * (1 - 1e-9))


def panel(title: str, body: Markup, note: str = "") -> Markup:
    """One titled box of a page."""
    below = fill('<p class="vp-note">{}</p>', note) if note else Markup("")
    return fill('<section class="vp vp-panel"><h3>{}</h3>{}{}</section>', title, body, below)


def quiet(words: str) -> Markup:
    """What is not there, in words."""
    return fill('<p class="vp-quiet">{}</p>', words)


def _bar(bar: Bar, most: int) -> Markup:
    whole = bar.count if bar.total is None else bar.total
    if bar.total is None:
        figure = f"{bar.count:,}"
    else:
        figure = f"{bar.count:,} of {bar.total:,} ({percent(bar.count / bar.total if bar.total else None)})"
    label = fill('<bdi dir="auto">{}</bdi>', cut(bar.label, MOST_LABEL))
    if bar.href is not None:
        label = fill('<a data-go href="{}">{}</a>', bar.href, label)
    return fill(
        '<li class="{css}"><span class="vp-bar-label" title="{title}">{label}</span>'
        '<span class="vp-track" aria-hidden="true"><i class="vp-rest" style="width:{whole:.2f}%"></i>'
        '<i class="vp-fill" style="width:{part:.2f}%"></i></span><span class="vp-figure">{figure}</span></li>',
        css="vp-null" if bar.is_null else "",
        title=cut(bar.label, MOST_TITLE),
        label=label,
        whole=100 * whole / most if most else 0,
        part=100 * bar.count / most if most else 0,
        figure=figure,
    )


def _stack(place: int, counts: Sequence[int], highest: int, span: str, series: Sequence[Series]) -> Markup:
    """One bin, from the bottom up."""
    if not any(counts):
        return Markup("")
    said = ", ".join(f"{count:,} {one.name}" for one, count in zip(series, counts, strict=True))
    rects = [
        fill(
            '<rect class="vp-series-{}" x="{:.2f}" y="{:.3f}" width="0.92" height="{:.3f}"/>',
            number,
            place + 0.04,
            100 - 100 * top / highest,
            100 * count / highest,
        )
        for number, (count, top) in enumerate(zip(counts, accumulate(counts), strict=True))
        if count
    ]
    return fill("<g><title>{}: {}</title>{}</g>", span, said, join(rects))


def _span(place: int, bin_width: float, unit: str, is_open: bool) -> str:
    start, end = _number(place * bin_width), _number((place + 1) * bin_width)
    return f"{start} {unit} and more" if is_open else f"{start} to {end} {unit}"


def _axis(end: float, unit: str) -> Markup:
    """Round numbers below a picture that ends at `end`."""
    step = round_step(end / MOST_TICKS)
    marks = join(
        fill('<span style="left:{:.2f}%">{}</span>', 100 * place * step / end, _number(place * step))
        for place in range(int(end / step + 1e-9) + 1)
    )
    return fill('<div class="vp-axis" aria-hidden="true">{}</div><p class="vp-unit">{}</p>', marks, unit)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"

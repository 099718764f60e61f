"""How the report words its numbers."""

from __future__ import annotations

from typing import Final

NARROW: Final = "\u00a0"  # a space at which no line breaks
DASH: Final = "-"  # what was not measured; never a zero


def percent(share: float | None) -> str:
    """A share in [0, 1]; null is a dash."""
    return DASH if share is None else f"{100 * share:.1f}{NARROW}%"


def ends(interval: tuple[float, float]) -> str:
    """An interval of shares, without the unit."""
    low, high = interval
    return f"[{100 * low:.1f},{NARROW}{100 * high:.1f}]"


def duration(seconds: float) -> str:
    """93 s -> 1 min 33 s; 7300 s -> 2 h 2 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"

"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_LOG_EVERY_S: Final = 30.0
_QUIET_LOG_EVERY_S: Final = 600.0  # while nothing moves


class _NotedProgress(Progress):
    """Bars with a line of text below, which is asked for whenever they are drawn."""

    def __init__(self, *columns: ProgressColumn, console: Console, note: Callable[[], str | None]) -> None:
        self._note = note
        super().__init__(*columns, console=console)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if text := self._note():
            yield Text(text)


@contextmanager
def show_progress(
    console: Console,
    title: str,
    total: int | None = None,
    *,
    in_bytes: bool = False,
    note: Callable[[], str | None] = lambda: None,
) -> Iterator[Callable[[int], None]]:
    """Yields `advance(num_done_since)`. `total` None = not known yet. in_bytes: what is counted are bytes.

    note: what else is to be known at the moment, shown beside. `advance(0)` now and then keeps a log alive in which
    nothing else moves.
    """
    if console.is_terminal:
        done = DownloadColumn() if in_bytes else MofNCompleteColumn()
        columns = [TextColumn("{task.description:<10}"), BarColumn(), done, TimeElapsedColumn()]
        with _NotedProgress(*columns, TimeRemainingColumn(), console=console, note=note) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)
        return
    started_s = logged_s = time.monotonic()
    every_s = _LOG_EVERY_S
    num_done = 0

    def say(end: str) -> None:
        shown = decimal if in_bytes else str
        of = f"/{shown(total)}" if total is not None else ""
        noted = f"  {text}" if (text := note()) else ""
        line = f"{title:<10} {shown(num_done)}{of}  {time.monotonic() - started_s:.0f} s{noted}{end}"
        console.print(line, highlight=False, soft_wrap=True)

    def advance(count: int) -> None:
        nonlocal num_done, logged_s, every_s
        num_done += count
        if count:
            every_s = _LOG_EVERY_S
        if time.monotonic() - logged_s > every_s:
            logged_s = time.monotonic()
            every_s = _LOG_EVERY_S if count else min(2 * every_s, _QUIET_LOG_EVERY_S)
            say(" ...")

    yield advance
    say("")

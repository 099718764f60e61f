"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LOG_EVERY_S: Final = 30.0


@contextmanager
def show_progress(
    console: Console, title: str, total: int | None = None, *, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yields `advance(num_done_since)`. `total` None = not known yet. in_bytes: what is counted are bytes."""
    if console.is_terminal:
        done = DownloadColumn() if in_bytes else MofNCompleteColumn()
        columns = [TextColumn("{task.description:<10}"), BarColumn(), done, TimeElapsedColumn()]
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)
        return
    started_s = logged_s = time.monotonic()
    num_done = 0

    def say(end: str) -> None:
        shown = decimal if in_bytes else str
        of = f"/{shown(total)}" if total is not None else ""
        console.print(f"{title:<10} {shown(num_done)}{of}  {time.monotonic() - started_s:.0f} s{end}", highlight=False)

    def advance(count: int) -> None:
        nonlocal num_done, logged_s
        num_done += count
        if time.monotonic() - logged_s > _LOG_EVERY_S:
            logged_s = time.monotonic()
            say(" ...")

    yield advance
    say("")

"""SIGTERM and Ctrl-C end a run as a fatal error does: nothing new is asked, and what is in flight is waited for."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from curation.engines.limiter import Limiter
from curation.errors import Stopped

_PATIENCE_S: Final = 20.0  # a scheduler kills 30 s after its SIGTERM
_LAST_WORDS_S: Final = 0.5  # for what came last to be written down


@contextmanager
def drained_when_told(limiters: Sequence[Limiter], console: Console) -> Iterator[None]:
    """Within, a signal stops the limiters; the task of the caller is cancelled once nothing is in flight.

    Raises Stopped then. A second signal cancels at once.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can signals be heard
        yield
        return
    drain = _Drain(limiters, console)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.begin, number)
    try:
        yield
    except (asyncio.CancelledError, Stopped):
        if drain.stopped is None:
            raise
        raise drain.stopped from None
    finally:
        drain.end()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class _Drain:
    """What one signal sets off."""

    def __init__(self, limiters: Sequence[Limiter], console: Console) -> None:
        self.stopped: Stopped | None = None
        self._limiters = limiters
        self._console = console
        self._main = asyncio.current_task()
        self._waiting: asyncio.Task[None] | None = None

    def begin(self, number: int) -> None:
        assert self._main is not None
        if self.stopped is not None:
            self._main.cancel()
            return
        name = signal.Signals(number).name
        self.stopped = Stopped(
            f"stopped by {name}; every answer that came is kept. Run the same command again to go on", number
        )
        self._console.print(
            f"{name}: nothing new is asked; waiting up to {_PATIENCE_S:.0f} s for the {self._num_in_flight()} requests "
            "in flight, which are paid for",
            highlight=False,
            soft_wrap=True,
        )
        for limiter in self._limiters:
            limiter.stop(self.stopped)
        self._waiting = asyncio.create_task(self._wait(self._main))

    def end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def _num_in_flight(self) -> int:
        return sum(limiter.num_in_flight for limiter in self._limiters)

    async def _wait(self, main: asyncio.Task[None]) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while self._num_in_flight() and time.monotonic() < until_s:
            await asyncio.sleep(0.05)
        await asyncio.sleep(_LAST_WORDS_S)
        main.cancel()

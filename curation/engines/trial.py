"""A stage none of whose first answers is usable is stopped before the rest is paid.

A server with a wrong chat template, a judge that talks instead of judging: every reply is an answer, none is worth
anything. So until one is usable, no more than `limit` are asked for at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from curation.errors import FatalEngineError

_RESUMED_SHARE: Final = 10  # of a limit that an earlier run used up, a tenth is asked anew

_log = logging.getLogger(__name__)


class Trial:
    """Counts a stage's answers until the first usable one. One for all shards of a run, in one event loop."""

    def __init__(
        self, limit: int | None, *, what: str = "the model", key: str = "dispatch.stop_after_unusable"
    ) -> None:
        """limit: None = no limit. what: who answers. key: the name of the limit in the config."""
        self.limit = limit
        self._what = what
        self._key = key
        self._num_known = 0
        self._num_new = 0
        self._out: set[str] = set()
        self._is_passed = False
        self._last = ""
        self._is_news = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether no usable answer has come yet."""
        return self.limit is not None and not self._is_passed

    def recall(self, replies: int, *, is_usable: bool, last: str) -> None:
        """What an earlier run was answered. It stops nothing by itself: the server may be mended by now."""
        had_room = self.limit is None or self._num_known < self.limit
        self._num_known += replies
        self._last = self._last or last
        self._is_passed |= is_usable
        if not self._is_passed and self.limit is not None and had_room and self._num_known >= self.limit:
            _log.warning(
                "%d answers of %s were kept by an earlier run, and none is usable (%s); asking %d more before it stops",
                self._num_known,
                self._what,
                self._last,
                self._num_allowed(self.limit),
            )

    async def turn(self, key: str) -> None:
        """Wait for the right to ask. Raises FatalEngineError when all that may be asked was asked in vain."""
        await self.wait()
        self._out.add(key)

    async def wait(self) -> None:
        """Until more may be asked. Raises FatalEngineError when all that may be asked was asked in vain."""
        while self._room() == 0:
            if not self._out:
                raise self._error()
            self._is_news.clear()
            await self._is_news.wait()

    def has_room_for(self, key: str) -> bool:
        """Whether this one may be asked now; another try of what is out always may."""
        return key in self._out or self._room() != 0

    def sent(self, keys: Iterable[str]) -> None:
        """These are asked, whether there was room or not."""
        self._out.update(keys)

    def _room(self) -> int | None:
        """How many may be asked now; None = any number."""
        if self.limit is None or self._is_passed:
            return None
        return max(0, self._num_allowed(self.limit) - self._num_new - len(self._out))

    def answered(self, key: str, *, is_usable: bool, shown: str) -> None:
        """An answer came, or all tries failed."""
        self._out.discard(key)
        self._num_new += 1
        self._is_passed |= is_usable
        self._last = shown
        self._is_news.set()

    def drop(self, key: str) -> None:
        """No answer will come."""
        self._out.discard(key)
        self._is_news.set()

    def _error(self) -> FatalEngineError:
        """Why nothing more is asked."""
        num_answers = self._num_known + self._num_new
        return FatalEngineError(
            f"{self._what} gave no usable reply in its first {num_answers} answers, the last: {self._last}. See to its "
            f"server, prompt or model and run the same command again, or raise {self._key} to go on all the same; "
            "the answers are kept."
        )

    def _num_allowed(self, limit: int) -> int:
        """New answers that may be asked for, as long as none is usable."""
        return max(limit - self._num_known, -(-limit // _RESUMED_SHARE))

"""The verdicts of a run, in a folder that its processes share: what was replied, who asks what, and what it costs.

Each process appends to journals of its own and reads what those of all gained. `verdicts-<rank>.jsonl` holds the
replies. `verdicts-<rank>.sent` has a line before each request with a price, with the most that it can cost; the line of
its reply takes that back, and what a killed process had in flight stays counted as spent. A question is asked by who
holds its claim, a locked file: the kernel drops the lock when the holder dies, however.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from curation.journal import Journal, JournalReader
from curation.judge import Verdict, read_verdict

_JOURNALS: Final = ("verdicts-*.sent", "verdicts-*.jsonl")


@dataclass(frozen=True, slots=True)
class Reply:
    """One paid reply, and what it cost when it was paid. is_own: this process paid for it, since it started."""

    text: str
    stop_reason: str
    model: str
    cost_usd: float
    is_own: bool = False

    @property
    def verdict(self) -> Verdict | None:
        """None when the judge did not answer in form."""
        return read_verdict(self.text, self.stop_reason)


class SharedVerdicts:
    """The folder, as the process `rank` sees it.

    committed_usd: what everybody spent or may still have to pay, when it was last looked at.
    """

    def __init__(self, folder: Path, rank: int, *, is_free: bool) -> None:
        """is_free: requests cost nothing, and none is booked. Raises RunDirectoryError on a damaged journal."""
        self.replies: dict[str, Reply] = {}
        self._folder = folder
        self._readers: dict[Path, JournalReader] = {}
        self.committed_usd = 0.0
        self._own_usd: dict[str, float] = {}
        self.look()
        self._journal = Journal(folder / f"verdicts-{rank}.jsonl")
        self._sent = None if is_free else Journal(folder / f"verdicts-{rank}.sent")

    @property
    def others_usd(self) -> float:
        """The same, without what this process has in flight; right after a look."""
        return self.committed_usd - sum(self._own_usd.values())

    def look(self) -> None:
        """Learn what all journals gained. Raises RunDirectoryError on a damaged line."""
        for pattern in _JOURNALS:
            for path in sorted(self._folder.glob(pattern)):
                for entry in self._readers.setdefault(path, JournalReader(path)).gained():
                    self._learn(entry)

    @contextmanager
    def booking(self) -> Iterator[None]:
        """Look at what is committed while nobody else may commit more."""
        with (self._folder / "budget.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                self.look()
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may have the file open, too

    def send(self, key: str, most_usd: float) -> None:
        """On the books, before the request goes out."""
        if self._sent is not None:
            self._sent.append({"key": key, "most_usd": most_usd})
            self._own_usd[key] = most_usd

    def receive(self, entry: Mapping[str, Any]) -> None:
        """Write its reply down, which takes the place of what was sent."""
        key = entry["key"]
        self._journal.append({**entry, "sent_usd": self._own_usd.get(key, 0.0)})
        self._own_usd.pop(key, None)
        self.replies[key] = replace(_reply(entry), is_own=True)

    def fail(self, key: str, cost_usd: float | None) -> None:
        """No reply will come, and it cost that much all the same; None: nobody knows, and the most stays counted."""
        most_usd = self._own_usd.pop(key, None)
        if self._sent is not None and most_usd is not None and cost_usd is not None:
            self._sent.append({"key": key, "most_usd": cost_usd - most_usd})

    def claim(self, key: str) -> Claim | None:
        """The right to ask this, or None while somebody else has it."""
        return Claim.take(self._folder / f"claim-{key}")

    def close(self) -> None:
        """Flush the journals, and let go of them."""
        self._journal.close()
        if self._sent is not None:
            self._sent.close()

    def _learn(self, entry: Mapping[str, Any]) -> None:
        if "most_usd" in entry:
            self.committed_usd += entry["most_usd"]
            return
        reply = _reply(entry)
        self.replies.setdefault(entry["key"], reply)
        self.committed_usd += reply.cost_usd - entry.get("sent_usd", 0.0)


def _reply(entry: Mapping[str, Any]) -> Reply:
    return Reply(entry["text"], entry["stop_reason"], entry["model"], entry["cost_usd"])


class Claim:
    """A locked file that is there as long as it is held, or until the next one takes it after a kill."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """None while somebody else holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass  # held, or let go of since it was opened: the file is not the one that others would lock
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Let the next one have it."""
        self._path.unlink()
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # a forked child may have the file open, too
        os.close(self._descriptor)

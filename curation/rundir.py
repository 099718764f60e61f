"""The run directory: where everything of a run lies, and the lock that keeps a second run out.

config.yaml            the resolved config           questions/   the ingested questions, one Parquet file a shard
media.jsonl            the media manifest            journal/     one append-only journal per shard and step
shards/                finished shards               dataset/     what will be published
report.json            statistics of the dataset
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from curation.errors import RunDirectoryError


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Names of everything in a run directory; touches no disk but in `lock`."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.root / "config.yaml"

    @property
    def questions(self) -> Path:
        """The folder of ingested questions."""
        return self.root / "questions"

    @property
    def media(self) -> Path:
        """The media manifest."""
        return self.root / "media.jsonl"

    @property
    def journals(self) -> Path:
        """The folder of journals."""
        return self.root / "journal"

    @property
    def shards(self) -> Path:
        """The folder of finished shards."""
        return self.root / "shards"

    @property
    def dataset(self) -> Path:
        """The dataset folder, loadable with `datasets.load_dataset`."""
        return self.root / "dataset"

    @property
    def report(self) -> Path:
        """Statistics of the dataset as JSON."""
        return self.root / "report.json"

    def journal(self, shard: int, step: str) -> Path:
        """The journal of one shard and step."""
        return self.journals / f"{shard:05d}.{step}.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory. Raises RunDirectoryError when another run holds it."""
        with hold_folder(self.root, "give run_dir=ANOTHER"):
            yield


@contextmanager
def hold_folder(folder: Path, otherwise: str) -> Iterator[None]:
    """Keep every other run out of a folder, which is made. The kernel drops the lock when the process dies, however.

    Raises RunDirectoryError when another run holds it; `otherwise` is what to do but wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunDirectoryError(
                f"{folder} is in use by another run (process {holder}). Wait for it, or {otherwise}."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

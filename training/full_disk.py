"""Whether what ended a run is a full disk, whoever says so and however.

Python says it with an errno, safetensors in words, and torch not at all: it tells of a wrong position in its file. Most
do not say which file. So where words are missing the disk itself is asked, which stays full after the failure: what was
written of the file is still there.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT)
_WORDS: Final = ("No space left on device", "Disk quota exceeded")
_LEFT_BYTES: Final = 2**20  # a disk with less is full: no checkpoint goes in there


def describe_full_disk(error: BaseException, run_dir: Path) -> str | None:
    """One line for whoever has to make room, or None where `error` is about something else."""
    place = find_full_disk(error, run_dir)
    if place is None:
        return None
    reason = " ".join(str(error).split())[:200]
    return (
        f"the disk is full: there is no room for {place} ({reason}). Free some space there and run the same command "
        "again: training goes on from its last whole checkpoint."
    )


def find_full_disk(error: BaseException, run_dir: Path) -> Path | None:
    """The file or folder that there is no room for; the run directory where the error names none."""
    faults = list(_causes(error))
    for fault in faults:
        if isinstance(fault, OSError) and fault.errno in _ERRNOS:
            return Path(fault.filename) if isinstance(fault.filename, str) else run_dir
        if any(words in str(fault) for words in _WORDS):
            return run_dir
    may_be = any(isinstance(fault, RuntimeError) for fault in faults)  # what torch raises when it writes
    return run_dir if may_be and _is_full(run_dir) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it was raised from or amid."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < _LEFT_BYTES

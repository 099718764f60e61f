"""Errors a user can meet. Each says in one line what is wrong, the value, and what to do.

Everything that derives from `UserError` is printed without a traceback and ends the command with status 2.
"""

from __future__ import annotations

import errno
import re
from typing import Final

# At least two folders deep, so that "1/2" and "/v1" stay; a quoted path may hold spaces.
_ABSOLUTE: Final = re.compile(
    r"""(?:(?<=['"])/(?:[^'"/\n]+/)+([^'"/\n]*)(?=['"]))|(?:(?<![\w.~/])(?:file://)?/(?:[^\s'"/]+/)+([^\s'"/]*))"""
)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


def describe_os_error(error: OSError) -> str | None:
    """One line for a full disk or a place that cannot be written; None for anything else, which is our bug."""
    if error.errno in _FULL or "No space left" in str(error):
        return f"the disk is full ({error}). Free some space and run the same command again; no answer is lost"
    if error.errno in _UNWRITABLE and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}. Name another place, or change its rights"
    return None


def without_paths(text: str) -> str:
    """The text with ".../name" for every absolute path: what is published tells nothing of a machine's folders."""
    return _ABSOLUTE.sub(lambda match: f".../{match[1] or match[2] or ''}", text)


class UserError(Exception):
    """The user can fix it; `str()` of it is one line."""


class ConfigError(UserError, ValueError):
    """A configuration that cannot be run."""


class SourceError(UserError, ValueError):
    """A source that cannot be read at all (a single broken record is a counted reject, not an error)."""


class RunDirectoryError(UserError, RuntimeError):
    """A run directory that is locked, foreign, full or damaged."""


class BudgetExceeded(UserError, RuntimeError):
    """The next call could pass `budget_usd`; nothing was sent."""


class Stopped(UserError):
    """A signal asked for an end, and what was in flight was waited for. `signal_number` makes the exit status."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class HubError(UserError, RuntimeError):
    """The hub did not do what it was asked. `reason` is one of hub.REASONS, for callers that can act on it."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class MediaError(ValueError):
    """One media file cannot be used. `reason` is the short name that is recorded for its questions.

    Reasons: missing, empty, corrupt, unsupported, no_video, no_frames, outside_root, timeout, crashed, too_large,
    aspect_ratio, wrong_kind, needs_frames.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class EngineError(Exception):
    """A request that brought no completion."""


class RetryableError(EngineError):
    """May work later: 408, 409, 429, 5xx, 529, time-out, lost connection, torn reply.

    `overloaded` tells that the server refused work (429, 502, 503, 529); `timed_out` that it did not answer in time;
    `unreachable` that no connection could be made, so that the request is certainly not to blame; `unusable` that a
    whole reply came and held no text, so that asking the same again may well end alike. `retry_after_s` is the
    server's own wish, if it had one. The token counts are what an unusable reply told.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        overloaded: bool = False,
        unreachable: bool = False,
        timed_out: bool = False,
        unusable: bool = False,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.unusable = unusable
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.retry_after_s = retry_after_s
        self.overloaded = overloaded
        self.unreachable = unreachable
        self.timed_out = timed_out

    @property
    def may_cost(self) -> bool:
        """Whether the server may have done, and charged, the work: it took the request and refused nothing."""
        return self.status is None and not self.unreachable


class PoisonError(EngineError):
    """This request can never work (400, 413, 422): record it and go on."""


class FatalEngineError(UserError, EngineError):
    """No request can work (wrong key, unknown model, server gone): stop the run with one clear line."""


class NotFound(FatalEngineError):
    """What the address names is not there: a wrong base_url, an unknown model, a batch that is gone."""


class ServerDown(FatalEngineError):
    """The server was away, or failed, for too long; it may be mended later. `what` is that alone, without a remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}{remedy}")
        self.what = what

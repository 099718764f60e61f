"""What the hub says no to. The client picks its exception by the error code, else by the status."""

from __future__ import annotations

from collections.abc import Mapping

WRONG_TOKEN = "Invalid credentials in Authorization header"  # the client compares this text


class Refusal(Exception):
    """Becomes a reply with this status; `code` is the X-Error-Code."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def no_repo(name: str, *, status: int = 404) -> Refusal:
    """A repository that is not there, or that the caller may not know of."""
    return Refusal(status, f"Repository not found: {name}", "RepoNotFound")


def no_revision(revision: str) -> Refusal:
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(path: str, commit: str) -> Refusal:
    """The client caches the absence of a file, so it wants to know at which commit."""
    return Refusal(404, f"Entry not found: {path}", "EntryNotFound", {"X-Repo-Commit": commit})

"""What a repository is: commits that never change, and the names that point at them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


class _Record(BaseModel):
    """Read back from the hub's disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Record):
    """One file of a tree. Its bytes are the object `sha256`; in git, a large file is a pointer to them."""

    size: int
    sha256: str
    git_sha1: str
    lfs: bool

    @property
    def oid(self) -> str:
        """What the hub names the content by: sha256 for large files, else the git blob's sha1."""
        return self.sha256 if self.lfs else self.git_sha1


class Commit(_Record):
    """`tree` maps each path to its entry; `date` is ISO 8601 with milliseconds and Z."""

    parent: str | None
    title: str
    message: str
    author: str
    date: str
    tree: Mapping[str, Entry]

    @property
    def oid(self) -> str:
        """40 hexadecimal digits, by content."""
        return hashlib.sha1(self.model_dump_json().encode()).hexdigest()


class RepoState(_Record):
    """Settings and references: all of a repository that changes. `granted` users may download a gated one."""

    kind: str  # dataset or model
    name: str
    created_at: str
    private: bool = False
    gated: bool | str = False
    granted: tuple[str, ...] = ()
    branches: Mapping[str, str]
    tags: Mapping[str, str] = {}

    @property
    def namespace(self) -> str:
        return self.name.split("/")[0]


def large_entry(sha256: str, size: int) -> Entry:
    return Entry(size=size, sha256=sha256, git_sha1=git_sha1(POINTER.format(sha256, size).encode()), lfs=True)


def small_entry(content: bytes) -> Entry:
    sha256 = hashlib.sha256(content).hexdigest()
    return Entry(size=len(content), sha256=sha256, git_sha1=git_sha1(content), lfs=False)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

"""A repository on disk: objects and commits are added, then one assignment under a lock makes them seen."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.hub.attributes import DATASET_ATTRIBUTES, SAMPLE_BYTES, is_large
from tests.hub.history import Commit, Entry, RepoState, large_entry, small_entry
from tests.hub.objects import Objects
from tests.hub.refusal import Refusal, no_revision

REF_NAME = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$|/$|\.$))[^\s~^:?*\[\\\x00-\x1f/.-][^\s~^:?*\[\\\x00-\x1f]*")

Edit = Callable[[dict[str, Entry]], object]


def timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Repository:
    """`state` is an immutable snapshot that each change replaces. Raises Refusal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._commits: dict[str, Commit] = {}
        self.objects = Objects(folder / "objects")
        self.state = RepoState.model_validate_json((folder / "repo.json").read_bytes())

    @classmethod
    def create(cls, folder: Path, kind: str, name: str, *, private: bool, author: str) -> Repository:
        """With one commit that holds .gitattributes, as on the hub."""
        (folder / "commits").mkdir(parents=True)
        content = DATASET_ATTRIBUTES.encode()
        commit = Commit(
            parent=None,
            title="initial commit",
            message="",
            author=author,
            date=timestamp(),
            tree={".gitattributes": small_entry(content)},
        )
        Objects(folder / "objects").add(content)
        _write(folder / "commits" / f"{commit.oid}.json", commit.model_dump_json())
        state = RepoState(
            kind=kind, name=name, created_at=commit.date, private=private, branches={"main": commit.oid}, tags={}
        )
        _write(folder / "repo.json", state.model_dump_json())
        return cls(folder)

    def commit_of(self, revision: str) -> str:
        """The commit that a branch, a tag, or a commit's own (abbreviated) name means."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for names in (self.state.branches, self.state.tags):
            if name in names:
                return names[name]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            for oid in self._reachable():
                if oid.startswith(revision):
                    return oid
        raise no_revision(revision)

    def commit(self, oid: str) -> Commit:
        if oid not in self._commits:
            path = self._folder / "commits" / f"{oid}.json"
            self._commits[oid] = Commit.model_validate_json(path.read_bytes())
        return self._commits[oid]

    def tree(self, revision: str) -> Mapping[str, Entry]:
        return self.commit(self.commit_of(revision)).tree

    def history(self, revision: str) -> Iterator[tuple[str, Commit]]:
        """The newest first."""
        oid: str | None = self.commit_of(revision)
        while oid is not None:
            commit = self.commit(oid)
            yield oid, commit
            oid = commit.parent

    def store(self, path: str, content: bytes | Path, revision: str, *, above_bytes: int) -> Entry:
        """Add the bytes of a file; whether it is a large one depends on its name, size and .gitattributes."""
        if isinstance(content, Path):
            with content.open("rb") as stream:
                size, sample = content.stat().st_size, stream.read(SAMPLE_BYTES)
        else:
            size, sample = len(content), content[:SAMPLE_BYTES]
        large = is_large(path, size, sample, self.attributes(revision), above_bytes)
        if large and isinstance(content, Path):
            return large_entry(self.objects.add_file(content), size)
        content = content.read_bytes() if isinstance(content, Path) else content
        sha256 = self.objects.add(content)
        return large_entry(sha256, size) if large else small_entry(content)

    def attributes(self, revision: str) -> str:
        entry = self.tree(revision).get(".gitattributes")
        return self.objects.path(entry.sha256).read_text("utf-8") if entry else ""

    def push(
        self, branch: str, edit: Edit, *, title: str, message: str = "", author: str, parent: str | None = None
    ) -> str:
        """One commit on top of a branch. `edit` changes a private copy of the tree; 412 when `parent` is not the head.

        Returns the commit.
        """
        with self._lock:
            branch = branch.removeprefix("refs/heads/")
            if branch not in self.state.branches:
                raise no_revision(branch)
            head = self.state.branches[branch]
            if parent is not None and not (len(parent) >= 7 and head.startswith(parent)):
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            tree = dict(self.commit(head).tree)
            edit(tree)
            commit = Commit(parent=head, title=title, message=message, author=author, date=timestamp(), tree=tree)
            oid = commit.oid
            _write(self._folder / "commits" / f"{oid}.json", commit.model_dump_json())
            self._commits[oid] = commit
            self._publish(branches={**self.state.branches, branch: oid})
            return oid

    def add_tag(self, name: str, revision: str) -> None:
        """A tag is never moved."""
        with self._lock:
            self._check_name(name, self.state.tags, "tag")
            self._publish(tags={**self.state.tags, name: self.commit_of(revision)})

    def remove_tag(self, name: str) -> None:
        with self._lock:
            self._publish(tags=_without(name, self.state.tags))

    def add_branch(self, name: str, revision: str) -> None:
        with self._lock:
            self._check_name(name, self.state.branches, "branch")
            self._publish(branches={**self.state.branches, name: self.commit_of(revision)})

    def remove_branch(self, name: str) -> None:
        with self._lock:
            if name == "main":
                raise Refusal(403, "Cannot delete the main branch.")
            self._publish(branches=_without(name, self.state.branches))

    def configure(self, **changes: Any) -> None:
        """Change `private`, `gated` or `granted`."""
        with self._lock:
            self._publish(**changes)

    def _publish(self, **changes: Any) -> None:
        state = RepoState.model_validate({**self.state.model_dump(), **changes})
        _write(self._folder / "repo.json", state.model_dump_json())
        self.state = state

    def _reachable(self) -> Iterator[str]:
        for revision in [*self.state.branches.values(), *self.state.tags.values()]:
            oid: str | None = revision
            while oid is not None:
                yield oid
                oid = self.commit(oid).parent

    def _check_name(self, name: str, taken: Mapping[str, str], what: str) -> None:
        if not REF_NAME.fullmatch(name):
            raise Refusal(400, f"{name!r} is no valid {what} name.")
        if name in taken:
            raise Refusal(409, f"Reference already exists: {what} {name}")


def _without(name: str, names: Mapping[str, str]) -> dict[str, str]:
    if name not in names:
        raise no_revision(name)
    return {other: oid for other, oid in names.items() if other != name}


def _write(path: Path, text: str) -> None:
    torn = path.with_name(path.name + ".tmp")
    torn.write_text(text, encoding="utf-8")
    torn.replace(path)

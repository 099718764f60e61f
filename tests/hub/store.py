"""All repositories under one root folder: root/datasets/org/name, root/models/org/name, and root/xet for them all."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub.refusal import Refusal, no_repo
from tests.hub.repository import Repository
from tests.hub.users import User
from tests.hub.xet import XetStore

REPO_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass
class Store:
    """`repositories` are keyed as people write them: org/name for datasets, models/org/name for models."""

    root: Path
    users: Mapping[str, User]
    tree_page_size: int
    large_above_bytes: int
    uploaded: list[str] = field(default_factory=list)
    repositories: dict[str, Repository] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.xet = XetStore(self.root / "xet")
        for path in sorted(self.root.glob("*s/*/*/repo.json")):
            repository = Repository(path.parent)
            self.repositories[key_of(repository.state.kind, repository.state.name)] = repository

    def find(self, kind: str, name: str, *, anonymous: bool = False) -> Repository:
        """Raises Refusal. Who is not logged in learns that he might have to."""
        repository = self.repositories.get(key_of(kind, name))
        if repository is None:
            raise no_repo(name, status=401 if anonymous else 404)
        return repository

    def create(self, kind: str, name: str, *, private: bool, author: str) -> Repository:
        if kind not in ("dataset", "model") or not REPO_NAME.fullmatch(name):
            raise Refusal(400, f"Invalid repository: {kind} {name!r}")
        with self._lock:
            key = key_of(kind, name)
            if key in self.repositories:
                raise Refusal(409, f"You already created this {kind} repo: {name}")
            folder = self._folder(kind, name)
            shutil.rmtree(folder, ignore_errors=True)  # a creation that was killed before repo.json
            self.repositories[key] = Repository.create(folder, kind, name, private=private, author=author)
            return self.repositories[key]

    def delete(self, kind: str, name: str) -> None:
        with self._lock:
            del self.repositories[key_of(kind, name)]
            shutil.rmtree(self._folder(kind, name))

    def _folder(self, kind: str, name: str) -> Path:
        return self.root / f"{kind}s" / name


def key_of(kind: str, name: str) -> str:
    return name if kind == "dataset" else f"{kind}s/{name}"

"""The hub as a test holds it: start and stop it, put faults in the way, look into its repositories, push as others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.hub.faults import HubFault
from tests.hub.history import Entry, RepoState
from tests.hub.refusal import no_entry
from tests.hub.repository import Repository
from tests.hub.serving import HubServer
from tests.hub.store import Store
from tests.hub.users import DEFAULT_USERS, User

SOMEBODY_ELSE = "somebody-else"


class LoopbackHub(HubServer):
    """Serves on 127.0.0.1; use as a context manager, or `start` and `stop` (again on the same port).

    root: where the repositories lie; a hub that is started on the root of another finds them there.
    users: token -> User. tree_page_size: entries a page of a tree or of commits. large_above_bytes: larger files are
    large files (LFS) whatever their name.

    Repositories are named as people do: org/name a dataset, models/org/name a model. All that a test may ask or do
    is safe from any thread and raises Refusal, as the clients' calls do.

    Counted, and kept over a restart: `requests` in order of arrival, `uploaded` the sha256 of each large file whose
    bytes arrived from a client, by PUT or through Xet.
    """

    def __init__(
        self,
        root: Path,
        *,
        users: Mapping[str, User] = DEFAULT_USERS,
        port: int = 0,
        tree_page_size: int = 1000,
        large_above_bytes: int = 10 << 20,
    ) -> None:
        super().__init__(Store(Path(root), users, tree_page_size, large_above_bytes), port)

    @property
    def uploaded(self) -> list[str]:
        return self._store.uploaded

    @property
    def repos(self) -> dict[str, RepoState]:
        """Settings, branches and tags of each repository: snapshots, change them with `configure`."""
        return {name: repository.state for name, repository in list(self._store.repositories.items())}

    def inject(self, fault: HubFault) -> HubFault:
        """Put a fault in the way; returns it, so that `fault.num_met` can be asked later."""
        self.faults.append(fault)
        return fault

    def count(self, endpoint: str, method: str | None = None) -> int:
        """How many requests came to an endpoint."""
        return sum(seen.endpoint == endpoint and method in (None, seen.method) for seen in self.requests)

    def create(self, repo: str, *, private: bool = False) -> None:
        kind, name = _parse_name(repo)
        self._store.create(kind, name, private=private, author=SOMEBODY_ELSE)

    def configure(
        self,
        repo: str,
        *,
        private: bool | None = None,
        gated: bool | str | None = None,
        granted: tuple[str, ...] | None = None,
    ) -> None:
        """Change settings; what is None stays. gated: False, "auto" or "manual". granted: user names let in."""
        changes = {"private": private, "gated": gated, "granted": granted}
        self._repository(repo).configure(**{name: value for name, value in changes.items() if value is not None})

    def commit(
        self,
        repo: str,
        files: Mapping[str, bytes | Path | None],
        *,
        title: str = "a push by somebody else",
        parent: str | None = None,
        branch: str = "main",
    ) -> str:
        """Push as somebody else; None deletes, a Path is streamed. Creates the repository when it is missing."""
        if repo not in self._store.repositories:
            self.create(repo)
        repository = self._repository(repo)
        above = self._store.large_above_bytes
        entries = {
            path: None if content is None else repository.store(path, content, branch, above_bytes=above)
            for path, content in files.items()
        }

        def edit(tree: dict[str, Entry]) -> None:
            for path, entry in entries.items():
                if entry is not None:
                    tree[path] = entry
                elif tree.pop(path, None) is None:
                    raise no_entry(path, repository.commit_of(branch))

        return repository.push(branch, edit, title=title, author=SOMEBODY_ELSE, parent=parent)

    def tag(self, repo: str, name: str, oid: str) -> None:
        self._repository(repo).add_tag(name, oid)

    def tags(self, repo: str) -> dict[str, str]:
        return dict(self._repository(repo).state.tags)

    def branches(self, repo: str) -> dict[str, str]:
        return dict(self._repository(repo).state.branches)

    def head(self, repo: str, branch: str = "main") -> str:
        return self._repository(repo).state.branches[branch]

    def tree(self, repo: str, revision: str = "main") -> dict[str, str]:
        """Path -> sha256 of a large file, git blob sha1 of any other."""
        return {path: entry.oid for path, entry in sorted(self._repository(repo).tree(revision).items())}

    def read(self, repo: str, revision: str, path: str) -> bytes:
        repository = self._repository(repo)
        tree = repository.tree(revision)
        if path not in tree:
            raise no_entry(path, repository.commit_of(revision))
        return repository.objects.path(tree[path].sha256).read_bytes()

    def commits(self, repo: str, revision: str = "main") -> list[tuple[str, str]]:
        """(commit, title), the newest first; the last is the hub's own initial commit."""
        return [(oid, commit.title) for oid, commit in self._repository(repo).history(revision)]

    def _repository(self, repo: str) -> Repository:
        return self._store.find(*_parse_name(repo))


def _parse_name(repo: str) -> tuple[str, str]:
    return ("model", repo.removeprefix("models/")) if repo.startswith("models/") else ("dataset", repo)

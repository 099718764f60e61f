"""Who may do what: a token names a user, a user owns his namespace and writes to those of his organisations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tests.hub.history import RepoState
from tests.hub.refusal import WRONG_TOKEN, Refusal, no_repo


@dataclass(frozen=True, slots=True)
class User:
    """`role` is the token's: "read" or "write"."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "read"

    def belongs_to(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.orgs


DEFAULT_USERS: Final[Mapping[str, User]] = MappingProxyType(
    {
        "hf_writer": User("org-admin", orgs=("org",), role="write"),
        "hf_reader": User("org-reader", orgs=("org",), role="read"),
        "hf_stranger": User("stranger", role="write"),
    }
)


def find_user(users: Mapping[str, User], authorization: str | None) -> User | None:
    """None for an anonymous call. An unknown token is refused everywhere, also where anybody may read."""
    if authorization is None:
        return None
    user = users.get(authorization.removeprefix("Bearer "))
    if user is None:
        raise Refusal(401, WRONG_TOKEN)
    return user


def check_read(user: User | None, repo: RepoState) -> None:
    """A private repository does not exist for those who may not see it."""
    if repo.private and not (user and user.belongs_to(repo.namespace)):
        raise no_repo(repo.name, status=404 if user else 401)


def check_download(user: User | None, repo: RepoState) -> None:
    """Everybody may list a gated repository; only those who were let in get its files."""
    check_read(user, repo)
    if repo.gated and not (user and (user.belongs_to(repo.namespace) or user.name in repo.granted)):
        message = f"Access to dataset {repo.name} is restricted and you are not in the authorized list."
        raise Refusal(403 if user else 401, message, "GatedRepo")


def check_write(user: User | None, repo: RepoState) -> None:
    check_read(user, repo)
    check_namespace(user, repo.namespace)


def check_namespace(user: User | None, namespace: str) -> None:
    """Whether the token may change or create something under a namespace."""
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    if not user.belongs_to(namespace):
        raise Refusal(403, f'You don\'t have the rights to write under the namespace "{namespace}".')
    if user.role != "write":
        raise Refusal(403, "You must use a write token to change a repository.")

"""The two calls that publish: a commit on main, then a tag on it. After any failure it is said how far they got.

The reply of either may get lost after it was carried out, so a failure is first looked into, then told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curation.errors import HubError
from curation.hub import HubRepo, RemoteFile
from curation.publish.folder import Base, Release
from curation.publish.plan import Plan, make_plan

TITLE: Final = "Publish "  # of every commit of ours, then the tag


@dataclass(frozen=True, slots=True)
class Main:
    """The repository's main branch as it is now, and the tags."""

    head: str
    files: dict[str, RemoteFile]
    tags: dict[str, str]


def look(repo: HubRepo) -> Main | None:
    """The repository's state; None when there is none, or none that we may see."""
    try:
        head = repo.commit_of("main")
    except HubError as error:
        if error.reason == "no_repo":
            return None
        raise
    return Main(head, repo.files(head), repo.tags())


def push(repo: HubRepo, release: Release, plan: Plan, main: Main | None, base: Base | None, *, private: bool) -> str:
    """Create the repository if need be, commit unless main holds the folder already, tag. Returns the commit.

    Raises HubError with the state that the repository is in.
    """
    users_see = f"users still see {base.version.tag}" if base else "users see no version yet"
    nothing = f"nothing of {release.version.tag} is published, {users_see}"
    try:
        main = main or _create(repo, private)
    except HubError as error:
        raise told(error, nothing) from error
    commit = main.head if plan.is_done else _commit(repo, release, plan, main, nothing)
    _tag(repo, release, commit)
    return commit


def told(error: HubError, state: str) -> HubError:
    """The error with what is published and what is not, and what to run."""
    if error.reason == "stale_parent":
        remedy = "Look at what they did, then add --overwrite-main to publish over it"
    else:
        remedy = "Then run the same command again"
    return HubError(f"{error} State: {state}. {remedy}.", reason=error.reason)


def _create(repo: HubRepo, private: bool) -> Main:
    try:
        repo.create(private=private)
    except HubError as error:
        if error.reason != "taken":
            raise
        raise HubError(
            f"{repo.name} exists and your token may not see it. Choose another name, or another token.", reason="taken"
        ) from error
    head = repo.commit_of("main")
    return Main(head, repo.files(head), {})


def _commit(repo: HubRepo, release: Release, plan: Plan, main: Main, nothing: str) -> str:
    local = release.files()
    additions = {path: local[path] for path in plan.paths("add", "change")}
    title = f"{TITLE}{release.version.tag}"
    try:
        return repo.push(additions, plan.paths("delete"), parent=main.head, title=title)
    except HubError as error:
        try:
            head = repo.commit_of("main")
            arrived = head != main.head and make_plan(local, repo.files(head)).is_done
        except HubError:
            raise told(error, f"it is not known whether {release.version.tag} reached main, no tag is set") from error
        if not arrived:
            raise told(error, _if_late(error, release.version.tag, nothing)) from error
        return head


def _if_late(error: HubError, tag: str, nothing: str) -> str:
    """What is known when a commit is not there: a hub that gave no answer may still carry it out."""
    match error.reason:
        case "no_answer":
            return (
                f"it is not known whether {tag} will reach main: the hub may still carry the commit out; no tag is set"
            )
        case "unreachable":
            return f"{nothing}; it is not known whether the hub still carries the commit out"
        case _:
            return nothing


def _tag(repo: HubRepo, release: Release, commit: str) -> None:
    version = release.version
    rows = ", ".join(f"{num_rows:,} {config}" for config, num_rows in release.num_rows.items())
    try:
        repo.tag(version.tag, commit, f"{version}: {rows}")
    except HubError as error:
        on_main = f"the files of {version.tag} are on main (commit {commit[:12]})"
        try:
            tagged = repo.tags().get(version.tag)
        except HubError:
            raise told(error, f"{on_main}, it is not known whether the tag is set") from error
        if tagged is None and error.reason == "no_answer":
            raise told(error, f"{on_main}, it is not known whether the hub still sets the tag") from error
        if tagged is None:
            raise told(error, f"{on_main}, the tag is not set; only that is left to do") from error
        if tagged != commit:
            raise HubError(
                f"somebody else has published {version.tag} of {repo.name} as the commit {tagged[:12]}. State: "
                f"users of {version.tag} see theirs; main shows yours (commit {commit[:12]}), which has no tag. A tag "
                "is never moved: publish a later version.",
                reason="taken",
            ) from error

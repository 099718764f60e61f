"""One commit, then one tag; whatever breaks in between, running it again completes it and changes nothing else.

Users pin tags. A tag is set once, on a commit that is complete, so they see the version before or the whole new one.
main moves with the commit, a moment before its tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.errors import HubError, RunDirectoryError
from curation.fragment import read_fragment
from curation.hub import HubRepo, require_token
from curation.locate import LocatedDataset, download
from curation.provenance import read_provenance
from curation.publish.edits import find_edit, take_over
from curation.publish.folder import Base, Release, build_release
from curation.publish.plan import Plan, make_plan, print_plan
from curation.publish.push import TITLE, Main, look, push, told
from curation.publish.readback import read_back, rows_of
from curation.rundir import RunDirectory
from curation.schema import CONFIGS
from curation.versions import Version, published_versions

_CREATED_FILES: Final = {".gitattributes"}  # what the hub puts into a repository that it makes


@dataclass(frozen=True, slots=True)
class Published:
    """Where it stands now. commit is null after a dry run."""

    repo: str
    release: Release
    plan: Plan
    commit: str | None


def publish(
    located: LocatedDataset,
    repo_name: str,
    version: Version,
    *,
    out: Console,
    dry_run: bool = False,
    private: bool = False,
    overwrite_main: bool = False,
    license_name: str = "apache-2.0",
    reads_back: bool = True,
    target: Path | None = None,
) -> Published:
    """Publish a run or a dataset folder as `version` of a repository, which is created when there is none.

    Raises HubError (what happened, what is published and what is not, what to run), ConfigError for a version that does
    not say what changed, RunDirectoryError for a dataset that cannot be published.
    """
    if located.home is None:
        raise RunDirectoryError(f"{located.shown} is on the hub already. Publish a run directory or a dataset folder.")
    read_provenance(located.folder)  # before anybody is asked: without it nothing can be published
    repo = HubRepo(repo_name)
    if not dry_run:
        require_token(f"publish to {repo_name}")
    with RunDirectory(located.home).lock():
        main = look(repo)
        _check_visibility(repo, main, private)
        base = _find_base(repo, main, version)
        fragment, is_merged = read_fragment(located.home), False
        if main is not None and version.tag not in main.tags and (edit := find_edit(repo, main)) is not None:
            fragment, is_whole = take_over(edit, fragment, located.home, out, overwrite=overwrite_main, dry_run=dry_run)
            is_merged = is_whole and edit.alone
        release = build_release(
            located,
            target or located.home / "release",
            repo=repo_name,
            version=version,
            base=base,
            laid_out_like=_find_layout(repo, main, version, base),
            license_name=license_name,
            fragment=fragment,
        )
        if main is not None and version.tag in main.tags:
            plan = _check_published(repo, release, main.tags[version.tag], base)
            commit = main.tags[version.tag]
            out.print(f"{repo_name}@{version.tag} is published and complete; nothing changes.", highlight=False)
        else:
            _check_main(repo, main, base, overwrite_main or is_merged)
            plan = make_plan(release.files(), main.files if main else {}, base.files.values() if base else ())
            print_plan(plan, out)
            if dry_run:
                return Published(repo_name, release, plan, None)
            commit = push(repo, release, plan, main, base, private=private)
        if dry_run or not reads_back:
            return Published(repo_name, release, plan, commit)
        try:
            read_back(repo_name, version.tag, rows_of(release.folder))
        except HubError as error:
            raise told(error, f"{version.tag} is published as {commit[:12]}, only this check of it failed") from error
    return Published(repo_name, release, plan, commit)


def _check_visibility(repo: HubRepo, main: Main | None, private: bool) -> None:
    if private and main is not None and not repo.is_private():
        raise HubError(
            f"{repo.name} is public, so --private cannot be kept. Make it private in its settings, or publish without.",
            reason="refused",
        )


def _find_base(repo: HubRepo, main: Main | None, version: Version) -> Base | None:
    """The highest version below this one, downloaded. An older version than the newest cannot be published any more."""
    versions = published_versions(main.tags) if main is not None else []
    if main is None or not versions:
        return None
    if version not in versions and version < versions[-1]:
        raise HubError(
            f"{repo.name} is at {versions[-1].tag}, which comes after {version.tag}: publish a later version.",
            reason="refused",
        )
    below = [known for known in versions if known < version]
    if not below:
        return None
    commit = main.tags[below[-1].tag]
    located = download(repo.name, commit, tuple(CONFIGS))
    return Base(below[-1], commit, located.folder, repo.files(commit))


def _find_layout(repo: HubRepo, main: Main | None, version: Version, base: Base | None) -> Path | None:
    """The folder whose files are taken over where their rows are the same: this version's own, if it is there."""
    if main is not None and version.tag in main.tags:
        return download(repo.name, main.tags[version.tag], tuple(CONFIGS)).folder
    return base.folder if base else None


def _check_published(repo: HubRepo, release: Release, commit: str, base: Base | None) -> Plan:
    """The version is there: it must be this very one, for a tag is never moved."""
    plan = make_plan(release.files(), repo.files(commit), base.files.values() if base else ())
    if not plan.is_done:
        different = plan.paths("add", "change", "delete")
        raise HubError(
            f"{repo.name}@{release.version.tag} is published and differs from this dataset in {len(different)} files "
            f"({different[0]}). A tag is never moved: publish a later version.",
            reason="taken",
        )
    return plan


def _check_main(repo: HubRepo, main: Main | None, base: Base | None, overwrite_main: bool) -> None:
    """Commits of others since the version before would be overwritten: never without being told to."""
    if main is None or overwrite_main or set(main.files) <= _CREATED_FILES:
        return
    since = []
    for commit, title in repo.history(main.head):
        if base is not None and commit == base.commit:
            break
        since.append((commit, title))
    ours = [commit for commit, title in since if title.startswith(TITLE)]
    if base is None and ours:
        since.pop()  # the repository's creation; an earlier publication got as far as a commit
    foreign = [f"{title[:60]!r} ({commit[:12]})" for commit, title in since if commit not in ours]
    if not foreign:
        return
    if base is None:
        raise HubError(
            f"{repo.name} is taken: it holds commits that no publication made, such as {foreign[0]}. Nothing was "
            "published. Choose another name, or give --overwrite-main to publish over its main branch.",
            reason="taken",
        )
    raise HubError(
        f"somebody else has pushed to {repo.name} since {base.version.tag}: {foreign[0]}. Nothing was published. "
        "Give --overwrite-main to publish over it; files that are no part of a version stay.",
        reason="stale_parent",
    )

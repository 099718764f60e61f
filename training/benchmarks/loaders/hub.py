"""Annotations from the hub, at one commit, and what the hub says when it refuses.

Some benchmarks are behind terms that a person has to accept: the error names the page and the licence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import huggingface_hub as hf
from huggingface_hub import constants
from huggingface_hub import errors as hf_errors

from curation.errors import HubError
from training.benchmarks.loaders.layout import Layout
from training.benchmarks.loaders.snapshot import README, Snapshot, choose_files

_MEDIA: Final = (".zip", ".tar", ".tar.gz", ".mp4", ".webm", ".avi", ".mkv")


@dataclass(frozen=True, slots=True)
class HubFacts:
    """What a dry run says of a repository: nothing of it is fetched. Bytes are None where the hub gives no sizes."""

    repo: str
    commit: str
    is_gated: bool
    page: str
    licence: str
    annotation_bytes: int | None
    media_bytes: int | None


def fetch(layout: Layout, repo: str, revision: str, parts: Sequence[str]) -> Snapshot:
    """The annotations at the commit that `revision` names now, through the client's cache.

    Raises HubError, with the page whose terms are to be accepted, and BenchmarkError.
    """
    with _explained(layout, repo, revision):
        commit, names, _ = _look_up(repo, revision)
        readme = ""
        if README in names:
            file = hf.hf_hub_download(repo, README, repo_type="dataset", revision=commit)
            readme = Path(file).read_text(encoding="utf-8", errors="replace")
        chosen = choose_files(layout, sorted(names), readme, parts, place=f"{repo}@{commit[:8]}")
        files = {
            part: tuple(
                (name, Path(hf.hf_hub_download(repo, name, repo_type="dataset", revision=commit))) for name in found
            )
            for part, found in chosen.items()
        }
    return Snapshot(commit, files)


def hub_facts(layout: Layout, repo: str | None = None, revision: str = "main") -> HubFacts:
    """What fetching this benchmark means. Raises HubError and BenchmarkError."""
    repo = repo or layout.repo
    with _explained(layout, repo, revision):
        commit, names, is_gated = _look_up(repo, revision)
    chosen = choose_files(layout, sorted(names), "", layout.default_parts, place=f"{repo}@{commit[:8]}")
    annotations = [names[name] for found in chosen.values() for name in found]
    media = [size for name, size in names.items() if name.endswith(_MEDIA)]
    return HubFacts(
        repo=repo,
        commit=commit,
        is_gated=is_gated or (layout.is_gated and repo == layout.repo),
        page=page_of(repo),
        licence=layout.licence,
        annotation_bytes=_total(annotations),
        media_bytes=_total(media) if media else layout.media_bytes,
    )


def page_of(repo: str) -> str:
    """Where people read and accept the terms of a dataset."""
    return f"{constants.ENDPOINT}/datasets/{repo}"


def _look_up(repo: str, revision: str) -> tuple[str, dict[str, int | None], bool]:
    """(commit, name -> size of every file, whether it is gated)."""
    found = hf.HfApi().dataset_info(repo, revision=revision, files_metadata=True, timeout=60)
    if found.sha is None:
        raise HubError(f"the hub names no commit for {repo}@{revision}.", reason="failing")
    return found.sha, {file.rfilename: file.size for file in found.siblings or ()}, bool(found.gated)


def _total(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


@contextmanager
def _explained(layout: Layout, repo: str, revision: str) -> Iterator[None]:
    """What the client raises, in one line: which page to accept with whose account, and the licence."""
    try:
        yield
    except (hf_errors.HfHubHTTPError, httpx2.HTTPError, OSError, hf_errors.HFValidationError) as error:
        reason, remedy = _remedy(error, layout, repo, revision)
        raise HubError(f"{layout.title}: cannot fetch {repo}@{revision}: {remedy}", reason=reason) from error


def _remedy(error: Exception, layout: Layout, repo: str, revision: str) -> tuple[str, str]:
    seen: BaseException = error
    while isinstance(seen, hf_errors.LocalEntryNotFoundError) and seen.__cause__ is not None:
        seen = seen.__cause__  # the client wraps what the hub said
    terms = f"Its licence: {layout.licence}."
    match seen:
        case hf_errors.RevisionNotFoundError():
            return "no_revision", f"it has no revision {revision!r}."
        case hf_errors.GatedRepoError():
            return "gated", f"it is gated. Accept its terms at {page_of(repo)} with the account of HF_TOKEN. {terms}"
        case hf_errors.RepositoryNotFoundError():
            others = f" (mirrors: {', '.join(layout.mirrors)})" if layout.mirrors else ""
            return "no_repo", f"it does not exist, or you may not see it. See {page_of(layout.repo)}{others}. {terms}"
        case hf_errors.HfHubHTTPError() if (status := _status(seen)) in (401, 403):
            return (
                "gated" if status == 403 else "wrong_token",
                f"the hub refuses ({status}). Log in (HF_TOKEN) and accept its terms at {page_of(repo)}. {terms}",
            )
        case hf_errors.HfHubHTTPError() if _status(seen) is not None:
            return "failing", f"the hub answers {_status(seen)}. Try again, or give a local folder."
        case hf_errors.HFValidationError():
            return "bad_name", "that is no name of a dataset, and no folder. It reads org/name."
        case _:
            what = " ".join(str(seen).split())[:160] or type(seen).__name__
            return "unreachable", f"{constants.ENDPOINT} cannot be reached ({what}). Give a local folder instead."


def _status(error: hf_errors.HfHubHTTPError) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)

"""The Hugging Face Hub behind one door: what this project asks of it, and each failure as one line.

Everything here names a dataset repository as "org/name" and works on commits, so that nothing changes between two
calls. The endpoint and the token are the client's own: HF_ENDPOINT, HF_TOKEN or `hf auth login`.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import huggingface_hub as hf
from huggingface_hub import constants
from huggingface_hub import errors as hf_errors
from huggingface_hub.utils import (
    build_hf_headers,
    hf_raise_for_status,
    http_stream_backoff,
    parse_ratelimit_headers,
)

from curation.errors import HubError

REASONS: Final = (
    "no_token",
    "wrong_token",
    "no_right",
    "gated",
    "no_repo",
    "no_revision",
    "no_file",
    "bad_name",
    "taken",
    "stale_parent",
    "refused",
    "rate_limit",
    "failing",
    "no_answer",
    "unreachable",
)
ResultT = TypeVar("ResultT")
REPO_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# The client waits for ever by default. A hub that says nothing for a minute is lost, also in an upload.
_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)
_PIECE_BYTES: Final = 2**18
# In a row, without one byte in between.
_MAX_TRIES: Final = 6


# A rate limit of the hub is for five minutes; what asks for longer is told to the user.
_MAX_WAIT_S: Final = 600.0

# The client's own one: it adds the headers of each request, and refuses all of them when HF_HUB_OFFLINE is set.
_HOOKS: Final = hf.get_session().event_hooks
hf.close_session()


def _client() -> httpx2.Client:
    return httpx2.Client(event_hooks=_HOOKS, follow_redirects=True, timeout=_TIMEOUT)


hf.set_client_factory(_client)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a revision. `sha256` is null for small files, which git keeps itself.

    A source that lists no hashes has neither; then the size is all that is known of it.
    """

    path: str
    size_bytes: int
    git_sha1: str | None
    sha256: str | None

    def is_same(self, local: Path) -> bool:
        """Whether the local file has the same content."""
        if local.stat().st_size != self.size_bytes:
            return False
        if self.sha256 is not None:
            return file_sha256(local) == self.sha256
        if self.git_sha1 is None:
            return True
        content = local.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == self.git_sha1


class HubRepo:
    """One dataset repository. Every method raises HubError."""

    def __init__(self, name: str) -> None:
        if not REPO_NAME.fullmatch(name):
            raise HubError(f"{name!r} is no repository name. It reads org/name.", reason="bad_name")
        self.name = name
        self._api = hf.HfApi()
        self._whole_files: dict[tuple[str, str], Path] = {}  # (path, commit) of what is not served by ranges
        self._lock = threading.Lock()

    def commit_of(self, revision: str = "main") -> str:
        """The commit that a tag, branch or commit names now."""
        with _explained(f"look up {self.name}@{revision}", self.name, revision):
            sha = _patiently(
                lambda: self._api.repo_info(self.name, repo_type="dataset", revision=revision, timeout=60).sha
            )
        if sha is None:
            raise HubError(f"the hub names no commit for {self.name}@{revision}.", reason="failing")
        return sha

    def is_private(self) -> bool:
        """Whether only its members may see it."""
        with _explained(f"look up {self.name}", self.name):
            return _patiently(lambda: bool(self._api.repo_info(self.name, repo_type="dataset", timeout=60).private))

    def tags(self) -> dict[str, str]:
        """Tag -> commit."""
        with _explained(f"list the tags of {self.name}", self.name):
            refs = _patiently(lambda: self._api.list_repo_refs(self.name, repo_type="dataset"))
        return {tag.name: tag.target_commit for tag in refs.tags}

    def files(self, revision: str) -> dict[str, RemoteFile]:
        """Every file of a revision by its path."""
        with _explained(f"list the files of {self.name}@{revision}", self.name, revision):
            tree = _patiently(
                lambda: list(
                    self._api.list_repo_tree(self.name, repo_type="dataset", revision=revision, recursive=True)
                )
            )
        return {
            entry.path: RemoteFile(entry.path, entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
            for entry in tree
            if isinstance(entry, hf.RepoFile)
        }

    def history(self, revision: str) -> list[tuple[str, str]]:
        """(commit, title) of a revision and its ancestors, the newest first."""
        with _explained(f"list the commits of {self.name}@{revision}", self.name, revision):
            commits = _patiently(lambda: self._api.list_repo_commits(self.name, repo_type="dataset", revision=revision))
        return [(commit.commit_id, commit.title) for commit in commits]

    def download(self, path: str, commit: str) -> Path:
        """One file at a commit, through the client's cache: resumed after a break, fetched once."""
        with _explained(f"download {path} from {self.name}", self.name, commit):
            return Path(_patiently(lambda: hf.hf_hub_download(self.name, path, repo_type="dataset", revision=commit)))

    def download_to(self, folder: Path, path: str, commit: str) -> Path:
        """The same into a folder, beside the client's cache: for what is deleted after use."""
        with _explained(f"download {path} from {self.name}", self.name, commit):
            return Path(
                _patiently(
                    lambda: hf.hf_hub_download(self.name, path, repo_type="dataset", revision=commit, local_dir=folder)
                )
            )

    def cached(self, path: str, commit: str) -> Path | None:
        """The file in the client's cache, if it is there; asks nobody."""
        found = hf.try_to_load_from_cache(self.name, path, revision=commit, repo_type="dataset")
        return Path(found) if isinstance(found, str) else None

    def read(self, path: str, commit: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop) of a file, in pieces. A connection that breaks is taken up again where it broke.

        Where the server sends no ranges, the whole file is downloaded once, into the client's cache.
        """
        if (path, commit) not in self._whole_files:
            try:
                for piece in self._read_ranges(path, commit, start, stop):
                    start += len(piece)
                    yield piece
            except _NoRangesError:
                self._fetch_whole(path, commit)
        if start < stop:
            yield from _file_pieces(self._whole_files[path, commit], start, stop)

    def _read_ranges(self, path: str, commit: str, start: int, stop: int) -> Iterator[bytes]:
        url = hf.hf_hub_url(self.name, path, repo_type="dataset", revision=commit)
        num_tries = 0
        with _explained(f"read {path} of {self.name}", self.name, commit):
            while start < stop:
                try:
                    for piece in _ranged_pieces(url, start, stop):
                        start += len(piece)
                        num_tries = 0
                        yield piece
                except httpx2.TransportError:
                    num_tries += 1
                    if num_tries == _MAX_TRIES:
                        raise
                    time.sleep(min(2.0**num_tries / 4, 8.0))

    def _fetch_whole(self, path: str, commit: str) -> None:
        with self._lock:
            if (path, commit) not in self._whole_files:
                print(f"{path} is not served by ranges: all of it is downloaded.", file=sys.stderr)
                self._whole_files[path, commit] = self.download(path, commit)

    def create(self, *, private: bool) -> None:
        """Create the repository. Raises HubError with reason "taken" when it exists."""
        require_token(f"create {self.name}")
        with _explained(f"create {self.name}", self.name):
            _patiently(lambda: self._api.create_repo(self.name, repo_type="dataset", private=private))

    def push(self, additions: Mapping[str, Path], deletions: Sequence[str], *, parent: str, title: str) -> str:
        """One commit on main on top of `parent`. Reason "stale_parent" when main is elsewhere by now."""
        operations: list[hf.CommitOperationAdd | hf.CommitOperationDelete] = [
            hf.CommitOperationAdd(path, local) for path, local in additions.items()
        ]
        operations += [hf.CommitOperationDelete(path, is_folder=False) for path in deletions]
        with _explained(f"commit to {self.name}", self.name):
            commit = _patiently(
                lambda: self._api.create_commit(
                    self.name, operations, commit_message=title, repo_type="dataset", parent_commit=parent
                )
            )
        return commit.oid

    def tag(self, name: str, commit: str, message: str) -> None:
        """Tag a commit. Reason "taken" when the tag exists, wherever it points."""
        with _explained(f"tag {self.name} as {name}", self.name, commit):
            _patiently(
                lambda: self._api.create_tag(
                    self.name, tag=name, revision=commit, tag_message=message, repo_type="dataset"
                )
            )


class _NoRangesError(Exception):
    """The server sends whole files only."""


def _ranged_pieces(url: str, start: int, stop: int) -> Iterator[bytes]:
    """One request. Raises httpx2.TransportError when the connection breaks before the last byte, _NoRangesError."""
    headers = {**build_hf_headers(), "range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
    with http_stream_backoff("GET", url, headers=headers, retry_on_exceptions=()) as response:
        hf_raise_for_status(response)
        if response.status_code == 200 and start > 0:
            raise _NoRangesError
        # A reply with the whole file begins with the range when that begins the file.
        if response.status_code != 200 and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
            raise httpx2.RemoteProtocolError("the hub does not send the range of bytes that it was asked for")
        num_left = stop - start
        for piece in response.iter_bytes(_PIECE_BYTES):
            yield piece[:num_left]
            num_left -= len(piece[:num_left])
            if not num_left:
                return
        raise httpx2.RemoteProtocolError("the hub sends fewer bytes than it was asked for")


def _file_pieces(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(_PIECE_BYTES, stop - start))):
            start += len(piece)
            yield piece


def _patiently(call: Callable[[], ResultT]) -> ResultT:
    """Ask again when the rate limit is reached and the hub says for how long: it has carried out nothing by then."""
    waited_s = 0.0
    while True:
        try:
            return call()
        except (hf_errors.HfHubHTTPError, OSError, RuntimeError) as error:
            wait_s = _rate_limit_wait(_telling(error))
            if wait_s is None or waited_s + wait_s > _MAX_WAIT_S:
                raise
        print(f"the hub's rate limit is reached: it is asked again in {wait_s:.0f} s.", file=sys.stderr)
        time.sleep(wait_s)
        waited_s += wait_s


def _rate_limit_wait(error: BaseException) -> float | None:
    """Seconds until the hub answers again, at least one; None when it names none, or for another error."""
    response = getattr(error, "response", None)
    if response is None or response.status_code != 429:
        return None
    after = response.headers.get("retry-after", "").strip()
    if after.isascii() and after.isdigit():
        return max(1.0, float(after))
    try:
        return max(1.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date either, or one without a zone
        limit = parse_ratelimit_headers(response.headers)
    return None if limit is None else max(1.0, float(limit.reset_in_seconds))


def page_url(repo: str, revision: str) -> str:
    """Where people see a revision."""
    return f"{constants.ENDPOINT}/datasets/{repo}/tree/{revision}"


def find_token() -> str | None:
    """The token that the client uses."""
    return hf.get_token()


def require_token(doing: str) -> None:
    """Raises HubError when nobody is logged in."""
    if find_token() is None:
        raise HubError(
            f"cannot {doing}: there is no token. Set HF_TOKEN to one with write access, or run hf auth login.",
            reason="no_token",
        )


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _explained(doing: str, repo: str, revision: str | None = None) -> Iterator[None]:
    """Turn whatever the client raises about the hub into one line: what could not be done, why, and the remedy."""
    try:
        yield
    except (hf_errors.HfHubHTTPError, httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        reason, why = explain(error, repo, revision)
        raise HubError(f"cannot {doing}: {why}", reason=reason) from error


def explain(error: BaseException, repo: str, revision: str | None = None) -> tuple[str, str]:
    """(one of REASONS, a sentence with the remedy). An error that has nothing to do with the hub is raised again."""
    cause = _telling(error)
    match cause:
        case hf_errors.GatedRepoError():
            address = f"{constants.ENDPOINT}/datasets/{repo}"
            return "gated", f"{repo} is gated. Accept its terms at {address} with the account of your token."
        case hf_errors.RevisionNotFoundError():
            return "no_revision", f"{repo} has no revision {revision!r}."
        case hf_errors.RemoteEntryNotFoundError():
            return "no_file", f"{repo} has no such file at {revision}."
        case hf_errors.RepositoryNotFoundError():
            if find_token() is None:
                return "no_repo", f"{repo} does not exist, or is private and you are not logged in (HF_TOKEN)."
            return "no_repo", f"{repo} does not exist, or is private and your token may not see it."
        case hf_errors.HfHubHTTPError() if (status := _status(cause)) is not None:
            return _explain_status(status, cause)
        case hf_errors.OfflineModeIsEnabled():
            return "unreachable", "HF_HUB_OFFLINE is set. Unset it."
        case hf_errors.HFValidationError():
            return "bad_name", _first_line(cause)
        case httpx2.TimeoutException() if not isinstance(cause, httpx2.ConnectTimeout):
            return "no_answer", f"the hub at {constants.ENDPOINT} did not answer in time ({_first_line(cause)})."
        case httpx2.HTTPError() | ConnectionError():
            return "unreachable", f"the hub at {constants.ENDPOINT} cannot be reached ({_first_line(cause)})."
        case hf_errors.LocalEntryNotFoundError() | hf_errors.FileMetadataError():
            return "unreachable", f"the hub at {constants.ENDPOINT} gave no answer ({_first_line(cause)})."
        case ValueError() if "Invalid metadata" in str(cause):
            return "refused", f"the hub refuses the card: {' '.join(str(cause).split())[:300]}"
        case RuntimeError():
            return "failing", f"the hub's client gave up ({_first_line(cause)})."
        case _:
            raise error


def _explain_status(status: int, error: hf_errors.HfHubHTTPError) -> tuple[str, str]:
    said = _first_line(error)
    match status:
        case 401:
            return "wrong_token", "the hub does not accept your token. Renew HF_TOKEN, or run hf auth login."
        case 403:
            return "no_right", f"your token has no right to do that ({said})."
        case 409:
            return "taken", "it exists already."
        case 412:
            return "stale_parent", "somebody else has pushed in the meantime."
        case 429:
            wait_s = _rate_limit_wait(error)
            return (
                "rate_limit",
                f"the hub's rate limit is reached. Wait {'a while' if wait_s is None else f'{wait_s:.0f} s'}.",
            )
        case 408 | 504:
            return "no_answer", f"the hub did not answer in time ({said})."
        case _ if status >= 500:
            return "failing", f"the hub is failing ({said})."
        case _:
            return "refused", f"the hub refuses it ({said})."


def _telling(error: BaseException) -> BaseException:
    """The first error of the chain that says what happened: the client wraps some in a general one."""
    seen: BaseException | None = error
    wrappers = (hf_errors.LocalEntryNotFoundError, RuntimeError)
    while isinstance(seen, wrappers) and not isinstance(seen, hf_errors.HfHubHTTPError):
        inner = seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    return seen if isinstance(seen, (hf_errors.HfHubHTTPError, httpx2.HTTPError, OSError)) else error


def _status(error: hf_errors.HfHubHTTPError) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")

"""The transfer itself: stretches, files and archives of the source into the media root, several at a time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.fetch.blobs import Blob, LocalBlob, MediaRepo, Stream
from curation.fetch.faults import ArchiveError, Fault
from curation.fetch.holdings import wanted_name
from curation.fetch.parts import join_blobs, open_blob, parts_of
from curation.fetch.plan import FilePlan, Stretch
from curation.fetch.tars import gunzip, list_tar
from curation.fetch.unpack import place_file
from curation.fetch.wanted import ARCHIVES
from curation.fetch.zips import Limits, read_member
from curation.hub import RemoteFile
from curation.media import spelled_on_disk
from curation.progress import show_progress

NUM_CONNECTIONS: Final = 8

Advance = Callable[[int], None]


class _Stopped(Exception):
    """Another job has failed, or the user has interrupted: this one ends where it is."""


class Transfer:
    """Carries out file plans; what came of each wanted path gathers in `fetched` (bytes) and `faults`.

    hashes: wanted path -> sha256, null where the dataset knows none. A file's fault ends that file; HubError and a full
    disk end the transfer, and all that is in place by then stays.
    """

    def __init__(
        self, repo: MediaRepo, commit: str, root: Path, hashes: Mapping[str, str | None], limits: Limits
    ) -> None:
        self.fetched: dict[str, int] = {}
        self.faults: dict[str, Fault] = {}
        self.unreadable: dict[str, str] = {}
        self._repo, self._commit, self._root, self._hashes, self._limits = repo, commit, root, hashes, limits
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def run(self, plans: Iterable[FilePlan], open_paths: set[str], console: Console) -> None:
        """Stretches and single files side by side, then the archives that are downloaded whole, one after another.

        open_paths: what only a tar may still hold.
        """
        plans = list(plans)
        direct = [plan for plan in plans if plan.how in ("file", "members")]
        if direct:
            with show_progress(console, "media", sum(plan.disk_bytes or 0 for plan in direct), in_bytes=True) as bar:
                self._side_by_side([job for plan in direct for job in self._jobs(plan, self._counted(bar))])
        for plan in plans:
            if plan.how in ("whole", "search"):
                self._from_download(plan, open_paths, console)

    def _from_download(self, plan: FilePlan, open_paths: set[str], console: Console) -> None:
        parts = parts_of(plan.file)
        cached = [self._repo.cached(part.path, self._commit) for part in parts]
        local = [
            path or self._repo.download_to(self._root / ARCHIVES, part.path, self._commit)
            for part, path in zip(parts, cached, strict=True)
        ]
        blob = join_blobs(map(LocalBlob, local))
        with show_progress(console, "unpacking", plan.disk_bytes, in_bytes=True) as bar:
            if plan.how == "search":
                if all(part.is_same(path) for part, path in zip(parts, local, strict=True)):
                    self._search_tar(plan.file, blob, open_paths, self._counted(bar))
                else:
                    self.unreadable[plan.file.path] = "what was downloaded is not what the hub lists"
            else:
                self._side_by_side([self._stretch_job(blob, part, self._counted(bar)) for part in plan.stretches])
        for path in set(local) - set(cached):
            path.unlink()

    def _jobs(self, plan: FilePlan, advance: Advance) -> Iterator[Callable[[], None]]:
        blob = open_blob(self._repo, self._commit, plan.file)
        if plan.how == "file":
            yield partial(self._put, plan.paths[0], partial(_checked_file, blob, plan.file), advance)
        else:
            for stretch in plan.stretches:
                yield self._stretch_job(blob, stretch, advance)

    def _stretch_job(self, blob: Blob, stretch: Stretch, advance: Advance) -> Callable[[], None]:
        def job() -> None:
            stream = Stream(blob.read(stretch.start, stretch.stop), stretch.start)
            for path, entry in stretch.members:
                self._put(path, partial(read_member, stream, entry), advance)

        return job

    def _search_tar(self, file: RemoteFile, blob: Blob, open_paths: set[str], advance: Advance) -> None:
        pieces = blob.read(0, blob.num_bytes)
        stream = Stream(pieces if file.path.lower().endswith(".tar") else gunzip(pieces, blob.num_bytes))
        seen: set[str] = set()
        try:
            for name, num_bytes in list_tar(stream):
                path = wanted_name(file.path, name, open_paths)
                if path is None:
                    continue
                if path in seen:
                    self._forget(path, f"{name} stands more than once in {file.path}")
                elif num_bytes > self._limits.max_member_bytes:
                    self.faults[path] = Fault("refused", f"it declares {num_bytes} bytes")
                else:
                    self._put(path, partial(stream.pieces, num_bytes), advance)
                seen.add(path)
        except ArchiveError as error:
            self.unreadable[file.path] = str(error)
        open_paths -= self.fetched.keys() | self.faults.keys()

    def _put(self, path: str, open_pieces: Callable[[], Iterator[bytes]], advance: Advance) -> None:
        try:
            num_bytes = place_file(self._root, path, open_pieces(), sha256=self._hashes.get(path), progress=advance)
        except Fault as fault:
            self.faults[path] = fault
        else:
            self.fetched[path] = num_bytes

    def _forget(self, path: str, why: str) -> None:
        """Take back a file of which a second version has turned up."""
        if self.fetched.pop(path, None) is not None:
            spelled_on_disk(self._root, Path(path).parts).unlink(missing_ok=True)
        self.faults[path] = Fault("refused", why)

    def _counted(self, advance: Advance) -> Advance:
        """`advance` for several threads; where each of them notices that it shall stop."""

        def count(num_bytes: int) -> None:
            if self._stopped.is_set():
                raise _Stopped
            with self._lock:
                advance(num_bytes)

        return count

    def _side_by_side(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Run all; when one raises, or the user interrupts, the others stop at their next bytes."""
        with ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _checked_file(blob: Blob, file: RemoteFile) -> Iterator[bytes]:
    """A whole file of the repository. Raises Fault (bad_content) when it is not what the hub lists.

    Small files are known by git's sha1, large ones by their sha256.
    """
    digest = hashlib.sha1(b"blob %d\0" % file.size_bytes) if file.sha256 is None else hashlib.sha256()
    for piece in Stream(blob.read(0, file.size_bytes)).pieces(file.size_bytes):
        digest.update(piece)
        yield piece
    listed = file.git_sha1 if file.sha256 is None else file.sha256
    if listed is not None and digest.hexdigest() != listed:
        raise Fault("bad_content", f"its hash is {digest.hexdigest()}, the hub lists {listed}")

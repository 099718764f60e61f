"""The hub in a thread of its own, so that tests may block, with a door for tests beside the one for clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from tests.hub import reads, writes
from tests.hub.calls import Call, Reply, refusal_reply
from tests.hub.faults import HubFault
from tests.hub.history import Entry, RepoState
from tests.hub.refusal import Refusal, no_entry
from tests.hub.repository import Repository
from tests.hub.routes import Route, find_route
from tests.hub.store import Store
from tests.hub.users import DEFAULT_USERS, User, find_user

SOMEBODY_ELSE = "somebody-else"


@dataclass
class HubRequest:
    """`path` is raw, without the query. `status` is None while there is no answer, and when it was lost; `num_bytes`
    counts the body of the answer."""

    method: str
    path: str
    endpoint: str
    status: int | None = None
    num_bytes: int = 0


class LoopbackHub:
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
        self.requests: list[HubRequest] = []
        self.faults: list[HubFault] = []
        self.port = port
        self._store = Store(Path(root), users, tree_page_size, large_above_bytes)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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

    def __enter__(self) -> LoopbackHub:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; a port chosen by the system is kept for the next start."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener, ready)), daemon=True)
        self._thread.start()
        ready.wait(10)

    def stop(self) -> None:
        """Drop every connection at once, as a crash would."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
            self._thread = None

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.0)
        await runner.setup()
        site = web.SockSite(runner, listener, backlog=128)
        await site.start()
        ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw_path = request.raw_path.split("?")[0]
        try:
            route = find_route(raw_path)
        except Refusal as refusal:
            self.requests.append(HubRequest(request.method, raw_path, "unknown", refusal.status))
            return await refusal_reply(refusal).send(request)
        seen = HubRequest(request.method, raw_path, route.endpoint)
        self.requests.append(seen)
        struck = [
            fault for fault in list(self.faults) if fault.meets(route.endpoint, request.method, unquote(raw_path))
        ]
        if struck and route.endpoint != "lfs-put":
            await request.read()  # it has arrived in full, so that a client killed by the fault does not unmake it
        for fault in struck:
            if fault.when == "before" and (replaced := await self._strike(fault, request)) is not None:
                seen.status = replaced.status
                return await replaced.send(request)
        reply = await self._carry_out(route, request)
        for fault in struck:
            if fault.kind == "cut":
                await self._cut(fault, reply, request)
            elif fault.when == "after" and (replaced := await self._strike(fault, request)) is not None:
                reply = replaced
        seen.status = reply.status
        seen.num_bytes = 0 if request.method == "HEAD" else reply.num_bytes
        return await reply.send(request)

    async def _carry_out(self, route: Route, request: web.Request) -> Reply:
        try:
            user = find_user(self._store.users, request.headers.get("Authorization"))
            return await _endpoint(Call(self._store, self.url, route, user, request))
        except Refusal as refusal:
            return refusal_reply(refusal)

    async def _strike(self, fault: HubFault, request: web.Request) -> Reply | None:
        """The reply that a fault puts in the place of the real one, if it lets any through."""
        await self._run_call(fault)
        if fault.kind == "hang":
            await self._stopping.wait()
        if fault.kind in ("hang", "reset"):
            _reset(request)
            raise asyncio.CancelledError
        if fault.kind == "call":
            return None
        return refusal_reply(Refusal(fault.status, "a fault of the loopback hub", fault.error_code))

    async def _cut(self, fault: HubFault, reply: Reply, request: web.Request) -> None:
        await reply.send(request, num_bytes=reply.num_bytes // 2)
        await self._run_call(fault)
        if request.transport is not None:
            request.transport.close()
        raise asyncio.CancelledError

    async def _run_call(self, fault: HubFault) -> None:
        """In a thread: it may talk to this very hub."""
        if fault.call is not None:
            await self._loop.run_in_executor(None, fault.call)


async def _endpoint(call: Call) -> Reply:
    match call.route.endpoint:
        case "whoami":
            return await reads.whoami(call)
        case "info":
            return await reads.describe_repo(call)
        case "refs":
            return await reads.list_refs(call)
        case "commits":
            return await reads.list_commits(call)
        case "tree":
            return await reads.list_tree(call)
        case "paths-info":
            return await reads.list_paths(call)
        case "resolve":
            return await reads.resolve(call)
        case "xet-token":
            return await reads.give_xet_token(call)
        case "auth-check":
            return await reads.auth_check(call)
        case "create":
            return await writes.create_repo(call)
        case "delete":
            return await writes.delete_repo(call)
        case "settings":
            return await writes.change_settings(call)
        case "validate-yaml":
            return await writes.validate_yaml(call)
        case "tag":
            return await writes.tag(call)
        case "branch":
            return await writes.branch(call)
        case "preupload":
            return await writes.preupload(call)
        case "lfs-batch":
            return await writes.announce_large(call)
        case "lfs-put":
            return await writes.receive_large(call)
        case "lfs-verify":
            return await writes.verify_large(call)
        case "commit":
            return await writes.commit(call)
        case _:
            raise Refusal(404, f"this hub has no {call.route.endpoint}")


def _parse_name(repo: str) -> tuple[str, str]:
    return ("model", repo.removeprefix("models/")) if repo.startswith("models/") else ("dataset", repo)


def _reset(request: web.Request) -> None:
    """End the connection with RST."""
    if request.transport is not None:
        with contextlib.suppress(OSError):
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()

"""The loopback hub, proved with the real clients. They run in processes of their own, each with a fresh cache."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub import HubFault, LoopbackHub, client_environment
from tests.hub.refusal import Refusal
from tests.hub.repository import REF_NAME
from tests.hub.routes import Route, find_route
from tests.hub.xet import interleave

REPO = "org/traces"
CARD = """---
license: apache-2.0
configs:
- config_name: cot
  default: true
  data_files: [{split: train, path: data/train-*.parquet}]
- config_name: rejected
  data_files: [{split: train, path: rejected/*.parquet}]
---
# Traces
"""
# What every client program starts with: `outcome(call)` is what came of a call, as JSON can say it.
PRELUDE = """
import json, sys
from pathlib import Path
import huggingface_hub as hf
from huggingface_hub import HfApi, CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
api, REPO, ARGUMENT = HfApi(), "org/traces", sys.argv[1]
def outcome(call, *args, **kwargs):
    try:
        return call(*args, **kwargs) and "done"
    except Exception as error:
        response = getattr(error, "response", None)
        return [type(error).__name__, None if response is None else response.status_code, str(error)]
"""


def start_client(
    hub: LoopbackHub, home: Path, token: str | None, program: str, argument: object = "", *, xet: bool = False
) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program, str(argument)],
        env=client_environment(hub.url, home, token, xet=xet),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_client(
    hub: LoopbackHub, home: Path, token: str | None, program: str, argument: object = "", *, xet: bool = False
) -> Any:
    """The JSON that a client program prints."""
    client = start_client(hub, home, token, program, argument, xet=xet)
    stdout, stderr = client.communicate(timeout=120)
    assert client.returncode == 0, stderr
    return json.loads(stdout)


def ask(hub: LoopbackHub, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """Plain HTTP: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def write_folder(folder: Path, *, changed: bool = False) -> Path:
    """Three shards of ten rows; `changed` rewrites one of them to three rows."""
    for split, num_files in (("data/train", 3), ("rejected/rejected", 1)):
        for number in range(num_files):
            rows = range(3) if changed and (split, number) == ("data/train", 1) else range(10)
            path = folder / f"{split}-{number:05d}-of-{num_files:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"id": [f"{split}-{number}-{row}" for row in rows], "row": list(rows)}), path)
    (folder / "README.md").write_text(CARD)
    (folder / "report.json").write_text('{"funnel": 1}')
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path / "hub") as running:
        yield running


PUBLISH = """
first, second = (Path(ARGUMENT) / name for name in ("first", "second"))
urls = [str(api.create_repo(REPO, repo_type="dataset", exist_ok=exist_ok)) for exist_ok in (False, True)]
taken = outcome(api.create_repo, REPO, repo_type="dataset")
def upload(folder, title, **kwargs):
    return api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=folder, commit_message=title, **kwargs).oid
one = upload(first, "first")
api.create_tag(REPO, tag="v1.0.0", revision=one, repo_type="dataset")
two = upload(second, "second", parent_commit=one)
api.create_tag(REPO, tag="v1.1.0", revision=two, repo_type="dataset")
again = upload(second, "nothing new")
addition = [CommitOperationAdd("late.txt", b"late")]
stale = outcome(api.create_commit, REPO, addition, commit_message="late", repo_type="dataset", parent_commit=one)
moved = outcome(api.create_tag, REPO, tag="v1.0.0", revision=two, repo_type="dataset")
api.create_branch(REPO, branch="feature/a", repo_type="dataset")
api.create_commit(REPO, addition, commit_message="on a branch", repo_type="dataset", revision="feature/a")
bad_card = outcome(api.upload_file, path_or_fileobj=b"---\\nlicense: [\\n---\\n", path_in_repo="README.md",
                   repo_id=REPO, repo_type="dataset")
print(json.dumps(dict(urls=urls, taken=taken, one=one, two=two, again=again, stale=stale, moved=moved,
                      bad_card=bad_card)))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoopbackHub, dict[str, Any], Path]]:
    """A hub with two tagged versions and a branch, what the publishing client saw, and the folders it published."""
    folder = tmp_path_factory.mktemp("published")
    write_folder(folder / "first")
    write_folder(folder / "second", changed=True)
    with LoopbackHub(folder / "hub") as running:
        yield running, run_client(running, folder / "home", "hf_writer", PUBLISH, folder), folder


def test_two_versions_are_two_commits_on_the_hubs_own_and_two_tags(published: Any) -> None:
    hub, seen, _ = published
    assert seen["urls"] == [f"{hub.url}/datasets/{REPO}"] * 2
    assert seen["taken"][1] == 409
    assert hub.tags(REPO) == {"v1.0.0": seen["one"], "v1.1.0": seen["two"]}
    assert [title for _, title in hub.commits(REPO)] == ["second", "first", "initial commit"]
    assert hub.head(REPO) == seen["two"] == seen["again"]


def test_only_changed_large_files_travel_and_small_ones_are_in_the_commit(published: Any) -> None:
    hub, _, folder = published
    shards = [*sorted((folder / "first").rglob("*.parquet")), folder / "second/data/train-00001-of-00003.parquet"]
    hashes = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards]
    assert sorted(hub.uploaded) == sorted(hashes)
    assert hub.tree(REPO, "v1.0.0")["data/train-00001-of-00003.parquet"] == hashes[1]
    assert hub.tree(REPO, "v1.1.0")["data/train-00001-of-00003.parquet"] == hashes[-1]
    assert len(hub.tree(REPO)["report.json"]) == 40
    for path in (folder / "second").rglob("*.*"):
        assert hub.read(REPO, "v1.1.0", str(path.relative_to(folder / "second"))) == path.read_bytes()


def test_stale_parent_moved_tag_and_broken_card_are_refused_and_change_nothing(published: Any) -> None:
    hub, seen, _ = published
    assert seen["stale"][:2] == ["HfHubHTTPError", 412]
    assert seen["moved"][1] == 409
    assert seen["bad_card"][0] == "ValueError" and "Invalid metadata in README.md" in seen["bad_card"][2]
    assert "late.txt" not in hub.tree(REPO)


def test_branch_with_a_slash_is_one_name(published: Any) -> None:
    hub, seen, _ = published
    assert hub.branches(REPO).keys() == {"main", "feature/a"}
    assert hub.commits(REPO, "feature/a")[0][1] == "on a branch"
    assert hub.read(REPO, "feature/a", "late.txt") == b"late"
    api = HfApi(hub.url, token="hf_reader")
    assert api.dataset_info(REPO, revision="feature/a").sha == hub.head(REPO, "feature/a") != seen["two"]


READ = """
from datasets import load_dataset
from huggingface_hub import HfFileSystem
shard = "data/train-00001-of-00003.parquet"
fs = HfFileSystem()
with fs.open(f"datasets/{REPO}@v1.0.0/{shard}") as stream:
    stream.seek(-4, 2)
    last = stream.read().decode()
versions = {}
for tag in ("v1.0.0", "v1.1.0"):
    rows = load_dataset(REPO, split="train", revision=tag)
    streamed = load_dataset(REPO, split="train", revision=tag, streaming=True)
    versions[tag] = [len(rows), len(list(streamed)), rows["id"] == [row["id"] for row in streamed]]
snapshot = hf.snapshot_download(REPO, repo_type="dataset", revision="v1.1.0")
print(json.dumps(dict(
    downloaded=hf.hf_hub_download(REPO, shard, repo_type="dataset", revision="v1.0.0"),
    snapshot=snapshot,
    verified=len(api.verify_repo_checksums(REPO, repo_type="dataset", revision="v1.1.0").mismatches),
    globbed=fs.glob(f"datasets/{REPO}@v1.0.0/data/*.parquet"),
    last=last,
    versions=versions,
    rejected=len(load_dataset(REPO, "rejected", split="train", revision="v1.0.0")),
    no_revision=outcome(load_dataset, REPO, revision="v7.0.0"),
    no_file=outcome(hf.hf_hub_download, REPO, "none.txt", repo_type="dataset"),
    refs=[ref.name for ref in api.list_repo_refs(REPO, repo_type="dataset").branches],
    commits=[commit.title for commit in api.list_repo_commits(REPO, repo_type="dataset", revision="v1.1.0")],
    touched={entry.path: entry.last_commit.title for entry in
             api.list_repo_tree(REPO, repo_type="dataset", recursive=True, expand=True)},
    known=[entry.path for entry in api.get_paths_info(REPO, ["data", "README.md", "none"], repo_type="dataset")],
    large=[entry.rfilename for entry in api.dataset_info(REPO, files_metadata=True).siblings if entry.lfs],
    license=api.dataset_info(REPO).card_data.license,
)))
"""


@pytest.fixture(scope="module")
def read(published: Any) -> dict[str, Any]:
    """What an anonymous client reads of the published versions."""
    hub, _, folder = published
    seen: dict[str, Any] = run_client(hub, folder / "reader", None, READ)
    return seen


def test_downloads_are_the_bytes_that_were_published(published: Any, read: dict[str, Any]) -> None:
    _, _, folder = published
    shard = "data/train-00001-of-00003.parquet"
    assert Path(read["downloaded"]).read_bytes() == (folder / "first" / shard).read_bytes()
    for path in (folder / "second").rglob("*.*"):
        assert (Path(read["snapshot"]) / path.relative_to(folder / "second")).read_bytes() == path.read_bytes()
    assert read["verified"] == 0


def test_each_tag_loads_its_own_rows_plain_and_streaming(read: dict[str, Any]) -> None:
    assert read["versions"] == {"v1.0.0": [30, 30, True], "v1.1.0": [23, 23, True]}
    assert read["rejected"] == 10
    assert read["no_revision"][0] == "DatasetNotFoundError" and "v7.0.0" in read["no_revision"][2]


def test_file_system_globs_and_seeks_in_a_tag(read: dict[str, Any]) -> None:
    assert read["globbed"] == [f"datasets/{REPO}@v1.0.0/data/train-{n:05d}-of-00003.parquet" for n in range(3)]
    assert read["last"] == "PAR1"


def test_listings_tell_files_folders_history_and_last_change(read: dict[str, Any]) -> None:
    assert read["no_file"][:2] == ["RemoteEntryNotFoundError", 404]
    assert read["refs"] == ["feature/a", "main"]
    assert read["commits"] == ["second", "first", "initial commit"]
    assert read["touched"]["data"] == read["touched"]["data/train-00001-of-00003.parquet"] == "second"
    assert read["touched"]["data/train-00000-of-00003.parquet"] == read["touched"]["README.md"] == "first"
    assert read["touched"][".gitattributes"] == "initial commit"
    assert read["known"] == ["data", "README.md"]
    assert len(read["large"]) == 4 and all(path.endswith(".parquet") for path in read["large"])
    assert read["license"] == "apache-2.0"


REFUSED = """
from datasets import load_dataset
print(json.dumps(dict(
    info=outcome(api.dataset_info, REPO),
    download=outcome(hf.hf_hub_download, REPO, "README.md", repo_type="dataset"),
    load=outcome(load_dataset, REPO, split="train", revision="v1"),
    upload=outcome(api.upload_file, path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=REPO, repo_type="dataset"),
    tag=outcome(api.create_tag, REPO, tag="v9", repo_type="dataset"),
    create=outcome(api.create_repo, "org/new", repo_type="dataset"),
    settings=outcome(api.update_repo_settings, REPO, repo_type="dataset", private=False),
)))
"""


@pytest.mark.parametrize(
    ("access", "token", "expected"),
    [
        (
            {},
            "hf_wrong",
            {
                "info": ["HfHubHTTPError", 401],
                "download": ["HfHubHTTPError", 401],
                "load": ["HfHubHTTPError", 401],
                "upload": ["HfHubHTTPError", 401],
            },
        ),
        ({}, "hf_reader", {"info": "done", "load": "done", "upload": ["HfHubHTTPError", 403], "tag": 403}),
        ({}, "hf_stranger", {"info": "done", "upload": 403, "create": 403, "settings": 403}),
        ({}, None, {"info": "done", "load": "done", "upload": 401, "tag": 401, "create": 401}),
        ({"private": True}, "hf_reader", {"info": "done", "load": "done", "upload": 403}),
        (
            {"private": True},
            "hf_stranger",
            {
                "info": ["RepositoryNotFoundError", 404],
                "download": ["RepositoryNotFoundError", 404],
                "load": ["DatasetNotFoundError", None],
                "upload": ["RepositoryNotFoundError", 404],
            },
        ),
        ({"private": True}, None, {"info": ["RepositoryNotFoundError", 401], "load": ["DatasetNotFoundError", None]}),
        (
            {"gated": "manual"},
            "hf_stranger",
            {"info": "done", "download": ["GatedRepoError", 403], "load": ["DatasetNotFoundError", None]},
        ),
        ({"gated": "auto"}, None, {"info": "done", "download": ["GatedRepoError", 401]}),
        ({"gated": "auto", "granted": ("stranger",)}, "hf_stranger", {"download": "done", "load": "done"}),
        ({"gated": "auto"}, "hf_reader", {"download": "done", "load": "done"}),
    ],
)
def test_who_may_not_is_refused_as_by_the_hub(
    hub: LoopbackHub, tmp_path: Path, access: dict[str, Any], token: str | None, expected: dict[str, Any]
) -> None:
    folder = write_folder(tmp_path / "folder")
    head = hub.commit(REPO, {str(path.relative_to(folder)): path for path in folder.rglob("*.*")})
    hub.tag(REPO, "v1", head)
    hub.configure(REPO, **access)
    seen = run_client(hub, tmp_path / "home", token, REFUSED)
    for call, wanted in expected.items():
        got = seen[call]
        assert (got if isinstance(wanted, str) else got[1] if isinstance(wanted, int) else got[:2]) == wanted, got
    assert hub.head(REPO) == head and hub.tags(REPO) == {"v1": head} and hub.repos.keys() == {REPO}
    assert (hub.repos[REPO].private, hub.repos[REPO].gated) == (
        access.get("private", False),
        access.get("gated", False),
    )


PUSH = """
operations = [CommitOperationAdd("data/a.parquet", b"large"), CommitOperationAdd("a.txt", b"small")]
print(json.dumps(outcome(lambda: api.create_commit(REPO, operations, commit_message="push", repo_type="dataset").oid)))
"""


@pytest.mark.parametrize(
    ("fault", "error", "pushed"),
    [
        (HubFault("commit", when="before", status=500), ["HfHubHTTPError", 500], False),
        (HubFault("commit", when="after", status=500), ["HfHubHTTPError", 500], True),
        (HubFault("commit", when="before", kind="reset"), ["ReadError", None], False),
        (HubFault("commit", when="after", kind="reset"), ["ReadError", None], True),
        (HubFault("commit", when="after", kind="cut"), ["RemoteProtocolError", None], True),
        (HubFault("lfs-put", when="before", status=403), ["RuntimeError", None], False),
        (HubFault("lfs-verify", when="after", status=404), ["RuntimeError", None], False),
        (HubFault("preupload", status=404, error_code="RepoNotFound"), ["RepositoryNotFoundError", 404], False),
        (HubFault("lfs-batch", when="before", kind="reset", times=1), "done", True),  # the client asks again
        (HubFault("commit", status=500, nth=2), "done", True),  # there is no second commit
    ],
)
def test_a_fault_strikes_before_or_after_its_request_and_a_retry_completes(
    hub: LoopbackHub, tmp_path: Path, fault: HubFault, error: Any, pushed: bool
) -> None:
    hub.create(REPO)
    hub.inject(fault)
    seen = run_client(hub, tmp_path / "home", "hf_writer", PUSH)
    assert (seen if isinstance(seen, str) else seen[:2]) == error, seen
    assert ("a.txt" in hub.tree(REPO)) is ("data/a.parquet" in hub.tree(REPO)) is pushed
    hub.faults.clear()
    num_commits = len(hub.commits(REPO))
    assert run_client(hub, tmp_path / "home", "hf_writer", PUSH) == "done"
    assert len(hub.commits(REPO)) == num_commits + (not pushed)
    assert hub.uploaded == [hashlib.sha256(b"large").hexdigest()]


def test_a_call_runs_exactly_at_its_boundary_and_may_use_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(REPO)
    head = hub.head(REPO)
    hub.inject(HubFault("commit", kind="call", call=lambda: hub.commit(REPO, {"b.txt": b"b"}, title="first come")))
    program = PUSH.replace("repo_type=", f"parent_commit={head!r}, repo_type=")
    assert run_client(hub, tmp_path / "home", "hf_writer", program)[:2] == ["HfHubHTTPError", 412]
    assert [title for _, title in hub.commits(REPO)] == ["first come", "initial commit"]


@pytest.mark.parametrize(
    ("when", "kind", "num_commits"),
    [("before", "reset", 1), ("after", "reset", 2), ("before", "call", 2), ("after", "call", 2)],
)
def test_client_can_be_killed_at_the_commit_that_was_or_was_not_carried_out(
    hub: LoopbackHub, tmp_path: Path, when: Any, kind: Any, num_commits: int
) -> None:
    hub.create(REPO)
    client = start_client(hub, tmp_path / "home", "hf_writer", PUSH)
    hub.inject(HubFault("commit", when=when, kind=kind, call=client.kill))
    client.communicate(timeout=60)
    assert client.returncode == -signal.SIGKILL
    _wait_until(lambda: len(hub.commits(REPO)) == num_commits)


def test_hanging_hub_answers_nobody_until_it_stops(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(REPO)
    hub.inject(HubFault("commit", kind="hang"))
    client = start_client(hub, tmp_path / "home", "hf_writer", PUSH)
    _wait_until(lambda: hub.count("commit") == 1)
    assert client.poll() is None
    hub.stop()
    assert json.loads(client.communicate(timeout=60)[0])[0] in ("RemoteProtocolError", "ReadError")
    assert len(hub.commits(REPO)) == 1


def test_hub_that_stops_drops_a_body_that_is_still_on_its_way(hub: LoopbackHub) -> None:
    hub.create(REPO)
    hub.inject(HubFault("commit", kind="hang"))
    with socket.create_connection(("127.0.0.1", hub.port), timeout=9) as client:
        head = f"POST /api/datasets/{REPO}/commit/main HTTP/1.1\r\nHost: hub\r\nContent-Length: 10\r\n\r\n"
        client.sendall(head.encode() + b"half")
        _wait_until(lambda: hub.count("commit") == 1)
        hub.stop()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_broken_download_is_resumed_where_it_broke(hub: LoopbackHub, tmp_path: Path) -> None:
    content = os.urandom(25_000_001)  # the client writes in pieces of 10 MiB
    hub.commit(REPO, {"media/part.zip": content})
    fault = hub.inject(HubFault("resolve", when="after", kind="cut", method="GET", path="part.zip"))
    program = 'print(json.dumps(hf.hf_hub_download(REPO, "media/part.zip", repo_type="dataset")))'
    path = run_client(hub, tmp_path / "home", None, program)
    assert Path(path).read_bytes() == content
    assert fault.num_met == 2 and hub.requests[-1].status == 206


def test_upload_that_breaks_off_or_hashes_otherwise_leaves_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(REPO)
    sha256 = hashlib.sha256(b"announced").hexdigest()
    address = f"/lfs/lfs-put/dataset/{REPO}/{sha256}"
    status, _, _ = ask(hub, "PUT", address, b"another")
    assert status == 400
    connection = http.client.HTTPConnection("127.0.0.1", hub.port)
    connection.putrequest("PUT", address)
    connection.putheader("Content-Length", "9")
    connection.endheaders(b"annou")
    _wait_until(lambda: any((tmp_path / "hub").rglob("incoming/*")))
    connection.close()
    _wait_until(lambda: not any((tmp_path / "hub").rglob("incoming/*")))
    assert hub.uploaded == [] and not any((tmp_path / "hub").rglob(sha256))
    assert ask(hub, "PUT", address, b"announced")[0] == 200
    assert hub.uploaded == [sha256]


def test_commit_names_only_large_files_that_arrived_and_is_all_or_nothing(hub: LoopbackHub) -> None:
    hub.create(REPO)
    small = {"key": "file", "value": {"path": "a.txt", "content": "YQ==", "encoding": "base64"}}
    header = {"key": "header", "value": {"summary": "s", "description": ""}}
    sha256 = hashlib.sha256(b"x").hexdigest()
    broken = [
        {"key": "lfsFile", "value": {"path": "b.bin", "algo": "sha256", "oid": sha256, "size": 1}},
        {"key": "deletedFile", "value": {"path": "none"}},
        {"key": "file", "value": {"path": "../up", "content": "YQ=="}},
        {"key": "file", "value": {"path": "b.txt", "content": "no base64"}},
        {"key": "unknown", "value": {"path": "b.txt"}},
    ]

    def commit(*operations: Any) -> int:
        body = "\n".join(map(json.dumps, (header, *operations))).encode()
        path = f"/api/datasets/{REPO}/commit/main"
        return ask(hub, "POST", path, body, Authorization="Bearer hf_writer")[0]

    assert [commit(small, operation) for operation in broken] == [400, 404, 400, 400, 400]
    assert hub.tree(REPO).keys() == {".gitattributes"} and len(hub.commits(REPO)) == 1
    assert commit(small) == 200


def test_of_two_pushes_on_one_parent_exactly_one_wins(hub: LoopbackHub) -> None:
    hub.create(REPO)
    parent = hub.head(REPO)

    def push(number: int) -> bool:
        try:
            hub.commit(REPO, {f"{number}.txt": b"x"}, parent=parent)
        except Refusal as refusal:
            assert refusal.status == 412
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(push, range(16))) == 1
    assert len(hub.commits(REPO)) == 2


def test_copies_and_deletes_are_operations_of_one_commit(hub: LoopbackHub) -> None:
    hub.commit(REPO, {"data/a.parquet": b"A", "data/b.parquet": b"B", "c.txt": b"C", "d.txt": b"D"})
    program = [
        {"key": "header", "value": {"summary": "ops"}},
        {"key": "lfsFile", "value": {"path": "e.parquet", "algo": "sha256", "oid": hashlib.sha256(b"A").hexdigest()}},
        {"key": "deletedFolder", "value": {"path": "data/"}},
        {"key": "deletedFile", "value": {"path": "c.txt"}},
    ]
    body = "\n".join(map(json.dumps, program)).encode()
    assert ask(hub, "POST", f"/api/datasets/{REPO}/commit/main", body, Authorization="Bearer hf_writer")[0] == 200
    assert hub.tree(REPO).keys() == {".gitattributes", "d.txt", "e.parquet"}
    assert hub.read(REPO, "main", "e.parquet") == b"A"
    hub.commit(REPO, {"d.txt": None})
    assert hub.tree(REPO).keys() == {".gitattributes", "e.parquet"}


@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_pages_add_up_to_the_whole_tree_and_history(tmp_path: Path, page_size: int) -> None:
    with LoopbackHub(tmp_path / "hub", tree_page_size=page_size) as hub:
        files = {f"{folder}/{n}.txt": b"x" for folder in ("a b", "a/b", "z") for n in range(4)}
        hub.commit(REPO, files)
        hub.commit(REPO, {"c.txt": b"c"})
        api = HfApi(hub.url, token="hf_reader")
        tree = [entry.path for entry in api.list_repo_tree(REPO, repo_type="dataset", recursive=True)]
        assert sorted(tree) == sorted({*files, "a b", "a", "a/b", "z", "c.txt", ".gitattributes"})
        below = [entry.path for entry in api.list_repo_tree(REPO, "a/b", repo_type="dataset")]
        assert below == [f"a/b/{n}.txt" for n in range(4)]
        assert [commit.commit_id for commit in api.list_repo_commits(REPO, repo_type="dataset")] == [
            oid for oid, _ in hub.commits(REPO)
        ]


@pytest.fixture(scope="module")
def bytes_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoopbackHub, bytes]]:
    content = bytes(range(256)) * 4
    with LoopbackHub(tmp_path_factory.mktemp("bytes") / "hub") as running:
        running.commit(REPO, {"x.zip": content, "empty.txt": b""})
        yield running, content


@settings(max_examples=60)
@given(start=st.none() | st.integers(0, 1100), stop=st.none() | st.integers(0, 1100))
def test_any_range_is_the_slice_it_names(bytes_hub: Any, start: int | None, stop: int | None) -> None:
    hub, content = bytes_hub
    wanted = f"bytes={'' if start is None else start}-{'' if stop is None else stop}"
    status, headers, body = ask(hub, "GET", f"/datasets/{REPO}/resolve/main/x.zip", Range=wanted)
    if (start is None and stop is None) or (start is not None and stop is not None and start > stop):
        assert (status, body) == (200, content)  # no valid range: it is as if none was asked for
        return
    if start is None:
        first, last = max(0, len(content) - (stop or 0)), len(content) - 1
    else:
        first, last = start, min(len(content) - 1 if stop is None else stop, len(content) - 1)
    if first > last:
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(content)}")
    else:
        assert (status, body) == (206, content[first : last + 1])
        assert headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"


def test_head_tells_commit_size_and_etag_without_a_body(bytes_hub: Any) -> None:
    hub, content = bytes_hub
    status, headers, body = ask(hub, "HEAD", f"/datasets/{REPO}/resolve/main/x.zip")
    sha256 = hashlib.sha256(content).hexdigest()
    assert (status, body, headers["Content-Length"], headers["ETag"]) == (200, b"", "1024", f'"{sha256}"')
    assert (headers["X-Linked-Size"], headers["X-Linked-Etag"]) == ("1024", f'"{sha256}"')
    assert headers["X-Repo-Commit"] == hub.head(REPO)
    status, headers, _ = ask(hub, "HEAD", f"/datasets/{REPO}/resolve/main/none")
    assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", hub.head(REPO))
    assert ask(hub, "GET", f"/datasets/{REPO}/resolve/main/empty.txt")[::2] == (200, b"")


@pytest.mark.parametrize("oid", ["0" * 40, "main~1", "refs/convert/parquet", "v1"])
def test_revision_that_is_not_there_is_no_other(bytes_hub: Any, oid: str) -> None:
    hub, _ = bytes_hub
    path = f"/api/datasets/{REPO}/revision/{oid.replace('/', '%2F')}"
    assert ask(hub, "GET", path)[1]["X-Error-Code"] == "RevisionNotFound"


@given(st.text(max_size=12))
def test_reference_names_hold_nothing_that_git_refuses(name: str) -> None:
    if REF_NAME.fullmatch(name):
        assert not set(name) & set(" ~^:?*[\\") and ".." not in name and name[-1] not in "/."


@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1))
def test_any_revision_and_path_is_found_in_a_raw_path_as_it_was(revision: str, parts: list[str]) -> None:
    path = "/".join(parts)
    raw_path = f"/datasets/org/name/resolve/{quote(revision, safe='')}/{quote(path, safe='')}"
    assert find_route(raw_path) == Route("resolve", "dataset", "org/name", (revision, path))
    raw_path = f"/api/models/org/name/tree/{quote(revision, safe='')}/{quote(path)}"
    assert find_route(raw_path.rstrip("/")).rest == (revision, path.rstrip("/"))


@pytest.mark.parametrize("raw_path", ["/", "/api", "/api/datasets/org", "/org/name", "/api/datasets/org/name/none/x"])
def test_path_that_the_hub_does_not_serve_is_404_and_recorded(bytes_hub: Any, raw_path: str) -> None:
    hub, _ = bytes_hub
    assert ask(hub, "GET", raw_path)[0] == 404
    assert (hub.requests[-1].endpoint, hub.requests[-1].status) == ("unknown", 404)


def test_large_files_are_named_by_attributes_size_or_a_zero_byte(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "hub", large_above_bytes=100) as hub:
        attributes = b"*.parquet filter=lfs\n*.txt filter=lfs\nsmall/* -filter\nbig/** filter=lfs\n"
        hub.commit(REPO, {".gitattributes": attributes})
        files = {"a.txt": b"a", "small/b.txt": b"b", "big/x/c.md": b"c", "d.md": b"d" * 101, "e.md": b"\0"}
        (tmp_path / "f.md").write_bytes(b"\0")
        hub.commit(REPO, {**files, "f.md": tmp_path / "f.md", "g.md": b"g" * 100, "empty.parquet": b""})
        large = {path for path, oid in hub.tree(REPO).items() if len(oid) == 64}
        assert large == {"a.txt", "big/x/c.md", "d.md", "e.md", "f.md"}


def test_stopped_hub_starts_again_at_its_address_with_what_it_had(hub: LoopbackHub) -> None:
    oid = hub.commit(REPO, {"a.txt": b"a"})
    url = hub.url
    hub.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(hub, "GET", f"/api/datasets/{REPO}")
    hub.start()
    assert (hub.url, json.loads(ask(hub, "GET", f"/api/datasets/{REPO}")[2])["sha"]) == (url, oid)


def test_models_are_repositories_too(hub: LoopbackHub, tmp_path: Path) -> None:
    program = """
api.create_repo("org/model")
api.upload_file(path_or_fileobj=b"weights", path_in_repo="model.safetensors", repo_id="org/model")
print(json.dumps([hf.hf_hub_download("org/model", "model.safetensors"), api.model_info("org/model").sha]))
"""
    path, sha = run_client(hub, tmp_path / "home", "hf_writer", program)
    assert Path(path).read_bytes() == b"weights" == hub.read("models/org/model", "main", "model.safetensors")
    assert hub.head("models/org/model") == sha and REPO not in hub.repos


def test_push_to_hub_and_deletions_of_datasets_work(hub: LoopbackHub, tmp_path: Path) -> None:
    program = """
from datasets import Dataset, load_dataset
Dataset.from_dict({"q": [1, 2]}).push_to_hub("org/pushed")
num_rows = len(load_dataset("org/pushed", split="train", revision=api.dataset_info("org/pushed").sha))
api.create_tag("org/pushed", tag="v1", repo_type="dataset")
api.delete_tag("org/pushed", tag="v1", repo_type="dataset")
api.create_branch("org/pushed", branch="b/c", repo_type="dataset")
api.delete_branch("org/pushed", branch="b/c", repo_type="dataset")
no_tag = outcome(api.delete_tag, "org/pushed", tag="v1", repo_type="dataset")
name = api.whoami()["name"]
api.delete_repo("org/pushed", repo_type="dataset")
print(json.dumps([num_rows, no_tag, name]))
"""
    num_rows, no_tag, name = run_client(hub, tmp_path / "home", "hf_writer", program)
    assert (num_rows, no_tag[:2], name) == (2, ["RevisionNotFoundError", 404], "org-admin")
    assert hub.repos == {}


def test_xet_uploads_are_rebuilt_and_download_through_xet_and_without(hub: LoopbackHub, tmp_path: Path) -> None:
    first, second = write_folder(tmp_path / "first"), write_folder(tmp_path / "second", changed=True)
    # One file for each compression of chunks: none, plain, grouped.
    (first / "noise.bin").write_bytes(os.urandom(200_000))
    (first / "words.bin").write_bytes(b"again and " * 70_000)
    (second / "numbers.bin").write_bytes(np.arange(300_001, dtype=np.float32).tobytes() + b"odd")
    seen = run_client(hub, tmp_path / "home", "hf_writer", PUBLISH, tmp_path, xet=True)
    assert hub.tags(REPO) == {"v1.0.0": seen["one"], "v1.1.0": seen["two"]} and seen["again"] == seen["two"]
    assert hub.count("lfs-put") == 0 < hub.count("xet-token")
    program = """
from datasets import load_dataset
assert len(list(load_dataset(REPO, split="train", revision="v1.1.0", streaming=True))) == 23
print(json.dumps([hf.snapshot_download(REPO, repo_type="dataset", revision=tag) for tag in ("v1.0.0", "v1.1.0")]))
"""
    for xet in (True, False):
        num_tokens = hub.count("xet-token")
        snapshots = run_client(hub, tmp_path / f"reader-{xet}", None, program, xet=xet)
        assert (hub.count("xet-token") > num_tokens) is xet
        for tag, folder, snapshot in zip(hub.tags(REPO), (first, second), snapshots, strict=True):
            for path in folder.rglob("*.*"):
                name = str(path.relative_to(folder))
                assert path.read_bytes() == hub.read(REPO, tag, name) == (Path(snapshot) / name).read_bytes()


def test_killed_xet_upload_leaves_the_store_usable(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create(REPO)
    client = start_client(hub, tmp_path / "home", "hf_writer", PUSH, xet=True)
    hub.inject(HubFault("commit", kind="reset", call=client.kill))
    client.communicate(timeout=60)
    assert client.returncode == -signal.SIGKILL and len(hub.commits(REPO)) == 1
    assert run_client(hub, tmp_path / "home", "hf_writer", PUSH, xet=True) == "done"
    assert hub.read(REPO, "main", "data/a.parquet") == b"large"


@given(st.binary(max_size=40))
def test_interleaving_undoes_the_grouping_of_each_fourth_byte(content: bytes) -> None:
    assert interleave(b"".join(content[place::4] for place in range(4))) == content


def test_hub_process_finds_what_another_left_and_streams_it_in_little_memory(tmp_path: Path) -> None:
    big = tmp_path / "big.zip"
    with big.open("wb") as stream:
        stream.truncate(300 << 20)
    with LoopbackHub(tmp_path / "hub") as hub:
        oid = hub.commit(REPO, {"media/big.zip": big}, title="big")
        hub.tag(REPO, "v1", oid)
    command = [sys.executable, "-m", "tests.hub", "--root", str(tmp_path / "hub")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        environment = client_environment(url, tmp_path / "home", None)
        program = PRELUDE + 'print(hf.hf_hub_download(REPO, "media/big.zip", repo_type="dataset", revision="v1"))'
        client = subprocess.run([sys.executable, "-c", program, ""], env=environment, capture_output=True, text=True)
        peak = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line)
        process.send_signal(signal.SIGTERM)
    assert Path(client.stdout.strip()).stat().st_size == 300 << 20, client.stderr
    assert int(peak.split()[1]) < 200_000, peak
    assert process.returncode == 0


def test_crash_leaves_the_last_published_state_and_no_half_object(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "hub") as hub:
        oid = hub.commit(REPO, {"a.zip": b"A"})
        hub.tag(REPO, "v1", oid)
    folder = tmp_path / "hub/datasets" / REPO
    (folder / "repo.json.tmp").write_text("{torn")
    (folder / "objects/incoming/torn").write_bytes(b"half")
    with LoopbackHub(tmp_path / "hub") as hub:
        assert (hub.tags(REPO), hub.head(REPO), hub.read(REPO, "v1", "a.zip")) == ({"v1": oid}, oid, b"A")
    assert list((folder / "objects/incoming").iterdir()) == []


def test_environment_of_a_client_names_no_other_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "1")
    environment = client_environment("http://127.0.0.1:1", tmp_path, None)
    assert (
        not {"HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTPS_PROXY", "http_proxy"} & environment.keys()
    )
    assert (environment["HF_ENDPOINT"], environment["HF_HOME"]) == ("http://127.0.0.1:1", str(tmp_path))
    assert "HF_HUB_DISABLE_XET" not in client_environment("http://127.0.0.1:1", tmp_path, "t", xet=True)


def _wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")

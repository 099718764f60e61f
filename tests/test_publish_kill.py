"""Kill the publisher at every call that it makes, and at random moments: old version or new, never a mixture."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation.provenance import Provenance, write_provenance
from tests.folders import kept_row, rejected_row, write_folder
from tests.hub import HubFault, LoopbackHub, client_environment
from tests.publisher import Publisher

REPO = "org/name"
READS = ("info", "tree", "refs", "commits", "resolve")
SPELLING_THE_NAME = ("README.md", "CITATION.cff", "LICENSE")
WRITES = ("validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit", "tag")


def write_version(folder: Path, num_kept: int) -> Path:
    """A dataset folder; a second version has more rows, and one that changed."""
    kept = [kept_row(n, think=f"Based on the observations, {n * num_kept}.") for n in range(num_kept)]
    write_folder(folder, kept, [rejected_row(100 + n, "filter:score", score=0.2) for n in range(num_kept)])
    write_provenance(folder, Provenance(source="videor1", tokenizer="org/tokenizer", config={"min_score": 0.6}))
    return folder


@dataclass
class Bench:
    """A hub that has v1.0.0, a dataset that shall become v1.1.0, and what a calm publication of it does."""

    hub: LoopbackHub
    publisher: Publisher
    folder: Path
    old_commit: str
    old_tree: dict[str, str]
    new_tree: dict[str, str]
    calls: list[str]

    def publish(self, repo: str = REPO, **options):
        words = ("publish", self.folder, "--repo", repo, "--version", "1.1.0", "--no-read-back")
        return self.publisher.run(*words, **options)

    def restart(self, repo: str) -> None:
        """Another repository in the state of the first, so that every kill meets a fresh one."""
        first = self.hub.tree(REPO, "v1.0.0")
        files = {path: self.hub.read(REPO, "v1.0.0", path) for path in first}
        self.hub.tag(repo, "v1.0.0", self.hub.commit(repo, files, title="Publish v1.0.0"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    tmp_path = tmp_path_factory.mktemp("kill")
    first, second = write_version(tmp_path / "first", 6), write_version(tmp_path / "second", 9)
    with LoopbackHub(tmp_path / "hub") as hub:
        environment = client_environment(hub.url, tmp_path / "home", "hf_writer")
        with Publisher(environment, tmp_path / "log") as publisher:
            ended = publisher.run("publish", first, "--repo", REPO, "--version", "1.0.0", "--no-read-back")
            assert ended.status == 0, ended.text
            bench = Bench(hub, publisher, second, hub.tags(REPO)["v1.0.0"], hub.tree(REPO, "v1.0.0"), {}, [])
            num_before = len(hub.requests)
            bench.restart("org/calm")
            ended = bench.publish("org/calm")
            assert ended.status == 0, ended.text
            bench.new_tree = hub.tree("org/calm", "v1.1.0")
            bench.calls = [request.endpoint for request in hub.requests[num_before:]]
            yield bench


def assert_old_or_new(bench: Bench, repo: str, old_commit: str) -> bool:
    """Whether v1.1.0 is there; in any case everything that a user can name is one whole version."""
    tags = bench.hub.tags(repo)
    assert tags["v1.0.0"] == old_commit
    assert set(tags) <= {"v1.0.0", "v1.1.0"}
    if "v1.1.0" in tags:
        assert named(bench.hub.tree(repo, "v1.1.0")) == named(bench.new_tree)
    main = named(bench.hub.tree(repo))
    assert main in (named(bench.new_tree), named(bench.hub.tree(repo, "v1.0.0")))
    return "v1.1.0" in tags


def named(tree: dict[str, str]) -> dict[str, str]:
    """The tree without the files that spell the repository's name."""
    return {path: "there" if path in SPELLING_THE_NAME else oid for path, oid in tree.items()}


def assert_completed(bench: Bench, repo: str, old_commit: str) -> None:
    ended = bench.publish(repo)
    assert ended.status == 0, ended.text
    assert assert_old_or_new(bench, repo, old_commit)
    assert bench.hub.tags(repo)["v1.1.0"] == bench.hub.head(repo)
    assert [title for _, title in bench.hub.commits(repo)][:2] == ["Publish v1.1.0", "Publish v1.0.0"]
    num_uploaded, head = len(bench.hub.uploaded), bench.hub.head(repo)
    assert bench.publish(repo).status == 0
    assert (len(bench.hub.uploaded), bench.hub.head(repo)) == (num_uploaded, head)


def kill_at(bench: Bench, endpoint: str, when: str, nth: int) -> None:
    repo = f"org/{endpoint}-{when}-{nth}"
    bench.restart(repo)
    old_commit = bench.hub.tags(repo)["v1.0.0"]
    # "before": the hub never carries the request out. "after": it does, and nobody hears of it.
    kind = "reset" if when == "before" else "call"
    fault = HubFault(endpoint, when=when, kind=kind, nth=nth, call=bench.publisher.kill)
    bench.hub.inject(fault)
    ended = bench.publish(repo)
    bench.hub.faults.remove(fault)
    assert ended.status == -9, (endpoint, when, nth, ended.text)
    assert_old_or_new(bench, repo, old_commit)
    assert_completed(bench, repo, old_commit)


def test_every_endpoint_is_called_as_the_kills_below_expect(bench):
    assert set(bench.calls) == {
        *READS,
        "validate-yaml",
        "preupload",
        "lfs-batch",
        "lfs-put",
        "lfs-verify",
        "commit",
        "tag",
    }


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "endpoint", ["validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit", "tag"]
)
def test_kill_at_every_writing_call_leaves_the_old_version_or_the_new_one(bench, endpoint, when):
    num_calls = bench.calls.count(endpoint)
    for nth in sorted({1, (num_calls + 1) // 2, num_calls}):
        kill_at(bench, endpoint, when, nth)


@pytest.mark.parametrize("endpoint", READS)
def test_kill_at_a_reading_call_changes_nothing(bench, endpoint):
    kill_at(bench, endpoint, "after", bench.calls.count(endpoint))


@pytest.mark.parametrize("endpoint", ["create", "info", "validate-yaml", "lfs-put", "commit", "tag"])
def test_kill_during_the_first_publication_leaves_no_version_or_the_whole_one(bench, endpoint):
    repo = f"org/first-{endpoint}"
    fault = bench.hub.inject(HubFault(endpoint, when="after", kind="call", call=bench.publisher.kill))
    assert bench.publish(repo).status == -9
    bench.hub.faults.remove(fault)
    assert bench.publish(repo).status == 0
    assert list(bench.hub.tags(repo).values()) == [bench.hub.head(repo)]
    assert [title for _, title in bench.hub.commits(repo)] == ["Publish v1.1.0", "initial commit"]


def test_kill_at_ten_random_moments_leaves_the_old_version_or_the_new_one(bench):
    bench.restart("org/timed")
    started = time.monotonic()
    assert bench.publish("org/timed").status == 0
    calm_s = time.monotonic() - started
    num_killed = 0
    for number in range(10):
        repo = f"org/random-{number}"
        bench.restart(repo)
        old_commit = bench.hub.tags(repo)["v1.0.0"]
        # The second half is where the hub is written to.
        timer = threading.Timer(calm_s * random.uniform(0.2, 1.05), lambda: kill_if_running(bench))
        ended = bench.publish(repo, started=timer.start)
        timer.cancel()
        num_killed += ended.status == -9
        assert_old_or_new(bench, repo, old_commit)
        assert_completed(bench, repo, old_commit)
    assert num_killed >= 3


def kill_if_running(bench: Bench) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in time
        bench.publisher.kill()

"""Publication to a loopback hub, with the real clients: versions, what is uploaded, and every way it can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.provenance import Provenance, write_provenance
from curation.schema import CONFIG_FILES, CONFIGS
from tests.folders import kept_row, rejected_row, write_folder
from tests.hub import HubFault, LoopbackHub, client_environment
from tests.publisher import Publisher

REPO = "org/name"
LOAD = """
import json, sys
from datasets import load_dataset
from huggingface_hub import DatasetCard, hf_hub_download

repo, tag = sys.argv[1:]
DatasetCard.load(hf_hub_download(repo, "README.md", repo_type="dataset", revision=tag)).validate(repo_type="dataset")
loaded = {}
for config in (None, "cot", "rejected", "rl"):
    for streaming in (False, True):
        rows = list(load_dataset(repo, config, revision=tag, split="train", streaming=streaming))
        loaded[f"{config} {streaming}"] = [row["id"] for row in rows]
print(json.dumps(loaded))
"""


def write_dataset(folder: Path, kept, rejected=(), **provenance) -> Path:
    """A dataset folder that can be published."""
    write_folder(folder, kept, rejected or [rejected_row(900, "filter:score", score=0.1)])
    origin = {"source": "videor1", "tokenizer": "org/tokenizer", "config": {"filter": {"min_score": 0.6}}}
    write_provenance(folder, Provenance(**origin | provenance))
    return folder


def load(hub, home, tag, repo=REPO):
    """What a stranger loads, in a fresh process with an empty cache."""
    environment = client_environment(hub.url, home, None)
    command = [sys.executable, "-c", LOAD, repo, tag]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Desk:
    """A hub, a warm publisher and a folder to work in."""

    hub: LoopbackHub
    publisher: Publisher
    tmp_path: Path

    def publish(self, dataset, version, *words, repo=REPO, read_back=False):
        more = words if read_back else ("--no-read-back", *words)
        return self.publisher.run("publish", dataset, "--repo", repo, "--version", version, *more)


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> Iterator[tuple[LoopbackHub, Publisher]]:
    tmp_path = tmp_path_factory.mktemp("publish")
    with LoopbackHub(tmp_path / "hub") as hub:
        environment = client_environment(hub.url, tmp_path / "home", "hf_writer")
        with Publisher(environment, tmp_path / "log") as publisher:
            yield hub, publisher


@pytest.fixture
def desk(warm, tmp_path, request) -> Iterator[Desk]:
    hub, publisher = warm
    yield Desk(hub, publisher, tmp_path)
    hub.faults.clear()


@pytest.fixture
def repo(request) -> str:
    """A repository of this test's own."""
    return f"org/{request.node.name.partition('[')[0][:60].rstrip('_')}"


def test_demo_is_published_twice_and_both_tags_load_in_a_fresh_process(desk, repo):
    small, large = desk.tmp_path / "small", desk.tmp_path / "large"
    for run_dir, num_questions in ((small, 60), (large, 90)):
        ended = desk.publisher.run("demo", "--num-questions", num_questions, "--run-dir", run_dir)
        assert ended.status == 0, ended.text
    for run_dir, version in ((small, "1.0.0"), (large, "1.1.0")):
        ended = desk.publish(run_dir, version, repo=repo, read_back=True)
        assert ended.status == 0, ended.text
        assert f'load_dataset("{repo}", revision="v{version}")' in ended.text
    assert sorted(desk.hub.tags(repo)) == ["v1.0.0", "v1.1.0"]
    for run_dir, tag in ((small, "v1.0.0"), (large, "v1.1.0")):
        loaded = load(desk.hub, desk.tmp_path / tag, tag, repo)
        for config in CONFIGS:
            written = pq.read_table(sorted((run_dir / "dataset").glob(f"{CONFIG_FILES[config]}-*.parquet")))
            names = written["id"].to_pylist()
            assert sorted(loaded[f"{config} False"]) == sorted(names)
            assert loaded[f"{config} True"] == loaded[f"{config} False"]
        assert loaded["None False"] == loaded["cot False"]
    card = desk.hub.read(repo, "v1.1.0", "README.md").decode()
    assert f'load_dataset("{repo}", revision="v1.1.0"' in card
    changelog = desk.hub.read(repo, "v1.1.0", "CHANGELOG.md").decode()
    assert changelog.index("1.1.0") < changelog.index("1.0.0")


def test_unchanged_dataset_uploads_no_data_and_makes_no_commit(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(n) for n in range(5)])
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0
    tags, commits, num_uploaded = desk.hub.tags(repo), desk.hub.commits(repo), len(desk.hub.uploaded)
    ended = desk.publish(dataset, "1.0.0", repo=repo, read_back=True)
    assert ended.status == 0 and "nothing changes" in ended.text
    assert (desk.hub.tags(repo), desk.hub.commits(repo)) == (tags, commits)
    assert len(desk.hub.uploaded) == num_uploaded


def test_one_changed_shard_is_the_one_that_is_uploaded(desk, repo):
    rows = [kept_row(n) for n in range(6)]
    dataset = write_dataset(desk.tmp_path / "a", rows)
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0
    before = desk.hub.tree(repo, "v1.0.0")
    num_uploaded = len(desk.hub.uploaded)
    rows[3]["verdict_reason"] = "put better"
    assert desk.publish(write_dataset(desk.tmp_path / "b", rows), "1.1.0", repo=repo).status == 0
    after = desk.hub.tree(repo, "v1.1.0")
    changed = {path for path in after if path.endswith(".parquet") and after[path] != before.get(path)}
    assert changed == {"data/train-00000-of-00001.parquet"}
    uploaded = set(desk.hub.uploaded[num_uploaded:])
    assert [oid for path, oid in after.items() if path.endswith(".parquet") and oid in uploaded] == [
        after["data/train-00000-of-00001.parquet"]
    ]


@pytest.mark.parametrize(
    ("version", "changes", "right"),
    [
        ("1.0.1", {"think": "Based on the observations, something else."}, "1.1.0"),
        ("2.0.0", {"think": "Based on the observations, something else."}, "1.1.0"),
        ("1.1.0", {}, "nothing changed"),
        ("0.9.0", {}, "v1.0.0"),
        ("1.1", {}, "1.1"),
    ],
)
def test_version_that_does_not_say_what_changed_is_refused(desk, repo, version, changes, right):
    repo = f"{repo}-{version}-{len(changes)}"
    assert desk.publish(write_dataset(desk.tmp_path / "a", [kept_row(0)]), "1.0.0", repo=repo).status == 0
    commits = desk.hub.commits(repo)
    ended = desk.publish(write_dataset(desk.tmp_path / "b", [kept_row(0) | changes]), version, repo=repo)
    assert ended.status == 2
    assert len(ended.errors) == 1 and right in ended.errors[0]
    assert desk.hub.commits(repo) == commits


def test_card_that_changes_alone_is_a_patch(desk, repo):
    rows = [kept_row(0)]
    assert desk.publish(write_dataset(desk.tmp_path / "a", rows), "1.0.0", repo=repo).status == 0
    again = write_dataset(desk.tmp_path / "b", rows, note="Now with a note.")
    assert desk.publish(again, "1.1.0", repo=repo).status == 2
    num_uploaded = len(desk.hub.uploaded)
    ended = desk.publish(again, "1.0.1", repo=repo)
    assert ended.status == 0, ended.text
    parquet = {oid for path, oid in desk.hub.tree(repo, "v1.0.1").items() if path.endswith(".parquet")}
    assert not parquet & set(desk.hub.uploaded[num_uploaded:])


def test_tag_is_never_moved_even_when_the_dataset_changed(desk, repo):
    assert desk.publish(write_dataset(desk.tmp_path / "a", [kept_row(0)]), "1.0.0", repo=repo).status == 0
    tags = desk.hub.tags(repo)
    ended = desk.publish(write_dataset(desk.tmp_path / "b", [kept_row(1)]), "1.0.0", repo=repo)
    assert ended.status == 2 and "never moved" in ended.errors[0]
    assert desk.hub.tags(repo) == tags


def test_dry_run_builds_everything_and_touches_nothing(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    num_before = len(desk.hub.requests)
    ended = desk.publish(dataset, "1.0.0", "--dry-run", repo=repo)
    assert ended.status == 0 and "nothing was pushed" in ended.text
    assert {request.method for request in desk.hub.requests[num_before:]} == {"GET"}
    assert repo not in desk.hub.repos
    built = {path.relative_to(dataset / "release").as_posix() for path in (dataset / "release").rglob("*.*")}
    assert {"README.md", "CHANGELOG.md", "CITATION.cff", "stats/report.json", "stats/files.json"} <= built


def test_files_of_others_on_main_stay_and_ours_that_are_gone_go(desk, repo):
    rows = [kept_row(n) for n in range(3)]
    assert desk.publish(write_dataset(desk.tmp_path / "a", rows), "1.0.0", repo=repo).status == 0
    desk.hub.commit(repo, {"notes/talk.md": b"hello", "stats/old.json": b"{}"}, title="a talk")
    later = write_dataset(desk.tmp_path / "b", [*rows, kept_row(7)])
    ended = desk.publish(later, "1.1.0", repo=repo)
    assert ended.status == 2 and "'a talk'" in ended.errors[0] and "--overwrite-main" in ended.errors[0]
    assert "v1.1.0" not in desk.hub.tags(repo)
    assert desk.publish(later, "1.1.0", "--overwrite-main", repo=repo).status == 0
    tree = desk.hub.tree(repo, "v1.1.0")
    assert "notes/talk.md" in tree and ".gitattributes" in tree and "stats/old.json" not in tree


def on_page(desk, repo, *changes):
    """Somebody edits the card on the hub's page."""
    page = desk.hub.read(repo, "main", "README.md").decode()
    for old, new in changes:
        assert old in page
        page = page.replace(old, new, 1)
    desk.hub.commit(repo, {"README.md": page.encode()}, title="Update README.md")


def test_edit_of_the_page_is_taken_over_and_survives_every_later_version(desk, repo):
    rows = [kept_row(n) for n in range(3)]
    dataset = write_dataset(desk.tmp_path / "d", rows)
    (dataset / "card.md").write_text("---\nextra_gated_prompt: Agree?\n---\n\n## Biases\n\nKnown.\n")
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0
    thanks = ("## Licences", "## Thanks\n\nTo all.\n\n## Licences")
    on_page(desk, repo, thanks, ("language:", "thumbnail: a.png\nlanguage:"))
    ended = desk.publish(dataset, "1.0.1", "--dry-run", repo=repo)
    assert ended.status == 0 and "Thanks" in ended.text and "Thanks" not in (dataset / "card.md").read_text()
    ended = desk.publish(dataset, "1.0.1", repo=repo)
    assert ended.status == 0 and "taken over" in ended.text, ended.text
    changelog = desk.hub.read(repo, "v1.0.1", "CHANGELOG.md").decode()
    assert "section Thanks" in changelog and "field thumbnail" in changelog
    again = write_dataset(dataset, [*rows, kept_row(7)])
    assert desk.publish(again, "1.1.0", repo=repo).status == 0
    for tag in ("v1.0.1", "v1.1.0"):
        page = desk.hub.read(repo, tag, "README.md").decode()
        for text in ("## Thanks\n\nTo all.", "thumbnail: a.png", "extra_gated_prompt: Agree?", "## Biases\n\nKnown."):
            assert text in page


def test_edit_of_the_page_where_it_is_computed_is_shown_and_not_dropped_unseen(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0
    on_page(desk, repo, ("## Columns\n", "## Columns\n\nmy remark\n"))
    later = write_dataset(desk.tmp_path / "e", [kept_row(0), kept_row(1)])
    ended = desk.publish(later, "1.1.0", repo=repo)
    assert ended.status == 2 and "+my remark" in ended.text and "section 'Columns'" in ended.errors[0]
    ended = desk.publish(later, "1.1.0", "--overwrite-main", repo=repo)
    assert ended.status == 0 and "+my remark" in ended.text


def test_check_of_other_rows_is_refused_not_shown(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    (dataset / "checks").mkdir()
    (dataset / "checks" / "agreement.json").write_text('{"rows_sha256": "0", "check": {}}')
    ended = desk.publish(dataset, "1.0.0", repo=repo)
    assert ended.status == 2 and "calibrate again" in ended.errors[0]
    assert repo not in desk.hub.repos


def test_folder_that_is_no_dataset_is_one_line(desk, repo):
    (desk.tmp_path / "empty").mkdir()
    write_folder(desk.tmp_path / "no_provenance", [kept_row(0)])
    for name in ("empty", "no_provenance", "absent"):
        ended = desk.publish(desk.tmp_path / name, "1.0.0", repo=repo)
        assert ended.status == 2 and len(ended.errors) == 1, ended.text
    assert repo not in desk.hub.repos


@pytest.mark.parametrize("name", ["empty", "no_provenance", "runs/typo", "file"])
def test_folder_that_cannot_be_published_is_told_before_the_hub_is_asked(desk, repo, name):
    (desk.tmp_path / "empty").mkdir()
    (desk.tmp_path / "file").touch()
    write_folder(desk.tmp_path / "no_provenance", [kept_row(0)])
    place = name if "/" in name else desk.tmp_path / name
    num_before = len(desk.hub.requests)
    ended = desk.publish(place, "1.0.0", repo=repo)
    assert ended.status == 2 and len(ended.errors) == 1 and str(place) in ended.errors[0]
    assert len(desk.hub.requests) == num_before


def test_stats_of_a_tag_are_those_of_the_folder_that_was_published(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(n) for n in range(3)])
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0
    for name, report in ((f"{repo}@v1.0.0", "hub.json"), (dataset, "folder.json")):
        assert desk.publisher.run("stats", name, "--json", desk.tmp_path / report).status == 0
    assert (desk.tmp_path / "hub.json").read_text() == (desk.tmp_path / "folder.json").read_text()


def test_private_is_kept_or_refused(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    assert desk.publish(dataset, "1.0.0", "--private", repo=repo).status == 0
    assert desk.hub.repos[repo].private
    assert desk.publish(dataset, "1.0.0", repo=f"{repo}2").status == 0
    ended = desk.publish(dataset, "1.0.0", "--private", repo=f"{repo}2")
    assert ended.status == 2 and "is public" in ended.errors[0]


# ---- what the hub may do to us -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason", "state"),
    [
        (HubFault("info", kind="reset", times=9), "cannot be reached", None),
        (HubFault("create", kind="status", status=403), "no right", "nothing of v1.0.0 is published"),
        (HubFault("create", kind="reset", times=9), "cannot be reached", "nothing of v1.0.0 is published"),
        (HubFault("validate-yaml", kind="status", status=403), "no right", "nothing of v1.0.0 is published"),
        (HubFault("preupload", kind="status", status=403), "no right", "nothing of v1.0.0 is published"),
        (HubFault("lfs-batch", kind="status", status=403), "no right", "nothing of v1.0.0 is published"),
        (HubFault("lfs-put", kind="status", status=403, times=99), "", "nothing of v1.0.0 is published"),
        (HubFault("lfs-verify", kind="status", status=404), "", "nothing of v1.0.0 is published"),
        (HubFault("commit", kind="status", status=403), "no right", "nothing of v1.0.0 is published"),
        (HubFault("commit", kind="status", status=500), "failing", "nothing of v1.0.0 is published"),
        (HubFault("commit", kind="reset"), "cannot be reached", "nothing of v1.0.0 is published"),
        (HubFault("tag", kind="status", status=403), "no right", "the tag is not set"),
        (HubFault("tag", kind="status", status=429), "rate limit", "the tag is not set"),
        (HubFault("tag", kind="reset"), "cannot be reached", "the tag is not set"),
    ],
    ids=lambda value: f"{value.endpoint}-{value.kind}-{value.status}" if isinstance(value, HubFault) else "",
)
def test_failure_at_each_call_says_what_is_published_and_a_second_run_completes_it(desk, repo, fault, reason, state):
    repo = f"{repo[:40]}-{fault.endpoint}-{fault.kind}-{fault.status}"
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(n) for n in range(3)])
    desk.hub.inject(fault)
    ended = desk.publish(dataset, "1.0.0", repo=repo)
    assert ended.status == 2, ended.text
    (error,) = ended.errors
    assert reason in error
    if state is not None:
        assert state in error and "run the same command again" in error
    assert "hf_writer" not in ended.text
    desk.hub.faults.clear()
    ended = desk.publish(dataset, "1.0.0", repo=repo)
    assert ended.status == 0, ended.text
    assert desk.hub.tags(repo) == {"v1.0.0": desk.hub.head(repo)}
    assert [title for _, title in desk.hub.commits(repo)] == ["Publish v1.0.0", "initial commit"]


@pytest.mark.parametrize("endpoint", ["info", "create", "tree", "preupload", "commit", "tag"])
@pytest.mark.parametrize("header", ["Retry-After", "RateLimit"])
def test_rate_limit_that_says_for_how_long_is_waited_out(desk, repo, endpoint, header):
    repo = f"{repo[:40]}-{endpoint}-{header}"
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    after = {"Retry-After": {"Retry-After": "1"}, "RateLimit": {"RateLimit": '"api";r=0;t=1'}}[header]
    fault = desk.hub.inject(HubFault(endpoint, status=429, headers=after))
    ended = desk.publish(dataset, "1.0.0", repo=repo)
    assert ended.status == 0, ended.text
    assert fault.num_met > 1
    assert [title for _, title in desk.hub.commits(repo)] == ["Publish v1.0.0", "initial commit"]
    assert desk.hub.tags(repo) == {"v1.0.0": desk.hub.head(repo)}


@pytest.mark.parametrize("after", ["86400", "soon", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_rate_limit_without_an_end_in_sight_is_one_line(desk, repo, after):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    desk.hub.inject(HubFault("tag", status=429, headers={"Retry-After": after}, times=99))
    ended = desk.publish(dataset, "1.0.0", repo=f"{repo}-{len(after)}")
    assert ended.status == 2 and len(ended.errors) == 1
    assert "the tag is not set" in ended.errors[0]
    assert ("Wait 86400 s" in ended.errors[0]) == (after == "86400")


@pytest.mark.parametrize("fault", [HubFault("commit", kind="hang"), HubFault("commit", status=504)])
def test_commit_that_got_no_answer_is_not_known_and_the_next_run_completes_it(desk, repo, fault):
    repo = f"{repo[:40]}-{fault.kind}"
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    desk.hub.inject(fault)
    program = "import sys; from curation import hub; hub._TIMEOUT = 1.0; from curation.__main__ import main; main()"
    environment = client_environment(desk.hub.url, desk.tmp_path / "home", "hf_writer")
    words = ["publish", dataset, "--repo", repo, "--version", "1.0.0", "--no-read-back"]
    command = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    error = done.stderr.splitlines()[-1]
    assert "it is not known whether v1.0.0 will reach main" in error and "nothing of" not in error
    desk.hub.faults.clear()
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0


@pytest.mark.parametrize("endpoint", ["commit", "tag"])
def test_reply_that_got_lost_is_looked_into_and_the_publication_goes_on(desk, repo, endpoint):
    repo = f"{repo[:40]}-{endpoint}"
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    desk.hub.inject(HubFault(endpoint, when="after", kind="reset"))
    ended = desk.publish(dataset, "1.0.0", repo=repo)
    assert ended.status == 0, ended.text
    assert desk.hub.tags(repo) == {"v1.0.0": desk.hub.head(repo)}


def test_push_of_somebody_else_between_look_and_commit_is_not_overwritten(desk, repo):
    rows = [kept_row(0)]
    assert desk.publish(write_dataset(desk.tmp_path / "a", rows), "1.0.0", repo=repo).status == 0
    later = write_dataset(desk.tmp_path / "b", [*rows, kept_row(1)])
    push = HubFault("commit", kind="call", call=lambda: desk.hub.commit(repo, {"theirs.txt": b"x"}, title="their work"))
    desk.hub.inject(push)
    ended = desk.publish(later, "1.1.0", repo=repo)
    assert ended.status == 2
    assert "somebody else has pushed" in ended.errors[0] and "nothing of v1.1.0 is published" in ended.errors[0]
    assert "--overwrite-main" in ended.errors[0] and "same command" not in ended.errors[0]
    assert set(desk.hub.tags(repo)) == {"v1.0.0"} and "theirs.txt" in desk.hub.tree(repo)


def test_two_publishers_of_one_version_cannot_both_win(desk, repo):
    rows = [kept_row(0)]
    assert desk.publish(write_dataset(desk.tmp_path / "a", rows), "1.0.0", repo=repo).status == 0
    theirs = HubFault("tag", kind="call", call=lambda: desk.hub.tag(repo, "v1.1.0", desk.hub.tags(repo)["v1.0.0"]))
    desk.hub.inject(theirs)
    ended = desk.publish(write_dataset(desk.tmp_path / "b", [*rows, kept_row(1)]), "1.1.0", repo=repo)
    assert ended.status == 2 and "never moved" in ended.errors[0]
    assert f"main shows yours (commit {desk.hub.head(repo)[:12]})" in ended.errors[0]
    assert desk.hub.tags(repo)["v1.1.0"] == desk.hub.tags(repo)["v1.0.0"]


def test_repository_that_holds_something_else_is_taken(desk, repo):
    desk.hub.commit(repo, {"model.bin": b"weights"}, title="my model")
    ended = desk.publish(write_dataset(desk.tmp_path / "d", [kept_row(0)]), "1.0.0", repo=repo)
    assert ended.status == 2 and "is taken" in ended.errors[0] and "'my model'" in ended.errors[0]
    assert not desk.hub.tags(repo)


def run_cold(desk, token, *words, home="cold"):
    """In a fresh process with a home of its own: refusals must not meet a cache."""
    environment = client_environment(desk.hub.url, desk.tmp_path / home, token)
    command = [sys.executable, "-m", "curation", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("token", "told"),
    [(None, "there is no token"), ("hf_unknown", "does not accept your token"), ("hf_reader", "no right")],
)
def test_token_that_may_not_publish_is_one_line(desk, repo, token, told):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    done = run_cold(desk, token, "publish", dataset, "--repo", repo, "--version", "1.0.0")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and told in errors[0], done.stderr
    assert "Traceback" not in done.stderr and str(token) not in done.stderr
    assert repo not in desk.hub.repos


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("org/absent", "does not exist"),
        ("org/gated", "is gated"),
        ("org/public@v9.9.9", "has no revision 'v9.9.9'"),
        ("org/public", "no dataset of this project"),
    ],
)
def test_dataset_that_the_hub_does_not_give_is_one_line(desk, name, told):
    desk.hub.commit("org/gated", {"data/train-00000-of-00001.parquet": b"x"})
    desk.hub.configure("org/gated", gated="manual")
    desk.hub.commit("org/public", {"x.txt": b"x"})
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    done = run_cold(desk, "hf_stranger", "diff", name, dataset)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert told in done.stderr.splitlines()[-1], done.stderr


def test_hub_that_is_not_there_is_one_line(desk):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    environment = client_environment("http://127.0.0.1:9", desk.tmp_path / "home", "hf_writer")
    command = [sys.executable, "-m", "curation", "publish", str(dataset), "--repo", REPO, "--version", "1.0.0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "cannot be reached" in done.stderr.splitlines()[-1]


def test_rows_that_read_back_otherwise_are_noticed(desk, repo):
    dataset = write_dataset(desk.tmp_path / "d", [kept_row(0)])
    assert desk.publish(dataset, "1.0.0", repo=repo).status == 0
    other = write_dataset(desk.tmp_path / "e", [kept_row(1)])
    program = (
        "import sys; from pathlib import Path; from curation.publish.readback import read_back, rows_of\n"
        "read_back(sys.argv[1], 'v1.0.0', rows_of(Path(sys.argv[2]) / 'release')); print('same')\n"
        "read_back(sys.argv[1], 'v1.0.0', rows_of(Path(sys.argv[3])))"
    )
    environment = client_environment(desk.hub.url, desk.tmp_path / "home", "hf_writer")
    command = [sys.executable, "-c", program, repo, str(dataset), str(other)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["same"]
    assert "reads back with other rows in config cot" in done.stderr


def test_whole_publication_through_xet(tmp_path):
    dataset = write_dataset(tmp_path / "d", [kept_row(n) for n in range(20)])
    with LoopbackHub(tmp_path / "hub") as hub:
        environment = client_environment(hub.url, tmp_path / "home", "hf_writer", xet=True)
        words = ["publish", dataset, "--repo", REPO, "--version", "1.0.0", "--no-read-back"]
        command = [sys.executable, "-m", "curation", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert hub.count("xet-token") and not hub.count("lfs-put")
        content = hub.read(REPO, "v1.0.0", "data/train-00000-of-00001.parquet")
        assert content == (dataset / "release/data/train-00000-of-00001.parquet").read_bytes()
    assert os.environ.get("HF_ENDPOINT") is None

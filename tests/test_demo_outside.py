"""Every command that looks outside, on the files that the demo plants: what it should find is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation.__main__ import main
from curation.demo_outside import NUM_FOREIGN, Planted, write_outside


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planted]:
    run_dir = tmp_path_factory.mktemp("outside") / "run"
    assert main(["demo", "--run-dir", str(run_dir), "--num-questions", "80", "--seed", "5"]) == 0
    return run_dir, write_outside(run_dir)


def test_same_run_gives_the_same_files(demo):
    run_dir, planted = demo
    before = {path: path.read_bytes() for path in (run_dir / "outside").rglob("*") if path.is_file()}
    assert write_outside(run_dir) == planted
    assert before == {path: path.read_bytes() for path in (run_dir / "outside").rglob("*") if path.is_file()}


def test_overlaps_finds_the_clips_and_the_question_that_were_planted(demo, tmp_path):
    run_dir, planted = demo
    benchmark = run_dir / "outside" / "benchmark"
    words = ["overlaps", run_dir, "--benchmark", f"bench={benchmark / 'questions.json'}"]
    words += ["--benchmark-media", f"bench={benchmark / 'videos'}", "--json", tmp_path / "o.json"]
    assert main([str(word) for word in words]) == 0
    (found,) = json.loads((tmp_path / "o.json").read_text())["benchmarks"]
    by_kind = {name: count for name, count in found.items() if isinstance(count, dict) and "num_kept" in count}
    assert sum(by_kind["sha256"].values()) == planted.num_rows_of_shared_clips > 0
    assert sum(by_kind["question"].values()) > 0
    assert sum(by_kind["path"].values()) == 0


def test_compare_release_counts_what_was_planted(demo, tmp_path):
    run_dir, planted = demo
    release = run_dir / "outside" / "release"
    parts = sorted(release.glob("demo_sft.*.json.gz"))
    words = ["compare-release", run_dir, *parts, "--rl", release / "demo_rl.part1of1.json.gz"]
    assert main([str(word) for word in [*words, "--json", tmp_path / "c.json"]]) == 0
    overlaps = json.loads((tmp_path / "c.json").read_text())["overlaps"]
    (of_all,) = [part for part in overlaps if (part["file"], part["by"]) == ("cot", "all")]
    assert (of_all["num_shared"], of_all["num_only_theirs"]) == (planted.num_release_shared, NUM_FOREIGN)


def test_media_fetch_unpacks_every_planted_file(demo, tmp_path):
    run_dir, planted = demo
    words = ["media", "fetch", run_dir, "--config", "rl", "--from", run_dir / "outside" / "mirror"]
    assert main([str(word) for word in [*words, "--media-root", tmp_path / "media"]]) == 0
    fetched = {path.relative_to(tmp_path / "media"): path for path in (tmp_path / "media").rglob("*.*")}
    clips = [path for path in fetched if path.parts[0] == "media"]
    assert clips and len(clips) <= planted.num_archived
    for path in clips:
        assert fetched[path].read_bytes() == (run_dir / "world" / path).read_bytes()

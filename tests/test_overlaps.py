"""Overlaps with benchmarks: what counts as the same name, what is read, what is marked, what a kill leaves."""

import gzip
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from curation.__main__ import main
from curation.checks import rows_sha256
from curation.errors import ConfigError, RunDirectoryError, SourceError
from curation.facts import config_files
from curation.overlaps.apply import apply_overlaps, write_details
from curation.overlaps.benchmarks import read_benchmark
from curation.overlaps.names import is_distinctive, path_keys, youtube_id_of_link, youtube_keys
from curation.overlaps.overlaps import Against, mark_overlaps
from curation.overlaps.report import OverlapReport
from curation.overlaps.signatures import list_media
from curation.overlaps.view import print_overlaps
from curation.provenance import Provenance, write_provenance
from curation.schema import CONFIGS
from tests.bench.bench_frame_hashes import copy, encode, pan
from tests.folders import kept_row, rejected_row, write_folder

QUIET = Console(file=open(os.devnull, "w"), width=80)  # noqa: SIM115, PTH123


def same_name(one: str, other: str) -> bool:
    return bool(path_keys(one) & path_keys(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("./CLEVRER/train_video/video_10000-11000/video_10009.mp4", "clevrer/video_validation/video_10009.mp4"),
        ("./STAR/Charades_v1_480/YSKX3.mp4", "star/Charades_segment/YSKX3.mp4"),
        ("./LLaVA-Video-178K/academic_source/Charades/0A8CF.mp4", "sta/sta_video/0A8CF.mp4"),
        ("./PerceptionTest/video_3.mp4", "perception/videos/video_3.mp4"),
        ("perception_test/VIDEO_3.MKV", "./Evaluation/MVBench/perception/videos/video_3.mp4"),
        ("a/S001C001P001R001A001_rgb.avi", "nturgbd_convert/S001C001P001R001A001_rgb.mp4"),
        ("./NextQA/1164/2405115279.mp4", "2405115279.mp4"),
        ("x/v_4Lu8ECLHvK4.mp4", "y/4Lu8ECLHvK4.webm"),
        ("./scannetpp/0a7cc12c0e.mp4", "scannetpp/0a7cc12c0e"),
        ("mmvu/Chemistry/0.mp4", "MMVU/videos/Chemistry/0.mp4"),
        ("./films/part two/scene.mp4", "films/part two/scene.webm"),
    ],
)
def test_the_same_video_under_two_paths(one, other):
    assert same_name(one, other) and same_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("./0.mp4", "0.mp4"),
        ("./a/b/0.mp4", "videos/Chemistry/0.mp4"),
        ("./videos/1.mp4", "videos/1.mp4"),
        ("./data/train/1.mp4", "data/train/1.mp4"),
        ("mmvu/Biology/0.mp4", "MMVU/videos/Chemistry/0.mp4"),
        ("./PerceptionTest/video_10009.mp4", "clevrer/video_validation/video_10009.mp4"),
        ("./a/video_10009.mp4", "clevrer/video_10009.mp4"),
        ("./CLEVRER/video_10009.mp4", "clevrer/video_1000.mp4"),
        ("./scannet/scene0011_00.mp4", "arkitscenes/scene0011_00.mp4"),
        ("./x/000000000012.mp4", "y/000000000012.mp4"),
        ("./x/s1e1c1.mp4", "y/s1e1c1.mp4"),
        ("./x/IMG_0001.MP4", "y/IMG_0001.mp4"),
        ("./CLEVRER/video_10009.png", "clevrer/video_10009.png"),
        ("", "."),
        ("/", "//"),
        ("....", "...."),
    ],
)
def test_trivial_stems_and_other_collections_are_no_evidence(one, other):
    assert not same_name(one, other)


def test_youtube_ids_count_where_they_stand_free():
    known = {"-MZ0GtAWnvQ", "fFjv93ACGo8"}
    assert youtube_keys("./LLaVA/ytb_-MZ0GtAWnvQ.mp4", known) == {"youtube:-MZ0GtAWnvQ"}
    assert youtube_keys("./a/fFjv93ACGo8_10_20.mp4", known) == {"youtube:fFjv93ACGo8"}
    assert youtube_keys("./youcook2/fFjv93ACGo8/split_3.mp4", known) == {"youtube:fFjv93ACGo8"}
    assert youtube_keys("./a/xfFjv93ACGo8.mp4", known) == frozenset()
    assert youtube_keys("./a/ffjv93acgo8.mp4", known) == frozenset()  # ids differ by case
    assert youtube_id_of_link("https://www.youtube.com/watch?t=3&v=6HuyUxJBY3E&x=1") == "6HuyUxJBY3E"
    assert youtube_id_of_link("https://youtu.be/6HuyUxJBY3E") == "6HuyUxJBY3E"
    assert youtube_id_of_link("https://example.org/watch?v=6HuyUxJBY3E") is None


@pytest.mark.parametrize("stem", ["video_10009", "0", "YSKX3", "scene0011_00", "dev_Biology_3", "HelloWorlds", "", "-"])
def test_words_and_numbers_are_not_distinctive(stem):
    assert not is_distinctive(stem)


LAYOUTS = {
    "test.jsonl": (
        {"id": 0, "dataset": "arkitscenes", "scene_name": "41069025", "question": "How many?", "options": None},
        "arkitscenes/41069025",
    ),
    "perception.json": (
        {"id": "dev_Biology_3", "question": "What kind of sugar is this?", "options": ["aldose", "ketose"]},
        "dev_Biology_3",
    ),
    "validation.json": (
        {
            "id": "validation_1",
            "video": "https://huggingface.co/datasets/yale-nlp/MMVU/resolve/main/videos/Chemistry/0.mp4",
            "youtube_url": "https://www.youtube.com/watch?v=6HuyUxJBY3E",
            "question": "How many grams?",
        },
        "videos/Chemistry/0.mp4",
    ),
    "input.json": (
        {"id": 3, "video_path": "video/videoEspresso/X.mp4", "question": "Why?A. x\nB. y\n"},
        "video/videoEspresso/X.mp4",
    ),
    "moving_count.json": ({"video": "video_10009.mp4", "question": "How many move?"}, "clevrer/video_10009.mp4"),
    "multi-choice.json.gz": ({"video_id": "1021488719", "question": "What is done?", "dim": "action"}, "1021488719"),
    "videomme.jsonl.gz": (
        {"video_id": "001", "videoID": "fFjv93ACGo8", "url": "https://youtu.be/fFjv93ACGo8", "question": "When?"},
        "fFjv93ACGo8",
    ),
    "eval_mvbench.json": (
        {"problem_id": 0, "problem": "What?", "path": "./Evaluation/MVBench/ssv2_video/1.mp4", "video": "1.webm"},
        "Evaluation/MVBench/ssv2_video/1.mp4",
    ),
}


def write_records(path: Path, records) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if ".jsonl" in path.name:
        text = "".join(json.dumps(record) + "\n" for record in records)
    else:
        text = json.dumps(list(records))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("file", LAYOUTS)
def test_each_benchmark_is_read_in_its_own_layout(tmp_path, file):
    record, video = LAYOUTS[file]
    benchmark = read_benchmark("B", [write_records(tmp_path / file, [record])])
    (read,) = benchmark.records
    question = record.get("question", record.get("problem"))
    assert (read.video, read.question, read.place) == (video, question.strip(), f"{file}:1")
    assert benchmark.unread == {}


def test_youtube_ids_are_taken_from_ids_and_links(tmp_path):
    for file, expected in (("validation.json", "6HuyUxJBY3E"), ("videomme.jsonl.gz", "fFjv93ACGo8")):
        (read,) = read_benchmark("B", [write_records(tmp_path / file, [LAYOUTS[file][0]])]).records
        assert read.youtube_ids == {expected}


def test_tsv_with_quoted_lines_and_parquet_configs_in_folders_are_read(tmp_path):
    (tmp_path / "VCR-Bench.tsv").write_text('index\tvideo_path\tquestion\n0\tv/a.mp4\t"Why?A. x\nB. ""y"""\n')
    (read,) = read_benchmark("VCR-Bench", [tmp_path / "VCR-Bench.tsv"]).records
    assert (read.video, read.question) == ("v/a.mp4", 'Why?A. x\nB. "y"')
    hub = tmp_path / "MVBench"
    for task, video in (("action_antonym", "1.webm"), ("character_order", "video_3.mp4")):
        (hub / task).mkdir(parents=True)
        pq.write_table(pa.table({"video": [video], "question": ["Who?"]}), hub / task / "train-00000-of-00001.parquet")
    (hub / "dataset_infos.json").write_text("{}")
    (hub / ".cache").mkdir()
    (hub / ".cache" / "x.json").write_text("nothing")
    videos = [record.video for record in read_benchmark("MVBench", [hub]).records]
    assert videos == ["ssv2_video/1.webm", "perception/video_3.mp4"]


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("a.json", '[{"question": "Why?"}]', "no video"),
        ("a.json", '[{"video": "1.mp4"}]', "no question"),
        ("a.json", '[{"question": "  ", "video": "1.mp4"}]', "no question"),
        ("a.json", '[{"id": "17", "question": "Why?"}]', "no video"),
        ("a.json", "[]", "no question"),
        ("a.jsonl", "[1, 2]\n", "no question"),
        ("a.json", '[{"question": "Why?", "video": "1.mp4"}', "breaks off"),
        ("a.tsv", "", "no question"),
        ("a.txt", "x", "cannot tell the format"),
        ("a.parquet", "x", "cannot read"),
        ("a.json.gz", "x", "no JSON"),
    ],
)
def test_a_file_without_questions_or_videos_stops_the_command(tmp_path, file, content, fault):
    (tmp_path / file).write_text(content)
    with pytest.raises(SourceError, match=fault) as raised:
        read_benchmark("B", [tmp_path / file])
    assert "\n" not in str(raised.value)


def test_single_records_that_cannot_be_read_are_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "Why?", "video": "1.mp4"}\n{"question": "Why?"}\n{"video": "x.mp4"}\n7\n{torn\n')
    benchmark = read_benchmark("B", [path])
    assert len(benchmark.records) == 3
    assert benchmark.unread == {"bad_json": 1, "no_question": 1, "no_video": 1, "not_an_object": 1}


QUESTION = "Which of the two balls rolls over the edge of the table first?"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The dataset's media, and a benchmark's: an exact copy, a re-encoded one, another clip, and four broken files."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(7)
    own, theirs = root / "own" / "clips", root / "benchmark" / "videos"
    own.mkdir(parents=True)
    theirs.mkdir(parents=True)
    for number in range(3):
        encode(own / f"{number}.mp4", list(pan(rng)), fps=12)
    encode(own / "black.mp4", [np.zeros((120, 160, 3), np.uint8)] * 20, fps=10)
    (own / "broken.mp4").write_bytes(b"no video")
    (theirs / "9.mp4").write_bytes((own / "0.mp4").read_bytes())
    copy(own / "1.mp4", theirs / "8.mp4", crf=33, scale=0.6, every=2)
    encode(theirs / "other.mp4", list(pan(rng)), fps=12)
    encode(theirs / "black.mp4", [np.zeros((90, 120, 3), np.uint8)] * 9, fps=5)
    (theirs / "cut.mp4").write_bytes((own / "0.mp4").read_bytes()[:900])
    (theirs / "empty.webm").write_bytes(b"")
    (theirs / "text.mkv").write_text("hello")
    (theirs / "gone.mp4").symlink_to(theirs / "nowhere")
    os.mkfifo(theirs / "pipe.mp4")
    (theirs / "readme.txt").write_text("not media")
    (theirs / "linked.avi").symlink_to(own / "broken.mp4")  # a hub cache links its files out of the folder
    return root


def sha256_of(path: Path) -> str:

    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_dataset(folder: Path, world: Path, *, num_files: int = 1) -> Path:
    own = world / "own" / "clips"
    kept = [
        kept_row(0, path="./clips/0.mp4", media_sha256=sha256_of(own / "0.mp4"), problem="What is this?"),
        kept_row(1, path="./clips/1.mp4", media_sha256=sha256_of(own / "1.mp4"), problem="What is that?"),
        kept_row(2, path="./clips/2.mp4", media_sha256=sha256_of(own / "2.mp4"), problem=QUESTION.upper()),
        kept_row(3, path="./clips/2.mp4", media_sha256=sha256_of(own / "2.mp4"), problem="Nothing shared"),
        kept_row(4, path="./clips/black.mp4", media_sha256=sha256_of(own / "black.mp4"), problem="Nothing shared"),
        kept_row(5, path="./CLEVRER/video_10009.mp4", media_sha256="cd" * 32, problem="Nothing shared"),
    ]
    rejected = [
        rejected_row(6, "filter:score", path="./clips/0.mp4", media_sha256=sha256_of(own / "0.mp4"), problem="No"),
        rejected_row(7, "media:corrupt", path="./clips/broken.mp4", media_sha256=None, problem=f"Well: {QUESTION}"),
        rejected_row(8, "source:bad_json", id=None, path=None, problem=None, media_sha256=None),
        rejected_row(0, "source:duplicate", path="./clips/0.mp4", media_sha256=None, problem="What is this?"),
    ]
    return write_folder(folder, kept, rejected, num_files=num_files)


def against(tmp_path: Path, world: Path, *, media: bool = True, own: bool = True) -> Against:
    records = [
        {"video": "videos/9.mp4", "question": f"{QUESTION}\nA. the red one\nB. the blue one"},
        {"video": "videos/8.mp4", "question": "What is this?"},
        {"video": "clevrer/video_10009.mp4", "question": "How many objects are moving when the video ends?"},
    ]
    write_records(tmp_path / "a.json", records)
    write_records(
        tmp_path / "b.json", [{"video": "x.mp4", "question": "Does anybody ever ask such a thing here at all?"}]
    )
    return Against(
        {"VCR-Bench": [tmp_path / "a.json"], "MMVU": [tmp_path / "b.json"]},
        {"VCR-Bench": world / "benchmark"} if media else {},
        world / "own" if own else None,
    )


def mark(folder: Path, compared_with: Against) -> OverlapReport:
    return mark_overlaps(folder, folder, compared_with, num_workers=2, console=QUIET)


def column(folder: Path, config: str) -> list[list[str] | None]:
    return [names for file in config_files(folder, config) for names in pq.read_table(file)["overlaps"].to_pylist()]


def test_every_kind_of_evidence_is_found_reported_apart_and_marked(tmp_path, world):
    folder = write_dataset(tmp_path / "dataset", world)
    report = mark(folder, against(tmp_path, world))
    vcr, mmvu = report.benchmarks
    assert {
        kind: (count.num_kept, count.num_rejected)
        for kind, count in (
            ("path", vcr.path),
            ("sha256", vcr.sha256),
            ("frames", vcr.frames),
            ("question", vcr.question),
            ("rows", vcr.rows),
        )
        # frames: clip 0 by both, clip 1 re-encoded; the rejected duplicate has no sha256 but a path to the same file.
    } == {"path": (1, 0), "sha256": (1, 1), "frames": (2, 2), "question": (1, 1), "rows": (4, 3)}
    assert (mmvu.rows.num_rows, mmvu.sha256, mmvu.frames, mmvu.media) == (0, None, None, None)
    assert (report.rows.num_kept, report.rows.num_rejected, report.num_without_id) == (6, 3, 1)
    assert report.any == vcr.rows
    assert (vcr.num_questions, vcr.num_short_questions, vcr.num_videos) == (3, 1, 3)
    assert column(folder, "cot") == [["VCR-Bench"], ["VCR-Bench"], ["VCR-Bench"], [], [], ["VCR-Bench"]]
    assert column(folder, "rejected") == [["VCR-Bench"], ["VCR-Bench"], None, ["VCR-Bench"]]
    details = pl.read_parquet(folder / "checks" / "overlaps.parquet").filter(pl.col("benchmark") == "VCR-Bench")
    by_id = {row["id"]: (row["kinds"], row["matched"]) for row in details.iter_rows(named=True) if row["media_sha256"]}
    assert by_id[f"{0:016x}"] == (["sha256", "frames"], ["videos/9.mp4", "videos/9.mp4"])
    assert by_id[f"{1:016x}"] == (["frames"], ["videos/8.mp4"])
    assert by_id[f"{2:016x}"] == (["question"], ["a.json:1"])
    assert by_id[f"{5:016x}"] == (["path"], ["clevrer/video_10009.mp4"])


def test_broken_benchmark_media_are_counted_and_never_fatal(tmp_path, world):
    report = mark(write_dataset(tmp_path / "dataset", world), against(tmp_path, world))
    media = report.benchmarks[0].media
    assert media is not None
    # Neither a dangling link nor a pipe is a file.
    assert list_media(world / "benchmark") == [
        f"videos/{name}"
        for name in ("8.mp4", "9.mp4", "black.mp4", "cut.mp4", "empty.webm", "linked.avi", "other.mp4", "text.mkv")
    ]
    assert (media.num_files, media.num_hashed, media.num_comparable, media.num_indistinct) == (8, 8, 3, 1)
    assert {fault.reason: fault.num for fault in media.unreadable} == {"corrupt": 3, "empty": 1}
    assert report.own_media is not None
    assert {fault.reason: fault.num for fault in report.own_media.unreadable} == {"corrupt": 1, "missing": 1}
    assert (report.own_media.num_comparable, report.own_media.num_indistinct) == (3, 1)


def test_what_was_not_looked_for_is_null_and_not_zero(tmp_path, world):
    folder = write_dataset(tmp_path / "dataset", world)
    report = mark(folder, against(tmp_path, world, media=False, own=False))
    vcr = report.benchmarks[0]
    assert (vcr.sha256, vcr.frames, vcr.media, report.own_media) == (None, None, None, None)
    assert vcr.rows.num_rows == 3
    report = mark(folder, against(tmp_path, world, own=False))
    assert (report.benchmarks[0].sha256, report.benchmarks[0].frames) != (None, None)
    assert report.benchmarks[0].frames is None
    # Marks are computed anew: what only frames showed is gone with them.
    assert column(folder, "cot")[1] == []


def test_media_are_measured_once_and_again_when_they_change(tmp_path, world, monkeypatch):
    folder = write_dataset(tmp_path / "dataset", world)
    compared_with = against(tmp_path, world)
    first = mark(folder, compared_with)
    journal = folder / "checks" / "overlaps.media.jsonl"
    written = journal.read_bytes()
    assert str(world).encode() not in written

    hashed = []
    monkeypatch.setattr("curation.overlaps.signatures.hash_frames", lambda frames: hashed.append(frames))
    assert mark(folder, compared_with) == first
    assert (journal.read_bytes(), hashed) == (written, [])

    # A kill in the middle of a line costs that line.
    monkeypatch.undo()
    journal.write_bytes(written[:-40])
    assert mark(folder, compared_with) == first
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "9.mp4").write_bytes((world / "own" / "clips" / "1.mp4").read_bytes())
    report = mark(folder, Against(compared_with.annotations, {"VCR-Bench": changed}, world / "own"))
    assert report.benchmarks[0].sha256 is not None
    assert (report.benchmarks[0].sha256.num_kept, report.benchmarks[0].sha256.num_rejected) == (1, 0)


def test_marking_twice_leaves_the_same_bytes(tmp_path, world):
    folder = write_dataset(tmp_path / "dataset", world, num_files=2)
    mark(folder, against(tmp_path, world))
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.parquet")}
    mark(folder, against(tmp_path, world))
    for path, (content, mtime_ns) in files.items():
        assert path.read_bytes() == content
        if "checks" not in path.parts:
            assert path.stat().st_mtime_ns == mtime_ns


def test_only_the_column_changes_and_files_keep_their_rows_and_row_groups(tmp_path, world):
    folder = write_dataset(tmp_path / "dataset", world, num_files=2)
    file = config_files(folder, "cot")[0]
    table = pq.read_table(file)
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table, row_group_size=2)
    before = {path: pq.read_table(path) for path in folder.rglob("*.parquet")}
    rows = rows_sha256(folder)
    mark(folder, against(tmp_path, world))
    assert rows_sha256(folder) == rows
    for path, table in before.items():
        after = pq.read_table(path)
        assert after.schema.equals(table.schema, check_metadata=True)
        others = [name for name in table.column_names if name != "overlaps"]
        assert after.select(others).equals(table.select(others))
        if "overlaps" not in table.column_names:  # config rl
            assert after.equals(table)
    groups = pq.ParquetFile(file).metadata
    assert [groups.row_group(place).num_rows for place in range(groups.num_row_groups)] == [2, 1]
    assert groups.row_group(0).column(0).compression == "ZSTD"


def details_of(*rows: tuple[str | None, str | None, str | None]):
    return [
        {"id": row_id, "media_sha256": sha256, "benchmark": benchmark, "kinds": [], "matched": []}
        for row_id, sha256, benchmark in rows
    ]


def test_rows_that_the_file_does_not_know_by_id_and_media_are_null_again(tmp_path):
    kept = [
        kept_row(n, media_sha256=sha256, overlaps=["Old"]) for n, sha256 in enumerate(["aa", "bb", None, "dd", "ee"])
    ]
    folder = write_folder(tmp_path / "dataset", kept, [rejected_row(9, "source:bad_json", id=None, media_sha256=None)])
    marks = details_of(
        (f"{0:016x}", "aa", "B"),
        (f"{0:016x}", "aa", "A"),
        (f"{1:016x}", "other bytes", "A"),
        (f"{2:016x}", None, None),
        (f"{3:016x}", None, "A"),
        (None, None, "A"),
    )
    write_details(tmp_path / "overlaps.parquet", marks)
    apply_overlaps(folder, tmp_path / "overlaps.parquet")
    assert column(folder, "cot") == [["A", "B"], None, [], None, None]
    assert column(folder, "rejected") == [None]


def test_a_kill_between_two_files_is_completed_by_the_next_call(tmp_path, monkeypatch):
    kept = [kept_row(n) for n in range(6)]
    whole, killed = (
        write_folder(tmp_path / name, kept, [rejected_row(9, "filter:score")], num_files=3) for name in "ab"
    )
    marks = details_of(*((f"{n:016x}", "ab" * 32, "MVBench" if n % 2 else None) for n in range(10)))
    write_details(tmp_path / "overlaps.parquet", marks)
    apply_overlaps(whole, tmp_path / "overlaps.parquet")
    replace, num_done = Path.replace, 0

    def replace_twice(self, target):
        nonlocal num_done
        num_done += 1
        if num_done > 2:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_twice)
    with pytest.raises(KeyboardInterrupt):
        apply_overlaps(killed, tmp_path / "overlaps.parquet")
    monkeypatch.undo()
    for config in CONFIGS:  # every file is whole, with the old marks or the new ones
        for file in config_files(killed, config):
            pq.read_table(file)
    assert None in column(killed, "cot") and [] in column(killed, "cot")
    apply_overlaps(killed, tmp_path / "overlaps.parquet")
    for config in CONFIGS:
        contents = [[file.read_bytes() for file in config_files(folder, config)] for folder in (whole, killed)]
        assert contents[0] == contents[1]


def test_an_empty_dataset_has_no_overlap_and_no_error(tmp_path, world):
    folder = write_folder(tmp_path / "dataset")
    report = mark(folder, against(tmp_path, world))
    assert report.rows.num_rows == report.any.num_rows == 0
    print_overlaps(report, QUIET)


def test_a_damaged_marks_file_is_one_line(tmp_path):
    folder = write_folder(tmp_path / "dataset", [kept_row(0)])
    (tmp_path / "overlaps.parquet").write_text("no parquet")
    with pytest.raises(RunDirectoryError, match="cannot read"):
        apply_overlaps(folder, tmp_path / "overlaps.parquet")


def test_statistics_and_card_of_the_folder_count_the_new_column(tmp_path, world):
    folder = write_dataset(tmp_path / "dataset", world)
    write_provenance(folder, Provenance(source="videor1", tokenizer="org/model", config={}))
    mark(folder, against(tmp_path, world))
    tallies = json.loads((folder / "stats" / "report.json").read_text())["overlaps"]
    assert {"value": "VCR-Bench", "num_kept": 4, "num_rejected": 3} in tallies
    assert "VCR-Bench" in (folder / "README.md").read_text()


def test_names_of_benchmarks_and_phrases_are_never_markup(tmp_path):
    folder = write_folder(tmp_path / "dataset", [kept_row(0, problem="[red]one two three four five six seven eight")])
    record = {"video": "[bold]x.mp4", "question": "[red] one two three four five six seven eight"}
    write_records(tmp_path / "a.json", [record])
    report = mark(folder, Against({"[blink]B[/]": [tmp_path / "a.json"]}, {}, None))
    console = Console(record=True, width=80, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    print_overlaps(report, console)
    assert "[blink]B[/]" in console.export_text()


def test_media_of_an_unknown_benchmark_and_missing_folders_are_the_users_errors(tmp_path, world):
    folder = write_folder(tmp_path / "dataset", [kept_row(0)])
    known = against(tmp_path, world).annotations
    for compared_with, fault in (
        (Against(known, {"Other": world}, None), "no --benchmark names"),
        (Against(known, {"MMVU": tmp_path / "nowhere"}, None), "no directory"),
        (Against(known, {"MMVU": folder}, None), "no video and no picture"),
        (Against(known, {}, tmp_path / "nowhere"), "media root"),
    ):
        with pytest.raises(ConfigError, match=fault):
            mark(folder, compared_with)
    assert column(folder, "cot") == [None]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--benchmark", "MVBench"], "NAME=PATH"),
        (["--benchmark", "=a.json"], "NAME=PATH"),
        (["--benchmark", "B=nowhere.json"], "no file and no folder"),
        (["--benchmark", "B=a.json", "--num-workers", "0"], "at least 1"),
        (["--benchmark", "B=a.json", "--benchmark-media", "B=x", "--benchmark-media", "B=y"], "twice"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, fault):
    folder = write_folder(tmp_path / "dataset", [kept_row(0)])
    monkeypatch.chdir(tmp_path)
    assert main(["overlaps", str(folder), *arguments]) == 2
    said = capsys.readouterr().err
    assert fault in said and said.count("\n") == 1


def test_the_command_prints_the_table_and_writes_the_report(tmp_path, world, capsys):
    folder = write_dataset(tmp_path / "dataset", world)
    annotations = against(tmp_path, world).annotations
    arguments = [f"--benchmark={name}={path}" for name, paths in annotations.items() for path in paths]
    assert main(["overlaps", str(folder), *arguments, "--json", str(tmp_path / "out" / "o.json")]) == 0
    assert "together" in capsys.readouterr().out
    report = OverlapReport.model_validate_json((tmp_path / "out" / "o.json").read_text())
    assert [part.benchmark for part in report.benchmarks] == ["VCR-Bench", "MMVU"]

"""Every trap of the seven benchmarks that lies in loading, by name, over fixtures with their exact schemas."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError, UserError
from curation.scoring.choice import parse_options
from curation.sources.shapes import build_world
from tests.benchmark_fixtures import (
    MVBENCH_SPLIT,
    NAMES,
    VIDEOR1_NAMES,
    hub_rows,
    touch,
    videor1_rows,
    write_benchmark,
    write_mmvu_mirror,
    write_videor1,
)
from tests.benchmark_fixtures.files import write_json, write_parquet
from tests.hub import LoopbackHub, client_environment
from training.benchmarks.loaders.demo import TRAINED_ON, load_demo
from training.benchmarks.loaders.layout import NOT_MULTIPLE_CHOICE, BenchmarkError, UnreadableGold
from training.benchmarks.loaders.loading import LAYOUTS, UNREADABLE_GOLD, load_hub
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.options import (
    cut_choices,
    gold_letter,
    information_options,
    letter_options,
    place_letter,
    split_option_lines,
)
from training.benchmarks.loaders.snapshot import choose_files
from training.benchmarks.loaders.tempcompass import NO_CHOICE, TASKS
from training.benchmarks.loaders.videor1_json import load_videor1
from training.benchmarks.protocols import ScoredRow, summarise
from training.benchmarks.scoring import Failure, Reply, check_gold, score_reply
from training.config import DatasetConfig
from training.data import load_split

PROTOCOLS = ("videor1", "official")


def load(name, root, protocol="official", **options):
    return load_hub(name, root / "media", source=root / "hub", protocol=protocol, **options)


def by_uid(loaded):
    return {question.uid: question for question in loaded.questions}


def rewrite(path, change):
    """Change the rows of a JSON file in place."""
    rows = json.loads(path.read_text())
    change(rows)
    write_json(path, rows)


@pytest.fixture(params=NAMES)
def written(request, tmp_path):
    write_benchmark(request.param, tmp_path)
    return request.param, tmp_path


# --- one question type -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_question_of_every_benchmark_has_a_gold_that_scores_one(written, protocol):
    name, root = written
    loaded = load(name, root, protocol)
    assert loaded.questions and not loaded.missing
    for question in loaded.questions:
        check_gold(question.gold)
        score = score_reply(question.gold, Reply(f"<answer>{question.answer}</answer>"), protocol)
        assert (score.score, score.failure) == (1, None), question
        assert question.media.file.is_file() and question.media.file == root / "media" / question.media.name
        assert question.benchmark == name and question.groups["task"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fixtures_cover_every_kind_that_the_hub_layouts_have(tmp_path, protocol):
    kinds = Counter()
    for name in NAMES:
        write_benchmark(name, tmp_path / name)
        kinds.update(question.kind for question in load(name, tmp_path / name, protocol).questions)
    open_kinds = {"interval", "box", "open"} if protocol == "official" else set()
    assert set(kinds) == {"mc", "yesno", "match", "numeric", "regression"} | open_kinds


@pytest.mark.parametrize("name", VIDEOR1_NAMES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_video_r1_files_give_the_same_type(tmp_path, name, protocol):
    loaded = load_videor1(name, write_videor1(name, tmp_path), tmp_path, protocol=protocol)
    assert len(loaded.questions) == len(videor1_rows.ROWS[name]) and not loaded.missing
    for question in loaded.questions:
        check_gold(question.gold)
        assert score_reply(question.gold, Reply(f"<answer>{question.answer}</answer>"), protocol).score == 1


def test_both_layouts_agree_on_a_question(tmp_path):
    write_benchmark("video_mme", tmp_path)
    file = write_videor1("video_mme", tmp_path / "videor1")
    ours = load("video_mme", tmp_path).questions[0]
    theirs = load_videor1("video_mme", file, tmp_path / "videor1", protocol="official").questions[0]
    expected = replace(ours, uid="1", media=theirs.media)
    assert theirs == expected and theirs.media.name == f"Evaluation/VideoMME/{ours.media.name}"


def test_video_r1_file_covers_every_problem_type_and_data_type_that_it_has():
    rows = [row for found in videor1_rows.ROWS.values() for row in found]
    kinds = {"multiple choice", "numerical", "regression", "OCR", "free-form"}
    assert {row["problem_type"] for row in rows} == kinds
    assert {row["data_type"] for row in rows} == {"video", "frame"}


def test_fixtures_are_what_the_datasets_library_reads_too(written, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    name, root = written
    layout = LAYOUTS[name]
    config = {"mmvu": "default", "vcr_bench": "default"}.get(name, layout.default_parts[-1])
    split = MVBENCH_SPLIT if name == "mvbench" else layout.split
    rows = datasets.load_dataset(str(root / "hub"), config, split=split, cache_dir=str(tmp_path / "cache"))
    known = layout.columns.known
    assert set(rows.column_names) <= known and layout.columns.required <= set(rows.column_names)
    assert layout.split == split


# --- columns -----------------------------------------------------------------------------------------------------


def change_file(name, root, change):
    """Change every row of the first annotation file."""
    file = next(path for path in sorted((root / "hub").rglob("*")) if path.suffix in (".json", ".jsonl", ".parquet"))
    if file.suffix == ".parquet":
        rows = pq.read_table(file).to_pylist()
        change(rows)
        write_parquet(file, rows)
    elif file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        change(rows)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        rewrite(file, change)
    return file


@pytest.mark.parametrize("value", [1, "text", None, [{"a": [1.5]}]])
def test_column_that_a_repository_adds_is_noted_and_changes_no_question(written, value):
    name, root = written
    plain = load(name, root)
    assert plain.extra_columns == () and "columns not read" not in plain.describe()
    change_file(name, root, lambda rows: [row.update(surprise=value, another="x") for row in rows])
    loaded = load(name, root)
    assert loaded.questions == plain.questions and loaded.left_out == plain.left_out
    assert loaded.extra_columns == ("another", "surprise")
    assert "columns not read: another, surprise" in loaded.describe()


RETYPED = ({"a": 1}, [1, None], True)


@pytest.mark.parametrize("value", RETYPED, ids=repr)
def test_column_of_another_type_is_one_line_that_names_it(tmp_path, value):
    columns = {
        "vsi_bench": ("question_type", "question", "ground_truth", "options"),
        "mmvu": ("question", "choices", "answer"),
        "vcr_bench": ("question", "multiple-choice", "choices", "answer", "duration"),
        "mvbench": ("video", "question", "candidates", "answer"),
        "video_mme": ("options", "answer", "videoID"),
    }
    for name, names in columns.items():
        for column in names:
            if (column, value) in (("multiple-choice", True), ("choices", {"a": 1})):
                continue  # of the right type
            root = tmp_path / name / column
            write_benchmark(name, root)
            change_file(name, root, lambda rows, column=column: [row.update({column: value}) for row in rows])
            with pytest.raises(BenchmarkError, match=rf"^[^\n]*{column}[^\n]*$") as caught:
                load(name, root)
            assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("number", [4, 4.0, 2.9, -1, 0])
def test_number_where_a_number_is_meant_is_the_same_as_its_text(tmp_path, number):
    write_benchmark("vsi_bench", tmp_path / "hub_layout")
    file = next((tmp_path / "hub_layout/hub").glob("test.jsonl"))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["ground_truth"] = number
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert load("vsi_bench", tmp_path / "hub_layout").questions[0].answer == str(number)
    file = write_videor1("vsi_bench", tmp_path / "videor1")
    rewrite(file, lambda rows: rows[0].update(solution=number))
    loaded = load_videor1("vsi_bench", file, tmp_path / "videor1", protocol="videor1")
    assert loaded.questions[0].answer == str(number)


def test_options_that_are_numbers_are_their_texts(tmp_path):
    write_benchmark("mmvu", tmp_path)
    rewrite(tmp_path / "hub/validation.json", lambda rows: rows[0].update(choices={"A": 10, "B": 5.5, "C": None}))
    assert load("mmvu", tmp_path).questions[0].options == ("A. 10", "B. 5.5")
    write_benchmark("mvbench", tmp_path)
    file = tmp_path / "hub/json/moving_count.json"
    rewrite(file, lambda rows: rows[0].update(candidates=[1, 2, 3], answer=3))
    question = by_uid(load("mvbench", tmp_path))["moving_count/0"]
    assert (question.options, question.answer) == (("A. 1", "B. 2", "C. 3"), "C")


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_row_without_a_gold_is_left_out_and_counted(tmp_path, nothing):
    write_benchmark("mmvu", tmp_path)
    rows = [hub_rows.MMVU[0] | {"id": f"validation_{number}"} for number in range(200)]
    rows[7]["answer"] = nothing
    write_json(tmp_path / "hub/validation.json", rows)
    assert load("mmvu", tmp_path).left_out == {UNREADABLE_GOLD: 1}


def test_missing_column_is_one_line_that_names_it(written):
    name, root = written
    for column in sorted(LAYOUTS[name].columns.required):
        write_benchmark(name, root)
        change_file(name, root, lambda rows, column=column: [row.pop(column) for row in rows])
        with pytest.raises(BenchmarkError, match=f"{LAYOUTS[name].title}.*lacks the column {column}[^\n]*$"):
            load(name, root)


def test_column_that_one_row_lacks_is_missing_there(tmp_path):
    write_benchmark("mvbench", tmp_path)
    file = tmp_path / "hub/json/action_sequence.json"
    row = json.loads(file.read_text())[0]
    write_json(file, [row, {key: value for key, value in row.items() if key != "candidates"}])
    with pytest.raises(BenchmarkError, match=r"action_sequence\.json:2: it lacks the column candidates"):
        load("mvbench", tmp_path)


def test_video_r1_file_notes_a_foreign_column_and_not_those_of_its_benchmark(tmp_path):
    file = write_videor1("mvbench", tmp_path)
    plain = load_videor1("mvbench", file, tmp_path, protocol="videor1")
    rewrite(file, lambda rows: rows[1].update(sub_category="of Video-MME"))
    loaded = load_videor1("mvbench", file, tmp_path, protocol="videor1")
    assert (plain.extra_columns, loaded.extra_columns) == ((), ("sub_category",))
    assert loaded.questions == plain.questions


def test_benchmark_of_the_same_name_is_not_read_as_vcr_bench(tmp_path):
    """T1: pritamqu/VCRBench orders clips; lmms-eval calls it vcrbench."""
    write_benchmark("vcr_bench", tmp_path)
    foreign = [{"ID": 0, "Goal": "Make tea", "Shuffled": "3,1,2", "Answer": "2,3,1"}]
    write_json(tmp_path / "hub/v1/videos/meta_info_video.json", foreign)
    with pytest.raises(BenchmarkError, match=r"lacks the column answer.*VLM-Reasoning/VCR-Bench"):
        load("vcr_bench", tmp_path)


@pytest.mark.parametrize("content", [b"{}", b"[", b"[1]", b"[]"])
def test_damaged_annotations_are_one_line(tmp_path, content):
    write_benchmark("mmvu", tmp_path)
    (tmp_path / "hub/validation.json").write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"^MMVU[^\n]*validation\.json[^\n]*$"):
        load("mmvu", tmp_path)


def test_link_to_annotations_that_are_gone_is_one_line(tmp_path):
    write_benchmark("mmvu", tmp_path)
    (tmp_path / "hub/validation.json").rename(tmp_path / "blob")
    (tmp_path / "hub/validation.json").symlink_to(tmp_path / "gone")
    with pytest.raises(BenchmarkError, match=r"cannot read .*validation\.json: No such file"):
        load("mmvu", tmp_path)


def test_damaged_parquet_is_one_line(tmp_path):
    write_benchmark("video_mme", tmp_path)
    next((tmp_path / "hub/videomme").iterdir()).write_bytes(b"PAR1 no more")
    with pytest.raises(BenchmarkError, match=r"^Video-MME: cannot read videomme/[^\n]*Fetch it again\.$"):
        load("video_mme", tmp_path)


# --- missing media, rows left out --------------------------------------------------------------------------------


def test_missing_video_is_reported_and_stays_in_the_denominator(written):
    """T9."""
    name, root = written
    whole = load(name, root, "videor1")
    victim = whole.questions[0].media
    victim.file.unlink()
    loaded = load(name, root, "videor1")
    assert [question.uid for question in loaded.questions] == [question.uid for question in whole.questions]
    expected = [question.uid for question in whole.questions if question.media.name == victim.name]
    if name == "videommmu":  # question_only/ has a file of the same name, which is no stand-in
        assert all("question_only" not in question.media.name for question in loaded.questions)
    assert [question.uid for question in loaded.missing] == expected
    assert set(loaded.missing_media.values()) == {"missing"} and len(loaded.missing_media) == 1
    assert f"{len(expected)} without their media" in loaded.describe()
    rows = [
        ScoredRow(
            question.uid,
            question.kind,
            question.groups,
            score_reply(question.gold, Reply(question.answer, is_missing_video=question.is_missing), "videor1"),
        )
        for question in loaded.questions
    ]
    summary = summarise(name, "videor1", rows)
    assert summary.every.num_rows == len(whole.questions)
    assert summary.every.failures[Failure.MISSING_VIDEO] == len(expected)


def test_absent_media_root_is_an_error_and_not_a_thousand_missing_videos(tmp_path):
    write_benchmark("mmvu", tmp_path)
    with pytest.raises(ConfigError, match=r"media root .*nowhere is no directory"):
        load_hub("mmvu", tmp_path / "nowhere", source=tmp_path / "hub", protocol="videor1")


def test_name_that_leads_out_of_the_media_root_is_missing(tmp_path):
    write_benchmark("vcr_bench", tmp_path)
    touch(tmp_path / "secret.mp4")
    file = tmp_path / "hub/v1/videos/meta_info_video.json"
    rewrite(file, lambda rows: rows[0].update(video_path="../secret.mp4"))
    rewrite(file, lambda rows: rows[2].update(video_path=str(tmp_path / "secret.mp4")))
    loaded = load("vcr_bench", tmp_path)
    assert sorted(loaded.missing_media.values()) == ["outside_root", "outside_root"]
    assert {question.uid for question in loaded.missing} == {"0", "2"}


def test_links_of_the_hubs_cache_are_media(tmp_path):
    write_benchmark("mmvu", tmp_path)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for video in sorted((tmp_path / "media").rglob("*.mp4")):
        blob = blobs / str(len(list(blobs.iterdir())))
        video.rename(blob)
        video.symlink_to(blob)
    assert not load("mmvu", tmp_path).missing


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mmvu_is_its_multiple_choice_rows_and_counts_the_others(tmp_path, protocol):
    write_benchmark("mmvu", tmp_path)
    loaded = load("mmvu", tmp_path, protocol)
    assert [question.uid for question in loaded.questions] == ["validation_1", "validation_2"]
    assert loaded.left_out == {NOT_MULTIPLE_CHOICE: 1} and loaded.num_rows == 3
    assert "2 of 3 rows" in loaded.describe() and "left out: not multiple choice 1" in loaded.describe()


def test_vcr_bench_is_multiple_choice_under_videor1_and_all_rows_under_official(tmp_path):
    write_benchmark("vcr_bench", tmp_path)
    ours, official = load("vcr_bench", tmp_path, "videor1"), load("vcr_bench", tmp_path)
    assert [question.kind for question in ours.questions] == ["mc"]
    assert ours.left_out == {NOT_MULTIPLE_CHOICE: 3} and ours.num_rows == official.num_rows == 4
    assert [question.kind for question in official.questions] == ["open", "mc", "interval", "box"]
    assert official.left_out == {}


def test_gold_that_is_no_answer_is_left_out_and_counted(tmp_path):
    write_benchmark("mmvu", tmp_path)
    file = tmp_path / "hub/validation.json"
    rows = [hub_rows.MMVU[0] | {"id": f"validation_{number}"} for number in range(200)]
    rows[7]["answer"] = "B and D"
    write_json(file, rows)
    loaded = load("mmvu", tmp_path)
    assert loaded.left_out == {UNREADABLE_GOLD: 1} and loaded.num_rows == 200


def test_many_golds_that_are_no_answer_mean_a_misread_layout(tmp_path):
    write_benchmark("mmvu", tmp_path)
    rewrite(tmp_path / "hub/validation.json", lambda rows: rows[0].update(answer="F"))
    with pytest.raises(BenchmarkError, match=r"validation\.json:1: 'F' is none of 5 options.*1 of 3 rows"):
        load("mmvu", tmp_path)


def test_id_that_occurs_twice_is_an_error(tmp_path):
    write_benchmark("mmvu", tmp_path)
    rewrite(tmp_path / "hub/validation.json", lambda rows: rows[1].update(id="validation_1"))
    with pytest.raises(BenchmarkError, match="'validation_1' occurs twice"):
        load("mmvu", tmp_path)


def test_revision_changes_with_a_byte_of_the_annotations_and_with_nothing_else(written):
    name, root = written
    before = load(name, root)
    touch(root / "hub/other.zip")
    assert load(name, root).revision == before.revision
    change_file(name, root, lambda rows: [row.update(question=row["question"] + " ") for row in rows])
    assert load(name, root).revision != before.revision


# --- files and parts ---------------------------------------------------------------------------------------------


def test_part_without_a_file_is_an_error_and_never_a_smaller_benchmark(tmp_path):
    write_benchmark("mvbench", tmp_path)
    (tmp_path / "hub/json/scene_transition.json").unlink()
    with pytest.raises(BenchmarkError, match=r"has no file json/scene_transition\.json"):
        load("mvbench", tmp_path)
    assert len(load("mvbench", tmp_path, parts=["action_antonym"]).questions) == 1


def test_pruned_config_reads_the_pruned_file(tmp_path):
    """T12: a harness's `pruned` loads `full`."""
    write_benchmark("vsi_bench", tmp_path)
    assert len(load("vsi_bench", tmp_path).questions) == 10
    assert set(by_uid(load("vsi_bench", tmp_path, parts=["debiased"]))) == {"0", "1", "2", "3"}
    pruned = load("vsi_bench", tmp_path, parts=["pruned"])
    assert set(by_uid(pruned)) == {"4", "5", "6", "7", "8", "9"}
    assert pruned.num_published == load("vsi_bench", tmp_path).num_published == 5_130  # it is a part of the benchmark


def test_some_parts_or_some_rows_are_told_from_the_whole_benchmark(tmp_path):
    write_benchmark("mvbench", tmp_path)
    some = load("mvbench", tmp_path, parts=["action_count", "moving_count"])
    assert some.num_published == 4_000 and "(4,000 are published)" in some.describe()
    published = {}
    for name in VIDEOR1_NAMES:
        file = write_videor1(name, tmp_path / name)
        published[name] = load_videor1(name, file, tmp_path / name, protocol="videor1").num_published
    assert published == {
        "vsi_bench": 5_130,
        "videommmu": 900,
        "mmvu": 625,
        "mvbench": 4_000,
        "tempcompass": None,
        "video_mme": 2_700,
    }


def test_unknown_part_and_unknown_benchmark_are_named(tmp_path):
    write_benchmark("videommmu", tmp_path)
    with pytest.raises(BenchmarkError, match=r"no part 'Recall'; it has Perception, Comprehension, Adaptation"):
        load("videommmu", tmp_path, parts=["Recall"])
    with pytest.raises(BenchmarkError, match="no benchmark 'vcrbench'; there are vsi_bench"):
        load_hub("vcrbench", tmp_path / "media", source=tmp_path / "hub", protocol="official")


def test_readme_configs_go_before_the_known_names(tmp_path):
    write_benchmark("video_mme", tmp_path)
    (tmp_path / "hub/videomme").rename(tmp_path / "hub/elsewhere")
    readme = tmp_path / "hub/README.md"
    readme.write_text(readme.read_text().replace("videomme/test-*", "elsewhere/test-*"))
    assert len(load("video_mme", tmp_path).questions) == 3
    readme.unlink()
    with pytest.raises(BenchmarkError, match="has no file"):
        load("video_mme", tmp_path)


def test_star_of_a_pattern_stays_within_its_folder():
    layout = replace(LAYOUTS["video_mme"], parts={"videomme": ("test*.parquet", "**/test*.parquet")})
    names = ["old/test.parquet", "test-0.parquet", "test-1.parquet"]
    chosen = choose_files(layout, names, "", ["videomme"], place="x")
    assert chosen == {"videomme": ("test-0.parquet", "test-1.parquet")}
    chosen = choose_files(layout, names[:1], "---\nconfigs: [", ["videomme"], place="x")
    assert chosen == {"videomme": ("old/test.parquet",)}


def test_rows_are_numbered_on_over_the_files_of_a_part(tmp_path):
    write_benchmark("tempcompass", tmp_path)
    folder = tmp_path / "hub/yes_no"
    rows = hub_rows.TEMPCOMPASS["yes_no"]
    (folder / "test-00000-of-00001.parquet").unlink()
    write_parquet(folder / "test-00000-of-00002.parquet", rows[:1])
    write_parquet(folder / "test-00001-of-00002.parquet", rows[1:])
    loaded = load("tempcompass", tmp_path, parts=["yes_no"])
    assert [question.uid for question in loaded.questions] == ["yes_no/0", "yes_no/1", "yes_no/2"]


# --- VSI-Bench ---------------------------------------------------------------------------------------------------


def test_vsi_bench_keeps_its_ten_types_and_three_levels_apart(tmp_path):
    """T2, T12: the mean over eight tasks needs each type, the three levels included."""
    write_benchmark("vsi_bench", tmp_path)
    questions = load("vsi_bench", tmp_path).questions
    assert len({question.groups["task"] for question in questions}) == 10
    levels = [question.groups["difficulty"] for question in questions if "difficulty" in question.groups]
    assert levels == ["easy", "medium", "hard"]
    assert Counter(question.kind for question in questions) == {"regression": 4, "mc": 6}
    assert {question.groups["source"] for question in questions} == {"arkitscenes", "scannet", "scannetpp"}


def test_vsi_bench_type_that_nobody_knows_is_an_error(tmp_path):
    write_benchmark("vsi_bench", tmp_path)
    change_file("vsi_bench", tmp_path, lambda rows: rows[0].update(question_type="object_weight"))
    with pytest.raises(BenchmarkError, match=r"test\.jsonl:1: question_type is 'object_weight', which is none of"):
        load("vsi_bench", tmp_path)


def test_vsi_bench_number_with_options_is_an_error(tmp_path):
    write_benchmark("vsi_bench", tmp_path)
    change_file("vsi_bench", tmp_path, lambda rows: rows[0].update(options=["A. 1", "B. 2"]))
    with pytest.raises(BenchmarkError, match="object_counting has 2 options"):
        load("vsi_bench", tmp_path)


# --- VideoMMMU ---------------------------------------------------------------------------------------------------


def test_videommmu_shows_the_full_video_and_never_the_clip_of_the_question(tmp_path):
    """T3."""
    write_benchmark("videommmu", tmp_path)
    for question in load("videommmu", tmp_path).questions:
        assert "question_only" not in question.media.name and not question.media.name.endswith("_image.mp4")


def test_videommmu_of_a_video_r1_file_shows_the_full_video_too(tmp_path):
    """T3: the published JSON pointed at question_only/<id>_image.mp4."""
    file = write_videor1("videommmu", tmp_path)
    clip = tmp_path / "Evaluation/VideoMMMU/question_only/test_Physics_7_image.mp4"
    touch(clip)
    assert by_uid(load_videor1("videommmu", file, tmp_path, protocol="videor1"))["2"].media.name == (
        "Evaluation/VideoMMMU/test_Physics_7.mp4"
    )
    (tmp_path / "Evaluation/VideoMMMU/test_Physics_7.mp4").unlink()
    found = by_uid(load_videor1("videommmu", file, tmp_path, protocol="videor1"))["2"].media
    assert (found.file, found.missing, found.name) == (None, "missing", "Evaluation/VideoMMMU/test_Physics_7.mp4")
    touch(tmp_path / "unpacked/Science/test_Physics_7.mp4")
    found = by_uid(load_videor1("videommmu", file, tmp_path, protocol="videor1"))["2"].media
    assert found.name == "unpacked/Science/test_Physics_7.mp4"


def test_videommmu_exam_picture_is_kept_beside_the_whole_video(tmp_path):
    """T5: the picture is also the video's last frames, so no part of the video may be left out."""
    write_benchmark("videommmu", tmp_path)
    questions = by_uid(load("videommmu", tmp_path))
    exam = questions["Adaptation/dev_Biology_3"].media
    assert exam.image == b"\x89PNG invented" and (exam.start_s, exam.end_s) == (None, None)
    assert questions["Adaptation/test_Physics_7"].media.image is None
    assert questions["Perception/dev_Biology_3"].media.image is None


@pytest.mark.parametrize("image", [{"bytes": b"\x89PNG", "path": None}, {"bytes": None, "path": "images/gone.png"}])
def test_videommmu_shows_the_video_alone_under_videor1(tmp_path, image):
    write_benchmark("videommmu", tmp_path)
    file = tmp_path / "hub/Adaptation/test-00000-of-00001.parquet"
    write_parquet(file, [row | {"image": image} for row in hub_rows.VIDEOMMMU["Adaptation"]])
    for question in load("videommmu", tmp_path, "videor1").questions:
        assert (question.media.image, question.media.missing) == (None, None)


def lecture(tmp_path, answer, options=()):
    """The question of a row with this gold."""
    write_benchmark("videommmu", tmp_path)
    row = hub_rows.VIDEOMMMU["Adaptation"][1] | {"answer": answer, "options": list(options)}
    write_parquet(tmp_path / "hub/Adaptation/test-00000-of-00001.parquet", [row])
    return by_uid(load("videommmu", tmp_path))["Adaptation/test_Physics_7"]


@pytest.mark.parametrize("gold", ["A", "C", "(B)", "D.", "J"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_videommmu_letter_without_options_is_a_choice_and_no_letter_of_any_answer(tmp_path, gold, protocol):
    question = lecture(tmp_path, gold)
    letter = next(char for char in gold if char.isalpha())
    assert (question.kind, question.answer, question.options) == ("mc", letter, ())
    other = "B" if letter != "B" else "A"
    for output, score in (
        (letter, 1),
        (other, 0),
        ("A car passes a crossing, and each driver can see a cab.", 0),
        ("Chlorine", 0),
    ):
        assert score_reply(question.gold, Reply(f"<answer>{output}</answer>"), protocol).score == score, output


@pytest.mark.parametrize("gold", ["no", "x", "a", "ion", "24/7", "redox reaction"])
def test_videommmu_gold_text_is_whole_words_of_the_answer(tmp_path, gold):
    question = lecture(tmp_path, gold)
    assert question.kind == "numeric"
    right = [gold, gold.upper(), f"The answer is {gold}.", f"**{gold}**"]
    wrong = [
        "A north wind makes an exact reaction zone.",
        "nothing",
        "It is an axion.",
        "x-a-no" if len(gold) == 1 else "-",
    ]
    for output in right:
        assert score_reply(question.gold, Reply(f"<answer>{output}</answer>"), "official").score == 1, output
    for output in wrong:
        assert score_reply(question.gold, Reply(f"<answer>{output}</answer>"), "official").score == 0, output


@pytest.mark.parametrize("gold", ["['1/4', '0.25']", '["1/4", "0.25"]', ["1/4", "0.25"], "[' 0.25 ','one quarter']"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_videommmu_list_of_golds_is_met_by_any_of_them(tmp_path, gold, protocol):
    write_benchmark("videommmu", tmp_path)
    row = hub_rows.VIDEOMMMU["Adaptation"][1] | {"answer": gold}
    write_parquet(tmp_path / "hub/Adaptation/test-00000-of-00001.parquet", [row])
    question = by_uid(load("videommmu", tmp_path, protocol))["Adaptation/test_Physics_7"]
    assert score_reply(question.gold, Reply("<answer>0.25</answer>"), protocol).score == 1
    assert score_reply(question.gold, Reply("<answer>0.26</answer>"), protocol).score == 0


def test_gold_that_nothing_could_meet_under_its_protocol_is_left_out_and_counted(tmp_path):
    rows = [
        videor1_rows.ROWS["vsi_bench"][0] | {"problem_id": number, "problem_type": "numerical"} for number in range(200)
    ]
    rows[3]["solution"] = "<answer>two of them</answer>"  # Video-R1 compares numbers
    file = write_videor1("vsi_bench", tmp_path)
    write_json(file, rows)
    videor1, official = (load_videor1("vsi_bench", file, tmp_path, protocol=protocol) for protocol in PROTOCOLS)
    assert videor1.left_out == {UNREADABLE_GOLD: 1} and official.left_out == {}


def test_videommmu_picture_that_only_has_a_path_is_found_or_missing(tmp_path):
    write_benchmark("videommmu", tmp_path)
    file = tmp_path / "hub/Adaptation/test-00000-of-00001.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[0]["image"] = {"bytes": None, "path": "images/exam.png"}
    write_parquet(file, rows)
    media = by_uid(load("videommmu", tmp_path))["Adaptation/dev_Biology_3"].media
    assert (media.missing, media.image) == ("missing image", None) and media.file is not None
    touch(tmp_path / "media/images/exam.png")
    media = by_uid(load("videommmu", tmp_path))["Adaptation/dev_Biology_3"].media
    assert (media.missing, media.image) == (None, tmp_path / "media/images/exam.png")


def test_letters_go_past_d_up_to_n(tmp_path):
    """T6: ten options are the rule in VideoMMMU, and there are fourteen."""
    write_benchmark("videommmu", tmp_path)
    questions = by_uid(load("videommmu", tmp_path))
    ten, fourteen = questions["Perception/dev_Biology_3"], questions["Comprehension/dev_Biology_3"]
    assert "".join(ten.letters) == "ABCDEFGHIJ" and ten.answer == "J" and ten.options[9] == "J. jade"
    assert "".join(fourteen.letters) == "ABCDEFGHIJKLMN" and fourteen.answer == "N"


def test_blank_options_keep_their_letters(tmp_path):
    """Two rows have their choices in the picture only."""
    write_benchmark("videommmu", tmp_path)
    blank = by_uid(load("videommmu", tmp_path))["Comprehension/validation_Basic_Medical_Science_10"]
    assert (blank.kind, blank.letters, blank.answer) == ("mc", ("A", "B", "C", "D"), "D")


def test_rows_tagged_open_that_have_options_are_multiple_choice(tmp_path):
    write_benchmark("videommmu", tmp_path)
    questions = by_uid(load("videommmu", tmp_path))
    assert questions["Perception/validation_Basic_Medical_Science_10"].kind == "mc"
    assert questions["Adaptation/test_Physics_7"].kind == "numeric"


def test_videommmu_tracks_and_subjects_are_groups(tmp_path):
    write_benchmark("videommmu", tmp_path)
    questions = load("videommmu", tmp_path).questions
    assert Counter(question.groups["task"] for question in questions) == dict.fromkeys(
        ("perception", "comprehension", "adaptation"), 2
    )
    assert {question.groups["subject"] for question in questions} == {"Biology", "Basic_Medical_Science", "Physics"}


# --- MMVU --------------------------------------------------------------------------------------------------------


def test_mmvu_mirror_has_the_same_questions(tmp_path):
    """T13: the datasets moved, and a column has another name there."""
    write_benchmark("mmvu", tmp_path)
    write_mmvu_mirror(tmp_path / "mirror")
    original = load("mmvu", tmp_path)
    mirror = load_hub("mmvu", tmp_path / "media", source=tmp_path / "mirror", protocol="official")
    assert mirror.questions == original.questions and mirror.left_out == original.left_out


def test_mmvu_without_either_video_column_names_both(tmp_path):
    write_benchmark("mmvu", tmp_path)
    rewrite(tmp_path / "hub/validation.json", lambda rows: [row.pop("video") for row in rows])
    with pytest.raises(BenchmarkError, match="lacks the column video or video_path"):
        load("mmvu", tmp_path)


def test_mmvu_subject_is_the_folder(tmp_path):
    write_benchmark("mmvu", tmp_path)
    assert by_uid(load("mmvu", tmp_path))["validation_2"].groups["subject"] == "Computer_Science"


def test_mmvu_videos_may_lie_in_the_root_itself(tmp_path):
    write_benchmark("mmvu", tmp_path)
    loaded = load_hub("mmvu", tmp_path / "media/videos", source=tmp_path / "hub", protocol="official")
    assert not loaded.missing and loaded.questions[0].media.name == "Chemistry/0.mp4"


# --- VCR-Bench ---------------------------------------------------------------------------------------------------


def test_vcr_bench_options_are_not_shown_twice(tmp_path):
    """They stand in the question already, the first right behind its last word."""
    write_benchmark("vcr_bench", tmp_path)
    question = by_uid(load("vcr_bench", tmp_path))["1"]
    assert question.text == "Why did nobody see it?"
    assert question.options == ("A. It was dark.", "B. It was far.", "C. It hid.", "D. It left.")


def test_vcr_bench_as_tsv_has_the_same_questions(tmp_path):
    write_benchmark("vcr_bench", tmp_path)
    expected = load("vcr_bench", tmp_path).questions
    (tmp_path / "hub/v1/videos/meta_info_video.json").unlink()
    (tmp_path / "hub/README.md").unlink()
    names = ("index", *hub_rows.VCR_BENCH[0])
    quoted = lambda value: '"' + str(value).replace('"', '""') + '"'  # noqa: E731
    rows = [{"index": row["id"], **row} for row in hub_rows.VCR_BENCH]
    lines = ["\t".join(names), *("\t".join(quoted(row[name]) for name in names) for row in rows)]
    (tmp_path / "hub/VCR-Bench.tsv").write_text("\n".join(lines) + "\n")
    assert load("vcr_bench", tmp_path).questions == expected
    with (tmp_path / "hub/VCR-Bench.tsv").open("a") as stream:
        stream.write("\t".join(["x"] * 12) + "\n")
    with pytest.raises(BenchmarkError, match=r"VCR-Bench\.tsv:5: it has more fields than the header"):
        load("vcr_bench", tmp_path)


def test_vcr_bench_bands_of_duration(tmp_path):
    write_benchmark("vcr_bench", tmp_path)
    durations = {60: "short", 61: "medium", 300: "medium", 301: "long"}
    file = tmp_path / "hub/v1/videos/meta_info_video.json"
    rewrite(file, lambda rows: [row.update(duration=s) for row, s in zip(rows, durations, strict=True)])
    found = [question.groups["duration"] for question in load("vcr_bench", tmp_path).questions]
    assert found == list(durations.values())


# --- MVBench -----------------------------------------------------------------------------------------------------


def test_mvbench_bounds_apply_to_whole_files_and_not_to_cut_ones(tmp_path):
    write_benchmark("mvbench", tmp_path)
    questions = by_uid(load("mvbench", tmp_path))
    whole, cut = questions["action_sequence/0"].media, questions["action_localization/0"].media
    assert (whole.start_s, whole.end_s) == (11.1, 19.6)
    assert cut.name == "sta/sta_video_segment/BBBBB.mp4" and (cut.start_s, cut.end_s) == (None, None)
    touch(tmp_path / "media/star/Charades_segment/AAAAA.mp4")
    cut = by_uid(load("mvbench", tmp_path))["action_sequence/0"].media
    assert (cut.name, cut.start_s) == ("star/Charades_segment/AAAAA.mp4", None)


CUT_TASKS = ("action_sequence", "action_prediction", "object_interaction", "action_localization", "episodic_reasoning")


def test_mvbench_shows_whole_videos_under_videor1_wherever_they_are(tmp_path):
    write_benchmark("mvbench", tmp_path)
    shutil.rmtree(tmp_path / "media/star")
    row = {"question": "What?", "candidates": ["a", "b"], "answer": "a", "start": 2.0, "end": 3.5}
    for task in CUT_TASKS:
        write_json(tmp_path / f"hub/json/{task}.json", [row | {"video": task if task[0] == "e" else f"{task}.mp4"}])
    for name in ("star/Charades_segment", "sta/sta_video_segment", "tvqa/video_fps3_hq_segment"):
        for task in CUT_TASKS:
            touch(tmp_path / f"media/{name}/{task}.mp4")

    def shown(protocol):
        found = by_uid(load("mvbench", tmp_path, protocol))
        return {task: found[f"{task}/0"].media for task in CUT_TASKS}

    for media in (*shown("videor1").values(), *shown("official").values()):  # only the clips are there
        assert media.is_part and "_segment/" in media.name and media.start_s is None
    assert "5 show a part of a longer video" in load("mvbench", tmp_path, "videor1").describe()
    for name in ("star/Charades_v1_480", "data0613/sta/sta_video"):
        for task in CUT_TASKS:
            touch(tmp_path / f"media/{name}/{task}.mp4")
    touch(tmp_path / "media/tvqa/frames_fps3_hq/episodic_reasoning/00001.jpg")
    for task, media in shown("videor1").items():
        assert not media.is_part and "_segment/" not in media.name, task
        assert (media.start_s, media.end_s, media.missing) == (None, None, None), task
        assert media.kind == ("frames" if task == "episodic_reasoning" else "video")
    assert "part of a longer video" not in load("mvbench", tmp_path, "videor1").describe()
    assert all(media.is_part for media in shown("official").values())


def test_mvbench_clip_that_was_only_converted_is_no_part(tmp_path):
    write_benchmark("mvbench", tmp_path)
    (tmp_path / "media/ssv2_video/100.webm").unlink()
    touch(tmp_path / "media/ssv2_video_mp4/100.mp4")
    for protocol in PROTOCOLS:
        questions = by_uid(load("mvbench", tmp_path, protocol))
        for uid in ("action_antonym/0", "fine_grained_pose/0"):
            assert questions[uid].media.file and not questions[uid].media.is_part


def test_mvbench_row_of_a_video_r1_file_that_leads_to_a_cut_clip_says_so(tmp_path):
    file = write_videor1("mvbench", tmp_path)
    rewrite(file, lambda rows: rows[0].update(path="./Evaluation/MVBench/star/Charades_segment/AAAAA.mp4"))
    first, *others = load_videor1("mvbench", file, tmp_path, protocol="videor1").questions
    assert first.media.is_part and not any(question.media.is_part for question in others)


def test_mvbench_bounds_are_start_and_end_not_the_accurate_ones(tmp_path):
    write_benchmark("mvbench", tmp_path)
    (tmp_path / "media/sta/sta_video_segment/BBBBB.mp4").unlink()
    touch(tmp_path / "media/sta/sta_video/BBBBB.mp4")
    rewrite(
        tmp_path / "hub/json/action_localization.json",
        lambda rows: rows[0].update(start=1.0, accurate_start=2.0, accurate_end=3.0),
    )
    media = by_uid(load("mvbench", tmp_path))["action_localization/0"].media
    assert (media.start_s, media.end_s) == (1.0, 15.2)


def test_mvbench_episode_is_a_folder_of_pictures_on_main(tmp_path):
    write_benchmark("mvbench", tmp_path)
    clip = "show_s01e01_seg02_clip_05"
    (tmp_path / f"media/tvqa/video_fps3_hq_segment/{clip}.mp4").unlink()
    missing = by_uid(load("mvbench", tmp_path))["episodic_reasoning/0"].media
    assert (missing.file, missing.missing, missing.kind) == (None, "missing", "frames")
    touch(tmp_path / f"media/tvqa/frames_fps3_hq/{clip}/00001.jpg")
    found = by_uid(load("mvbench", tmp_path))["episodic_reasoning/0"].media
    assert (found.kind, found.fps, found.start_s, found.end_s, found.missing) == ("frames", 3.0, 2.0, 6.5, None)
    assert found.file == tmp_path / f"media/tvqa/frames_fps3_hq/{clip}"


def test_mvbench_gold_is_a_text_and_becomes_its_letter(tmp_path):
    write_benchmark("mvbench", tmp_path)
    questions = by_uid(load("mvbench", tmp_path))
    assert questions["action_antonym/0"].answer == "C" and questions["episodic_reasoning/0"].answer == "E"


def test_mvbench_question_with_one_option_is_asked(tmp_path):
    write_benchmark("mvbench", tmp_path)
    only = by_uid(load("mvbench", tmp_path))["counterfactual_inference/0"]
    assert (only.options, only.answer) == (("A. They meet",), "A")


def test_mvbench_folders_that_nest_are_found(tmp_path):
    write_benchmark("mvbench", tmp_path)
    only = by_uid(load("mvbench", tmp_path))["counterfactual_inference/0"]
    assert only.media.name == "data0613/clevrer/video_validation/video_10000.mp4"


def test_mvbench_webm_that_was_converted_is_found(tmp_path):
    write_benchmark("mvbench", tmp_path)
    assert by_uid(load("mvbench", tmp_path))["action_antonym/0"].media.name == "ssv2_video/100.webm"
    touch(tmp_path / "media/ssv2_video_mp4/100.mp4")
    assert by_uid(load("mvbench", tmp_path))["action_antonym/0"].media.name == "ssv2_video_mp4/100.mp4"


def test_mvbench_frame_rows_of_a_video_r1_file_have_their_video(tmp_path):
    """T4: 200 rows say data_type "frame", and Video-R1's script sends them without any media."""
    file = write_videor1("mvbench", tmp_path)
    episode = by_uid(load_videor1("mvbench", file, tmp_path, protocol="videor1"))["2"].media
    assert episode.kind == "video" and episode.file is not None
    assert (episode.start_s, episode.end_s) == (None, None)  # whole videos there


def test_video_r1_paths_say_mp4_where_the_clip_is_webm(tmp_path):
    file = write_videor1("mvbench", tmp_path)
    clip = tmp_path / "Evaluation/MVBench/ssv2_video/100.mp4"
    clip.rename(clip.with_suffix(".webm"))
    media = by_uid(load_videor1("mvbench", file, tmp_path, protocol="videor1"))["1"].media
    assert media.name == "Evaluation/MVBench/ssv2_video/100.webm"


def test_mvbench_part_that_is_empty_is_an_error(tmp_path):
    write_benchmark("mvbench", tmp_path)
    rewrite(tmp_path / "hub/json/action_sequence.json", lambda rows: rows[0].update(start=20.0))
    with pytest.raises(BenchmarkError, match=r"the part from 20\.0 s to 19\.6 s is empty"):
        load("mvbench", tmp_path)


# --- TempCompass -------------------------------------------------------------------------------------------------


def test_tempcompass_options_come_out_of_the_question(tmp_path):
    write_benchmark("tempcompass", tmp_path)
    question = by_uid(load("tempcompass", tmp_path))["multi-choice/0"]
    assert question.text == "What is he doing?" and question.answer == "A"
    assert question.options == ("A. dunking a ball", "B. dribbling a ball", "C. passing a ball")


def test_tempcompass_caption_lines_are_options_whatever_their_prefix(tmp_path):
    """T8."""
    write_benchmark("tempcompass", tmp_path)
    questions = [question for question in load("tempcompass", tmp_path).questions if question.kind == "match"]
    assert [question.options[0].split(":")[0] for question in questions] == ["Option 1", "Sentence A", "Caption A"]
    for question, short in zip(questions, ("2", "A", "Caption B"), strict=True):
        assert question.answer in question.options and question.letters == ()
        assert score_reply(question.gold, Reply(f"<answer>{short}</answer>"), "official").score == 1


def test_tempcompass_caption_is_judged_under_official_and_recast_under_videor1(tmp_path):
    write_benchmark("tempcompass", tmp_path)
    official, ours = (by_uid(load("tempcompass", tmp_path, protocol)) for protocol in PROTOCOLS[::-1])
    assert {official[f"captioning/{number}"].kind for number in range(2)} == {"open"}
    assert official["captioning/0"].options == () and "Generated Caption:" in official["captioning/0"].text
    choice = ours["captioning/0"]
    assert (choice.kind, choice.options, choice.answer) == ("mc", ("A. dunking a ball", "B. passing a ball"), "A")
    listed = ours["captioning/1"]  # mc_question without options: the row's own information is the list
    assert listed.options == ("A. dribbling a ball", "B. dunking a ball", "C. passing a ball")
    assert listed.answer == "B" and listed.text == "What is he doing?"
    assert len(ours) == len(official)


@pytest.mark.parametrize("change", [dict, lambda row: row | {"mc_question": None, "mc_answer": None}])
def test_tempcompass_captions_without_their_choice_are_left_out_and_counted_under_videor1(tmp_path, change):
    write_benchmark("tempcompass", tmp_path)
    keys = ("video_id", "question", "answer", "dim")
    rows = [change({key: row[key] for key in keys}) for row in hub_rows.TEMPCOMPASS["captioning"]]
    (file,) = (tmp_path / "hub/captioning").glob("*.parquet")
    write_parquet(file, rows)
    videor1, official = (load("tempcompass", tmp_path, protocol) for protocol in PROTOCOLS)
    assert videor1.left_out == {NO_CHOICE: 2} and official.left_out == {}
    assert {question.groups["task"] for question in videor1.questions} == set(TASKS) - {"captioning"}
    assert videor1.num_rows == official.num_rows


def test_tempcompass_row_that_is_there_twice_is_asked_twice(tmp_path):
    write_benchmark("tempcompass", tmp_path)
    questions = by_uid(load("tempcompass", tmp_path))
    assert questions["yes_no/1"].text == questions["yes_no/2"].text


def test_tempcompass_task_and_dimension_are_groups(tmp_path):
    write_benchmark("tempcompass", tmp_path)
    groups = by_uid(load("tempcompass", tmp_path))["multi-choice/1"].groups
    assert groups == {"task": "multi-choice", "dimension": "direction"}


# --- Video-MME ---------------------------------------------------------------------------------------------------


def test_video_mme_videos_may_be_mkv_or_in_capitals(tmp_path):
    write_benchmark("video_mme", tmp_path)
    names = [question.media.name for question in load("video_mme", tmp_path).questions]
    assert names == ["data/aaaaaaaaaaa.mp4", "data/bb-bb_bbbbb.MP4", "data/ccccccccccc.mkv"]


def test_video_mme_durations_are_groups(tmp_path):
    write_benchmark("video_mme", tmp_path)
    questions = load("video_mme", tmp_path).questions
    assert [question.groups["duration"] for question in questions] == ["short", "medium", "long"]
    assert questions[0].options[0] == "A. One."


# --- the demo world ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A dataset folder of the demo world's questions, and its media root."""
    root = tmp_path_factory.mktemp("demo")
    world = build_world(root / "world", num_questions=60, seed=3)
    rows = [
        record | {"id": f"{record['problem_id']:016x}", "license": "cc0-1.0", "options": record.get("options") or []}
        for record in json.loads(world.questions.read_text())
    ]
    write_parquet(root / "run/dataset/rl/rl-00000-of-00001.parquet", rows)
    return root / "run", world.root, rows


def test_demo_is_the_clips_that_training_never_saw(demo):
    folder, media_root, rows = demo
    loaded = load_demo(folder, media_root, held_out_share=0.3)
    split = load_split(DatasetConfig(name=str(folder), media_root=media_root), 0.3)
    expected = [row["id"] for row in rows if split.holds_out(row["path"])]
    assert [question.uid for question in loaded.questions] == expected and 0 < len(expected) < len(rows)
    assert loaded.left_out == {TRAINED_ON: len(rows) - len(expected)}


def test_demo_has_all_five_problem_types_and_pictures_too(demo):
    folder, media_root, rows = demo
    loaded = load_demo(folder / "dataset", media_root, held_out_share=1.0)
    assert {question.kind for question in loaded.questions} == {"mc", "numeric", "regression", "ocr", "free-form"}
    assert {question.media.kind for question in loaded.questions} == {"video", "image"}
    assert len(loaded.questions) == len(rows) and not loaded.missing
    for question in loaded.questions:
        assert score_reply(question.gold, Reply(f"<answer>{question.answer}</answer>"), "official").score == 1


def test_demo_without_a_dataset_or_a_share_says_what_to_do(demo, tmp_path):
    folder, media_root, _ = demo
    with pytest.raises(BenchmarkError, match=r"has no rl/rl-\*\.parquet"):
        load_demo(tmp_path, media_root, held_out_share=0.2)
    with pytest.raises(BenchmarkError, match="the held-out share is 0"):
        load_demo(folder, media_root, held_out_share=0)


# --- options and media, as rules ---------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="ascii", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e"), max_size=20)


@given(st.lists(TEXTS.map(str.strip), min_size=1, max_size=26))
def test_lettered_options_read_back_with_the_letters_in_order(texts):
    options = letter_options(texts)
    assert [option.letter for option in parse_options(options)] == [chr(65 + place) for place in range(len(texts))]
    assert letter_options(options) == options


@given(st.lists(TEXTS.map(str.strip).filter(bool), min_size=2, max_size=14), st.data())
def test_options_written_into_a_question_come_out_again(texts, data):
    options = tuple(f"{chr(65 + place)}. {text}" for place, text in enumerate(texts))
    assert split_option_lines("\n".join(("What is it?", *options))) == ("What is it?", options)
    assert cut_choices("What is it?" + "\n".join(options) + "\n", options) == "What is it?"
    place = data.draw(st.integers(0, len(texts) - 1))
    assert gold_letter(chr(65 + place), options) == chr(65 + place)
    assert place_letter(texts[place], texts) == chr(65 + texts.index(texts[place]))


@pytest.mark.parametrize(
    "question, options",
    [
        ("Which first?\nA. dancing\nB. waving\nC.Both at once", ("A. dancing", "B. waving", "C.Both at once")),
        ("Which?\nA. one\nB. two,\nor more", ("A. one", "B. two,\nor more")),
        ("Is it a plan B. or not?", ()),
        ("Which?\nB. one\nC. two", ()),
        ("What is it?", ()),
        ("", ()),
    ],
)
def test_only_lines_from_a_in_order_are_options(question, options):
    assert split_option_lines(question)[1] == options


def test_choices_that_the_question_does_not_end_in_leave_it_as_it_is():
    options = ("A. red", "B. blue")
    assert cut_choices("Is A. red or B. blue right, and why?", options) == "Is A. red or B. blue right, and why?"
    assert cut_choices("Which (a.k.a. colour)?A.  red\n B. blue", options) == "Which (a.k.a. colour)?"
    assert cut_choices("Kitchen?", ()) == "Kitchen?"


def test_information_is_the_value_that_differs_and_is_never_evaluated():
    text = "Write.\nInformation A: {'subject': 'man', 'speed': 'fast'}\nInformation B: slow\nInformation C: {'x': f()}"
    assert information_options(text) == ("A. fast", "B. slow", "C. {'x': f()}")


@pytest.mark.parametrize("gold", ["F", "B and D", "", "neither"])
def test_gold_that_names_no_option_is_unreadable(gold):
    with pytest.raises(UnreadableGold):
        gold_letter(gold, ("A. one", "B. two", "C. three", "D. four"))
    with pytest.raises(UnreadableGold):
        gold_letter("A", ())
    with pytest.raises(UnreadableGold):
        place_letter(gold, ["one", "two"])


def test_more_options_than_letters_are_unreadable():
    with pytest.raises(UnreadableGold, match="27 options"):
        letter_options(["x"] * 27)


def test_video_by_its_stem_is_the_one_nearest_to_the_root(tmp_path):
    for name in ("b/c/clip.mp4", "z/clip.mp4", "question_only/clip.mp4", "__MACOSX/clip.mp4", "clip.txt"):
        touch(tmp_path / name)
    assert MediaRoot(tmp_path).find_stem("clip").name == "z/clip.mp4"
    assert MediaRoot(tmp_path).find_stem("other").missing == "missing"


# --- the hub -----------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
from training.benchmarks.loaders.hub import hub_facts
from training.benchmarks.loaders.loading import LAYOUTS, load_hub
from curation.errors import UserError
name, media_root, revision = sys.argv[1:4]
try:
    loaded = load_hub(name, Path(media_root), protocol="official", revision=revision)
    print(loaded.revision, len(loaded.questions), len(loaded.missing))
    facts = hub_facts(LAYOUTS[name])
    print(facts.commit, facts.is_gated, facts.annotation_bytes, facts.media_bytes, facts.page)
except UserError as error:
    print(getattr(error, "reason", ""), error)
print("torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    with LoopbackHub(root / "hub") as served:
        for name in ("mvbench", "mmvu"):
            write_benchmark(name, root / name)
            folder = root / name / "hub"
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            served.commit(LAYOUTS[name].repo, files | {"videos.zip": b"0" * 12_345})
        served.configure(LAYOUTS["mvbench"].repo, gated="auto")
        yield served, root


def ask(hub, tmp_path, name, token, *, revision="main", url=None):
    served, root = hub
    environment = client_environment(url or served.url, tmp_path / "home", token)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    words = [sys.executable, "-c", PROGRAM, name, str(root / name / "media"), revision]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "False", "torch was imported"
    return lines[:-1]


def test_hub_gives_the_questions_at_a_commit_and_a_dry_run_its_bytes(hub, tmp_path):
    served, root = hub
    loaded, facts = (line.split() for line in ask(hub, tmp_path, "mmvu", None))
    commit = served.commits(LAYOUTS["mmvu"].repo)[0][0]
    assert loaded == [commit, "2", "0"]
    size = (root / "mmvu/hub/validation.json").stat().st_size
    assert facts == [commit, "False", str(size), "12345", f"{served.url}/datasets/yale-nlp/MMVU"]


@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_gated_benchmark_names_the_page_to_accept_and_the_licence(hub, tmp_path, token):
    """401 without a token, 403 with one that was not let in."""
    (line,) = ask(hub, tmp_path, "mvbench", token)
    assert line.startswith("gated MVBench: cannot fetch OpenGVLab/MVBench@main: ")
    assert f"{hub[0].url}/datasets/OpenGVLab/MVBench" in line and "licence: mit" in line and "HF_TOKEN" in line


def test_absent_revision_and_absent_repository_are_told_apart(hub, tmp_path):
    (line,) = ask(hub, tmp_path, "mmvu", None, revision="v9")
    assert line == "no_revision MMVU: cannot fetch yale-nlp/MMVU@v9: it has no revision 'v9'."
    (hub[1] / "tempcompass/media").mkdir(parents=True)
    (line,) = ask(hub, tmp_path, "tempcompass", "hf_stranger")
    assert line.startswith("no_repo TempCompass") and "mirrors: lmms-eval/TempCompass" in line
    assert "CC BY-NC 4.0" in line


def test_hub_that_cannot_be_reached_is_one_line(hub, tmp_path):
    (line,) = ask(hub, tmp_path, "mmvu", None, url="http://127.0.0.1:9")
    assert line.startswith("unreachable MMVU: cannot fetch") and "Give a local folder instead" in line


def test_loaders_need_no_hub_settings(tmp_path):
    """T11: a harness raises KeyError at import when HF_HOME is not set."""
    write_benchmark("tempcompass", tmp_path)
    program = (
        "import sys; from pathlib import Path; from training.benchmarks.loaders.loading import load_hub\n"
        "root = Path(sys.argv[1])\n"
        "print(len(load_hub('tempcompass', root / 'media', source=root / 'hub', protocol='official').questions))\n"
        "print(sorted({'torch', 'datasets', 'huggingface_hub', 'transformers'} & set(sys.modules)))"
    )
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["10", "[]"]


def test_every_layout_names_its_licence_and_its_size():
    assert tuple(LAYOUTS) == NAMES
    assert sum(layout.num_rows for layout in LAYOUTS.values()) == 5_130 + 900 + 1_000 + 1_034 + 4_000 + 7_540 + 2_700
    assert {name for name, layout in LAYOUTS.items() if layout.is_gated} == {"videommmu", "mvbench"}
    assert all(layout.licence and layout.media and Path(layout.repo).parts for layout in LAYOUTS.values())

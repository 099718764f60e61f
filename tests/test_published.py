"""The published tables: data files with their source."""

import json
from importlib.resources import files

import pytest
from pydantic import ValidationError

from curation.errors import ConfigError
from training.benchmarks.protocols import TITLES
from training.benchmarks.published import (
    PAPER_ABLATIONS,
    PAPER_MAIN,
    PublishedTable,
    published_names,
    published_rows,
    published_table,
)
from training.config import TrainConfig

SEVEN = tuple(name for name in TITLES if name != "shapes")


def rows(table):
    return {row.name: row for row in published_rows(table)}


def test_the_papers_first_table_has_its_eleven_models():
    table = rows(PAPER_MAIN)
    assert len(table) == 11
    ours = table["VideoP2R (7B)"]
    assert [ours.scores[name] for name in SEVEN] == [36.8, 55.0, 65.4, 51.0, 68.1, 74.5, 60.0]
    assert ours.average == 58.7


def test_a_figure_that_was_not_published_is_null_and_never_zero():
    longva = rows(PAPER_MAIN)["LongVA-7B"]
    assert longva.scores["mmvu"] is None and longva.average is None
    every = [score for name in published_names() for row in published_rows(name) for score in row.scores.values()]
    assert None in every and 0 not in every


@pytest.mark.parametrize("table", [PAPER_MAIN, PAPER_ABLATIONS])
def test_printed_averages_are_the_mean_of_the_printed_scores(table):
    for row in published_rows(table):
        if row.average is not None:
            mean = sum(row.scores[name] for name in SEVEN) / 7
            assert row.average == pytest.approx(mean, abs=0.06), row.name  # two are cut, not rounded


def test_both_tables_of_the_paper_agree_on_the_full_model():
    full, main = rows(PAPER_ABLATIONS)["full"], rows(PAPER_MAIN)["VideoP2R (7B)"]
    assert (full.scores, full.average) == (main.scores, main.average)


def test_video_r1_and_the_paper_agree_on_what_the_paper_took_over():
    for theirs, paper in (("Video-R1-7B, 32 frames", "Video-R1"), ("Qwen2.5-VL-7B (CoT), 32 frames", "Qwen2.5-VL-7B")):
        found, taken = rows("video_r1")[theirs].scores, rows(PAPER_MAIN)[paper].scores
        assert {name: score for name, score in taken.items() if name != "vcr_bench"} == {
            name: score for name, score in found.items() if name != "vcr_bench"
        }


def test_every_variant_named_is_one_of_ours_and_named_once_a_table():
    ours = set(TrainConfig.model_fields["variant"].annotation.__args__)
    for name in published_names():
        named = [row.variant for row in published_rows(name) if row.variant]
        assert set(named) <= ours and len(set(named)) == len(named)
    # The paper gives grpo and no_perception_reward one row.
    assert {row.variant for row in published_rows(PAPER_ABLATIONS)} == ours - {"no_perception_reward"}


@pytest.mark.parametrize("name", published_names())
def test_every_table_names_its_source_and_its_protocol_and_every_model_once(name):
    table = published_table(name)
    assert table.source and table.measure.endswith("%")
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)
    for row in table.rows:
        assert set(row.scores) <= set(SEVEN)
        assert row.average is not None or any(score is not None for score in row.scores.values())


def test_how_the_papers_figures_were_measured_is_data():
    table = published_table(PAPER_MAIN)
    ours = rows(PAPER_MAIN)["VideoP2R (7B)"]
    found = {name: table.conditions(ours, name) for name in SEVEN}
    counts = {name: conditions.num_questions for name, conditions in found.items()}
    assert counts == {**dict.fromkeys(SEVEN), "vsi_bench": 5130, "videommmu": 900, "mmvu": 625, "vcr_bench": 510} | {
        "mvbench": 4000,
        "video_mme": 2700,
    }
    unstated = [(name, field) for name, each in found.items() for field, value in each if value is None]
    assert unstated == [("tempcompass", "num_questions")]
    mmvu = found["mmvu"]
    assert (mmvu.num_frames, mmvu.max_pixels, mmvu.temperature, mmvu.top_p) == (32, 256 * 28 * 28, 0.01, 0.001)


def test_what_a_row_was_measured_with_otherwise_goes_before_the_table_and_its_benchmark():
    table = published_table("video_r1")
    frames = {row.name: table.conditions(row, "mmvu").num_frames for row in table.rows}
    assert frames["Video-R1-7B, 64 frames"] == 64 and frames["GPT-4o"] is None
    assert table.conditions(table.rows[0], "videommmu").videos == "question clips"
    assert table.conditions(table.rows[0], "mvbench").videos == "whole videos"


@pytest.mark.parametrize("changes", [{"frames": 32}, {"num_frames": "many"}, {"videos": "some"}])
@pytest.mark.parametrize("place", ["table", "row"])
def test_a_condition_that_is_none_is_refused(changes, place):
    values = published_table(PAPER_MAIN).model_dump()
    where = values if place == "table" else values["rows"][0]
    where["by_benchmark"] = {"mmvu": changes}
    with pytest.raises(ValidationError):
        PublishedTable.model_validate(values)


def test_a_table_that_is_not_there_names_those_that_are():
    with pytest.raises(ConfigError, match="paper_main"):
        published_rows("paper_table_9")


@pytest.mark.parametrize("name", ["../published", "", "paper_main.json", "/etc/passwd"])
def test_a_table_name_is_no_path(name):
    with pytest.raises(ConfigError):
        published_table(name)


def test_a_share_where_per_cent_stand_and_an_unknown_field_are_refused():
    text = (files("training.benchmarks") / "published" / "paper_main.json").read_text(encoding="utf-8")
    assert text.isascii()
    table = json.loads(text)
    table["rows"][0]["scores"]["mmvu"] = 600.0
    with pytest.raises(ValidationError):
        PublishedTable.model_validate(table)
    with pytest.raises(ValidationError):
        PublishedTable.model_validate(json.loads(text) | {"sauce": "x"})

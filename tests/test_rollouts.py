"""Rollouts: groups with both rewards, from whatever files there are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.opened import open_viewer
from app.rollouts import (
    GROUPS_PER_PAGE,
    MOST_ROLLOUTS,
    NO_ROLLOUTS,
    ROLLOUT,
    SORTS,
    Rollouts,
    read_rollouts,
)
from curation.errors import RunDirectoryError
from tests.folders import kept_row, write_folder
from tests.hub import LoopbackHub, client_environment


def rollout(step: int, group: str, number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "step": step,
        "group": group,
        "rollout": number,
        "id": f"question {group}",
        "completion": f"<observation>o{number}</observation> <think>t</think><answer>B</answer>",
        "observation": f"o{number}",
        "think": "t",
        "answer": "B",
        "verdict": "sufficient",
        "perception_accuracy": 1.0,
        "perception_format": 1.0,
        "perception_length": 0.2,
        "perception_reward": 2.2,
        "perception_advantage": 0.5,
        "reasoning_accuracy": 0.0,
        "reasoning_format": 1.0,
        "reasoning_length": 0.0,
        "reasoning_reward": 1.0,
        "reasoning_advantage": -0.5,
        "observation_tokens": 150,
        "think_tokens": 400,
        "answer_tokens": 3,
        "completion_tokens": 553,
        "model": "org/model",
        "dataset_repo": "org/name",
        "dataset_tag": "v1.0.0",
        "dataset_commit": "c" * 40,
    }
    assert set(changes) <= set(row)
    return row | changes


def write(folder: Path, *files: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place, rows in enumerate(files):
        path = folder / f"rollouts-{place:05d}-of-{len(files):05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=ROLLOUT), path)
    return folder


def read(folder: Path) -> Rollouts:
    found = read_rollouts(folder)
    assert found is not None
    return found


def names(found: Rollouts, **page: Any) -> list[str]:
    return [group.name for group in found.page(**page).groups]


def test_no_rollouts_yet_is_none_and_a_text_that_explains(tmp_path):
    assert read_rollouts(tmp_path) is None
    assert read_rollouts(tmp_path / "missing") is None
    assert "rollouts/rollouts-*.parquet" in NO_ROLLOUTS


@pytest.mark.parametrize("under", [".", "rollouts"])
def test_every_value_of_a_rollout_comes_back(tmp_path, under):
    write(tmp_path / under, [rollout(3, "p", 1), rollout(3, "p", 0, answer=None, observation=None, think=None)])
    found = read(tmp_path)
    assert (found.num_groups, found.num_rollouts, found.notes) == (1, 2, ())
    group = found.group(0)
    assert (group.summary.step, group.summary.name, group.summary.question_id) == (3, "p", "question p")
    assert (group.summary.model, group.dataset_repo, group.dataset_tag) == ("org/model", "org/name", "v1.0.0")
    assert group.dataset_commit == "c" * 40
    malformed, first = group.rollouts
    assert (first.number, first.observation, first.answer, first.is_malformed) == (1, "o1", "B", False)
    assert (first.perception.accuracy, first.perception.format, first.perception.length) == (1.0, 1.0, 0.2)
    assert (first.perception.total, first.perception.advantage) == (2.2, 0.5)
    assert (first.reasoning.total, first.reasoning.advantage) == (1.0, -0.5)
    assert (first.observation_tokens, first.think_tokens, first.answer_tokens) == (150, 400, 3)
    assert (first.completion_tokens, first.verdict) == (553, "sufficient")
    assert malformed.is_malformed and malformed.completion.startswith("<observation>")
    assert group.summary.num_malformed == 1


def test_a_masked_reward_is_null_and_is_not_averaged_in(tmp_path):
    masked = {"verdict": None, "perception_accuracy": None, "perception_reward": None, "perception_advantage": None}
    write(tmp_path, [rollout(1, "p", 0), rollout(1, "p", 1, **masked), rollout(1, "p", 2, perception_reward=1.0)])
    group = read(tmp_path).group(0)
    assert group.summary.num_masked == 1
    assert group.summary.perception.num == 2
    assert group.summary.perception.mean == pytest.approx(1.6)
    assert group.rollouts[1].perception.total is None


def test_one_prompt_at_two_steps_or_of_two_models_is_as_many_groups(tmp_path):
    rows = [rollout(1, "p", 0), rollout(2, "p", 0), rollout(2, "p", 0, model="org/other")]
    found = read(write(tmp_path, rows))
    assert [(group.step, group.model) for group in found.page().groups] == [
        (1, "org/model"),
        (2, "org/model"),
        (2, "org/other"),
    ]


def test_a_group_that_lies_in_two_files_is_one_group(tmp_path):
    numbers = [5, 2, 7, 0, 3, 6, 1, 4]
    files = [[rollout(1, "p", number) for number in part] for part in (numbers[:3], [], numbers[3:])]
    found = read(write(tmp_path, [rollout(1, "other", 0)], *files))
    place = names(found).index("p")
    group = found.group(place)
    assert [each.number for each in group.rollouts] == list(range(8))
    assert [each.observation for each in group.rollouts] == [f"o{number}" for number in range(8)]


def test_groups_sort_by_step_by_collapse_and_by_spread(tmp_path):
    rewards = {
        "narrow": (1.0, 1.2, 0.0, 1.0),
        "collapsed in both": (1.0, 1.0, 2.0, 2.0),
        "collapsed in one": (0.0, 2.2, 1.0, 1.00001),
        "wide": (0.0, 1.0, 0.0, 2.1),
        "alone": (2.2, None, 2.2, None),
    }
    rows = []
    for step, (name, (p0, p1, r0, r1)) in enumerate(rewards.items(), start=1):
        rows += [rollout(step, name, 0, perception_reward=p0, reasoning_reward=r0)]
        rows += [rollout(step, name, 1, perception_reward=p1, reasoning_reward=r1)]
    found = read(write(tmp_path, rows[::-1]))
    assert names(found) == list(rewards)
    assert names(found, sort="collapse") == ["collapsed in both", "collapsed in one", "narrow", "wide", "alone"]
    assert names(found, sort="spread") == ["collapsed in one", "wide", "narrow", "collapsed in both", "alone"]
    alone = found.page(sort="spread").groups[-1]
    assert alone.perception.width is None
    assert not alone.perception.is_collapsed


@pytest.mark.parametrize("sort", SORTS)
def test_every_group_is_on_exactly_one_page_and_page_numbers_are_clamped(tmp_path, sort):
    num = 2 * GROUPS_PER_PAGE + 1
    found = read(write(tmp_path, [rollout(number, f"p{number}", 0) for number in range(num)]))
    pages = [found.page(sort, number) for number in (1, 2, 3)]
    assert [len(page.groups) for page in pages] == [GROUPS_PER_PAGE, GROUPS_PER_PAGE, 1]
    assert sorted(group.place for page in pages for group in page.groups) == list(range(num))
    assert found.page(sort, -5) == pages[0]
    assert found.page(sort, 10**9) == pages[2]
    for group in pages[1].groups:
        assert found.group(group.place).summary == group


def test_an_unknown_group_is_none(tmp_path):
    found = read(write(tmp_path, [rollout(1, "p", 0)]))
    assert found.group(1) is None
    assert found.group(-1) is None


def test_missing_columns_are_noted_and_null_never_zero(tmp_path):
    pl.DataFrame({"step": [1, 1], "group": ["p", "p"], "completion": ["a", "b"]}).write_parquet(
        tmp_path / "rollouts-0.parquet"
    )
    found = read(tmp_path)
    (note,) = found.notes
    assert "perception_reward" in note and "1 of 1 files" in note and "completion," not in note
    group = found.group(0)
    assert (group.summary.num_rollouts, group.summary.num_malformed, group.summary.num_masked) == (2, None, None)
    assert group.summary.perception.mean is None
    assert [each.completion for each in group.rollouts] == ["a", "b"]
    assert group.rollouts[0].is_malformed is None


def test_rows_without_group_go_by_question_and_rows_without_either_stand_alone(tmp_path):
    rows = [
        rollout(1, "p", number, id=question) | {"group": None} for number, question in enumerate(["q", "q", None, None])
    ]
    found = read(write(tmp_path, rows))
    assert sorted(group.num_rollouts for group in found.page().groups) == [1, 1, 2]


def test_values_that_cannot_be_are_counted_in_a_note_and_not_shown(tmp_path):
    pl.DataFrame(
        {
            "step": ["1", "one", "1"],
            "group": [7, 7, 7],
            "rollout": [0.0, 1.5, float("nan")],
            "verdict": ["sufficient", "<script>", None],
            "perception_reward": [1.0, float("inf"), float("nan")],
            "reasoning_reward": ["2.2", "1e300", "x"],
            "completion": [b"\xff", b"b", b"c"],
            "observation": [["a"], ["b"], None],
            "observation_tokens": [2**63 + 1, 5, 6],
        },
        schema_overrides={"observation_tokens": pl.UInt64},
    ).write_parquet(tmp_path / "rollouts-0.parquet")
    found = read(tmp_path)
    notes = "\n".join(found.notes)
    for note in ("step: 1 values", "rollout: 2 values", "verdict: 1 values", "perception_reward: 2 values"):
        assert note in notes
    assert "reasoning_reward: 2 values" in notes and "observation_tokens: 1 values" in notes
    assert "completion, " in found.notes[0] and "observation, " in found.notes[0]
    known = [found.group(place) for place in range(found.num_groups)]
    assert {group.summary.step for group in known} == {1, None}
    assert all(group.summary.name == "7" for group in known)
    assert known[0].rollouts[0].reasoning.total == 2.2


def test_files_that_cannot_be_read_are_left_out_and_named(tmp_path):
    write(tmp_path, [rollout(1, "p", 0)])
    (tmp_path / "rollouts-99998.parquet").write_bytes(b"PAR1 torn")
    (tmp_path / "rollouts-99999.parquet").mkdir()
    found = read(tmp_path)
    assert found.num_rollouts == 1
    assert any("rollouts-99998.parquet cannot be read" in note for note in found.notes)
    assert all("\n" not in note for note in found.notes)


def test_nothing_but_unreadable_or_empty_files_is_no_groups_with_notes(tmp_path):
    (tmp_path / "rollouts-0.parquet").write_bytes(b"")
    write(tmp_path, [])
    found = read(tmp_path)
    assert (found.num_groups, found.page("spread").groups, found.page().num_pages) == (0, (), 1)
    assert len(found.notes) == 1


def test_a_group_too_large_to_show_says_how_many_are_left_out(tmp_path):
    found = read(write(tmp_path, [rollout(1, "p", number) for number in range(MOST_ROLLOUTS + 3)]))
    group = found.group(0)
    assert (len(group.rollouts), group.num_left_out) == (MOST_ROLLOUTS, 3)
    assert group.summary.num_rollouts == MOST_ROLLOUTS + 3


@pytest.mark.parametrize("change", ["removed", "shortened"])
def test_files_that_change_while_they_are_open_are_one_line(tmp_path, change):
    found = read(write(tmp_path, [rollout(1, "p", 0), rollout(1, "p", 1)]))
    (path,) = tmp_path.glob("*.parquet")
    path.unlink() if change == "removed" else write(tmp_path, [rollout(1, "p", 0)])
    with pytest.raises(RunDirectoryError, match="cannot read the rollouts") as raised:
        found.group(0)
    assert "\n" not in str(raised.value)


def test_hostile_text_comes_back_as_it_is(tmp_path):
    text = "<script>alert(1)</script>\u202e\x00 " + "x" * 1_000_000
    group = read(write(tmp_path, [rollout(1, text[:30], 0, completion=text, observation=text)])).group(0)
    assert group.rollouts[0].completion == text
    assert group.summary.name == text[:30]


# Where they are found


@pytest.mark.parametrize("named", ["run", "run/rollouts"])
def test_rollouts_of_a_training_run_are_shown_beside_any_dataset(tmp_path, named):
    write_folder(tmp_path / "dataset", [kept_row(1)])
    write(tmp_path / "run" / "rollouts", [rollout(1, "p", 0)])
    (tmp_path / "run" / "dataset").mkdir()  # what the run trained on; it has no rollouts
    opened = open_viewer(str(tmp_path / "dataset"), rollouts=str(tmp_path / named), read_only=True)
    assert opened.rollouts.num_rollouts == 1


def test_rollouts_beside_the_data_need_no_option_and_another_run_takes_their_place(tmp_path):
    folder = write_folder(tmp_path / "dataset", [kept_row(1)])
    write(folder / "rollouts", [rollout(1, "p", 0), rollout(1, "p", 1)])
    write(tmp_path / "run" / "rollouts", [rollout(1, "p", 0)])
    assert open_viewer(str(folder), read_only=True).rollouts.num_rollouts == 2
    assert open_viewer(str(folder), rollouts=str(tmp_path / "run"), read_only=True).rollouts.num_rollouts == 1


@pytest.mark.parametrize(("name", "said"), [("empty", "holds no rollouts"), ("nowhere", "no directory and no hub")])
def test_rollouts_that_were_asked_for_and_are_not_there_are_one_line(tmp_path, name, said):
    write_folder(tmp_path / "dataset", [kept_row(1)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match=said):
        open_viewer(str(tmp_path / "dataset"), rollouts=str(tmp_path / name), read_only=True)


OPEN = """
from app.opened import open_viewer
for name, rollouts in (("org/both@v1.0.0", None), ("org/bare", None), ("org/bare", "org/both")):
    found = open_viewer(name, rollouts=rollouts, read_only=True).rollouts
    print(name, None if found is None else found.num_rollouts)
"""


def test_rollouts_of_a_published_dataset_come_with_it_and_one_without_any_opens(tmp_path):
    folder = write_folder(tmp_path / "dataset", [kept_row(1)])
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}
    write(tmp_path / "run" / "rollouts", [rollout(1, "p", 0)], [rollout(2, "p", 0)])
    saved = {f"rollouts/{path.name}": path.read_bytes() for path in (tmp_path / "run" / "rollouts").iterdir()}
    with LoopbackHub(tmp_path / "hub") as hub:
        for repo, content in (("org/both", files | saved), ("org/bare", files)):
            hub.create(repo)
            hub.tag(repo, "v1.0.0", hub.commit(repo, content))
        environment = client_environment(hub.url, tmp_path / "home", None)
        done = subprocess.run(
            [sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, check=False
        )
    assert done.stdout.splitlines() == ["org/both@v1.0.0 2", "org/bare None", "org/bare 2"], done.stderr[-2000:]

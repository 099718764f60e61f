"""Saved rollouts: what training writes is what the viewer reads, whole, in place, and gone when it is sampled anew."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rollouts import read_rollouts
from curation.judge import Verdict
from curation.schema import ROLLOUT
from curation.trace import TraceFormatError, parse_trace
from training.judging import Judged
from training.processes import BlockTokens
from training.rewards import ProcessReward, RolloutReward
from training.rollouts import RolloutProvenance, drop_after, write_rollouts
from training.sampled import Rollout, Rollouts

ORIGIN = RolloutProvenance("org/policy", "org/data", "v1.2.0", "c" * 40)
WELL_FORMED = "<observation> a red ball </observation> <think>it is red</think><answer>B</answer>"
MASKED = ProcessReward(None, 1.0, None, None, 140)
PAID = ProcessReward(1.0, 1.0, 0.2, 2.2, 140)


def judged(sufficient: bool | None) -> Judged:
    if sufficient is None:
        return Judged(None, "timeout: no verdict within 120 s", False, None, 0.0)
    return Judged(Verdict(sufficient, "why"), None, False, 0.5, 0.001)


def rollout(group: int = 0, number: int = 0, **changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "group": group,
        "number": number,
        "question_id": f"question {group}",
        "completion": WELL_FORMED,
        "judged": judged(True),
        "reward": RolloutReward(PAID, ProcessReward(0.0, 1.0, 0.0, 1.0, 9)),
        "perception_advantage": 0.7,
        "reasoning_advantage": -0.7,
        "lengths": BlockTokens(140, 6, 3),
        "completion_tokens": 155,
    }
    return Rollout(**fields | changes)


def write(folder: Path, *rows: Rollout, step: int = 1, **options: Any) -> Path:
    return write_rollouts(folder, Rollouts(step, rows), ORIGIN, **options)


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_the_viewer_reads_what_training_writes(tmp_path):
    write(tmp_path / "rollouts", rollout(0, 0), rollout(0, 1, judged=judged(False)), rollout(1, 0), rollout(1, 1))
    write(tmp_path / "rollouts", rollout(0, 0), step=2)
    found = read_rollouts(tmp_path)
    assert found is not None and found.notes == ()
    assert (found.num_groups, found.num_rollouts) == (3, 5)
    group = found.group(0)
    assert group is not None
    assert (group.summary.step, group.summary.question_id, group.summary.model) == (1, "question 0", "org/policy")
    assert (group.dataset_repo, group.dataset_tag, group.dataset_commit) == ("org/data", "v1.2.0", "c" * 40)
    first, second = group.rollouts
    assert (first.observation, first.think, first.answer) == ("a red ball", "it is red", "B")
    assert (first.verdict, second.verdict) == ("sufficient", "insufficient")
    assert (first.perception.total, first.perception.advantage, first.reasoning.total) == (2.2, 0.7, 1.0)
    assert (first.observation_tokens, first.think_tokens, first.answer_tokens, first.completion_tokens) == (
        140, 6, 3, 155,
    )  # fmt: skip


def test_columns_are_the_published_ones_and_compressed(tmp_path):
    path = write(tmp_path, rollout())
    assert path == tmp_path / "rollouts-000001.parquet"
    assert pq.read_schema(path).equals(ROLLOUT)
    assert pq.read_metadata(path).row_group(0).column(4).compression == "ZSTD"
    assert write(tmp_path, step=7).name == "rollouts-000007.parquet"
    assert pq.read_schema(tmp_path / "rollouts-000007.parquet").equals(ROLLOUT)


def test_more_than_ten_groups_keep_their_order_when_sorted_as_text(tmp_path):
    rows = rows_of(write(tmp_path, *(rollout(group) for group in range(12))))
    assert [row["group"] for row in rows] == sorted(row["group"] for row in rows)


def test_masked_perception_is_null_and_never_zero(tmp_path):
    reward = RolloutReward(MASKED, PAID)
    (row,) = rows_of(write(tmp_path, rollout(judged=judged(None), reward=reward, perception_advantage=None)))
    for name in ("verdict", "perception_accuracy", "perception_length", "perception_reward", "perception_advantage"):
        assert row[name] is None
    assert (row["perception_format"], row["reasoning_reward"]) == (1.0, 2.2)


def test_a_process_that_is_not_rewarded_is_null_and_so_is_a_verdict_nobody_was_asked_for(tmp_path):
    (row,) = rows_of(write(tmp_path, rollout(judged=None, reward=RolloutReward(None, PAID), perception_advantage=None)))
    assert row["verdict"] is None
    assert all(row[f"perception_{part}"] is None for part in ("accuracy", "format", "length", "reward", "advantage"))


def test_an_agnostic_completion_is_no_malformed_one(tmp_path):
    text = "<think>it is red</think><answer>B</answer>"
    (row,) = rows_of(write(tmp_path, rollout(completion=text), template="agnostic"))
    assert (row["observation"], row["think"], row["answer"]) == (None, "it is red", "B")
    (row,) = rows_of(write(tmp_path, rollout(completion=text)))
    assert (row["observation"], row["think"], row["answer"]) == (None, None, None)


@given(
    completion=st.one_of(
        st.text(max_size=40),
        st.lists(
            st.sampled_from(
                ["<observation>", "</observation>", "<think>", "</think>", "<answer>", "</answer>", "a", " "]
            ),
            max_size=12,
        ).map("".join),
        st.just(WELL_FORMED),
    )
)
def test_texts_are_there_exactly_where_the_whole_completion_parses(tmp_path_factory, completion):
    try:
        completion.encode()
    except UnicodeEncodeError:
        return  # no tokenizer decodes to a lone surrogate
    (row,) = rows_of(write(tmp_path_factory.mktemp("rollouts"), rollout(completion=completion)))
    try:
        trace = parse_trace(completion)
        expected = (trace.observation, trace.think, trace.answer)
    except TraceFormatError:
        expected = (None, None, None)
    assert (row["observation"], row["think"], row["answer"]) == expected
    assert row["completion"] == completion


def test_an_update_made_again_replaces_its_file(tmp_path):
    write(tmp_path, rollout(), rollout(0, 1))
    write(tmp_path, rollout(completion="anew"))
    assert [path.name for path in tmp_path.iterdir()] == ["rollouts-000001.parquet"]
    assert [row["completion"] for row in rows_of(tmp_path / "rollouts-000001.parquet")] == ["anew"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = write(tmp_path, rollout())

    def full(table: pa.Table, where: Path, **options: Any) -> None:
        where.write_bytes(b"PAR1 torn")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, rollout(completion="anew"))
    assert [row["completion"] for row in rows_of(path)] == [WELL_FORMED]


def test_what_lies_beyond_the_checkpoint_is_dropped_and_nothing_else(tmp_path):
    for step in (1, 9, 10, 11, 1_000_000):
        write(tmp_path, rollout(), step=step)
    (tmp_path / "rollouts-000003.tmp").write_bytes(b"torn")
    (tmp_path / "rollouts-of-mine.parquet").write_bytes(b"")
    drop_after(tmp_path, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rollouts-000001.parquet", "rollouts-000009.parquet", "rollouts-000010.parquet", "rollouts-of-mine.parquet",
    ]  # fmt: skip
    drop_after(tmp_path / "missing", 0)

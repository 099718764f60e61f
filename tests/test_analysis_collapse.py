"""`python -m training.benchmarks collapse`: saved rollouts give the shares that training logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.rl_world import (
    ScriptedJudge,
    build_world,
    collator_of,
    load_world,
    logged,
    plain_args,
    rows_of,
    script_generation,
)
from tests.saved_groups import MASKED, ORIGIN, process, write_groups
from training.advantages import Collapse
from training.benchmarks.__main__ import main
from training.benchmarks.analyses.collapse import find_runs, measure_group, measure_run, name_runs
from training.benchmarks.analyses.saved_rollouts import absent_updates, read_rollouts, spans
from training.pa_grpo import PAGRPOTrainer
from training.rewards import RewardConfig, RolloutReward
from training.rollouts import write_rollouts

torch.set_num_threads(1)

# Four groups of three: P collapsed, R collapsed, both, neither. The second update: masks.
FIRST = (
    ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0)),
    ((1.0, 2.0, 2.0), (2.2, 2.2, 2.2)),
    ((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)),
    ((1.0, 2.0, 1.0), (2.0, 1.0, 2.0)),  # the sums are all 3: only GRPO's one reward has collapsed
)
SECOND = (
    ((2.0, MASKED, 2.0), (1.0, 1.0, 1.0)),  # two scored rollouts tie; the sum is masked where P is
    ((2.0, MASKED, MASKED), (1.0, 1.0, 1.0)),  # one scored rollout compares with nothing
    ((2.0, 2.00005, 2.0), (1.0, 2.0, 1.0)),  # nearly equal
    ((2.0, 2.001, 2.0), (1.0, 2.0, 1.0)),  # not nearly enough
)


def write_run(run_dir: Path) -> Path:
    write_groups(run_dir, 1, FIRST)
    write_groups(run_dir, 2, SECOND)
    return run_dir


def collapse(*words: str | Path) -> None:
    assert main(["collapse", *map(str, words)]) == 0


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "collapse.json").read_text())
    return found


def counts(found: dict[str, Collapse]) -> dict[str, tuple[int, int]]:
    return {name: (each.num_collapsed, each.num_groups) for name, each in found.items()}


def test_each_reward_collapses_by_itself_and_a_group_is_lost_only_when_both_do(tmp_path):
    run = measure_run(write_run(tmp_path / "run"), "run")
    first, second = run.updates
    assert counts(first.by_reward) == {"perception": (2, 4), "reasoning": (2, 4), "grpo": (2, 4), "both": (1, 4)}
    # GRPO's sum: group 0 ties on its two scored rollouts, group 1 has one, the others differ.
    assert counts(second.by_reward) == {"perception": (2, 3), "reasoning": (2, 4), "grpo": (1, 3), "both": (2, 4)}
    assert (run.num_rollouts, run.num_masked, run.num_groups) == (24, 3, 8)
    assert run.points("perception") == ((1, 2 / 4), (2, 2 / 3))


def test_a_process_that_is_not_rewarded_is_no_collapsed_one(tmp_path):
    run_dir = tmp_path / "grpo"
    write_groups(run_dir, 1, [(None, (1.0, 1.0)), (None, (1.0, 2.0))])
    (update,) = measure_run(run_dir, "grpo").updates
    assert counts(update.by_reward) == {"perception": (0, 0), "reasoning": (1, 2), "grpo": (1, 2), "both": (1, 2)}


@given(
    perception=st.lists(st.sampled_from([None, 1.0, 2.0, 2.2]), min_size=2, max_size=5),
    reasoning=st.lists(st.sampled_from([None, 0.0, 1.0, 1.5]), min_size=5, max_size=5),
)
def test_a_group_is_lost_when_no_process_that_counts_tells_its_rollouts_apart(perception, reasoning):
    rewards = [RolloutReward(process(p), process(r)) for p, r in zip(perception, reasoning, strict=False)]
    found = measure_group(rewards)
    counted = [found[name] for name in ("perception", "reasoning") if found[name].num_groups]
    assert found["both"].num_groups == bool(counted)
    assert found["both"].num_collapsed == (bool(counted) and all(each.num_collapsed for each in counted))
    if found["both"].num_collapsed:
        assert found["grpo"].num_collapsed == found["grpo"].num_groups


@pytest.mark.parametrize("scored", [0, 1])
@pytest.mark.parametrize(("reasoning", "lost"), [((1.0, 1.0, 1.0), 1), ((1.0, 2.0, 1.0), 0)])
def test_a_group_whose_perception_is_masked_still_counts_by_its_reasoning(tmp_path, scored, reasoning, lost):
    perception = (*(2.0,) * scored, *(MASKED,) * (3 - scored))
    write_groups(tmp_path / "run", 1, [(perception, reasoning)])
    (update,) = measure_run(tmp_path / "run", "run").updates
    found = counts(update.by_reward)
    assert found["perception"] == found["grpo"] == (0, 0)
    assert found["reasoning"] == found["both"] == (lost, 1)


def test_the_shares_are_those_that_training_logged(tmp_path):
    """The demo: real updates of a tiny model on scripted rollouts, some of them without a verdict."""
    world = build_world(tmp_path)
    model, processor = load_world(world)
    judge = ScriptedJudge(lambda text: None if "circle" in text else "red" in text)
    trainer = PAGRPOTrainer(
        model=model,
        args=plain_args(tmp_path / "out", max_steps=3),
        rows=rows_of(world, copies=4),
        processor=processor,
        collator=collator_of(processor),
        rewards=RewardConfig(perception_tokens=(2, 60), reasoning_tokens=(2, 60)),
        judge=judge,
        on_rollouts=lambda sampled: write_rollouts(tmp_path / "run/rollouts", sampled, ORIGIN),
    )
    script_generation(trainer)
    trainer.train()
    run = measure_run(tmp_path / "run", "run")
    assert run.num_masked > 0
    for reward in ("perception", "reasoning", "grpo"):
        assert [share for _, share in run.points(reward)] == pytest.approx(logged(trainer, f"collapse/{reward}"))


def test_tables_pictures_and_page_of_several_runs_side_by_side(tmp_path, capsys):
    run_dir = write_run(tmp_path / "main")
    for seed in (0, 1):
        write_groups(run_dir / f"compare/grpo-seed{seed}", 1, [(None, (1.0, 1.0)), (None, (1.0, 2.0))])
    (run_dir / "compare/comparison.html").write_text("")
    collapse(run_dir)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert "grpo-seed1" in out
    folder = run_dir / "benchmark/analyses/collapse"
    names = ("collapse_perception", "collapse_reasoning", "collapse_grpo", "collapse_both", "collapse_means")
    assert all((folder / f"{name}.png").stat().st_size > 5_000 for name in names)
    assert "data:image/png" in (folder / "collapse.html").read_text()
    found = record(folder)
    assert [run["run"] for run in found["runs"]] == ["main", "grpo-seed0", "grpo-seed1"]
    perception = found["runs"][0]["rewards"]["perception"]
    assert (perception["num_collapsed"], perception["num_groups"]) == (4, 7)
    assert perception["interval"] == pytest.approx([0.2505, 0.8418], abs=1e-4)  # Wilson 1927, 4 of 7
    assert found["runs"][1]["rewards"]["perception"]["share"] is None


def test_what_is_torn_or_absent_is_a_line_and_the_rest_is_measured(tmp_path, capsys):
    run_dir = write_run(tmp_path / "run")
    write_groups(run_dir, 5, FIRST)
    whole = write_groups(run_dir, 4, FIRST).read_bytes()
    (run_dir / "rollouts/rollouts-000004.parquet").write_bytes(whole[: len(whole) // 2])
    pq.write_table(pq.read_table(run_dir / "rollouts/rollouts-000001.parquet").drop_columns(["step"]),
                   run_dir / "rollouts/other.parquet")  # fmt: skip
    lame = pq.read_table(run_dir / "rollouts/rollouts-000005.parquet").slice(0, 11)
    pq.write_table(lame, run_dir / "rollouts/rollouts-000005.parquet")
    (run_dir / "rl").mkdir()
    (run_dir / "rl/metrics.jsonl").write_text('{"step": 7, "loss": 0.1}\n')
    collapse(run_dir)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert len(lines) == 4
    assert "other.parquet: no rollouts of this version" in lines[0]
    assert "rollouts-000004.parquet: torn or no Parquet file" in lines[1]
    assert "no rollouts of updates 3 to 4, 6 to 7" in lines[2]
    assert "update 5: 1 of its groups have not each of their 3 rollouts once" in lines[3]
    run = record(run_dir / "benchmark/analyses/collapse")["runs"][0]
    assert (run["num_updates"], run["num_rollouts"]) == (3, 24 + 9)


def test_the_same_rollouts_in_two_files_are_counted_by_nobody(tmp_path):
    run_dir = write_run(tmp_path / "run")
    content = (run_dir / "rollouts/rollouts-000001.parquet").read_bytes()
    (run_dir / "rollouts/copy.parquet").write_bytes(content)
    saved = read_rollouts(run_dir)
    assert {group.step for group in saved.groups} == {2}
    assert "update 1: 4 of its groups" in saved.problems[-1]


def test_a_run_that_cannot_be_read_is_a_line_beside_those_that_can(tmp_path, capsys):
    run_dir = write_run(tmp_path / "run")
    (run_dir / "compare/full-seed0/rollouts").mkdir(parents=True)
    (run_dir / "compare/full-seed0/rollouts/rollouts-000001.parquet").write_bytes(b"PAR1")
    collapse(run_dir, tmp_path / "sft_only", "--out", tmp_path / "out")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert len(lines) == 2
    assert "sft_only" in lines[0] and "full-seed0" in lines[1]
    assert [run["run"] for run in record(tmp_path / "out")["runs"]] == ["run"]


@pytest.mark.parametrize("what", ["nothing", "no rollouts", "torn"])
def test_a_run_without_rollouts_is_one_line(tmp_path, capsys, what):
    run_dir = tmp_path / "run"
    if what != "nothing":
        (run_dir / "rollouts").mkdir(parents=True)
    if what == "torn":
        (run_dir / "rollouts/rollouts-000001.parquet").write_bytes(b"PAR1")
    assert main(["collapse", str(run_dir)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "run" in line


def test_an_update_that_shares_its_rollouts_with_the_next_is_not_absent():
    assert absent_updates([1, 3, 5], 6) == []
    assert absent_updates([1, 3, 7], 7) == [5]
    assert absent_updates([2], 2) == [] == absent_updates([], 9)
    assert absent_updates([1], 3) == [2, 3]
    assert spans([3, 4, 6, 8, 9]) == "3 to 4, 6, 8 to 9"


def test_runs_of_one_name_are_told_apart_by_their_path(tmp_path):
    paths = [write_run(tmp_path / parent / "tiny") for parent in ("a", "b")]
    assert find_runs(paths[0]) == [paths[0]]
    assert name_runs(paths) == [path.as_posix() for path in paths]
    assert name_runs([paths[0]]) == ["tiny"]

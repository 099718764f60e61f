"""`python -m training.benchmarks judge-ablation`: judges that err in a planted way are measured as they err."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from curation.engines.scripted import Fault as Planted
from curation.engines.scripted import write_completion
from curation.schema import INSUFFICIENT, QUESTION, SUFFICIENT
from curation.world.scenes import SceneRecord
from tests.demo_results import demo_records
from tests.folders import kept_row, rejected_row, write_folder
from tests.loopback import Fault, LoopbackServer, prompt_of
from tests.saved_groups import ORIGIN, process, rollout
from training.benchmarks.__main__ import main
from training.rollouts import write_rollouts
from training.sampled import Rollouts

torch.set_num_threads(1)

BROKEN = "a red ball, so B"


def write_dataset(root: Path, num_kept: int = 12) -> Path:
    """Kept rows, four found insufficient, one unscored, one that the filter took, one without a trace, a duplicate."""
    rejected = [rejected_row(number, "verify:insufficient") for number in range(num_kept, num_kept + 4)]
    rejected += [rejected_row(num_kept + 4, "verify:unscored"), rejected_row(num_kept + 5, "filter:score")]
    rejected += [rejected_row(num_kept + 6, "generate:poison"), rejected_row(0, "source:duplicate")]
    return write_folder(root / "dataset", [kept_row(number) for number in range(num_kept)], rejected)


def ball(body: Mapping[str, Any]) -> int:
    return int(re.search(r"has ball (\d+)\?", prompt_of(body))[1])


def verdict(is_sufficient: bool) -> str:
    return json.dumps({"explanation": "so", "judgement": "Yes" if is_sufficient else "No"})


def says(is_sufficient: Callable[[int], bool]) -> Callable[[Mapping[str, Any]], str]:
    return lambda body: verdict(is_sufficient(ball(body)))


def write_judge(path: Path, server: LoopbackServer, **changes: Any) -> Path:
    config = {
        "engine": {"kind": "openai", "model": path.stem, "base_url": server.openai_url},
        "dispatch": {"max_in_flight": 4, "backoff_s": 0.05, "backoff_cap_s": 0.1, "max_tries": 2, "server_wait_s": 0.0},
    }
    path.write_text(yaml.safe_dump(config | changes))
    return path


def write_rule(path: Path) -> Path:
    path.write_text("engine: {kind: scripted_judge}\n")
    return path


def ablate(*words: str | Path) -> None:
    assert main(["judge-ablation", *map(str, words)]) == 0


def failed(capfd: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["judge-ablation", *map(str, words)]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "judges.json").read_text())
    return found


def test_a_second_judge_on_a_dataset_is_measured_by_what_it_was_made_to_say(tmp_path, capsys):
    """Truth: the first 12 are sufficient. The second judge errs on every fourth."""
    folder, out = write_dataset(tmp_path), tmp_path / "out"
    with LoopbackServer(reply=says(lambda number: (number < 12) != (number % 4 == 0))) as server:
        judge = write_judge(tmp_path / "second.yaml", server)
        ablate(folder, "--judge", "recorded", "--judge", f"second={judge}", "--out", out)
    assert server.asked.total() == 18  # each observation once: not the duplicate, nor what never had one
    found = record(out)
    recorded, second = found["judges"]
    assert (recorded["num_asked"], recorded["num_sufficient"], recorded["num_insufficient"]) == (18, 12, 4)
    assert recorded["unscored"] == {"not recorded": 2} and recorded["null_share"] == pytest.approx(2 / 18)
    assert (second["num_sufficient"], second["num_insufficient"], second["null_share"]) == (11, 7, 0.0)
    (pair,) = found["pairs"]
    # Of the 16 that both decided they differ on 0, 4, 8 (sufficient as recorded) and 12.
    assert (pair["agreement"]["num"], pair["agreement"]["num_equal"]) == (16, 12)
    assert (pair["num_only_first"], pair["num_only_second"], pair["num_both_insufficient"]) == (3, 1, 3)
    assert pair["agreement"]["kappa"] == pytest.approx((12 * 16 - (12 * 10 + 4 * 6)) / (16**2 - (12 * 10 + 4 * 6)))
    assert pair["p_value"] == 2 * (1 + 4) / 16
    assert pair["agreed_interval"] == pytest.approx([0.5050, 0.8982], abs=1e-4)  # Wilson 1927, 12 of 16
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if not line.startswith(("- ", "written"))) <= 80
    assert "recorded, second: that one is stricter than the other is inside the noise" in text
    assert "A dataset has one observation a question" in text
    assert all((out / f"{name}.png").stat().st_size > 5_000 for name in ("sufficient", "agreement"))
    assert not (out / "collapse.png").exists()


def test_labels_judge_the_judges(tmp_path, capsys):
    folder, out = write_dataset(tmp_path), tmp_path / "out"
    labels = tmp_path / "labels.jsonl"
    rows = [(number, SUFFICIENT if number < 6 else INSUFFICIENT, "ann") for number in range(12)]
    rows += [(12, "cannot_tell", "ann"), (0, INSUFFICIENT, "bob"), (18, SUFFICIENT, "ann")]
    lines = [json.dumps({"id": f"{n:016x}", "label": label, "labeller": who}) for n, label, who in rows]
    labels.write_text("\n".join(lines))
    with LoopbackServer(reply=says(lambda number: number == 1)) as server:
        strict = write_judge(tmp_path / "strict.yaml", server)
        ablate(folder, "--judge", "recorded", "--judge", f"strict={strict}", "--labels", labels, "--out", out)
    assert server.asked.total() == 11  # decided and undisputed, with an observation: 1 to 11
    found = record(out)
    assert found["num_labels"] == 11
    recorded, strict_found = (judge["labels"] for judge in found["judges"])
    assert (recorded["agreement"]["num_equal"], recorded["num_lenient"], recorded["num_strict"]) == (5, 6, 0)
    assert (strict_found["agreement"]["num_equal"], strict_found["num_lenient"], strict_found["num_strict"]) == (
        7,
        0,
        4,
    )
    assert "lenient" in capsys.readouterr().out
    assert (out / "labels.png").is_file()


# The demo: rollouts whose faults are planted, a judge by rule, and one on a server.

PLAN: Sequence[Sequence[Planted | str | None]] = (
    (None, None, None, None),
    (None, Planted.INSUFFICIENT_OBSERVATION, None, None),
    (Planted.INSUFFICIENT_OBSERVATION,) * 4,
    (None, BROKEN, None, None),
)


def write_training(run_dir: Path, **changes: Any) -> Path:
    """A dataset of four demo questions and one update of four rollouts each, as PLAN says; two are masked."""
    records = demo_records(len(PLAN))
    dataset = run_dir.parent / "world"
    rows = [_question_row(record) for record in records]
    (dataset / "rl").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=QUESTION), dataset / "rl/rl-00000-of-00001.parquet")
    rng, sampled = random.Random(0), []
    for group, (row, record, faults) in enumerate(zip(rows, records, PLAN, strict=True)):
        for number, fault in enumerate(faults):
            completion = BROKEN if fault == BROKEN else write_completion(record, fault, rng)  # type: ignore[arg-type]
            sufficient = None if (group, number) in {(0, 3), (1, 0)} else fault is None
            sampled.append(
                rollout(group, number, process(2.0), process(1.0), question_id=row["id"], completion=completion,
                        verdict=sufficient)
            )  # fmt: skip
    write_rollouts(run_dir / "rollouts", Rollouts(1, tuple(sampled)), ORIGIN)
    config = {
        "run_dir": str(run_dir),
        "variant": "no_length_reward",
        "dataset": {"name": str(dataset), "media_root": str(dataset)},
        "model": {"name": "org/policy"},
    }
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config | changes))
    return run_dir


def _question_row(record: SceneRecord) -> dict[str, Any]:
    values = record.model_dump()
    row = {name: values.get(name) for name in QUESTION.names}
    return row | {"options": list(record.options), "data_type": "video", "license": "cc0-1.0"}


def test_on_the_demo_a_judge_that_always_says_yes_collapses_the_groups_that_the_rule_tells_apart(tmp_path, capsys):
    run_dir = write_training(tmp_path / "run")
    with LoopbackServer(reply=lambda body: verdict(True)) as server:
        judges = ["--judge", f"rule={write_rule(tmp_path / 'rule.yaml')}", "--judge", "recorded"]
        judges += ["--judge", f"yes={write_judge(tmp_path / 'yes.yaml', server)}"]
        ablate(run_dir, *judges)
    out = run_dir / "benchmark/analyses/judges"
    found = record(out)
    assert (found["num_observations"], found["num_groups"]) == (15, 4)
    rule, recorded, yes = found["judges"]
    assert (rule["num_sufficient"], rule["num_insufficient"]) == (10, 5)
    assert (recorded["num_sufficient"], recorded["num_insufficient"], recorded["null_share"]) == (8, 5, 2 / 15)
    assert (yes["num_sufficient"], yes["num_insufficient"]) == (15, 0)
    # R_P: 2 sufficient, 1 well-formed and insufficient, 0 malformed.
    assert rule["reward"]["mean_reward"] == (8 + 7 + 4 + 6) / 16
    assert yes["reward"]["mean_reward"] == (8 + 8 + 8 + 6) / 16
    assert recorded["reward"]["mean_reward"] == (6 + 5 + 4 + 6) / 14
    assert recorded["reward"]["num_scored"] == 14
    collapsed = [(judge["reward"]["collapse"]["num_collapsed"]) for judge in (rule, recorded, yes)]
    assert collapsed == [2, 2, 3]
    rule_and_yes = next(pair for pair in found["pairs"] if (pair["first"], pair["second"]) == ("rule", "yes"))
    assert rule_and_yes["reward_difference"] == (0 + 0.25 + 1 + 0) / 4
    assert rule_and_yes["p_value"] == 2 / 2**5
    rule_and_recorded = found["pairs"][0]
    assert (rule_and_recorded["agreement"]["num_equal"], rule_and_recorded["agreement"]["num"]) == (13, 13)
    assert rule_and_recorded["reward_difference"] == 0
    assert "collapsed" in capsys.readouterr().out
    assert (out / "collapse.png").is_file()
    assert "no verdict on 2" in (out / "judges.html").read_text()


def test_whole_groups_are_drawn_and_a_larger_sample_holds_the_smaller(tmp_path):
    run_dir = write_training(tmp_path / "run")
    rule = write_rule(tmp_path / "rule.yaml")
    sizes = []
    for num_rows in (1, 5, 8, 100):
        out = tmp_path / f"out{num_rows}"
        ablate(run_dir, "--judge", "recorded", "--judge", f"rule={rule}", "--rows", str(num_rows), "--out", out)
        sizes.append(record(out)["num_groups"])
    assert sizes == [1, 2, 2, 4]


def test_nothing_is_paid_twice_whatever_is_asked_for(tmp_path):
    folder, out = write_dataset(tmp_path), tmp_path / "out"
    with LoopbackServer(reply=says(lambda number: True)) as server:
        judge = write_judge(tmp_path / "judge.yaml", server, prices={"judge": {"input": 1.0, "output": 1.0}})
        first = ["--judge", "recorded", "--judge", f"one={judge}", "--out", out]
        ablate(folder, *first, "--rows", "6")
        assert server.asked.total() == 6
        spent = record(out)["judges"][1]["spent_usd"]
        assert spent > 0
        ablate(folder, *first, "--rows", "6")
        ablate(folder, "--judge", f"renamed={judge}", "--judge", "recorded", "--rows", "6", "--out", out)
        assert server.asked.total() == 6
        assert record(out)["judges"][0]["spent_usd"] == spent
        ablate(folder, *first)
        assert server.asked.total() == 18 and set(server.answered.values()) == {1}


def test_a_run_that_broke_off_goes_on_where_it_stopped(tmp_path, capfd):
    folder, out = write_dataset(tmp_path, num_kept=80), tmp_path / "out"

    def refuse(prompt: str, nth: int) -> Fault | None:
        return Fault(401) if "ball 70?" in prompt and nth == 1 else None

    with LoopbackServer(reply=says(lambda number: True), faults=refuse) as server:
        judge = write_judge(tmp_path / "judge.yaml", server)
        words = [folder, "--judge", "recorded", "--judge", f"one={judge}", "--out", out]
        assert "401" in failed(capfd, *words)
        assert 64 <= server.answered.total() < 86
        ablate(*words)
        assert server.answered.total() == 86 and set(server.answered.values()) == {1}
    assert record(out)["judges"][1]["num_sufficient"] == 86


def test_a_judge_without_a_verdict_is_null_and_in_no_share(tmp_path, capsys):
    folder, out = write_dataset(tmp_path), tmp_path / "out"

    def reply(body: Mapping[str, Any]) -> str:
        return "I cannot say: maybe" if ball(body) in (2, 3) else verdict(True)

    with LoopbackServer(reply=reply) as server:
        judge = write_judge(tmp_path / "judge.yaml", server)
        ablate(folder, "--judge", "recorded", "--judge", f"one={judge}", "--out", out)
    assert server.asked.total() == 18 + 2  # `tries: 2`
    found = record(out)
    one = found["judges"][1]
    assert (one["num_sufficient"], one["num_insufficient"], one["unscored"]) == (16, 0, {"no verdict (stop)": 2})
    assert (one["sufficient"], one["null_share"]) == (1.0, pytest.approx(2 / 18))
    assert found["pairs"][0]["agreement"]["num"] == 14
    assert "one: no verdict on 2: no verdict (stop) 2" in capsys.readouterr().out


def test_a_judge_that_never_answers_is_one_line_and_not_a_table_of_nulls(tmp_path, capfd):
    folder = write_dataset(tmp_path)
    with LoopbackServer(reply=lambda body: "well") as server:
        judge = write_judge(tmp_path / "judge.yaml", server)
        line = failed(capfd, folder, "--judge", "recorded", "--judge", f"mute={judge}", "--out", tmp_path / "out")
    assert "judge mute gave no verdict on 18 observations" in line and "training" not in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--judge", "recorded"], "at least twice"),
        (["--judge", "recorded", "--judge", "recorded"], "more than once"),
        (["--judge", "recorded", "--judge", "no file"], "NAME=FILE.yaml"),
        (["--judge", "recorded", "--judge", "a=missing.yaml"], "missing.yaml"),
        (["--judge", "recorded", "--judge", "a=RULE", "--rows", "0"], "--rows must be at least 1"),
        (["--judge", "recorded", "--judge", "a=RULE", "--labels", "x.csv", "--out", "OUT"], "x.csv"),
        (["--judge", "recorded", "--judge", "a=RULE"], "say with --out"),
    ],
)
def test_what_cannot_be_asked_is_one_line(tmp_path, capfd, words, said):
    folder = write_dataset(tmp_path)
    rule = write_rule(tmp_path / "rule.yaml")
    replaced = [word.replace("RULE", str(rule)).replace("OUT", str(tmp_path / "out")) for word in words]
    assert said in failed(capfd, folder, *replaced)


def test_a_training_without_what_judges_need_is_one_line(tmp_path, capfd):
    rule = write_rule(tmp_path / "rule.yaml")
    judges = ["--judge", "recorded", "--judge", f"rule={rule}"]
    assert "no dataset" in failed(capfd, tmp_path, *judges, "--out", tmp_path / "out")
    compared = write_training(tmp_path / "parent/compare/full-seed0")
    assert f"such as {compared}" in failed(capfd, tmp_path / "parent", *judges)
    run_dir = write_training(tmp_path / "agnostic/run", input={"template": "agnostic"})
    assert "template agnostic" in failed(capfd, run_dir, *judges)
    run_dir = write_training(tmp_path / "run")
    assert "--labels are about" in failed(capfd, run_dir, *judges, "--labels", "x.csv")
    path = tmp_path / "world/rl/rl-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    assert "which a saved rollout answers" in failed(capfd, run_dir, *judges)

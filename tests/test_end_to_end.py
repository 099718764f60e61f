"""The main job, as a user runs it: real files, the real SDKs, loopback servers, the command line."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curation.__main__ import main
from tests.loopback import Fault, LoopbackServer
from tests.questions import Models, command, question_number, twenty_records, write_config, write_world

EXPECTED = {
    None: 10,
    "filter:score": 1,
    "filter:format": 1,
    "verify:insufficient": 1,
    "verify:unscored": 1,
    "media:missing": 1,
    "media:corrupt": 1,
    "media:no_video": 1,
    "media:empty": 1,
    "source:unknown_problem_type": 1,
    "source:duplicate": 1,
}


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "test-key-of-the-judge")


def servers(models: Models | None = None, **faults) -> tuple[LoopbackServer, LoopbackServer]:
    models = models or Models()
    return (
        LoopbackServer(reply=models.write_trace, **faults),
        LoopbackServer(reply=models.judge, **faults),
    )


def rows(dataset: Path, config: str) -> list[dict]:
    folder = {"cot": "data", "rejected": "rejected", "rl": "rl"}[config]
    return pl.read_parquet(dataset / folder / "*.parquet").to_dicts()


def outcome(dataset: Path) -> Counter:
    return Counter([None] * len(rows(dataset, "cot"))) + Counter(r["rejected_by"] for r in rows(dataset, "rejected"))


def test_twenty_records_become_rows_rejects_and_reasons_that_add_up_to_twenty(tmp_path, capfd):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        assert main(["run", str(write_config(tmp_path, generator, judge))]) == 0
    dataset = tmp_path / "run" / "dataset"
    assert outcome(dataset) == EXPECTED
    assert len(rows(dataset, "rl")) == 14
    kept = rows(dataset, "cot")
    assert [row["problem_id"] for row in kept] == list(range(10))
    assert {row["score"] for row in kept} == {1.0}
    assert {row["verdict"] for row in kept} == {"sufficient"}
    assert all(row["media_sha256"] and row["media_num_frames"] for row in kept)
    rejected = {row["rejected_by"]: row for row in rows(dataset, "rejected")}
    assert rejected["filter:format"]["completion"].count("</<answer>") == 1
    assert rejected["filter:score"]["score"] == 0.0
    assert rejected["verify:unscored"]["verdict"] is None
    assert "record 19" in rejected["source:unknown_problem_type"]["detail"]
    out = capfd.readouterr().out
    assert "dataset" in out
    assert "next" in out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["funnel"]["num_read"] == 20
    assert report["funnel"]["num_kept"] == 10


def test_no_media_and_no_key_reach_the_judge_and_no_key_reaches_the_disk(tmp_path):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        assert main(["run", str(write_config(tmp_path, generator, judge))]) == 0
    assert judge.bodies
    for _, body in judge.bodies:
        text = json.dumps(body)
        assert "image" not in {part.get("type") for m in body["messages"] for part in _parts(m)}
        assert "base64" not in text
        assert "data:" not in text
        assert "file://" not in text
    frames = [sum(part["type"] == "image_url" for part in _parts(b["messages"][-1])) for _, b in generator.bodies]
    assert set(frames) == {1, 4}
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            assert b"test-key-of-the-judge" not in path.read_bytes()


def _parts(message: dict) -> list[dict]:
    return message["content"] if isinstance(message["content"], list) else []


def test_finished_run_costs_no_call_and_a_change_redoes_exactly_what_depends_on_it(tmp_path):
    write_world(tmp_path, twenty_records())
    generator, judge = servers(Models(unparsable=set()))
    with generator, judge:
        config = str(write_config(tmp_path, generator, judge))
        dataset = tmp_path / "run" / "dataset"

        def calls(*overrides: str) -> tuple[int, int]:
            before = generator.asked.total(), judge.asked.total()
            assert main(["run", config, *overrides]) == 0
            return generator.asked.total() - before[0], judge.asked.total() - before[1]

        assert calls() == (14, 12)
        first = {name: rows(dataset, name) for name in ("cot", "rejected", "rl")}
        assert calls() == (0, 0)
        assert {name: rows(dataset, name) for name in ("cot", "rejected", "rl")} == first
        # The wrong answer passes step 2 now, so it alone is judged; nothing is generated.
        assert calls("filter.min_score=0") == (0, 1)
        assert outcome(dataset)["filter:score"] == 0
        assert calls() == (0, 0)
        assert outcome(dataset)["filter:score"] == 1
        # Another judge judges everything that reaches it; a prompt of one's own likewise.
        assert calls("verify.engine.model=another-judge") == (0, 12)
        prompt = tmp_path / "prompt.txt"
        prompt.write_text("{question} Look at the {data_type}. Answer with {answer_form}.")
        # New completions, but the same observations: no verdict is paid for twice.
        assert calls(f"generate.prompt={prompt}") == (14, 0)
        assert calls("generate.engine.model=another-generator") == (14, 0)
        assert calls("generate.engine.timeout_s=9", "verify.dispatch.max_tries=2") == (0, 0)


def test_mended_rule_reaches_the_rows_of_a_finished_run_without_a_call(tmp_path, monkeypatch):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        config = str(write_config(tmp_path, generator, judge))
        assert main(["run", config]) == 0
        asked = generator.asked.total(), judge.asked.total()
        monkeypatch.setattr("curation.pipeline.RULES_VERSION", 3)
        monkeypatch.setattr("curation.filters.score_answer", lambda *args, **options: 0.0)
        assert main(["run", config]) == 0
        assert (generator.asked.total(), judge.asked.total()) == asked
    assert outcome(tmp_path / "run" / "dataset")["filter:score"] == 13


def test_faulty_servers_change_nothing_but_the_time(tmp_path):
    write_world(tmp_path, twenty_records())
    what = [429, 500, 529, "reset", "torn", "not_json", "null", "close", "cut"]

    def faults(prompt: str, nth: int) -> Fault | None:
        kind = what[question_number(prompt) % len(what)]
        return Fault(kind, retry_after="0.1" if kind == 429 else None) if nth <= 2 else None

    generator, judge = servers(faults=faults)
    with generator, judge:
        assert main(["run", str(write_config(tmp_path, generator, judge))]) == 0
    assert outcome(tmp_path / "run" / "dataset") == EXPECTED


def test_poison_is_quarantined_with_its_error_and_retried_only_on_request(tmp_path):
    write_world(tmp_path, twenty_records())
    sick = {"on": True}

    def faults(prompt: str, nth: int) -> Fault | None:
        if not sick["on"]:
            return None
        return Fault(400) if "number 0:" in prompt else Fault(500) if "number 1:" in prompt else None

    generator = LoopbackServer(reply=Models().write_trace, faults=faults)
    judge = LoopbackServer(reply=Models().judge)
    with generator, judge:
        config = str(write_config(tmp_path, generator, judge))
        assert main(["run", config]) == 0
        dataset = tmp_path / "run" / "dataset"
        found = outcome(dataset)
        assert (found["generate:poison"], found["generate:exhausted"], found[None]) == (1, 1, 8)
        assert all(r["detail"] for r in rows(dataset, "rejected") if r["rejected_by"].startswith("generate:"))
        sick["on"] = False
        asked = generator.asked.total()
        assert main(["run", config]) == 0
        assert generator.asked.total() == asked
        assert main(["run", config, "--retry-failed"]) == 0
        assert generator.asked.total() == asked + 2
        assert outcome(dataset) == EXPECTED


def test_second_attempt_regenerates_what_steps_2_and_3_rejected_and_keeps_every_record(tmp_path):
    write_world(tmp_path, twenty_records())
    models = Models(unparsable=set())

    def second_time_lucky(body):
        text = models.write_trace(body)
        return Models(set(), set()).write_trace(body) if body["temperature"] > 0 else text

    generator, judge = LoopbackServer(reply=second_time_lucky), LoopbackServer(reply=models.judge)
    with generator, judge:
        config = str(write_config(tmp_path, generator, judge, generate__attempts=2))
        assert main(["run", config]) == 0
        assert generator.asked.total() == 14 + 3
    dataset = tmp_path / "run" / "dataset"
    found = outcome(dataset)
    assert (found[None], found["filter:score"], found["filter:format"], found["verify:insufficient"]) == (13, 0, 0, 1)
    assert Counter(row["attempt"] for row in rows(dataset, "cot")) == {1: 11, 2: 2}
    attempts = pl.read_parquet(tmp_path / "run" / "shards" / "*.attempts.parquet")
    assert attempts.height == 17


def test_budget_stops_before_it_is_passed_and_goes_on_when_raised(tmp_path, capfd):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        config = str(write_config(tmp_path, generator, judge))
        price = "prices={tiny-vl: {input: 0, output: 0}, claude-haiku-5-5: {input: 1000, output: 1000}}"
        # A call costs 18 tokens = 0.018 USD; its reservation is some thousand tokens, so only a few USD let one start.
        assert main(["run", config, price, "budget_usd=5"]) == 2
        line = capfd.readouterr().err.splitlines()[-1]
        assert "budget_usd=5" in line
        judged = judge.asked.total()
        assert judged < 12
        assert main(["run", config, price, "budget_usd=500"]) == 0
        assert outcome(tmp_path / "run" / "dataset") == EXPECTED
        assert max(judge.answered[prompt] for prompt in judge.answered) <= 2  # the unparsable one, twice
        assert main(["run", config, "run_dir=" + str(tmp_path / "other"), "budget_usd=5"]) == 2
        assert "'tiny-vl' is not known" in capfd.readouterr().err


@pytest.mark.parametrize("batches", [False, True])
def test_judge_live_and_in_batches_give_the_same_dataset(tmp_path, batches):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    changes = {"verify__engine__batches": {"max_requests": 3, "poll_s": 0.05}} if batches else {}
    with generator, judge:
        assert main(["run", str(write_config(tmp_path, generator, judge, **changes))]) == 0
    assert outcome(tmp_path / "run" / "dataset") == EXPECTED
    assert bool(judge.batches) == batches


def test_one_bad_server_or_key_stops_with_one_line(tmp_path, capfd, monkeypatch):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    generator.api_key = "another"
    with generator, judge:
        config = str(write_config(tmp_path, generator, judge))
        assert main(["run", config]) == 2
        error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(error) == 1
        monkeypatch.delenv("JUDGE_KEY")
        assert main(["run", config]) == 2
        assert "JUDGE_KEY" in capfd.readouterr().err.splitlines()[-1]


def test_second_run_on_one_directory_is_refused_while_the_first_one_works(tmp_path):
    write_world(tmp_path, twenty_records())
    generator, judge = servers(latency_s=0.3)
    with generator, judge:
        config = write_config(tmp_path, generator, judge)
        first = subprocess.Popen(command("run", config), stderr=subprocess.PIPE)
        while not generator.asked:
            assert first.poll() is None, first.stderr.read()
        second = subprocess.run(command("run", config), capture_output=True, text=True)
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert "in use by another run" in second.stderr
        assert first.wait(60) == 0


def test_dry_run_prints_the_plan_and_calls_and_writes_nothing(tmp_path, capfd):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        assert main(["run", str(write_config(tmp_path, generator, judge)), "--dry-run"]) == 0
        assert not generator.asked
        assert not judge.asked
    out = capfd.readouterr().out
    assert not (tmp_path / "run").exists()
    for words in ("questions", "18", "media bytes", "GPU h", "judge, live", "judge, batch", "USD", "2026"):
        assert words in out


def test_full_disk_stops_cleanly_and_the_run_goes_on_when_there_is_room(tmp_path):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        config = write_config(tmp_path, generator, judge)
        small = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
            "from curation.__main__ import main; sys.exit(main(sys.argv[1:]))"
        )
        ran = subprocess.run([sys.executable, "-c", small, "run", str(config)], capture_output=True, text=True)
        assert ran.returncode == 2, ran.stderr
        assert "disk is full" in ran.stderr.splitlines()[-1]
        assert "Traceback" not in ran.stderr
        assert main(["run", str(config)]) == 0
    assert outcome(tmp_path / "run" / "dataset") == EXPECTED


def test_output_loads_with_datasets_in_a_fresh_process_plain_and_streaming(tmp_path):
    write_world(tmp_path, twenty_records())
    generator, judge = servers()
    with generator, judge:
        assert main(["run", str(write_config(tmp_path, generator, judge))]) == 0
    script = """
import json, sys
from datasets import load_dataset
found = {}
for config in ("cot", "rejected", "rl"):
    plain = load_dataset(sys.argv[1], config, split="train")
    streamed = list(load_dataset(sys.argv[1], config, split="train", streaming=True))
    assert plain.to_list() == streamed
    found[config] = {"rows": len(streamed), "features": {k: str(v) for k, v in plain.features.items()}}
found["default"] = len(load_dataset(sys.argv[1], split="train"))
print(json.dumps(found))
"""
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    dataset = tmp_path / "run" / "dataset"
    ran = subprocess.run([sys.executable, "-c", script, str(dataset)], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found["cot"]["rows"], found["rejected"]["rows"], found["rl"]["rows"], found["default"]) == (10, 10, 14, 10)
    features = found["cot"]["features"]
    assert features["options"] == "List(Value('string'))"
    assert features["score"] == "Value('float64')"
    assert features["observation_tokens"] == "Value('int64')"
    assert set(found["rejected"]["features"]) - set(features) == {"rejected_by", "detail", "completion"}

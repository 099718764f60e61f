"""How a run begins and ends when something is not as it should be, and what it shows meanwhile."""

import json
import signal
import subprocess
import time
from collections import Counter

import pytest

from curation.__main__ import main
from curation.journal import read_journal
from tests.loopback import Fault, LoopbackServer
from tests.questions import Models, command, question_number, record, write_config, write_world

NUM = 12


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "k")


@pytest.fixture
def world(tmp_path):
    write_world(tmp_path, [record(number, "good.png") for number in range(NUM)])
    models = Models(wrong={3}, broken={4}, insufficient={5}, unparsable=set())
    with LoopbackServer(reply=models.write_trace) as generator, LoopbackServer(reply=models.judge) as judge:
        yield tmp_path, generator, judge


def test_a_finished_run_needs_no_key_until_it_has_something_to_ask(world, monkeypatch, capfd):
    root, generator, judge = world
    config = str(write_config(root, generator, judge))
    assert main(["run", config]) == 0
    asked = judge.asked.total()
    monkeypatch.delenv("JUDGE_KEY")
    assert main(["run", config]) == 0
    assert judge.asked.total() == asked
    capfd.readouterr()
    assert main(["run", config, "verify.engine.model=another"]) == 2
    assert "JUDGE_KEY is not set" in capfd.readouterr().err.splitlines()[-1]


def test_the_share_that_is_kept_and_why_the_rest_is_not_stand_beside_the_progress(world, capfd):
    root, generator, judge = world
    judge.faults = lambda prompt, nth: Fault("refusal") if question_number(prompt) == 6 else None
    judge._script = None
    assert main(["run", str(write_config(root, generator, judge))]) == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("traces") and "kept" in line]
    assert "of 12: kept 67%, format 8%, score 8%, unscored 8%, other 8%" in line


@pytest.mark.parametrize(("fault", "times"), [(Fault(400), 1), (Fault("null"), 3), (Fault(500), 4)])
def test_a_judge_that_fails_is_asked_within_one_bound(world, fault, times):
    root, generator, judge = world
    judge.faults = lambda prompt, nth: fault if question_number(prompt) in (0, 1) else None
    judge._script = None
    assert (
        main(["run", str(write_config(root, generator, judge)), "verify.tries=3", "verify.dispatch.max_tries=4"]) == 0
    )
    counts = Counter({prompt: count for prompt, count in judge.asked.items() if question_number(prompt) in (0, 1)})
    assert set(counts.values()) == {times}


def test_a_server_that_was_never_reached_ends_the_run_in_seconds(world, capfd):
    root, generator, judge = world
    generator.stop()
    began_s = time.monotonic()
    assert main(["run", str(write_config(root, generator, judge)), "generate.dispatch.first_contact_s=0.5"]) == 2
    assert time.monotonic() - began_s < 30
    assert "unreachable" in capfd.readouterr().err.splitlines()[-1]


def test_a_tokenizer_that_is_not_there_comes_out_before_anything_is_read(world, capfd, monkeypatch):
    root, generator, judge = world
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["run", str(write_config(root, generator, judge)), f"tokenizer={root}/none/tokenizer.json"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "tokenizer" in line
    assert not (root / "run" / "questions").exists()


def test_unusable_generators_and_judges_end_the_run_each_in_its_own_name(world, capfd):
    root, generator, judge = world
    config = str(write_config(root, generator, judge))
    limits = ["generate.dispatch.stop_after_unusable=5", "verify.dispatch.stop_after_unusable=4"]
    generator.reply, write_trace = lambda body: "I see a block.", generator.reply
    assert main(["run", config, *limits]) == 2
    assert "error: generate: tiny-vl gave no usable reply in its first 5 answers" in capfd.readouterr().err
    assert generator.asked.total() == 5
    generator.reply = write_trace
    judge.reply = lambda body: "It depends."
    assert main(["run", config, f"run_dir={root}/other", *limits]) == 2
    assert "error: verify: claude-haiku-5-5 gave no usable reply in its first 4 answers" in capfd.readouterr().err
    assert judge.asked.total() == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_is_in_flight_come_in_and_says_so(world, number):
    root, generator, judge = world
    generator.latency_s = 1.5
    process = subprocess.Popen(command("run", write_config(root, generator, judge)), stderr=subprocess.PIPE, text=True)
    while generator.num_in_flight < 4:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "waiting up to 20 s for the 4 requests in flight, which are paid for" in told
    assert told.splitlines()[-1].startswith(f"error: stopped by {number.name}")
    assert "Traceback" not in told
    answered = [entry["id"] for path in root.glob("run/journal/*.generate.jsonl") for entry in read_journal(path)]
    assert len(answered) == 4 == generator.asked.total()
    generator.latency_s = 0.0
    assert main(["run", str(root / "config.yaml")]) == 0
    assert set(generator.asked.values()) == {1}


def test_a_batch_that_is_gone_is_asked_again_only_with_the_flag_that_its_error_names(world, capfd):
    root, generator, judge = world
    batches = {"verify__engine__batches": {"max_requests": 50, "poll_s": 0.05}}
    config = str(write_config(root, generator, judge, **batches, shard_size=100))
    judge.batch_s = 1e9
    process = subprocess.Popen(command("run", config), stderr=subprocess.DEVNULL)
    while not judge.batches:
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.kill()
    process.wait()
    judge.batches.clear()
    judge.batch_s = 0.0
    for _ in range(2):
        assert main(["run", config]) == 2
        error = capfd.readouterr().err.splitlines()[-1]
        assert error.startswith("error: batch msgbatch_000001 of 10 questions")
        assert "--retry-failed" in error
        assert judge.batch_calls["create"] == 1
    assert main(["run", config, "--retry-failed"]) == 0
    assert judge.batch_calls["create"] == 2
    report = json.loads((root / "run" / "report.json").read_text())
    assert report["funnel"]["num_kept"] == 9

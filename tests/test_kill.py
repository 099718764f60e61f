"""kill -9 at random moments: the resumed dataset equals an uninterrupted one, and nothing paid is asked for twice."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.journal import read_journal
from tests.loopback import LoopbackServer
from tests.questions import Models, command, question_number, record, write_config, write_world

NUM_QUESTIONS = 90
MAX_IN_FLIGHT = 4
BATCHES = {"verify__engine__batches": {"max_requests": 7, "poll_s": 0.3}}


def tables(run_dir: Path) -> dict[str, list]:
    return {
        str(path.relative_to(run_dir)): pq.read_table(path).to_pylist()
        for path in sorted((run_dir / "dataset").rglob("*.parquet"))
    }


def journalled(run_dir: Path, step: str) -> set[str]:
    return {entry["id"] for path in run_dir.glob(f"journal/*.{step}.jsonl") for entry in read_journal(path)}


def by_question(asked: Counter[str]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for prompt, count in asked.items():
        counts[question_number(prompt)] += count
    return counts


@pytest.mark.parametrize(("num_kills_wanted", "changes"), [(20, {}), (10, BATCHES)], ids=["live", "batches"])
def test_killed_run_ends_in_the_same_dataset_and_repeats_only_what_was_in_flight(
    tmp_path, monkeypatch, num_kills_wanted, changes
):
    monkeypatch.setenv("JUDGE_KEY", "k")
    names = ("good.mp4", "good.webm", "good.png")
    records = [record(number, names[number % 3]) for number in range(NUM_QUESTIONS)]
    write_world(tmp_path, records)
    models = Models(wrong={10, 40}, broken={11, 41, 71}, insufficient={12, 60}, unparsable={13})
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with LoopbackServer(reply=models.write_trace) as generator, LoopbackServer(reply=models.judge) as judge:
        config = write_config(tmp_path, generator, judge, generate__attempts=2, shard_size=25, **changes)
        uninterrupted = tmp_path / "uninterrupted"
        subprocess.run(command("run", config, f"run_dir={uninterrupted}"), check=True, capture_output=True)
        expected = tables(uninterrupted)
        once = by_question(generator.asked), by_question(judge.asked)

        num_kills = num_runs = 0
        while num_kills < num_kills_wanted:
            run_dir = tmp_path / f"run{num_runs}"
            num_runs += 1
            killed_here = 0
            generator.asked.clear()
            judge.asked.clear()
            generator.latency_s = judge.latency_s = 0.1 if changes else 0.3
            judge.batch_s = 0.8
            while num_kills < num_kills_wanted:
                process = subprocess.Popen(
                    command("run", config, f"run_dir={run_dir}"), stderr=subprocess.PIPE, start_new_session=True
                )
                time.sleep(dice.uniform(0.05, 4.0))
                if process.poll() is not None:
                    assert process.returncode == 0, process.stderr.read()
                    break
                # Only the run itself is killed: its decoder processes have to notice.
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                num_kills += 1
                killed_here += 1
            generator.latency_s = judge.latency_s = judge.batch_s = 0.0
            subprocess.run(command("run", config, f"run_dir={run_dir}"), check=True, capture_output=True)
            assert tables(run_dir) == expected
            assert len(journalled(run_dir, "generate")) == NUM_QUESTIONS
            for server, wanted in zip((generator, judge), once, strict=True):
                extra = by_question(server.asked) - wanted
                # A batch is sent once and found again, whenever the kill came.
                assert extra.total() <= (0 if changes and server is judge else killed_here * MAX_IN_FLIGHT)
                assert by_question(server.asked).keys() == wanted.keys()

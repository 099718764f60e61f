"""The demo's promise, on a seed that nobody looked at: faults are caught by their own step, good traces are kept."""

import io
import random

import pytest
from rich.console import Console

from curation.demo import count_faults, demo, demo_config

CAUGHT_BY = {
    "broken_template": "filter:format",
    "insufficient_observation": "verify:insufficient",
    "leaked_answer": "filter:leaks_answer",
    "wrong_answer": "filter:score",
    "media file: missing": "media:missing",
    "media file: empty": "media:empty",
    "media file: corrupt": "media:corrupt",
    "media file: no_video": "media:no_video",
}


@pytest.mark.parametrize("is_any_seed", [False, True])
def test_demo_catches_every_injected_fault_with_its_own_rule_and_keeps_the_good_traces(tmp_path, is_any_seed):
    seed = random.SystemRandom().randrange(1, 10**6) if is_any_seed else 0
    print(f"seed {seed}")
    out = io.StringIO()
    run_dir = tmp_path / "demo"
    counts = demo(run_dir, num_questions=400, seed=seed, console=Console(file=io.StringIO()), out=Console(file=out))
    by_fault = {count.fault: count for count in counts}
    assert set(by_fault) == {None, *CAUGHT_BY}
    good = by_fault.pop(None)
    assert good.share_caught <= 0.01
    for fault, count in by_fault.items():
        needed = 1.0 if fault not in ("insufficient_observation", "leaked_answer") else 0.99
        assert count.share_caught >= needed
        assert dict(count.reasons).keys() <= {CAUGHT_BY[fault]}
    for words in ("Injected faults", "caught", "missed", "wrong answer", "broken template"):
        assert words in out.getvalue()


def test_resumed_demo_gives_the_same_counts_without_a_new_answer(tmp_path):
    quiet = Console(file=io.StringIO())
    first = demo(tmp_path / "demo", num_questions=60, seed=5, console=quiet, out=quiet)
    journals = {path: path.read_bytes() for path in (tmp_path / "demo" / "journal").iterdir()}
    assert demo(tmp_path / "demo", num_questions=60, seed=5, console=quiet, out=quiet) == first
    assert {path: path.read_bytes() for path in (tmp_path / "demo" / "journal").iterdir()} == journals
    config = demo_config(tmp_path / "demo", num_questions=60, seed=5)
    assert count_faults(tmp_path / "demo", config) == first

"""What a step spends is never more than its budget, whatever the server counts, and is known after a kill."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.answers import Ask, Caller, answer, read_spent_usd
from curation.budget import Budget, Price
from curation.engines.base import Completion, EncodedMedia, Request
from curation.engines.config import DispatchConfig
from curation.engines.limiter import Limiter
from curation.errors import BudgetExceeded, FatalEngineError, PoisonError, RetryableError
from curation.journal import read_journal

PRICE = Price(input=1.0, output=4.0)


class Engine:
    """Counts tokens in its own way, and adds up what it would send a bill for."""

    wants = "frames"
    model = "priced"

    def __init__(self, count, fail=lambda nth: None):
        self.count, self.fail = count, fail
        self.num_asked = 0
        self.billed_usd = 0.0

    async def complete(self, request):
        self.num_asked += 1
        nth = self.num_asked
        await asyncio.sleep(0.001 * (nth % 3))
        input_tokens, output_tokens = self.count(request, nth)
        error = self.fail(nth)
        if error is None or (isinstance(error, RetryableError) and error.may_cost):
            self.billed_usd += PRICE.cost_usd(input_tokens, output_tokens)
        if error is not None:
            raise error
        return Completion("text", self.model, input_tokens=input_tokens, output_tokens=output_tokens)

    async def close(self):
        pass


def ask(number, data_type="video", num_frames=16):
    async def prepare():
        media = EncodedMedia(data_type, Path("clip.mp4"), (b"frame",) * num_frames) if data_type else None
        return Request(f"q{number}", "why?", 100, media=media, visual_tokens=16.0 * num_frames)

    return Ask(f"key{number}", f"q{number}", 1, prepare)


def caller(engine, budget, **dispatch):
    config = DispatchConfig(max_in_flight=64, backoff_s=0.001, backoff_cap_s=0.01, **dispatch)
    return Caller(engine, Limiter(64), config, budget, PRICE)


def spend(engine, budget, asks, path):
    try:
        asyncio.run(answer(asks, path, caller(engine, budget)))
    except BudgetExceeded as error:
        return str(error)
    return None


@settings(max_examples=25, deadline=None)
@given(
    limit_usd=st.floats(0.2, 3.0),
    per_frame=st.integers(1, 4000),
    per_image=st.integers(1, 30_000),
    spread=st.floats(0, 0.2),
    num_asks=st.integers(1, 150),
    images_first=st.booleans(),
)
def test_no_run_passes_its_budget_however_its_server_counts_pictures(
    tmp_path_factory, limit_usd, per_frame, per_image, spread, num_asks, images_first
):
    def count(request, nth):
        per_picture = per_frame if request.media.data_type == "video" else per_image
        tokens = len(request.media.frames) * per_picture
        return round(tokens * (1 + spread * (nth % 7) / 6)), 100 if nth % 2 else 20

    kinds = [("image", 1), ("video", 16)] if images_first else [("video", 16), ("image", 1)]
    asks = [ask(number, *kinds[number * 2 // (num_asks + 1)]) for number in range(num_asks)]
    path = tmp_path_factory.mktemp("spend") / "journal.jsonl"
    engine = Engine(count)
    stopped = spend(engine, Budget(limit_usd, 0.0), asks, path)
    first_usd = PRICE.cost_usd(16 * per_frame * 1.2, 100)  # nobody can know what the very first one takes
    assert engine.billed_usd <= max(limit_usd, first_usd)
    assert read_spent_usd(path) == pytest.approx(engine.billed_usd)
    if stopped is not None:
        assert f"{engine.billed_usd:.4f} USD are spent, and the next call may cost" in stopped


def test_the_budget_holds_over_restarts_and_is_used_up_to_a_call_or_two(tmp_path):
    path = tmp_path / "journal.jsonl"
    engine = Engine(lambda request, nth: (30_000, 50))
    for _ in range(6):
        assert spend(engine, Budget(1.0, read_spent_usd(path)), [ask(n) for n in range(200)], path) is not None
    assert 0.9 < engine.billed_usd <= 1.0


@pytest.mark.parametrize(
    "error",
    [
        RetryableError("no answer in time", timed_out=True),
        RetryableError("connection lost"),
        RetryableError("null content", unusable=True, input_tokens=20_000, output_tokens=100),
    ],
    ids=["timeout", "lost", "unusable"],
)
def test_tries_that_a_server_may_charge_for_count_as_spent(tmp_path, error):
    path = tmp_path / "journal.jsonl"
    engine = Engine(lambda request, nth: (20_000, 100), lambda nth: error if nth > 1 and nth % 2 else None)
    stopped = spend(engine, Budget(0.7, 0.0), [ask(number) for number in range(100)], path)
    assert stopped is not None
    assert engine.billed_usd <= 0.7
    assert read_spent_usd(path) >= engine.billed_usd - 1e-9


@pytest.mark.parametrize(
    "error",
    [
        RetryableError("HTTP 500", status=500),
        RetryableError("HTTP 429", status=429, overloaded=True),
        RetryableError("unreachable", unreachable=True),
        PoisonError("HTTP 400"),
        FatalEngineError("HTTP 401"),
    ],
)
def test_what_a_server_refused_costs_nothing_now_or_later(tmp_path, error):
    path = tmp_path / "journal.jsonl"
    engine = Engine(lambda request, nth: (20_000, 100), lambda nth: error)
    config = {"max_tries": 2, "first_contact_s": 0.01, "stop_after_failures": 3}
    with suppress(FatalEngineError):
        asyncio.run(answer([ask(n) for n in range(9)], path, caller(engine, Budget(1.0, 0.0), **config)))
    assert read_spent_usd(path) == 0.0


def test_what_was_in_flight_at_a_kill_stays_spent(tmp_path):
    path = tmp_path / "journal.jsonl"
    engine = Engine(lambda request, nth: (20_000, 100))

    async def killed():
        task = asyncio.create_task(answer([ask(n) for n in range(40)], path, caller(engine, Budget(None, 0.0))))
        while len(list(read_journal(path))) < 10:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(killed())
    assert read_spent_usd(path) >= engine.billed_usd > 0
    spent_usd = read_spent_usd(path)
    asyncio.run(answer([ask(n) for n in range(40)], path, caller(engine, Budget(None, 0.0))))
    answered_usd = sum(entry["cost_usd"] for entry in read_journal(path))
    assert answered_usd == pytest.approx(40 * PRICE.cost_usd(20_000, 100))
    assert read_spent_usd(path) >= engine.billed_usd
    assert spent_usd < read_spent_usd(path)


def test_a_journal_of_before_is_read_as_it_was(tmp_path):
    path = tmp_path / "journal.jsonl"
    entry = {
        "key": "k", "id": "q", "attempt": 1, "text": "x", "stop_reason": "stop", "model": "m", "input_tokens": 1,
        "output_tokens": 1, "cost_usd": 0.25, "failure": None, "detail": None, "tries": 1, "at": "2026",
    }  # fmt: skip
    path.write_text(json.dumps(entry) + "\n" + json.dumps(entry | {"key": "l", "cost_usd": None}) + "\n")
    assert read_spent_usd(path) == 0.25

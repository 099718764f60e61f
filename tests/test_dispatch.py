import asyncio
import threading
from contextlib import aclosing

import pytest

from curation.engines.base import Completion, Request
from curation.engines.build import build_engine
from curation.engines.config import DispatchConfig, OpenAIConfig
from curation.engines.dispatch import Job, Limiter, answer_all
from curation.errors import BudgetExceeded, FatalEngineError, MediaError, PoisonError, RetryableError
from tests.loopback import Fault, LoopbackServer

QUICK = {"backoff_s": 0.02, "backoff_cap_s": 0.1, "server_wait_s": 10.0}


def job(place, prepared=None):
    async def prepare():
        if prepared is not None:
            prepared.append(place)
        return Request(f"q{place}", f"question {place}", max_tokens=16)

    return Job(f"q{place}", prepare)


class Engine:
    """Answers from a script: a callable (prompt, nth time) -> text, or an exception to raise."""

    wants = "nothing"
    model = "scripted"

    def __init__(self, script=lambda prompt, nth: "yes", latency_s=0.0):
        self.script, self.latency_s = script, latency_s
        self.asked, self.num_in_flight, self.peak = {}, 0, 0

    async def complete(self, request):
        nth = self.asked[request.prompt] = self.asked.get(request.prompt, 0) + 1
        self.num_in_flight += 1
        self.peak = max(self.peak, self.num_in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            reply = self.script(request.prompt, nth)
        finally:
            self.num_in_flight -= 1
        if isinstance(reply, Exception):
            raise reply
        return Completion(reply, self.model)

    async def close(self):
        pass


async def collect(engine, jobs, *, outcomes=None, admit=None, limiter=None, **config):
    config = DispatchConfig(**{"max_in_flight": 4} | QUICK | config)
    outcomes = [] if outcomes is None else outcomes
    limiter = limiter or Limiter(config.max_in_flight)
    async with aclosing(answer_all(engine, jobs, limiter=limiter, config=config, admit=admit)) as answers:
        async for outcome in answers:
            outcomes.append(outcome)
    return outcomes


def run(engine, jobs, **options):
    return asyncio.run(collect(engine, jobs, **options))


def serve(server, num_questions, **config):
    async def through_the_sdk():
        engine = build_engine(OpenAIConfig(base_url=server.openai_url, model="m", send="none", timeout_s=60.0))
        try:
            return await collect(engine, map(job, range(num_questions)), **config)
        finally:
            await engine.close()

    return asyncio.run(through_the_sdk())


def test_every_job_has_one_outcome_and_comes_as_soon_as_it_is_complete():
    engine = Engine()
    engine.complete_plain = engine.complete

    async def complete(request):
        await asyncio.sleep(0.3 if request.prompt == "question 0" else 0.0)
        return await engine.complete_plain(request)

    engine.complete = complete
    outcomes = run(engine, map(job, range(50)))
    assert sorted(outcome.key for outcome in outcomes) == sorted(f"q{place}" for place in range(50))
    assert all(outcome.failure is None and outcome.tries == 1 for outcome in outcomes)
    assert outcomes[-1].key == "q0"


def test_no_jobs_no_outcomes():
    assert run(Engine(), []) == []


def test_requests_in_memory_are_bounded_even_when_the_consumer_is_slow():
    prepared, pulled = [], []

    def jobs():
        for place in range(10_000):
            pulled.append(place)
            yield job(place, prepared)

    async def consume():
        num_seen = worst = 0
        config = DispatchConfig(max_in_flight=8, **QUICK)
        async with aclosing(answer_all(Engine(), jobs(), limiter=Limiter(8), config=config)) as answers:
            async for _ in answers:
                await asyncio.sleep(0.002)
                worst = max(worst, len(prepared) - num_seen)
                num_seen += 1
                if num_seen == 100:
                    break
        return worst

    assert asyncio.run(consume()) <= 8 + 2 + 1
    assert len(pulled) <= 100 + 8 + 2 + 1


def test_in_flight_never_passes_the_limit_of_all_shards_together():
    engine = Engine(latency_s=0.005)

    async def two_shards():
        limiter = Limiter(6)
        return await asyncio.gather(*(collect(engine, map(job, range(40)), limiter=limiter) for _ in range(2)))

    first, second = asyncio.run(two_shards())
    assert (len(first), len(second)) == (40, 40)
    assert engine.peak == 6


def test_a_poisoned_question_is_quarantined_and_the_others_are_answered():
    engine = Engine(lambda prompt, nth: PoisonError("too long") if prompt == "question 3" else "yes")
    outcomes = {outcome.key: outcome for outcome in run(engine, map(job, range(20)))}
    assert (outcomes["q3"].failure, outcomes["q3"].detail, outcomes["q3"].tries) == ("poison", "too long", 1)
    assert sum(outcome.completion is not None for outcome in outcomes.values()) == 19


def test_a_server_that_refuses_everything_from_the_start_stops_the_run_and_not_the_whole_dataset():
    outcomes = []
    with pytest.raises(FatalEngineError, match="--retry-failed"):
        engine = Engine(lambda prompt, nth: PoisonError("no such chat template"))
        run(engine, map(job, range(1000)), outcomes=outcomes, stop_after_failures=5, max_in_flight=2)
    assert 5 <= len(outcomes) < 20


def test_a_row_of_refused_questions_later_on_is_just_quarantined():
    script = lambda prompt, nth: PoisonError("too long") if int(prompt.split()[1]) >= 20 else "yes"  # noqa: E731
    outcomes = run(Engine(script), map(job, range(60)), stop_after_failures=5, max_in_flight=2)
    assert sum(outcome.failure == "poison" for outcome in outcomes) == 40


def test_refused_questions_do_not_push_a_later_failure_over_the_limit():
    def script(prompt, nth):
        place = int(prompt.split()[1])
        return (
            "yes" if place < 10 else RetryableError("HTTP 500", status=500) if place == 59 else PoisonError("too long")
        )

    outcomes = run(Engine(script), map(job, range(60)), max_tries=1, stop_after_failures=5, max_in_flight=1)
    assert [outcome.failure for outcome in outcomes].count("exhausted") == 1
    assert len(outcomes) == 60


def test_a_question_that_always_fails_is_given_up_and_the_others_are_answered():
    engine = Engine(lambda prompt, nth: RetryableError("HTTP 500", status=500) if prompt == "question 3" else "yes")
    outcomes = {outcome.key: outcome for outcome in run(engine, map(job, range(200)), max_tries=3)}
    assert (outcomes["q3"].failure, outcomes["q3"].detail, outcomes["q3"].tries) == ("exhausted", "HTTP 500", 3)
    assert engine.asked["question 3"] == 3
    assert sum(outcome.completion is not None for outcome in outcomes.values()) == 199


def test_unusable_media_are_reported_with_their_reason_and_nothing_is_sent():
    async def prepare():
        raise MediaError("corrupt", "clip.mp4: no frame")

    engine = Engine()
    (outcome,) = run(engine, [Job("q1", prepare)])
    assert (outcome.request, outcome.completion, outcome.tries) == (None, None, 0)
    assert (outcome.failure, outcome.detail) == ("media:corrupt", "clip.mp4: no frame")
    assert engine.asked == {}


def test_a_fatal_error_stops_new_requests_but_yields_what_is_in_flight():
    engine = Engine(lambda prompt, nth: FatalEngineError("wrong key") if prompt == "question 2" else "yes")
    plain = engine.complete

    async def complete(request):
        await asyncio.sleep(0.05 if request.prompt == "question 2" else 0.2)
        return await plain(request)

    engine.complete = complete
    outcomes = []
    with pytest.raises(FatalEngineError, match="wrong key"):
        run(engine, map(job, range(100)), outcomes=outcomes)
    assert sorted(outcome.key for outcome in outcomes) == ["q0", "q1", "q3"]
    assert len(engine.asked) == 4


def test_a_spent_budget_sends_nothing_more_and_yields_what_is_paid_for():
    engine = Engine(latency_s=0.02)
    admitted, outcomes = [], []

    def admit(request):
        if len(admitted) == 10:
            raise BudgetExceeded("budget_usd 1 would be passed")
        admitted.append(request.id)

    with pytest.raises(BudgetExceeded):
        run(engine, map(job, range(100)), outcomes=outcomes, admit=admit)
    assert sorted(outcome.key for outcome in outcomes) == sorted(admitted)
    assert len(engine.asked) == 10


def test_a_question_is_admitted_once_however_often_it_is_tried():
    admitted = []
    engine = Engine(lambda prompt, nth: "yes" if nth == 3 else RetryableError("HTTP 500", status=500))
    outcomes = run(engine, map(job, range(5)), admit=lambda request: admitted.append(request.id))
    assert sorted(admitted) == sorted(outcome.key for outcome in outcomes)
    assert {outcome.tries for outcome in outcomes} == {3}


def test_a_bug_in_prepare_is_raised_and_not_hidden_as_a_failure():
    async def prepare():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Engine(), [Job("q1", prepare)])


def test_a_sick_server_trips_the_breaker_with_the_last_error():
    engine = Engine(lambda prompt, nth: RetryableError("HTTP 500: out of memory", status=500))
    outcomes = []
    with pytest.raises(FatalEngineError, match="out of memory"):
        run(engine, map(job, range(1000)), outcomes=outcomes, max_tries=2, stop_after_failures=5)
    assert 5 <= len(outcomes) <= 5 + 4
    assert {outcome.failure for outcome in outcomes} == {"exhausted"}


def test_failures_with_answers_between_never_trip_the_breaker():
    def script(prompt, nth):
        return RetryableError("HTTP 500", status=500) if int(prompt.split()[1]) % 2 else "yes"

    outcomes = run(Engine(script), map(job, range(60)), max_tries=1, stop_after_failures=10)
    assert len(outcomes) == 60


def test_a_server_that_stays_away_ends_the_run_with_what_to_do():
    away = RetryableError("server at http://127.0.0.1:1/v1 unreachable", unreachable=True)
    outcomes = []
    with pytest.raises(FatalEngineError, match="start it and run the same command again"):
        run(Engine(lambda prompt, nth: away), map(job, range(9)), outcomes=outcomes, server_wait_s=0.2)
    assert outcomes == []


def test_a_refused_connection_costs_a_question_no_try():
    away = RetryableError("unreachable", unreachable=True)
    outcomes = run(Engine(lambda prompt, nth: "yes" if nth > 3 else away), map(job, range(3)), max_tries=1)
    assert [outcome.tries for outcome in outcomes] == [1, 1, 1]


def test_while_a_server_refuses_work_the_waiting_questions_burn_no_tries():
    refusals = iter(range(12))

    def script(prompt, nth):
        refuses = next(refusals, None) is not None
        return RetryableError("HTTP 529", status=529, overloaded=True) if refuses else "yes"

    outcomes = run(Engine(script, latency_s=0.001), map(job, range(40)), max_in_flight=16, max_tries=3)
    assert all(outcome.completion is not None for outcome in outcomes)


def test_closing_the_generator_leaves_no_task_behind():
    async def close_early():
        jobs = map(job, range(100))
        config = DispatchConfig(max_in_flight=8, **QUICK)
        async with aclosing(answer_all(Engine(latency_s=0.01), jobs, limiter=Limiter(8), config=config)) as answers:
            async for _ in answers:
                break
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(close_early()) == set()


def test_cancelling_the_consumer_leaves_no_task_behind_and_frees_its_slots():
    async def cancel():
        limiter = Limiter(4)
        task = asyncio.create_task(collect(Engine(latency_s=9), map(job, range(100)), limiter=limiter))
        await asyncio.sleep(0.05)
        assert limiter.num_in_flight == 4
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert limiter.num_in_flight == 0
        assert len(await collect(Engine(), map(job, range(10)), limiter=limiter)) == 10
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(cancel()) == set()


# The limiter


async def take(limiter, num_slots):
    return [await limiter.acquire() for _ in range(num_slots)]


def test_the_limit_halves_once_for_all_the_refusals_of_one_window():
    async def refuse():
        limiter = Limiter(64)
        for slot in await take(limiter, 64):
            limiter.overloaded(slot, wish_s=None, backoff_s=0.0)
            limiter.release(slot)
        return limiter.limit

    assert asyncio.run(refuse()) == 32


def test_the_limit_grows_by_one_per_window_and_never_past_the_maximum():
    async def work():
        limiter = Limiter(8)
        for slot in await take(limiter, 1):
            limiter.timed_out(slot)
            limiter.release(slot)
        limits = []
        for _ in range(60):
            limiter.worked()
            limits.append(limiter.limit)
        return limits

    limits = asyncio.run(work())
    assert limits[3:10] == [5, 5, 5, 5, 5, 6, 6]
    assert limits[-1] == 8


def test_a_lone_500_cuts_nothing_but_a_window_full_of_them_does():
    limiter = Limiter(8)
    for place in range(80):
        limiter.faulted() if place % 8 == 0 else limiter.worked()
    assert limiter.limit == 8
    for _ in range(8):
        limiter.faulted()
    assert limiter.limit == 4


def test_the_limit_never_falls_below_one():
    async def refuse():
        limiter = Limiter(3)
        for _ in range(5):
            (slot,) = await take(limiter, 1)
            limiter.overloaded(slot, wish_s=0.0, backoff_s=0.0)
            limiter.release(slot)
        return limiter.limit

    assert asyncio.run(refuse()) == 1


def test_after_a_closing_one_probe_goes_first_and_a_success_opens_the_gate():
    async def probe():
        limiter = Limiter(8)
        (slot,) = await take(limiter, 1)
        limiter.overloaded(slot, wish_s=0.01, backoff_s=9.0)
        limiter.release(slot)
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
        await asyncio.sleep(0.05)
        assert limiter.num_in_flight == 1
        done = [task for task in waiting if task.done()]
        limiter.worked()
        limiter.release(done[0].result())
        await asyncio.sleep(0.05)
        return limiter.num_in_flight

    assert asyncio.run(probe()) == 3


def test_a_cancelled_wait_loses_no_slot():
    async def cancel():
        limiter = Limiter(1)
        (slot,) = await take(limiter, 1)
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        limiter.release(slot)
        await asyncio.sleep(0)
        waiting[1].cancel()  # may hold the slot already
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        for task in waiting[:2]:
            if not task.cancelled():
                limiter.release(task.result())
        return await asyncio.wait_for(waiting[2], 5)

    assert asyncio.run(cancel()) is not None


# Through the real SDK, against the loopback server


def test_a_server_with_fewer_places_than_we_ask_for_answers_everything_once():
    with LoopbackServer(max_in_flight=6, latency_s=0.005) as server:
        outcomes = serve(server, 120, max_in_flight=24, max_tries=8)
    assert all(outcome.completion is not None for outcome in outcomes)
    assert len(outcomes) == 120
    assert set(server.answered.values()) == {1}
    assert server.peak_in_flight <= 6


def test_every_kind_of_passing_trouble_ends_in_one_answer_per_question():
    kinds = [
        Fault(429, retry_after="0.05"),
        Fault(500),
        Fault("reset"),
        Fault(529),
        Fault("torn"),
        Fault(503, retry_after="0.02"),
        Fault("close"),
        Fault("null"),
        Fault("cut"),
        Fault(408),
    ]

    def faults(prompt, nth):
        place = int(prompt.split()[1])
        return kinds[place % len(kinds)] if nth == 1 and place % 3 == 0 else None

    with LoopbackServer(faults=faults) as server:
        outcomes = serve(server, 90, max_in_flight=16)
    assert {outcome.completion.text for outcome in outcomes} == {f"answer to question {place}" for place in range(90)}
    assert set(server.answered.values()) == {1}


def test_retry_after_is_honoured_up_to_the_cap():
    with LoopbackServer(faults=[Fault(429, retry_after="3600")]) as server:
        outcomes = serve(server, 3, retry_after_cap_s=0.05)
    assert [outcome.completion is not None for outcome in outcomes] == [True] * 3


def test_the_run_survives_a_restart_of_its_server():
    with LoopbackServer(latency_s=0.02) as server:

        def restart():
            server.stop()
            threading.Event().wait(0.3)
            server.start()

        threading.Timer(0.25, restart).start()
        outcomes = serve(server, 200, max_in_flight=8)
        assert all(outcome.completion is not None for outcome in outcomes)
        # What was in flight at the stop may have been answered without us; nothing else is asked twice.
        assert sum(count - 1 for count in server.answered.values()) <= 8


def test_a_wrong_key_stops_the_run_at_once():
    with LoopbackServer(api_key="sk-right") as server, pytest.raises(FatalEngineError, match="401"):
        serve(server, 100)
    assert sum(server.asked.values()) == 0
    assert len(server.bodies) <= 4

import asyncio
import hashlib
import json
import threading
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from curation.engines.base import Request
from curation.engines.batches import BatchesOut, answer_in_batches
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, BatchConfig, DispatchConfig, OpenAIConfig
from curation.engines.dispatch import Job
from curation.errors import BudgetExceeded, ConfigError, FatalEngineError, RunDirectoryError
from tests.loopback import Fault, LoopbackServer


class Killed(Exception):
    """Stands for SIGKILL: the run ends here and writes nothing more."""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-ant-secret")


def job(place):
    async def prepare():
        return Request(f"q{place}", f"question {place}", max_tokens=16)

    return Job(hashlib.sha256(f"q{place}".encode()).hexdigest(), prepare)


def run(
    server, state_path, places, *, stop_after=None, outcomes=None, admit=None, out=None, resend_lost=False, **config
):
    """Collect outcomes by question id, as a run that journals each would; `stop_after` outcomes it is killed."""
    answered = {} if outcomes is None else outcomes
    dispatch = DispatchConfig(backoff_s=0.01, backoff_cap_s=0.05, server_wait_s=5.0, max_tries=3)

    async def collect():
        engine = build_engine(AnthropicConfig(base_url=server.url, api_key_env="JUDGE_KEY", timeout_s=60.0))
        options = {"state_path": state_path, "config": BatchConfig(**{"poll_s": 0.02} | config), "dispatch": dispatch}
        options |= {"out": out, "resend_lost": resend_lost}
        try:
            async with aclosing(answer_in_batches(engine, map(job, places), admit=admit, **options)) as answers:
                async for outcome in answers:
                    if len(answered) == stop_after:
                        raise Killed
                    assert outcome.request.id not in answered
                    answered[outcome.request.id] = outcome
        finally:
            await engine.close()

    asyncio.run(collect())
    return answered


def texts(outcomes):
    return {question: outcome.completion.text for question, outcome in outcomes.items() if outcome.completion}


def expected(num_questions):
    return {f"q{place}": f"answer to question {place}" for place in range(num_questions)}


def steps(state_path):
    return [json.loads(line)["step"] for line in state_path.read_text().splitlines()]


def test_every_question_is_answered_once_in_chunks_by_count(tmp_path):
    with LoopbackServer(batch_s=0.1) as server:
        outcomes = run(server, tmp_path / "state.jsonl", range(25), max_requests=10)
        assert [len(batch.lines) for batch in server.batches.values()] == [10, 10, 5]
        assert set(server.answered.values()) == {1}
        assert all("image" not in json.dumps(body) for _, body in server.bodies)
    assert texts(outcomes) == expected(25)
    assert {outcome.tries for outcome in outcomes.values()} == {1}
    assert steps(tmp_path / "state.jsonl").count("collected") == 3


def test_chunks_keep_below_the_limit_of_bytes_and_one_too_big_item_is_poison(tmp_path):
    async def prepare():
        return Request("big", "x" * 2000, max_tokens=16)

    def jobs(places):
        return [*map(job, places), Job("f" * 64, prepare)]

    with LoopbackServer() as server:
        engine_jobs = jobs(range(20))

        async def collect():
            engine = build_engine(AnthropicConfig(base_url=server.url, api_key_env="JUDGE_KEY"))
            config = BatchConfig(poll_s=0.02, max_bytes=1000)
            answers = answer_in_batches(engine, engine_jobs, state_path=tmp_path / "s.jsonl", config=config)
            outcomes = [outcome async for outcome in answers]
            await engine.close()
            return outcomes

        outcomes = {outcome.request.id: outcome for outcome in asyncio.run(collect())}
        sizes = [len(batch.lines) for batch in server.batches.values()]
    assert (outcomes["big"].failure, outcomes["big"].tries) == ("poison", 0)
    assert "max_bytes" in outcomes["big"].detail
    assert texts(outcomes) == expected(20)
    assert sum(sizes) == 20
    assert max(sizes) < 10


def test_expired_canceled_and_overloaded_items_are_sent_again_and_invalid_ones_are_not(tmp_path):
    kinds = [None, "expired", "canceled", "overloaded", "invalid"]

    def faults(prompt, nth):
        kind = kinds[int(prompt.split()[1]) % 5]
        return kind if nth == 1 or kind == "invalid" else None

    with LoopbackServer(batch_faults=faults) as server:
        outcomes = run(server, tmp_path / "state.jsonl", range(20))
        assert [len(batch.lines) for batch in server.batches.values()] == [20, 12]
    poisoned = {f"q{place}" for place in range(4, 20, 5)}
    assert {question for question, outcome in outcomes.items() if outcome.failure == "poison"} == poisoned
    assert texts(outcomes) == {q: text for q, text in expected(20).items() if q not in poisoned}


def test_an_item_that_expires_again_and_again_is_given_up(tmp_path):
    with LoopbackServer(batch_faults=lambda prompt, nth: "expired" if prompt == "question 1" else None) as server:
        outcomes = run(server, tmp_path / "state.jsonl", range(3))
        assert server.asked["question 1"] == 3
    assert (outcomes["q1"].failure, outcomes["q1"].tries) == ("exhausted", 3)
    assert "expired" in outcomes["q1"].detail


def test_a_refusal_is_a_completion_that_says_so(tmp_path):
    with LoopbackServer(batch_faults=lambda prompt, nth: "refusal") as server:
        outcomes = run(server, tmp_path / "state.jsonl", range(2))
    assert {outcome.completion.stop_reason for outcome in outcomes.values()} == {"refusal"}


@pytest.mark.parametrize("stop_after", [0, 1, 7, 10, 13])
def test_a_run_killed_while_it_collects_resumes_by_batch_id_and_pays_nothing_twice(tmp_path, stop_after):
    state_path = tmp_path / "state.jsonl"
    outcomes = {}
    with LoopbackServer() as server:
        with pytest.raises(Killed):
            run(server, state_path, range(15), stop_after=stop_after, outcomes=outcomes, max_requests=5)
        todo = [place for place in range(15) if f"q{place}" not in outcomes]
        run(server, state_path, todo, outcomes=outcomes, max_requests=5)
        assert len(server.batches) == 3
        assert set(server.answered.values()) == {1}
    assert texts(outcomes) == expected(15)


def test_a_finished_state_causes_no_call_at_all(tmp_path):
    with LoopbackServer() as server:
        run(server, tmp_path / "state.jsonl", range(5))
        calls = sum(server.batch_calls.values())
        assert run(server, tmp_path / "state.jsonl", []) == {}
        assert sum(server.batch_calls.values()) == calls


@pytest.mark.parametrize("batch_s", [0.0, 0.15])
def test_a_batch_whose_id_was_never_written_is_found_and_adopted(tmp_path, batch_s):
    state_path = tmp_path / "state.jsonl"
    with LoopbackServer(batch_s=batch_s) as server:
        outcomes = run(server, state_path, range(8))
        lines = state_path.read_text().splitlines(keepends=True)
        for torn in ("", lines[1][:9]):  # killed before the id line, or in the middle of writing it
            state_path.write_text(lines[0] + torn)
            again = run(server, state_path, range(8))
            assert texts(again) == texts(outcomes) == expected(8)
        assert len(server.batches) == 1
        assert set(server.answered.values()) == {1}


def test_a_stranger_of_the_same_size_is_not_adopted(tmp_path):
    with LoopbackServer(batch_s=0.1) as server:
        run(server, tmp_path / "other.jsonl", range(100, 108))  # another run in the same workspace
        state_path = tmp_path / "state.jsonl"
        run(server, state_path, range(8))
        state_path.write_text(state_path.read_text().splitlines(keepends=True)[0])
        server.batches.popitem()  # our submit never arrived
        assert texts(run(server, state_path, range(8))) == expected(8)
        assert steps(state_path) == ["intent", "void", "intent", "submitted", "collected"]
        assert len(server.batches) == 2


def test_an_intent_without_a_batch_is_sent_again(tmp_path):
    state_path = tmp_path / "state.jsonl"
    keys = [job(place).key for place in range(3)]
    intent = {"step": "intent", "chunk": 1, "keys": keys, "at": "2026-01-01T00:00:00+00:00"}
    state_path.write_text(json.dumps(intent) + "\n")
    with LoopbackServer() as server:
        assert texts(run(server, state_path, range(3))) == expected(3)
        assert len(server.batches) == 1


def test_a_submit_that_worked_but_whose_answer_was_lost_is_not_repeated(tmp_path):
    with LoopbackServer(batch_call_faults=[Fault("lost")]) as server:
        assert texts(run(server, tmp_path / "state.jsonl", range(6))) == expected(6)
        assert len(server.batches) == 1
        assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("what", [429, 500, 503, 529, "reset", "torn", "not_json", "close"])
def test_trouble_with_any_call_is_waited_out_and_no_batch_is_made_twice(tmp_path, what):
    for place in range(4):  # create, retrieve, results, and the list after a failed create
        faults = [None] * place + [Fault(what, retry_after="0.01")] * 2
        with LoopbackServer(batch_call_faults=faults) as server:
            assert texts(run(server, tmp_path / f"{place}.jsonl", range(4))) == expected(4)
            assert len(server.batches) == 1
            assert set(server.answered.values()) == {1}


def test_results_that_break_off_are_read_again_whole(tmp_path):
    with LoopbackServer(batch_call_faults=[None, None, Fault("lost")]) as server:
        assert texts(run(server, tmp_path / "state.jsonl", range(9))) == expected(9)
        assert server.batch_calls["results"] == 2


def test_a_batch_of_another_account_stops_the_run_and_keeps_the_state(tmp_path):
    state_path = tmp_path / "state.jsonl"
    with LoopbackServer() as server:
        with pytest.raises(Killed):
            run(server, state_path, range(5), stop_after=0)
        before = state_path.read_text()
        server.batches.clear()
        with pytest.raises(FatalEngineError, match=r"state\.jsonl.*--retry-failed"):
            run(server, state_path, range(5))
        assert state_path.read_text() == before
        assert server.batch_calls["create"] == 1
        # Asked again only when the user says so, and then once.
        assert texts(run(server, state_path, range(5), resend_lost=True)) == expected(5)
        assert run(server, state_path, []) == {}
        assert server.batch_calls["create"] == 2


@pytest.mark.parametrize("status", [404, 410])
def test_results_that_are_gone_do_not_keep_the_other_batches_from_being_collected(tmp_path, status):
    state_path = tmp_path / "state.jsonl"
    outcomes = {}
    with LoopbackServer(batch_s=0.2) as server:
        with pytest.raises(Killed):
            run(server, state_path, range(15), stop_after=0, max_requests=5)
        server._batch_script = iter([None, Fault(status)])  # the first batch's results
        with pytest.raises(FatalEngineError, match=r"of 5 questions.*--retry-failed"):
            run(server, state_path, range(15), outcomes=outcomes, max_requests=5)
        assert len(outcomes) == 10
        assert len(server.batches) == 3
        todo = [place for place in range(15) if f"q{place}" not in outcomes]
        run(server, state_path, todo, outcomes=outcomes)  # they are there after all
    assert texts(outcomes) == expected(15)


def test_two_results_with_one_custom_id_are_a_failure_unless_they_are_equal(tmp_path):
    with LoopbackServer() as server:
        with pytest.raises(Killed):
            run(server, tmp_path / "state.jsonl", range(4), stop_after=0)
        (batch,) = server.batches.values()
        other = json.loads(json.dumps(batch.lines[1]))
        other["result"]["message"]["content"][0]["text"] = "another"
        batch.lines += [batch.lines[0], other]
        outcomes = run(server, tmp_path / "state.jsonl", range(4))
        assert len(server.batches) == 1
    assert outcomes["q1"].failure == "exhausted"
    assert "custom_id" in outcomes["q1"].detail
    assert outcomes["q1"].lost_tokens == (22, 14)
    assert texts(outcomes) == {q: text for q, text in expected(4).items() if q != "q1"}


@pytest.mark.parametrize("ahead", [timedelta(days=3), timedelta(hours=5)])
def test_a_clock_that_was_set_back_after_an_intent_neither_waits_for_hours_nor_sends_again(tmp_path, ahead):
    state_path = tmp_path / "state.jsonl"
    with LoopbackServer() as server:
        run(server, state_path, range(3))
        intent = json.loads(state_path.read_text().splitlines()[0])
        intent["at"] = (datetime.now(UTC) + ahead).isoformat()
        state_path.write_text(json.dumps(intent) + "\n")
        assert texts(run(server, state_path, range(3))) == expected(3)
        assert len(server.batches) == 1
        state_path.write_text(json.dumps(intent) + "\n")
        server.batches.clear()  # the submit never arrived
        assert texts(run(server, state_path, range(3))) == expected(3)


def test_batches_that_are_out_are_told_with_age_questions_and_next_look(tmp_path):
    out = BatchesOut()
    assert out.describe() is None
    told = []
    with LoopbackServer(batch_s=1e9) as server:

        def watch():
            while not told or not told[-1].startswith(
                "3 batches out, 12 questions, the oldest for 0 h 00 min, next look"
            ):
                told.append(out.describe() or "")
                threading.Event().wait(0.02)
            server.batch_s = 0.0

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        run(server, tmp_path / "state.jsonl", range(12), max_requests=5, out=out, poll_s=0.1)
        watching.join()
    assert out.describe() is None


def test_a_wrong_key_is_fatal(tmp_path):
    with LoopbackServer(api_key="another") as server, pytest.raises(FatalEngineError, match="401"):
        run(server, tmp_path / "state.jsonl", range(5))


def test_a_refused_batch_is_fatal_and_can_be_sent_anew(tmp_path):
    with LoopbackServer(batch_call_faults=[Fault(400)]) as server:
        with pytest.raises(FatalEngineError, match="400"):
            run(server, tmp_path / "state.jsonl", range(5))
        assert texts(run(server, tmp_path / "state.jsonl", range(5))) == expected(5)
        assert len(server.batches) == 1


def test_a_spent_budget_sends_and_collects_what_was_admitted_and_resumes_when_raised(tmp_path):
    state_path = tmp_path / "state.jsonl"
    admitted, outcomes = [], {}

    def admit(request):
        if len(admitted) == limit:
            raise BudgetExceeded("budget_usd would be passed")
        admitted.append(request.id)

    with LoopbackServer() as server:
        limit = 7
        with pytest.raises(BudgetExceeded):
            run(server, state_path, range(20), admit=admit, outcomes=outcomes, max_requests=5)
        assert texts(outcomes) == expected(7)
        limit = 100
        run(server, state_path, range(7, 20), admit=admit, outcomes=outcomes, max_requests=5)
        assert set(server.answered.values()) == {1}
    assert texts(outcomes) == expected(20)
    assert len(admitted) == len(set(admitted)) == 20


def test_a_budget_that_is_spent_at_resume_still_collects_what_is_out(tmp_path):
    state_path = tmp_path / "state.jsonl"
    outcomes = {}

    def admit(request):
        raise BudgetExceeded("budget_usd would be passed")

    with LoopbackServer() as server:
        with pytest.raises(Killed):
            run(server, state_path, range(5), stop_after=0)
        with pytest.raises(BudgetExceeded):
            run(server, state_path, range(8), admit=admit, outcomes=outcomes)
    assert texts(outcomes) == expected(5)


def test_other_questions_do_not_wait_for_batches_of_an_old_prompt(tmp_path):
    state_path = tmp_path / "state.jsonl"
    with LoopbackServer() as server:
        with pytest.raises(Killed):
            run(server, state_path, range(5), stop_after=0)
        server.batches.clear()
        assert set(run(server, state_path, range(50, 53))) == {"q50", "q51", "q52"}


def test_a_damaged_state_is_refused_and_nothing_is_sent(tmp_path):
    state_path = tmp_path / "state.jsonl"
    state_path.write_text('{"step": "int\n{"step": "void", "chunk": 1}\n')
    with LoopbackServer() as server:
        with pytest.raises(RunDirectoryError, match="line 1"):
            run(server, state_path, range(3))
        assert sum(server.batch_calls.values()) == 0


def test_two_jobs_with_one_key_are_a_bug(tmp_path):
    with LoopbackServer() as server, pytest.raises(ValueError, match="two jobs"):
        run(server, tmp_path / "state.jsonl", [1, 1])


def test_an_engine_without_batches_is_refused(tmp_path):
    async def ask():
        engine = build_engine(OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="m"))
        async for _ in answer_in_batches(engine, [], state_path=tmp_path / "s.jsonl", config=BatchConfig()):
            pass

    with pytest.raises(ConfigError, match="anthropic"):
        asyncio.run(ask())

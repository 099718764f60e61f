"""A model that never answers in form is stopped before the rest is paid, once for each stage, and not by old news."""

import asyncio

import pytest

from curation.answers import Ask, Caller, answer
from curation.budget import FREE, Budget
from curation.engines.base import Completion, Request
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, BatchConfig, DispatchConfig
from curation.engines.limiter import Limiter
from curation.engines.trial import Trial
from curation.errors import FatalEngineError, PoisonError
from curation.journal import read_journal
from tests.loopback import LoopbackServer


class Engine:
    wants = "nothing"
    model = "chatty"

    def __init__(self, reply=lambda nth: "Well."):
        self.reply = reply
        self.num_asked = 0

    async def complete(self, request):
        self.num_asked += 1
        nth = self.num_asked
        await asyncio.sleep(0.001 * (nth % 5))
        reply = self.reply(nth)
        if isinstance(reply, Exception):
            raise reply
        return Completion(reply, self.model)

    async def close(self):
        pass


def asks(*numbers):
    def ask(number):
        async def prepare():
            return Request(f"q{number}", f"question {number}", 16)

        return Ask(f"{number:064d}", f"q{number}", 1, prepare)

    return [ask(number) for number in numbers]


def caller(engine, limit=50, **fields):
    config = DispatchConfig(max_in_flight=64, backoff_s=0.001)
    trial = Trial(limit, what="verify: chatty", key="verify.dispatch.stop_after_unusable")
    return Caller(engine, Limiter(64), config, Budget(None, 0.0), FREE, trial=trial, **fields)


def ask_all(path, numbers, who):
    return asyncio.run(answer(asks(*numbers), path, who, is_usable=lambda found: found.text == "Yes"))


@pytest.mark.parametrize("limit", [1, 7, 50, 64, 100])
def test_no_more_than_the_first_answers_are_asked_for(tmp_path, limit):
    engine = Engine()
    with pytest.raises(FatalEngineError) as raised:
        ask_all(tmp_path / "j.jsonl", range(300), caller(engine, limit))
    assert engine.num_asked == limit == len(list(read_journal(tmp_path / "j.jsonl")))
    line = str(raised.value)
    assert "\n" not in line
    assert f"verify: chatty gave no usable reply in its first {limit} answers" in line
    assert "'Well.' (stop)" in line
    assert "verify.dispatch.stop_after_unusable" in line


def test_failures_count_as_unusable_but_one_usable_answer_opens_the_gate(tmp_path):
    engine = Engine(lambda nth: PoisonError("HTTP 400") if nth % 2 else "Well.")
    with pytest.raises(FatalEngineError):
        ask_all(tmp_path / "a.jsonl", range(300), caller(engine))
    assert engine.num_asked == 50
    engine = Engine(lambda nth: "Yes" if nth == 50 else "Well.")
    ask_all(tmp_path / "b.jsonl", range(300), caller(engine))
    assert engine.num_asked == 300


def test_shards_of_one_stage_share_the_limit(tmp_path):
    engine = Engine()
    who = caller(engine)

    async def shards():
        steps = [
            answer(asks(*range(100 * n, 100 * n + 100)), tmp_path / f"{n}.jsonl", who, is_usable=lambda found: False)
            for n in range(3)
        ]
        return await asyncio.gather(*steps, return_exceptions=True)

    assert [type(error) for error in asyncio.run(shards())] == [FatalEngineError] * 3
    assert engine.num_asked == 50


def test_null_asks_everything(tmp_path):
    engine = Engine()
    assert len(ask_all(tmp_path / "j.jsonl", range(200), caller(engine, None))) == 200


def test_a_resumed_run_is_not_stopped_by_old_answers_and_does_not_pay_the_limit_again(tmp_path, caplog):
    path = tmp_path / "j.jsonl"
    with pytest.raises(FatalEngineError):
        ask_all(path, range(300), caller(Engine()))
    assert not caplog.text
    still_bad = Engine()
    with pytest.raises(FatalEngineError, match="first 55 answers"):
        ask_all(path, range(300), caller(still_bad))
    assert still_bad.num_asked == 5
    assert "50 answers of verify: chatty were kept by an earlier run, and none is usable" in caplog.text
    mended = Engine(lambda nth: "Yes")
    assert len(ask_all(path, range(300), caller(mended))) == 300
    assert mended.num_asked == 245
    assert ask_all(path, range(300), caller(still_bad)) and still_bad.num_asked == 5


def test_answers_under_other_keys_are_no_old_news(tmp_path):
    path = tmp_path / "j.jsonl"
    with pytest.raises(FatalEngineError):
        ask_all(path, range(300), caller(Engine()))
    other = Engine()
    with pytest.raises(FatalEngineError, match="first 50 answers"):
        ask_all(path, range(1000, 1300), caller(other))
    assert other.num_asked == 50


def test_media_that_cannot_be_read_say_nothing_about_the_model(tmp_path):
    from curation.errors import MediaError

    async def prepare():
        raise MediaError("corrupt", "no frame")

    broken = [Ask(f"b{n}", f"b{n}", 1, prepare) for n in range(80)]
    engine = Engine(lambda nth: "Yes")
    found = asyncio.run(
        answer([*broken, *asks(*range(20))], tmp_path / "j.jsonl", caller(engine), is_usable=lambda found: True)
    )
    assert len(found) == 100


@pytest.mark.parametrize(("text", "num_asked"), [("Well.", 10), ("Yes", 40)])
def test_a_judge_in_batches_is_tried_with_a_small_one_first(tmp_path, monkeypatch, text, num_asked):
    monkeypatch.setenv("JUDGE_KEY", "k")

    async def through_batches(server):
        engine = build_engine(AnthropicConfig(base_url=server.url, api_key_env="JUDGE_KEY"))
        who = caller(engine, 10, batches=BatchConfig(poll_s=0.02))
        try:
            await answer(asks(*range(40)), tmp_path / "j.jsonl", who, is_usable=lambda found: found.text == "Yes")
        finally:
            await engine.close()

    with LoopbackServer(reply=lambda body: text) as server:
        if text == "Yes":
            asyncio.run(through_batches(server))
        else:
            with pytest.raises(FatalEngineError, match="first 10 answers"):
                asyncio.run(through_batches(server))
        assert server.asked.total() == num_asked
        assert [len(batch.lines) for batch in server.batches.values()] == [10, 30][: len(server.batches)]

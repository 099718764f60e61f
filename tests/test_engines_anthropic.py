import asyncio
from pathlib import Path

import pytest

from curation.engines.base import EncodedMedia, Request
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig
from curation.errors import ConfigError, FatalEngineError, PoisonError, RetryableError
from curation.judge import JUDGE_SCHEMA
from tests.loopback import Fault, LoopbackServer

REQUEST = Request("q1", "sufficient?", max_tokens=64, json_schema=JUDGE_SCHEMA)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-ant-secret")


def ask(server, request=REQUEST, **config):
    async def complete():
        engine = build_engine(
            AnthropicConfig(base_url=server.url, api_key_env="JUDGE_KEY", **{"timeout_s": 60} | config)
        )
        try:
            return await engine.complete(request)
        finally:
            await engine.close()

    return asyncio.run(complete())


def test_a_reply_becomes_a_completion_and_structured_output_is_asked_for():
    with LoopbackServer(reply=lambda body: "{}", api_key="sk-ant-secret") as server:
        completion = ask(server, effort="low")
        path, body = server.bodies[0]
    assert (completion.text, completion.stop_reason) == ("{}", "stop")
    assert (completion.input_tokens, completion.output_tokens) == (11, 7)
    assert path == "/v1/messages"
    assert body == {
        "model": "claude-haiku-5-5",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "sufficient?"}],
        "output_config": {"format": {"type": "json_schema", "schema": dict(JUDGE_SCHEMA)}, "effort": "low"},
    }


def test_a_temperature_is_not_sent_because_the_api_has_none():
    with LoopbackServer() as server:
        ask(server, Request("q1", "p", 64, temperature=0.0))
        assert set(server.bodies[0][1]) == {"model", "max_tokens", "messages"}


def test_text_is_picked_by_type_when_a_thinking_block_comes_first():
    with LoopbackServer(reply=lambda body: "verdict", faults=[Fault("thinking")]) as server:
        assert ask(server).text == "verdict"


@pytest.mark.parametrize(("what", "stop_reason"), [("refusal", "refusal"), ("length", "length")])
def test_a_refused_or_cut_reply_is_a_completion_that_says_so(what, stop_reason):
    with LoopbackServer(faults=[Fault(what)]) as server:
        assert ask(server).stop_reason == stop_reason


def test_media_never_reach_the_judge():
    with LoopbackServer() as server:
        media = EncodedMedia("video", Path("clip.mp4"), (b"\xff\xd8",))
        with pytest.raises(ValueError, match="text only"):
            ask(server, Request("q1", "p", 64, media=media))
        assert server.bodies == []
        engine = build_engine(AnthropicConfig(base_url=server.url, api_key_env="JUDGE_KEY"))
        assert engine.wants == "nothing"


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_wrong_key_or_model_is_fatal(status):
    with LoopbackServer(faults=[Fault(status)]) as server, pytest.raises(FatalEngineError, match=str(status)):
        ask(server)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_poison(status):
    with LoopbackServer(faults=[Fault(status)]) as server, pytest.raises(PoisonError):
        ask(server)


@pytest.mark.parametrize(("status", "overloaded"), [(429, True), (500, False), (503, True), (529, True)])
def test_a_passing_trouble_is_retryable_and_asked_once_only(status, overloaded):
    with LoopbackServer(faults=[Fault(status, retry_after="2")]) as server:
        with pytest.raises(RetryableError) as caught:
            ask(server)
        assert sum(server.asked.values()) == 1
    assert (caught.value.status, caught.value.overloaded, caught.value.retry_after_s) == (status, overloaded, 2.0)


@pytest.mark.parametrize("what", ["reset", "close", "cut", "torn", "not_json", "null"])
def test_a_lost_connection_or_torn_reply_is_retryable(what):
    with LoopbackServer(faults=[Fault(what)]) as server:
        with pytest.raises(RetryableError) as caught:
            ask(server)
        assert not caught.value.unreachable
        assert ask(server).text == "answer to sufficient?"


def test_a_server_that_never_answers_times_out():
    with LoopbackServer(faults=[Fault("hang")]) as server, pytest.raises(RetryableError) as caught:
        ask(server, timeout_s=0.3)
    assert caught.value.timed_out


def test_a_server_that_is_not_there_is_unreachable():
    server = LoopbackServer()
    with server:
        pass
    with pytest.raises(RetryableError) as caught:
        ask(server)
    assert caught.value.unreachable


def test_the_key_never_shows_and_a_missing_one_is_named(monkeypatch):
    with LoopbackServer(api_key="another") as server, pytest.raises(FatalEngineError) as caught:
        ask(server)
    assert "sk-ant-secret" not in str(caught.value)
    monkeypatch.setenv("JUDGE_KEY", " ")
    with pytest.raises(ConfigError, match="JUDGE_KEY"):
        build_engine(AnthropicConfig(api_key_env="JUDGE_KEY"))


def test_no_other_credential_of_the_environment_is_sent(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-other")
    with LoopbackServer(api_key="sk-ant-secret") as server:
        assert ask(server).stop_reason == "stop"


def test_a_lone_surrogate_in_a_verdict_is_replaced():
    with LoopbackServer(reply=lambda body: "a\ud800b") as server:
        assert ask(server).text == "a\ufffdb"

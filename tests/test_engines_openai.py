import asyncio
import base64
import io
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import av
import pytest
from pydantic import ValidationError

from curation.engines.base import EncodedMedia, Request
from curation.engines.build import build_engine
from curation.engines.config import OpenAIConfig, identity
from curation.engines.http import clean_text, is_loopback, read_retry_after_s
from curation.errors import ConfigError, FatalEngineError, PoisonError, RetryableError
from tests.loopback import Fault, LoopbackServer
from tests.sent import clip_of

FRAMES = (b"\xff\xd8first", b"\xff\xd8second", b"\xff\xd8third")


def ask(server, request=None, **config):
    """Complete one request through the real SDK; returns the completion or raises."""

    async def complete():
        engine = build_engine(OpenAIConfig(base_url=server.openai_url, model="m", **{"timeout_s": 60} | config))
        try:
            return await engine.complete(request or Request("q1", "how many?", max_tokens=16))
        finally:
            await engine.close()

    return asyncio.run(complete())


def content_sent(media, **config):
    with LoopbackServer() as server:
        ask(server, Request("q1", "how many?", 16, media=media), **config)
        return server.bodies[0][1]["messages"][0]["content"]


def test_a_reply_becomes_a_completion_with_its_token_counts():
    with LoopbackServer(reply=lambda body: "two", model="served-as") as server:
        completion = ask(server)
    assert (completion.text, completion.model, completion.stop_reason) == ("two", "served-as", "stop")
    assert (completion.input_tokens, completion.output_tokens) == (11, 7)


def test_no_field_is_sent_that_was_not_asked_for():
    with LoopbackServer() as server:
        ask(server)
        assert server.bodies[0][1] == {
            "model": "m",
            "messages": [{"role": "user", "content": "how many?"}],
            "max_tokens": 16,
        }


def test_temperature_schema_and_extra_fields_are_sent_when_asked_for():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    with LoopbackServer() as server:
        request = Request("q1", "how many?", 16, temperature=0.0, json_schema=schema)
        ask(server, request, extra_body={"seed": 7, "chat_template_kwargs": {"enable_thinking": False}})
        body = server.bodies[0][1]
    assert body["temperature"] == 0.0
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["seed"], body["chat_template_kwargs"]) == (7, {"enable_thinking": False})


def test_frames_travel_as_images_in_order_before_the_prompt():
    content = content_sent(EncodedMedia("video", Path("clip.mp4"), FRAMES))
    urls = [part["image_url"]["url"] for part in content[:-1]]
    assert urls == [f"data:image/jpeg;base64,{base64.b64encode(frame).decode()}" for frame in FRAMES]
    assert content[-1] == {"type": "text", "text": "how many?"}


def test_frames_travel_as_one_video_file_and_an_image_still_as_an_image():
    video = content_sent(clip_of(3, 2.0), send="video_frames")
    head, _, content = video[0]["video_url"]["url"].partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(content))) as container:
        assert (container.streams.video[0].average_rate, len([*container.decode(video=0)])) == (2, 3)
    image = content_sent(EncodedMedia("image", Path("a.png"), FRAMES[:1]), send="video_frames")
    assert image[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_frames_without_a_rate_are_never_sent_as_a_video_of_some_rate():
    with LoopbackServer() as server:
        with pytest.raises(ValueError, match="no time"):
            ask(server, Request("q1", "p", 16, media=clip_of(3, None)), send="video_frames")
        assert server.bodies == []


def test_a_file_travels_by_name_or_whole(tmp_path):
    path = tmp_path / "a clip #1.mp4"
    path.write_bytes(b"\x00mp4")
    by_name = content_sent(EncodedMedia("video", path), send="file_url")
    assert by_name[0]["video_url"]["url"] == path.as_uri()
    assert "%20" in by_name[0]["video_url"]["url"]
    assert "%23" in by_name[0]["video_url"]["url"]
    whole = content_sent(EncodedMedia("video", path), send="data_url")
    assert whole[0]["video_url"]["url"] == f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
    image = content_sent(EncodedMedia("image", path.rename(tmp_path / "b.png")), send="data_url")
    assert image[0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_a_file_that_is_gone_is_poison_and_not_sent(tmp_path):
    with LoopbackServer() as server:
        request = Request("q1", "p", 16, media=EncodedMedia("video", tmp_path / "gone.mp4"))
        with pytest.raises(PoisonError, match=r"gone\.mp4"):
            ask(server, request, send="data_url")
        assert server.bodies == []


@pytest.mark.parametrize(
    ("send", "media"),
    [("none", EncodedMedia("video", Path("clip.mp4"), FRAMES)), ("frames", EncodedMedia("video", Path("clip.mp4")))],
)
def test_media_that_would_be_dropped_in_silence_are_a_bug_and_raise(send, media):
    with LoopbackServer() as server:
        with pytest.raises(ValueError, match="media"):
            ask(server, Request("q1", "p", 16, media=media), send=send)
        assert server.bodies == []


@pytest.mark.parametrize(
    ("send", "wants"),
    [
        ("frames", "frames"),
        ("video_frames", "frames"),
        ("file_url", "file"),
        ("data_url", "file"),
        ("none", "nothing"),
    ],
)
def test_what_the_engine_wants_follows_from_how_it_sends(send, wants):
    assert build_engine(OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="m", send=send)).wants == wants


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 301])
def test_a_status_that_no_request_can_survive_is_fatal(status):
    with LoopbackServer(faults=[Fault(status)]) as server, pytest.raises(FatalEngineError, match=str(status)) as caught:
        ask(server)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_poison(status):
    with LoopbackServer(faults=[Fault(status)]) as server, pytest.raises(PoisonError, match=str(status)):
        ask(server)


@pytest.mark.parametrize(
    ("status", "overloaded", "timed_out"),
    [
        (408, False, True),
        (409, False, False),
        (429, True, False),
        (500, False, False),
        (502, True, False),
        (503, True, False),
        (504, False, True),
        (529, True, False),
    ],
)
def test_a_passing_trouble_is_retryable_and_asked_once_only(status, overloaded, timed_out):
    with LoopbackServer(faults=[Fault(status, retry_after="7")]) as server:
        with pytest.raises(RetryableError) as caught:
            ask(server)
        assert sum(server.asked.values()) == 1  # the SDK's own retries are off
    error = caught.value
    assert (error.status, error.overloaded, error.timed_out, error.unreachable) == (
        status,
        overloaded,
        timed_out,
        False,
    )
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize("what", ["reset", "close", "cut", "torn", "not_json", "no_choices", "null"])
def test_a_lost_connection_or_torn_reply_is_retryable_but_reached_the_server(what):
    with LoopbackServer(faults=[Fault(what)]) as server:
        with pytest.raises(RetryableError) as caught:
            ask(server)
        assert ask(server).text == "answer to how many?"
    assert not caught.value.unreachable


def test_a_server_that_never_answers_times_out():
    with LoopbackServer(faults=[Fault("hang")]) as server, pytest.raises(RetryableError) as caught:
        ask(server, timeout_s=0.3)
    assert caught.value.timed_out
    assert not caught.value.unreachable


def test_a_refused_connection_is_unreachable_and_names_the_server():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        server = LoopbackServer(port=taken.getsockname()[1])
        with pytest.raises(RetryableError) as caught:
            ask(server)
    assert caught.value.unreachable
    assert server.openai_url in str(caught.value)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "two"}]}, "two"),
        ({"content": [{"type": "text", "text": "t"}, {"type": "text", "text": "wo"}]}, "two"),
        ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "two"}]}, "two"),
        ({"content": ["t", {"text": "wo"}]}, "two"),
        ({"content": ""}, ""),
    ],
)
def test_a_text_is_read_in_parts_and_whole(message, text):
    with LoopbackServer(faults=[Fault(message)]) as server:
        assert ask(server).text == text


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_what_the_model_thought_is_kept_apart_from_the_text(name):
    with LoopbackServer(faults=[Fault({"content": "two", name: "one and one"}), None]) as server:
        assert ask(server).reasoning == "one and one"
        assert ask(server).reasoning is None


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {"content": None, "reasoning_content": "hm"},
        {"content": []},
        {"content": [{"type": "image", "url": "x"}]},
        {"content": {"text": "two"}},
        {"content": 2},
        {"content": True},
        {"choices": []},
        {"choices": "none"},
        {"choices": [{"message": "two"}]},
    ],
)
def test_a_whole_reply_without_a_text_says_so_and_what_it_cost(message):
    with LoopbackServer(faults=[Fault(message)]) as server, pytest.raises(RetryableError) as caught:
        ask(server)
    error = caught.value
    assert (error.unusable, error.may_cost, error.input_tokens, error.output_tokens) == (True, True, 11, 7)
    assert "\n" not in str(error)


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/v1/chat/completions/", "{url}/v1/chat/completions/"])
def test_a_redirect_that_stays_with_the_host_is_followed_as_the_same_request(status, location):
    with LoopbackServer() as server:
        server.faults = lambda prompt, nth: (
            Fault(status, location=location.format(url=server.url)) if nth == 1 else None
        )
        server._script = None
        assert ask(server).text == "answer to how many?"
        assert [path for path, _ in server.bodies] == ["/v1/chat/completions", "/v1/chat/completions/"]
        assert server.bodies[0][1] == server.bodies[1][1]


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (302, "/v1/chat/completions/"),
        (303, "/v1/chat/completions/"),
        (307, "http://localhost:{port}/v1/chat/completions"),
        (307, "//evil.example/v1/chat/completions"),
        (308, "https://127.0.0.1:{port}/v1/chat/completions"),
        (307, "http://127.0.0.1:1/v1/chat/completions"),
        (307, "http://127.0.0.1:nonsense/"),
        (307, None),
    ],
)
def test_no_other_redirect_is_followed_and_a_single_one_is_tried_again(status, location):
    with LoopbackServer() as server:
        target = location and location.format(port=server.port)
        server._script = iter([Fault(status, location=target)])
        with pytest.raises(RetryableError, match="set base_url to where the API is") as caught:
            ask(server)
        assert not caught.value.may_cost
        assert "\n" not in str(caught.value)
        assert len(server.bodies) == 1
        assert ask(server).text == "answer to how many?"


def test_a_ring_of_redirects_ends():
    with LoopbackServer(faults=lambda prompt, nth: Fault(307, location="/v1/chat/completions")) as server:
        with pytest.raises(RetryableError, match="307"):
            ask(server)
        assert len(server.bodies) == 4


@pytest.mark.parametrize(("what", "stop_reason"), [("length", "length"), ("refusal", "refusal")])
def test_a_cut_or_refused_reply_is_a_completion_that_says_so(what, stop_reason):
    with LoopbackServer(faults=[Fault(what)]) as server:
        assert ask(server).stop_reason == stop_reason


def test_lone_surrogates_are_replaced_in_both_directions():
    with LoopbackServer(reply=lambda body: "a\ud800b \U0001f600") as server:
        completion = ask(server, Request("q1", "p\udfff", 16))
        assert server.bodies[0][1]["messages"][0]["content"] == "p\ufffd"
    assert completion.text == "a\ufffdb \U0001f600"
    completion.text.encode()
    assert clean_text("\ud83d\ude00") == "\U0001f600"


def test_the_key_comes_from_the_named_variable_and_never_shows(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    with LoopbackServer(api_key="sk-other") as server, pytest.raises(FatalEngineError) as caught:
        ask(server, api_key_env="MY_KEY")
    assert "sk-very-secret" not in str(caught.value)
    with LoopbackServer(api_key="sk-very-secret") as server:
        assert ask(server, api_key_env="MY_KEY").stop_reason == "stop"


def test_a_local_server_never_gets_the_users_openai_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with LoopbackServer(api_key="EMPTY") as server:
        assert ask(server).stop_reason == "stop"


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY"):
        build_engine(OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="m", api_key_env="MY_KEY"))


def test_a_proxy_of_the_environment_never_sees_what_goes_to_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with LoopbackServer() as server:
        assert ask(server).stop_reason == "stop"


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.9/v1", "http://[::1]:8000/v1"])
def test_this_machine_is_recognised(url):
    assert is_loopback(url)
    assert not is_loopback("https://api.example.com/v1")


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_every_form_of_retry_after_is_read(headers, expected_s):
    assert read_retry_after_s(headers) == (None if expected_s is None else pytest.approx(expected_s))


def test_retry_after_as_a_date_counts_from_now():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    assert read_retry_after_s({"retry-after": date}) == pytest.approx(120, abs=5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "127.0.0.1:8000/v1"},
        {"send": "frames", "server_settings": "2 frames a second"},
        {"visual_tokens": {"pixels": 0}},
        {"visual_tokens": "on"},
        {"model": ""},
        {"api_key": "sk-secret"},
        {"timeout_s": 0},
    ],
)
def test_a_config_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValidationError):
        OpenAIConfig(**{"base_url": "http://127.0.0.1:1/v1", "model": "m"} | wrong)


# (send, identity of 852e998's config with this send): keys of paid answers.
OF_THE_FIRST_VERSION = {
    send: {"kind": "openai", "model": "m", "send": send, "image_mime": "image/jpeg", "extra_body": {}}
    for send in ("frames", "video_frames", "file_url", "data_url", "none")
}


@pytest.mark.parametrize("send", OF_THE_FIRST_VERSION)
def test_only_videos_sent_as_frames_of_a_video_are_asked_about_again(send):
    """They reached the server as other clips; whatever else was paid for keeps its key."""
    config = OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="m", send=send, visual_tokens=None)
    assert identity(config, shows_video=False) == OF_THE_FIRST_VERSION[send]
    assert (identity(config) == OF_THE_FIRST_VERSION[send]) == (send != "video_frames")


def test_servers_that_sample_in_other_words_do_not_share_answers():
    config = OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="m", send="file_url")
    stated = [config.model_copy(update={"server_settings": words}) for words in ("2 fps", "1 fps", None)]
    assert len({str(identity(one)) for one in stated}) == 3


def test_identity_holds_what_an_answer_depends_on_and_no_address():
    config = OpenAIConfig(base_url="http://127.0.0.1:1/v1", model="m")
    assert identity(config) == identity(config.model_copy(update={"base_url": "http://a/v1", "timeout_s": 1.0}))
    assert identity(config) != identity(config.model_copy(update={"send": "video_frames"}))
    assert identity(config) != identity(config.model_copy(update={"extra_body": {"seed": 1}}))

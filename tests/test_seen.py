"""A server that does not see what it is sent is found by its version or its counts, before its answers are kept."""

import asyncio
import base64
import io
import re
import unicodedata
from dataclasses import replace

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.engines.base import Completion, Request
from curation.engines.config import OpenAIConfig, VisualTokens
from curation.engines.openai import OpenAIEngine
from curation.engines.seen import Seen, count_visual_tokens
from curation.errors import FatalEngineError, RetryableError
from tests.loopback import Fault, LoopbackServer, prompt_of
from tests.sent import clip_of

QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"
PROMPT = "What does the hand do? Answer with a letter and say why, in at most twenty words."


CLIP = clip_of(2, 2.0)


def count_text(text, *, special=("<|vision_start|>", "<|video_pad|>", "<|image_pad|>", "<|vision_end|>")):
    """A tokenizer of sorts: a special token is one, a word or another character is one; 20 of the template."""
    named = "|".join(map(re.escape, special)) or "(?!)"
    around = 0 if (special and all(token in text for token in special)) or text == "<tool_response>" else 20
    return around + len(re.findall(rf"{named}|[^\W\d_]+|[^\s]", text))


def count_prompt(body, *, most_frames=None, longest_side=None):
    """The prompt tokens of a Qwen2.5-VL that is shown every frame; or at most so many, or resized ones."""
    total = count_text(prompt_of(body))
    for part in body["messages"][-1]["content"]:
        if part["type"] == "text":
            continue
        content = base64.b64decode(part[part["type"]]["url"].partition(",")[2])
        if part["type"] == "video_url":
            with av.open(io.BytesIO(content)) as container:
                frames = [frame.to_image() for frame in container.decode(video=0)][:most_frames]
        else:
            frames = [Image.open(io.BytesIO(content))]
        width, height = (min(side, longest_side or side) // 28 for side in frames[0].size)
        total += 2 + -(-len(frames) // 2) * width * height
    return total


def ask(server, media, *, prompt=PROMPT, num=1, **config):
    """The texts of `num` answers to the same question."""

    async def complete():
        engine = OpenAIEngine(OpenAIConfig(**{"base_url": server.openai_url, "model": QWEN, "timeout_s": 60} | config))
        try:
            return [(await engine.complete(Request(f"q{i}", prompt, 16, media=media))).text for i in range(num)]
        finally:
            await engine.close()

    return asyncio.run(complete())


def serving(**how):
    counting = {name: how.pop(name) for name in ("most_frames", "longest_side") if name in how}
    return LoopbackServer(
        **{"version": "0.32.0", "prompt_tokens": lambda body: count_prompt(body, **counting), **how},
    )


@pytest.mark.parametrize("send", ["frames", "video_frames"])
@pytest.mark.parametrize("counts_text", [True, False])
@pytest.mark.parametrize("num_frames", [1, 2, 15, 16, 64])
def test_a_server_that_sees_every_frame_is_left_alone(send, counts_text, num_frames):
    with serving(count_text=count_text if counts_text else None) as server:
        assert len(ask(server, clip_of(num_frames, 2.0), send=send, num=2)) == 2
        assert len(ask(server, clip_of(1, None, data_type="image"), send=send)) == 1


@pytest.mark.parametrize(("num_frames", "most_frames"), [(64, 32), (16, 14), (3, 2)])
def test_a_server_that_drops_a_grid_is_stopped(num_frames, most_frames):
    """One frame of a grid can be missing unseen: the model's own filling takes its place."""
    with (
        serving(count_text=count_text, most_frames=most_frames) as server,
        pytest.raises(FatalEngineError, match=r"counted \d+.*media-io-kwargs.*visual_tokens: null") as caught,
    ):
        ask(server, clip_of(num_frames, 2.0), send="video_frames")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("send", ["frames", "video_frames"])
def test_a_server_that_resizes_is_stopped(send):
    with serving(count_text=count_text, longest_side=84) as server, pytest.raises(FatalEngineError, match="112x84"):
        ask(server, CLIP, send=send)


def test_half_of_the_clip_is_missed_without_a_count_of_the_text_too():
    with serving(most_frames=32) as server, pytest.raises(FatalEngineError, match="64 frames of 112x84"):
        ask(server, clip_of(64, 6.4), send="video_frames")


def test_a_server_that_shows_something_more_is_stopped():
    with (
        LoopbackServer(count_text=count_text, prompt_tokens=lambda body: count_prompt(body) + 1) as server,
        pytest.raises(FatalEngineError, match="adds"),
    ):
        ask(server, CLIP)


@pytest.mark.parametrize("model", ["qwen2.5-vl-72b", "Qwen/Qwen2-VL-7B", "/models/Qwen2_5-VL", "my-finetune"])
def test_a_qwen_is_known_by_its_name_or_its_tokenizer(model):
    with serving(count_text=count_text, longest_side=28) as server, pytest.raises(FatalEngineError):
        ask(server, CLIP, model=model)


@pytest.mark.parametrize(
    "special",
    [
        (),
        ("<image>", "<video>"),
        ("<|vision_start|>", "<|video_pad|>", "<|image_pad|>", "<|vision_end|>", "<tool_response>"),  # Qwen3-VL
    ],
)
@pytest.mark.parametrize("send", ["frames", "video_frames"])
def test_of_another_model_nothing_is_claimed_and_that_is_said_once(special, send, caplog):
    with serving(count_text=lambda text: count_text(text, special=special), prompt_tokens=lambda body: 3) as server:
        assert len(ask(server, clip_of(16, 2.0), model="OpenGVLab/InternVL4", send=send, num=3)) == 3
    assert [record.message for record in caplog.records if "not checked" in record.message] == [
        f"whether {server.openai_url} sees every frame is not checked: "
        "nothing is known of 'OpenGVLab/InternVL4'. Set visual_tokens, or null"
    ]


def test_the_check_can_be_set_and_switched_off():
    with serving(count_text=count_text, prompt_tokens=lambda body: 3) as server:
        assert ask(server, CLIP, visual_tokens=None)
        with pytest.raises(FatalEngineError):
            ask(server, CLIP, model="another", visual_tokens=VisualTokens())
        assert ask(server, CLIP, visual_tokens=VisualTokens(pixels=32))  # not ours to say: 112 is no multiple


def test_a_server_that_tells_no_usage_is_warned_about(caplog):
    with serving(prompt_tokens=lambda body: None) as server:
        assert ask(server, CLIP, num=2)
    assert sum("usage.prompt_tokens" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("version", ["0.30.0", "0.31.9", "0.6.3.post1", "0.31.1.dev4+gabc"])
@pytest.mark.parametrize("send", ["video_frames", "data_url", "file_url"])
def test_an_old_vllm_takes_every_clip_for_24_frames_a_second_and_is_asked_nothing(version, send, tmp_path):
    media = replace(CLIP, path=tmp_path / "a.mp4")
    media.path.write_bytes(b"mp4")
    with serving(version=version) as server:
        with pytest.raises(FatalEngineError, match=re.escape(version)) as caught:
            ask(server, media, send=send)
        assert server.bodies == []
        assert ask(server, clip_of(1, None, data_type="image"))  # pictures have no time
        assert ask(server, media, send="frames")  # nor have lists of them
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["0.32.0", "0.32.0+cpu", "0.33.1", "1.0.0", "0.100.0rc1"])
def test_a_later_vllm_is_asked(version):
    with serving(version=version) as server:
        assert ask(server, CLIP, send="video_frames")


def test_an_unnamed_model_on_vllm_that_is_sent_clips_is_taken_for_a_qwen():
    with serving(most_frames=32) as server, pytest.raises(FatalEngineError, match="64 frames"):
        ask(server, clip_of(64, 6.4), send="video_frames", model="m")


def test_a_server_on_its_way_up_is_asked_again_and_no_paid_answer_is_lost():
    """Everything that may fail is asked before the question is."""
    with serving(count_text=count_text) as server:
        seen = Seen(OpenAIConfig(base_url=server.openai_url, model=QWEN), _starting, {})
        with pytest.raises(RetryableError):
            asyncio.run(seen.admit(Request("q", PROMPT, 16, media=CLIP)))
        assert server.bodies == []


def test_a_server_that_is_away_is_waited_for():
    """Its version is asked first, so this is what a run of clips meets."""
    with serving() as server:
        url = server.openai_url
    engine = OpenAIEngine(OpenAIConfig(base_url=url, model=QWEN))
    with pytest.raises(RetryableError) as caught:
        asyncio.run(engine.complete(Request("q", PROMPT, 16, media=CLIP)))
    assert caught.value.unreachable


async def _starting(method, url, **fields):
    import httpx2

    return httpx2.Response(503, request=httpx2.Request(method, url))


def test_a_fault_of_the_answer_itself_is_passed_on():
    with serving(faults=[Fault(500)]) as server, pytest.raises(RetryableError):
        ask(server, CLIP)


def test_only_the_first_answers_cost_a_count_of_their_text():
    counted = []
    with serving(count_text=lambda text: counted.append(text) or count_text(text)) as server:
        ask(server, CLIP, num=20)
    assert counted.count(PROMPT) == 8


@settings(max_examples=100, deadline=None)
@given(prompt=st.text(max_size=300))
def test_no_text_makes_a_false_alarm(prompt):
    """The tokens of a text are at least its words and at most its bytes, whatever it is made of."""
    seen = Seen(OpenAIConfig(base_url="http://127.0.0.1:1/v1", model=QWEN, send="video_frames"), None, {})
    seen._tokens = VisualTokens()
    visual = count_visual_tokens(CLIP, VisualTokens(), as_video=True)
    composed = unicodedata.normalize("NFC", prompt)
    for text in (len(re.findall(r"[^\W\d_]+", composed)), 30 + len(prompt.encode("utf-8", "replace"))):
        seen.check(Request("q", prompt, 16, media=CLIP), Completion("", QWEN, input_tokens=visual + text), None)


@pytest.mark.parametrize(("as_video", "expected"), [(True, 2 + 3 * 12 + (2 + 12)), (False, 5 * (2 + 12) + (2 + 12))])
def test_visual_tokens_by_hand(as_video, expected):
    """Five frames of 4 x 3 tokens fill three grids; a picture is one."""
    media = clip_of(5, 1.0, pictures=[clip_of(1, None).frames[0]])
    assert count_visual_tokens(media, VisualTokens(), as_video=as_video) == expected

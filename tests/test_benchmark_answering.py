"""The same answers from a server and in process, each question asked once, and a failure is that question's own."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curation.decoding import DecoderPool
from curation.encoding import MediaEncoder
from curation.engines.base import EncodedMedia, Request
from curation.errors import ConfigError, FatalEngineError, MediaError, PoisonError, ServerDown
from curation.journal import read_journal
from curation.prompts import Prompt
from curation.video import VideoConfig
from tests import clips
from tests.loopback import Fault, LoopbackServer, prompt_of
from tests.model_server import ServedModel, serve_model
from tests.tiny_qwen import CORPUS, TINY
from training.benchmarks.answering import BenchmarkAnswer, BenchmarkAsk, engine_frames, open_answerer, read_seconds
from training.benchmarks.config import BenchmarkConfig
from training.benchmarks.fingerprint import Frames
from training.benchmarks.generating import LoadedModel, model_revision
from training.benchmarks.in_process import InProcessEngine
from training.benchmarks.model_inputs import prepare, stack
from training.benchmarks.question import MediaReference
from training.benchmarks.showing import MediaShower, show_file
from training.collate import Collator
from training.config import ModelConfig
from training.models import load_processor
from training.scratch import build_model

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent
SIZE = (112, 84)
VIDEO = VideoConfig(num_frames=6, max_pixels=112 * 112, min_pixels=0)
QUICK = {"backoff_s": 0.01, "backoff_cap_s": 0.02, "server_wait_s": 0.2}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """model/, clips of 30, 11, 47 and 3 frames at 10 a second, a folder of twelve frames, a picture, a torn clip."""
    folder = tmp_path_factory.mktemp("world")
    # Weights so wide that what it sees decides what it writes.
    build_model(TINY.model_copy(update={"initializer_range": 0.15}), CORPUS, folder / "model")
    for name, num_frames in (("a", 30), ("b", 11), ("c", 47), ("d", 3)):
        clips.write_video(folder / f"{name}.mp4", num_frames=num_frames, size=SIZE, fps=10)
    (folder / "frames").mkdir()
    for number in range(12):
        Image.fromarray(clips.draw_frame(number, SIZE)).save(folder / "frames" / f"{number}.png")
    Image.fromarray(clips.draw_frame(77, SIZE)).save(folder / "page.png")
    clips.truncate(folder / "c.mp4", folder / "torn.mp4", keep=0.5)
    return folder


@pytest.fixture(scope="module")
def model(world):
    return ModelConfig(name=str(world / "model"), dtype="float32")


def media_of(world, name, **changes):
    return replace(MediaReference(name, world / name), **changes)


def whole_files(world):
    names = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    shown = [*(media_of(world, name) for name in names), media_of(world, "page.png", kind="image"), None]
    return asks_of(shown)


def parts(world):
    """What no server can sample from the file alone."""
    return asks_of(
        [
            media_of(world, "a.mp4", start_s=1.0, end_s=2.0),
            media_of(world, "c.mp4", start_s=3.3),
            media_of(world, "frames", kind="frames", fps=3.0),
            media_of(world, "frames", kind="frames", fps=3.0, end_s=1.0),
            media_of(world, "b.mp4", image=(world / "page.png").read_bytes()),
            media_of(world, "a.mp4", image=world / "page.png"),
        ],
        first=100,
    )


def asks_of(shown, first=0):
    return [
        BenchmarkAsk(f"q{number}", f"Question {number}: which ball moves to the left?", media)
        for number, media in enumerate(shown, start=first)
    ]


def config_of(engine, **changes):
    values = {"video": VIDEO, "temperature": 0.0, "max_tokens": 10, "dispatch": QUICK} | changes
    engine = {"kind": "in_process"} | engine
    return BenchmarkConfig(engine=engine, sources={"shapes": {"media_root": "."}}, **values)


def server_of(server, send="frames", **changes):
    changes = {"image_mime": "image/png"} | changes if send == "frames" else changes
    return {"kind": "openai", "base_url": server.openai_url, "model": "tiny", "send": send} | changes


def ask(config, model, asks, journal, **options):
    with open_answerer(config, model) as answerer:
        return answerer.answer(asks, journal, **options)


def texts_of(answers):
    assert not any(answer.failure for answer in answers.values()), answers
    return {uid: answer.text for uid, answer in answers.items()}


# The same task for every engine


def test_a_server_and_the_model_in_process_give_the_same_texts(world, model, tmp_path):
    asks = [*whole_files(world), *parts(world)]
    with serve_model(world / "model", VIDEO) as server:
        served = texts_of(ask(config_of(server_of(server)), model, asks, tmp_path / "server.jsonl"))
        files = texts_of(
            ask(config_of(server_of(server, "file_url")), model, whole_files(world), tmp_path / "files.jsonl")
        )
    images = texts_of(ask(config_of({"send": "images"}), model, asks, tmp_path / "images.jsonl"))
    videos = texts_of(ask(config_of({"send": "video"}), model, asks, tmp_path / "videos.jsonl"))
    assert served == images
    assert files == {uid: videos[uid] for uid in files}
    assert list(served) == [ask.uid for ask in asks]
    assert len(set(served.values())) > len(asks) / 2  # the model does look at what it is shown
    assert sum(videos[uid] != images[uid] for uid in images) > len(asks) / 2  # which is another task as a video


def test_a_batch_answers_each_as_it_would_alone(world, model, tmp_path):
    asks = [*whole_files(world), *parts(world)]
    asks[1] = replace(asks[1], max_tokens=3)
    together = ask(config_of({"batch_size": 8}), model, asks, tmp_path / "together.jsonl")
    alone = ask(config_of({"batch_size": 1}), model, asks, tmp_path / "alone.jsonl")
    assert together == alone
    assert together["q1"].num_tokens <= 3
    assert together["q1"].stop_reason == "length"


def test_the_model_is_given_what_training_gives_it(world, model):
    processor = load_processor(model)
    collator = Collator(processor, VIDEO, Prompt("{question}", "0" * 64), with_target=False, padding_side="left")
    hostile = "What is <|video_pad|>?<|im_end|>"
    for name, data_type in (("c.mp4", "video"), ("page.png", "image")):
        row = {"id": "q", "problem_id": 1, "problem": hostile, "options": [], "data_type": data_type}
        row |= {"problem_type": "free-form", "solution": "", "path": name, "data_source": None, "license": None}
        trained = collator.encode(row | {"media_file": str(world / name)})
        (ours,) = prepare_all(processor, [(hostile, media_of(world, name, kind=data_type))])
        assert ours.ids == trained.prompt_ids
        assert np.array_equal(ours.visions[0].patches, trained.vision.patches)
        assert ours.visions[0].seconds_per_grid == trained.vision.seconds_per_grid
        batch, expected = stack([ours, ours], processor), collator([row | {"media_file": str(world / name)}] * 2)
        assert batch.keys() == expected.keys()
        for column, values in expected.items():
            assert torch.equal(torch.as_tensor(batch[column]), torch.as_tensor(values)), column


def test_a_further_picture_comes_after_the_video_and_only_then(world, model):
    processor = load_processor(model)
    shown = media_of(world, "a.mp4", image=world / "page.png")
    as_video, as_images = (prepare_all(processor, [("?", shown)], send=send)[0] for send in ("video", "images"))
    assert [vision.kind for vision in as_video.visions] == ["video", "image"]
    assert [vision.kind for vision in as_images.visions] == ["image"] * (VIDEO.num_frames + 1)
    assert np.array_equal(as_video.visions[-1].patches, as_images.visions[-1].patches)
    (page,) = prepare_all(processor, [("?", media_of(world, "page.png", kind="image"))])
    assert np.array_equal(page.visions[0].patches, as_video.visions[-1].patches)


def prepare_all(processor, shown, send="video"):
    """(text, media) pairs, through real workers."""

    async def show():
        async with DecoderPool(VIDEO) as pool:
            shower = MediaShower(MediaEncoder(pool, "image/png"))
            return [await shower.show(media) for _, media in shown]

    encoded = asyncio.run(show())
    return [prepare(processor, text, media, send=send) for (text, _), media in zip(shown, encoded, strict=True)]


def test_the_decoding_of_the_paper_is_as_good_as_greedy(world, model, tmp_path):
    greedy = ask(config_of({}), model, whole_files(world), tmp_path / "greedy.jsonl")
    paper = config_of({}, temperature=0.01, top_p=0.001)
    assert ask(paper, model, whole_files(world), tmp_path / "paper.jsonl") == greedy
    hot = config_of({}, temperature=5.0, top_p=1.0)
    assert ask(hot, model, whole_files(world), tmp_path / "hot.jsonl") != greedy


def test_the_generation_config_of_a_released_model_changes_nothing(world, model, tmp_path):
    """Theirs has a repetition penalty and a top_k of 1, which transformers would fill in."""
    released = tmp_path / "released"
    released.mkdir()
    for file in (world / "model").iterdir():
        (released / file.name).symlink_to(file)
    (released / "generation_config.json").unlink(missing_ok=True)
    (released / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.9, "top_k": 1}))
    config = config_of({})
    asks = whole_files(world)
    theirs = ask(config, ModelConfig(name=str(released), dtype="float32"), asks, tmp_path / "theirs.jsonl")
    assert theirs == ask(config, model, asks, tmp_path / "ours.jsonl")


# Failures


@pytest.mark.parametrize("send", ["file_url", "data_url"])
def test_a_part_of_a_video_is_never_sent_as_the_whole(world, model, tmp_path, send):
    with LoopbackServer() as server:
        answers = ask(config_of(server_of(server, send)), model, parts(world), tmp_path / "journal.jsonl")
        assert not server.asked
    assert {answer.failure for answer in answers.values()} == {"media:needs_frames"}
    assert all("\n" not in answer.detail and "send: frames" in answer.detail for answer in answers.values())
    assert "the part from 1 s to 2 s" in answers["q100"].detail


@pytest.mark.parametrize("engine", ["server", "in_process"])
def test_media_that_cannot_be_shown_fail_alone(world, model, tmp_path, engine):
    (tmp_path / "note.mp4").write_text("no video")
    shown = [
        media_of(world, "a.mp4"),
        media_of(world, "torn.mp4"),
        MediaReference("note.mp4", tmp_path / "note.mp4"),
        media_of(world, "page.png"),  # said to be a video
        media_of(world, "a.mp4", start_s=50.0),
        media_of(world, "gone.mp4"),
        MediaReference("never.mp4", None, missing="missing"),
        MediaReference("../away.mp4", None, missing="outside_root"),
        media_of(world, "b.mp4"),
    ]
    with LoopbackServer() as server:
        config = config_of(server_of(server) if engine == "server" else {})
        answers = ask(config, model, asks_of(shown), tmp_path / "journal.jsonl")
    assert [answers[f"q{number}"].failure for number in range(len(shown))] == [
        None, "media:corrupt", "media:corrupt", "media:wrong_kind", "media:no_frames", "media:missing",
        "media:missing", "media:outside_root", None,
    ]  # fmt: skip
    assert all(answer.text is None for answer in answers.values() if answer.failure)
    assert "q6" not in {entry["id"] for entry in read_journal(tmp_path / "journal.jsonl")}  # missing: never asked


def test_a_server_that_stumbles_is_asked_again_and_one_that_refuses_is_not(world, model, tmp_path):
    def stumble(prompt, nth):
        number = int(prompt.split(":")[0].removeprefix("Question "))
        return {
            0: Fault(400),
            1: Fault(529) if nth == 1 else None,
            2: Fault("cut") if nth == 1 else None,
            3: Fault(500),
        }.get(number)

    with LoopbackServer(faults=stumble) as server:
        config = config_of(server_of(server), dispatch=QUICK | {"max_tries": 3})
        answers = ask(config, model, whole_files(world), tmp_path / "journal.jsonl")
        asked = {prompt.split(":")[0]: count for prompt, count in server.asked.items()}
    assert [answers[f"q{n}"].failure for n in range(6)] == ["poison", None, None, "exhausted", None, None]
    assert (asked["Question 0"], asked["Question 3"]) == (1, 3)
    assert "400" in answers["q0"].detail
    assert answers["q1"].text == f"answer to {whole_files(world)[1].text}"
    assert answers["q1"].num_tokens == 7  # as the server says


def test_one_request_that_the_model_cannot_take_costs_no_other_one(world, model, tmp_path, monkeypatch, caplog):
    whole = LoadedModel.generate

    def out_of_memory(self, prompts, sampling, **options):
        if any(len(prompt.ids) > 150 for prompt in prompts):
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB")
        return whole(self, prompts, sampling, **options)

    asks = whole_files(world)
    long = replace(asks[2], text="Which? " * 60)
    expected = ask(config_of({}), model, asks, tmp_path / "before.jsonl")
    monkeypatch.setattr(LoadedModel, "generate", out_of_memory)
    answers = ask(config_of({}), model, [*asks[:2], long, *asks[3:]], tmp_path / "journal.jsonl")
    assert answers["q2"].failure == "poison"
    assert "CUDA out of memory. Tried" in answers["q2"].detail
    assert {uid: found for uid, found in answers.items() if uid != "q2"} == {
        uid: found for uid, found in expected.items() if uid != "q2"
    }


def test_a_lost_accelerator_ends_the_run_with_what_was_answered(world, model, tmp_path, monkeypatch):
    whole = LoadedModel.generate
    calls = []

    def lose(self, prompts, sampling, **options):
        calls.append(len(prompts))
        if len(calls) > 1:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return whole(self, prompts, sampling, **options)

    monkeypatch.setattr(LoadedModel, "generate", lose)
    with pytest.raises(FatalEngineError, match="device-side assert"):
        ask(config_of({"batch_size": 2}), model, whole_files(world), tmp_path / "journal.jsonl")
    monkeypatch.undo()
    num_kept = len(list(read_journal(tmp_path / "journal.jsonl")))
    assert num_kept == calls[0]
    resumed = ask(config_of({"batch_size": 2}), model, whole_files(world), tmp_path / "journal.jsonl")
    assert resumed == ask(config_of({}), model, whole_files(world), tmp_path / "whole.jsonl")


def test_frames_without_a_time_are_no_video(model):
    """A clip of several moments needs its times; the engine never makes them up."""
    buffer = io.BytesIO()
    Image.fromarray(clips.draw_frame(1, SIZE)).save(buffer, "PNG")
    media = EncodedMedia("video", Path("a.mp4"), (buffer.getvalue(),) * 4, "image/png")

    async def complete(send):
        engine = InProcessEngine(model, send=send, batch_size=2, top_p=1.0)
        try:
            return await engine.complete(Request("q", "?", 2, media=media))
        finally:
            await engine.close()

    with pytest.raises(PoisonError, match="no frame rate"):
        asyncio.run(complete("video"))
    assert asyncio.run(complete("images")).output_tokens == 2


def test_a_wrong_key_ends_the_run_and_keeps_what_was_answered(world, model, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHMARK_KEY", "right")
    asks = whole_files(world)
    with LoopbackServer(api_key="right", max_in_flight=1) as server:
        config = config_of(server_of(server, api_key_env="BENCHMARK_KEY"), dispatch=QUICK | {"max_in_flight": 1})
        ask(config, model, asks[:2], tmp_path / "journal.jsonl")
        monkeypatch.setenv("BENCHMARK_KEY", "wrong")
        with pytest.raises(FatalEngineError, match="Check the API key"):
            ask(config, model, asks, tmp_path / "journal.jsonl")
        monkeypatch.setenv("BENCHMARK_KEY", "right")
        assert len(texts_of(ask(config, model, asks, tmp_path / "journal.jsonl"))) == len(asks)
        assert set(server.answered.values()) == {1}


def test_a_server_that_went_away_says_what_to_do(world, model, tmp_path):
    with LoopbackServer() as server:
        pass
    with pytest.raises(ServerDown, match="run the same command again") as caught:
        ask(config_of(server_of(server)), model, whole_files(world), tmp_path / "journal.jsonl")
    assert "\n" not in str(caught.value)
    assert "--retry-failed" not in str(caught.value)


def test_no_model_is_said_before_anything_is_asked(tmp_path):
    with pytest.raises(ConfigError, match="cannot load the model"):
        open_answerer(config_of({}), ModelConfig(name=str(tmp_path / "nothing")))


# Resuming


def test_what_is_answered_is_never_asked_again_and_what_changed_is(world, model, tmp_path):
    journal = tmp_path / "journal.jsonl"
    clip = tmp_path / "clip.mp4"
    clip.write_bytes((world / "a.mp4").read_bytes())
    (asked,) = asks_of([MediaReference("clip.mp4", clip)])
    with LoopbackServer() as server:

        def count(asks=asked, model=model, **changes):
            engine = {key: changes.pop(key) for key in ("extra_body", "base_url", "timeout_s") if key in changes}
            before = sum(server.asked.values())
            ask(config_of(server_of(server, **engine), **changes), model, [asks], journal)
            return sum(server.asked.values()) - before

        assert count() == 1
        assert count() == 0
        assert count(timeout_s=5.0, base_url=f"http://localhost:{server.port}/v1") == 0
        for changes in ({"temperature": 0.5}, {"top_p": 0.5}, {"max_tokens": 5}, {"extra_body": {"seed": 1}}):
            assert count(**changes) == 1, changes
            assert count(**changes) == 0, changes
        assert count(video=VIDEO.model_copy(update={"num_frames": 3})) == 1
        assert count(video=VIDEO.model_copy(update={"num_workers": 1, "timeout_s": 5.0})) == 0
        for other in (
            replace(asked, text="What else?"),
            replace(asked, uid="another"),
            replace(asked, max_tokens=3),
            replace(asked, media=replace(asked.media, end_s=1.0)),
            replace(asked, media=replace(asked.media, image=(world / "page.png").read_bytes())),
            replace(asked, media=None),
        ):
            assert count(other) == 1
            assert count(other) == 0
        clip.write_bytes((world / "b.mp4").read_bytes())
        assert count() == 1


def test_batches_and_the_place_of_a_model_are_no_part_of_an_answer(world, model, tmp_path):
    asks = whole_files(world)[:1]
    ask(config_of({"batch_size": 1}), model, asks, tmp_path / "journal.jsonl")
    (tmp_path / "moved").mkdir()
    for file in (world / "model").iterdir():
        (tmp_path / "moved" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "moved" / "README.md").write_text("its card")
    moved = ModelConfig(name=str(tmp_path / "moved"), dtype="float32")
    assert model_revision(moved) == model_revision(model)
    ask(config_of({"batch_size": 4}), moved, asks, tmp_path / "journal.jsonl")
    assert len(list(read_journal(tmp_path / "journal.jsonl"))) == 1
    retrained = next((tmp_path / "moved").glob("*.safetensors"))
    content = bytearray(retrained.read_bytes())
    content[-1] ^= 1
    retrained.write_bytes(bytes(content))
    assert model_revision(moved) != model_revision(model)
    ask(config_of({"send": "images"}), model, asks, tmp_path / "journal.jsonl")
    ask(config_of({}), moved, asks, tmp_path / "journal.jsonl")
    assert len(list(read_journal(tmp_path / "journal.jsonl"))) == 3


def test_failures_are_kept_until_they_are_asked_for_again_and_time_adds_up(world, model, tmp_path):
    asks, journal, seen = whole_files(world), tmp_path / "journal.jsonl", []
    with LoopbackServer(faults=[Fault(400)] * 2, latency_s=0.01) as server:
        config = config_of(server_of(server), dispatch=QUICK | {"max_in_flight": 1})
        first = ask(config, model, asks, journal)
        seconds = read_seconds(journal)
        assert ask(config, model, asks, journal, progress=seen.append) == first
        assert read_seconds(journal) == seconds > 0
        retried = ask(config, model, asks, journal, retry_failed=True)
        assert read_seconds(journal) > seconds
    assert Counter(answer.failure for answer in first.values()) == {None: 4, "poison": 2}
    assert sum(seen) == len(asks)
    assert not any(answer.failure for answer in retried.values())
    assert set(server.answered.values()) == {1}


_RUN = """
import json, sys
from pathlib import Path
from training.benchmarks.answering import BenchmarkAsk, open_answerer
from training.benchmarks.config import BenchmarkConfig
from training.benchmarks.fingerprint import Frames
from training.benchmarks.question import MediaReference
from training.config import ModelConfig
config, model, journal, folder, number = sys.argv[1:]
names = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
asks = [
    BenchmarkAsk(str(n), f"Question {n}: left?", MediaReference(names[n % 4], Path(folder) / names[n % 4]))
    for n in range(int(number))
]
with open_answerer(BenchmarkConfig.model_validate_json(config), ModelConfig.model_validate_json(model)) as answerer:
    answers = answerer.answer(asks, Path(journal))
print(json.dumps({uid: [found.text, found.failure] for uid, found in answers.items()}))
"""


def start(config, model, journal, world, number):
    command = [sys.executable, "-c", _RUN, config.model_dump_json(), model.model_dump_json(), journal, world, number]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, env=environment)


def kill_after(process, journal, num_lines):
    """SIGKILL as soon as so many answers are on disk."""
    while process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= num_lines:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return [entry["id"] for entry in read_journal(journal)]


@pytest.mark.parametrize("engine", ["server", "in_process"])
def test_a_killed_run_goes_on_to_the_same_answers_and_asks_nothing_twice(world, model, tmp_path, engine):
    number, width = 16, 2
    reply = ServedModel(world / "model", VIDEO) if engine == "server" else prompt_of
    with LoopbackServer(reply=reply, latency_s=0.02) as server:
        config = config_of(
            server_of(server) if engine == "server" else {"batch_size": 2},
            max_tokens=4,
            dispatch=QUICK | {"max_in_flight": width},
        )
        journal = tmp_path / "journal.jsonl"
        kept = kill_after(start(config, model, journal, world, number), journal, 4)
        assert 4 <= len(kept) < number
        asked_before = Counter(server.asked)
        resumed = start(config, model, journal, world, number)
        answers = json.loads(resumed.communicate()[0])
        assert resumed.returncode == 0
        names = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
        asks = [BenchmarkAsk(str(n), f"Question {n}: left?", media_of(world, names[n % 4])) for n in range(number)]
        whole = texts_of(ask(config, model, asks, tmp_path / "whole.jsonl"))
    assert answers == {uid: [text, None] for uid, text in whole.items()}
    lines = [entry["id"] for entry in read_journal(journal)]
    assert lines[: len(kept)] == kept
    assert sorted(lines, key=int) == [str(n) for n in range(number)]  # each once
    if engine == "server":
        for uid in kept:  # asked before the kill, and by the run that was not killed
            assert server.asked[f"Question {uid}: left?"] == asked_before[f"Question {uid}: left?"] + 1


# What goes over the wire, and into the fingerprint


def test_top_p_goes_to_the_server_and_an_extra_body_of_the_user_wins(world, model, tmp_path):
    with LoopbackServer() as server:
        for extra, expected in (({}, 0.001), ({"top_p": 0.9, "seed": 3}, 0.9)):
            config = config_of(server_of(server, extra_body=extra), temperature=0.01)
            ask(config, model, whole_files(world)[:1], tmp_path / "journal.jsonl")
            body = server.bodies[-1][1]
            assert (body["top_p"], body["temperature"], body["max_tokens"]) == (expected, 0.01, 10)
    assert body["seed"] == 3


def test_the_further_picture_travels_as_a_picture_behind_the_video(world, model, tmp_path):
    (asked,) = asks_of([media_of(world, "a.mp4", image=world / "page.png")])
    with LoopbackServer() as server:
        for send, kinds in (("frames", ["image_url"] * 7), ("video_frames", ["video_url", "image_url"])):
            ask(config_of(server_of(server, send)), model, [asked], tmp_path / "journal.jsonl")
            parts = server.bodies[-1][1]["messages"][0]["content"]
            assert [part["type"] for part in parts] == [*kinds, "text"]


def test_a_text_only_server_is_sent_text(world, model, tmp_path):
    with LoopbackServer() as server:
        answers = ask(config_of(server_of(server, "none")), model, parts(world), tmp_path / "journal.jsonl")
        assert {prompt_of(body) for _, body in server.bodies} == {asked.text for asked in parts(world)}
        assert all(isinstance(body["messages"][0]["content"], str) for _, body in server.bodies)
    assert texts_of(answers)


def test_two_questions_of_one_uid_are_a_mistake(model, tmp_path):
    with open_answerer(
        config_of({"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}), model
    ) as found:
        assert (found.model, found.engine_kind, found.model_revision) == ("m", "openai", None)
        assert found.answer([], tmp_path / "journal.jsonl") == {}
        with pytest.raises(ValueError, match="same uid"):
            found.answer([BenchmarkAsk("q", "?", None)] * 2, tmp_path / "journal.jsonl")


def test_fingerprints_tell_apart_what_the_model_sees():
    url = "http://127.0.0.1:1/v1"
    engines = {
        "video": {"send": "video"},
        "images": {"send": "images"},
        "png": {"kind": "openai", "base_url": url, "model": "m", "image_mime": "image/png"},
        "jpeg": {"kind": "openai", "base_url": url, "model": "m"},
        "jpeg video": {"kind": "openai", "base_url": url, "model": "m", "send": "video_frames"},
        "file": {"kind": "openai", "base_url": url, "model": "m", "send": "file_url"},
        "whole": {"kind": "openai", "base_url": url, "model": "m", "send": "data_url"},
        "none": {"kind": "openai", "base_url": url, "model": "m", "send": "none"},
    }
    frames = {name: engine_frames(config_of(engine)) for name, engine in engines.items()}
    assert frames["png"] == frames["images"]  # the same pixels, as the same task
    assert frames["file"] == frames["whole"]
    assert len(set(map(str, frames.values()))) == 6
    assert (frames["file"].reader, frames["file"].sent_as) == ("server", "video")
    assert frames["none"].sent_as == "nothing"
    assert (frames["video"].num_frames, frames["video"].max_pixels) == (6, 112 * 112)


def test_fingerprints_say_which_times_were_seen_and_claim_nothing_of_what_a_server_sampled():
    def seen(url="http://127.0.0.1:1/v1", **engine):
        return engine_frames(config_of({"kind": "openai", "base_url": url, "model": "m", **engine}))

    assert {send: seen(send=send).times for send in ("frames", "video_frames", "data_url", "none")} == {
        "frames": "none",
        "video_frames": "true",
        "data_url": "server",
        "none": "none",
    }
    assert seen(send="video_frames", image_mime="image/png") == engine_frames(config_of({"send": "video"}))
    sampled = seen(send="file_url")
    assert (sampled.num_frames, sampled.min_pixels, sampled.max_pixels) == (None, None, None)
    assert sampled != seen(send="file_url", url="http://127.0.0.1:2/v1")  # its settings are its own
    stated = {seen(send="file_url", server_settings=words) for words in ("1 fps", "2 fps")}
    assert len({*stated, sampled}) == 3
    assert seen(send="file_url", server_settings="2 fps", url="http://a/v1") in stated


@pytest.mark.parametrize(
    ("reader", "sent_as", "times"),
    [
        ("pyav bicubic", "video", "true"),
        ("pyav bicubic jpeg", "video", "one a second"),
        ("pyav bicubic jpeg", "images", "none"),
        ("server", "video", "server"),
        ("none", "nothing", "none"),
    ],
)
def test_a_result_of_the_first_version_tells_the_times_that_its_model_saw(reader, sent_as, times):
    old = {"num_frames": 6, "fps": None, "min_pixels": 0, "max_pixels": 784, "sent_as": sent_as, "reader": reader}
    found = Frames.model_validate_json(json.dumps(old))
    assert (found.times, found.server) == (times, None)
    assert Frames.model_validate(found.model_dump(mode="json")) == found


def test_a_file_alone_must_be_there(tmp_path):
    with pytest.raises(MediaError) as caught:
        show_file(MediaReference("gone.mp4", tmp_path / "gone.mp4"))
    assert caught.value.reason == "missing"


def test_an_answer_is_either_a_text_or_a_failure(world, model, tmp_path):
    answers = ask(
        config_of({}), model, [*whole_files(world)[:1], *asks_of([media_of(world, "torn.mp4")], 9)], tmp_path / "j"
    )
    assert answers["q9"] == BenchmarkAnswer(None, None, None, "media:corrupt", answers["q9"].detail)
    assert answers["q0"].failure is None
    assert answers["q0"].num_tokens == 10

"""One template a prompt name; the form that it asks for is the one that the strict readers take."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.prompts import Prompt, load_trace_prompt, render_question, render_trace_prompt
from curation.schema import Question
from training.benchmarks.question import BenchmarkQuestion, MediaReference
from training.benchmarks.rendering import FORM_SENTENCES, prompt_form, prompt_sha256, render_prompt
from training.benchmarks.scoring import KINDS, PROTOCOLS, Gold, Reply, score_reply

TRACE = load_trace_prompt(None)
GOLDS = {
    "mc": ("B", ("A. red", "B. blue")),
    "yesno": ("yes", ()),
    "match": ("Option 2: A man runs.", ("Option 1: A man sits.", "Option 2: A man runs.")),
    "numeric": ("4", ()),
    "regression": ("2.5", ()),
    "interval": ("[3.0, 9.5]", ()),
    "box": ("[10, 20, 30, 40]", ()),
    "open": ("he runs", ()),
    "ocr": ("EXIT", ()),
    "free-form": ("he runs away", ()),
}


def question_of(kind="mc", *, media="video", text="What moves?"):
    answer, options = GOLDS[kind]
    return BenchmarkQuestion(
        "shapes", "q1", kind, text, options, answer, MediaReference("a.mp4", Path("a.mp4"), media), {}
    )


def test_trace_is_the_prompt_of_curation_training_and_inference_word_for_word():
    asked = Question("q1", None, "What moves?", ("A. red", "B. blue"), "video", "multiple choice", "", "", None, None)
    assert render_prompt(question_of(), "trace", TRACE) == render_trace_prompt(TRACE, asked)


def test_another_trace_prompt_is_used_as_it_is():
    terse = Prompt("{question}|{data_type}|{answer_form}", "0" * 64)
    rendered = render_prompt(question_of(media="image"), "trace", terse)
    assert rendered.startswith("What moves?\nOptions:\nA. red\nB. blue|image|the letter of one option")
    assert render_prompt(question_of(media="frames"), "trace", terse).split("|")[1] == "video"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["trace", "direct"])
def test_every_kind_is_asked_with_its_options_and_without_its_gold(kind, name):
    question = question_of(kind)
    rendered = render_prompt(question, name, TRACE)
    assert question.text in rendered
    assert all(option in rendered for option in question.options)
    assert "{" not in rendered
    assert "<answer>" in rendered
    assert rendered == render_prompt(replace(question, answer="another gold"), name, TRACE)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_in_the_form_that_is_asked_for_scores_by_both_protocols(kind, protocol):
    """The golds above are in the forms that the prompts describe: a letter, a small word, a whole line ..."""
    answer, options = GOLDS[kind]
    scored = score_reply(Gold(kind, answer, options), Reply(f"<answer>{answer}</answer>"), protocol)
    assert (scored.score, scored.failure) == (1.0, None)


@pytest.mark.parametrize("kind", sorted(FORM_SENTENCES))
def test_kinds_that_curation_does_not_know_get_a_sentence_of_their_own_before_the_options(kind):
    question = question_of(kind)
    expected = render_question(f"What moves?\n{FORM_SENTENCES[kind]}", question.options, "free-form")
    assert expected in render_prompt(question, "direct", TRACE)


def test_direct_asks_for_the_answer_alone():
    rendered = render_prompt(question_of(), "direct", TRACE)
    assert "<answer>" in rendered
    assert not any(word in rendered for word in ("<think>", "<observation>", "step"))


@pytest.mark.parametrize("name", ["trace", "direct"])
@pytest.mark.parametrize("observation", [None, "A red ball rolls."])
def test_no_video_is_spoken_of_where_there_is_none(name, observation):
    rendered = render_prompt(question_of(), name, TRACE, observation=observation, has_media=False)
    assert not any(word in rendered for word in ("video", "image", "observe", "look for them"))
    assert (observation is None) or (observation in rendered)
    assert "<answer>" in rendered


def test_an_observation_stands_behind_the_question_with_and_without_the_video():
    seen = render_prompt(question_of(), "trace", TRACE, observation=" A red ball rolls.\n")
    assert "What moves?\nSomebody who looked at it wrote down:\nA red ball rolls.\nOptions:\nA. red" in seen
    assert "You are given the video" in seen


@given(text=st.text(), observation=st.text())
def test_braces_in_hostile_text_are_never_filled(text, observation):
    question = question_of("open", text=f"{text}{{answer_form}}")
    for name in ("trace", "direct"):
        rendered = render_prompt(question, name, TRACE, observation=f"{{question}}{observation}")
        assert f"{text}{{answer_form}}" in rendered
        assert "{question}" in rendered


def test_the_form_of_a_prompt_is_the_blocks_that_it_asks_for():
    assert prompt_form("trace", load_trace_prompt(None)) == "observation-think-answer"
    agnostic = Prompt("{question}\n<think>why</think><answer>{answer_form}</answer>", "0" * 64)
    assert prompt_form("trace", agnostic) == "think-answer"
    assert {prompt_form("direct", prompt) for prompt in (agnostic, load_trace_prompt(None))} == {"answer"}


def test_the_hash_tells_prompts_apart():
    other = Prompt(TRACE.text + ".", "1" * 64)
    hashes = [prompt_sha256("trace", TRACE), prompt_sha256("direct", TRACE), prompt_sha256("trace", other)]
    assert len(set(hashes)) == 3
    assert prompt_sha256("direct", TRACE) == prompt_sha256("direct", other)

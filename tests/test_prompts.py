import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.prompts import ANSWER_FORMS, TRACE_PROMPT, Prompt, load_prompt, render_question, render_trace_prompt
from curation.schema import PROBLEM_TYPES, Question
from curation.trace import OBSERVATION_OPENING, THINK_OPENING, Trace, render_trace


def make_question(problem="Which cup is red?", options=("A. left", "B. right"), problem_type="multiple choice"):
    return Question("0" * 16, 1, problem, options, "video", problem_type, "<answer>B</answer>", "a.mp4", None, None)


def test_the_trace_prompt_puts_the_question_first_and_asks_for_the_whole_template():
    prompt = load_prompt(None, TRACE_PROMPT)
    text = render_trace_prompt(prompt, make_question())
    assert text.startswith("Which cup is red?\nOptions:\nA. left\nB. right\n")
    assert OBSERVATION_OPENING in text
    assert THINK_OPENING in text
    assert render_trace(Trace("your observations", "your reasoning", "your answer")) in text
    assert "{" not in text
    assert "<answer>B" not in text  # the gold answer never reaches the generator


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_every_problem_type_has_its_answer_form(problem_type):
    text = render_trace_prompt(load_prompt(None, TRACE_PROMPT), make_question(problem_type=problem_type))
    assert ANSWER_FORMS[problem_type] in text


@given(st.text())
def test_braces_in_a_question_are_never_filled(problem):
    hostile = problem + "{data_type} {question} {{answer_form}} {unknown} %s \\1"
    text = render_trace_prompt(Prompt("{question}|{data_type}", ""), make_question(hostile, options=()))
    assert text == f"{hostile}|video"


def test_a_question_without_options_has_no_options_heading():
    assert render_question("How many?", ()) == "How many?"


def test_the_hash_is_that_of_the_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(b"\xef\xbb\xbfLook. {question}\r\n")
    prompt = load_prompt(path, TRACE_PROMPT)
    assert prompt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert prompt.text == "Look. {question}\r\n"
    assert prompt.file_bytes == path.read_bytes()
    assert prompt.sha256 != load_prompt(None, TRACE_PROMPT).sha256


@pytest.mark.parametrize("contents", [None, b"\xff\xfe{question}"])
def test_an_unreadable_prompt_is_one_clear_line(tmp_path, contents):
    path = tmp_path / "own.txt"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ConfigError, match=r"own\.txt") as caught:
        load_prompt(path, TRACE_PROMPT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"), [("Look.", "question"), ("{question} {video_url}", "video_url"), ("{data_type}", "question")]
)
def test_a_prompt_with_wrong_slots_is_refused_before_the_run_starts(tmp_path, text, named):
    path = tmp_path / "own.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        load_prompt(path, TRACE_PROMPT)


def test_an_unfillable_slot_is_an_error_and_never_sent():
    with pytest.raises(ConfigError, match="observation"):
        Prompt("{question} {observation}", "").fill(question="Q")


def test_braces_that_are_no_slot_stay():
    assert Prompt('{"judgement": "Yes"} {question} {} {A}', "").fill(question="Q") == '{"judgement": "Yes"} Q {} {A}'

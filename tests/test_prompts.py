import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.judge import judge_text
from curation.prompts import (
    ANSWER_FORMS,
    JUDGE_PROMPT,
    TRACE_PROMPT,
    Prompt,
    load_prompt,
    render_question,
    render_trace_prompt,
)
from curation.schema import PROBLEM_TYPES, Question
from curation.scoring.choice import parse_options
from curation.tasks import score_answer
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


LABELS = ["{}. ", "{}) ", "({}) ", "{}: ", "{}.", "[{}] ", "Option {}: ", "{}\u3001", "{}\uff0e"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("letters", ["AB", "ABCD", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ab", "BA", "CABD"])
def test_options_that_bear_letters_are_shown_byte_for_byte_as_they_are(label, letters):
    options = tuple(f"{label.format(letter)}text {place} " for place, letter in enumerate(letters))
    assert render_question("Which?", options) == "\n".join(["Which?", "Options:", *options])
    assert [option.letter for option in parse_options(options)] == list(letters.upper())


@pytest.mark.parametrize(
    "options",
    [
        ("left", "right"), ("U.S.", "E.U."), ("A.D.", "B.C."), ("a.m.", "p.m."), ("A. Lincoln", "J. Adams"),
        ("A minor", "B minor"), ("A. x", "A. y"), ("A. x", "C. y"), ("B. x", "C. y"), ("A. x", "y"), ("1. x", "2. y"),
        ("Apple", "Banana"), ("A", "B", "AB", "O"), ("A. x", "b. y"), ("C3PO", "R2D2"), ("\u5de6", "\u53f3"),
        ("(A", "x"),
    ],
)  # fmt: skip
def test_options_without_letters_of_their_own_are_shown_with_letters(options):
    shown = tuple(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=False))
    assert render_question("Which?", options) == "\n".join(["Which?", "Options:", *shown])
    assert [(option.letter, option.text) for option in parse_options(options)] == list(
        zip("ABCD", options, strict=False)
    )
    for letter, option in zip("ABCD", options, strict=False):
        assert score_answer("multiple choice", letter, option, options=options) == 1.0
        assert score_answer("multiple choice", option, letter, options=options) == 1.0


def test_options_that_are_only_letters_are_what_they_say():
    assert render_question("Which?", ("B", "A")) == "Which?\nOptions:\nB\nA"


def test_generator_and_judge_are_shown_the_same_letters():
    question = make_question(options=("left", "right"))
    for text in (
        render_trace_prompt(load_prompt(None, TRACE_PROMPT), question),
        judge_text(load_prompt(None, JUDGE_PROMPT), question, "It turns right."),
    ):
        assert "Which cup is red?\nOptions:\nA. left\nB. right\n" in text


@pytest.mark.parametrize("problem_type", [name for name in PROBLEM_TYPES if name != "multiple choice"])
def test_where_no_letter_is_asked_for_none_is_shown(problem_type):
    question = make_question(options=("left", "right"), problem_type=problem_type)
    text = render_trace_prompt(load_prompt(None, TRACE_PROMPT), question)
    assert text.startswith("Which cup is red?\nOptions:\nleft\nright\n")


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

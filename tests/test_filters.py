import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.filters import FilterConfig, Filtered, filter_completion
from curation.leaks import find_leak
from curation.repetition import repetition
from curation.schema import Question
from curation.trace import Trace, render_trace

OPTIONS = ("A. a blue car", "B. a red car", "C. a man", "D. Vitamin B")
OBSERVATION = "Based on the question, I need to notice the vehicle: a small red car stops left of the tree."
THINK = "Based on the observations, the car has the colour of a tomato, so the second text fits."
LOOP = "and then the car goes round the tree again, " * 12


def ask(problem_type="multiple choice", solution="B", options=OPTIONS):
    return Question(
        "0" * 16, 1, "Which?", options, "video", problem_type, f"<answer>{solution}</answer>", "a.mp4", None, None
    )


def run(observation=OBSERVATION, think=THINK, answer="B", question=None, **config) -> Filtered:
    return filter_completion(render_trace(Trace(observation, think, answer)), question or ask(), FilterConfig(**config))


def test_a_good_trace_passes_without_a_flag():
    assert run() == Filtered(Trace(OBSERVATION, THINK, "B"), 1.0)


@pytest.mark.parametrize(
    ("completion", "rejected_by"),
    [
        ("B", "filter:format"),
        (render_trace(Trace(OBSERVATION, THINK, "C")), "filter:score"),
        (render_trace(Trace("the answer is B", "so", "C")), "filter:score"),
        (render_trace(Trace("the answer is B", "so", "B")), "filter:observation_length"),
        (render_trace(Trace(LOOP.strip(), "so", "B")), "filter:think_length"),
        (render_trace(Trace("the answer is B " + LOOP.strip(), THINK, "B")), "filter:repetition"),
        (render_trace(Trace(OBSERVATION, THINK + " " + LOOP.strip(), "B")), "filter:repetition"),
        (render_trace(Trace(OBSERVATION + " So it is B.", THINK, "B")), "filter:leaks_answer"),
    ],
)
def test_the_first_rule_that_hits_names_itself(completion, rejected_by):
    filtered = filter_completion(completion, ask(), FilterConfig())
    assert filtered.rejected_by == rejected_by
    assert filtered.detail
    assert "\n" not in filtered.detail


def test_a_broken_template_has_no_score_rather_than_zero():
    filtered = filter_completion("<answer>B</answer>", ask(), FilterConfig())
    assert (filtered.trace, filtered.score, filtered.flags) == (None, None, ())
    assert filtered.detail.startswith("missing: ")


def test_a_rejected_trace_keeps_its_trace_and_its_score():
    filtered = run(answer="C")
    assert filtered.trace == Trace(OBSERVATION, THINK, "C")
    assert filtered.score == 0.0


@pytest.mark.parametrize(
    ("answer", "kept"), [("0.6", True), ("0.59", False), ("0.599999", False), ("1.4", True), ("1.41", False)]
)
def test_a_score_of_exactly_0_6_is_kept(answer, kept):
    assert (run(answer=answer, question=ask("regression", "1")).rejected_by is None) is kept


def test_0_6_computed_in_floats_is_kept():
    # 1 - 2/5 is 0.6, and so is three words of five, whatever the last bit says.
    assert run(answer="a b c", question=ask("OCR", "a b c d e")).rejected_by is None
    assert run(answer="3", question=ask("regression", "5"), min_score=0.6000000001).rejected_by is None
    assert run(answer="3", question=ask("regression", "5"), min_score=0.60001).rejected_by == "filter:score"


def test_the_option_text_answers_a_multiple_choice_question():
    assert run(answer="A red car.").rejected_by is None


@pytest.mark.parametrize(("num_words", "kept"), [(9, False), (10, True), (20, True), (21, False)])
def test_both_ends_of_a_length_window_are_kept(num_words, kept):
    text = " ".join(f"word{i}" for i in range(num_words))
    assert (run(observation=text, observation_words=(10, 20)).rejected_by is None) is kept
    assert (run(think=text, think_words=(10, 20)).rejected_by is None) is kept


def test_a_text_without_spaces_is_counted_by_characters():
    assert run(think="".join(chr(0x4E00 + i) for i in range(60))).rejected_by is None


@pytest.mark.parametrize(
    "refusal",
    ["I'm sorry, but I can't assist with that.", "I cannot determine the answer.", "As an AI, I do not watch videos."],
)
def test_a_refusal_is_named_and_has_no_score(refusal):
    for question in (ask(), ask("free-form", "the man cannot assist with that", ())):
        refused = run(answer=refusal, question=question)
        assert (refused.rejected_by, refused.score) == ("filter:refusal", None)
        assert refused.detail
    assert filter_completion(refusal, ask(), FilterConfig()).rejected_by == "filter:refusal"
    assert run(answer=refusal, question=ask("free-form", refusal, ())).rejected_by is None


def test_scoring_by_the_rules_of_videor1_is_a_key():
    assert run(answer="B.").rejected_by is None
    assert run(answer="B.", scoring="videor1").rejected_by == "filter:score"
    assert run(answer="B", scoring="videor1").rejected_by is None
    with pytest.raises(ValidationError):
        FilterConfig(scoring="strict")


def test_a_leak_may_be_flagged_instead_of_rejected():
    kept = run(observation=OBSERVATION + " So it is B.", leaks_answer="flag")
    assert (kept.rejected_by, kept.flags) == (None, ("leaks_answer",))
    assert run(observation=OBSERVATION + " So it is B.").flags == ("leaks_answer",)


@pytest.mark.parametrize(
    ("observation", "think"),
    [(OBSERVATION.removeprefix("Based on the question, "), THINK), (OBSERVATION, "First, " + THINK)],
)
def test_a_missing_opening_is_flagged_and_kept(observation, think):
    filtered = run(observation=observation, think=think)
    assert (filtered.rejected_by, filtered.flags) == (None, ("no_opening",))


def test_case_and_white_space_of_an_opening_do_not_count():
    assert run(observation=OBSERVATION.replace(" ", "  ").upper()).flags == ()


@given(st.text(st.characters()), st.sampled_from(["multiple choice", "numerical", "OCR", "free-form", "regression"]))
def test_no_completion_raises(text, problem_type):
    question = ask(problem_type, "5")
    filter_completion(text, question, FilterConfig())
    if "<" not in text and text.strip():
        text = text.strip()
        assert filter_completion(render_trace(Trace(text, text, text)), question, FilterConfig()).score is not None


@pytest.mark.parametrize(
    "config",
    [
        {"min_score": 1.1}, {"min_score": -0.1}, {"min_score": float("nan")}, {"observation_words": [20, 10]},
        {"think_words": [-1, 10]}, {"max_repetition": 2}, {"leaks_answer": "keep"}, {"min_scores": 0.5},
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_meant_is_refused(config):
    with pytest.raises(ValidationError):
        FilterConfig(**config)


def test_a_yaml_list_is_a_window():
    assert FilterConfig.model_validate({"think_words": [1, 2]}).think_words == (1, 2)


# --- leaks ------------------------------------------------------------------------------------------------------------

LEAKS = [
    "the answer is B", "The correct answer would be B.", "the answer must be a red car",
    "the right answer seems to be B", "The final answer: B", "Answer: B", "The correct option is the second one",
    "the answer to this question is B", "The answer, therefore, is B", "the best choice is the car",
    'the answer is "B"', "The answer was B", "The answer is: B", "the answer choice is B", "This is option B",
    "It shows Option (C)", "choice D", "It fits option b", "options B and C", "option: B", "**Option B**",
    'option "B"', "Option B's description fits", "answer (B)", "which is option a.", "so it is B.", "so it's (B).",
    "Therefore B.", "thus, it is B", "which means C.", "it must be B.", "This must be (D)",
    "corresponds to option C", "corresponds to C.", "which matches B.", "matches (B), of course",
    "I would choose D.", "(B) is correct", "B is the correct choice", "B is correct because it is red",
    "B is the answer", "(B) must be the right answer", "making B the best option", "which matches B. a red car",
    "B. a red car", "(B) a red car", "b) A RED CAR", "B: a red car is seen", "The car is red. B.",
]  # fmt: skip
DESCRIPTIONS = [
    "a sign with the text A", "a man", "A man and a dog walk", "Vitamin B", "a box of Vitamin B.", "Team A scores",
    "team B. They celebrate", "point A", "Point A lies above point B.", "line AB corresponds to CD.",
    "angle B is 40 degrees", "A is right of the tree", "Grade A. student", "Plan B", "hepatitis B.",
    "the letter on the sign is B", "it is B-shaped", "the quiz show asks for an answer",
    "the answer is displayed on the screen", "the correct answer is highlighted in green",
    "the correct answer is then shown", "the answer is not visible",
    "he knows what the answer is, the host does not", "she writes her answer in the box", "an answer sheet",
    "the answers are written below", 'a sign says "The answer is 42"',
    "a sign says \u201cAnswer: B, a red car\u201d", "a man has the option to leave", "an option a man likes",
    "the choice a woman makes", "the option's price", "several options are a car or a bus", "a red car",
    "It is a red car", "so it is a red car", "so a man walks", "therefore A-frame houses",
    "the chef has no choice but to stop", "section B. The second one", "I see a red car", "vitamins A, B and C",
    "a button labelled A, a button labelled B",
    "option A shows a blue car, option B a red one, option C a man and option D a pill",
    "the picture lists A. a blue car, B. a red car, C. a man and D. Vitamin B", "Option E",
    "an alternative a driver has",
]  # fmt: skip


@pytest.mark.parametrize("text", LEAKS)
@pytest.mark.parametrize("frame", ["{}", "I need to notice the car. {}", "I need to notice the car:\n  {}"])
def test_an_observation_that_gives_the_answer_away_is_caught(text, frame):
    assert find_leak(frame.format(text), "multiple choice", OPTIONS) is not None


@pytest.mark.parametrize("text", DESCRIPTIONS)
@pytest.mark.parametrize("frame", ["{}", "I need to notice the scene: {}, and a tree.", "I need to notice {}"])
def test_a_description_of_what_is_seen_is_no_leak(text, frame):
    assert find_leak(frame.format(text), "multiple choice", OPTIONS) is None


@pytest.mark.parametrize("problem_type", ["numerical", "OCR", "free-form", "regression"])
def test_letters_give_nothing_away_where_there_are_no_options(problem_type):
    assert find_leak("so it is B. The label says option B", problem_type) is None
    assert find_leak("I count the cars and the answer is 7.", problem_type) == "answer is 7."


def test_without_options_every_letter_counts():
    assert find_leak("This is option K", "multiple choice") is not None


def test_naming_some_drawn_options_is_a_leak_and_describing_all_is_none():
    assert find_leak("option A is a cat, option B a dog", "multiple choice", ("A", "B")) is None
    assert find_leak("option A is a cat, option B a dog", "multiple choice", ("A", "B", "C")) is not None
    assert find_leak("option A is a cat, option B a dog. So it is B.", "multiple choice", ("A", "B")) is not None


@pytest.mark.parametrize(
    "piece",
    [
        "option ",
        "A. ",
        '"',
        "answer ",
        "the answer to the ",
        " ",
        "(",
        "so that ",
        "B. a red car",
        "\n",
        "a",
        ' "',
        "*",
        ".",
    ],
)
def test_a_hostile_megabyte_is_searched_in_linear_time(piece):
    text = piece * (500_000 // len(piece))
    for end in ("", " answer is", "("):
        find_leak("option" + text + end, "multiple choice", OPTIONS)


# --- repetition -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("a b c", 0, 0),
        (OBSERVATION, 0, 0),
        (OBSERVATION + " " + THINK, 0, 0),
        ("no " * 100, 0.9, 1),
        (LOOP, 0.8, 1),
        (LOOP.upper() + LOOP, 0.9, 1),
        ("ha" * 200, 0.9, 1),
        ("\u54c8" * 200, 0.9, 1),
        (" ".join(map(str, range(200))) + " " + "to and fro " * 50, 0.35, 0.5),
        (" ".join(f"In frame {i} the car stands at {i * 7} metres." for i in range(30)), 0, 0),
        ("https://example.org/a/long/path/that/is/longer/than/forty/characters?q=1", 0, 0.1),
    ],
)
def test_only_loops_repeat_themselves(text, least, most):
    assert least <= repetition(text) <= most


@given(st.text(st.characters()))
def test_repetition_is_a_share(text):
    assert 0.0 <= repetition(text) <= 1.0


def test_a_word_is_counted_once_however_often_it_is_covered():
    words = [f"word{i}" for i in range(20)]
    assert repetition(" ".join(words + words)) == 0.5

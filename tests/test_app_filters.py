import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.filters import MOST_TEXT, Filter

TEXTS = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["", ",", "\\", ",,", "\\,", "a,b", "filter:"]))).map(
    tuple
)
TOKENS = st.none() | st.integers(-(2**53), 2**53)
SCORES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
FILTERS = st.builds(
    Filter,
    rows=st.sampled_from(["cot", "rejected", "all"]),
    problem_type=TEXTS,
    data_type=TEXTS,
    data_source=TEXTS,
    rejected_by=TEXTS,
    verdict=TEXTS,
    flag=TEXTS,
    overlap=TEXTS,
    observation_tokens=st.tuples(TOKENS, TOKENS),
    think_tokens=st.tuples(TOKENS, TOKENS),
    score=st.tuples(SCORES, SCORES),
    text=st.text(max_size=30),
    sort=st.sampled_from(["order", "score", "observation_tokens", "think_tokens", "problem_type", "data_source"]),
    descending=st.booleans(),
    page=st.integers(1, 2**53),
)
KEYS = ["rows", "type", "data", "source", "by", "verdict", "flag", "overlap", "obs", "think", "score", "q", "p", "sort"]
ANY_TEXT = st.text(st.characters(), max_size=20)  # with lone surrogates, controls and all
HOSTILE = [
    "",
    "-1",
    "0",
    "9" * 5_000,
    "nan..inf",
    "1e400..",
    "..",
    "1..2..3",
    "\x00",
    "\ud800",
    "x" * 20_000,
    "-",
    "--",
]


@given(FILTERS)
def test_a_query_brings_back_its_filter(chosen):
    assert Filter.from_query(chosen.to_query()) == (chosen, [])


@given(FILTERS)
def test_a_query_is_plain_texts_and_never_uses_the_reserved_word_page(chosen):
    query = chosen.to_query()
    assert set(query) <= set(KEYS)
    assert all(type(text) is str for text in query.values())


@given(st.dictionaries(st.sampled_from(KEYS) | ANY_TEXT, ANY_TEXT | st.sampled_from(HOSTILE)))
def test_no_query_raises_and_whatever_is_not_kept_is_named_in_a_line(query):
    chosen, notes = Filter.from_query(query)
    assert all(note and note.isprintable() and len(note) < 500 for note in notes)
    assert Filter.from_query(chosen.to_query()) == (chosen, [])


@given(
    st.dictionaries(st.sampled_from(KEYS) | st.none() | st.integers(), st.none() | st.integers() | st.lists(st.text()))
)
def test_a_query_of_things_that_are_no_texts_raises_nothing_either(query):
    Filter.from_query(query)


def test_only_what_differs_from_the_default_is_in_the_query():
    assert Filter().to_query() == {}
    assert Filter(problem_type=("OCR", "free-form"), think_tokens=(320, 512), score=(None, 0.5)).to_query() == {
        "type": "OCR,free-form",
        "think": "320..512",
        "score": "..0.5",
    }
    assert Filter(sort="score", descending=True, page=3, text='"red ball"').to_query() == {
        "sort": "-score",
        "p": "3",
        "q": '"red ball"',
    }


def test_descending_in_the_dataset_order_is_not_lost():
    assert Filter(descending=True).to_query() == {"sort": "-order"}


def test_a_value_that_is_empty_or_holds_a_comma_is_one_value():
    for values in [("",), ("", ""), ("a", ""), ("a,b", "c"), ("\\",), ("a\\,",)]:
        chosen = Filter(data_source=values)
        assert Filter.from_query(chosen.to_query())[0].data_source == values


def test_a_parameter_without_a_value_asks_nothing():
    assert Filter.from_query({"type": "", "obs": "..", "q": ""}) == (Filter(), [])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("rows", "everything"),
        ("p", "0"),
        ("p", "-3"),
        ("p", "1.5"),
        ("p", ""),
        ("p", "9" * 5_000),
        ("obs", "12"),
        ("obs", "a..b"),
        ("obs", "1..2..3"),
        ("think", "..99999999999999999999"),
        ("score", "nan.."),
        ("score", "..inf"),
        ("score", "1e999.."),
        ("sort", "length"),
        ("sort", "--score"),
        ("q", "x" * (MOST_TEXT + 1)),
    ],
)
def test_what_cannot_be_meant_is_noted_and_the_rest_of_the_query_stays(key, text):
    chosen, notes = Filter.from_query({"type": "OCR", key: text, "verdict": "none"})
    assert chosen == Filter(problem_type=("OCR",), verdict=("none",))
    assert len(notes) == 1
    assert notes[0].startswith(f"{key}=")


def test_an_unknown_parameter_is_noted_unless_somebody_else_owns_it():
    query = {"tpye": "OCR", "row": "12", "__theme": "dark"}
    assert Filter.from_query(query, others=("row",)) == (
        Filter(),
        ["Ignored, for there is no such parameter: tpye."],
    )


def test_a_thousand_unknown_parameters_are_one_line():
    _, notes = Filter.from_query({f"x{number}": "" for number in range(1_000)})
    assert len(notes) == 1
    assert len(notes[0]) < 300


def test_half_a_character_is_shown_as_one_that_is_broken():
    assert Filter(text="a\ud800", flag=("\udfff",)) == Filter(text="a\ufffd", flag=("\ufffd",))
    assert Filter(text="\ud83d\ude00").text == "\U0001f600"


def test_a_filter_cannot_be_changed_and_takes_no_unknown_condition():
    with pytest.raises(ValidationError):
        Filter().page = 2
    with pytest.raises(ValidationError):
        Filter(colour="red")
    with pytest.raises(ValidationError):
        Filter(score=(float("nan"), None))


def test_equal_filters_are_one_key():
    assert len({Filter(flag=("a",)), Filter(flag=("a",)), Filter(flag=("b",))}) == 2

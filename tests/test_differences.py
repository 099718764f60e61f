"""Word-level differences: nothing of a text is lost, and a mark says what is true."""

import random
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app import differences
from app.differences import Span, find_differences

# Few words and many kinds of white space, so that the sides have something in common.
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(["ball", "ball", "red", "3.5", "don't", ".", "<b>", " ", "  ", "\n", "\t", "\x1c"])).map(
        "".join
    ),
)


def side(spans: tuple[Span, ...]) -> str:
    return "".join(span.text for span in spans)


def same(spans: tuple[Span, ...]) -> str:
    return "".join(span.text for span in spans if span.kind == "same")


def marked(spans: tuple[Span, ...]) -> list[str]:
    return [span.text for span in spans if span.kind != "same"]


def check(left: str, right: str) -> differences.Difference:
    found = find_differences(left, right)
    assert side(found.left) == left
    assert side(found.right) == right
    assert same(found.left) == same(found.right)
    assert {span.kind for span in found.left} <= {"same", "removed"}
    assert {span.kind for span in found.right} <= {"same", "added"}
    for spans in (found.left, found.right):
        assert all(span.text for span in spans)
        assert all(span.kind != after.kind for span, after in pairwise(spans))
    return found


@given(TEXTS, TEXTS)
@example("", "")
@example(" ", "\n")
@example("a b", "a")
@example("\u4e2d\u6587", "\u4e2d \u6587")
def test_no_character_is_lost_and_what_is_same_is_the_same_on_both_sides(left, right):
    assert not check(left, right).is_coarse


@given(TEXTS)
def test_a_text_does_not_differ_from_itself(text):
    found = find_differences(text, text)
    assert found.left == found.right == ((Span(text, "same"),) if text else ())


@given(TEXTS, TEXTS)
def test_what_is_cut_because_it_is_long_still_loses_nothing(left, right):
    with patch.multiple(differences, MOST_PAIRS=4, _WINDOW=2):
        check(left, right)


def test_only_the_word_that_changed_is_marked():
    found = check("The red ball hits 3.5 cubes.", "The blue ball hits 3.7 cubes.")
    assert marked(found.left) == ["red ", "3.5 "]
    assert marked(found.right) == ["blue ", "3.7 "]


def test_words_that_were_put_in_leave_the_rest_alone():
    found = check("Then stops.", "Then it suddenly stops.")
    assert not marked(found.left)
    assert marked(found.right) == ["it suddenly "]


def test_a_mark_at_a_word_is_no_other_word():
    found = check("It is red", "It is red.")
    assert marked(found.left) == []
    assert marked(found.right) == ["."]


def test_where_only_white_space_differs_only_white_space_is_marked():
    found = check("one two\n\nthree", " one  two three\n")
    assert marked(found.left) == [" ", "\n\n"]
    assert marked(found.right) == [" ", "  ", " ", "\n"]


def test_texts_without_spaces_are_compared_by_character():
    found = check("\u7ea2\u7403\u6eda\u52a8", "\u84dd\u7403\u6eda\u52a8")
    assert marked(found.left) == ["\u7ea2"]


def test_one_side_empty_is_all_removed_or_all_added():
    assert find_differences(" a b ", "").left == (Span(" a b ", "removed"),)
    assert find_differences("", " a b ").right == (Span(" a b ", "added"),)


def test_scattered_edits_of_a_megabyte_are_still_found_one_by_one():
    rng = random.Random(1)
    words = [f"word{rng.randrange(4_000)}" for _ in range(120_000)]
    edited = [f"new{place}" if place % 300 == 0 else word for place, word in enumerate(words)]
    found = check(" ".join(words), " ".join(edited))
    assert not found.is_coarse
    assert len(marked(found.right)) == 400


@pytest.mark.parametrize(
    ("left", "right"),
    [("ab" * 500_000, "ba" * 500_000), ("!" * 300_000, "?" * 300_000), ("a. " * 250_000, "a , " * 250_000)],
    ids=["one word", "marks", "two words over and over"],
)
def test_a_hostile_megabyte_comes_back_whole(left, right):
    check(left, right)


def test_a_text_that_runs_in_circles_is_compared_in_windows_and_says_so():
    lines = ["the ball rolls left . "] * 20_000
    edited = [f"now {line}" if place % 5_000 == 100 else line for place, line in enumerate(lines)]
    found = check("".join(lines), "".join(edited))
    assert found.is_coarse
    assert 0.99 < len(same(found.left)) / len("".join(lines)) < 1

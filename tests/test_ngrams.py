"""Shared questions: phrases of eight words, short questions as a whole, never their options."""

import re
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.overlaps.evidence import prepare, question_evidence
from curation.overlaps.ngrams import MIN_WORDS, NUM_WORDS, normalise, phrase_at, phrases


def normalised(*texts: str | None) -> list[str | None]:
    return pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).select(normalise(pl.col("text")))["text"].to_list()


def shared(own: list[str | None], benchmark: list[str | None]):
    places = pl.Series([f"b:{number}" for number in range(len(benchmark))], dtype=pl.String)
    texts = (prepare(pl.Series(texts, dtype=pl.String)) for texts in (own, benchmark))
    return question_evidence(*texts, places)


def rows_shared(own: list[str | None], benchmark: list[str | None]) -> list[int]:
    return sorted(shared(own, benchmark).evidence["row"].to_list())


def naive_words(text: str) -> list[str]:
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).lower()).split()


def naive_shares(one: str, other: str) -> bool:
    """Any window of eight words, or equality of short questions."""
    ours, theirs = naive_words(one), naive_words(other)
    if len(ours) >= NUM_WORDS and len(theirs) >= NUM_WORDS:
        windows = {tuple(ours[start : start + NUM_WORDS]) for start in range(len(ours) - NUM_WORDS + 1)}
        return any(tuple(theirs[start : start + NUM_WORDS]) in windows for start in range(len(theirs) - NUM_WORDS + 1))
    return ours == theirs and MIN_WORDS <= len(ours) < NUM_WORDS


# Few words, so that windows meet by chance; punctuation and case that must not matter.
WORDS = st.sampled_from(["a", "B", "b", "is", "IT", "it,", "caf\u00e9", "CAF\u00c9!", "-", "7", " ", "x\n"])
TEXTS = st.lists(WORDS, max_size=14).map(" ".join)


@settings(max_examples=150)
@given(st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=5))
def test_shared_rows_equal_those_of_a_naive_search(own, benchmark):
    expected = [row for row, text in enumerate(own) if any(naive_shares(text, other) for other in benchmark)]
    assert rows_shared(own, benchmark) == expected


@settings(max_examples=50)
@given(st.lists(TEXTS, min_size=1, max_size=6, unique=True))
def test_every_long_text_has_one_phrase_a_window_and_says_which_words_it_is(texts):
    normal = pl.Series([" ".join(naive_words(text)) for text in texts], dtype=pl.String).unique(maintain_order=True)
    table = phrases(normal)
    for number, text in enumerate(normal):
        starts = sorted(table.filter(pl.col("text") == number)["word"].to_list())
        num_words = len(text.split())
        if num_words >= NUM_WORDS:
            assert starts == list(range(num_words - NUM_WORDS + 1))
            assert all(phrase_at(text, start).split() == text.split()[start : start + NUM_WORDS] for start in starts)
        else:
            assert starts == ([0] if num_words >= MIN_WORDS else [])


def test_case_punctuation_and_white_space_do_not_matter():
    assert rows_shared(
        ["WHAT is -- the\taction, performed  by the person (in the video)?!"],
        ["what is the action performed by the person in the video"],
    ) == [0]


def test_seven_words_in_common_are_not_enough():
    assert rows_shared(["one two three four five six seven eight"], ["zero one two three four five six seven"]) == []


def test_a_short_question_is_shared_only_as_a_whole():
    own = ["How many chairs are there?", "How many chairs are there now?", "how many CHAIRS are there", "What is this?"]
    assert rows_shared(own, ["How many chairs are there", "What is this?"]) == [0, 2]


def test_a_short_question_inside_a_long_one_is_not_shared():
    assert rows_shared(["how many chairs are there in the room behind the door"], ["how many chairs are there"]) == []


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("Why did he run?A. He was late.\nB. He was early.\n", "why did he run"),
        ("Why did he run?\nA. late\nB. early", "why did he run"),
        ("Why did he run? (A) late (B) early (C) never", "why did he run"),
        ("Why did he run?\nOptions:\nA) late\nB) early", "why did he run"),
        ("Which caption fits?\nCaption A: A man runs.\nCaption B: A man sits.", "which caption fits"),
        ("Which option fits?\nOption 1: A man runs.\nOption 2: A man sits.", "which option fits"),
        ("Which fits?\nSentence A: a man\nSentence B: a dog", "which fits"),
        ("Is plan A. better than plan B. here", "is plan a better than plan b here"),
        ("If he picks A, is it (B)?", "if he picks a is it b"),
        ("", ""),
    ],
)
def test_options_inside_a_question_are_no_part_of_it(question, left):
    assert normalised(question) == [left]


def test_shared_options_are_no_shared_question():
    options = "\nA. He puts the red cup on the table.\nB. He takes the red cup from the table."
    assert rows_shared([f"What does the man do first?{options}"], [f"Which of these came last?{options}"]) == []


def test_null_and_empty_questions_share_nothing():
    assert rows_shared([None, "", "   ", "?"], [None, "", "?"]) == []
    assert rows_shared([], ["one two three four five six seven eight"]) == []
    assert rows_shared(["one two three four five six seven eight"], []) == []


def test_a_template_is_shown_as_one_with_its_rows_and_questions():
    template = "What is the action performed by the person in the video?"
    own = [template] * 30 + ["Which of the two balls rolls over the edge of the table?"]
    found = shared(own, [template, template, "Which of the two balls rolls over the edge of a roof?"])
    assert found.evidence.height == 31
    assert found.evidence["matched"].to_list() == ["b:0"] * 30 + ["b:2"]
    # 11 words make 4 phrases, and the other question shares 10 - 8 + 1 = 3.
    assert found.num_shared_texts == 4 + 3
    # One phrase a text is shown, or its overlapping windows would hide the others.
    assert [(text.num_rows, text.num_benchmark_questions) for text in found.top] == [(30, 2), (1, 1)]
    assert found.top[0].text == "what is the action performed by the person"


def test_questions_too_short_to_compare_are_counted():
    assert prepare(pl.Series(["Why?", "why", "How many chairs are there?", None])).num_short == 2

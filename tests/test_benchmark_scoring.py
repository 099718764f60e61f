"""From a model's output to a benchmark's score: every scoring trap of the seven benchmarks, by name."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.benchmarks import scoring_rules
from training.benchmarks.answers import (
    lenient_passages,
    official_passage,
    read_box,
    read_exact_letter,
    read_first_number,
    read_interval,
    read_lenient_letter,
    read_letter,
    read_line,
    read_yes_no,
    videor1_passage,
)
from training.benchmarks.scoring_rules import (
    box_iou,
    interval_iou,
    mean_relative_accuracy,
    mean_relative_accuracy_videor1,
)

FOUR = ("A. a red car", "B. a blue car", "C. a man", "D. Vitamin B")
TEN = tuple(f"{letter}. sugar {letter.lower()}" for letter in "ABCDEFGHIJ")

PIECES = ["<answer>", "</answer>", "</think>", "A", "B", "(", ")", ".", ",", "-", "1", "0:30", "[", "]", "9" * 400]
PIECES += [
    " ",
    "\n",
    "nan",
    "inf",
    "1e999",
    "yes",
    "no",
    "Option 2",
    "Sentence A: x",
    "the answer is ",
    "\\boxed{",
    "}",
]
PIECES += ["\u2212", "\u0663", "\ud800", "\u4e2d\u6587", "a"]
strings = st.one_of(st.text(st.characters()), st.lists(st.sampled_from(PIECES), max_size=10).map("".join))

# --- passages ---------------------------------------------------------------------------------------------------------


def test_videor1_takes_the_first_of_two_answer_tags():
    assert videor1_passage("<answer>A</answer> no, <answer>B</answer>") == "A"
    assert videor1_passage("<answer>\n A\n </answer>") == "A"


def test_videor1_takes_the_whole_output_where_a_tag_is_missing_or_open():
    assert videor1_passage(" B\n") == "B"
    assert videor1_passage("<think>x</think> <answer>B") == "<think>x</think> <answer>B"


def test_an_answer_that_the_thinking_quotes_is_not_ours():
    output = "<think>not <answer>A</answer></think> <answer>B</answer>"
    assert videor1_passage(output) == "A" and official_passage(output) == "B"
    assert official_passage("<think>so</think>\nB") == "B"
    assert official_passage("<think>so <answer>B</answer></think>") == "B"


def test_t7_the_article_a_in_a_chain_of_thought_is_not_option_a():
    prose = "I see a man who holds a bag. A man walks."
    assert read_letter(official_passage(prose), FOUR) is None
    assert read_letter(official_passage(f"<think>{prose}</think><answer>B</answer>"), FOUR) == "B"
    assert all(read_lenient_letter(passage, FOUR) is None for passage in lenient_passages(prose))


# --- letters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passage", ["B", "b", "B.", "(B)", "B)", "B. a blue car", "a blue car", "The answer is B."])
def test_one_option_is_read_however_it_is_named(passage):
    assert read_letter(passage, FOUR) == "B"


@pytest.mark.parametrize("passage", ["", "B or C", "A. a blue car", "E", "7", "none of them", "B" * 3_000])
def test_what_names_no_one_option_is_not_read(passage):
    assert read_letter(passage, FOUR) is None


@pytest.mark.parametrize("passage", ["B.", "(B)", "b", "B. a blue car", "", "AB", "E", "\uff22"])
def test_videor1_wants_the_letter_and_nothing_else(passage):
    assert read_exact_letter(passage, FOUR) is None
    assert read_exact_letter("B", FOUR) == "B"


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
def test_t6_letters_go_past_d(letter):
    assert read_letter(letter, TEN) == read_exact_letter(letter, TEN) == letter
    assert read_letter(f"({letter})", TEN) == letter


def test_t6_fourteen_options_and_options_without_text():
    fourteen = tuple(f"{letter}. {letter * 2}" for letter in "ABCDEFGHIJKLMN")
    assert read_letter("N", fourteen) == "N" and read_letter("O", fourteen) is None
    assert read_letter("E", ("A. ", "B. ", "C. ", "D. ", "E. ")) == "E"
    assert read_letter("A", ("A. 3",)) == "A"  # MVBench has rows with one option


def test_options_inside_the_question_admit_any_letter():
    assert read_letter("(C)", ()) == read_exact_letter("C", ()) == "C"


@pytest.mark.parametrize(
    "output",
    [
        "<answer>B",
        "<answer>A</answer> wait <answer>B</answer>",
        "Hence \\boxed{B}",
        "The answer is: B because it turns",
        "I say: it is a car.\nAnswer: (B) as it is blue",
        "I looked at a car.\n\n**B**",
        "\\boxed{\\text{B}}",
        "First a car.\nFinal answer: B) a blue car",
    ],
)
def test_the_lenient_parser_finds_what_the_strict_one_does_not_guess(output):
    assert read_letter(official_passage(output), FOUR) != "B"
    assert next(filter(None, (read_lenient_letter(passage, FOUR) for passage in lenient_passages(output)))) == "B"


# --- yes and no, captions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passage", "read"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        ("**Yes**", "yes"),
        ("Yes, there is no dog.", "yes"),
        ("no", "no"),
        ("not sure", None),
        ("None", None),
        ("yes or no", None),
        ("yes/no", None),
        ("", None),
        ("I think yes", None),
    ],
)
def test_yes_and_no_are_words_not_beginnings(passage, read):
    assert read_yes_no(passage) == read


CAPTIONS = [
    ("Option 1: A man dunks a basketball.", "Option 2: A man throws a ball."),
    ("Sentence A: A man dunks a basketball.", "Sentence B: A man throws a ball."),
    ("Caption A: A man dunks a basketball.", "Caption B: A man throws a ball."),
]


@pytest.mark.parametrize("lines", CAPTIONS)
def test_t8_a_caption_is_named_by_line_sentence_label_or_index_without_a_judge(lines):
    index = lines[1].split(":")[0].split()[1]
    label = lines[1].split(":")[0]
    for passage in (lines[1], lines[1].upper(), "a man throws a ball", label, f"{label}.", index, f"({index})"):
        assert read_line(passage, lines) == 1, passage
    for passage in ("", "A man", "Option 3", "both", f"{lines[0]}\n{lines[1]}", "x" * 3_000):
        assert read_line(passage, lines) is None, passage


def test_an_index_of_another_prefix_is_not_guessed():
    assert read_line("B", CAPTIONS[0]) is None and read_line("2", CAPTIONS[1]) is None
    assert read_line("same", ("Option 1: same", "Option 2: same")) is None


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passage", "number"),
    [
        ("4", 4),
        ("4.", 4),
        ("2.5 metres", 2.5),
        ("-1e3", -1000),
        ("about 4", None),
        ("four", None),
        ("1,000", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("", None),
        ("  ", None),
    ],
)
def test_t12_vsi_reads_the_first_word_as_a_number_and_no_other(passage, number):
    assert read_first_number(passage) == number


@pytest.mark.parametrize(
    ("given", "gold", "official", "videor1"),
    [
        (4, 4, 1.0, 1.0),
        (3, 4, 0.6, 0.5),
        (5, 4, 0.6, 0.5),
        (2, 4, 0.1, 0.0),
        (6, 4, 0.1, 0.0),
        (8, 4, 0, 0),
        (0, 4, 0, 0),
        (1, 2, 0.1, 0.0),
        (3, 2, 0.1, 0.0),
        (3.0, 2.9, 1, 1),
        (2.5, 2.9, 0.8, 0.8),
        (1.45, 2.9, 0.1, 0.0),
        (59, 62, 1, 1),
        (30, 26.4, 0.8, 0.8),
        (20, 26.4, 0.6, 0.6),
        (9, 10, 0.9, 0.9),
        (9.5, 10, 1, 1),
    ],
)
def test_t2_mra_by_both_rules_on_the_listed_vectors(given, gold, official, videor1):
    assert mean_relative_accuracy(given, gold) == pytest.approx(official, abs=1e-12)
    assert mean_relative_accuracy_videor1(given, gold) == pytest.approx(videor1, abs=1e-12)


def test_t2_the_official_thresholds_are_ten_and_those_of_the_paper():
    num = int((0.95 - 0.5) / 0.05 + 2)
    assert num == 10
    tolerances = scoring_rules._OFFICIAL_TOLERANCES
    assert tolerances.tolist() == (1 - np.linspace(0.5, 0.95, num)).tolist()
    assert 1 - tolerances == pytest.approx(np.arange(50, 100, 5) / 100)


def test_t2_the_videor1_thresholds_are_torchs_in_single_precision():
    torch = pytest.importorskip("torch")
    thresholds = torch.arange(0.5, 0.95 + 0.05 / 2, 0.05, dtype=torch.float32)
    assert scoring_rules._VIDEOR1_TOLERANCES.tolist() == (1 - thresholds).tolist()


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, numbers)
def test_mra_lies_in_0_to_1_and_videor1_is_never_above_official(given, gold):
    for rule in (mean_relative_accuracy, mean_relative_accuracy_videor1):
        assert 0 <= rule(given, gold) <= 1
    assert mean_relative_accuracy(gold, gold) == 1.0


def test_mra_against_a_gold_of_zero_is_right_only_for_zero():
    for rule in (mean_relative_accuracy, mean_relative_accuracy_videor1):
        assert rule(0, 0) == 1.0 and rule(0.5, 0) == 0.0


# --- intervals and boxes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passage", "interval"),
    [
        ("[3, 9.5]", (3, 9.5)),
        ("3 - 9 s", (3, 9)),
        ("from 0:08 to 1:30", (8, 90)),
        ("0:00:05-1:00:00", (5, 3600)),
        ("3 to 9 seconds.", (3, 9)),
        ("[9, 3]", None),
        ("[3, 3]", None),
        ("3", None),
        ("[1, 2, 3]", None),
        ("between 5s and 7s", (5, 7)),
        ("", None),
        ("at 3 and at 9", None),
        ("[-3, 9]", None),
    ],
)
def test_an_interval_is_two_times_and_nothing_else(passage, interval):
    assert read_interval(passage) == interval


@pytest.mark.parametrize(
    ("passage", "box"),
    [
        ("[1, 2, 30, 40]", (1, 2, 30, 40)),
        ("1,2,30,40", (1, 2, 30, 40)),
        ("(1, 2, 30.5, 40)", (1, 2, 30.5, 40)),
        ("[30, 2, 1, 40]", None),
        ("[1, 2, 3]", None),
        ("[1, 2, 3, 4, 5]", None),
        ("", None),
    ],
)
def test_a_box_is_four_numbers_and_nothing_else(passage, box):
    assert read_box(passage) == box


def test_overlap_is_what_was_computed_by_hand():
    assert interval_iou((0, 10), (5, 15)) == pytest.approx(5 / 15)
    assert interval_iou((0, 10), (3, 10)) == pytest.approx(0.7)
    assert interval_iou((0, 1), (1, 2)) == interval_iou((0, 1), (5, 6)) == 0.0
    assert box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(2 / 6)
    assert box_iou((0, 0, 1, 1), (2, 2, 3, 3)) == box_iou((0, 0, 1, 1), (1, 0, 2, 1)) == 0.0


# --- any string -------------------------------------------------------------------------------------------------------


@given(strings, st.lists(strings, max_size=15))
def test_extraction_never_raises(output, options):
    for passage in (videor1_passage(output), official_passage(output), *lenient_passages(output)):
        for letter in (
            read_letter(passage, options),
            read_exact_letter(passage, options),
            read_lenient_letter(passage, options),
        ):
            assert letter is None or (len(letter) == 1 and letter.isupper())
        assert read_yes_no(passage) in {None, "yes", "no"}
        assert read_line(passage, options) in {None, *range(len(options))}
        number = read_first_number(passage)
        assert number is None or math.isfinite(number)
        interval, box = read_interval(passage), read_box(passage)
        assert interval is None or 0 <= interval_iou(interval, (1.0, 2.0)) <= 1
        assert box is None or 0 <= box_iou(box, (1.0, 1.0, 2.0, 2.0)) <= 1


@pytest.mark.parametrize(
    "piece", ["<answer>", "answer is ", "\\boxed{", "1:", "1,", "[", " ", "yes or ", "Option 1", "\n"]
)
def test_a_megabyte_is_read_in_bounded_time(piece):
    output = piece * (1_000_000 // len(piece))
    passages = (videor1_passage(output), official_passage(output), *lenient_passages(output))
    for passage in passages:
        for reader in (read_yes_no, read_first_number, read_interval, read_box):
            reader(passage)
        for reader in (read_letter, read_exact_letter, read_lenient_letter, read_line):
            reader(passage, FOUR)

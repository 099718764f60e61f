"""From a model's output to a benchmark's score: every scoring trap of the seven benchmarks, by name."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.errors import RunDirectoryError
from curation.tasks import score_answer
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
from training.benchmarks.fingerprint import (
    TABLE_WIDE,
    Fingerprint,
    MixedFingerprints,
    differences,
    hash_media,
    hash_questions,
    same_table,
)
from training.benchmarks.protocols import TITLES, ScoredRow, nested_weights, score_questions, summarise
from training.benchmarks.question import BenchmarkQuestion, MediaReference
from training.benchmarks.scoring import KINDS, PROTOCOLS, Failure, Gold, Reply, RowScore, score_reply
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
        "It turns, so it may be a bus.\nAnswer: B, a bus",
        "I say: it is a car.\nAnswer: (B) as it is blue",
        "I looked at a car.\n\n**B**",
        "It turns. \\boxed{\\text{B}}",
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


@pytest.mark.parametrize("lines", CAPTIONS)
def test_a_caption_is_named_by_index_and_sentence_but_not_by_another_ones_sentence(lines):
    (label, first), (other, second) = (line.split(": ") for line in lines)
    index = other.split()[1]
    for passage in (f"{index}) {second}", f"({index}) {second}", f"{other}) {second}", f"{index}. {second.lower()}"):
        assert read_line(passage, lines) == 1, passage
    for passage in (f"{index}) {first}", f"{label}) {second}", f"{index}) A man", f"9) {second}"):
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


# --- one reply --------------------------------------------------------------------------------------------------------


def tagged(text):
    return f"<think>A man walks.</think><answer>{text}</answer>"


def row(gold, output, protocol, **reply):
    return score_reply(gold, Reply(output, **reply), protocol)


def scores(gold, output):
    """(official, videor1, lenient of videor1)."""
    official, videor1 = (row(gold, output, protocol) for protocol in ("official", "videor1"))
    return official.score, videor1.score, videor1.lenient


CHOICE = Gold("mc", "B", FOUR)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (tagged("B"), (1, 1, 1)),
        (tagged("B."), (1, 0, 1)),
        (tagged("(B)"), (1, 0, 1)),
        (tagged("b"), (1, 0, 1)),
        (tagged("B. a blue car"), (1, 0, 1)),
        (tagged("A"), (0, 0, 0)),
        ("B", (1, 1, 1)),
        ("B is what I see, as it turns left", (0, 0, 1)),
        ("<think>It is B</think> <answer>B", (0, 0, 1)),
        ("<answer>A</answer><answer>B</answer>", (0, 0, 0)),
        (tagged("A or B"), (0, 0, 0)),
        ("", (0, 0, 0)),
    ],
)
def test_a_letter_under_both_protocols_and_what_the_lenient_reading_would_add(output, expected):
    assert scores(CHOICE, output) == expected


def test_t15_an_error_is_a_failure_of_its_own_and_not_an_answer():
    assert row(CHOICE, "<answer>error</answer>", "videor1").failure == Failure.UNPARSED
    for protocol in PROTOCOLS:
        failures = [
            row(CHOICE, None, protocol),
            row(CHOICE, None, protocol, is_missing_video=True),
            row(CHOICE, " \n", protocol),
            row(CHOICE, tagged("none"), protocol),
            row(CHOICE, tagged("B"), protocol),
        ]
        assert [score.failure for score in failures] == [
            Failure.NO_OUTPUT,
            Failure.MISSING_VIDEO,
            Failure.EMPTY,
            Failure.UNPARSED,
            None,
        ]
        assert [score.score for score in failures] == [0, 0, 0, 0, 1]


def test_an_output_without_its_video_was_never_asked_and_scores_nothing():
    assert row(CHOICE, tagged("B"), "official", is_missing_video=True).score == 0


def test_t6_the_tenth_option_scores_and_a_letter_beyond_the_options_is_unparsed():
    assert scores(Gold("mc", "J", TEN), tagged("J")) == (1, 1, 1)
    assert row(CHOICE, tagged("J"), "official").failure == row(CHOICE, tagged("J"), "videor1").failure == "unparsed"


def test_two_questions_of_videommmu_have_their_options_in_the_picture_only():
    assert scores(Gold("mc", "E", ("A. ", "B. ", "C. ", "D. ", "E. ")), tagged("E")) == (1, 1, 1)


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("4", "4", (1, 1, 1)),
        ("4", "4.0", (1, 0, 0)),
        ("4", "1,000", (0, 0, 0)),
        ("1,000", "1,000", (1, 1, 1)),
        ("1000", "1,000", (1, 0, 0)),
        ("12.97", "12.974", (1, 1, 1)),
        ("12.97", "12.97 m/s", (1, 0, 1)),
        ("12.97", "12.9", (0, 0, 0)),
        ("4", "3 or 4", (0, 0, 0)),
        ("12.97", "The speed is 12.97 m/s.", (1, 0, 1)),  # MMMU takes what such words announce
        ("12.97", "Final answer: **12.97**", (1, 0, 1)),
        ("4", "The answer is 5.", (0, 0, 0)),
        ("4", "The answer is 3 or 4.", (0, 0, 0)),
        ("4", "It is about 4.", (0, 0, 0)),
        ("30", "It ends at 7:30", (0, 0, 0)),
        ("4", "nan", (0, 0, 0)),
    ],
)
def test_a_numeric_answer_of_videommmu_under_both_protocols(gold, answer, expected):
    assert scores(Gold("numeric", gold), tagged(answer)) == expected


def test_an_open_text_of_videommmu_counts_where_it_is_contained():
    assert scores(Gold("numeric", "an aldose"), tagged("It is an aldose."))[0] == 1
    assert scores(Gold("numeric", "an aldose"), tagged("a ketose"))[0] == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("4", (1.0, 1.0, 1.0)),
        ("3", (0.6, 0.5, 0.5)),
        ("2", (0.1, 0.0, 0.0)),
        ("3 tables", (0.6, 0.0, 0.5)),
        ("about 3", (0.0, 0.0, 0.0)),
        ("1,000", (0.0, 0.0, 0.0)),
        ("four", (0.0, 0.0, 1.0)),
        ("nan", (0.0, 0.0, 0.0)),
    ],
)
def test_a_number_of_vsi_bench_under_both_protocols(answer, expected):
    assert scores(Gold("regression", "4"), tagged(answer)) == pytest.approx(expected)


def test_a_thousand_with_a_comma_is_a_number_to_videor1_only():
    assert scores(Gold("regression", "1000"), tagged("1,000")) == (0, 1, 1)


def test_yes_and_no_and_captions_are_literal_in_videor1():
    assert scores(Gold("yesno", "yes"), tagged("yes")) == (1, 1, 1)
    assert scores(Gold("yesno", "yes"), tagged("Yes.")) == (1, 0, 0)
    caption = Gold("match", CAPTIONS[0][1], CAPTIONS[0])
    assert scores(caption, tagged(CAPTIONS[0][1])) == (1, 1, 1)
    assert scores(caption, tagged("Option 2")) == (1, 0, 0)
    assert scores(caption, tagged("Option 1"))[0] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_vcr_intervals_need_more_than_seven_tenths_and_boxes_more_than_a_half(protocol):
    interval, box = Gold("interval", "[0, 10]"), Gold("box", "[0, 0, 10, 10]")
    assert row(interval, tagged("[3, 10]"), protocol).score == 0  # exactly 0.7
    assert row(interval, tagged("[2.9, 10]"), protocol).score == 1
    assert row(box, tagged("[0, 0, 10, 5]"), protocol).score == 0  # exactly 0.5
    assert row(box, tagged("[0, 0, 10, 6]"), protocol).score == 1
    assert row(interval, tagged("ten seconds"), protocol).failure == Failure.UNPARSED
    assert row(box, tagged("top left"), protocol).failure == Failure.UNPARSED


def test_an_open_answer_is_the_judges_and_without_a_verdict_counted_as_that():
    kitchen = Gold("open", "Kitchen")
    judged = {"is_judged": True}
    assert row(kitchen, tagged("the room with the stove"), "official", verdict=True, **judged).score == 1
    assert row(kitchen, tagged("kitchen"), "official", verdict=False, **judged).score == 0
    unjudged = row(kitchen, tagged("kitchen"), "official", **judged)
    assert (unjudged.score, unjudged.failure) == (0, Failure.NO_VERDICT)
    assert row(kitchen, tagged("kitchen."), "official").score == 1
    assert row(kitchen, tagged("the room with the stove"), "official").score == 0


def test_a_verdict_is_for_open_answers_only():
    assert row(CHOICE, tagged("A"), "official", is_judged=True, verdict=True).score == 0


def test_the_other_kinds_score_as_in_verification_and_rl():
    read, told = Gold("ocr", "STOP HERE"), Gold("free-form", "a red car turns left")
    for kind, gold, answer in (("OCR", read, "STOP THERE"), ("free-form", told, "a car turns")):
        official, videor1, _ = scores(gold, tagged(answer))
        assert official == score_answer(kind, answer, gold.answer)
        assert videor1 == score_answer(kind, answer, gold.answer, strict="videor1")
        assert 0 < official < 1


@pytest.mark.parametrize(
    "gold",
    [
        Gold("mc", "E", FOUR),
        Gold("mc", "a blue car", FOUR),
        Gold("yesno", "maybe"),
        Gold("match", "Option 3: x", CAPTIONS[0]),
        Gold("regression", "four"),
        Gold("interval", "[9, 3]"),
        Gold("box", "[1, 2, 3]"),
        Gold("open", " "),
        Gold("essay", "x"),
    ],
)
def test_a_gold_that_nothing_could_match_is_an_error_and_never_a_zero(gold):
    with pytest.raises(ValueError, match=gold.kind):
        row(gold, tagged("B"), "official")


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(ValueError, match="protocol"):
        row(CHOICE, tagged("B"), "ours")


GOLDS = [
    CHOICE,
    Gold("mc", "C"),
    Gold("yesno", "no"),
    Gold("match", CAPTIONS[1][0], CAPTIONS[1]),
    Gold("numeric", "12.97"),
    Gold("regression", "26.4"),
    Gold("interval", "[3, 9]"),
    Gold("box", "[1, 2, 30, 40]"),
    Gold("open", "Kitchen"),
    Gold("ocr", "STOP"),
    Gold("free-form", "a red car"),
]


@given(st.sampled_from(GOLDS), strings, st.sampled_from(PROTOCOLS))
def test_no_output_raises_and_every_score_lies_in_0_to_1(gold, output, protocol):
    for text in (output, tagged(output)):
        score = row(gold, text, protocol)
        assert 0 <= score.score <= score.lenient <= 1 and isinstance(score.score, float)
        assert score.is_parsed or score.score == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("gold", GOLDS, ids=lambda gold: gold.kind)
def test_the_gold_itself_scores_1_under_both_protocols(gold, protocol):
    assert row(gold, tagged(gold.answer), protocol).score == row(gold, gold.answer, protocol).score == 1


# --- a benchmark's figure ---------------------------------------------------------------------------------------------


def scored(values, *, kind="mc", failure=None, start=0, **groups):
    names = (f"{'-'.join(groups.values())}{kind}{place + start}" for place in range(len(values)))
    return [
        ScoredRow(name, kind, groups, RowScore(float(value), float(value), "B", failure))
        for name, value in zip(names, values, strict=True)
    ]


def vsi_rows():
    easy, medium, hard = (
        scored(values, task=f"object_rel_direction_{level}")
        for level, values in (("easy", [1, 1]), ("medium", [1, 0]), ("hard", [0, 0]))
    )
    return [
        *easy,
        *medium,
        *hard,
        *scored([1, 1, 1, 0], task="route_planning"),
        *scored([0.6, 0.1], kind="regression", task="object_counting"),
        *scored([0.8], kind="regression", task="room_size_estimation"),
    ]


def test_t2_the_two_overalls_of_vsi_bench_are_those_computed_by_hand():
    official, videor1 = (summarise("vsi_bench", protocol, vsi_rows()) for protocol in ("official", "videor1"))
    # Direction (1 + 0.5 + 0) / 3 = 0.5, route 0.75, counting 0.35, room 0.8.
    assert official.overall == pytest.approx((0.5 + 0.75 + 0.35 + 0.8) / 4)
    # Letters 6 of 10, numbers 1.5 of 3.
    assert videor1.overall == pytest.approx((0.6 + 0.5) / 2)
    assert videor1.groups["kind"]["mc"].mean == pytest.approx(0.6)
    assert videor1.every.mean == pytest.approx(7.5 / 13) and videor1.macro["kind"] == pytest.approx(0.55)


def test_t12_a_level_of_direction_that_was_not_asked_is_left_out_and_is_no_key_error():
    rows = [*scored([1, 0], task="object_rel_direction_easy"), *scored([1], task="route_planning")]
    assert summarise("vsi_bench", "official", rows).overall == pytest.approx((0.5 + 1) / 2)
    assert summarise("vsi_bench", "videor1", rows).overall == pytest.approx(2 / 3)


def test_videommmu_is_one_figure_over_all_and_its_tracks():
    rows = [
        *scored([1, 1], task="perception"),
        *scored([1, 0], task="comprehension"),
        *scored([0], task="adaptation"),
        *scored([0], kind="numeric", task="adaptation"),
    ]
    score = summarise("videommmu", "videor1", rows)
    assert score.overall == pytest.approx(0.5) and score.macro["task"] == pytest.approx(0.5)
    assert {name: found.mean for name, found in score.groups["task"].items()} == {
        "perception": 1,
        "comprehension": 0.5,
        "adaptation": 0,
    }


def test_mmvu_and_the_papers_vcr_bench_are_multiple_choice_only_and_say_what_is_beside():
    rows = [*scored([1, 0]), *scored([1, 1, 1], kind="open"), *scored([1], kind="interval")]
    for benchmark, protocol in (("mmvu", "videor1"), ("mmvu", "official"), ("vcr_bench", "videor1")):
        score = summarise(benchmark, protocol, rows)
        assert (score.overall, score.counted.num_rows, score.every.num_rows) == (0.5, 2, 6)
    everything = summarise("vcr_bench", "official", rows, judge="some-judge")
    assert everything.overall == pytest.approx(5 / 6) and everything.groups["kind"]["mc"].mean == 0.5


def test_mvbench_is_the_mean_of_its_tasks_officially_and_of_its_rows_in_videor1():
    rows = [*scored([1, 1, 1, 1], task="action_count"), *scored([0], task="fine_grained_pose")]
    assert summarise("mvbench", "official", rows).overall == 0.5
    assert summarise("mvbench", "videor1", rows).overall == pytest.approx(0.8)


def test_tempcompass_is_pooled_or_per_task_and_captions_need_a_judge():
    rows = [
        *scored([1, 1, 0, 0], task="multi-choice", dim="action"),
        *scored([1], kind="yesno", task="yes_no", dim="action"),
        *scored([0], kind="match", task="caption_matching", dim="speed"),
    ]
    captions = scored([1, 1], kind="open", task="captioning", dim="speed")
    assert summarise("tempcompass", "videor1", rows).overall == 0.5
    assert summarise("tempcompass", "official", rows + captions).overall == pytest.approx((0.5 + 1 + 0) / 3)
    judged = summarise("tempcompass", "official", rows + captions, judge="some-judge")
    assert judged.overall == pytest.approx((0.5 + 1 + 0 + 1) / 4)
    assert judged.groups["dim"]["speed"].mean == pytest.approx(2 / 3)


def test_video_mme_is_over_all_rows_and_by_duration():
    rows = [*scored([1, 1], duration="short"), *scored([1, 0], duration="medium"), *scored([0, 0], duration="long")]
    score = summarise("video_mme", "official", rows)
    assert score.overall == score.macro["duration"] == 0.5
    assert [score.groups["duration"][name].mean for name in ("short", "medium", "long")] == [1, 0.5, 0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_t9_what_was_empty_unparsed_or_missing_stays_in_the_denominator(protocol):
    rows = [
        *scored([1, 1, 0], task="a"),
        *scored([0], task="a", failure=Failure.EMPTY, start=3),
        *scored([0], task="a", failure=Failure.UNPARSED, start=4),
        *scored([0, 0], task="a", failure=Failure.MISSING_VIDEO, start=5),
        *scored([0], task="a", failure=Failure.NO_OUTPUT, start=7),
    ]
    score = summarise("mvbench", protocol, rows)
    assert score.overall == pytest.approx(2 / 8) and score.counted.num_rows == 8
    assert (score.counted.num_parsed, score.counted.num_missing) == (3, 2)
    assert score.counted.failures == {
        Failure.MISSING_VIDEO: 2,
        Failure.NO_OUTPUT: 1,
        Failure.EMPTY: 1,
        Failure.UNPARSED: 1,
    }
    assert sum(score.counted.failures.values()) + score.counted.num_parsed == 8


def test_t4_a_task_whose_videos_are_all_missing_counts_as_zero_and_not_as_absent():
    rows = [
        *scored([1, 1], task="action_count"),
        *scored([0, 0], task="episodic_reasoning", failure=Failure.MISSING_VIDEO),
    ]
    assert summarise("mvbench", "official", rows).overall == 0.5


def test_lenient_scores_are_beside_the_score_and_never_in_it():
    rows = [
        ScoredRow("q0", "mc", {}, score_reply(CHOICE, Reply(tagged("B")), "videor1")),
        ScoredRow("q1", "mc", {}, score_reply(CHOICE, Reply(tagged("B.")), "videor1")),
    ]
    score = summarise("mmvu", "videor1", rows)
    assert (score.overall, score.lenient) == (0.5, 1.0) and score.counted.num_parsed == 1


def test_an_unknown_benchmark_is_an_error_and_is_not_pooled():
    with pytest.raises(ValueError, match="video_mme"):
        summarise("videomme", "videor1", scored([1]))


def test_no_row_is_no_score_and_not_zero():
    assert summarise("mmvu", "videor1", []).overall is None
    only_open = summarise("mmvu", "videor1", scored([1], kind="open"))
    assert only_open.overall is None and only_open.interval is None and only_open.every.num_rows == 1


def test_a_question_that_was_scored_twice_is_an_error():
    with pytest.raises(ValueError, match="twice"):
        summarise("mmvu", "videor1", scored([1]) + scored([0]))


def question(uid, missing=None, **changes):
    media = MediaReference(f"{uid}.mp4", None if missing else Path(f"{uid}.mp4"), missing=missing)
    found = BenchmarkQuestion("mmvu", uid, "mc", "What?", FOUR, "B", media, {"task": "Art"})
    return dataclasses.replace(found, **changes)


def test_every_question_has_a_row_whatever_became_of_it():
    asked = [question("q0"), question("q1"), question("q2", missing="missing"), question("q3"), question("q4")]
    replies = {"q0": Reply(tagged("B")), "q1": Reply(None), "q2": Reply(tagged("B")), "q4": Reply(tagged("?"))}
    rows = score_questions(asked, replies, "official")
    assert [row.id for row in rows] == ["q0", "q1", "q2", "q3", "q4"] and rows[0].groups == {"task": "Art"}
    assert [row.score.failure for row in rows] == [
        None,
        Failure.NO_OUTPUT,
        Failure.MISSING_VIDEO,
        Failure.NO_OUTPUT,
        Failure.UNPARSED,
    ]
    assert summarise("mmvu", "official", rows).overall == 0.2


def test_a_reply_to_no_question_is_an_error_and_is_not_dropped():
    with pytest.raises(RunDirectoryError, match="'q9'"):
        score_questions([question("q0")], {"q0": Reply("B"), "q9": Reply("B")}, "official")


some_rows = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(KINDS), st.sampled_from(["object_rel_direction_easy", "a", "b"])),
    max_size=20,
)


@given(st.sampled_from(list(TITLES)), st.sampled_from(PROTOCOLS), some_rows, st.sampled_from([None, "some-judge"]))
def test_weights_sum_to_1_and_an_overall_lies_in_its_interval(benchmark, protocol, values, judge):
    rows = [
        ScoredRow(str(place), kind, {"task": task}, RowScore(value, value, "x", None))
        for place, (value, kind, task) in enumerate(values)
    ]
    score = summarise(benchmark, protocol, rows, judge=judge)
    assert set(score.weights) == {row.id for row in rows} and score.every.num_rows == len(rows)
    if score.overall is None:
        assert not any(score.weights.values())
    else:
        assert math.fsum(score.weights.values()) == pytest.approx(1)
        low, high = score.interval
        assert 0 <= low <= score.overall + 1e-9 and score.overall - 1e-9 <= high <= 1


def test_rows_beside_a_subgroup_are_a_group_of_their_own():
    weights = nested_weights({"p": ("x",), "q": ("x", "y"), "r": ("z",), "s": ("z",)})
    assert weights == {"p": 0.25, "q": 0.25, "r": 0.25, "s": 0.25}
    assert nested_weights({"p": (), "q": ()}) == {"p": 0.5, "q": 0.5}


# --- fingerprints -----------------------------------------------------------------------------------------------------

PRINT = {
    "benchmark": "mmvu",
    "protocol": "videor1",
    "prompt": "trace",
    "prompt_sha256": "a" * 64,
    "frames": {
        "num_frames": 32,
        "fps": None,
        "min_pixels": 100_352,
        "max_pixels": 200_704,
        "sent_as": "video",
        "reader": "pyav",
    },
    "decoding": {"temperature": 0.01, "top_p": 0.001, "max_tokens": 1024},
    "dataset_revision": "abc",
    "questions_sha256": "b" * 64,
    "media_sha256": "c" * 64,
    "judge": None,
    "code_version": "1",
}


def fingerprint(**changes):
    return Fingerprint.model_validate(PRINT | changes)


CHANGES = {
    "protocol": "official",
    "prompt": "direct",
    "prompt_sha256": "d" * 64,
    "frames": PRINT["frames"] | {"num_frames": 16},
    "decoding": PRINT["decoding"] | {"temperature": 1.0},
    "dataset_revision": "def",
    "questions_sha256": "e" * 64,
    "media_sha256": "f" * 64,
    "judge": "some-judge",
    "code_version": "2",
}


def test_a_fingerprint_has_the_same_hash_in_every_process():
    assert fingerprint().sha256 == fingerprint().sha256
    assert fingerprint().sha256 == "17d38a03fecbd1707404d10815d085df62aa5726e97b375690cfe04af8be9f76"
    assert Fingerprint.model_validate_json(fingerprint().model_dump_json()).sha256 == fingerprint().sha256
    whole = fingerprint(decoding=PRINT["decoding"] | {"temperature": 1}).sha256
    assert whole == fingerprint(decoding=PRINT["decoding"] | {"temperature": 1.0}).sha256


def test_every_field_of_a_fingerprint_is_changed_below():
    assert set(CHANGES) | {"benchmark"} == set(Fingerprint.model_fields)


@pytest.mark.parametrize("field", CHANGES)
def test_scores_of_one_benchmark_with_different_fingerprints_are_never_in_one_table(field):
    other = fingerprint(**{field: CHANGES[field]})
    assert other.sha256 != fingerprint().sha256
    same_table([other, other])
    with pytest.raises(MixedFingerprints, match=field.split("_")[0]):
        same_table([fingerprint(), other])


@pytest.mark.parametrize("field", CHANGES)
def test_two_benchmarks_share_all_but_their_own_questions_and_media(field):
    others = [fingerprint(benchmark="mvbench", **{field: CHANGES[field]})]
    if field in TABLE_WIDE:
        with pytest.raises(MixedFingerprints, match="mmvu and mvbench"):
            same_table([fingerprint(), *others])
    else:
        same_table([fingerprint(), *others])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_t10_frames_as_images_are_another_task_wherever_they_stand_in_the_list(order):
    images = PRINT["frames"] | {"sent_as": "images"}
    found = [fingerprint(), fingerprint(benchmark="mvbench"), fingerprint(benchmark="mvbench", frames=images)]
    with pytest.raises(MixedFingerprints, match=r"frames\.sent_as is"):
        same_table(found[place] for place in order)


def test_an_empty_table_is_no_mixture():
    same_table([])


def test_differences_name_both_values():
    found = differences(fingerprint(), fingerprint(frames=CHANGES["frames"], judge="x"))
    assert found == {"frames.num_frames": (32, 16), "judge": (None, "x")}


def test_a_missing_video_or_a_part_of_the_questions_changes_the_hash_and_their_order_does_not():
    assert hash_media({"a.mp4": "1", "b.mp4": None}) == hash_media({"b.mp4": None, "a.mp4": "1"})
    assert hash_media({"a.mp4": "1", "b.mp4": None}) != hash_media({"a.mp4": "1", "b.mp4": "2"})
    assert hash_media({"a.mp4": "1", "b.mp4": None}) != hash_media({"a.mp4": "1"})
    assert hash_questions(["q1", "q2"]) == hash_questions(["q2", "q1"]) != hash_questions(["q1"])


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_sha256": "abc"},
        {"protocol": "ours"},
        {"speed": 1},
        {"decoding": PRINT["decoding"] | {"temperature": math.inf}},
    ],
)
def test_a_fingerprint_from_outside_is_checked(change):
    with pytest.raises(ValidationError):
        fingerprint(**change)


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

import math
import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from curation.schema import PROBLEM_TYPES
from curation.scoring.rouge import stem_tokens
from curation.tasks import score_answer

OPTIONS = ("A. a blue car", "B. a red car", "C. a man", "D. Vitamin B")


def choice(answer, gold="B", options=OPTIONS):
    return score_answer("multiple choice", answer, f"<answer>{gold}</answer>", options=options)


def number(answer, gold):
    return score_answer("numerical", answer, f"<answer>{gold}</answer>")


# --- any string -------------------------------------------------------------------------------------------------------

PIECES = [
    "<answer>",
    "</answer>",
    "B",
    "(",
    ")",
    ".",
    ",",
    "-",
    "1",
    "0",
    "9" * 400,
    "/",
    "e",
    "%",
    "$",
    " ",
    "\n",
    "nan",
]
PIECES += ["inf", "\u2212", "\u00bd", "\u00b2", "\u0663", "\ud800", "\u4e2d\u6587", "option", "million", "x 10^", "a"]
PIECES += ["\\frac{", "}", "\\boxed{", "twenty", "cm", "about ", "\u9009", "because", "(1, 2)", "\ufe0f", "{", "\\text"]
strings = st.one_of(st.text(st.characters()), st.lists(st.sampled_from(PIECES), max_size=10).map("".join))


@given(
    st.sampled_from(PROBLEM_TYPES), strings, strings, st.lists(strings, max_size=30), st.sampled_from([None, "videor1"])
)
def test_no_string_raises_and_every_score_lies_in_0_to_1(problem_type, answer, solution, options, strict):
    score = score_answer(problem_type, answer, solution, options=options, strict=strict)
    assert isinstance(score, float)
    assert 0.0 <= score <= 1.0


@pytest.mark.parametrize("strict", [None, "videor1"])
@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
@pytest.mark.parametrize(
    "piece",
    ["a b ", "9", "<answer>", "y", "\u4e2d", "B. ", "( ", "1,", "1 ", "a", "1e", "-", "\n", "\u0663", "<"],
)
def test_a_megabyte_is_scored_in_bounded_time(problem_type, piece, strict):
    long = piece * (1_000_000 // len(piece))
    for answer, solution in ((long, "<answer>B</answer>"), ("B", long), (long, long + "b")):
        assert 0.0 <= score_answer(problem_type, answer, solution, options=("A. x", long), strict=strict) <= 1.0


@pytest.mark.parametrize("strict", [None, "videor1"])
@pytest.mark.parametrize("problem_type", ["", "ocr", "Multiple Choice", "open"])
def test_an_unknown_problem_type_is_an_error_and_never_a_zero(problem_type, strict):
    with pytest.raises(ValueError, match="unknown problem type"):
        score_answer(problem_type, "B", "B", strict=strict)


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="unknown scoring mode"):
        score_answer("OCR", "B", "B", strict="official")


@pytest.mark.parametrize(("answer", "solution"), [("B", "B"), ("<answer> B\n</answer>", "<answer>B</answer>")])
def test_tags_are_optional_on_both_sides(answer, solution):
    assert score_answer("multiple choice", answer, solution) == 1.0
    assert score_answer("multiple choice", f"<think>A</think>{answer}", solution) == float("<answer>" in answer)


# --- multiple choice --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "B", "B.", "(B)", "b", "(b)", "b)", "B:", "[B]", " B \n", "**B**", "`B`", '"B"', "\uff22", "B. a red car",
        "B) a red car", "(B) a red car", "B: a red car", "B, a red car", "B - a red car", "B.a red car",
        "B\na red car",
        "b. A RED CAR.", "Option B", "option (B)", "choice b", "Answer: B", "answer:B", "The answer is B.",
        "The correct answer is: B. a red car", "So the answer is (B).", "the best option is B", "It is B",
        "B a red car",
        "a red car", "A red car", "A  red\ncar.", "'a red car'", "The answer is a red car", "B. something else",
    ],
)  # fmt: skip
def test_an_answer_that_names_the_gold_option_matches(answer):
    assert choice(answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "", " ", "A", "C.", "B and C", "B or C", "B, C", "B/C", "B & C", "B. C", "(B) and (C)", "B. and C.",
        "BC", "bb",
        "AB", "none", "Either B or C", "not B", "B. a blue car", "B) a man", "A. a red car", "a blue car", "car",
        "a red", "best", "I do not know", "Bus", "B" * 50,
    ],
)  # fmt: skip
def test_an_answer_that_names_another_or_no_option_does_not_match(answer):
    assert choice(answer) == 0.0


@pytest.mark.parametrize(
    "answer", ["a red car", "A red car", "a man walks", "an apple", "a", "e.g. a dog", "I think so"]
)
def test_an_article_is_no_option_letter(answer):
    options = ("A. dog", "B. cat", "C. a red car", "D. cow", "E. pig", "F. x", "G. y", "H. z", "I. robot")
    expected = {"a": "A", "a red car": "C", "A red car": "C"}.get(answer)
    for gold in "ABCDEFGHI":
        assert choice(answer, gold, options) == float(gold == expected)
    assert score_answer("multiple choice", "a red car", "<answer>A</answer>") == 0.0
    assert score_answer("multiple choice", "A red car", "<answer>A</answer>") == 0.0


def test_an_article_before_the_text_of_option_a_is_still_its_letter():
    assert choice("A red car", "A", ("A. red car", "B. blue car")) == 1.0


@pytest.mark.parametrize("abbreviation", ["U.S. flag", "D.C.", "e.g. this", "a.m.", "i.e. that"])
def test_an_abbreviation_is_no_option_letter(abbreviation):
    assert (
        choice(abbreviation, abbreviation[0].upper(), tuple(f"{c}. option {c}" for c in "ABCDEFGHIJKLMNOPQRSTU")) == 0.0
    )


@pytest.mark.parametrize("gold", "ABCDEFGHIJKLMN")
def test_letters_past_d_count_up_to_fourteen_options(gold):
    options = tuple(f"{letter}. choice number {i}" for i, letter in enumerate("ABCDEFGHIJKLMN"))
    for letter, text in zip("ABCDEFGHIJKLMN", options, strict=True):
        for answer in (letter, f"({letter.lower()})", text, text[3:], f"Option {letter}"):
            assert choice(answer, gold, options) == float(letter == gold)


@pytest.mark.parametrize("gold", ["a red car", "B", "B.", "(B)", "B. a red car", "b"])
@pytest.mark.parametrize("answer", ["a red car", "B", "B) a red car", "(b)"])
def test_the_gold_may_be_a_letter_or_the_text_of_its_option(answer, gold):
    assert choice(answer, gold) == 1.0
    assert choice(answer, "A") == 0.0


@pytest.mark.parametrize(
    "options",
    [
        ("A) cat", "B) red car"), ("(A) cat", "(B) red car"), ("a. cat", "b. red car"), ("A: cat", "B: red car"),
        ("cat", "red car"), ("A.cat", "B.red car"), ("B. red car", "A. cat"),
    ],
)  # fmt: skip
def test_option_letters_are_read_in_every_spelling_or_by_position(options):
    assert choice("red car", "B", options) == 1.0
    assert choice("cat", "B", options) == 0.0
    assert choice("cat", "A", options) == 1.0


def test_a_text_that_two_options_share_names_neither():
    assert choice("same", "A", ("A. same", "B. same")) == 0.0
    assert choice("B. same", "B", ("A. same", "B. same")) == 1.0


def test_without_options_a_gold_text_matches_itself_only():
    assert score_answer("multiple choice", "A Red Car.", "<answer>a red car</answer>") == 1.0
    assert score_answer("multiple choice", "a blue car", "<answer>a red car</answer>") == 0.0


def test_a_letter_wins_over_an_option_whose_text_is_that_letter():
    assert choice("B", "B", ("A. B", "B. A")) == 1.0
    assert choice("B", "A", ("A. B", "B. A")) == 0.0


@pytest.mark.parametrize("problem_type", ["multiple choice", "numerical", "free-form", "regression"])
def test_an_empty_gold_is_never_right(problem_type):
    assert score_answer(problem_type, "", "<answer></answer>") == 0.0
    assert score_answer(problem_type, "B", "<answer> </answer>") == 0.0


# --- numerical --------------------------------------------------------------------------------------------------------

SAME = [
    ("1,000", "1000"), ("1,234,567.5", "1234567.5"), ("1 000", "1000"), ("1\u202f000", "1000"),
    ("12,34,567", "1234567"),
    ("4.0", "4"), ("4.", "4"), ("04", "4"), (".5", "0.5"), ("-0", "0"), ("+5", "5"), ("\u22125", "-5"),
    ("\u20135", "-5"),
    ("3,14", "3.14"), ("0,500", "0.5"), ("1.000,50", "1000.5"), ("1.234.567", "1234567"),
    ("50%", "50"), ("50%", "0.5"), ("0.5", "50%"), ("50 percent", "50 %"), ("50 per cent", "50"),
    ("12 cm", "12"), ("12", "12 cm"), ("12cm", "12 cm"), ("12 meters", "12 meter"), ("5 KG.", "5 kg"),
    ("60 km/h", "60"),
    ("10 m^2", "10"), ("10 m2", "10"), ("10 m\u00b2", "10"), ("9 s^-1", "9"), ("25\u00b0", "25"),
    ("25 \u00b0C", "25"),
    ("$5", "5"), ("$5.00", "5"), ("5 \u20ac", "5"), ("-$5", "-5"), ("$-5", "-5"), ("$12$", "12"), ("1st", "1"),
    ("1/2", "0.5"), ("2 / 4", "0.5"), ("3 1/2", "3.5"), ("\u00bd", "0.5"), ("3\u00bd", "3.5"), ("-1/4", "-0.25"),
    ("1e3", "1000"), ("1.5E-3", "0.0015"), ("1.5 x 10^3", "1500"), ("1.5\u00d710^{3}", "1500"), ("2*10**3", "2000"),
    ("3 million", "3,000,000"), ("3 million people", "3000000"), ("12k", "12000"), ("300 K", "300"),
    ("x = 12", "12"), ("~12", "12"), ("12.", "12"), ("12!", "12"), ("\u0663", "3"), ("\uff11\uff12", "12"),
    ("12345678901234567890", "12345678901234567890.0"), ("7:30", "7:30"), ("7:30 PM", "7:30 pm"),
]  # fmt: skip
DIFFERENT = [
    ("", "5"), ("five", "6"), ("4.01", "4"), ("50", "0.5"), ("5%", "0.5"), ("3.14159", "3.15"), ("0.334", "1/3"),
    ("12 cm", "12 m"), ("7 am", "7 pm"), ("$5", "\u20ac5"), ("3 million", "3"), ("5k", "5"), ("5 dozen", "5"),
    ("12 or 13", "12"), ("12, 13", "12"), ("12-13", "12"), ("12 to 13", "12"), ("12 and a half", "12"),
    ("12 or more", "12"),
    ("more than 12", "12"), ("not 12", "12"), ("12:30", "12"), ("12 x 3", "12"), ("1/0", "1"), ("1/2/3", "0.5"),
    ("5\u00b2", "52"), ("5\u00b2", "5"), ("10\u00b3", "103"), ("1_000", "1000"), ("0x10", "16"), ("1.2.3", "1.2"),
    ("--5", "5"), ("+-5", "-5"), ("-5", "5"), ("1,00,0", "1000"), ("COVID-19", "19"), ("B12", "12"),
    ("12345678901234567890", "12345678901234567891"), ("7:30", "7:31"),
    ("nan", "nan"), ("NaN", "5"), ("inf", "inf"), ("-inf", "-inf"), ("infinity", "infinity"), ("1e999", "1e999"),
    ("1e999", "5"), ("1e-999", "0"), ("1e99999999", "1"), ("9" * 10_000, "9" * 10_000), ("9" * 10_000, "9"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold"), SAME)
def test_the_same_number_matches_however_it_is_written(answer, gold):
    assert number(answer, gold) == 1.0
    assert number(gold, answer) == 1.0


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_another_number_or_none_does_not_match(answer, gold):
    assert number(answer, gold) == 0.0
    assert number(gold, answer) == 0.0


@given(st.integers(-(10**12), 10**12))
def test_an_integer_equals_itself_grouped_and_with_decimals_and_not_its_neighbour(value):
    for spelling in (str(value), f"{value:,}", f"{value}.00", f"{value:,} people", f"${value}"):
        assert number(spelling, str(value)) == 1.0
        assert number(spelling, str(value + 1)) == 0.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_equals_itself(value):
    assert number(repr(value), repr(value)) == 1.0
    assert score_answer("regression", repr(value), repr(value)) == 1.0


# --- as people judge --------------------------------------------------------------------------------------------------

# Each answer was judged by hand against its gold: 1 right, 0 wrong.
CARS = ("A. blue bus", "B. red car", "C. a man", "D. Vitamin B")
CHOICES_JUDGED = {
    1: [
        r"\boxed{B}", r"$\text{B}$", r"\(B\)", r"$\boxed{\text{(B)}}$", r"\textbf{B}", r"\mathrm{B}",
        r"The answer is $\boxed{B}$.", r"\boxed{\text{B. red car}}", "a red car", "the red car", "The red car.",
        "It is a red car", "It's the red car.", "There is a red car", "The answer is the red car.", "A red car",
        "B because the car is red", "B, because A and C are wrong", "B since it is red.", "(B) because it is red",
        "B as the car is red", "B is correct", "B is the correct answer", "B is right because the car is red",
        "Option B is correct", "I choose B", "I would go with (B).", "The correct one is B", "Final answer: B",
        "Answer: **B**", "**B. red car**", "\u7b54\u6848\u662fB", "\u7b54\u6848\uff1aB", "\u7b54\u6848\u4e3a B",
        "\u9009B",
        "\u9009\u62e9B\u3002", "\u6b63\u786e\u7b54\u6848\u662fB", "B\u9009\u9879", "\u9009\u9879B", "\u6545\u9009B",
        "\u6211\u9009B", "\u6240\u4ee5\u7b54\u6848\u662fB\u3002", "\u7b54\u6848\u662f\uff08B\uff09", "B\u3002",
        "\uff08B\uff09",
        "\u7b54\u6848\u662fB\uff0c\u56e0\u4e3a\u8f66\u662f\u7ea2\u8272\u7684", "\u6700\u7ec8\u7b54\u6848\uff1aB",
        "B\u6b63\u786e",
    ],
    0: [
        "", "A", "A or B", "B or C", "B and C", "Either B or C", "not B", "B, C", "A B C D",
        "The answer is A. B. C. D.",
        "maybe B", "Probably B", "I think B or C", "B because it could be A or C", "B or maybe C", "B/C", "B C",
        r"\boxed{A} or \boxed{B}", "A. red car", "B. blue bus", "red", "Not the red car", "a red car or a blue bus",
        "A because the car is red", "The answer is E", "A\u6216B", "B\u548cC", "\u7b54\u6848\u662fA\u6216B",
        "\u4e0d\u9009B",
        "\u7b54\u6848\u4e0d\u662fB", "\u9009A\u548cB", "I cannot tell",
    ],
}  # fmt: skip
NUMBERS_SAME = [
    (r"\frac{1}{2}", "0.5"), (r"$\frac{3}{4}$", "3/4"), (r"$\frac{3}{4}$", "0.75"), (r"3\frac12", "3.5"),
    (r"\dfrac{-1}{2}", "-0.5"), (r"\boxed{42}", "42"), (r"\(42\)", "42"), (r"\boxed{\frac{1}{2}}", "1/2"),
    (r"The answer is $\frac{1}{2}$.", "0.5"), (r"50\%", "50%"), (r"\$5", "$5"), (r"12\,\text{cm}", "12 cm"),
    (r"1{,}000", "1000"), (r"90^\circ", "90"), (r"90^{\circ}", "90 degrees"), (r"5 \times 10^{3}", "5000"),
    ("120 mm", "12 cm"), ("1.5 km", "1500 m"), ("2 hours", "120 minutes"), ("36 km/h", "10 m/s"),
    ("12 inches", "1 foot"),
    ("3 min", "180 s"), ("10 meters", "10 m"), ("5 kg", "5 kilograms"), ("7 s", "7 seconds"), ("7 secs", "7 sec"),
    ("60 km/h", "60 kilometers per hour"), ("2 m^2", "2 square meters"), ("2 m\u00b3", "2 cubic metres"),
    ("1 cm", "10 mm"),
    ("90\u00b0", "90"), ("45\u00b0", "45 degrees"), ("25 \u00b0C", "25 degrees Celsius"), ("4 persons", "4 people"),
    ("four", "4"), ("Twenty-one", "21"), ("twenty one", "21"), ("one hundred and five", "105"), ("minus five", "-5"),
    ("two thousand and six", "2006"), ("one half", "1/2"), ("two thirds", "2/3"), ("two and a half", "2.5"),
    ("a dozen", "12"), ("two dozen", "24"), ("four cars", "4 cars"), ("3.14", "3.14159"), ("3.1416", "3.14159"),
    ("0.333", "1/3"), ("0.33", "1/3"), ("33.3%", "1/3"), ("2.67", "8/3"), ("about 4", "4"),
    ("approximately 4.5 m", "4.5 m"),
    ("about four", "4"), ("The answer is 4", "4"), ("The answer: 4.", "4"), ("So the answer is 4 cars.", "4"),
    ("There are 4 cars in the video.", "4"), ("It is 12 cm.", "12 cm"), ("The total number is 12", "12"),
    ("4 in total", "4"),
    ("**4**", "4"), ('"4"', "4"), ("`4`", "4"), ("(4)", "4"), ("4 (four)", "4"), ("x=12", "12"), ("\u2248 12", "12"),
    ("(1, 2)", "(1,2)"), ("(1.0,2)", "(1, 2)"), ("[1, 2]", "[1,2]"), ("(1, 2)", "[1, 2]"), ("(1, 2)", "[1, 2]"),
    (r"\left(1, 2\right)", "(1,2)"),
    ("7:30PM", "7:30 pm"),
    ("5 USD", "$5"), ("$1,000", "1000 dollars"), ("50 euros", "\u20ac50"), ("0.5", "50%"), (r"2\sqrt{3}", "2\u221a3"),
]  # fmt: skip
NUMBERS_DIFFERENT = [
    ("4 or 5", "4"), ("4 and 5", "4"), ("4, 5", "4"), ("4-5", "4"), ("4 to 5", "4"), ("about 4 or 5", "4"),
    ("between 3 and 5", "4"), ("The answer is 4 or 5", "4"), ("four or five", "4"), ("4 five", "4"),
    ("more than 4", "4"),
    ("less than 4", "4"), ("at least 4", "4"), ("4 at least", "4"), ("nearly 4", "4"), ("almost 4", "4"),
    ("maybe 4", "4"),
    ("4 maybe", "4"), ("probably 4", "4"), ("up to 4", "4"), ("not 4", "4"), ("The answer is not 4", "4"), ("4?", "4"),
    ("3.15", "3.14159"), ("3.1415", "3.14159"), ("3.2", "3.14159"), ("3", "3.14159"), ("0", "0.4"), ("13", "12.5"),
    ("12.46", "12.5"), ("4.01", "4"), ("99.9", "100"), ("0.3", "1/3"), ("0.34", "1/3"), ("33.4%", "1/3"),
    ("2.66", "8/3"),
    ("10 m", "10 cm"), ("5 kg", "5 g"), ("7 s", "7 min"), ("12 mm", "12 cm"), ("20 \u00b0C", "20 \u00b0F"),
    ("4 m", "4 kg"),
    ("4 cars", "4 people"), ("$5", "5 euros"), ("forty-two", "24"), ("two hundred", "2"), ("one million", "1 billion"),
    ("five", "-5"), ("not four", "4"), ("(1, 2)", "(2, 1)"), ("(1, 2, 3)", "(1, 2)"), ("(1, 2)", "1"), ("1", "(1, 2)"),
    (r"\frac{2}{1}", "0.5"), (r"\frac{1}{0}", "1"), (r"\boxed{4} or \boxed{5}", "4"),
    ("1 2", "12"),
    ("2 + 2", "4"), ("I am not sure", "4"), ("7:30 am", "7:30 pm"), ("2\u221a3", "2\u221a5"),
]  # fmt: skip
TEXTS_JUDGED = [
    ("OCR", '"EXIT ONLY"', "EXIT ONLY", 1), ("OCR", "\u201cEXIT ONLY\u201d", "EXIT ONLY", 1),
    ("OCR", "'exit'", "exit", 1),
    ("OCR", "EXIT ONLY", '"EXIT ONLY"', 1), ("OCR", "Exit Only", "EXIT ONLY", 1), ("OCR", "EXIT", "exit", 1),
    ("OCR", "\u300c\u51fa\u53e3\u300d", "\u51fa\u53e3", 1), ("OCR", "\U0001f600", "\U0001f600", 1),
    ("OCR", "exit", "Exit", 0),
    ("OCR", "STOP", "EXIT", 0), ("OCR", "EXIT or STOP", "EXIT", 0), ("free-form", "\U0001f600", "\U0001f600", 1),
    ("free-form", "\U0001f600\U0001f680", "\U0001f600\U0001f680", 1), ("free-form", "\u2764\ufe0f", "\u2764", 1),
    ("free-form", "\U0001f600", "\U0001f680", 0), ("free-form", "happy", "\U0001f600", 0),
    ("free-form", "", "\U0001f600", 0),
    ("free-form", "I cannot help with the man in a red hat.", "a man in a red hat", 0),
    ("free-form", "I'm sorry, but I can't see what the man in the red hat does.", "the man in the red hat sits", 0),
    ("free-form", "the man cannot see the red hat", "the man cannot see the red hat", 1),
    ("free-form", "I cannot answer it", "I cannot answer it", 1),
]  # fmt: skip
JUDGED = [
    *(("multiple choice", answer, "B", CARS, right) for right, answers in CHOICES_JUDGED.items() for answer in answers),
    *(("numerical", answer, gold, (), 1) for answer, gold in NUMBERS_SAME),
    *(("numerical", answer, gold, (), 0) for answer, gold in NUMBERS_DIFFERENT),
    *((problem_type, answer, gold, (), right) for problem_type, answer, gold, right in TEXTS_JUDGED),
]


def test_there_are_enough_judged_answers_of_both_kinds():
    assert len(JUDGED) >= 150
    assert sum(not judged[-1] for judged in JUDGED) >= 60


@pytest.mark.parametrize(("problem_type", "answer", "gold", "options", "right"), JUDGED)
def test_an_answer_scores_as_a_person_judges_it(problem_type, answer, gold, options, right):
    assert score_answer(problem_type, answer, f"<answer>{gold}</answer>", options=options) == right


@pytest.mark.parametrize(("answer", "gold"), NUMBERS_SAME)
def test_what_is_the_same_number_is_so_either_way_round(answer, gold):
    assert number(gold, answer) == 1.0


@given(st.integers(0, 999_999))
def test_a_number_in_words_is_the_number(value):
    assert number(in_words(value), str(value)) == 1.0
    assert number(in_words(value).replace("-", " ").title(), f"{value:,}") == 1.0
    assert number(in_words(value), str(value + 1)) == 0.0


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def in_words(value):
    if value < 20:
        return ONES.split()[value]
    if value < 100:
        return TENS.split()[value // 10 - 2] + (f"-{in_words(value % 10)}" if value % 10 else "")
    size, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    return f"{in_words(value // size)} {name}" + (f" {in_words(value % size)}" if value % size else "")


@given(st.sampled_from(["mm cm m km", "mg g kg", "ms s min h", "ml l"]), st.data())
def test_a_length_a_mass_and_a_time_may_be_given_in_another_unit(names, data):
    pint = {
        "mm": 1,
        "cm": 10,
        "m": 1000,
        "km": 10**6,
        "mg": 1,
        "g": 1000,
        "kg": 10**6,
        "ms": 1,
        "s": 1000,
        "min": 60_000,
    }
    sizes = pint | {"h": 3_600_000, "ml": 1, "l": 1000}
    unit, other = data.draw(st.permutations(names.split()))[:2]
    value = data.draw(st.integers(1, 1000))
    converted = Fraction(value * sizes[unit], sizes[other])
    assert number(f"{value} {unit}", f"{converted} {other}") == 1.0
    assert number(f"{value} {unit}", f"{value} {other}") == 0.0


@given(st.integers(-(10**9), 10**9), st.integers(2, 6), st.integers(1, 5))
def test_a_number_rounded_to_at_least_two_decimals_is_the_number(value, num_decimals, num_further):
    gold = Decimal(value) / 10 ** (num_decimals + num_further)
    rounded = round(gold, num_decimals)
    assert number(f"{rounded}", f"{gold:f}") == float(
        len(str(abs(rounded)).replace(".", "").lstrip("0")) >= 2 or rounded == gold
    )
    assert number(f"{rounded + Decimal(2).scaleb(-num_decimals)}", f"{gold:f}") == 0.0


@given(st.sampled_from(PROBLEM_TYPES), strings)
def test_the_gold_itself_is_right_wherever_it_can_be(problem_type, gold):
    """Of free-form an only word has no bigram, which is ROUGE's way."""
    score = score_answer(problem_type, gold, gold)
    assert score in ((0.0, 1.0) if problem_type != "free-form" else (0.0, pytest.approx(2 / 3), pytest.approx(1)))


HOSTILE = [
    "\\frac{", "\\boxed{", "\\text{a}", "$", "one ", "hundred and ", "a dozen ", "(", "1, ", "1/", "=", "per ",
    "square ",
    "m/", "m^2", "\u9009", "B because ", "is correct ", "the answer is ", "about ", "'", '"', "\u00b0", "-", "e",
    "sorry ",
    "i can't ", "**", "\\left(", "\u7b54\u6848", "x = ", "option a ", "in total ", "\ufe0f", "\\", "\u00bd", "{,}",
]  # fmt: skip


@pytest.mark.parametrize("problem_type", ["multiple choice", "numerical", "regression"])
@pytest.mark.parametrize("length", [399, 1_999, 200_000])
def test_hostile_texts_are_scored_at_once(problem_type, length):
    started = time.process_time()
    for piece in HOSTILE:
        text = (piece * length)[:length]
        for answer in (
            text,
            f"the answer is {text[: length - 20]}",
            f"4 {text[: length - 20]}",
            f"B {text[: length - 20]}",
        ):
            assert 0.0 <= score_answer(problem_type, answer, "<answer>4 cm</answer>", options=CARS) <= 1.0
            assert 0.0 <= score_answer(problem_type, "4", answer, options=(f"A. {text}", f"B. {text}")) <= 1.0
    assert time.process_time() - started < 10


# --- regression -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("10", "10", 1.0), ("9", "10", 0.9), ("11", "10", 0.9), ("5", "10", 0.5), ("20", "10", 0.0),
        ("30", "10", 0.0),
        ("-10", "10", 0.0), ("-9", "-10", 0.9), ("0", "10", 0.0), ("9 m", "10", 0.9), ("9 m", "10 cm", 0.0),
        ("49%", "50", 0.98), ("0.49", "50%", 0.98), ("900", "1,000", 0.9), ("0", "0", 1.0), ("0.0", "0", 1.0),
        ("1e-9", "0", 0.0), ("5", "0", 0.0), ("nan", "10", 0.0), ("inf", "10", 0.0), ("10", "nan", 0.0),
        ("", "10", 0.0),
        ("ten", "ten", 1.0), ("the ten", "10", 0.0), ("1e308", "1e-308", 0.0), ("1e-308", "1e308", 0.0),
        ("1e999", "1e999", 0.0),
    ],
)  # fmt: skip
def test_regression_is_one_minus_the_relative_error_and_exact_against_zero(answer, gold, expected):
    assert score_answer("regression", answer, gold) == pytest.approx(expected, abs=1e-12)


# --- OCR --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("EXIT ONLY", "EXIT ONLY", 1.0),
        ("exit only", "EXIT ONLY", 1.0),  # case counts where the gold has both
        ("EXIT ONLY", "Exit Only", 0.0),
        ("  EXIT\n\tONLY ", "EXIT ONLY", 1.0),
        ("EXIT", "EXIT ONLY", 0.5),
        ("EXIT ONLY NOW", "EXIT ONLY", 0.5),
        ("a b c d e f", "EXIT ONLY", 0.0),  # the error rate is 3
        ("EXIT ONLY a b", "EXIT ONLY", 0.0),
        ("", "EXIT", 0.0),
        ("EXIT", "", 0.0),
        ("", "", 1.0),
        ("cafe\u0301", "caf\u00e9", 1.0),
        ("\u4e2d\u6587\u5b57", "\u4e2d\u6587\u5b57", 1.0),
        ("\u4e2d\u6587\u5b50", "\u4e2d\u6587\u5b57", 2 / 3),  # without spaces a character is a word
        ("\u4e2d \u6587 \u5b57", "\u4e2d\u6587\u5b57", 1.0),
        ("\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", 1.0),
        ("\ud55c\uad6d \uc5b4", "\ud55c\uad6d \ub9d0", 0.5),
        ("EXIT \u51fa\u53e3", "EXIT \u51fa\u53e3", 1.0),
    ],
)
def test_ocr_is_one_minus_the_word_error_rate(answer, gold, expected):
    assert score_answer("OCR", answer, gold) == pytest.approx(expected, abs=1e-12)


@given(*[st.lists(st.sampled_from("abcd"), min_size=1, max_size=12).map(" ".join)] * 2)
def test_ocr_equals_jiwer(answer, gold):
    assert score_answer("OCR", answer, gold) == pytest.approx(max(0.0, 1 - jiwer.wer(gold, answer)), abs=1e-12)


# --- free-form --------------------------------------------------------------------------------------------------------

REFERENCE = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
WORDS = [
    "The",
    "cats",
    "running",
    "quickly",
    "ran",
    "run",
    "happily",
    "it's",
    "3.5",
    "red-car,",
    "(dog)",
    "dogs",
    "dying",
]
ascii_text = st.one_of(st.text(st.characters(max_codepoint=127)), st.lists(st.sampled_from(WORDS)).map(" ".join))


@given(ascii_text, ascii_text)
def test_free_form_equals_rouge_score_on_ascii(answer, gold):
    answer, gold = answer.replace("<", ""), gold.replace("<", "")
    scores = REFERENCE.score(gold, answer)
    expected = sum(scores[rouge_type].fmeasure for rouge_type in scores) / 3
    for strict in (None, "videor1"):
        assert score_answer("free-form", answer, gold, strict=strict) == pytest.approx(expected, abs=1e-12)


@given(ascii_text)
def test_our_tokens_are_rouge_scores_tokens_on_ascii(text):
    assert stem_tokens(text) == stem_tokens(text, ascii_only=True) == REFERENCE._tokenizer.tokenize(text)


@pytest.mark.parametrize(
    "text",
    [
        "\u4e2d\u6587\u5b57", "\u043a\u0440\u0430\u0441\u043d\u0430\u044f \u043c\u0430\u0448\u0438\u043d\u0430",
        "\u0633\u064a\u0627\u0631\u0629 \u062d\u0645\u0631\u0627\u0621",
        "\u0932\u093e\u0932 \u0917\u093e\u0921\u093c\u0940",
        "\u0e23\u0e16\u0e2a\u0e35\u0e41\u0e14\u0e07",
    ],
)  # fmt: skip
def test_equal_answers_in_other_scripts_score_1_and_0_by_the_reference(text):
    assert score_answer("free-form", text, text) == 1.0
    assert score_answer("free-form", text, text, strict="videor1") == 0.0
    assert score_answer("free-form", "a red car", text) == 0.0


def test_vowel_signs_tell_words_apart():
    assert score_answer("free-form", "\u0915\u093f \u0915\u093f", "\u0915\u093e \u0915\u093e") == 0.0


def test_accented_words_stay_whole():
    assert score_answer("free-form", "caf\u00e9 noir", "cafe\u0301 noir") == 1.0
    assert score_answer("free-form", "caf", "caf\u00e9") == 0.0


def test_an_only_word_has_no_bigram_and_so_scores_two_thirds():
    assert score_answer("free-form", "Cats", "<answer>cat</answer>") == pytest.approx(2 / 3)


@pytest.mark.parametrize("empty", ["", "?!", "..."])
def test_an_answer_without_a_word_scores_0(empty):
    assert score_answer("free-form", empty, "a red car") == 0.0
    assert score_answer("free-form", "a red car", empty) == 0.0


# --- videor1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem_type", "answer", "gold", "ours", "theirs"),
    [
        ("multiple choice", "B", "B", 1, 1), ("multiple choice", "B.", "B", 1, 0),
        ("multiple choice", "b", "B", 1, 0),
        ("multiple choice", "(B)", "B", 1, 0), ("multiple choice", "B. a red car", "B", 1, 0),
        ("numerical", "4", "4", 1, 1), ("numerical", "4.0", "4", 1, 0), ("numerical", "1,000", "1000", 1, 0),
        ("numerical", "1,000", "1000.0", 1, 1), ("numerical", "3.14159", "3.14", 1, 1),
        ("numerical", "3,14", "3.14", 1, 0),
        ("numerical", "3.144", "3.15", 0, 0), ("numerical", "50%", "50", 1, 0), ("numerical", "1/2", "1/2", 1, 0),
        ("numerical", "1e3", "1000", 1, 1), ("numerical", "1_000", "1000", 0, 1), ("numerical", "nan", "nan", 0, 0),
        ("numerical", "inf", "inf", 0, 1), ("numerical", "five", "5", 1, 0),
        ("OCR", "a b", "a b", 1, 1), ("OCR", "a", "a b", 0.5, 0.5), ("OCR", "a b c d e", "a b", 0, 0),
        ("OCR", "", "", 1, 1),
        ("OCR", "x", "", 0, 0), ("OCR", "\u4e2d\u5b50", "\u4e2d\u5b57", 0.5, 0), ("OCR", "e\u0301", "\u00e9", 1, 0),
        ("regression", "9", "10", 0.9, 0.9), ("regression", "900", "1,000", 0.9, 0.9), ("regression", "0", "0", 1, 0),
        ("regression", "9 m", "10", 0.9, 0), ("regression", "nan", "10", 0, 1), ("regression", "inf", "10", 0, 0),
        ("regression", "five", "5", 1, 0),
    ],
)  # fmt: skip
def test_strict_videor1_differs_exactly_where_the_reference_does(problem_type, answer, gold, ours, theirs):
    assert score_answer(problem_type, answer, gold) == pytest.approx(ours, abs=1e-9)
    assert score_answer(problem_type, answer, gold, strict="videor1") == pytest.approx(theirs, abs=1e-9)


def test_strict_regression_of_a_right_answer_misses_1_by_the_reference_epsilon():
    assert score_answer("regression", "10", "10", strict="videor1") == 1 - 1e-9 / (10 + 1e-9)


def edit_distance(wanted, given):
    """The textbook table, row by row."""
    row = list(range(len(given) + 1))
    for i, left in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(given, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


@given(*[st.lists(st.sampled_from("abcd"), max_size=12)] * 2)
def test_strict_ocr_equals_a_textbook_word_error_rate(given_words, wanted):
    expected = max(0.0, 1 - edit_distance(wanted, given_words) / max(1, len(wanted)))
    score = score_answer("OCR", " ".join(given_words), " ".join(wanted), strict="videor1")
    assert score == pytest.approx(expected, abs=1e-12)


def test_the_paper_types_are_all_scored():
    assert Counter(PROBLEM_TYPES) == Counter(["multiple choice", "numerical", "OCR", "free-form", "regression"])
    assert all(math.isfinite(score_answer(problem_type, "1", "1")) for problem_type in PROBLEM_TYPES)

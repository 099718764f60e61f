import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.errors import RunDirectoryError
from curation.statistics import wilson_interval
from training.evaluation_facts import Evaluation, KindScore, load_evaluation, write_evaluation

KINDS = (
    KindScore(kind="numerical", num_questions=40, sum_score=30.0, majority_score=0.3),
    KindScore(kind="OCR", num_questions=60, sum_score=12.5, majority_score=0.1),
)
FACTS = Evaluation(
    model="runs/tiny/sft/model",
    stage="sft",
    num_questions=100,
    num_well_formed=96,
    sum_score=42.5,
    num_judged=90,
    num_sufficient=45,
    by_kind=KINDS,
    majority_score=0.18,
    seconds=12.5,
)


def changed(**changes):
    return Evaluation.model_validate(FACTS.model_dump() | changes)


def test_evaluation_survives_its_file_and_the_write_leaves_nothing_half(tmp_path):
    path = tmp_path / "evaluation" / "sft.json"
    assert load_evaluation(path) is None
    write_evaluation(path, FACTS)
    assert load_evaluation(path) == FACTS
    assert [found.name for found in path.parent.iterdir()] == ["sft.json"]


def test_unjudged_observations_are_in_no_share():
    assert (FACTS.accuracy, FACTS.well_formed_share, FACTS.sufficient_share) == (0.425, 0.96, 0.5)
    assert changed(num_judged=0, num_sufficient=0).sufficient_share is None


def test_evaluation_of_no_question_has_no_accuracy_instead_of_zero():
    none = changed(num_questions=0, num_well_formed=0, sum_score=0, num_judged=0, num_sufficient=0, by_kind=())
    assert none.accuracy is None and none.well_formed_share is None


@pytest.mark.parametrize(
    "changes",
    [
        {"num_well_formed": 101},
        {"num_judged": 101},
        {"num_sufficient": 91},
        {"sum_score": 100.5},
        {"sum_score": math.nan},
        {"by_kind": KINDS[:1]},
        {"stage": "dpo"},
        {"majority_score": 18},
        {"num_questions": -1},
        {"accuracy": 0.4},
    ],
)
def test_counts_that_cannot_be_are_refused(changes):
    with pytest.raises(ValidationError):
        changed(**changes)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": "m"}', "\x00"])
def test_damaged_file_is_one_line_that_names_it(tmp_path, text):
    path = tmp_path / "rl.json"
    path.write_text(text)
    with pytest.raises(RunDirectoryError, match=r"rl\.json is no evaluation") as error:
        load_evaluation(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_gives_the_published_values(hits, trials, low, high):
    """The last two are of Newcombe 1998, table I."""
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=1e-4)


def test_wilson_of_nothing_is_none_and_impossible_sums_raise():
    assert wilson_interval(0, 0) is None
    for hits, trials in ((11, 10), (-1, 10), (math.nan, 10), (1, 0)):
        with pytest.raises(ValueError, match="cannot be"):
            wilson_interval(hits, trials)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_inside(trials, share):
    low, high = wilson_interval(share * trials, trials)
    assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1

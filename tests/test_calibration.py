"""Measuring judges against labels: figures worked out by hand, and what must never be averaged in."""

import io
import itertools
import warnings

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from rich.console import Console

from curation.agreement import load_labels
from curation.calibration import (
    PAPER_JUDGES,
    Calibration,
    JudgeVerdicts,
    decided_labels,
    measure_calibration,
)
from curation.calibration_view import notes, print_calibration
from curation.plots import draw_judges, write_figure
from curation.schema import INSUFFICIENT, PROBLEM_TYPES, SUFFICIENT

YES, NO = SUFFICIENT, INSUFFICIENT


def labels_of(*rows: tuple[str, str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.String, "label": pl.String, "labeller": pl.String}, orient="row")


def judge(name: str, verdicts: dict[str, str | None]) -> JudgeVerdicts:
    rows = [(key, verdict, None if verdict else "no verdict (stop)") for key, verdict in verdicts.items()]
    schema = {"id": pl.String, "verdict": pl.String, "unscored": pl.String}
    return JudgeVerdicts(name, (f"{name}-model",), ("ab" * 32,), pl.DataFrame(rows, schema=schema, orient="row"))


def measure(labels: pl.DataFrame, *judges: JudgeVerdicts, kind: str = "numerical") -> Calibration:
    known = {key: kind for each in judges for key in each.verdicts["id"]}
    return measure_calibration(labels, known, judges, labels_file="l.csv", labels_sha256="0", num_outdated=0)


def counted(yes_yes: int, yes_no: int, no_yes: int, no_no: int) -> Calibration:
    """A judge and one labeller with a confusion table: judge's verdict first, label second."""
    cells = [(YES, YES)] * yes_yes + [(YES, NO)] * yes_no + [(NO, YES)] * no_yes + [(NO, NO)] * no_no
    ids = [f"q{place}" for place in range(len(cells))]
    labels = labels_of(*((key, label, "ann") for key, (_, label) in zip(ids, cells, strict=True)))
    return measure(labels, judge("a", {key: verdict for key, (verdict, _) in zip(ids, cells, strict=True)}))


def test_accuracy_interval_kappa_and_confusion_equal_a_worked_example():
    found = counted(yes_yes=20, yes_no=5, no_yes=10, no_no=15).judges[0].agreement
    assert (found.accuracy.num, found.accuracy.total, found.accuracy.share) == (35, 50, 0.7)
    # Wilson by hand: (0.7 + 1.92073/50 -+ 1.959964 * sqrt(0.21/50 + 0.960365/2500)) / (1 + 3.841459/50)
    assert found.accuracy.low == pytest.approx(0.5625, abs=1e-4)
    assert found.accuracy.high == pytest.approx(0.8090, abs=1e-4)
    # Observed 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    assert found.kappa == pytest.approx(0.4)
    assert (found.both_sufficient, found.judge_only_sufficient) == (20, 5)
    assert (found.human_only_sufficient, found.both_insufficient) == (10, 15)


def test_papers_table_is_the_published_one_with_our_intervals():
    assert [(row.name, row.accuracy.share, row.accuracy.total) for row in PAPER_JUDGES] == [
        ("Llama-3.1-8B", 0.82, 200),
        ("Llama-3.1-70B", 0.88, 200),
        ("Llama-3.1-405B", 0.91, 200),
        ("Claude 3.7 Sonnet", 0.95, 200),
    ]
    assert PAPER_JUDGES[3].accuracy.low == pytest.approx(0.9104, abs=1e-4)
    assert PAPER_JUDGES[3].accuracy.high == pytest.approx(0.9726, abs=1e-4)


def test_null_verdicts_and_undecided_labels_are_counted_apart_and_never_averaged_in():
    labels = labels_of(
        ("right", YES, "ann"),
        ("null", YES, "ann"),
        ("cannot", "cannot_tell", "ann"),
        ("open", None, "ann"),
        ("disputed", YES, "ann"),
        ("disputed", NO, "bob"),
        ("foreign", YES, "ann"),
    )
    verdicts = {"right": YES, "null": None, "cannot": NO, "open": NO, "disputed": NO}
    calibration = measure(labels, judge("a", verdicts))
    (found,) = calibration.judges
    assert (found.agreement.accuracy.num, found.agreement.accuracy.total) == (1, 1)
    apart = found.agreement
    assert (apart.num_unscored, apart.num_cannot_tell, apart.num_unlabelled) == (1, 1, 1)
    assert (apart.num_disputed, apart.num_unknown_ids) == (1, 1)
    assert [(reason.reason, reason.num_rows) for reason in found.unscored] == [("no verdict (stop)", 1)]
    assert (calibration.num_sufficient, calibration.num_insufficient) == (2, 0)
    assert calibration.num_labels == 6
    said = "\n".join(notes(calibration))
    for words in ("1 disputed", "1 cannot tell", "1 not labelled", "1 not in this dataset", "easier ones"):
        assert words in said


def test_every_judge_is_scored_on_its_own_verdicts_but_a_pair_only_on_the_common_ones():
    labels = labels_of(*((f"q{place}", YES, "ann") for place in range(10)))
    first = judge("first", {f"q{place}": YES if place < 8 else None for place in range(10)})
    second = judge("second", {f"q{place}": NO if place < 7 else YES for place in range(10)})
    calibration = measure(labels, first, second)
    assert [row.agreement.accuracy.total for row in calibration.judges] == [8, 10]
    (pair,) = calibration.judge_pairs
    assert (pair.num_questions, pair.num_only_first_right, pair.num_only_second_right) == (8, 7, 0)
    assert pair.p_value == pytest.approx(2 / 2**7)
    assert not pair.is_noise
    assert any("first agrees with the labels more often than second" in line for line in notes(calibration))


def test_difference_inside_the_noise_is_called_that():
    labels = labels_of(*((f"q{place}", YES, "ann") for place in range(100)))
    first = judge("first", {f"q{place}": NO if place < 5 else YES for place in range(100)})
    second = judge("second", {f"q{place}": NO if place > 98 else YES for place in range(100)})
    calibration = measure(labels, first, second)
    assert [row.agreement.accuracy.share for row in calibration.judges] == [0.95, 0.99]
    assert calibration.judge_pairs[0].p_value == pytest.approx(14 / 64)
    assert any("inside the noise" in line for line in notes(calibration))


def test_many_pairs_share_one_five_percent():
    labels = labels_of(*((f"q{place}", YES, "ann") for place in range(6)))
    right, wrong = {f"q{n}": YES for n in range(6)}, {f"q{n}": NO for n in range(6)}
    alone = measure(labels, judge("a", right), judge("b", wrong))
    assert alone.judge_pairs[0].p_value == 0.03125
    assert not alone.judge_pairs[0].is_noise
    three = measure(labels, judge("a", right), judge("b", wrong), judge("c", wrong))
    assert [(pair.first, pair.second) for pair in three.judge_pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(pair.is_noise for pair in three.judge_pairs)


def test_judges_without_a_common_question_have_no_p_value():
    labels = labels_of(("q0", YES, "ann"), ("q1", YES, "ann"))
    calibration = measure(labels, judge("a", {"q0": YES, "q1": None}), judge("b", {"q0": None, "q1": YES}))
    assert calibration.judge_pairs[0].p_value is None
    assert any("no question in common" in line for line in notes(calibration))


def test_people_are_compared_pairwise_on_their_last_word():
    labels = labels_of(
        *((f"q{place}", YES, "ann") for place in range(4)),
        *((f"q{place}", YES if place < 2 else NO, "bob") for place in range(4)),
        ("q0", NO, "ann"),  # she changed her mind
        ("q4", YES, "ann"),
        ("q4", "cannot_tell", "bob"),
        ("q5", YES, "bob"),
        ("q5", YES, "cem"),
        ("q5", NO, None),
        ("q5", YES, None),
    )
    calibration = measure(labels, judge("a", {f"q{place}": YES for place in range(6)}))
    assert calibration.labellers == ("ann", "bob", "cem")
    ann_bob, bob_cem = calibration.human_pairs
    assert (ann_bob.first, ann_bob.second, bob_cem.first, bob_cem.second) == ("ann", "bob", "bob", "cem")
    # ann: N Y Y Y, bob: Y Y N N; one in four, by chance (3 * 2 + 1 * 2) / 16 = 1/2: kappa -1/2.
    assert (ann_bob.same.num, ann_bob.same.total, ann_bob.num_cannot_tell) == (1, 4, 1)
    assert ann_bob.kappa == pytest.approx(-0.5)
    assert (bob_cem.same.num, bob_cem.same.total, bob_cem.kappa) == (1, 1, None)
    assert (calibration.humans.num, calibration.humans.total) == (2, 5)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([f"q{n}" for n in range(6)]),
            st.sampled_from([YES, NO, "cannot_tell", None]),
            st.sampled_from(["ann", "bob", None]),
        ),
        max_size=25,
    ),
    st.dictionaries(st.sampled_from([f"q{n}" for n in range(6)]), st.sampled_from([YES, NO, None]), min_size=1),
)
def test_every_labelled_question_is_counted_exactly_once(rows, verdicts):
    labels = labels_of(*rows)
    calibration = measure(labels, judge("a", verdicts))
    found = calibration.judges[0].agreement
    parts = (found.num_disputed, found.num_cannot_tell, found.num_unlabelled, found.num_unscored)
    assert found.accuracy.total + sum(parts) + found.num_unknown_ids == labels["id"].n_unique()
    decided = calibration.num_sufficient + calibration.num_insufficient
    assert decided == found.accuracy.total + found.num_unscored
    assert sum(reason.num_rows for reason in calibration.judges[0].unscored) == found.num_unscored
    by_type = calibration.judges[0].by_type
    assert sum(row.agreement.accuracy.num for row in by_type) == found.accuracy.num
    print_calibration(calibration, Console(file=io.StringIO(), width=80))


def test_types_have_their_own_row_and_foreign_ids_belong_to_none():
    kinds = {f"q{place}": kind for place, kind in enumerate(PROBLEM_TYPES[:3])}
    labels = labels_of(*((key, YES, "ann") for key in kinds), ("foreign", YES, "ann"))
    verdicts = judge("a", {"q0": YES, "q1": NO, "q2": None})
    calibration = measure_calibration(labels, kinds, [verdicts], labels_file="l", labels_sha256="0", num_outdated=0)
    rows = calibration.judges[0].by_type
    assert [row.problem_type for row in rows] == list(PROBLEM_TYPES[:3])
    assert [row.agreement.accuracy.share for row in rows] == [1.0, 0.0, None]
    assert [row.agreement.num_unknown_ids for row in rows] == [0, 0, 0]


def test_too_few_labels_are_called_that_and_enough_are_not():
    assert counted(10, 1, 1, 0).judges[0].is_imprecise
    assert any("too few labels" in line for line in notes(counted(10, 1, 1, 0)))
    assert not counted(95, 3, 2, 0).judges[0].is_imprecise
    # At one half the interval is the widest: 100 labels are enough whatever the judge does.
    assert not counted(25, 25, 25, 25).judges[0].is_imprecise
    assert not any("too few labels" in line for line in notes(counted(25, 25, 25, 25)))


def test_nothing_to_compare_is_a_dash_and_a_line_not_zero():
    calibration = measure(labels_of(("q0", None, None)), judge("a", {"q0": YES}))
    out = io.StringIO()
    print_calibration(calibration, Console(file=out, width=80))
    assert calibration.judges[0].agreement.accuracy.share is None
    assert calibration.majority.share is None
    assert "nothing to compare" in out.getvalue()
    assert "0.0 %" not in out.getvalue()


def test_tables_fit_into_eighty_columns_and_mark_the_papers_rows():
    labels = labels_of(*((f"q{n}", [YES, NO][n % 3 == 0], ["ann", "bob"][n % 2]) for n in range(200)))
    judges = [
        judge(name, {f"q{n}": [YES, NO][n % k == 0] for n in range(200)}) for name, k in (("x" * 60, 3), ("b", 4))
    ]
    out = io.StringIO()
    print_calibration(measure(labels, *judges, kind="multiple choice"), Console(file=out, width=80))
    tables = out.getvalue().split("\n- ")[0]
    assert "\u2026" not in tables
    for paper in PAPER_JUDGES:
        assert f"* {paper.name}" in tables
    assert "(all sufficient)" in tables


def test_names_from_outside_are_text_and_never_markup():
    labels = labels_of(("q0", YES, "[red]ann[/red]\n\x1b[31m"), ("q0", YES, "bob"))
    calibration = measure(labels, judge("[bold]j", {"q0": YES}), judge("[/x]", {"q0": YES}))
    out = io.StringIO()
    print_calibration(calibration, Console(file=out, width=80))
    assert "[bold]j" in out.getvalue()
    assert "[red]ann" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_picture_shows_judges_beside_the_papers_without_a_warning(tmp_path):
    empty = measure(labels_of(("q0", None, None)), judge("none$_$", {"q0": YES}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, calibration in (("some", counted(20, 5, 10, 15)), ("empty", empty)):
            path = tmp_path / f"{name}.picture"
            write_figure(lambda shown=calibration: draw_judges(shown), path)
            assert imread(path, format="png").std() > 0.02


def test_result_survives_its_json():
    calibration = counted(20, 5, 10, 15)
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_unnamed_labels_that_differ_decide_nothing():
    labels = labels_of(("q0", YES, None), ("q0", NO, None), ("q1", YES, None))
    assert decided_labels(labels) == {"q1": YES}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.jsonl", '{"id": ["a"], "label": "sufficient"}\n'),
        ("l.jsonl", '{"id": "a", "label": ["sufficient"]}\n'),
        ("l.jsonl", '{"id": "a", "label": {"x": 1}}\n'),
        ("l.jsonl", "[1, 2]\n"),
        ("l.csv", f"id,label\na,{'x' * 5000}\n"),
        ("l.csv", 'id,label\n"a,sufficient\n'),
    ],
)
def test_labels_of_another_shape_are_one_short_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as error:
        load_labels(tmp_path / name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500 + len(str(tmp_path))


def test_order_of_the_label_rows_does_not_change_the_figures():
    rows = [("q0", YES, "ann"), ("q1", NO, "bob"), ("q2", YES, "ann")]
    verdicts = judge("a", {"q0": YES, "q1": YES, "q2": NO})
    found = [measure(labels_of(*order), verdicts).judges for order in itertools.permutations(rows)]
    assert all(judges == found[0] for judges in found)

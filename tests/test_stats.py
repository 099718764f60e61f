import io
import json
import math
import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from curation.errors import RunDirectoryError, SourceError
from curation.report import Funnel, Report, Share, Step
from curation.schema import PROBLEM_TYPES, STEPS
from curation.scoring.choice import named_letter
from curation.scoring.words import words
from curation.stats import PAPER_KEPT, PAPER_READ, measure, name_letters
from curation.tables import print_report
from tests.folders import kept_row, rejected_row, write_folder

REASONS = (
    "source:unknown_problem_type",
    "source:duplicate",
    "media:missing",
    "generate:poison",
    "filter:score",
    "filter:leaks_answer",
    "verify:insufficient",
    "verify:unscored",
)


def survival_of(report: Report, by: str, value: str | None) -> Share:
    return next(row.kept for row in report.survival if (row.by, row.value) == (by, value))


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@settings(max_examples=25)
@given(num_kept=st.integers(0, 5), reasons=st.lists(st.sampled_from(REASONS), max_size=12), num_files=st.integers(1, 3))
def test_every_record_that_was_read_is_in_the_funnel_once(num_kept, reasons, num_files):
    with tempfile.TemporaryDirectory() as folder:
        kept = [kept_row(number) for number in range(num_kept)]
        rejected = [rejected_row(100 + number, reason) for number, reason in enumerate(reasons)]
        report = measure(write_folder(Path(folder), kept, rejected, num_files=num_files))
    funnel = report.funnel
    assert (funnel.num_kept, funnel.num_rejected, funnel.num_read) == (num_kept, len(reasons), num_kept + len(reasons))
    assert tuple(step.step for step in funnel.steps) == STEPS
    counted = {f"{s.step}:{r.reason}": r.num_rows for s in funnel.steps for r in s.reasons}
    assert counted == {reason: reasons.count(reason) for reason in set(reasons)}
    by_type = [row.kept for row in report.survival if row.by == "problem_type"]
    assert sum(share.total for share in by_type) == funnel.num_read
    assert sum(share.num for share in by_type) == funnel.num_kept


def test_funnel_that_does_not_add_up_cannot_be_built():
    step = Step(step="source", num_in=3, num_rejected=1, num_left=2, reasons=())
    with pytest.raises(ValidationError, match="does not add up"):
        Funnel(num_read=3, num_kept=2, num_rejected=1, steps=(step,))
    with pytest.raises(ValidationError, match="do not make"):
        Funnel(num_read=3, num_kept=2, num_rejected=1, steps=())


def test_records_that_the_source_counted_but_no_row_holds_are_an_error(tmp_path):
    write_folder(tmp_path, [kept_row(0)], [rejected_row(1, "media:missing")])
    assert measure(tmp_path, num_read=2).funnel.num_read == 2
    with pytest.raises(RunDirectoryError, match="but 3 records") as error:
        measure(tmp_path, num_read=3)
    one_line(error)


def test_empty_folder_gives_nulls_not_zeros(tmp_path):
    report = measure(write_folder(tmp_path))
    everything = survival_of(report, "all", None)
    assert (everything.total, everything.share, everything.low) == (0, None, None)
    assert all(row.mean is None and row.p50 is None and row.num_measured == 0 for row in report.lengths)
    assert report.scores.mean_kept is None
    assert report.agreement is None
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_all_null_columns_without_a_type_are_read(tmp_path):
    kept = [kept_row(n, **dict.fromkeys(("observation_tokens", "flags", "data_source", "judge"))) for n in range(3)]
    write_folder(tmp_path, kept)
    path = tmp_path / "data/train-00000-of-00001.parquet"
    table = pq.read_table(path)
    for name in ("observation_tokens", "flags", "data_source", "judge"):
        table = table.set_column(table.schema.get_field_index(name), name, pa.nulls(3))
    pq.write_table(table, path)
    report = measure(tmp_path)
    assert [tally.value for tally in report.flags] == [None]
    assert survival_of(report, "data_source", None).num == 3


def test_tokens_that_were_not_measured_stay_null_and_are_counted(tmp_path):
    tokens = [None, 128, 320, 127, 321]
    kept = [kept_row(n, observation_tokens=count, think_tokens=None) for n, count in enumerate(tokens)]
    report = measure(write_folder(tmp_path, kept))
    observation, think = (
        next(row for row in report.lengths if (row.segment, row.unit, row.problem_type) == (segment, "tokens", None))
        for segment in ("observation", "think")
    )
    assert (observation.num_rows, observation.num_measured, observation.p50) == (5, 4, 224)
    assert observation.in_window is not None and (observation.in_window.num, observation.in_window.total) == (2, 4)
    assert (think.num_rows, think.num_measured, think.mean, think.p95) == (5, 0, None, None)
    assert think.in_window is not None and think.in_window.share is None


def test_histogram_counts_every_measured_row_and_a_runaway_does_not_flatten_it(tmp_path):
    kept = [kept_row(n, think=" ".join(["w"] * (50 + n % 40))) for n in range(2000)]
    kept.append(kept_row(9999, think=" ".join(["w"] * 9000)))
    report = measure(write_folder(tmp_path, kept))
    histogram = next(h for h in report.histograms if (h.segment, h.unit) == ("think", "words"))
    assert sum(histogram.counts) == 2001
    assert histogram.bin_width * len(histogram.counts) < 120


@settings(max_examples=30)
@given(texts=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_words_are_the_words_of_the_filters(texts):
    with tempfile.TemporaryDirectory() as folder:
        report = measure(write_folder(Path(folder), [kept_row(n, observation=t) for n, t in enumerate(texts)]))
    mean = next(row.mean for row in report.lengths if (row.segment, row.unit) == ("observation", "words"))
    assert mean is not None and math.isclose(mean, sum(len(words(text)) for text in texts) / len(texts))


def test_paper_survival_is_what_the_paper_implies():
    percents = {name: round(100 * PAPER_KEPT[name] / PAPER_READ[name], 1) for name in PAPER_KEPT}
    assert percents == {
        "multiple choice": 79.4,
        "numerical": 57.8,
        "OCR": 25.3,
        "free-form": 9.1,
        "regression": 13.0,
        "image": 49.6,
        "video": 76.8,
        "all": 61.6,
    }


def test_broken_records_without_a_known_type_are_counted_apart(tmp_path):
    strange = {"problem_type": "essay", "data_type": None, "data_source": None}
    rejected = [
        rejected_row(1, "source:unknown_problem_type", **strange),
        rejected_row(2, "source:malformed", problem_type=None, id=None),
        rejected_row(3, "media:missing"),
    ]
    report = measure(write_folder(tmp_path, [kept_row(0)], rejected))
    assert survival_of(report, "problem_type", "multiple choice").total == 2
    assert survival_of(report, "problem_type", None).total == 2
    assert survival_of(report, "data_type", None).total == 1
    assert survival_of(report, "all", None).total == 4


def test_a_source_named_like_a_type_gets_no_figure_of_the_paper(tmp_path):
    report = measure(write_folder(tmp_path, [kept_row(0, data_source="OCR")]))
    assert next(row.paper for row in report.survival if row.by == "data_source") is None


def test_duplicate_record_may_share_the_id_of_the_one_that_stays_and_no_other_may(tmp_path):
    duplicate = rejected_row(0, "source:duplicate")
    assert measure(write_folder(tmp_path, [kept_row(0)], [duplicate, duplicate])).funnel.num_read == 3
    with pytest.raises(RunDirectoryError, match="more than once") as error:
        measure(write_folder(tmp_path, [kept_row(0)], [rejected_row(0, "filter:score")]))
    assert "0000000000000000" in one_line(error)


@pytest.mark.parametrize("rejected_by", [None, "", "score", "filter:", ":score", "publish:score"])
def test_rejected_row_without_a_step_and_reason_is_an_error(tmp_path, rejected_by):
    rejected = [rejected_row(1, "filter:score") | {"rejected_by": rejected_by}]
    with pytest.raises(RunDirectoryError, match="step:reason") as error:
        measure(write_folder(tmp_path, [], rejected))
    one_line(error)


@pytest.mark.parametrize("score", [1.2, -0.1, math.nan, math.inf])
def test_score_outside_the_unit_interval_is_an_error(tmp_path, score):
    with pytest.raises(RunDirectoryError, match=r"outside \[0, 1\]"):
        measure(write_folder(tmp_path, [kept_row(0, score=score)]))


@pytest.mark.parametrize("config", ["data", "rejected", "rl"])
def test_missing_config_is_one_clear_line(tmp_path, config):
    write_folder(tmp_path, [kept_row(0)])
    next((tmp_path / config).iterdir()).unlink()
    with pytest.raises(RunDirectoryError, match=f"has no {config}/") as error:
        measure(tmp_path)
    one_line(error)


def test_torn_or_foreign_parquet_is_one_clear_line(tmp_path):
    write_folder(tmp_path, [kept_row(n) for n in range(50)])
    path = tmp_path / "data/train-00000-of-00001.parquet"
    whole = path.read_bytes()
    for damaged in (b"", b"not parquet", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(RunDirectoryError, match="no readable Parquet") as error:
            measure(tmp_path)
        one_line(error)
    path.write_bytes(whole[:200] + bytes(800) + whole[1000:])
    with pytest.raises(RunDirectoryError, match="cannot read") as error:
        measure(tmp_path)
    one_line(error)


def test_column_of_another_version_is_one_clear_line(tmp_path):
    write_folder(tmp_path, [kept_row(0)])
    path = tmp_path / "data/train-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["verdict"]), path)
    with pytest.raises(RunDirectoryError, match="verdict") as error:
        measure(tmp_path)
    one_line(error)


def test_run_directory_and_its_dataset_folder_give_the_same_report(tmp_path):
    write_folder(tmp_path / "dataset", [kept_row(0)])
    assert measure(tmp_path) == measure(tmp_path / "dataset")
    with pytest.raises(RunDirectoryError, match="no directory"):
        measure(tmp_path / "nowhere")


def test_report_does_not_depend_on_how_the_rows_are_cut_into_files(tmp_path):
    kept = [kept_row(n, answer="ABC"[n % 3], data_source=["x", "y", None][n % 3]) for n in range(12)]
    rejected = [rejected_row(100 + n, REASONS[n % len(REASONS)]) for n in range(16)]
    one = measure(write_folder(tmp_path / "one", kept, rejected))
    many = measure(write_folder(tmp_path / "many", kept[::-1], rejected[::-1], num_files=3))
    assert one.model_dump_json() == many.model_dump_json()
    json.loads(one.model_dump_json())


def test_duplicates_are_found_despite_case_and_punctuation(tmp_path):
    kept = [
        kept_row(0, problem="What is it?", path="a", observation="x"),
        kept_row(1, problem="what is it", path="a", observation="x"),
        kept_row(2, problem="What is it?", path="b", observation="y"),
        kept_row(3, problem="Was ist das?", path="b", observation=None),
    ]
    found = {(row.over, row.form): row for row in measure(write_folder(tmp_path, kept)).duplicates}
    assert found["problem", "exact"].num_distinct == 3
    assert found["problem", "normalised"].num_distinct == 2
    assert found["problem and path", "exact"].num_distinct == 4
    assert found["problem and path", "normalised"].num_extra == 1
    assert (found["observation", "exact"].num_rows, found["observation", "exact"].num_distinct) == (3, 2)


def test_option_letters_are_those_of_the_scorer():
    options = ["A. red", "B. blue", "C. green"]
    texts = ["B", "b", "(B)", "B.", "B. blue", "blue", "A red car", "", "B and C", " <answer> C </answer> ", None, "7"]
    named = name_letters(pl.DataFrame({"answer": texts, "options": [options] * len(texts)}), "answer").to_list()
    bare = [None if text is None else text.replace("<answer>", "").replace("</answer>", "").strip() for text in texts]
    assert named == [None if text is None else named_letter(text, options) for text in bare]
    assert named[:2] == ["B", "B"] and named[5] == "B" and named[6] is None


def test_letters_count_multiple_choice_only_and_gold_of_all_that_were_read(tmp_path):
    kept = [kept_row(0), kept_row(1, answer="A"), kept_row(2, problem_type="OCR", solution="C", answer="C")]
    rejected = [rejected_row(3, "media:missing", solution="<answer>A</answer>")]
    letters = {row.letter: row for row in measure(write_folder(tmp_path, kept, rejected)).letters}
    assert set(letters) == {"A", "B"}
    assert (letters["A"].num_gold_read, letters["A"].num_gold_kept, letters["A"].num_answered_kept) == (1, 0, 1)
    assert (letters["B"].num_gold_read, letters["B"].num_gold_kept, letters["B"].num_answered_kept) == (2, 2, 1)


def test_unscored_verdicts_and_uncomputed_marks_are_null_not_absent(tmp_path):
    kept = [kept_row(0, flags=["leaks_answer", "leaks_answer"], overlaps=[]), kept_row(1, overlaps=["MVBench"])]
    rejected = [rejected_row(2, "verify:insufficient"), rejected_row(3, "verify:unscored")]
    report = measure(write_folder(tmp_path, kept, rejected))
    verdicts = {tally.value: (tally.num_kept, tally.num_rejected) for tally in report.verdicts}
    assert verdicts == {"sufficient": (2, 0), "insufficient": (0, 1), None: (0, 1)}
    assert [(tally.value, tally.num_kept) for tally in report.flags] == [("leaks_answer", 1)]
    assert {tally.value: tally.num_kept + tally.num_rejected for tally in report.overlaps} == {None: 2, "MVBench": 1}


def test_scores_fall_into_their_bin_and_one_into_the_last(tmp_path):
    kept = [kept_row(n, score=score) for n, score in enumerate([1.0, 0.6, 0.7, None])]
    scores = measure(write_folder(tmp_path, kept, [rejected_row(9, "filter:score", score=0.0)])).scores
    assert scores.kept == (0, 0, 0, 0, 0, 0, 1, 1, 0, 1)
    assert scores.rejected[0] == 1
    assert scores.num_unscored_kept == 1
    assert scores.mean_kept is not None and math.isclose(scores.mean_kept, 2.3 / 3)


def test_makers_name_each_model_with_its_prompt(tmp_path):
    kept = [kept_row(0), kept_row(1, prompt_sha256="00" * 32)]
    report = measure(write_folder(tmp_path, kept, [rejected_row(2, "media:missing", prompt_sha256=None)]))
    assert {(maker.model, maker.prompt_sha256) for maker in report.generators} == {
        ("org/generator", "cd" * 32),
        ("org/generator", "00" * 32),
        (None, None),
    }


@given(total=st.integers(0, 10_000), data=st.data())
def test_wilson_interval_holds_the_share_and_stays_in_the_unit_interval(total, data):
    num = data.draw(st.integers(0, total))
    share = Share.of(num, total)
    if total == 0:
        assert share.share is share.low is share.high is None
    else:
        assert 0 <= share.low <= share.share <= share.high <= 1


def test_wilson_interval_equals_the_published_example():
    share = Share.of(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (round(share.low, 4), round(share.high, 4)) == (0.2553, 0.3662)


def labelled_folder(folder: Path) -> Path:
    rejected = [rejected_row(4, "verify:insufficient"), rejected_row(5, "verify:unscored")]
    return write_folder(folder, [kept_row(n) for n in range(4)], rejected)


LABELS = [
    ("0000000000000000", "sufficient", "ann"),
    ("0000000000000001", "sufficient", "ann"),
    ("0000000000000001", "insufficient", "ann"),  # she changed her mind
    ("0000000000000002", "sufficient", "ann"),
    ("0000000000000002", "insufficient", "bob"),
    ("0000000000000003", "cannot_tell", "ann"),
    ("0000000000000004", "insufficient", "ann"),
    ("0000000000000004", "cannot_tell", "bob"),
    ("0000000000000005", "sufficient", "ann"),
    ("00000000000000ff", "sufficient", "ann"),
]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_agreement_compares_only_what_both_decided(tmp_path, suffix):
    labels = tmp_path / f"labels.{suffix}"
    frame = pl.DataFrame(LABELS, schema=["id", "label", "labeller"], orient="row")
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](labels)
    agreement = measure(labelled_folder(tmp_path / "dataset"), labels=labels).agreement
    assert agreement is not None
    assert (agreement.accuracy.num, agreement.accuracy.total) == (2, 3)
    assert (agreement.both_sufficient, agreement.both_insufficient) == (1, 1)
    assert (agreement.judge_only_sufficient, agreement.human_only_sufficient) == (1, 0)
    assert (agreement.num_disputed, agreement.num_cannot_tell, agreement.num_unscored) == (1, 1, 1)
    assert agreement.num_unknown_ids == 1
    assert agreement.kappa is not None and math.isclose(agreement.kappa, 0.4)


def test_unnamed_labellers_who_differ_dispute_and_an_empty_label_is_none(tmp_path):
    labels = tmp_path / "labels.csv"
    rows = ["id,label", f"{0:016x},sufficient", f"{0:016x},insufficient", f"{1:016x},", f"{2:016x},sufficient"]
    labels.write_text("\n".join(rows))
    agreement = measure(labelled_folder(tmp_path / "dataset"), labels=labels).agreement
    assert agreement is not None
    assert (agreement.num_disputed, agreement.num_unlabelled, agreement.accuracy.total) == (1, 1, 1)
    assert agreement.kappa is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labels.csv", "id,label\n1,yes\n", "'yes'"),
        ("labels.csv", "id,verdict\n1,yes\n", "no column"),
        ("labels.csv", "", "cannot read"),
        ("labels.jsonl", "{oops\n", "cannot read"),
        ("labels.parquet", "PAR1", "cannot read"),
        ("labels.xlsx", "", ".xlsx"),
        ("labels.csv", "id,label\n,sufficient\n", "None"),
    ],
)
def test_unusable_labels_are_one_clear_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError) as error:
        measure(labelled_folder(tmp_path / "dataset"), labels=tmp_path / name)
    assert said in one_line(error)


def printed(report: Report, width: int) -> str:
    pipe = io.StringIO()
    print_report(report, Console(width=width, file=pipe))
    return pipe.getvalue()


def test_tables_fit_80_columns_and_cut_no_number(tmp_path):
    kept = [kept_row(n, problem_type=PROBLEM_TYPES[n % 5], data_source="a long name for a source") for n in range(10)]
    report = measure(write_folder(tmp_path, kept, [rejected_row(99, "filter:observation_length")]))
    text = printed(report, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\u2026" not in text
    assert "\x1b" not in text


def test_tables_show_hostile_names_as_plain_text(tmp_path):
    hostile = "[bold]x[/bold]\x1b[31m\n|"
    report = measure(write_folder(tmp_path, [kept_row(0, data_source=hostile, answer=hostile, generator=hostile)]))
    text = printed(report, 120)
    assert "\x1b" not in text
    assert "[bold]x[/bold]?[31m?|" in text


def test_tables_of_an_empty_folder_print_dashes(tmp_path):
    report = measure(write_folder(tmp_path))
    assert "0.0 %" not in printed(report, 80)
    assert "kept" in printed(report, 80)

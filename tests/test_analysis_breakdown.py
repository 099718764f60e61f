"""`python -m training.benchmarks breakdown`: accuracy by length and by group, each answer once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo_results import demo_records, question_of, write_demo_result
from tests.scored_runs import fingerprint, result_of, scored_rows, write_score
from tests.training_runs import evaluation, write_run
from training.benchmarks.__main__ import main
from training.benchmarks.analyses.breakdown import Breakdown, ScoredAnswer, ScoredSet, break_down, cut, in_order
from training.benchmarks.results import result_folder, write_result
from training.benchmarks.scoring import Failure
from training.evaluation_facts import write_evaluation
from training.held_out import Prediction, write_predictions

TRACE = "<observation>{}</observation> <think>{}</think><answer>A</answer>"


def answer(score: float = 1.0, output: str | None = "A", num_tokens: int | None = None, **groups: str) -> ScoredAnswer:
    return ScoredAnswer(score, output is not None, groups.pop("counted", "yes") == "yes", output, num_tokens, groups)


def broken_down(answers: Sequence[ScoredAnswer], num_bins: int) -> Breakdown:
    return break_down(ScoredSet("b", "B", {}, answers), num_bins)


def words(number: int) -> str:
    return " ".join(["word"] * number)


def breakdown(*arguments: str | Path) -> None:
    assert main(["breakdown", *map(str, arguments)]) == 0


def record(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "breakdown.json").read_text())["results"]
    return found


def bins_of(found: dict[str, Any], segment: str) -> list[tuple[int, int, int, float]]:
    return [(each["least"], each["most"], each["num_answers"], each["accuracy"]) for each in
            found["lengths"][segment]["bins"]]  # fmt: skip


def test_bins_hold_equally_many_and_equal_lengths_are_never_parted():
    assert cut([5, 1, 4, 2, 3, 6], 3) == [[1, 3], [4, 2], [0, 5]]
    assert cut([7, 7, 7, 7, 9], 5) == [[0, 1, 2, 3], [4]]
    assert cut([1, 2, 2, 2, 2, 3], 2) == [[0, 1, 2, 3, 4], [5]]
    assert cut([4], 5) == [[0]] and cut([], 5) == []


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 7))
def test_each_answer_is_in_one_bin_and_bins_do_not_overlap(lengths: Sequence[int], num_bins: int):
    bins = cut(lengths, num_bins)
    assert sorted(place for places in bins for place in places) == list(range(len(lengths)))
    edges = [(min(lengths[place] for place in places), max(lengths[place] for place in places)) for places in bins]
    assert len(bins) <= num_bins
    assert all(left[1] < right[0] for left, right in pairwise(edges))


def test_tokens_are_used_where_all_are_known_and_words_otherwise_never_both():
    known = [answer(1.0, "one two three", 9), answer(0.0, "one", 90), answer(0.0, None)]
    by = broken_down(known, 2).lengths[0]
    assert (by.unit, [(each.least, each.part.mean) for each in by.bins]) == ("tokens", [(9, 1.0), (90, 0.0)])
    assert (by.without.num_answers, by.without.mean) == (1, 0.0)
    by = broken_down([*known, answer(1.0, "one two")], 3).lengths[0]
    assert (by.unit, [each.least for each in by.bins]) == ("words", [1, 2, 3])


def test_observation_and_think_have_their_own_lengths_and_a_malformed_one_has_none():
    answers = [
        answer(1.0, TRACE.format(words(4), words(20))),
        answer(0.0, TRACE.format(words(8), words(10))),
        answer(1.0, f"no observation <think>{words(2)}</think><answer>A</answer>"),
        answer(0.0, "cut off <observation> then"),
    ]
    _, observation, think = broken_down(answers, 2).lengths
    assert [(each.least, each.part.mean) for each in observation.bins] == [(4, 1.0), (8, 0.0)]
    assert (observation.without.num_answers, observation.without.mean) == (2, 0.5)
    assert [(each.least, each.most) for each in think.bins] == [(2, 10), (20, 20)]
    assert think.without.num_answers == 1


def test_answers_of_a_direct_prompt_have_no_segments_and_so_no_table_of_them():
    assert [by.segment for by in broken_down([answer(), answer(0.0)], 5).lengths] == ["completion"]


def test_groups_are_over_all_rows_lengths_over_those_of_the_overall():
    answers = [answer(1.0, kind="mc"), answer(0.0, kind="mc"), answer(1.0, kind="open", counted="no")]
    found = broken_down(answers, 5)
    assert {value: (part.num_answers, part.mean) for value, part in found.groups["kind"].items()} == {
        "mc": (2, 0.5), "open": (1, 1.0),
    }  # fmt: skip
    assert (found.counted.mean, found.counted.num_answers, found.every.num_answers) == (0.5, 2, 3)
    assert sum(each.part.num_answers for each in found.lengths[0].bins) == 2


def test_values_stand_from_easy_to_hard_where_they_are_such_a_scale():
    assert in_order(["long", "medium", "short"]) == ["short", "medium", "long"]
    assert in_order(["Comprehension", "Adaptation", "Perception"]) == ["Perception", "Comprehension", "Adaptation"]
    assert in_order(["short", "left"]) == ["left", "short"]


def test_the_demo_with_long_answers_made_wrong_shows_it(tmp_path, capsys):
    """A known answer: the thinker that is long is wrong, whatever the question."""
    records = demo_records(20)
    questions = [question_of(record) for record in records]
    outputs: dict[str, str | None] = {}
    for number, question in enumerate(questions):
        wrong = next(letter for letter in question.letters if letter != question.answer)
        is_long = number % 2 == 1
        said = wrong if is_long else question.answer
        text = TRACE.format("seen", words(100 + number if is_long else 10 + number)).replace(">A<", f">{said}<")
        outputs[question.uid] = text
    outputs[questions[0].uid] = None
    write_demo_result(tmp_path, questions, outputs)
    breakdown(tmp_path, "--bins", "2")
    folder = tmp_path / "benchmark/analyses/breakdown/trace"
    (found,) = record(folder)
    assert found["counted"]["accuracy"] == 9 / 20
    assert bins_of(found, "think") == [(12, 101, 10, 0.9), (103, 119, 9, 0.0)]
    assert found["lengths"]["completion"]["unit"] == "words"
    assert found["lengths"]["completion"]["without"] == {
        "num_answers": 1, "num_in_form": 0, "accuracy": 0.0, "interval": [0.0, pytest.approx(0.7935, abs=1e-4)],
    }  # fmt: skip
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert "103 to 119 words" in out and "no completion" in out
    assert (folder / "shapes-think_length.png").stat().st_size > 5_000
    assert (folder / "breakdown.html").read_text().count("data:image/png") == len(list(folder.glob("*.png")))


def test_every_finished_benchmark_with_the_prompt_has_its_groups_as_in_score_json(tmp_path):
    scored = scored_rows("video_mme", 20, num_rows=30, groups={"duration": ("long", "short", "medium")},
                         failures=[Failure.NO_OUTPUT])  # fmt: skip
    result, rows = result_of(fingerprint("video_mme", num_rows=30), scored)
    rows = [row if row.output is None else replace(row, num_tokens=place) for place, row in enumerate(rows)]
    write_result(result_folder(tmp_path, "video_mme", "trace"), result, rows)
    write_score(tmp_path, "mmvu", 4, rows={"num_rows": 10})
    write_score(tmp_path, "mmvu", 7, "direct", rows={"num_rows": 10})
    (tmp_path / "benchmark/mvbench/trace").mkdir(parents=True)  # not finished
    breakdown(tmp_path)
    mmvu, video_mme = record(tmp_path / "benchmark/analyses/breakdown/trace")
    assert (mmvu["name"], video_mme["name"], mmvu["counted"]["accuracy"]) == ("mmvu", "video_mme", 0.4)
    assert (video_mme["model"], video_mme["fingerprint"]) == (result.model, result.fingerprint.sha256)
    assert list(video_mme["groups"]["duration"]) == ["short", "medium", "long"]
    for value, part in video_mme["groups"]["duration"].items():
        assert part["accuracy"] == result.groups["duration"][value].mean
    # The first 20 are right, row 20 has no output, so the tokens are 0 to 19 (right) and 21 to 29 (wrong).
    assert bins_of(video_mme, "completion") == [
        (0, 5, 6, 1.0), (6, 11, 6, 1.0), (12, 17, 6, 1.0), (18, 24, 6, 2 / 6), (25, 29, 5, 0.0),
    ]  # fmt: skip
    breakdown(tmp_path, "--prompt", "direct", "--out", tmp_path / "direct")
    assert record(tmp_path / "direct")[0]["counted"]["accuracy"] == 0.7


def write_held_out(run_dir: Path, stage: str = "rl") -> Path:
    kinds = ["multiple choice: A. left / B. right", "multiple choice", "numerical", "numerical"]
    predictions = [
        Prediction("q0", kinds[0], TRACE.format(words(3), words(5)), True, True, "A", 1.0, "sufficient", 12),
        Prediction("q1", kinds[1], TRACE.format(words(3), words(6)), True, True, "A", 0.0, "insufficient", 13),
        Prediction("q2", kinds[2], TRACE.format(words(9), words(7)), True, True, "A", 1.0, None, 20),
        Prediction("q3", kinds[3], "nothing", False, False, None, 0.0, None, 1),
    ]
    write_predictions(run_dir / f"evaluation/{stage}.parquet", predictions)
    write_evaluation(run_dir / f"evaluation/{stage}.json", evaluation(stage, 0.5, 0.6))
    return run_dir


def test_held_out_predictions_by_problem_type_kind_and_verdict(tmp_path):
    run_dir = write_held_out(tmp_path / "run")
    write_evaluation(run_dir / "evaluation/base.json", evaluation("base", 0.5, 0.6))  # of a comparison: no predictions
    breakdown(run_dir, "--held-out", "--bins", "2")
    (found,) = record(run_dir / "benchmark/analyses/breakdown/held_out")
    assert found["name"] == "rl"
    groups = {
        name: {value: part["accuracy"] for value, part in parts.items()} for name, parts in found["groups"].items()
    }
    assert groups["problem type"] == {"multiple choice": 0.5, "numerical": 0.5}
    assert groups["kind"] == {"multiple choice": 0.0, "multiple choice: A. left / B. right": 1.0, "numerical": 0.5}
    assert groups["observation"] == {"sufficient": 1.0, "insufficient": 0.0, "no verdict": 1.0, "malformed": 0.0}
    assert bins_of(found, "completion") == [(1, 12, 2, 0.5), (13, 20, 2, 0.5)]
    assert found["lengths"]["observation"]["without"]["num_answers"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no finished result with the prompt 'trace'"),
        (["--prompt", "direct"], "there are some with trace"),
        (["--held-out"], "no held-out predictions"),
        (["--bins", "0"], "--bins must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_broken_down_is_one_line(tmp_path, capsys, arguments, said):
    run_dir = write_run(tmp_path / "run")
    if arguments not in ([], ["--held-out"]):
        write_score(run_dir, "mmvu", 4, rows={"num_rows": 10})
    assert main(["breakdown", str(run_dir), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


def test_torn_predictions_are_one_line(tmp_path, capsys):
    run_dir = write_held_out(tmp_path / "run")
    path = run_dir / "evaluation/rl.parquet"
    path.write_bytes(path.read_bytes()[:200])
    assert main(["breakdown", str(run_dir), "--held-out"]) == 2
    assert "rl.parquet" in capsys.readouterr().err

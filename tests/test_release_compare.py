"""A dataset of ours beside the authors' release: figures that are known by hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from curation.checks import read_check, rows_sha256
from curation.commands import compare_release as command
from curation.errors import UserError
from curation.plots import draw_release_lengths, write_figure
from curation.release_compare import ReleaseComparison
from curation.release_import import import_release
from curation.release_view import print_comparison
from curation.report import Share
from curation.schema import question_id
from tests.folders import kept_row, rejected_row, write_folder
from tests.release_parts import COT, RL, from_row, stringified, write_parts

Row = dict[str, Any]


def named(row: Row, **changes: Any) -> Row:
    """The row under the id that its question has."""
    row = row | changes
    return row | {"id": question_id(row["path"], row["problem"], row["options"])}


def ours(number: int, rejected_by: str | None = None, **changes: Any) -> Row:
    return named(kept_row(number) if rejected_by is None else rejected_row(number, rejected_by), **changes)


def theirs(number: int, **changes: Any) -> Row:
    """A record about our question `number`."""
    return from_row(named(kept_row(number), **changes))


def run(tmp_path: Path, kept: list[Row], rejected: list[Row], cot: list[Row], *words: str | Path) -> ReleaseComparison:
    """The command, from the line to its JSON."""
    folder = write_folder(tmp_path / "ours", kept, rejected)
    parts = write_parts(tmp_path, COT, cot)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    file = tmp_path / "comparison.json"
    args = parser.parse_args(["compare-release", *map(str, (folder, *parts, *words)), "--json", str(file)])
    assert args.command(args) == 0
    return ReleaseComparison.model_validate_json(file.read_text())


def ten(tmp_path: Path, *words: str | Path) -> ReleaseComparison:
    """Ten questions: both accept 0 to 3, only we 4, only they 5 and 6, none 7 to 9. They also have 20."""
    kept = [ours(n) for n in range(5)]
    rejected = [
        ours(5, "filter:score"),
        ours(6, "verify:insufficient"),
        ours(7, "filter:score"),
        ours(8, "media:missing"),
        ours(9, "verify:unscored"),
        rejected_row(50, "source:duplicate"),
    ]
    return run(tmp_path, kept, rejected, [theirs(n) for n in (0, 1, 2, 3, 5, 6, 20)], *words)


def write_rl(tmp_path: Path, numbers: range) -> list[Path]:
    return write_parts(tmp_path, RL, [stringified(theirs(n)) for n in numbers], 3)


def test_acceptance_of_ten_questions_that_are_counted_by_hand(tmp_path):
    comparison = ten(tmp_path)
    row = comparison.acceptance[0]
    assert (row.num_both, row.num_only_ours, row.num_only_theirs, row.num_neither) == (4, 1, 2, 3)
    assert row.agree == Share.of(7, 10)
    assert row.kappa == pytest.approx(0.4)  # observed 0.7, by chance (5 * 6 + 5 * 4) / 100
    assert comparison.universe == "read"
    assert [(reason.reason, reason.num_rows) for reason in comparison.not_ours] == [
        ("filter:score", 1),
        ("verify:insufficient", 1),
    ]
    assert (comparison.ours.num_read, comparison.ours.num_accepted) == (10, 5)


def test_overlap_counts_what_only_one_side_has(tmp_path):
    comparison = ten(tmp_path)
    row = comparison.overlaps[0]
    assert (row.num_shared, row.num_only_ours, row.num_only_theirs, row.num_near) == (6, 4, 1, 0)
    assert {row.file for row in comparison.overlaps} == {"cot"}


def test_questions_that_they_never_saw_leave_the_universe_when_the_rl_file_says_so(tmp_path):
    comparison = ten(tmp_path, "--rl", *write_rl(tmp_path, range(2, 9)))
    assert comparison.universe == "read and in the RL file"
    row = comparison.acceptance[0]
    assert (row.num_both, row.num_only_ours, row.num_only_theirs, row.num_neither) == (2, 1, 2, 2)
    assert comparison.num_outside == 2  # 0 and 1
    rl = next(row for row in comparison.overlaps if row.file == "rl")
    assert (rl.num_shared, rl.num_only_ours, rl.num_only_theirs) == (7, 3, 0)
    assert comparison.rl is not None
    assert (comparison.rl.num_records, comparison.rl.num_questions, comparison.rl.num_traces) == (7, 7, None)


def test_groups_add_up_to_all_and_an_unknown_source_is_a_group(tmp_path):
    kinds = {"problem_type": "numerical", "options": [], "solution": "<answer>4</answer>", "answer": "4"}
    kept = [ours(0), ours(1, **kinds), ours(2, data_source=None), ours(3, data_source="STAR")]
    cot = [theirs(0), theirs(1, **kinds), theirs(9, data_source=None)]
    comparison = run(tmp_path, kept, [], cot)
    for rows in (comparison.acceptance, comparison.overlaps):
        for by in ("problem_type", "data_source"):
            for name in [field for field in type(rows[0]).model_fields if field.startswith("num_")]:
                assert sum(getattr(row, name) for row in rows if row.by == by) == getattr(rows[0], name)
    sources = [row.value for row in comparison.overlaps if row.by == "data_source"]
    assert sources == ["CLEVRER", "STAR", None]


def test_other_options_are_a_near_match_and_other_paths_are_none(tmp_path):
    kept = [ours(0), ours(1), ours(2)]
    cot = [
        theirs(0, options=["A. red", "B. green"]),
        theirs(1, path="./elsewhere/1.mp4"),
        theirs(2, path="clips/2.mp4"),  # the same path in another spelling: the same question
        theirs(2, options=["A. no", "B. yes"]),  # near one that is shared, so no other name for it
    ]
    row = run(tmp_path, kept, [], cot).overlaps[0]
    assert (row.num_shared, row.num_only_ours, row.num_only_theirs, row.num_near) == (1, 2, 3, 1)


def test_a_trace_of_theirs_that_we_cannot_parse_is_accepted_by_them_and_has_no_length(tmp_path):
    comparison = run(tmp_path, [ours(0), ours(1)], [], [theirs(0), theirs(1) | {"output": "torn"}])
    assert comparison.acceptance[0].num_both == 2
    assert (comparison.cot.num_questions, comparison.cot.num_traces) == (2, 1)
    assert [(reason.reason, reason.num_rows) for reason in comparison.cot.rejected] == [("filter:format", 1)]
    shared = [pair for pair in comparison.lengths if pair.scope == "shared" and pair.unit == "words"]
    assert [(pair.ours.num_rows, pair.theirs.num_rows) for pair in shared] == [(1, 1), (1, 1)]


def test_lengths_stand_side_by_side_for_every_trace_and_for_shared_questions(tmp_path):
    kept = [ours(n, observation="word " * size + "end") for n, size in ((0, 9), (1, 19), (2, 29))]
    cot = [theirs(n, observation="word " * size + "end") for n, size in ((1, 99), (2, 199), (8, 299))]
    comparison = run(tmp_path, kept, [], cot)
    found = {(pair.segment, pair.unit, pair.scope): pair for pair in comparison.lengths}
    every, shared = (found["observation", "words", scope] for scope in ("every", "shared"))
    assert (every.ours.p50, every.theirs.p50) == (20, 200)
    assert (every.ours.mean, every.theirs.mean) == (20, 200)
    assert (shared.ours.p50, shared.theirs.p50) == (25, 150)
    assert every.ours.p95 == pytest.approx(29)
    histogram = comparison.histograms[0]
    assert (sum(histogram.ours), sum(histogram.theirs)) == (3, 3)
    tokens = found["observation", "tokens", "every"]
    assert (tokens.ours.num_rows, tokens.ours.p50, tokens.theirs.p50) == (0, None, None)


def test_tokens_of_both_sides_are_counted_by_the_tokenizer_that_is_given(tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    kept = [ours(0, think="one two", think_tokens=999)]
    words = ["--tokenizer", tmp_path / "tokenizer.json"]
    comparison = run(tmp_path, kept, [], [theirs(0, think="one two three")], *words)
    pair = next(p for p in comparison.lengths if (p.segment, p.unit, p.scope) == ("think", "tokens", "every"))
    assert (pair.ours.p50, pair.theirs.p50) == (2, 3)
    assert comparison.tokenizer == ".../tokenizer.json"


def test_same_answer_is_our_scorers_opinion_and_same_text_is_to_the_letter(tmp_path):
    kept = [ours(n) for n in range(4)]
    cot = [
        theirs(0),
        theirs(1, answer="B. blue"),
        theirs(2, answer="C"),
        theirs(3, think="Based on the observations, something else.", solution="<answer>C</answer>"),
    ]
    same = run(tmp_path, kept, [], cot).same
    assert same.answer == Share.of(3, 4)
    assert same.observation == Share.of(4, 4)
    assert same.think == Share.of(3, 4)
    assert same.trace == Share.of(1, 4)
    assert same.num_other_gold == 1


def test_scores_of_both_sides_come_from_our_scorer(tmp_path):
    text = {"problem_type": "OCR", "options": [], "solution": "<answer>one two three four five</answer>"}
    kept = [ours(0, answer="one two three four five", score=1.0, **text)]
    cot = [
        theirs(0, answer="one two three four x", **text) | {"reward": 0.1},
        theirs(1, answer="one two x y z", **text),
        theirs(2),
    ]
    scores = {pair.problem_type: pair for pair in run(tmp_path, kept, [], cot).scores}
    ocr = scores["OCR"]
    assert ocr.theirs_mean == pytest.approx((0.8 + 0.4) / 2)
    assert ocr.theirs_below == Share.of(1, 2)
    assert (sum(ocr.ours), ocr.ours[9], sum(ocr.theirs), ocr.theirs[4]) == (1, 1, 2, 1)
    assert scores[None].theirs_below == Share.of(1, 3)
    assert scores["regression"].ours_mean is None


def test_their_own_import_agrees_with_them_in_everything(tmp_path):
    cot = [theirs(n) for n in range(6)]
    parts = write_parts(tmp_path / "parts", COT, cot)
    import_release(tmp_path / "ours", parts, licenses={}, progress=lambda _: None)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    words = [
        "compare-release",
        tmp_path / "ours",
        *parts,
        "--json",
        tmp_path / "c.json",
        "--plot",
        tmp_path / "a/c.png",
    ]
    args = parser.parse_args([*map(str, words)])
    assert args.command(args) == 0
    comparison = ReleaseComparison.model_validate_json((tmp_path / "c.json").read_text())
    assert comparison.same.trace == Share.of(6, 6)
    assert comparison.acceptance[0].agree.share == 1
    assert comparison.acceptance[0].kappa is None  # all accepted: chance alone explains it
    assert (tmp_path / "a/c.png").read_bytes().startswith(b"\x89PNG")
    assert "## Beside the authors' release" in (tmp_path / "ours/README.md").read_text(encoding="utf-8")


def test_result_is_kept_for_the_card_with_the_rows_it_was_measured_on(tmp_path):
    comparison = ten(tmp_path)
    folder = tmp_path / "ours"
    rows = rows_sha256(folder)
    assert read_check(folder, "release_comparison", rows, ReleaseComparison, remedy="do it again") == comparison
    assert str(tmp_path) not in (folder / "checks/release_comparison.json").read_text()


def test_nothing_in_common_and_nothing_accepted_is_null_and_still_drawn(tmp_path, capsys):
    comparison = run(tmp_path, [], [ours(0, "filter:score")], [theirs(5)])
    assert comparison.same.answer == Share.of(0, 0)
    assert comparison.scores[0].ours_mean is None
    assert comparison.lengths[0].ours.p50 is None
    assert comparison.acceptance[0].num_neither == 1
    write_figure(lambda: draw_release_lengths(comparison), tmp_path / "plot.png")
    nothing = comparison.model_copy(update={"histograms": tuple(
        pair.model_copy(update={"ours": (), "theirs": ()}) for pair in comparison.histograms
    )})  # fmt: skip
    write_figure(lambda: draw_release_lengths(nothing), tmp_path / "plot.png")


def test_files_are_written_although_nobody_reads_the_tables_to_their_end(tmp_path, monkeypatch):
    def closed(*words: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("curation.release_view.print_comparison", closed)
    with pytest.raises(BrokenPipeError):
        ten(tmp_path, "--plot", tmp_path / "c.png")
    assert ReleaseComparison.model_validate_json((tmp_path / "comparison.json").read_text())
    assert (tmp_path / "c.png").exists()


def test_tables_fit_eighty_columns_at_full_size_and_names_are_no_markup(tmp_path):
    kept = [ours(n, data_source="[red]a source with a long name[/red]" if n else "[/]") for n in range(3)]
    comparison = run(tmp_path, kept, [], [theirs(0, data_source="[/]"), theirs(1, data_source="\x1b[31mX")])
    big = json.loads(comparison.model_dump_json())
    for row in big["acceptance"] + big["overlaps"]:
        row |= {name: 162_062 for name in row if name.startswith("num_")}
        if "agree" in row:
            row["agree"] = Share.of(162_061, 162_062).model_dump()
    console = Console(width=80, record=True, force_terminal=False)
    print_comparison(ReleaseComparison.model_validate(big), console)
    shown = console.export_text()
    assert "\u2026" not in shown
    assert "[red]a source" in shown
    assert "\x1b" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_same_rows_give_the_same_bytes_and_the_picture_too(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = ten(tmp_path / "a"), ten(tmp_path / "b")
    assert one.model_dump_json() == two.model_dump_json()
    for name, comparison in (("1", one), ("2", two)):
        write_figure(lambda comparison=comparison: draw_release_lengths(comparison), tmp_path / f"{name}.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_a_question_twice_in_a_dataset_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="more than once") as error:
        run(tmp_path, [ours(1), ours(1)], [], [theirs(1)])
    assert "\n" not in str(error.value)

import json
import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.filters import Filter
from app.rows import PROBLEM_CHARS, ROWS_PER_PAGE, Dataset, NoSuchRowError
from app.search import SEARCHED, SharedScan, holds_all, search_terms
from curation.errors import RunDirectoryError
from curation.locate import LocatedDataset, locate
from curation.schema import CONFIG_FILES, REJECTED
from curation.scoring.words import words
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder

EVERY = Filter(rows="all")


def open_folder(folder: Path) -> Dataset:
    return Dataset.open(locate(str(folder)))


def open_table(folder: Path, table: pa.Table, config: str = "cot", **options) -> Dataset:
    """A dataset of one file, whatever its columns are."""
    path = folder / f"{CONFIG_FILES[config]}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return open_folder(folder)


def places(dataset: Dataset, chosen: Filter) -> list[int]:
    """All matching places in their order, page by page."""
    first = dataset.page(chosen)
    pages = [dataset.page(chosen.model_copy(update={"page": number + 1})) for number in range(first.num_pages)]
    found = [row.place for page in pages for row in page.rows]
    assert len(found) == first.num_matching
    return found


# Filters, against the plainest implementation there is


def make_rows(seed: int, num_rows: int) -> tuple[list[dict], list[dict]]:
    """Rows with every value that a column may take, nulls among them."""
    chance = random.Random(seed)

    def any_of(*values):
        return chance.choice(values)

    def changes() -> dict:
        return {
            "problem_type": any_of("OCR", "numerical", "a, b", "", None),
            "data_type": any_of("image", "video", None),
            "data_source": any_of("CLEVRER", "none", "STAR", None),
            "verdict": any_of("sufficient", "insufficient", None),
            "flags": any_of(None, [], ["leaks_answer"], ["leaks_answer", "no_opening"], ["no_opening", None]),
            "overlaps": any_of(None, [], ["MVBench"], ["MVBench", "MMVU"]),
            "observation_tokens": any_of(None, 0, 5, 150, 10_000),
            "think_tokens": any_of(None, 1, 400),
            "score": any_of(None, 0.0, 0.25, 1.0),
            "problem": any_of(None, "Which ball is RED?", "Stra\u00dfe", "x"),
            "observation": any_of(None, "a red\nball", "a ball that is red", "STRASSE (50%)"),
            "think": any_of(None, "", "it is r.d", "\u00c9cole \u03a3\u03a3"),
        }

    reasons = ("filter:score", "filter:format", "verify:insufficient", "media:missing")
    kept = [kept_row(number, **changes()) for number in range(num_rows)]
    rejected = [
        rejected_row(number, any_of(*reasons), **changes()) for number in range(num_rows, num_rows + num_rows // 2)
    ]
    return kept, rejected


MEASURES = ("observation_tokens", "think_tokens", "score")
KEPT, REJECTED_ROWS = make_rows(seed=0, num_rows=140)
ROWS = [(place, "cot" if place < len(KEPT) else "rejected", row) for place, row in enumerate([*KEPT, *REJECTED_ROWS])]


def some(*values):
    return st.lists(st.sampled_from(values), max_size=2).map(tuple)


FILTERS = st.builds(
    Filter,
    rows=st.sampled_from(["cot", "rejected", "all"]),
    problem_type=some("OCR", "a, b", "", "none", "unknown"),
    data_type=some("image", "none"),
    data_source=some("CLEVRER", "none"),
    rejected_by=some("filter:", "filter:score", "verify:", "media"),
    verdict=some("sufficient", "insufficient", "none"),
    flag=some("leaks_answer", "no_opening", "other"),
    overlap=some("any", "none", "unknown", "MMVU", "MVBench"),
    observation_tokens=st.tuples(st.none() | st.integers(0, 200), st.none() | st.integers(0, 20_000)),
    think_tokens=st.tuples(st.none() | st.integers(0, 500), st.none()),
    score=st.tuples(st.none(), st.none() | st.floats(0, 1)),
    text=st.sampled_from(
        ["", " ", "RED", "ball red", '"red ball"', "r.d", "strasse", '"', "50%", "\u03c3\u03c2 \u00e9c"]
    ),
    sort=st.sampled_from(["order", "score", "observation_tokens", "think_tokens", "problem_type", "data_source"]),
    descending=st.booleans(),
)


def holds(row: dict, text: str) -> bool:
    folded = [" ".join((row[column] or "").casefold().split()) for column in SEARCHED]
    terms = [" ".join(term.split()) for term in search_terms(text)]
    return all(any(term in each for each in folded) for term in terms)


def is_between(value, bounds) -> bool:
    low, high = bounds
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def is_one_of(value, wanted) -> bool:
    return not wanted or value in wanted or (value is None and "none" in wanted)


def has_overlap(overlaps, wanted) -> bool:
    found = {"unknown"} if overlaps is None else {"none"} if not overlaps else {"any", *overlaps}
    return not wanted or bool(found & set(wanted))


def matches(config: str, row: dict, chosen: Filter) -> bool:
    reason = row.get("rejected_by")
    return (
        chosen.rows in ("all", config)
        and all(
            is_one_of(row[name], getattr(chosen, name))
            for name in ("problem_type", "data_type", "data_source", "verdict")
        )
        and (
            not chosen.rejected_by
            or (reason is not None and any(each in (reason, reason.split(":")[0] + ":") for each in chosen.rejected_by))
        )
        and (not chosen.flag or bool(set(row["flags"] or []) & set(chosen.flag)))
        and has_overlap(row["overlaps"], chosen.overlap)
        and all(
            is_between(row[name], getattr(chosen, name)) for name in ("observation_tokens", "think_tokens", "score")
        )
        and holds(row, chosen.text)
    )


def filter_plainly(chosen: Filter) -> list[int]:
    found = [(place, row) for place, config, row in ROWS if matches(config, row, chosen)]
    if chosen.sort == "order":
        return [place for place, _ in found][:: -1 if chosen.descending else 1]
    known = [(place, row) for place, row in found if row[chosen.sort] is not None]
    unknown = [place for place, row in found if row[chosen.sort] is None]
    known.sort(key=lambda each: each[1][chosen.sort], reverse=chosen.descending)  # stable, also in reverse
    return [place for place, _ in known] + unknown


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows") / "dataset"
    for config, rows in (("cot", KEPT), ("rejected", REJECTED_ROWS)):
        stem = folder / CONFIG_FILES[config]
        stem.parent.mkdir(parents=True)
        for number, part in enumerate((rows[:61], rows[61:])):
            table = pa.Table.from_pylist(part, schema=REJECTED)
            pq.write_table(table, f"{stem}-{number:05d}-of-00002.parquet", row_group_size=13)
    return open_folder(folder)


@settings(max_examples=150)
@given(FILTERS)
def test_filter_search_and_sort_equal_a_loop_over_the_rows(dataset, chosen):
    assert places(dataset, chosen) == filter_plainly(chosen)


@settings(max_examples=60)
@given(FILTERS, st.integers(0, len(ROWS) - 1), st.integers(0, 5))
def test_neighbours_facts_and_chance_agree_with_the_list(dataset, chosen, place, seed):
    found = places(dataset, chosen)
    before, after, position, num_matching = dataset.neighbours(chosen, place)
    assert num_matching == len(found)
    if place in found:
        at = found.index(place)
        assert position == at + 1
        assert before == (found[at - 1] if at else None)
        assert after == (found[at + 1] if at + 1 < len(found) else None)
    else:
        assert (before, after, position) == (None, None, 0)
    assert dataset.facts(chosen)["place"].to_list() == sorted(found)
    drawn = dataset.random_place(chosen, seed)
    assert drawn == dataset.random_place(chosen, seed)
    assert drawn in found or (drawn is None and not found)


def test_every_row_comes_back_as_it_was_written(dataset):
    for place, config, row in ROWS:
        assert dataset.row(place) == dict.fromkeys(REJECTED.names) | row | {"config": config}


def test_every_offered_value_finds_as_many_rows_as_it_says(dataset):
    fields = {"flags": "flag", "overlaps": "overlap"}
    columns = ("problem_type", "data_type", "data_source", "verdict", "rejected_by", "flags", "overlaps")
    for column in columns:
        offered = dataset.values(column)
        assert [count for _, count in offered] == sorted((count for _, count in offered), reverse=True)
        for value, count in offered:
            chosen = Filter(**{"rows": "all", fields.get(column, column): (value,)})
            assert dataset.page(chosen).num_matching == count
    assert ("unknown", sum(row["overlaps"] is None for *_, row in ROWS)) in dataset.values("overlaps")


def test_a_null_category_and_one_named_none_are_offered_once(dataset):
    counts = dict(dataset.values("data_source"))
    assert counts["none"] == sum(row["data_source"] in (None, "none") for *_, row in ROWS)


def test_values_of_a_column_of_texts_are_refused(dataset):
    with pytest.raises(NoSuchRowError, match="think"):
        dataset.values("think")


def test_facts_count_words_as_the_statistics_do_and_leave_missing_texts_null(dataset):
    facts = dataset.facts(EVERY)
    for segment in ("observation", "think"):
        expected = [None if row[segment] is None else len(words(row[segment])) for *_, row in ROWS]
        assert facts[f"{segment}_words"].to_list() == expected
    assert facts["flags"].to_list() == [row["flags"] for *_, row in ROWS]


# Pages


def test_a_page_beyond_the_end_is_the_last_one(dataset):
    page = dataset.page(Filter(page=9_999))
    assert (page.number, page.num_pages) == (3, 3)
    assert len(page.rows) == len(KEPT) - 2 * ROWS_PER_PAGE


def test_a_filter_that_finds_nothing_has_one_empty_page(dataset):
    page = dataset.page(Filter(problem_type=("no such type",), page=4))
    assert (page.rows, page.num_matching, page.number, page.num_pages) == ([], 0, 1, 1)


@pytest.mark.parametrize("place", [-1, len(ROWS), 10**30])
def test_a_place_that_is_none_is_one_line_and_never_another_row(dataset, place):
    with pytest.raises(NoSuchRowError) as failure:
        dataset.row(place)
    assert "\n" not in str(failure.value)
    assert dataset.neighbours(EVERY, place) == (None, None, 0, len(ROWS))


# Ids


def test_an_id_that_stands_there_twice_is_found_in_the_accepted_row(tmp_path):
    folder = write_folder(
        tmp_path,
        [kept_row(1), kept_row(2, think="first"), kept_row(2, think="second")],
        [rejected_row(1, "source:duplicate"), rejected_row(3, "filter:score")],
    )
    dataset = open_folder(folder)
    ids = [f"{number:016x}" for number in (1, 2, 3)]
    assert [dataset.find(row_id) for row_id in ids] == [0, 1, 4]
    assert dataset.places(ids[0]) == [0, 3]
    found = dataset.by_ids([*ids, "none of these", ids[0]])
    assert {row_id: (row["config"], row["think"]) for row_id, row in found.items()} == {
        ids[0]: ("cot", kept_row(1)["think"]),
        ids[1]: ("cot", "first"),
        ids[2]: ("rejected", kept_row(3)["think"]),
    }


def test_a_null_id_is_shown_and_never_found(tmp_path):
    dataset = open_table(tmp_path, pa.table({"id": pa.array([None, None], pa.string()), "problem": ["a", "b"]}))
    assert [row.id for row in dataset.page(EVERY).rows] == [None, None]
    assert dataset.find("") is None
    assert dataset.find("None") is None
    assert dataset.by_ids([""]) == {}


def test_half_a_character_in_an_id_finds_nothing(dataset):
    assert dataset.find("\ud800") is None
    assert dataset.places("\ud800") == []
    assert dataset.by_ids(["\ud800"]) == {}


# Search

ODD = (
    "sS\u00df\u1e9e\u017ffF\ufb01\ufb03iI\u0130\u0131kK\u212a\u03c3\u03c2\u03a3\u01f0jJ\u030c\u1fb3\u0391\u03b9\u0345"
    "\u00e9\u00c9a.*\\[("
)


def find_text(texts: list[str | None], query: str) -> list[bool]:
    nothing = pl.Series([None] * len(texts), dtype=pl.String)
    frame = pl.DataFrame({"problem": pl.Series(texts, dtype=pl.String), "observation": nothing, "think": nothing})
    return frame.select(holds_all(search_terms(query))).to_series().to_list()


@settings(max_examples=300)
@given(st.text(ODD, max_size=12), st.text(ODD, min_size=1, max_size=4))
def test_case_is_folded_as_unicode_says(text, part):
    assert find_text([text], part) == [part.casefold() in text.casefold()]


def test_every_character_is_found_in_its_other_case():
    chars = [char for char in map(chr, range(0x20, 0x1E944)) if char.casefold() != char]
    texts = [f"<{char}>" for char in chars]
    missed = [
        char
        for char, text in zip(chars, texts, strict=True)
        if find_text([text, f"<{char.casefold()}>"], f"<{char}>") != [True, True]
    ]
    assert missed == []


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"'), min_size=1))
def test_every_character_means_itself(text):
    if search_terms(text):
        assert find_text([f"before {text} after", None, ""], text) == [True, False, False]
        assert find_text([f"before {text} after"], f'"{text}"') == [True]


def test_regular_expressions_are_no_part_of_a_search():
    assert find_text(["abc", "a.c", ".*", "a|b"], "a.c") == [False, True, False, False]
    assert find_text(["abc", ".*"], ".*") == [False, True]
    assert find_text(["a", "a|b"], "a|b") == [False, True]
    assert find_text(["x", "(?i)x"], "(?i)X") == [False, True]
    assert find_text(["a\nb", "a\\nb"], "\\n") == [False, True]


def test_words_may_stand_anywhere_and_a_phrase_together():
    texts = ["red ball", "ball, red", "reddish balls", "red\n  ball", "red big ball"]
    assert find_text(texts, "ball RED") == [True] * 5
    assert find_text(texts, '"red ball"') == [True, False, False, True, False]
    assert find_text(texts, '"red ball" big') == [False] * 5
    assert find_text(texts, "'red ball'") == [False] * 5


def test_words_may_stand_in_different_texts_and_a_phrase_in_one(tmp_path):
    rows = [kept_row(1, problem="a red", observation="ball", think=None), kept_row(2, problem="a red ball")]
    dataset = open_folder(write_folder(tmp_path, rows))
    assert places(dataset, Filter(text="red ball")) == [0, 1]
    assert places(dataset, Filter(text='"red ball"')) == [1]


def test_a_quote_that_is_never_closed_is_a_character():
    assert search_terms('say "hello') == ("say", '"hello')
    assert search_terms('5" x 6"') == ('5"', "x", '6"')
    assert search_terms('""  " " a "b  c"d A') == ("a", "b  c", "d")


def test_what_only_a_raw_completion_says_is_not_found(tmp_path):
    rejected = rejected_row(1, "filter:format", observation=None, think=None, completion="the needle")
    dataset = open_folder(write_folder(tmp_path, [], [rejected]))
    assert places(dataset, Filter(rows="all", text="needle")) == []


# Odd files


def test_the_narrowest_release_opens_and_says_what_it_lacks(tmp_path):
    dataset = open_table(tmp_path, pa.table({"id": ["a", "b"], "problem": ["p", None], "reward": [1.0, 0.5]}))
    assert dataset.num_rows == {"cot": 2, "rejected": 0}
    assert dataset.columns == ("id", "problem")
    assert dataset.row(1) == dict.fromkeys(REJECTED.names) | {"id": "b", "config": "cot"}
    assert dataset.facts(EVERY)["think_words"].to_list() == [None, None]
    assert dataset.values("verdict") == [("none", 2)]
    assert dataset.values("overlaps") == [("unknown", 2)]
    assert dataset.values("flags") == []
    said = "\n".join(dataset.notes)
    for word in ("observation", "verdict", "rejected/rejected-*.parquet", "reward", "report.json", "provenance.json"):
        assert word in said
    assert all(note.isprintable() for note in dataset.notes)


def test_rows_of_columns_that_nobody_knows_are_still_counted(tmp_path):
    dataset = open_table(tmp_path, pa.table({"x": [1, 2, 3]}), row_group_size=1)
    assert dataset.page(EVERY).num_matching == dataset.facts(EVERY).height == 3


def test_a_dataset_with_rejected_rows_only_opens(tmp_path):
    table = pa.Table.from_pylist([rejected_row(1, "filter:score")], schema=REJECTED)
    dataset = open_table(tmp_path, table, "rejected")
    assert dataset.page(Filter()).num_matching == 0
    assert [row.rejected_by for row in dataset.page(EVERY).rows] == ["filter:score"]


def test_a_dataset_without_a_row_opens(tmp_path):
    dataset = open_folder(write_folder(tmp_path))
    assert dataset.page(Filter(text="x", sort="score")).num_matching == 0
    assert dataset.facts(EVERY).height == 0
    assert dataset.random_place(EVERY, 0) is None
    assert dataset.find("a") is None
    assert dataset.values("problem_type") == []


def test_an_empty_file_among_others_moves_no_place(tmp_path):
    write_folder(tmp_path, [kept_row(1)], num_files=3)  # the second and the third are empty
    dataset = open_folder(
        write_folder(tmp_path / "more", [kept_row(2)], [rejected_row(3, "filter:score")], num_files=2)
    )
    assert [dataset.row(place)["problem_id"] for place in (0, 1)] == [2, 3]
    assert open_folder(tmp_path).row(0)["problem_id"] == 1


def test_other_widths_and_encodings_are_the_same_columns(tmp_path):
    table = pa.table(
        {
            "id": pa.array(["a", "b", None], pa.large_string()),
            "problem": pa.array(["p", "q", None], pa.string_view()),
            "problem_type": pa.array(["OCR", "OCR", None]).dictionary_encode(),
            "problem_id": pa.array([1, 2, None], pa.uint8()),
            "score": pa.array([Decimal("0.5"), Decimal("1.0"), None]),
            "observation_tokens": pa.array([150.0, float("nan"), None]),
            "think_tokens": pa.array([1, 2, None], pa.int16()),
            "media_duration_s": pa.array([2, 3, None], pa.float16()),
            "flags": pa.array([["x"], [], None], pa.large_list(pa.large_string())),
            "options": pa.array([["A", "B"], ["A", None], None], pa.list_(pa.string(), 2)),
            "overlaps": pa.array([[], None, None], pa.list_(pa.null())),
            "verdict": pa.nulls(3),
        }
    )
    dataset = open_table(tmp_path, table)
    assert dataset.row(0) == dict.fromkeys(REJECTED.names) | {
        "config": "cot",
        "id": "a",
        "problem": "p",
        "problem_type": "OCR",
        "problem_id": 1,
        "score": 0.5,
        "observation_tokens": 150,
        "think_tokens": 1,
        "media_duration_s": 2.0,
        "flags": ["x"],
        "options": ["A", "B"],
        "overlaps": [],
    }
    assert dataset.row(1)["observation_tokens"] is None, "NaN is how a float column says null"
    assert dataset.row(2) == dict.fromkeys(REJECTED.names) | {"config": "cot"}
    assert not any("another type" in note for note in dataset.notes)


def test_a_column_of_another_meaning_is_null_and_said_to_be(tmp_path):
    table = pa.table({"id": ["a"], "score": ["0.5"], "flags": ["x"], "verdict": [{"a": 1}], "think_tokens": [[1]]})
    dataset = open_table(tmp_path, table)
    row = dataset.row(0)
    assert [row[name] for name in ("score", "flags", "verdict", "think_tokens")] == [None] * 4
    said = next(note for note in dataset.notes if "another type" in note)
    assert all(name in said for name in ("score", "flags", "verdict", "think_tokens"))


def test_a_score_that_is_no_number_is_not_sorted_to_the_top(tmp_path):
    table = pa.table({"score": [float("inf"), 0.5, float("nan"), None, 1.0]})
    dataset = open_table(tmp_path, table)
    best = dataset.page(Filter(sort="score", descending=True)).rows
    assert [row.score for row in best] == [1.0, 0.5, None, None, None]
    assert dataset.page(Filter(score=(0.0, None))).num_matching == 2


def test_files_of_one_config_may_differ_in_columns_and_types(tmp_path):
    for number, table in enumerate(
        [pa.table({"id": ["a"], "score": [1], "flags": pa.nulls(1)}), pa.table({"flags": [["x"]], "id": ["b"]})]
    ):
        path = tmp_path / f"data/train-{number:05d}-of-00002.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path)
    dataset = open_folder(tmp_path)
    assert [(row.id, row.score, row.flags) for row in dataset.page(EVERY).rows] == [
        ("a", 1.0, None),
        ("b", None, ["x"]),
    ]
    assert any("score" in note and "1 of 2 files" in note for note in dataset.notes)


def test_a_missing_file_of_a_set_is_noted(tmp_path):
    write_folder(tmp_path, [kept_row(number) for number in range(4)], num_files=2)
    (tmp_path / "data/train-00001-of-00002.parquet").unlink()
    dataset = open_folder(tmp_path)
    assert dataset.num_rows["cot"] == 2
    assert any("not one complete set" in note for note in dataset.notes)


def test_folder_names_are_no_patterns(tmp_path):
    folder = tmp_path / "a[1]*{x}" / "kind=demo"
    dataset = open_folder(write_folder(folder, [kept_row(1)]))
    assert dataset.row(0)["problem_id"] == 1


def test_long_texts_come_whole_and_do_not_stay_in_memory(tmp_path):
    problems = [str(number) + "\u00e9" * 500_000 for number in range(12)]
    table = pa.table({"id": [str(number) for number in range(12)], "problem": problems, "think": problems})
    dataset = open_table(tmp_path, table, row_group_size=4)
    page = dataset.page(Filter(text="\u00c9\u00c9"))
    assert [row.problem for row in page.rows] == [problem[:PROBLEM_CHARS] for problem in problems]
    assert dataset.row(7)["problem"] == dataset.row(7)["think"] == problems[7]
    kept = dataset._index["problem"].to_arrow(compat_level=pl.CompatLevel.newest())
    assert kept.nbytes < 100_000


def test_a_folder_with_nothing_to_browse_is_one_line(tmp_path):
    (tmp_path / "rl").mkdir()
    with pytest.raises(RunDirectoryError, match=r"neither data/train-\*\.parquet nor rejected/rejected") as failure:
        open_folder(tmp_path)
    assert "\n" not in str(failure.value)


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    torn = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "text": b"this is no Parquet file at all",
        "marks only": b"PAR1" + b"\xff" * 60 + b"PAR1",
        "footer": whole[:-300] + b"\xaa" * 200 + whole[-100:],
        "head": whole[:4] + b"\xaa" * 400 + whole[404:],
    }
    path.write_bytes(torn[kind])


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "marks only", "footer", "head"])
def test_a_torn_file_is_one_line_that_names_it(tmp_path, kind):
    folder = write_folder(tmp_path, [kept_row(number) for number in range(300)], num_files=2)
    path = folder / "data/train-00001-of-00002.parquet"
    damage(path, kind)
    with pytest.raises(RunDirectoryError, match=path.name) as failure:
        open_folder(folder)
    assert "\n" not in str(failure.value)


def test_texts_that_are_torn_fail_where_they_are_read_and_the_rest_is_shown(tmp_path):
    table = pa.table({"id": ["a", "b"], "problem": ["p", "q"], "think": ["x" * 5_000, "y" * 5_000]})
    path = tmp_path / "data/train-00000-of-00001.parquet"
    path.parent.mkdir()
    pq.write_table(table, path, compression="none", use_dictionary=False)
    whole = path.read_bytes()
    at = whole.index(b"x" * 5_000)
    path.write_bytes(whole[: at - 4] + b"\xff\xff\xff\x7f" + whole[at:])  # the length of the first text
    dataset = open_folder(tmp_path)
    assert [row.id for row in dataset.page(EVERY).rows] == ["a", "b"]
    for read in (lambda: dataset.row(0), lambda: dataset.page(Filter(text="x")), lambda: dataset.facts(EVERY)):
        with pytest.raises(RunDirectoryError, match="cannot read") as failure:
            read()
        assert "\n" not in str(failure.value)


def test_a_file_that_was_replaced_shows_no_row_in_the_place_of_another(tmp_path):
    folder = write_folder(tmp_path, [kept_row(number) for number in range(3)])
    dataset = open_folder(folder)
    dataset.facts(EVERY)
    write_folder(tmp_path / "other", [kept_row(number, think="another version") for number in range(3, 9)])
    shutil.copy(tmp_path / "other/data/train-00000-of-00001.parquet", folder / "data")
    for read in (
        lambda: dataset.row(0),
        lambda: dataset.page(Filter(text="x")),
        lambda: dataset.by_ids(["0" * 15 + "1"]),
    ):
        with pytest.raises(RunDirectoryError, match="was replaced"):
            read()


def test_a_file_that_is_gone_is_one_line(tmp_path):
    folder = write_folder(tmp_path, [kept_row(1)])
    dataset = open_folder(folder)
    dataset.facts(EVERY)
    (folder / "data/train-00000-of-00001.parquet").unlink()
    with pytest.raises(RunDirectoryError, match="cannot read"):
        dataset.row(0)


# What lies beside the rows


def test_the_report_of_these_rows_is_there(tmp_path):
    folder = write_folder(tmp_path, [kept_row(1)], [rejected_row(2, "filter:score")])
    (folder / "stats").mkdir()
    (folder / "stats/report.json").write_text(measure(folder).model_dump_json())
    (folder / "stats/provenance.json").write_text(json.dumps({"source": "shapes"}))
    dataset = open_folder(folder)
    assert dataset.report == measure(folder)
    assert dataset.provenance == {"source": "shapes"}
    assert dataset.notes == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"funnel": 3}', "\x00", "[" * 100_000])
def test_a_damaged_report_or_provenance_is_a_note_and_no_value(tmp_path, text):
    folder = write_folder(tmp_path, [kept_row(1)])
    (folder / "stats").mkdir()
    for name in ("report", "provenance"):
        (folder / f"stats/{name}.json").write_text(text)
    dataset = open_folder(folder)
    assert dataset.report is None
    assert all(note.isprintable() for note in dataset.notes)
    assert sum("report.json" in note for note in dataset.notes) == 1
    if not text.startswith('{"'):
        assert dataset.provenance is None
        assert sum("provenance.json" in note for note in dataset.notes) == 1


def test_a_report_of_other_rows_is_not_shown(tmp_path):
    folder = write_folder(tmp_path, [kept_row(1)])
    (folder / "stats").mkdir()
    (folder / "stats/report.json").write_text(measure(folder).model_dump_json())
    write_folder(folder, [kept_row(1), kept_row(2)])
    dataset = open_folder(folder)
    assert dataset.report is None
    assert any("other rows" in note for note in dataset.notes)


def test_a_dataset_of_the_hub_names_its_commit(tmp_path):
    folder = write_folder(tmp_path, [kept_row(1)])
    read: list[int] = []
    dataset = Dataset.open(
        LocatedDataset("org/name@v1.0.0", folder, None, "org/name", "v1.0.0", "c0ffee"), progress=read.append
    )
    assert (dataset.shown, dataset.repo, dataset.revision, dataset.commit) == (
        "org/name@v1.0.0",
        "org/name",
        "v1.0.0",
        "c0ffee",
    )
    assert sum(read) == 1


def test_many_threads_get_the_same_answers(dataset):
    queries = [Filter(rows="all", text=text) for text in ("red", "ball", "strasse", "50%")]
    expected = [filter_plainly(chosen) for chosen in queries]
    wrong: list[object] = []

    def ask(seed: int) -> None:
        order = random.Random(seed).sample(range(len(queries)), len(queries))
        wrong.extend(place for place in order if places(dataset, queries[place]) != expected[place])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_searches_that_come_during_a_pass_share_the_next_one():
    passes = []
    began, go_on = threading.Event(), threading.Event()

    def scan(searches):
        passes.append(list(searches))
        began.set()
        assert go_on.wait(10)
        if ("broken",) in searches:
            raise RunDirectoryError("the file is gone")
        return {terms: pl.Series([len(terms[0])]) for terms in searches}

    shared = SharedScan(scan)
    with ThreadPoolExecutor(20) as users:
        first = users.submit(shared.find, ("first",))
        assert began.wait(10)
        others = [users.submit(shared.find, (f"user {number % 10}",)) for number in range(18)]
        while len(shared._next[0] if shared._next else ()) < 18:
            time.sleep(0.001)
        go_on.set()
        assert first.result()[0] == 5
        assert {each.result()[0] for each in others} == {6}
        with pytest.raises(RunDirectoryError):
            shared.find(("broken",))
    assert [len(each) for each in passes] == [1, 10, 1]
    assert shared.find(("after",))[0] == 5


def test_many_searches_at_once_find_what_each_finds_alone(dataset):
    filters = [Filter(text=text) for text in ("ball", "the", "red ball", "zebra", '"a b"', "x" * 30, "BALL", "1")]
    with ThreadPoolExecutor(8) as users:
        found = list(users.map(lambda each: dataset.page(each).num_matching, filters))
    alone = open_folder(dataset.folder)
    assert found == [alone.page(each).num_matching for each in filters]

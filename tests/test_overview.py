"""The overview counts what is there, keeps null apart, and says what it does not know."""

import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from app.address import Address
from app.filters import Filter
from app.overview import render_overview
from app.rows import Dataset
from app.tables_html import render_page_table
from curation.locate import locate
from curation.report import percent
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder
from tests.pages import HOSTILE, Page, storable

KEPT = [
    *(kept_row(number, observation_tokens=100 + 10 * number, overlaps=[]) for number in range(30)),
    *(kept_row(number, problem_type="OCR", data_type="image", data_source=None) for number in range(30, 36)),
    kept_row(36, observation_tokens=None, score=None, verdict=None, flags=["leaks_answer", "no_opening"]),
    kept_row(37, overlaps=["MVBench", "MVBench", "VSI-Bench"]),
]
REJECTED = [
    *(rejected_row(number, "filter:score", score=0.2) for number in range(100, 107)),
    *(rejected_row(number, "media:missing") for number in range(107, 110)),
    *(rejected_row(number, "verify:insufficient") for number in range(110, 114)),
    rejected_row(114, "verify:unscored", problem_type="OCR"),
]


def open_dataset(folder):
    return Dataset.open(locate(str(folder)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("dataset"), KEPT, REJECTED, num_files=2)
    (folder / "stats").mkdir()
    (folder / "stats" / "report.json").write_text(measure(folder).model_dump_json())
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return open_dataset(folder)


def panels(markup):
    """Title -> what can be read in the panel."""
    found = re.findall(r'<section class="vp vp-panel"><h3>(.*?)</h3>(.*?)</section>', markup, re.DOTALL)
    assert len(found) == markup.count("vp-panel")
    return {Page(title).text: Page(body).text for title, body in found}


def tiles(markup):
    return dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", markup))


def test_rows_are_counted_accepted_and_rejected_whichever_a_list_shows(dataset):
    for rows in ("cot", "rejected", "all"):
        found = tiles(render_overview(dataset, Filter(rows=rows, page=3, sort="score", descending=True)))
        assert found == {"rows": "53", "accepted": "38", "rejected": "15", "accepted of all": percent(38 / 53)}


def test_categories_are_shares_of_all_that_were_read_and_null_is_its_own(dataset):
    found = panels(render_overview(dataset, Filter()))
    read = Counter(row["problem_type"] for row in (*KEPT, *REJECTED))
    kept = Counter(row["problem_type"] for row in KEPT)
    for kind, total in read.items():
        assert f"{kind}{kept[kind]} of {total} ({percent(kept[kind] / total)})" in found["Problem types"]
    assert "not recorded6 of 6 (100.0 %)" in found["Collections"]


@pytest.mark.parametrize("chosen", [Filter(), Filter(problem_type=("multiple choice", "OCR"))])
def test_funnel_is_the_same_from_the_report_and_counted(dataset, chosen):
    text = panels(render_overview(dataset, chosen))["From read to accepted"]
    for line in (
        "read53 of 53 (100.0 %)",
        f"left after checking the media file50 of 53 ({percent(50 / 53)})",
        f"left after filtering the trace43 of 53 ({percent(43 / 53)})",
        f"left after judging the observation38 of 53 ({percent(38 / 53)})",
        "the answer scores too low filter:score7",
        "there is no such media file media:missing3",
        "the judge gave no verdict verify:unscored1",
    ):
        assert line in text
    assert ("stats/report.json" in text) == (chosen == Filter())


def test_a_filter_counts_what_matches_and_says_that_it_does(dataset):
    markup = render_overview(dataset, Filter(problem_type=("OCR",)))
    assert tiles(markup)["rows that match"] == "7"
    assert "Survival" not in markup
    assert "multiple choice" not in panels(markup)["Problem types"]


def test_verdicts_leave_null_out_of_the_shares(dataset):
    text = panels(render_overview(dataset, Filter()))["Verdicts"]
    assert f"sufficient37 of 41 ({percent(37 / 41)})" in text
    assert f"insufficient4 of 41 ({percent(4 / 41)})" in text
    assert "no verdict12" in text


def test_scores_and_lengths_count_every_row_that_has_one(dataset):
    found = panels(render_overview(dataset, Filter()))
    assert "accepted: 37" in found["Scores"]
    assert "Without a value: 1 accepted, 3 rejected." in found["Scores"]
    lengths = found["Length of observation, tokens"]
    assert "accepted: 37" in lengths
    inside = sum(128 <= (row["observation_tokens"] or 0) <= 320 for row in KEPT)
    assert f"{percent(inside / 37)} of 37 inside the window" in lengths
    assert "window of the RL length reward: 128 to 320 tokens" in lengths
    assert "window" not in found["Length of observation, words"]
    assert "accepted: 38" in found["Length of think, words"]


def test_overlaps_tell_not_computed_from_not_found(dataset):
    text = panels(render_overview(dataset, Filter()))["Overlaps with benchmarks"]
    assert "MVBench1 of 53" in text
    assert "VSI-Bench1 of 53" in text
    assert "no overlap30 of 53" in text
    assert "not computed22 of 53" in text


def test_flags_count_rows(dataset):
    text = panels(render_overview(dataset, Filter()))["Flags"]
    assert "leaks_answer1 of 53" in text
    assert "no_opening1 of 53" in text


def test_survival_stands_beside_the_papers(dataset):
    text = panels(render_overview(dataset, Filter()))["Survival beside the paper's"]
    assert "type: multiple choice32 of 46" in text
    assert "79.4 %" in text  # VideoP2R: 134,001 of 168,769
    assert "all38 of 53" in text


def test_bars_lead_to_their_rows_within_the_filter(dataset):
    rows = Address(tab="browse")
    markup = render_overview(dataset, Filter(data_type=("video",)), lambda chosen: rows.link(filter=chosen))
    led = {Address.from_query(href)[0].filter for href in Page(markup).attributes("href")}
    assert Filter(rows="all", data_type=("video",), problem_type=("multiple choice",)) in led
    assert Filter(rows="all", data_type=("video",), rejected_by=("filter:score",)) in led
    assert Filter(rows="all", data_type=("video",), verdict=("none",)) in led
    assert Filter(rows="all", data_type=("video",), overlap=("unknown",)) in led
    for chosen in led:
        assert dataset.page(chosen).num_matching > 0


def test_number_of_a_bar_is_the_number_of_rows_behind_its_link(dataset):
    rows = Address(tab="browse")
    markup = render_overview(dataset, Filter(), lambda chosen: rows.link(filter=chosen))
    bar = r'<a data-go href="([^"]*)"><bdi dir="auto">.*?</bdi></a></span>.*?"vp-figure">([\d,]+)(?: of ([\d,]+))?'
    bars = re.findall(bar, markup)
    assert len(bars) > 10
    for href, count, total in bars:
        address, notes = Address.from_query(href.replace("&amp;", "&"))
        assert notes == []
        assert dataset.page(address.filter).num_matching in {int(count), int(total or count)}


def test_filter_that_matches_nothing_says_so(dataset):
    markup = render_overview(dataset, Filter(problem_type=("no such type",)))
    assert "No row matches" in markup
    assert not panels(markup)


def write_without(folder, *columns):
    """The files without some columns, as another release has them."""
    for path in folder.glob("*/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([name for name in columns if name in table.column_names]), path)
    return folder


def test_missing_columns_are_said_plainly_and_no_chart_is_made_up(tmp_path):
    names = ("verdict", "score", "flags", "overlaps", "observation_tokens", "think_tokens", "data_source")
    folder = write_without(write_folder(tmp_path, KEPT, REJECTED), *names)
    found = panels(render_overview(open_dataset(folder), Filter()))
    for title, name in (
        ("Verdicts", "verdict"), ("Scores", "score"), ("Flags", "flags"), ("Overlaps with benchmarks", "overlaps"),
        ("Length of think, tokens", "think_tokens"), ("Collections", "data_source"),
    ):  # fmt: skip
        assert found[title] == f"This dataset has no column {name}, so nothing is known of it."
    assert "accepted: 38" in found["Length of think, words"]


def test_columns_that_are_all_null_were_not_measured(tmp_path):
    nothing = dict.fromkeys(("verdict", "score", "flags", "overlaps", "observation_tokens", "think_tokens"))
    folder = write_folder(tmp_path, [kept_row(number, **nothing) for number in range(4)])
    found = panels(render_overview(open_dataset(folder), Filter()))
    assert "Not measured for any of these rows." in found["Scores"]
    assert "Not measured for any of these rows." in found["Length of think, tokens"]
    assert "not computed4 of 4" in found["Overlaps with benchmarks"]
    assert "no verdict4" in found["Verdicts"]


def test_dataset_of_accepted_rows_alone_has_an_overview(tmp_path):
    folder = write_folder(tmp_path, KEPT)
    for path in (*folder.glob("rejected/*"), *folder.glob("rl/*")):
        path.unlink()
    markup = render_overview(open_dataset(folder), Filter())
    assert tiles(markup)["accepted"] == "38"
    assert "report.json" in markup  # the note that there is none
    assert "Survival" not in markup


@pytest.mark.parametrize("lengths", [[0], [1], [5, 5, 5], [1_000_000], [*range(200), 10**9]])
def test_any_lengths_can_be_drawn(tmp_path, lengths):
    rows = [kept_row(number, observation_tokens=length) for number, length in enumerate(lengths)]
    text = panels(render_overview(open_dataset(write_folder(tmp_path, rows)), Filter()))[
        "Length of observation, tokens"
    ]
    assert f"accepted: {len(lengths)}" in text
    if lengths[-1] == 10**9:
        assert "The last bar holds all that is longer." in text


def test_hostile_values_are_text(tmp_path):
    texts = [text for text in HOSTILE if "\ud800" not in text]  # no Parquet file holds one
    rows = [
        kept_row(
            number, data_source=text, problem_type=text, data_type=text, verdict=text, flags=[text], overlaps=[text]
        )
        for number, text in enumerate(texts)
    ]
    rejected = [rejected_row(100 + number, f"filter:{text}") for number, text in enumerate(texts)]
    dataset = open_dataset(write_folder(tmp_path, rows, rejected))
    page = Page(render_overview(dataset, Filter(), lambda chosen: Address(filter=chosen).link()))
    plain = open_dataset(write_folder(tmp_path / "plain", [kept_row(1, flags=["a"], overlaps=["b"])], REJECTED))
    shapes = Page(render_overview(plain, Filter(), lambda chosen: Address(filter=chosen).link())).shapes
    assert page.shapes - shapes <= {
        ("bdi", ("class", "title")),
        ("details", ()),
        ("summary", ()),
        ("small", ("class",)),
    }
    assert all(href.startswith("?") for href in page.attributes("href"))
    for text in texts:
        assert page.text.count(storable(text)) >= 5


@pytest.mark.parametrize(
    "reasons",
    [["filter:" + "x" * 200_000], ["line\n" * 20_000], [f"filter:reason {number}" for number in range(2_000)]],
)
def test_no_value_of_a_dataset_makes_a_page_endless(tmp_path, reasons):
    rejected = [
        rejected_row(1_000 + place, reason, data_source=reason, flags=[reason]) for place, reason in enumerate(reasons)
    ]
    dataset = open_dataset(write_folder(tmp_path / "hostile", [kept_row(1)], rejected))
    overview = render_overview(dataset, Filter(rows="all"))
    unfolded = re.sub(r"<details.*?</details>", "", overview, flags=re.DOTALL)
    assert len(Page(unfolded).text) < 20_000
    listed = render_page_table(dataset.page(Filter(rows="rejected")), lambda row: "?")
    assert len(Page(listed).text) < 40_000

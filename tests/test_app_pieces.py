"""Whatever a dataset holds, a page shows it and does nothing else; and what is shown is right."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.charts import MOST_BARS, RL_WINDOWS, render_length
from app.differences import find_differences
from app.markup import MOST_MARKED, fill, link, visible
from app.pieces import (
    Bar,
    Series,
    read_style,
    render_bars,
    render_difference,
    render_histogram,
    render_notes,
    render_page_table,
    render_trace,
)
from app.reasons import reason_in_words
from curation.errors import MediaError
from curation.schema import REJECTED
from curation.stats import RL_WINDOWS as CURATION_WINDOWS
from tests.folders import kept_row, rejected_row
from tests.pages import HOSTILE, Page, storable

anything = st.one_of(
    st.text(st.characters()), st.sampled_from(HOSTILE), st.lists(st.sampled_from(HOSTILE)).map("".join)
)
BLIND_COLUMNS = ("data_type", "problem", "options", "solution", "observation")


def full_row(text=None):
    """A rejected row that has everything; with `text`, that text in each of its columns that are text."""
    row = {
        **kept_row(1, flags=["leaks_answer"], overlaps=["MVBench"]),
        "config": "rejected",
        "rejected_by": "filter:score",
        "detail": "score 0 is below 0.6",
        "completion": "<observation>a</observation> <think>b</think><answer>B</answer>",
    }
    if text is None:
        return row
    texts = {name: text for name, value in row.items() if isinstance(value, str) and name != "config"}
    return {**row, **texts, "options": [text, f"B. {text}"], "flags": [text], "overlaps": [text], "unheard_of": text}


# Text into HTML


@given(anything)
def test_what_is_read_is_the_text_to_the_character(text):
    assert Page(visible(text)).text == storable(text)


@given(anything)
def test_an_attribute_ends_where_its_text_does(text):
    page = Page(fill('<p title="{}">x</p>', text))
    assert page.shapes == {("p", ("title",))}
    unseen = re.sub(r"[\x00-\x1f]", "", page.attributes("title")[0].replace("\ufffd", ""))
    assert all(char in text for char in unseen)
    assert len(page.attributes("title")[0]) == len(text)


@given(anything, anything)
def test_a_value_is_never_read_as_a_template_nor_escaped_twice(first, second):
    inner = fill("<b>{}</b>", first)
    page = Page(fill("<p>{inner}{}</p>{{}}", second, inner=inner))
    assert page.text == storable(first) + storable(second) + "{}"
    assert [tag for tag, _ in page.elements if tag in ("p", "b")] == ["p", "b"]


def test_slots_may_be_in_turn_by_place_or_by_name():
    assert fill("{0}{1}{0}", "a", "b") == "aba"
    assert fill("{:.1f}{name:>3}", 0.25, name="x") == "0.2  x"


def test_null_is_never_shown_as_the_word_none():
    with pytest.raises(TypeError, match="no value"):
        fill("<p>{}</p>", None)


def test_direction_override_is_set_apart_and_named():
    page = Page(visible("invoice\u202egnp.exe"))
    assert page.elements == [("bdi", {"class": "vp-char", "title": "U+202E"})]
    assert page.texts == ["invoice", "\u202e", "gnp.exe"]


@pytest.mark.parametrize("char", ["\x00", "\r", "\x1b", "\u200b", "\u00ad", "\ud800", "\U000e0041", "\u2028"])
def test_what_cannot_be_seen_is_shown_by_its_number(char):
    assert Page(visible(f"a{char}b")).attributes("title") == [f"U+{ord(char):04X}"]


@pytest.mark.parametrize(
    "text", ["tab\t line\n windows\r\n", "\u0645\u0631\u062d\u0628\u0627", "\U0001f468\u200d\U0001f469"]
)
def test_ordinary_text_is_not_cluttered_with_numbers(text):
    assert Page(visible(text)).elements == []


def test_a_flood_of_unseen_characters_is_counted_and_does_not_swell_the_page():
    text = "a\u202e" * 500_000
    page = visible(text)
    assert len(page) < 2 * len(text)
    assert "500,000 characters that cannot be seen" in page
    assert Page(page).text.endswith("a\ufffd" * 500_000)
    assert "characters that cannot be seen" not in visible("\u202e" * MOST_MARKED)


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:x", "java\nscript:x", "vbscript:x",
        "data:text/html,x", "//evil.example", "/\\evil.example", "\\\\evil", "https://e\u202ex", "/a b", "", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_a_link_that_leads_elsewhere_than_it_may_is_only_text(href):
    page = Page(link(href, "here"))
    assert page.text == "here"
    assert page.attributes("href") == []


@pytest.mark.parametrize("href", ["?id=1&p=2", "/row/cot/1", "#x", "https://huggingface.co/datasets/a/b"])
def test_a_link_of_ours_or_of_the_web_is_one(href):
    assert Page(link(href, "here")).attributes("href") == [href]


# The page of a row


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("blind", [False, True])
def test_no_element_attribute_or_class_comes_from_the_data(text, blind):
    plain = Page(render_trace(full_row("word"), blind=blind))
    page = Page(render_trace(full_row(text), blind=blind))
    new = {shape for shape in page.shapes - plain.shapes if shape != ("bdi", ("class", "title"))}
    assert not new
    assert page.classes() <= plain.classes() | {"vp-char", "vp-tag", "vp-note", "vp-is-gold", "vp-is-answered"}
    assert page.attributes("href") == plain.attributes("href") == []


@settings(max_examples=60)
@given(anything)
def test_every_text_of_a_row_can_be_read_whole(text):
    page = Page(render_trace(full_row(text))).text
    # Stripped as the gold answer; with its tags taken off where it has any. The others stand as they are.
    assert page.count(storable(text)) >= 12


def test_a_text_of_a_megabyte_is_all_there():
    text = " ".join(f"word{number}" for number in range(120_000))
    page = Page(render_trace(kept_row(1, observation=text)))
    assert text in page.texts
    assert f"{len(text):,} characters" in page.text
    assert "vp-long" in page.classes()


def test_a_text_of_many_short_lines_scrolls_too():
    assert "vp-long" in Page(render_trace(kept_row(1, think="\n".join("abc" for _ in range(200))))).classes()


@pytest.mark.parametrize("name", sorted({*REJECTED.names, "config", "unheard_of"} - {*BLIND_COLUMNS}))
def test_blind_page_does_not_depend_on_anything_but_what_the_judge_saw(name):
    row = full_row()
    before = render_trace(row, blind=True)
    value = row.get(name)
    changed = ["telltale"] if isinstance(value, list) else 0.123 if isinstance(value, int | float) else "telltale"
    for other in (changed, None):
        assert (
            render_trace({**row, name: other}, media_html="<b>telltale</b>", links=[("telltale", "/x")], blind=True)
            == before
        )


def test_blind_page_shows_what_the_judge_saw():
    row = full_row()
    page = Page(render_trace(row, blind=True))
    for text in (row["problem"], *row["options"], row["observation"], row["data_type"]):
        assert text in page.texts
    assert "B" in page.texts
    assert "gold" in page.text


def option_marks(markup):
    """Option -> its marks."""
    items = re.findall(r"<li class=\"([^\"]*)\"><span dir=\"auto\">(.*?)</span>", markup)
    return {text: set(css.split()) for css, text in items}


def test_gold_and_answered_option_are_told_apart():
    marks = option_marks(render_trace(kept_row(1, answer="C", score=0.0)))
    assert marks == {"A. red": set(), "B. blue": {"vp-is-gold"}, "C. green": {"vp-is-answered"}}


@pytest.mark.parametrize("answer", ["B", "b", "(B)", "blue", "B. blue", "The answer is B."])
def test_answer_is_found_among_the_options_as_the_scorer_finds_it(answer):
    assert option_marks(render_trace(kept_row(1, answer=answer)))["B. blue"] == {"vp-is-gold", "vp-is-answered"}


def test_gold_that_names_no_option_is_said_so():
    page = Page(render_trace(kept_row(1, solution="<answer>purple</answer>")))
    assert "vp-is-gold" not in page.classes()
    assert "It names none of the options." in page.text
    assert "purple" in page.texts


@pytest.mark.parametrize("options", [["x" * 5_000] * 26, ["x"] * 5_000, [""], ["A", "A", "A"]])
def test_absurd_options_are_all_shown(options):
    page = Page(render_trace(kept_row(1, options=options)))
    assert sum(tag == "li" for tag, _ in page.elements) == len(options)


def test_null_is_said_in_words_and_never_as_a_zero():
    page = Page(render_trace(dict.fromkeys(REJECTED.names) | {"config": "cot"})).text
    for words in ("no verdict", "not computed", "not recorded", "no question was recorded"):
        assert words in page
    assert not re.search(r"\b(0|None|null|nan)\b", page)
    assert "not scored" in Page(render_trace(kept_row(1, score=None))).text
    assert "not measured" in Page(render_trace(kept_row(1, think_tokens=None))).text


def test_row_without_any_column_is_a_page():
    assert "no question was recorded" in Page(render_trace({})).text
    assert "no observation to label" in Page(render_trace({}, blind=True)).text


def test_overlap_that_was_looked_for_and_not_found_is_not_the_same_as_not_computed():
    assert "not computed" not in render_trace(kept_row(1, overlaps=[]))
    assert "overlaps MVBench" in Page(render_trace(kept_row(1, overlaps=["MVBench"]))).text


@pytest.mark.parametrize(
    ("rejected_by", "words"),
    [
        ("filter:score", "the answer scores too low"),
        ("media:missing", "there is no such media file"),
        ("verify:insufficient", "the judge finds that"),
        ("filter:a_new_rule", "a new rule"),
        ("odd", "no reason was recorded"),
    ],
)
def test_rejection_is_said_in_words_beside_its_name(rejected_by, words):
    page = Page(render_trace({**rejected_row(1, rejected_by), "config": "rejected"})).text
    assert words in page
    assert rejected_by in page
    assert "why" in page  # the detail


@pytest.mark.parametrize("reason", re.findall(r"\w+", MediaError.__doc__.partition("Reasons:")[2]))
def test_every_reason_that_media_can_fail_for_has_words(reason):
    assert reason_in_words(f"media:{reason}") != reason.replace("_", " ")


def test_completion_that_is_no_trace_lies_open_with_its_tags_set_off():
    completion = "<observation>a <think>b</think> <answer>c"
    row = rejected_row(1, "filter:format", completion=completion, observation=None, think=None, answer=None)
    page = Page(render_trace(row))
    assert ("details", {"class": "vp-more", "open": None}) in page.elements
    assert sum(attrs.get("class") == "vp-tag" for _, attrs in page.elements) == 4
    assert completion in page.text


def test_the_three_blocks_differ_by_more_than_colour():
    markup, style = render_trace(kept_row(1)), read_style()
    for name, border in (("observation", "solid"), ("think", "dashed"), ("answer", "double")):
        assert re.search(rf'class="vp-block vp-{name}"><header><h4>{name.capitalize()}</h4>', markup)
        assert re.search(rf"\.vp-block\.vp-{name} {{ border-left: \dpx {border}", style)


@pytest.mark.parametrize(
    ("num_tokens", "place"),
    [(0, "below"), (127, "below"), (128, "inside"), (320, "inside"), (321, "above"), (10**9, "above")],
)
def test_both_ends_of_the_window_belong_to_it(num_tokens, place):
    markup = render_length("observation", num_tokens, (128, 320))
    assert f"tokens, {place} the RL window 128\u2013320" in Page(markup).text
    assert all(0 <= float(share) <= 100 for share in re.findall(r"(?:left|width):([\d.]+)%", markup))


def test_windows_are_those_of_curation():
    assert RL_WINDOWS == CURATION_WINDOWS


# Charts


def test_bars_beyond_the_first_are_folded_and_not_lost():
    bars = [(f"source {number}", number) for number in range(40)]
    page = Page(render_bars("Sources", bars))
    assert f"{40 - MOST_BARS} more" in page.text
    assert all(f"source {number}" in page.texts for number in range(40))


def test_bar_says_its_share_and_a_total_of_zero_has_none():
    assert "1 of 4 (25.0 %)" in Page(render_bars("t", [("a", 1, 4)])).text
    assert "0 of 0 (-)" in Page(render_bars("t", [("a", 0, 0)])).text
    assert "no rows" in Page(render_bars("t", [])).text


def test_bar_of_what_was_not_measured_looks_different():
    assert "vp-null" in Page(render_bars("t", [Bar("no verdict", 3, is_null=True)])).classes()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=60), st.integers(1, 500))
def test_histogram_stays_in_its_frame_and_counts_every_row(bins, bin_width):
    series = [Series("accepted", tuple(a for a, _ in bins)), Series("rejected", tuple(b for _, b in bins))]
    markup = render_histogram("t", series, bin_width=bin_width, unit="tokens", window=(128, 320))
    if not any(map(sum, bins)):
        assert "Not measured" in markup
        return
    page = Page(markup)
    for tag, attrs in page.elements:
        if tag == "rect" and "x" in attrs:
            top, height = float(attrs["y"]), float(attrs["height"])
            assert -0.01 <= top <= top + height <= 100.01
            assert 0 <= float(attrs["x"]) <= max(100, len(bins))
    assert f"accepted: {sum(a for a, _ in bins):,}" in page.text
    assert f"rejected: {sum(b for _, b in bins):,}" in page.text
    highest = max(map(sum, bins))
    tallest = max(range(len(bins)), key=lambda place: sum(bins[place]))
    rects = [attrs for tag, attrs in page.elements if tag == "rect" and attrs.get("x") == f"{tallest + 0.04:.2f}"]
    assert sum(float(attrs["height"]) for attrs in rects if "vp-window" not in attrs["class"]) == pytest.approx(
        100, abs=0.01
    )
    assert f"{highest:,}" in page.texts


@pytest.mark.parametrize("text", HOSTILE)
def test_titles_and_labels_of_charts_are_text(text):
    markup = render_bars(text, [Bar(text, 1, 2, href=text)], text) + render_histogram(
        text, [Series(text, (1,))], bin_width=1, unit=text, note=text
    )
    plain = render_bars("a", [Bar("a", 1, 2, href="a")], "a") + render_histogram(
        "a", [Series("a", (1,))], bin_width=1, unit="a", note="a"
    )
    assert Page(markup).shapes - {("bdi", ("class", "title"))} <= Page(plain).shapes


# Lists and differences


@dataclass(frozen=True)
class FakeRow:
    """As app.rows.Summary; a list only reads these."""

    id: str = "1"
    config: str = "cot"
    place: int = 0
    problem: str | None = "Which?"
    problem_type: str | None = "OCR"
    data_type: str | None = "image"
    data_source: str | None = "TextVQA"
    score: float | None = 0.5
    verdict: str | None = "sufficient"
    rejected_by: str | None = None
    observation_tokens: int | None = 150
    think_tokens: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakePage:
    rows: list[FakeRow]


def test_every_row_is_a_link_and_the_open_one_is_marked():
    rows = [FakeRow(place=place) for place in range(3)]
    page = Page(render_page_table(FakePage(rows), lambda row: f"?place={row.place}", selected=1))
    assert page.attributes("href") == ["?place=0", "?place=1", "?place=2"]
    assert page.attributes("aria-current") == ["false", "true", "false"]


def test_page_without_rows_says_what_to_do():
    assert "No row matches" in render_page_table(FakePage([]), lambda row: "?")


def test_row_that_nothing_is_known_of_is_still_a_line():
    nothing = FakeRow(None, "rejected", 0, *[None] * 10)
    page = Page(render_page_table(FakePage([nothing]), lambda row: "?")).text
    assert "no question was recorded" in page
    assert "no reason recorded" in page
    assert "None" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_of_the_list_is_text_and_its_address_stays_one_attribute(text):
    row = FakeRow(text, "rejected", 0, text, text, text, text, 0.1, text, text, 1, 1, (text,))
    plain = FakeRow("a", "rejected", 0, "a", "a", "a", "a", 0.1, "a", "a", 1, 1, ("a",))
    pages = [Page(render_page_table(FakePage([each]), lambda row: f"?id={row.id}")) for each in (row, plain)]
    assert pages[0].shapes - {("bdi", ("class", "title"))} == pages[1].shapes
    assert storable(text) in pages[0].text


@settings(max_examples=60)
@given(anything, anything)
def test_both_sides_of_a_difference_can_be_read_whole(left, right):
    page = Page(render_difference(find_differences(left, right), "old", "new")).text
    assert page == f"old{storable(left)}new{storable(right)}"


def test_difference_is_marked_by_element_and_not_by_colour_alone():
    page = Page(render_difference(find_differences("a red ball", "a blue ball"), "old", "new"))
    assert {tag for tag, _ in page.elements} >= {"del", "ins"}


def test_notes_are_a_list_or_nothing():
    assert render_notes([]) == ""
    assert Page(render_notes(["a < b"])).texts == ["a < b"]


# The style sheet


def test_style_asks_nothing_of_any_other_machine():
    style = read_style()
    assert style.isascii()
    assert not re.search(r"url\(|@import|https?:|@font-face|expression\(", style)


def test_every_colour_of_the_light_theme_has_a_dark_one():
    style = read_style()
    light, dark = (
        set(re.findall(r"(--vp-[a-z-]+):", block)) for block in re.findall(r"(?:root|dark) {(.*?)}", style, re.S)
    )
    assert light == dark
    assert set(re.findall(r"var\((--vp-[a-z-]+)", style)) <= light


def test_pieces_are_strings_that_need_no_more_escaping():
    piece = render_trace(kept_row(1))
    assert isinstance(piece, str)
    assert f"<div>{piece}</div>" == fill("<div>{}</div>", piece)

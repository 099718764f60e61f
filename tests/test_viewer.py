"""The viewer in a real browser: what a reader sees, what a link restores, and that hostile text does nothing."""

import json
import re
import time
from fractions import Fraction
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl
import pytest
from selenium.webdriver.common.keys import Keys

from app.labels import LabelStore
from app.opened import open_viewer
from curation.schema import REJECTED, ROLLOUT
from curation.shards import write_rows
from tests.browser import Browser, find_browser
from tests.clips import frame_number, write_video
from tests.folders import kept_row, rejected_row, write_folder
from tests.viewed import HOSTILE, HOSTILE_ID, NUM_KEPT, hostile_row, open_world, running, write_world

pytestmark = pytest.mark.timeout(120)

# Begins of frames: as a screen is recorded, some last 11 ms and some 90.
UNEVEN_MS = [45 * (number // 2) + 11 * (number % 2) for number in range(90)]

# How many elements of ours could run something.
_FOREIGN = """
    const marked = '[onerror], [onload], [onmouseover], a[href^="javascript:" i], img[src=x], script, iframe, style';
    return ['#top', '#list', '#main', '#filters'].reduce(
      (num, place) => num + (document.querySelector(place)?.querySelectorAll(marked).length ?? 0), 0);
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    find_browser()
    root = tmp_path_factory.mktemp("viewed")
    write_world(root)
    return root


@pytest.fixture(scope="module")
def address(world):
    with running(open_world(world)) as address:
        yield address


@pytest.fixture(scope="module")
def window():
    find_browser()
    with Browser.start() as browser:
        yield browser


@pytest.fixture
def browser(window):
    """The one window; after each test: nothing went beyond this machine, nothing was red, nothing hostile ran."""
    window.resize(1280, 900)
    window.read_logs()
    window.console.clear()
    window.requests.clear()
    yield window
    assert window.script("return window.__pwned") is None
    assert window.foreign_requests() == []
    assert window.requests
    assert window.console_errors() == []
    window.script("localStorage.clear()")  # the labeller's name


def place_id(number):
    return f"{number:016x}"


def query(browser):
    return {key: values[0] for key, values in parse_qs(urlsplit(browser.address).query).items()}


def shown_ids(browser):
    return [
        parse_qs(urlsplit(link.get_attribute("href")).query)["id"][0] for link in browser.find_all("#list .row-link")
    ]


def wait_for_row(browser, number):
    browser.wait_for_text("#main .vp-id", place_id(number))


# Overview


def test_the_overview_counts_and_a_bar_leads_to_its_rows(browser, address):
    browser.open(address)
    assert browser.wait_for_text("#main .vp-tiles", "accepted")
    tiles = browser.text("#main .vp-tiles")
    assert f"{NUM_KEPT + 1}" in tiles and "41" in tiles
    browser.script("[...document.querySelectorAll('#main a')].find(a => a.textContent == 'numerical').click()")
    browser.wait_for_text("#list .viewer-count", "40 accepted and rejected rows match")
    assert query(browser)["type"] == "numerical"


def test_the_overview_follows_the_filter_and_counts_what_changed_between_versions(browser, address):
    browser.open(f"{address}?type=numerical")
    browser.wait_for_text("#main .vp-tiles", "40")
    assert "rows that match" in browser.text("#main .vp-tiles")
    assert "type: numerical" in browser.text("#top")
    assert place_id(3) in browser.wait_for_text("#main .viewer-changes", "From ")
    first = [cell.text for cell in browser.find_all("#main .viewer-changes tbody tr:first-child td")]
    # The other version has row 0 as a rejected duplicate only, and tells other stories of row 3 and the hostile one.
    assert first[:4] == ["0", "0", "158", "3"]


def test_behind_a_proxy_that_rewrites_the_host_every_click_is_answered(browser, world):
    def proxy(app):
        async def rewritten(scope, receive, send):
            others = [each for each in scope.get("headers", ()) if each[0] != b"host"]
            await app({**scope, "headers": [*others, (b"host", b"127.0.0.1:1")]}, receive, send)

        return rewritten

    with running(open_world(world), proxy=proxy, allowed_hosts=["localhost"]) as address:
        browser.open(f"{address.replace('127.0.0.1', 'localhost')}?tab=browse")
        browser.click("#list .row-link[aria-current=false]")
        browser.wait_for_text("#main .viewer-where", "row 2 of")
        assert browser.address.startswith("http://localhost:")


# Browse


def test_a_filter_is_chosen_from_its_control(browser, address):
    browser.open(f"{address}?tab=browse")
    browser.wait_for_text("#list .viewer-count", f"{NUM_KEPT + 1} accepted")
    browser.click("#filter-data_type input")
    browser.script(
        "[...document.querySelectorAll('[role=option]')].find(o => o.textContent.includes('image'))"
        ".dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))"
    )
    browser.wait_for_text("#list .viewer-count", "29 accepted")
    assert query(browser)["data"] == "image"
    browser.script("document.querySelector('#rows input[value=rejected]').click()")
    browser.wait_for_text("#list .viewer-count", "0 rejected")
    assert "No row matches this filter" in browser.text("#main")


@pytest.mark.parametrize("control", ["rejected_by", "verdict"])
def test_what_a_list_promises_is_found_whichever_rows_are_shown(browser, address, control):
    browser.open(f"{address}?tab=browse")
    browser.wait_for_text("#list .viewer-count", f"{NUM_KEPT + 1} accepted")
    browser.click(f"#filter-{control} input")
    chosen = browser.script(
        "const options = [...document.querySelectorAll('[role=option]')];"
        "const chosen = options.find((each) => !each.textContent.includes('accepted'));"
        "chosen.dispatchEvent(new MouseEvent('mousedown', {bubbles: true})); return chosen.textContent"
    )
    promised = re.search(r"\((\d+) rejected\)", chosen)[1]
    browser.wait_for_text("#list .viewer-count", f"{promised} accepted and rejected")
    assert "accepted and rejected rows are shown" in browser.text("#top")
    assert browser.script("return document.querySelector('#rows input[value=all]').checked")


def test_a_field_that_is_only_passed_through_leaves_the_open_row_open(browser, address):
    browser.open(
        f"{address}?tab=browse&id={place_id(6)}&source=nowhere,unknown&type=multiple+choice,free-form,numerical"
    )
    browser.wait_for_text("#main .vp-id", place_id(6))
    shown = browser.address
    for end in ("from", "to"):
        browser.script(f"document.querySelector('#filter-score-{end} input').focus()")
        browser.press(Keys.TAB)
    time.sleep(0.7)
    assert browser.text("#main .vp-id") == place_id(6)
    assert browser.address == shown


def test_search_finds_all_words_in_any_case_in_question_and_trace(browser, address):
    browser.open(f"{address}?tab=browse")
    browser.press("/")
    browser.type_into("#search input", "ZEBRA beside")
    browser.wait_for_text("#list .viewer-count", "1 accepted row matches")
    wait_for_row(browser, 7)
    assert query(browser)["q"] == "ZEBRA beside"


def test_pages_of_fifty_come_from_the_server_and_keys_turn_them(browser, address):
    browser.open(f"{address}?tab=browse")
    assert shown_ids(browser) == [place_id(number) for number in range(0, 100, 2)]  # two files, in turn
    browser.press("n")
    browser.wait_for_text("#list .viewer-pager", "page 2 of 3")
    assert shown_ids(browser)[0] == place_id(100)
    browser.press("n")
    browser.wait_for_text("#list .viewer-pager", "page 3 of 3")
    assert len(shown_ids(browser)) == NUM_KEPT + 1 - 100
    browser.press("p")
    browser.wait_for_text("#list .viewer-pager", "page 2 of 3")


def test_keys_go_from_row_to_row_over_the_edge_of_a_page_and_back_undoes_it(browser, address):
    browser.open(f"{address}?tab=browse&id={place_id(96)}")
    browser.wait_for_text("#main .viewer-where", "row 49 of 121")
    browser.press("j")
    wait_for_row(browser, 98)
    browser.press("j")
    wait_for_row(browser, 100)
    assert query(browser)["p"] == "2"
    assert browser.find(".row-link[aria-current=true]").get_attribute("data-place") == "50"
    browser.press("k")
    wait_for_row(browser, 98)
    browser.driver.back()
    wait_for_row(browser, 100)


def test_many_quick_keys_end_at_the_right_row(browser, address):
    browser.open(f"{address}?tab=browse&id={place_id(0)}")
    wait_for_row(browser, 0)
    browser.press("jjjj")
    browser.press("jj")
    browser.press("kjj")
    wait_for_row(browser, 14)
    assert browser.text("#main .viewer-where") == "row 8 of 121"
    browser.wait_until(lambda: query(browser)["id"] == place_id(14))


def test_no_key_is_lost_and_no_old_answer_stands_while_the_server_is_slow(browser, address):
    browser.open(f"{address}?tab=browse&id={place_id(0)}")
    browser.script(
        """
        const fetched = window.fetch;
        let number = 0;
        window.fetch = async (...asked) => {  // the first answers take longest
          await new Promise((done) => setTimeout(done, Math.max(0, 300 - 100 * number++)));
          return fetched(...asked);
        };
        """
    )
    browser.press("jjj")
    browser.press("kjj")
    wait_for_row(browser, 8)
    time.sleep(0.5)  # for whatever would still come
    assert browser.text("#main .vp-id") == place_id(8)
    assert query(browser)["id"] == place_id(8)


def test_the_help_takes_no_keys_for_the_page_below_it(browser, address):
    browser.open(f"{address}?tab=browse&id={place_id(0)}")
    browser.press("?")
    browser.wait_for_text("#help", "next row")
    browser.script("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'j', bubbles: true}))")
    browser.click("#help button")
    browser.wait_until(lambda: not browser.find_all("#help[open]"))
    browser.press("j")
    wait_for_row(browser, 2)
    time.sleep(0.2)
    assert browser.text("#main .vp-id") == place_id(2)


def test_what_was_done_to_one_row_is_not_done_to_the_next(browser, address):
    browser.open(f"{address}?tab=browse&id={HOSTILE_ID}")
    browser.wait_for("#main .vp-think .vp-text")
    browser.script("document.querySelectorAll('#main details').forEach((each) => { each.open = true })")
    browser.script("document.querySelector('#main .vp-think .vp-text').scrollTop = 5000")
    browser.press("k")
    browser.wait_until(lambda: browser.text("#main .vp-id") not in ("", HOSTILE_ID))
    assert not browser.find_all("#main details[open]")
    browser.press("j")
    browser.wait_for_text("#main .vp-id", HOSTILE_ID)
    browser.wait_until(
        lambda: browser.script("return document.querySelector('#main .vp-think .vp-text').scrollTop == 0")
    )


def test_typing_a_letter_into_a_field_is_no_key(browser, address):
    browser.open(f"{address}?tab=browse")
    browser.press("/")
    browser.press("jjn?")
    assert browser.find("#search input").get_attribute("value") == "jjn?"
    assert "id" not in query(browser)
    browser.press("\ue00c")  # Escape leaves the field
    browser.press("?")
    assert "next row" in browser.wait_for_text("#help", "Keys")


def test_a_rejected_row_shows_its_reason_and_its_raw_completion(browser, address):
    browser.open(f"{address}?tab=browse&rows=rejected&by=filter%3Aformat")
    browser.wait_for_text("#list .viewer-count", "10 rejected")
    assert "the completion misses the template" in browser.text("#list")
    browser.open(f"{address}?id={place_id(1003)}")
    browser.wait_for_text("#main", "filter:format")
    browser.script("document.querySelector('#main .vp-more').open = true")
    assert "<observation>no closing tag" in browser.text("#main .vp-raw")


def test_a_deep_link_restores_filter_sort_page_and_row(browser, address):
    browser.open(f"{address}?tab=browse&type=multiple+choice&sort=-observation_tokens&id={place_id(3)}&obs=100..210")
    browser.wait_for_text("#main .vp-id", place_id(3))
    browser.wait_for_text("#list .viewer-count", "38 accepted")
    assert browser.text("#main .viewer-where") == "row 37 of 38"
    assert "multiple choice" in browser.text("#filter-problem_type")
    assert browser.find("#filter-observation_tokens-to input").get_attribute("value") == "210"
    before = browser.address
    browser.open(before)  # what the address says now is a link to the very same
    browser.wait_for_text("#main .vp-id", place_id(3))
    assert browser.address == before


def test_a_link_made_in_another_version_says_so(browser, address):
    browser.open(f"{address}?id={place_id(3)}&at=0123456789ab")
    browser.wait_for_text("#main .vp-id", place_id(3))
    assert "made in version 0123456789ab" in browser.text("#top")
    browser.open(browser.address)
    browser.wait_for_text("#main .vp-id", place_id(3))
    assert "made in version" not in browser.text("#top")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("?id=ffff", "has no row with the id ffff"),
        ("?tab=browse&place=99999", "has no row number 99999"),
        ("?tab=nonsense", "There is no page nonsense"),
        ("?tab=browse&score=high&colour=red", "score=high was ignored"),
        ("?tab=browse&p=99", "page 3 of 3"),
        ("?tab=browse&flag=nobody", "No row matches this filter"),
        ("?tab=compare&id=ffff", "No open dataset has a row with the id ffff"),
        ("?tab=rollouts&group=3", "No rollouts yet"),
        ("?page=3&tab=browse", "accepted rows match"),
        ("?" + "x" * 17_000, "more than 16,000 are not read"),
    ],
)
def test_what_cannot_be_shown_is_said_and_never_a_traceback(browser, address, asked, said):
    browser.open(address + asked)
    assert browser.wait_for_text("body", said)
    assert "Traceback" not in browser.text("body")
    assert not browser.find_all(".toast-body.error")


def test_a_duplicate_record_has_a_link_of_its_own(browser, address):
    browser.open(f"{address}?tab=browse&rows=rejected&by=source%3Aduplicate")
    browser.click("#list .row-link")
    browser.wait_for_text("#main", "the same question again")
    assert query(browser)["id"] == place_id(0)
    assert int(query(browser)["place"]) > NUM_KEPT  # the id alone would open the accepted row
    browser.open(browser.address)
    browser.wait_for_text("#main", "the same question again")


# Media


def test_the_video_plays_seeks_and_a_frame_of_the_strip_leads_to_its_time(browser, address):
    browser.open(f"{address}?id={place_id(0)}")
    browser.wait_for("#main video")
    browser.wait_until(lambda: browser.script("return document.querySelector('#main video').readyState >= 2"))
    assert browser.script("return document.querySelector('#main video').duration") == pytest.approx(3.0, abs=0.1)
    browser.script("const v = document.querySelector('#main video'); v.muted = true; v.play()")
    browser.wait_until(lambda: browser.script("return document.querySelector('#main video').currentTime > 0.2"))
    browser.wait_until(lambda: len(browser.find_all("#main .vp-frames img")) == 16)
    last = browser.find_all("#main .vp-frames button")[-1]
    browser.script("arguments[0].click()", last)
    sought = float(last.get_attribute("data-seek"))
    assert sought > 2.5
    browser.wait_until(
        lambda: browser.script(
            "const v = document.querySelector('#main video');"
            "return !v.seeking && v.paused && Math.abs(v.currentTime - arguments[0]) < 0.05",
            sought,
        )
    )


@pytest.mark.parametrize(
    ("rate", "options"), [(24, {}), (Fraction(30_000, 1_001), {}), (60, {}), (25, {"times_ms": UNEVEN_MS})]
)
def test_a_click_on_a_frame_of_the_strip_shows_that_frame(browser, tmp_path, rate, options):
    """The number that is drawn into each frame is read from what the player shows."""
    (tmp_path / "media").mkdir()
    write_video(tmp_path / "media" / "clip.mp4", num_frames=90, fps=rate, size=(320, 192), gop=24, **options)
    write_folder(tmp_path / "run", [kept_row(0, path="./clip.mp4", media_sha256=None)])
    opened = open_viewer(str(tmp_path / "run"), media_root=tmp_path / "media", read_only=True)
    with running(opened) as address:
        browser.open(f"{address}?id={place_id(0)}")
        browser.wait_until(lambda: len(browser.find_all("#main .vp-frames button")) == 16)
        browser.wait_until(lambda: browser.script("return document.querySelector('#main video').readyState >= 2"))
        for place in range(16):
            wanted, shown = browser.driver.execute_async_script(
                """
                const [place, done] = arguments;
                const video = document.querySelector('#main video');
                const button = document.querySelectorAll('#main .vp-frames button')[place];
                const read = () => {
                  const canvas = document.createElement('canvas');
                  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
                  const context = canvas.getContext('2d');
                  context.drawImage(video, 0, 0);
                  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
                  done([button.title, [Array.from(pixels), canvas.width, canvas.height]]);
                };
                video.addEventListener('seeked', () => requestAnimationFrame(read), {once: true});
                button.click();
                """,
                place,
            )
            pixels, width, height = shown
            picture = np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3]
            assert frame_number(picture) == int(re.search(r"frame (\d+)", wanted)[1]), wanted


def test_a_picture_is_shown(browser, address):
    browser.open(f"{address}?id={place_id(1)}")
    browser.wait_until(
        lambda: browser.script("return document.querySelector('#main .viewer-player img')?.naturalWidth") == 96
    )


def test_missing_media_are_named_with_the_command_that_fetches_them(browser, address):
    browser.open(f"{address}?id={place_id(9)}")
    browser.wait_for_text("#main .vp-media-note", "./clips/nowhere.mp4")
    assert "python -m curation media fetch" in browser.text("#main .vp-media-note")
    assert "TextOCR" in browser.text("#main .vp-media-note")
    assert not browser.find_all("#main video")
    assert "Based on the observations, ball 9 is blue." in browser.text("#main .vp-think")


@pytest.mark.parametrize("number", [100, 101, 102])
def test_a_path_out_of_the_media_root_shows_nothing_of_it(browser, address, number):
    browser.open(f"{address}?id={place_id(number)}")
    browser.wait_for_text("#main .vp-media-note", "leads out of the media root")
    assert not browser.find_all("#main video, #main .viewer-media img")


# Copying


def test_the_row_is_copied_as_json_and_as_a_link(browser, address):
    browser.open(f"{address}?tab=browse&id={place_id(7)}")
    wait_for_row(browser, 7)
    permissions = {"origin": address.rstrip("/"), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    browser.click("[data-copy^='/row/']")
    browser.wait_for_text("[data-copy^='/row/']", "copied")
    copied = browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert json.loads(copied)["observation"].endswith("a zebra beside the ball.")
    browser.click("[data-copy^='?']")
    browser.wait_for_text("[data-copy^='?']", "copied")
    copied = browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    browser.open(copied)
    wait_for_row(browser, 7)


# Compare


def test_two_versions_of_a_question_stand_side_by_side_with_marked_words(browser, address):
    browser.open(f"{address}?id={place_id(3)}")
    browser.script(
        "[...document.querySelectorAll('#main .viewer-toolbar a')].find(a => a.textContent == 'Compare').click()"
    )
    browser.wait_for_text("#main .viewer-compare", "org/newer")
    assert query(browser)["tab"] == "compare"
    assert [mark.text.strip() for mark in browser.find_all("#main .vp-observation ins")] == ["a purple"]
    assert browser.text("#main .vp-think h4") == "THINK (THE SAME)"


def test_a_duplicate_can_be_compared_with_the_row_it_repeats(browser, address):
    browser.open(f"{address}?tab=compare&id={place_id(0)}")
    assert "accepted" in browser.wait_for_text("#main .viewer-compare thead", "rejected")


@pytest.fixture
def tried(tmp_path):
    """A run that kept its second attempt at question 1, and one with another generator."""
    write_folder(tmp_path / "run" / "dataset", [kept_row(1, attempt=2, answer="B")])
    (tmp_path / "run" / "config.yaml").write_text("source: {kind: jsonl}\n")
    first = rejected_row(1, "filter:score", answer="C", think="Based on the observations, ball 1 is green.", attempt=1)
    other = rejected_row(2, "filter:score", attempt=1)
    write_rows(tmp_path / "run/shards/00000.attempts.parquet", [first, other, kept_row(1, attempt=2)], REJECTED)
    think = "Based on the observations, ball 1 is surely blue."
    write_folder(tmp_path / "newer", [kept_row(1, generator="org/newer", think=think)])
    return tmp_path


def test_an_earlier_attempt_of_a_run_stands_beside_the_one_that_was_kept(browser, tried):
    with running(open_viewer(str(tried / "run"), read_only=True)) as address:
        browser.open(f"{address}?tab=compare&id={place_id(1)}")
        heads = browser.wait_for_text("#main .viewer-compare thead", "rejected, attempt 1")
        assert "accepted, attempt 2" in heads
        assert [mark.text.strip() for mark in browser.find_all("#main .vp-think del")] == ["blue"]
        assert [mark.text.strip() for mark in browser.find_all("#main .vp-think ins")] == ["green"]
        assert not browser.find_all("#main .viewer-choice")  # two are all there are


def test_two_generators_stand_side_by_side_and_any_two_can_be_chosen(browser, tried):
    opened = open_viewer(str(tried / "run"), compare=[str(tried / "newer")], read_only=True)
    with running(opened) as address:
        browser.open(f"{address}?tab=compare&id={place_id(1)}")
        assert "by org/newer" in browser.wait_for_text("#main .viewer-compare thead", "by org/generator")
        assert [mark.text.strip() for mark in browser.find_all("#main .vp-think ins")] == ["surely"]
        last = browser.find_all("#main .viewer-choice")[1].find_elements("css selector", "a")[-1]
        browser.script("arguments[0].click()", last)
        browser.wait_for_text("#main .viewer-compare thead", "attempt 1")
        assert query(browser)["right"] == "2"
        assert [mark.text.strip() for mark in browser.find_all("#main .vp-think ins")] == ["green"]


# Label


def test_three_labels_survive_a_reload_and_the_export_is_what_calibrate_reads(browser, address, world):
    browser.open(f"{address}?tab=label&sample=12&seed=3")
    browser.wait_for("#main .viewer-labelling")
    page = browser.text("#main")
    assert "verdict" not in page.lower() and "the colour is stated" not in page and "rejected" not in page
    browser.press("1")
    browser.wait_for_text("#main .viewer-said", "has no labeller")
    browser.type_into("#labeller", "Ada")
    browser.script("document.activeElement.blur()")
    labelled = []
    for number, key in enumerate("123", 1):
        labelled.append(browser.find("[data-row]").get_attribute("data-row"))
        if key == "3":
            browser.find("#note").send_keys("too dark <b>")
            browser.script("document.activeElement.blur()")
        browser.press(key)
        browser.wait_for_text("#main .viewer-progress", f"{number} of 12 labelled by you")
    browser.open(browser.address)  # as after a crash
    browser.wait_for_text("#main .viewer-progress", "3 of 12 labelled by you")
    assert browser.find("#labeller").get_attribute("value") == "Ada"
    assert browser.find("[data-row]").get_attribute("data-row") not in labelled
    browser.open(f"{address}?tab=label&sample=12&seed=3&n=3")
    browser.wait_for("#main .viewer-answer[aria-pressed=true]")
    assert browser.find("#note").get_attribute("value") == "too dark <b>"
    browser.script("document.querySelector('.viewer-results').open = true")
    browser.wait_for_text("#main .viewer-fetched", "3 labels of this dataset by 1 people")
    browser.click("[data-label=export]")
    browser.wait_for_text("#main .viewer-said", "Exported 3 labels")
    exported = pl.read_parquet(world / "labels.parquet")
    assert exported["id"].to_list() == labelled
    assert exported["label"].to_list() == ["sufficient", "insufficient", "cannot_tell"]
    assert set(exported["labeller"]) == {"Ada"}
    browser.press("u")
    browser.wait_for_text("#main .viewer-progress", "2 of 12 labelled by you")


def test_two_people_label_at_once_without_seeing_or_losing_each_other(browser, address, world):
    browser.open(f"{address}?tab=label&sample=12&seed=5")
    browser.type_into("#labeller", "Grace")
    browser.script("document.activeElement.blur()")
    browser.wait_for_text("#main .viewer-progress", "0 of 12 labelled by you")
    with Browser.start() as other:
        other.open(f"{address}?tab=label&sample=12&seed=5")
        other.type_into("#labeller", "Linus")
        other.script("document.activeElement.blur()")
        for number in range(1, 4):
            browser.press("1")
            other.press("2")
            browser.wait_for_text("#main .viewer-progress", f"{number} of 12 labelled by you")
            other.wait_for_text("#main .viewer-progress", f"{number} of 12 labelled by you")
    store = LabelStore(world / "labels.sqlite")
    assert store.count("Grace")["sufficient"] == store.count("Linus")["insufficient"] == 3
    assert store.labelled_ids("Grace") == store.labelled_ids("Linus")


def test_the_head_of_the_page_stays_in_sight_and_a_row_is_read_from_its_beginning(browser, address):
    browser.open(f"{address}?tab=browse&id={HOSTILE_ID}")
    wait_until_listed = "return document.querySelector('#list').scrollTop > 0"
    browser.wait_until(lambda: browser.script(wait_until_listed))
    assert browser.script("return scrollY") == 0
    browser.script("scrollTo(0, 900)")
    browser.press("k")
    browser.wait_until(lambda: browser.text("#main .vp-id") not in ("", HOSTILE_ID))
    browser.wait_until(
        lambda: browser.script("return document.querySelector('#main').getBoundingClientRect().top >= 0")
    )


def test_a_note_belongs_to_one_row_and_stays_when_its_label_could_not_be_saved(browser, address):
    browser.open(f"{address}?tab=label&sample=12&seed=21")
    browser.find("#note").send_keys("a note")
    browser.script("document.activeElement.blur()")
    browser.press("1")
    browser.wait_for_text("#main .viewer-said", "has no labeller")
    browser.type_into("#labeller", "Noter")
    browser.script("document.activeElement.blur()")
    browser.wait_until(lambda: browser.script("return document.querySelector('#note').value") == "a note")
    browser.press("1")
    browser.wait_for_text("#main .viewer-progress", "1 of 12 labelled by you")
    browser.wait_until(lambda: browser.script("return document.querySelector('#note').value") == "")
    browser.press("k")
    browser.wait_until(lambda: browser.script("return document.querySelector('#note').value") == "a note")


def test_a_second_quick_key_never_labels_a_row_that_was_not_seen(browser, address, world):
    browser.open(f"{address}?tab=label&sample=12&seed=8")
    browser.type_into("#labeller", "Quick")
    browser.script("document.activeElement.blur()")
    browser.wait_for_text("#main .viewer-progress", "0 of 12 labelled by you")
    first = browser.find("[data-row]").get_attribute("data-row")
    browser.press("12")
    browser.wait_for_text("#main .viewer-progress", "1 of 12 labelled by you")
    assert [label.label for label in LabelStore(world / "labels.sqlite").of(first, "Quick")] == ["sufficient"]


@pytest.fixture
def long_texts(tmp_path):
    """Observations of a real length."""
    story = " ".join(
        f"At {second} s the ball turns and rolls towards the red cube beside the wall." for second in range(40)
    )
    question = "Which of the balls comes to rest beside the red cube after the second collision? " * 2
    options = [f"{letter}. the ball that was hit {letter} times by the others" for letter in "ABCD"]
    rows = [kept_row(number, observation=story, problem=question, options=options) for number in range(3)]
    folder = write_folder(tmp_path / "long", rows)
    with running(open_viewer(str(folder), labels=tmp_path / "long.sqlite")) as address:
        yield address


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (1920, 1080), (360, 640)])
def test_the_whole_observation_can_be_read_while_the_answers_are_in_sight(browser, long_texts, width, height):
    browser.resize(width, height)
    browser.open(f"{long_texts}?tab=label")
    browser.type_into("#labeller", "Reader")
    browser.wait_until(lambda: browser.script("return document.activeElement.id") != "labeller")
    browser.press("1")
    browser.wait_for_text("#main .viewer-progress", "1 of 3 labelled by you")
    browser.wait_until(lambda: "vp-pane-read" in browser.script("return document.activeElement.className"))
    row = browser.find("[data-row]").get_attribute("data-row")
    edges = """
        const box = document.querySelector('.vp-pane-read').getBoundingClientRect();
        const answers = document.querySelector('.viewer-answers').getBoundingClientRect();
        return [box.top, box.bottom, answers.top, answers.bottom, innerHeight];
    """
    browser.wait_until(lambda: browser.script(edges)[3] <= height + 1)
    top, bottom, answers_top, answers_bottom, _ = browser.script(edges)
    assert 0 <= top < bottom <= answers_top < answers_bottom <= height + 1
    assert bottom - top >= 140
    at = """
        const box = document.querySelector('.vp-pane-read');
        return [box.scrollTop, box.scrollHeight - box.clientHeight];
    """
    if browser.script(at)[1] > 0:
        browser.press(Keys.ARROW_DOWN)
        browser.wait_until(lambda: browser.script(at)[0] > 0)
        browser.press(Keys.END)
        browser.wait_until(lambda: browser.script(at)[0] >= browser.script(at)[1] - 1)
    assert browser.find("[data-row]").get_attribute("data-row") == row
    assert browser.script("return document.documentElement.scrollWidth") <= width


def test_a_label_that_is_lost_looks_like_a_fault_also_when_its_file_is_gone(browser, tmp_path):
    folder = write_folder(tmp_path / "run", [kept_row(number) for number in range(4)])
    with running(open_viewer(str(folder), labels=tmp_path / "labels.sqlite")) as address:
        browser.open(f"{address}?tab=label")
        browser.press("1")
        fault = browser.wait_for("#main .viewer-fault")
        assert (fault.get_attribute("role"), "NOT saved" in fault.text) == ("alert", True)
        red = fault.value_of_css_property("color")
        browser.type_into("#labeller", "Ada")
        browser.wait_until(lambda: browser.script("return document.activeElement.id") != "labeller")
        browser.press("1")
        browser.wait_for_text("#main .viewer-said", "Saved")
        assert not browser.find_all("#main .viewer-fault")
        assert browser.find("#main .viewer-said").value_of_css_property("color") != red
        for file in tmp_path.glob("labels.sqlite*"):
            file.unlink()
        browser.press("2")
        said = browser.wait_for_text("#main .viewer-fault", "NOT saved")
        assert place_id(0)[:12] in said


def test_a_read_only_viewer_has_no_page_to_label_on(browser, world):
    with running(open_world(world, read_only=True)) as address:
        browser.open(f"{address}?tab=label")
        browser.wait_for_text("#top", "read-only")
        assert "Label" not in browser.text(".viewer-tabs")
        assert not browser.find_all("#labels")


# Hostile text


@pytest.mark.parametrize("tab", ["browse", "compare", "overview"])
def test_hostile_text_shows_as_text_and_nothing_runs(browser, address, tab):
    browser.open(f"{address}?tab={tab}&id={HOSTILE_ID}&rows=all&q=right+to+left")
    if tab == "overview":
        browser.wait_for_text("#main .vp-tiles", "1")
    else:
        browser.wait_for_text("#main .vp-question", "<script>window.__pwned = 1</script>")
        assert "**strong** [a link](javascript:" in browser.text("#main .vp-observation")
        # The right-to-left mark is named, not obeyed: it stands alone in a piece of its own.
        assert browser.script("return document.querySelector('#main .vp-observation .vp-char')?.title") == "U+202E"
    time.sleep(0.3)  # for whatever would run
    assert browser.script(_FOREIGN) == 0


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A dataset of one row, in a folder with a hostile name, with rollouts; markup in every text of both."""
    folder = write_folder(
        tmp_path_factory.mktemp("hostile") / "<img src=x onerror='window.__pwned = 1'>", [hostile_row()]
    )
    texts = [field.name for field in ROLLOUT if field.type == "string" and field.name not in ("id", "verdict")]
    written = [dict.fromkeys(texts, f"{HOSTILE} {number}") for number in range(3)]
    rollouts = [
        row | {"step": 1, "group": HOSTILE, "id": HOSTILE_ID, "rollout": place} for place, row in enumerate(written)
    ]
    write_rows(folder / "rollouts" / "rollouts-00000.parquet", rollouts, ROLLOUT)
    opened = open_viewer(str(folder), labels=folder / "labels.sqlite")
    with running(opened) as address:
        yield address


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("?tab=label", "#main .vp-observation"),
        ("?tab=rollouts", "#main .vp-groups"),
        ("?tab=rollouts&group=0", "#main .vp-rollout"),
        ("?tab=browse&rows=all", "#list"),
        ("", "#main"),
    ],
)
def test_hostile_text_is_text_on_every_page_and_so_is_a_hostile_name(browser, hostile, asked, where):
    browser.open(hostile + asked)
    browser.wait_for_text(where, "<script>window.__pwned = 1</script>")
    assert "<img src=x onerror=" in browser.text("#top h1")
    time.sleep(0.3)  # for whatever would run
    assert browser.script(_FOREIGN) == 0


def test_a_megabyte_of_text_is_there_to_its_end_and_the_page_stays_usable(browser, address):
    browser.open(f"{address}?id={HOSTILE_ID}")
    browser.wait_for_text("#main .vp-question", "<script>")
    shown = browser.script("return document.querySelector('#main .vp-think .vp-text').textContent")
    assert shown.endswith("word word ") and len(shown) > 1_000_000
    browser.press("k")
    browser.wait_until(lambda: browser.text("#main .vp-id") not in ("", HOSTILE_ID))


def test_the_policy_alone_stops_a_script_that_would_be_in_the_page(browser, address):
    """A second wall: even markup that got past the escaping does nothing."""
    browser.open(address)
    browser.script("document.querySelector('#main').insertAdjacentHTML('beforeend', arguments[0])", HOSTILE)
    time.sleep(0.3)
    assert browser.script("return window.__pwned") is None
    browser.read_logs()
    assert any("Content Security Policy" in entry["message"] for entry in browser.console)
    browser.console.clear()  # these were wanted
    browser.requests[:] = [url for url in browser.requests if "198.51.100.7" not in url]


# Other datasets


def test_a_dataset_with_missing_columns_and_configs_is_browsed(browser, tmp_path):
    folder = write_folder(tmp_path / "bare", [kept_row(1), kept_row(2)])
    for config in ("rejected", "rl"):
        for file in (folder / config).glob("*.parquet"):
            file.unlink()
    path = next((folder / "data").glob("*.parquet"))
    kept = [
        "id",
        "problem",
        "problem_type",
        "data_type",
        "path",
        "solution",
        "options",
        "observation",
        "think",
        "answer",
    ]
    pl.read_parquet(path, columns=kept).write_parquet(path)
    with running(open_viewer(str(folder), read_only=True)) as address:
        browser.open(address)
        assert "has no column" in browser.wait_for_text("#main", "has no column")
        browser.open(f"{address}?tab=browse")
        browser.wait_for_text("#main .vp-id", place_id(1))
        assert "no verdict" in browser.text("#main")
        assert "not scored" in browser.text("#main")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(browser, address, width):
    browser.resize(width, 844)
    for asked in (
        "",
        "?tab=browse",
        f"?id={HOSTILE_ID}",
        f"?tab=compare&id={place_id(3)}",
        "?tab=label",
        "?tab=rollouts",
    ):
        browser.open(address + asked)
        assert browser.script("return document.documentElement.scrollWidth") <= width, asked


def test_on_a_narrow_screen_the_list_and_the_open_row_take_turns(browser, address):
    browser.resize(390, 844)
    browser.open(f"{address}?tab=browse")
    browser.wait_for("#list .row-link")
    assert not browser.find("#main").is_displayed()
    browser.click("#list .row-link")
    browser.wait_for("#main .vp-id")
    assert not browser.find("#list").is_displayed()
    browser.click("#main .viewer-back")
    browser.wait_for("#list .row-link")

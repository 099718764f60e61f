"""What changed between two versions of a dataset: which questions, and how."""

import re

from app.address import Address
from app.opened import open_viewer
from app.pages.compare import show_compare
from app.pages.versions import PER_PAGE, changes_between, find_changed, render_changes
from tests.folders import kept_row, write_folder

NUM = 2 * PER_PAGE + 7


def open_versions(tmp_path, change):
    before = [kept_row(number, problem=f"Question number {number}?") for number in range(NUM + 3)]
    after = [row | change(number) for number, row in enumerate(before)]
    write_folder(tmp_path / "before", before)
    write_folder(tmp_path / "after", after)
    return open_viewer(str(tmp_path / "after"), compare=[str(tmp_path / "before")], read_only=True)


def test_every_changed_question_is_listed_with_its_text_on_pages_that_lead_on(tmp_path):
    opened = open_versions(tmp_path, lambda number: {"think": "other"} if number < NUM else {})
    listed = []
    for page in (1, 2, 3):
        html = render_changes(opened, Address(tab="compare", changes_page=page))
        listed += re.findall(r"Question number (\d+)\?", html)
        assert f"page <b>{page}</b> of 3" in html
    assert sorted(map(int, listed)) == list(range(NUM))


def test_a_verdict_that_only_one_version_has_is_not_another_verdict(tmp_path):
    given = {0: {"verdict": None}, 1: {"verdict": "insufficient"}, 2: {"score": None}, 3: {"score": 0.25}}
    opened = open_versions(tmp_path, lambda number: given.get(number, {}))
    total = changes_between(opened.compared[0], opened.dataset).counts.row(0, named=True)
    assert (total["changed"], total["trace"], total["state"]) == (4, 0, 0)
    assert (total["verdict"], total["score"], total["missing"]) == (1, 1, 2)
    assert len(find_changed(opened, "missing")) == 2
    html = render_changes(opened, Address(tab="compare", change="verdict"))
    assert re.findall(r"Question number (\d+)\?", html) == ["1"]


def test_one_changed_question_leads_to_the_next(tmp_path):
    opened = open_versions(tmp_path, lambda number: {"think": "other"} if number in (2, 5, 9) else {})
    ids = find_changed(opened, "trace")
    assert len(ids) == 3
    middle = show_compare(opened, Address(tab="compare", row_id=ids[1], change="trace")).main
    assert "changed question 2 of 3" in middle
    steps = dict(re.findall(r'data-key="([a-z-]+)" href="([^"]+)"', middle))
    assert ids[0] in steps["previous-row"] and ids[2] in steps["next-row"]
    assert "changed question" not in show_compare(opened, Address(tab="compare", row_id=ids[1])).main

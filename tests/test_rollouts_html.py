"""Rollouts as HTML: nothing of a completion becomes an element, and what is null is a dash."""

from html.parser import HTMLParser

from app.rollouts_html import render_group, render_group_page
from tests.test_rollouts import read, rollout, write

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><a href=javascript:alert(3)>x</a>"


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_data(self, text):
        self.text.append(text)


def parse(html):
    seen = Seen()
    seen.feed(html)
    return seen


def test_groups_of_a_page_link_to_themselves_and_show_both_processes(tmp_path):
    found = read(write(tmp_path, [rollout(1, "p", 0), rollout(1, "p", 1), rollout(2, "q", 0)]))
    html = render_group_page(found.page(), lambda group: f"?tab=rollouts&group={group.place}")
    seen = parse(html)
    assert seen.tags.count("a") == 2 and "perception reward" in seen.text and "reasoning reward" in seen.text


def test_hostile_completion_is_text_everywhere(tmp_path):
    rows = [
        rollout(1, HOSTILE, 0, completion=HOSTILE, observation=HOSTILE, think=HOSTILE, answer=HOSTILE, model=HOSTILE)
    ]
    rows += [rollout(1, HOSTILE, 1, completion=HOSTILE, observation=None, think=None, answer=None, model=HOSTILE)]
    found = read(write(tmp_path, rows))
    for html in (render_group_page(found.page(), lambda _: "?x"), render_group(found.group(0))):
        seen = parse(html)
        assert not {"script", "img"} & set(seen.tags)
        assert not {"onerror", "onload"} & set(seen.attributes)
        assert HOSTILE in "".join(seen.text)


def test_masked_reward_is_a_dash_and_never_a_zero(tmp_path):
    masked = dict.fromkeys(("perception_accuracy", "perception_reward", "perception_advantage", "verdict"))
    found = read(write(tmp_path, [rollout(1, "p", 0, **masked), rollout(1, "p", 1, **masked)]))
    text = "".join(parse(render_group(found.group(0))).text)
    assert "no verdict" in text and "advantage: perception -" in text


def test_group_in_which_all_rewards_are_equal_says_what_that_means(tmp_path):
    equal = {"reasoning_reward": 2.0}
    found = read(write(tmp_path, [rollout(1, "p", n, perception_reward=1.0 + n, **equal) for n in range(2)]))
    html = render_group(found.group(0))
    assert "All reasoning rewards of this group are equal" in html


def test_leaks_and_repetition_are_shown_of_the_texts_and_not_made_up_without_the_question(tmp_path):
    loop = "a red circle on a blue table by day " * 2
    rows = [
        rollout(1, "p", 0, observation="So it is B. <b>", think=loop),
        rollout(1, "p", 1),
        rollout(1, "p", 2, observation=None, think=None, answer=None),
    ]
    group = read(write(tmp_path, rows)).group(0)
    question = {"problem_type": "multiple choice", "options": ["A. red", "B. blue"]}
    text = "".join(parse(render_group(group, question)).text)
    assert "1 of 2 observations give the answer away." in text  # the third has none
    assert "The observation gives the answer away: So it is B. <b>" in text
    assert "on average: perception 0 %, reasoning 24 %." in text
    assert "repeated words: perception 0 %, reasoning 47 %" in text
    assert "repeated words: perception -, reasoning -" in text
    numerical = "".join(parse(render_group(group, {"problem_type": "numerical", "options": None})).text)
    assert "0 of 2 observations give the answer away." in numerical  # it asks for no letter
    for unknown in (None, {"problem_type": None}):
        text = "".join(parse(render_group(group, unknown)).text)
        assert "not known without the question" in text and "gives the answer away" not in text


def test_what_was_not_recorded_is_neither_leaking_nor_repeating(tmp_path):
    rows = [rollout(1, "p", 0, observation=None, think=None, answer=None)]
    html = render_group(read(write(tmp_path, rows)).group(0), {"problem_type": "multiple choice", "options": None})
    assert "observations give the answer away" not in html and "on average" not in html

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

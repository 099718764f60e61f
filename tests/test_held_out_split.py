"""What is held out follows from what the clips hold, however their paths are spelled; questions are of all types."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from training.held_out_split import ClipSplit, choose_questions, plain_path, tell_clips

PATHS = [f"media/clips/{number:06d}.mp4" for number in range(4000)]
NAMES = st.sampled_from([f"{folder}/{number}.mp4" for folder in ("A", "B", "A/c") for number in range(6)])
CONTENTS = st.none() | st.sampled_from([character * 64 for character in "0123456789"])
SPELLINGS = (lambda path: path, lambda path: f"./{path}", lambda path: path.replace("/", "//"),
             lambda path: path.replace("/", "/./"), lambda path: f"././{path}")  # fmt: skip


@st.composite
def published(draw):
    """Rows of a dataset: clips under several names and spellings; some rows publish no sha256."""
    rows = draw(st.lists(st.tuples(NAMES, CONTENTS), max_size=40))
    return [(draw(st.sampled_from(SPELLINGS))(path), content) for path, content in rows]


@given(published(), st.floats(0, 1), st.data())
def test_no_clip_is_on_both_sides_by_content_or_by_path(rows, share, data):
    split = ClipSplit(share, tell_clips(rows))
    for (path, content), (other, same) in ((one, two) for one in rows for two in rows):
        if plain_path(path) == plain_path(other) or (content is not None and content == same):
            assert split.holds_out(path) == split.holds_out(other)
    respelled = [(data.draw(st.sampled_from(SPELLINGS))(path), content) for path, content in rows]
    again = ClipSplit(share, tell_clips(data.draw(st.permutations(respelled))))
    assert [split.holds_out(path) for path, _ in rows] == [again.holds_out(path) for path, _ in rows]


@given(published(), published(), st.floats(0, 1))
def test_what_one_machine_measured_joins_clips_and_moves_no_other(rows, measured, share):
    alone, known = ClipSplit(share, tell_clips(rows)), ClipSplit(share, tell_clips(rows, measured))
    by_content = {}
    for path, content in [*rows, *measured]:
        if content is not None:
            by_content.setdefault(content, path)
            assert known.holds_out(path) == known.holds_out(by_content[content])
    if not measured:
        assert [alone.holds_out(path) for path, _ in rows] == [known.holds_out(path) for path, _ in rows]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_smaller_share_is_part_of_a_larger_one(path, share, other):
    assert ClipSplit(min(share, other)).holds_out(path) <= ClipSplit(max(share, other)).holds_out(path)


@given(st.text())
def test_nothing_and_everything_can_be_held_out(path):
    assert not ClipSplit(0.0).holds_out(path)
    assert ClipSplit(1.0).holds_out(path)


@given(st.text(), st.floats(0, 1))
def test_first_rules_are_the_hash_of_the_path_as_it_is_spelled(path, share):
    split = ClipSplit(share, {path: "another"}, rules=1)
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
    assert split.holds_out(path) == (int(digest[:8], 16) / 2**32 < share)


def test_share_is_about_what_was_asked_for():
    for share in (0.05, 0.2, 0.5):
        split = ClipSplit(share, tell_clips((path, hashlib.sha256(path.encode()).hexdigest()) for path in PATHS))
        assert abs(sum(map(split.holds_out, PATHS)) / len(PATHS) - share) < 0.03


def test_another_process_holds_out_the_same():
    program = "from training.held_out_split import *; import sys; "
    program += "print([ClipSplit(0.3).holds_out(path) for path in sys.argv[1:]])"
    paths = PATHS[:50]
    printed = subprocess.run([sys.executable, "-c", program, *paths], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == str([ClipSplit(0.3).holds_out(path) for path in paths])


TYPES = ("multiple choice", "numerical", "OCR", "free-form", "regression")


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=120), st.integers(1, 130), st.integers(0, 9), st.data())
def test_questions_are_of_all_types_in_their_shares_whatever_the_order_of_the_file(types, most, seed, data):
    rows = [{"id": f"q{number}", "problem_type": kind} for number, kind in enumerate(types)]
    chosen = choose_questions(rows, most, seed)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(most, len(rows))
    counts, all_counts = Counter(types[place] for place in chosen), Counter(types)
    if most >= len(all_counts):
        assert counts.keys() == all_counts.keys()
        for kind, number in all_counts.items():
            share = min(most, len(rows)) * number / len(rows)
            assert counts[kind] < share + len(all_counts) and counts[kind] > share - len(all_counts)
    shuffled = data.draw(st.permutations(rows))
    assert {shuffled[place]["id"] for place in choose_questions(shuffled, most, seed)} == {
        rows[place]["id"] for place in chosen
    }


def test_another_seed_draws_other_questions():
    rows = [{"id": f"q{number}", "problem_type": "OCR"} for number in range(100)]
    assert choose_questions(rows, 10, 0) != choose_questions(rows, 10, 1)

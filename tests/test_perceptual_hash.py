"""The frames rule: copies of a video are found, other videos and videos that show nothing are not."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.overlaps.frames import (
    MAX_BITS,
    MIN_CHAIN,
    NUM_WORDS,
    SAMPLING,
    Signature,
    _longest_increasing,
    find_same,
    hash_frames,
    same_video,
)
from curation.video import read_frames
from tests.bench.bench_frame_hashes import copy, encode, movers, pan, texture


def sign(path) -> Signature:
    return Signature.of(hash_frames(read_frames(path, SAMPLING).frames))


def bits(one, other) -> int:
    return int(np.bitwise_count(one ^ other).sum())


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Five clips with movement: two over one background, two pans, one over another background."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(3)
    shared, other = texture(rng, 180, 320), texture(rng, 180, 320)
    drawn = {
        "first": movers(shared, rng, 0.2),
        "same background": movers(shared, rng, 0.2),
        "other background": movers(other, rng, 0.2),
        "pan": pan(rng),
        "other pan": pan(rng),
    }
    return {name: encode(folder / f"{name}.mp4", list(frames), fps=12, crf=20) for name, frames in drawn.items()}


@pytest.mark.parametrize(
    "changes",
    [
        {"crf": 35},
        {"scale": 0.5},
        {"scale": 2.0},
        {"every": 2},
        {"gain": 1.15},
        {"start": 0.2, "end": 0.9},
        {"start": 0.2, "end": 0.9, "crf": 32, "scale": 0.6, "every": 2},
    ],
    ids=str,
)
def test_a_copy_is_found_however_it_was_encoded_resized_slowed_or_cut(clips, tmp_path, changes):
    for name in ("first", "other background", "pan"):
        copied = sign(copy(clips[name], tmp_path / "copy.mp4", **changes))
        assert same_video(sign(clips[name]), copied), name


def test_other_videos_are_not_the_same_not_even_before_one_background(clips):
    signed = {name: sign(path) for name, path in clips.items()}
    assert all(signature.is_comparable for signature in signed.values())
    assert [pair for pair in combinations(signed, 2) if same_video(*map(signed.get, pair))] == []


def test_a_reversed_video_is_another_one(clips):
    words = sign(clips["pan"]).words
    assert not same_video(Signature.of(words), Signature.of(words[::-1]))


@pytest.mark.parametrize("kind", ["black", "white", "noise in the dark", "still"])
def test_a_video_that_shows_nothing_or_one_picture_matches_no_video_not_even_itself(tmp_path, clips, kind):
    rng = np.random.default_rng(1)
    frames = {
        "black": [np.zeros((120, 160, 3), np.uint8)] * 30,
        "white": [np.full((120, 160, 3), 255, np.uint8)] * 30,
        "noise in the dark": [rng.integers(0, 3, (120, 160, 3), np.uint8) for _ in range(30)],
        "still": [np.repeat(texture(rng, 120, 160)[..., None], 3, axis=2).astype(np.uint8)] * 30,
    }[kind]
    empty = sign(encode(tmp_path / "empty.mp4", frames, fps=10))
    assert not empty.is_comparable
    assert not same_video(empty, empty)
    signed = {name: sign(path) for name, path in clips.items()}
    assert find_same({"empty": empty}, {**signed, "itself": empty}) == {}
    assert find_same(signed, {"empty": empty}) == {}


def test_a_shared_title_card_or_a_fade_from_black_makes_no_pair(clips, tmp_path):
    rng = np.random.default_rng(5)
    card = np.repeat(texture(rng, 180, 320)[..., None], 3, axis=2)
    fade = [(card * share).astype(np.uint8) for share in np.linspace(0, 1, 12)]
    titled = [
        sign(encode(tmp_path / f"{number}.mp4", [*fade, *[fade[-1]] * 12, *pan(rng)], fps=12)) for number in range(2)
    ]
    assert not same_video(*titled)


def test_colour_alone_tells_two_clips_apart(tmp_path):
    def clip(name, colour):
        frames = []
        for number in range(24):
            frame = np.full((168, 224, 3), 24, np.uint8)
            frame[60:100, 8 * number : 8 * number + 40] = colour
            frames.append(frame)
        return sign(encode(tmp_path / f"{name}.mp4", frames, fps=8))

    # The two have about the same brightness.
    assert not same_video(clip("red", (220, 40, 40)), clip("blue", (50, 90, 230)))


def test_grey_videos_have_no_colour_bits():
    rng = np.random.default_rng(2)
    grey = np.repeat(rng.integers(0, 255, (4, 60, 80, 1), np.uint8), 3, axis=3)
    packed = hash_frames(grey).view(np.uint8).reshape(4, -1)
    assert not packed[:, 144 // 8 :].any()


def test_find_same_agrees_with_comparing_every_pair(clips, tmp_path):
    own = {name: sign(path) for name, path in clips.items()}
    others = {f"copy of {name}": sign(copy(path, tmp_path / "c.mp4", crf=33)) for name, path in clips.items()}
    others["still"] = Signature.of(own["pan"].words[:1])
    expected = {
        name: same for name, one in own.items() if (same := [key for key in others if same_video(one, others[key])])
    }
    assert find_same(own, others) == expected == {name: [f"copy of {name}"] for name in clips}
    assert find_same({}, others) == {}
    assert find_same(own, {}) == {}


@settings(max_examples=60)
@given(st.integers(28, 200), st.integers(28, 200), st.integers(0, 9))
def test_a_frame_keeps_its_hash_at_any_size(height, width, seed):
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(3, 6, 6))

    # The same smooth picture drawn at two sizes: a sum of waves, evaluated at pixel centres.
    def draw(rows, columns):
        down, across = ((np.arange(n) + 0.5) / n for n in (rows, columns))
        waves = [np.cos(np.pi * np.outer(np.arange(6), grid)) for grid in (down, across)]
        picture = np.einsum("ckl,kh,lw->hwc", smooth, *waves)
        return np.clip(127 + 20 * picture, 0, 255).astype(np.uint8)[None]

    assert bits(hash_frames(draw(height, width))[0], hash_frames(draw(180, 320))[0]) <= MAX_BITS


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 255), min_size=2, max_size=2), max_size=20))
def test_distinct_frames_are_so_far_apart_that_no_frame_can_match_two(rows):
    words = np.zeros((len(rows), NUM_WORDS), np.uint64)
    for place, (one, other) in enumerate(rows):  # few bits change, so that many frames are alike
        words[place] = (2**one - 1 if one < 64 else one, other, 0, 0)
    signature = Signature.of(words)
    assert all(bits(one, other) > 2 * MAX_BITS for one, other in combinations(signature.distinct, 2))
    assert all(any(bits(row, kept) <= 2 * MAX_BITS for kept in signature.distinct) for row in words)


@given(st.lists(st.integers(0, 5), max_size=8))
def test_the_longest_increasing_run_equals_that_of_a_search(places):
    runs = (
        size
        for size in range(len(places) + 1)
        for chosen in combinations(places, size)
        if all(one < other for one, other in pairwise(chosen))
    )
    assert _longest_increasing(places) == max(runs)


def test_fewer_frames_than_a_chain_are_never_enough():
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**63, (MIN_CHAIN, NUM_WORDS), np.uint64)
    assert same_video(Signature.of(words), Signature.of(words))
    assert not same_video(Signature.of(words[1:]), Signature.of(words))
    for order in permutations(range(MIN_CHAIN)):
        assert same_video(Signature.of(words[list(order)]), Signature.of(words)) == (order == tuple(range(MIN_CHAIN)))

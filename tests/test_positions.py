"""M-RoPE positions, computed by hand: frames lie apart by their seconds, and text goes on behind the last of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2_5_VLForConditionalGeneration

from curation.video import VideoConfig
from tests.clips import write_picture, write_video
from tests.rl_world import PROMPT, rows_of
from tests.tiny_qwen import save_tiny_qwen
from training.collate import Collator
from training.config import ModelConfig
from training.models import load_model, load_processor
from training.positions import rope_index

torch.set_num_threads(1)

TEXT, IMAGE, VIDEO = 0, 1, 2


def positions(kinds, images=(), videos=(), seconds=()):
    found = rope_index(kinds, iter(images), iter(videos), iter(seconds), merge_size=2, tokens_per_second=2)
    return found.tolist()


def test_a_clip_at_two_frames_a_second():
    """Two frames make one grid in time, so grids are a second apart, which is two positions."""
    kinds = [TEXT] * 2 + [VIDEO] * 8 + [TEXT] * 2
    assert positions(kinds, videos=[(4, 2, 4)], seconds=[1.0]) == [
        [0, 1, 2, 2, 4, 4, 6, 6, 8, 8, 9, 10],
        [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 9, 10],
        [0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 9, 10],
    ]


def test_times_are_cut_to_whole_positions_one_by_one():
    """1.4 positions a grid: 0, 1.4, 2.8, 4.2, not four steps of 1."""
    assert positions([VIDEO] * 4 + [TEXT], videos=[(4, 2, 2)], seconds=[0.7])[0] == [0, 1, 2, 4, 5]


def test_a_single_frame_lies_at_one_time_and_text_behind_its_width():
    kinds = [TEXT, *[VIDEO] * 6, TEXT]
    assert positions(kinds, videos=[(1, 4, 6)], seconds=[0.0]) == [
        [0, 1, 1, 1, 1, 1, 1, 4],
        [0, 1, 1, 1, 2, 2, 2, 4],
        [0, 1, 2, 3, 1, 2, 3, 4],
    ]


def test_a_picture_and_two_clips_in_one_sequence_take_their_own_grids_and_times():
    kinds = [VIDEO] * 2 + [TEXT] + [IMAGE] * 2 + [TEXT] + [VIDEO] * 2
    found = positions(kinds, images=[(1, 2, 4)], videos=[(2, 2, 2), (2, 2, 2)], seconds=[2.0, 0.5])
    assert found[0] == [0, 4, 5, 6, 6, 8, 9, 10]
    assert found[2] == [0, 0, 5, 6, 7, 8, 9, 9]


def test_a_run_of_another_length_than_its_grid_is_refused():
    with pytest.raises(ValueError, match="3 video tokens in a row, but the grid 2x2x2 makes 2"):
        positions([VIDEO] * 3, videos=[(2, 2, 2)], seconds=[1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    save_tiny_qwen(folder / "model")
    # Eight of its frames are every second of two and every fifteenth of thirty: each pair of them lasts a second.
    write_video(folder / "two.mp4", num_frames=8, size=(56, 84), fps=2)
    write_video(folder / "thirty.mp4", num_frames=120, size=(56, 84), fps=30)
    write_video(folder / "one.mp4", num_frames=1, size=(56, 84), fps=25)
    write_picture(folder / "still.png", size=(84, 56))
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    config = ModelConfig(name=str(folder / "model"), dtype="float32")
    return load_model(config), load_processor(config)


def batch_of(folder, processor, media, **options):
    video = VideoConfig(num_frames=8, max_pixels=112 * 112, min_pixels=0)
    return Collator(processor, video, PROMPT, with_target=False, **options)(list(rows_of(folder, media)))


def found_in(model, batch):
    """[(positions (3, T) of the row's own tokens, their kinds)]"""
    names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "video_grid_thw", "second_per_grid_ts")
    positions, deltas = model.model.get_rope_index(
        **{name: batch[name] for name in names if name in batch}, attention_mask=batch["attention_mask"]
    )
    masks = batch["attention_mask"].bool()
    rows = [(positions[:, row, mask], batch["mm_token_type_ids"][row, mask]) for row, mask in enumerate(masks)]
    for (own, _), delta in zip(rows, deltas, strict=True):
        assert int(delta) == int(own.max()) + 1 - own.shape[1]  # what generation goes on from
    return rows


@pytest.mark.parametrize("media", ["two.mp4", "thirty.mp4"])
def test_the_same_seconds_give_the_same_positions_at_any_frame_rate(folder, loaded, media):
    model, processor = loaded
    ((own, kinds),) = found_in(model, batch_of(folder, processor, [media]))
    begin = int((kinds == VIDEO).nonzero()[0])
    assert (own[0, kinds == VIDEO] - begin).tolist() == [time for time in (0, 2, 4, 6) for _ in range(6)]
    assert (own[1, kinds == VIDEO] - begin).tolist() == [0, 0, 1, 1, 2, 2] * 4
    assert (own[2, kinds == VIDEO] - begin).tolist() == [0, 1] * 12
    end = int((kinds == VIDEO).nonzero()[-1])
    assert own[:, end + 1].tolist() == [begin + 7] * 3
    assert own[:, -1].tolist() == [begin + 7 + own.shape[1] - end - 2] * 3


def test_one_frame_has_no_frame_rate_that_matters(folder, loaded):
    model, processor = loaded
    ((own, kinds),) = found_in(model, batch_of(folder, processor, ["one.mp4"]))
    assert len(set(own[0, kinds == VIDEO].tolist())) == 1


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_rows_of_a_mixed_batch_have_the_positions_that_they_have_alone(folder, loaded, padding_side):
    model, processor = loaded
    media = ["thirty.mp4", "still.png", "one.mp4", "two.mp4", "still.png"]
    together = found_in(model, batch_of(folder, processor, media, padding_side=padding_side))
    rows = list(rows_of(folder, media))
    video = VideoConfig(num_frames=8, max_pixels=112 * 112, min_pixels=0)
    collator = Collator(processor, video, PROMPT, with_target=False)
    for row, (own, kinds) in zip(rows, together, strict=True):
        ((expected, expected_kinds),) = found_in(model, collator([row]))
        assert torch.equal(own, expected)
        assert torch.equal(kinds, expected_kinds)


def test_the_forward_uses_them(folder, loaded):
    model, processor = loaded
    batch = batch_of(folder, processor, ["two.mp4"])
    with torch.no_grad():
        logits = model(**batch).logits
        assert torch.equal(model(**batch).logits, logits)
        assert not torch.allclose(model(**batch | {"second_per_grid_ts": [2.0]}).logits, logits, atol=1e-4)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (None, "0 entries for 1 videos"),
        ([], "0 entries for 1 videos"),
        ([1.0, 1.0], "2 entries for 1 videos"),
        (torch.tensor([1.0], dtype=torch.bfloat16), "bfloat16, which moves frames in time"),
    ],
)
def test_a_clip_without_its_true_time_stops_the_forward(folder, loaded, times, told):
    model, processor = loaded
    batch = batch_of(folder, processor, ["two.mp4"]) | {"second_per_grid_ts": times}
    with pytest.raises(ValueError, match=told), torch.no_grad():
        model(**batch)


def test_times_as_a_tensor_are_the_same_times(folder, loaded):
    model, processor = loaded
    batch = batch_of(folder, processor, ["thirty.mp4", "still.png"])
    as_tensor = batch | {"second_per_grid_ts": torch.tensor(batch["second_per_grid_ts"])}
    for (own, _), (other, _) in zip(found_in(model, batch), found_in(model, as_tensor), strict=True):
        assert torch.equal(own, other)


def test_a_model_that_someone_else_loads_in_this_process_follows_the_rule_too(folder, loaded):
    """Trainers load reference models of their own."""
    _, processor = loaded
    plain = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "model")
    batch = batch_of(folder, processor, ["thirty.mp4"])
    assert torch.equal(found_in(plain, batch)[0][0], found_in(loaded[0], batch)[0][0])


segments = st.lists(
    st.one_of(
        st.tuples(st.just(TEXT), st.integers(1, 5)),
        st.tuples(st.just(IMAGE), st.integers(1, 3), st.integers(1, 3)),
        st.tuples(st.just(VIDEO), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.floats(0.01, 5)),
    ),
    min_size=1,
    max_size=6,
)


@given(segments)
def test_no_token_shares_its_position_with_an_earlier_segment(parts):
    kinds, images, videos, seconds, lengths = [], [], [], [], []
    for part in parts:
        if kinds and part[0] != TEXT:
            kinds.append(TEXT)  # <|vision_end|> lies between two media
        lengths.append(len(kinds))
        if part[0] == TEXT:
            kinds += [TEXT] * part[1]
        elif part[0] == IMAGE:
            kinds += [IMAGE] * (part[1] * part[2])
            images.append((1, 2 * part[1], 2 * part[2]))
        else:
            kinds += [VIDEO] * (part[1] * part[2] * part[3])
            videos.append((part[1], 2 * part[2], 2 * part[3]))
            seconds.append(part[4])
    found = torch.tensor(positions(kinds, images, videos, seconds))
    assert found.shape == (3, len(kinds))
    assert found.min() == 0
    for begin in lengths[1:]:
        assert found[:, begin:].min() == found[:, :begin].max() + 1

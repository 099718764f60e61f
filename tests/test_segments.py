"""Segments on tokenizers trained on the spot: real merges across the border, none at all, and Qwen's own splitting."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from curation.errors import ConfigError
from curation.trace import Trace, TraceFormatError, parse_trace, render_trace
from training.processes import BlockTokens, find_border, split_processes
from training.segments import SegmentMasks, TokenBytes, find_segments, load_token_bytes, segment_masks

GOOD = (
    "<observation>Based on the question, I need to notice a red circle.</observation> "
    "<think>Based on the observations, it moves left.</think><answer>B</answer>"
)
CORPUS = [
    GOOD.replace("> <", "><"),
    GOOD,
    "the red circle moves left, the blue square moves up",
    "\u4e2d\u6587 caf\u00e9",
]
TWICE = "<observation>o</observation> <observation>p</observation>"
SPECIAL = ["<|endoftext|>", "<|im_end|>", "<|video_pad|>"]
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(vocab_size: int, split: str | None = None) -> Tokenizer:
    """Byte-level BPE; without `split` a merge may join anything, also `</observation><think>`."""
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    splitting = [] if split is None else [pre_tokenizers.Split(Regex(split), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splitting, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    return tokenizer


TOKENIZERS = {"merges anything": train(420), "merges nothing": train(256), "splits like Qwen": train(420, QWEN_SPLIT)}
TABLES = {name: load_token_bytes(tokenizer) for name, tokenizer in TOKENIZERS.items()}
names = pytest.mark.parametrize("name", TOKENIZERS)
any_name = st.sampled_from(sorted(TOKENIZERS))

# Texts of the template's own pieces reach the corners sooner than random characters do.
PIECES = ["<observation>", "</observation>", "<think>", "</think>", "<answer>", "</answer>", "<", "</", ">", " ", "\n"]
PIECES += ["<Think>", "< think>", "</observ", "a", "circle moves", "\u4e2d", "\u00a0", "\U0001f600"]
pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
body = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip()
)


def encode(name: str, text: str) -> list[int]:
    return TOKENIZERS[name].encode(text, add_special_tokens=False).ids


def special(name: str, token: str) -> int:
    return TOKENIZERS[name].token_to_id(token)


def parts(name: str, ids: list[int], template="full") -> tuple[str, str]:
    """What the perception tokens spell, and what the reasoning tokens do."""
    spelled = TABLES[name].spell(ids)
    flags = find_segments(ids, TABLES[name], template).is_perception
    texts = [
        b"".join(piece for piece, flag in zip(spelled, flags, strict=True) if flag is kept) for kept in (True, False)
    ]
    return texts[0].decode("utf-8", "replace"), texts[1].decode("utf-8", "replace")


def by_bytes(text: str, template="full") -> tuple[str, str]:
    """Without merges the border is exact."""
    return parts("merges nothing", encode("merges nothing", text), template)


def test_the_trained_tokenizers_have_the_borders_that_the_tests_are_about():
    spelled = {name: TABLES[name].spell(encode(name, GOOD.replace("> <", "><"))) for name in TOKENIZERS}
    assert any(b"><" in piece for piece in spelled["merges anything"])
    assert any(b"><" in piece for piece in spelled["splits like Qwen"])
    assert all(len(piece) == 1 for piece in spelled["merges nothing"])


def test_well_formed_trace_splits_behind_the_closing_observation_tag():
    end = GOOD.index("</observation>") + len("</observation>")
    assert by_bytes(GOOD) == (GOOD[:end], GOOD[end:])
    assert by_bytes("\n " + GOOD + " \n") == ("\n " + GOOD[:end], GOOD[end:] + " \n")


@names
def test_straddling_token_belongs_to_the_segment_it_starts_in(name):
    text = GOOD.replace("> <", "><")
    ids = encode(name, text)
    spelled, border = TABLES[name].spell(ids), text.encode().index(b"<think>")
    start, expected = 0, []
    for piece in spelled:
        expected.append(start < border)
        start += len(piece)
    assert list(find_segments(ids, TABLES[name]).is_perception) == expected
    last = [piece for piece, flag in zip(spelled, expected, strict=True) if flag][-1]
    assert (b"><" in last) == (name != "merges nothing")


def test_a_token_across_the_border_is_perception_by_hand():
    table = TokenBytes({1: b"<observation>o</observation", 2: b"><", 3: b"think>t</think>", 4: b"<answer>B</answer>"})
    segments = find_segments([1, 2, 3, 4], table)
    assert segments.is_perception == (True, True, False, False)
    assert segments.lengths == BlockTokens(observation=1, think=1, answer=1)


@given(any_name, body, body, body, st.sampled_from(["", " ", "\n\n"]))
def test_think_of_a_well_formed_trace_is_never_perception(name, observation, think, answer, gap):
    text = f"<observation>{observation}</observation>{gap}<think>{think}</think><answer>{answer}</answer>"
    parse_trace(text)
    ids = encode(name, text)
    border = len(f"<observation>{observation}</observation>".encode())
    start = 0
    for piece, flag in zip(TABLES[name].spell(ids), find_segments(ids, TABLES[name]).is_perception, strict=True):
        assert flag == (start < border)
        start += len(piece)
    assert start == len(text.encode())


@pytest.mark.parametrize(
    ("text", "perception"),
    [
        ("<observation>o <think>t</think><answer>a</answer>", "<observation>o "),  # missing </observation>
        ("<observation>o <answer>a</answer>", "<observation>o "),
        ("<observation>o</observation><answer>a</answer>", "<observation>o</observation>"),  # no think
        ("<think>t</think><answer>a</answer>", ""),  # no observation at all
        ("I see o. <think>t</think><answer>a</answer>", "I see o. "),
        ("<observation>o</observation></observation> <think>t", "<observation>o</observation></observation>"),
        (TWICE + " <think>t", TWICE),
        ("<observation>o</observation> <observation>p <think>t", "<observation>o</observation> <observation>p "),
        ("o</observation><think>t", "o</observation>"),
        ("<think>t</think><observation>o</observation><answer>a</answer>", ""),  # wrong order
        ("<answer>a</answer><observation>o</observation><think>t</think>", ""),
        ("<observation>o</observation><think>t<observation>p</observation>", "<observation>o</observation>"),
        ("well: <observation>o</observation><think>t</think>", "well: <observation>o</observation>"),  # text before
        ("<observation>o</observation> so <think>t</think>", "<observation>o</observation>"),  # text between
        ("<observation>o</observation>B", "<observation>o</observation>"),
        ("<observation>o</observation>", "<observation>o</observation>"),
        ("<observation>I see a r", "<observation>I see a r"),  # cut off
        ("<observation>I see</observ", "<observation>I see</observ"),
        ("<observation>o</observation><think>t", "<observation>o</observation>"),
        ("The answer is B", "The answer is B"),  # no tag
        ("", ""),
    ],
)  # fmt: skip
def test_each_fault_has_its_border(text, perception):
    assert by_bytes(text) == (perception, text.removeprefix(perception))


def test_agnostic_template_is_all_reasoning():
    text = "<think>t</think><answer>a</answer>"
    assert by_bytes(text, "agnostic") == ("", text)
    assert by_bytes(GOOD, "agnostic") == ("", GOOD)
    lengths = find_segments(encode("merges nothing", text), TABLES["merges nothing"], "agnostic").lengths
    assert lengths == BlockTokens(None, 1, 1)


@given(any_name, st.one_of(pieces, st.text(st.characters(exclude_categories=["Cs"]))))
def test_text_and_format_are_those_of_the_decoded_completion(name, text):
    ids = encode(name, text)
    segments = find_segments(ids, TABLES[name])
    assert segments.text == TOKENIZERS[name].decode(ids, skip_special_tokens=True)
    processes = split_processes(segments.text)
    assert (segments.lengths.observation is None) == (processes.observation is None)
    assert (segments.lengths.think is None) == (segments.lengths.answer is None) == (processes.think is None)


@given(any_name, st.data())
def test_sampled_ids_that_no_text_encodes_to_are_spelled_as_the_tokenizer_decodes_them(name, data):
    """Random ids: torn characters, special tokens, ids beyond the vocabulary."""
    top = TOKENIZERS[name].get_vocab_size() + 20
    ids = data.draw(st.lists(st.integers(0, top), max_size=40))
    segments = find_segments(ids, TABLES[name])
    assert segments.text == TOKENIZERS[name].decode(ids, skip_special_tokens=True)
    assert len(segments.is_perception) == len(ids)


@given(pieces)
def test_both_processes_are_well_formed_exactly_when_the_trace_parses(text):
    processes = split_processes(text)
    try:
        trace = parse_trace(text)
    except TraceFormatError:
        assert processes.observation is None or processes.think is None
    else:
        blocks = (processes.observation, processes.think, processes.answer)
        assert Trace(*(text[block.inner_start : block.inner_end].strip() for block in blocks)) == trace


@given(pieces)
def test_a_process_is_judged_on_its_own_segment_alone(text):
    border = find_border(text)
    processes = split_processes(text)
    if border is None:
        assert processes == split_processes(text[:border]) and processes.observation is None
    else:
        assert processes.observation == split_processes(text[:border]).observation
        assert (processes.think is None) == (split_processes(text[border:], "agnostic").think is None)


def test_unspeakable_bytes_move_no_border():
    """A torn character is one replacement character in the text but one to three bytes in the tokens."""
    table = TokenBytes(
        {1: b"<observation>", 2: b"\xe4\xb8", 3: b"</observation>", 4: b"\xff<think>t</think><answer>a</answer>"}
    )
    segments = find_segments([1, 2, 2, 3, 4], table)
    assert segments.is_perception == (True, True, True, True, False)
    assert segments.lengths == BlockTokens(2, None, None)  # the stray byte stands outside the blocks


@names
def test_end_of_turn_belongs_where_it_stands(name):
    eos = special(name, "<|im_end|>")
    closed = encode(name, "<observation>o</observation>")
    flags = {
        "whole": find_segments([*encode(name, GOOD), eos], TABLES[name]).is_perception,
        "stopped after perception": find_segments([*closed, eos], TABLES[name]).is_perception,
        "cut": find_segments([*encode(name, "<observation>o"), eos], TABLES[name]).is_perception,
        "empty": find_segments([eos], TABLES[name]).is_perception,
    }
    ends = {case: row[-1] for case, row in flags.items()}
    assert ends == {"whole": False, "stopped after perception": False, "cut": True, "empty": True}


@names
def test_special_tokens_have_no_text_and_no_length_and_added_words_have_theirs(name):
    eos, video, tool = (special(name, token) for token in ("<|im_end|>", "<|video_pad|>", "<tool>"))
    assert TABLES[name].text([video, tool, eos]) == "<tool>"
    seen = [video, *encode(name, "o"), video, *encode(name, "p"), video]
    segments = find_segments([*encode(name, "<observation>"), *seen, *encode(name, "</observation>")], TABLES[name])
    assert segments.text == "<observation>op</observation>"
    assert segments.lengths.observation == 2


@given(body, body, body)
def test_lengths_equal_curations_counts_where_nothing_merges_across_a_border(observation, think, answer):
    text = f"<observation>{observation}</observation>\n<think> {think} </think><answer>{answer}</answer>"
    trace = parse_trace(text)
    count = {part: len(encode("merges nothing", getattr(trace, part))) for part in ("observation", "think", "answer")}
    assert find_segments(encode("merges nothing", text), TABLES["merges nothing"]).lengths == BlockTokens(**count)


def test_lengths_equal_curations_counts_with_qwens_splitting():
    name = "splits like Qwen"
    text = render_trace(Trace("I see the red circle.", "It moves left, so B.", "B"))
    lengths = find_segments(encode(name, text), TABLES[name]).lengths
    trace = parse_trace(text)
    assert lengths.observation == len(encode(name, trace.observation))
    assert lengths.think == len(encode(name, trace.think))
    assert lengths.answer == len(encode(name, trace.answer))
    assert lengths.reasoning == lengths.think + lengths.answer


def test_length_is_of_the_sampled_tokens_not_of_a_new_tokenisation():
    name = "merges anything"
    one_byte = {piece: token for token, piece in TABLES[name].table.items() if len(piece) == 1}
    sampled = [one_byte[bytes([byte])] for byte in GOOD.encode()]
    inner = parse_trace(GOOD).observation
    assert find_segments(sampled, TABLES[name]).lengths.observation == len(inner)
    assert find_segments(encode(name, GOOD), TABLES[name]).lengths.observation < len(inner)


def pad(rows: list[list[int]], width: int, pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[place, : len(row)] = 1
    return ids, mask


@given(any_name, st.lists(st.one_of(pieces, st.just(GOOD)), max_size=4), st.integers(0, 3))
def test_masks_are_disjoint_and_cover_exactly_the_completion(name, texts, extra):
    rows = [[*encode(name, text), special(name, "<|im_end|>")] for text in texts]
    ids, mask = pad(rows, max(map(len, rows), default=0) + extra, special(name, "<|endoftext|>"))
    masks = segment_masks(ids, mask, TABLES[name])
    assert masks.perception_BT.dtype == masks.reasoning_BT.dtype == torch.bool
    assert not (masks.perception_BT & masks.reasoning_BT).any()
    assert torch.equal(masks.perception_BT | masks.reasoning_BT, mask.bool())
    for place, row in enumerate(rows):
        alone = find_segments(row, TABLES[name])
        assert masks.rows[place] == alone
        assert tuple(masks.perception_BT[place, : len(row)].tolist()) == alone.is_perception


def test_padding_is_in_no_segment_whatever_its_id_spells():
    name = "merges nothing"
    ids, mask = pad([encode(name, GOOD), []], 200, encode(name, "o")[0])
    masks = segment_masks(ids, mask, TABLES[name])
    assert (masks.perception_BT | masks.reasoning_BT).sum(dim=1).tolist() == [len(encode(name, GOOD)), 0]
    assert masks.rows[1].text == "" and masks.rows[1].lengths == BlockTokens(None, None, None)


def test_a_row_masked_out_as_truncated_has_no_segment():
    ids = torch.tensor([encode("merges nothing", GOOD)])
    masks = segment_masks(ids, torch.zeros_like(ids), TABLES["merges nothing"])
    assert isinstance(masks, SegmentMasks)
    assert not masks.perception_BT.any() and not masks.reasoning_BT.any()


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(1, 3\) and \(1, 4\)"):
        segment_masks(torch.zeros((1, 3)), torch.ones((1, 4)), TABLES["merges nothing"])


def test_a_transformers_tokenizer_spells_as_its_backend():
    wrapped = PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS["splits like Qwen"], eos_token="<|im_end|>")
    assert load_token_bytes(wrapped) == TABLES["splits like Qwen"]


def test_the_tokenizer_class_of_qwen_is_byte_level_and_its_end_of_turn_has_no_text():
    trained = json.loads(TOKENIZERS["splits like Qwen"].to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    qwen = Qwen2Tokenizer(vocab=trained["vocab"], merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = qwen(GOOD + "<|im_end|><|endoftext|>")["input_ids"]
    segments = find_segments(ids, load_token_bytes(qwen))
    assert ids[-2:] == [qwen.eos_token_id, qwen.pad_token_id]
    assert segments.text == GOOD == qwen.decode(ids, skip_special_tokens=True)
    assert None not in (segments.lengths.observation, segments.lengths.reasoning)


def test_every_byte_can_be_spelled():
    assert {piece for piece in TABLES["merges nothing"].table.values() if len(piece) == 1} == {
        bytes([byte]) for byte in range(256)
    }


@pytest.mark.parametrize(
    "tokenizer",
    [
        Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1}, unk_token="[UNK]")),
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))),
        object(),
    ],
    ids=["words", "word pieces", "no tokenizer"],
)
def test_tokenizer_that_is_not_byte_level_is_refused_in_one_line(tokenizer):
    with pytest.raises(ConfigError, match="not byte-level") as caught:
        load_token_bytes(tokenizer)
    assert "\n" not in str(caught.value)

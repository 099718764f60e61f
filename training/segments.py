"""Which sampled tokens are perception and which are reasoning (VideoP2R eq. 6).

Found on the token ids as they were sampled, never by tokenising the text again: a policy may spell a text in other
tokens than its tokenizer would. Each token's bytes are known (byte-level BPE), so each token starts at a known byte,
and the border between the processes (processes.py) is a byte too.

A token belongs to the process it starts in. A token that straddles the border, such as `><` in
`</observation><think>`, is therefore perception: what it begins with decided it. The paper leaves this open.
Special tokens (end of turn, padding, vision placeholders) and ids without a token have no bytes, as in the decoded
text; they belong where they stand, so the end of turn after </answer> is reasoning. Padding outside the completion mask
belongs to neither.

Names end in the axes of their tensor: B completions, T tokens of the longest of them.
"""
# ruff: noqa: N803, N806, N815

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor

from curation.errors import ConfigError
from curation.trace import Block
from training.processes import BlockTokens, Template, split_processes


@dataclass(frozen=True, slots=True)
class TokenBytes:
    """The bytes that each token id stands for; an id that is not in `table` stands for none."""

    table: Mapping[int, bytes]

    def spell(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token."""
        return [self.table.get(token, b"") for token in ids]

    def text(self, ids: Sequence[int]) -> str:
        """What the tokenizer decodes without special tokens: invalid UTF-8 becomes U+FFFD."""
        return b"".join(self.spell(ids)).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Segments:
    """One completion. text: as `TokenBytes.text`. is_perception: one per token; the other tokens are reasoning."""

    text: str
    is_perception: tuple[bool, ...]
    lengths: BlockTokens


@dataclass(frozen=True, slots=True)
class SegmentMasks:
    """A batch. perception_BT, reasoning_BT: bool (B, T), disjoint; together the completion mask. rows: B Segments."""

    perception_BT: Tensor
    reasoning_BT: Tensor
    rows: tuple[Segments, ...]


def load_token_bytes(tokenizer: Any) -> TokenBytes:
    """Read the vocabulary of a transformers tokenizer or a tokenizers.Tokenizer, once per run.

    Raises ConfigError when it is not byte-level: then a token's bytes depend on its neighbours, or are not known.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    decoder = getattr(backend, "decoder", None)
    if not isinstance(decoder, ByteLevel):
        raise ConfigError(
            f"the tokenizer {type(tokenizer).__name__} is not byte-level (its decoder is {type(decoder).__name__}), so "
            "segments cannot be found in its tokens. Use a model with a byte-level BPE tokenizer, such as Qwen2.5-VL."
        )
    table = {token: _spell(name) for name, token in backend.get_vocab(with_added_tokens=False).items()}
    # Added tokens are kept as they are written, e.g. <think> in later Qwen models; the special ones have no text.
    for token, added in backend.get_added_tokens_decoder().items():
        table[token] = b"" if added.special else added.content.encode()
    return TokenBytes(table)


def find_segments(ids: Sequence[int], token_bytes: TokenBytes, template: Template = "full") -> Segments:
    """Part the tokens of one completion, without padding, into perception and reasoning. Any ids will do.

    Lengths are the tokens that hold at least one byte of a block's stripped inner text. For a text spelled as the
    tokenizer would, that is what curation counts for the same text (observation_tokens, think_tokens), unless a merge
    reaches across the border of a block.
    """
    spelled = token_bytes.spell(ids)
    edges = [0, *accumulate(map(len, spelled))]
    raw = b"".join(spelled)
    # Invalid bytes become lone surrogates, one each, so that every offset in the text leads back to its byte.
    text = raw.decode("utf-8", "surrogateescape")
    processes = split_processes(text, template)
    border = None if processes.border is None else _byte_offset(text, processes.border)
    # Tokens start in order, so those before the border come first.
    num_perception = len(ids) if border is None else bisect_left(edges, border, hi=len(ids))

    def count(block: Block | None) -> int | None:
        return None if block is None else _count_tokens(edges, *_inner_bytes(text, block))

    return Segments(
        text=raw.decode("utf-8", "replace"),
        is_perception=(True,) * num_perception + (False,) * (len(ids) - num_perception),
        lengths=BlockTokens(count(processes.observation), count(processes.think), count(processes.answer)),
    )


def segment_masks(
    completion_ids_BT: Tensor,
    completion_mask_BT: Tensor,
    token_bytes: TokenBytes,
    template: Template = "full",
) -> SegmentMasks:
    """Masks for a padded batch, on the device of the ids.

    completion_ids_BT: int (B, T). completion_mask_BT: bool or 0/1, (B, T); only the tokens it marks are read. Raises
    ValueError when the shapes differ.
    """
    if completion_ids_BT.ndim != 2 or completion_ids_BT.shape != completion_mask_BT.shape:
        raise ValueError(
            f"ids and mask must both be (B, T), got {tuple(completion_ids_BT.shape)} and "
            f"{tuple(completion_mask_BT.shape)}"
        )
    completion_BT = completion_mask_BT.bool()
    rows = [
        find_segments(ids[mask].tolist(), token_bytes, template)
        for ids, mask in zip(completion_ids_BT.cpu(), completion_BT.cpu(), strict=True)
    ]
    return lay_masks(rows, completion_BT)


def lay_masks(rows: Sequence[Segments], completion_mask_BT: Tensor) -> SegmentMasks:
    """Masks of completions whose segments are known already, on the device of their completion mask.

    A completion that is masked as a whole belongs to neither process. Raises ValueError when a row has another number
    of tokens than its mask.
    """
    completion_BT = completion_mask_BT.bool()
    counts = completion_BT.sum(dim=1).tolist()
    known = [len(row.is_perception) for row in rows]
    if any(count not in (0, length) for count, length in zip(counts, known, strict=True)):
        raise ValueError(f"completions of {known} tokens do not fit masks of {counts}")
    flags = [flag for row, count in zip(rows, counts, strict=True) if count for flag in row.is_perception]
    perception_BT = torch.zeros_like(completion_BT)
    perception_BT[completion_BT] = torch.tensor(flags, dtype=torch.bool, device=completion_BT.device)
    return SegmentMasks(perception_BT, completion_BT & ~perception_BT, tuple(rows))


def _byte_alphabet() -> dict[str, int]:
    """The character by which byte-level BPE writes each byte: printable ones stand for themselves (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


_BYTE_ALPHABET: Final = _byte_alphabet()


def _spell(name: str) -> bytes:
    """The bytes of a token that the vocabulary writes as `name`; one with other characters decodes to itself."""
    if all(char in _BYTE_ALPHABET for char in name):
        return bytes(_BYTE_ALPHABET[char] for char in name)
    return name.encode()


def _byte_offset(text: str, place: int) -> int:
    return len(text[:place].encode("utf-8", "surrogateescape"))


def _inner_bytes(text: str, block: Block) -> tuple[int, int]:
    """The bytes [start, end) of a block's inner text without the white space around it."""
    inner = text[block.inner_start : block.inner_end]
    start = block.inner_start + len(inner) - len(inner.lstrip())
    return _byte_offset(text, start), _byte_offset(text, start + len(inner.strip()))


def _count_tokens(edges: Sequence[int], start: int, end: int) -> int:
    """Tokens with a byte in [start, end); `edges` are their bounds, so one without bytes has none of its own."""
    if start >= end:
        return 0
    first, last = bisect_right(edges, start) - 1, bisect_left(edges, end)
    return len(set(edges[first : last + 1])) - 1

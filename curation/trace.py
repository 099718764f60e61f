"""The trace template: its parser, its renderer, and the character span of each block.

    <observation>...</observation> <think>...</think><answer>...</answer>

Each block occurs exactly once, in this order, with nothing but white space around (VideoP2R section 3.1). The
observation is the perception process; think and answer are the reasoning process. `parse_trace` and `render_trace`
are inverses: a `Trace` that would not survive the round trip cannot be built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BLOCKS: Final = ("observation", "think", "answer")
OBSERVATION_OPENING: Final = "Based on the question, I need to notice"
THINK_OPENING: Final = "Based on the observations,"

_TAGS: Final = frozenset(tag for name in BLOCKS for tag in (f"<{name}>", f"</{name}>"))
# Anything that reads like one of our tags, well-formed or not: </<observation>, < think>, <Answer>, <answer .
# A match without a name is a stretch of "<" and "/" that belongs to no tag, consumed so that the scan stays linear.
_TAG_LIKE: Final = re.compile(r"<[</\s]*+(?:(observation|think|answer)\b[^<>]*>?)?", re.IGNORECASE)


class FormatFault(StrEnum):
    """How a completion misses the template.

    One fault is reported: a malformed tag before all else, then the first place where tags do not pair up, then the
    rest in the order below.
    """

    EMPTY = "empty"
    MALFORMED_TAG = "malformed_tag"
    UNCLOSED = "unclosed"
    NESTED = "nested"
    UNOPENED = "unopened"
    DUPLICATED = "duplicated"
    MISSING = "missing"
    REORDERED = "reordered"
    TEXT_OUTSIDE = "text_outside"
    EMPTY_BLOCK = "empty_block"


class TraceFormatError(ValueError):
    """The text is no trace. `fault` names how."""

    def __init__(self, fault: FormatFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Block:
    """Character offsets of one block: [start, end) with its tags, [inner_start, inner_end) without."""

    name: str
    start: int
    inner_start: int
    inner_end: int
    end: int


@dataclass(frozen=True, slots=True)
class Trace:
    """The three texts, stripped, not empty, free of the template's tags.

    Raises TraceFormatError when built from texts that could not be parsed back.
    """

    observation: str
    think: str
    answer: str

    def __post_init__(self) -> None:
        for name in BLOCKS:
            text = getattr(self, name)
            if text is None:  # a published row without this text
                raise TraceFormatError(FormatFault.EMPTY_BLOCK, f"{name} is null")
            # With its closing tag, because a text that ends in "<" would spoil it.
            tag = next(_find_tags(f"{text}</{name}>"))
            if tag.start() != len(text):
                raise TraceFormatError(FormatFault.NESTED, f"{tag[0][:60]!r} inside {name}")
            if not text or text != text.strip():
                raise TraceFormatError(FormatFault.EMPTY_BLOCK, f"{name} must be stripped and not empty")


def parse_trace(text: str) -> Trace:
    """Parse one completion. Raises TraceFormatError, which names the fault; never anything else, on any string."""
    return Trace(*(text[block.inner_start : block.inner_end].strip() for block in parse_blocks(text)))


def render_trace(trace: Trace) -> str:
    """The one way a trace is written."""
    return f"<observation>{trace.observation}</observation> <think>{trace.think}</think><answer>{trace.answer}</answer>"


def parse_blocks(text: str) -> tuple[Block, Block, Block]:
    """The three blocks of a well-formed completion, in order, as offsets into `text`.

    Raises TraceFormatError. The perception segment is the first block, the reasoning segment the other two.
    """
    if not text.strip():
        raise TraceFormatError(FormatFault.EMPTY, "the completion is empty")
    blocks = _pair_tags(text)
    names = [block.name for block in blocks]
    for name in BLOCKS:
        if name not in names:
            raise TraceFormatError(FormatFault.MISSING, f"no <{name}> block")
    if names != list(BLOCKS):
        raise TraceFormatError(FormatFault.REORDERED, f"blocks come as {', '.join(names)}")
    edges = [0, *(edge for block in blocks for edge in (block.start, block.end)), len(text)]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if outside := text[start:end].strip():
            raise TraceFormatError(FormatFault.TEXT_OUTSIDE, f"{outside[:60]!r} stands outside the blocks")
    for block in blocks:
        if not text[block.inner_start : block.inner_end].strip():
            raise TraceFormatError(FormatFault.EMPTY_BLOCK, f"<{block.name}> is empty")
    observation, think, answer = blocks
    return observation, think, answer


def _find_tags(text: str) -> Iterator[re.Match[str]]:
    """Whatever reads like a tag, in order; group 1 is its name."""
    return (match for match in _TAG_LIKE.finditer(text) if match[1])


def _pair_tags(text: str) -> list[Block]:
    """Match opening with closing tags; whatever does not pair up is a fault."""
    tags = list(_find_tags(text))
    for tag in tags:
        if tag[0] not in _TAGS:
            raise TraceFormatError(FormatFault.MALFORMED_TAG, f"{tag[0][:60]!r} at character {tag.start()}")
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    for place, tag in enumerate(tags):
        name = tag[1]
        closing = tag[0].startswith("</")
        if opened is None and closing:
            raise TraceFormatError(FormatFault.UNOPENED, f"{tag[0]} without <{name}>")
        if opened is not None and not (closing and name == opened[1]):
            closes_later = any(later[0] == f"</{opened[1]}>" for later in tags[place:])  # once: it ends in a raise
            fault = FormatFault.NESTED if closes_later else FormatFault.UNCLOSED
            raise TraceFormatError(fault, f"{tag[0]} inside <{opened[1]}>")
        if opened is None:
            if any(block.name == name for block in blocks):
                raise TraceFormatError(FormatFault.DUPLICATED, f"a second <{name}>")
            opened = tag
        else:
            blocks.append(Block(name, opened.start(), opened.end(), tag.start(), tag.end()))
            opened = None
    if opened is not None:
        raise TraceFormatError(FormatFault.UNCLOSED, f"<{opened[1]}> is never closed")
    return blocks

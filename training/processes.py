"""Perception and reasoning in the text of a completion, however malformed it is (VideoP2R sections 3.1 and 3.3).

The one question is where perception ends: at the border. The paper leaves it open for what is not well-formed; the
rule here is that perception lasts until something ends it.

| completion                                      | the border stands                                     |
|-------------------------------------------------|-------------------------------------------------------|
| well-formed                                     | behind </observation>                                 |
| two observations before any <think> or <answer> | behind the last </observation>                        |
| no </observation>, or it was opened once more   | before the first <think> or <answer>                  |
| <think> or <answer> before the observation      | before that tag; an observation after it is reasoning |
| neither: no tags, cut off, empty                | nowhere: all of it is perception                      |

So text before the observation is perception; text after </observation>, between the blocks or after </answer> is
reasoning, and so is the end of a completion that stops after its observation: it should have gone on to think. The
think of a well-formed trace is never perception. A fault counts against the process that it stands in, because that is
the process whose tokens wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from curation.trace import Block, Trace, TraceFormatError, parse_blocks, render_trace

# full: observation, think, answer. agnostic: think and answer only (the paper's process-agnostic ablation).
Template = Literal["full", "agnostic"]

_BORDER_TAGS: Final = re.compile(r"</?observation>|<think>|<answer>")
# Stand in for the other process, so that the one parser of the format decides on each process alone.
_SOME_PERCEPTION: Final = "<observation>.</observation>"
_SOME_REASONING: Final = "<think>.</think><answer>.</answer>"


def render_target(texts: Mapping[str, Any], template: Template) -> str:
    """Write the blocks of a template from a row's observation, think and answer; agnostic reads no observation.

    Raises TraceFormatError for a text that is null or empty, or could not be parsed back.
    """
    if template == "full":
        return render_trace(Trace(texts["observation"], texts["think"], texts["answer"]))
    trace = Trace(".", texts["think"], texts["answer"])
    return f"<think>{trace.think}</think><answer>{trace.answer}</answer>"


@dataclass(frozen=True, slots=True)
class Processes:
    """Offsets into the text, in characters.

    border: where reasoning begins; None when perception never ends.
    observation: None when the perception process is not well-formed.
    think, answer: both None when the reasoning process is not well-formed.
    """

    border: int | None
    observation: Block | None
    think: Block | None
    answer: Block | None


@dataclass(frozen=True, slots=True)
class BlockTokens:
    """Sampled tokens of each block's inner text; None where its process is not well-formed (null is not zero)."""

    observation: int | None
    think: int | None
    answer: int | None

    @property
    def reasoning(self) -> int | None:
        """The length of the reasoning segment: think and answer together (VideoP2R, R_len)."""
        return None if self.think is None or self.answer is None else self.think + self.answer


def split_processes(text: str, template: Template = "full") -> Processes:
    """Part a completion into its processes. Never raises, on any string.

    Both processes are well-formed exactly when `parse_trace` accepts the whole text.
    """
    if template == "agnostic":
        return Processes(0, None, *_parse_reasoning(text, 0))
    border = find_border(text)
    return Processes(border, _parse_perception(text[:border]), *_parse_reasoning(text, border))


def find_border(text: str) -> int | None:
    """Where reasoning begins, in characters; None when perception never ends. The table above."""
    observation_tag: re.Match[str] | None = None
    for tag in _BORDER_TAGS.finditer(text):
        if tag[0] in ("<think>", "<answer>"):
            return _end_of_perception(observation_tag, tag.start())
        observation_tag = tag
    return _end_of_perception(observation_tag, None)


def _end_of_perception(observation_tag: re.Match[str] | None, reasoning_start: int | None) -> int | None:
    """Behind the last observation tag before reasoning if that one closes, else where reasoning starts."""
    if observation_tag is not None and observation_tag[0] == "</observation>":
        return observation_tag.end()
    return reasoning_start


def _parse_perception(text: str) -> Block | None:
    try:
        return parse_blocks(text + _SOME_REASONING)[0]
    except TraceFormatError:
        return None


def _parse_reasoning(text: str, border: int | None) -> tuple[Block | None, Block | None]:
    if border is None:
        return None, None
    try:
        _, think, answer = parse_blocks(_SOME_PERCEPTION + text[border:])
    except TraceFormatError:
        return None, None
    shift = border - len(_SOME_PERCEPTION)
    return _shifted(think, shift), _shifted(answer, shift)


def _shifted(block: Block, shift: int) -> Block:
    start, inner_start, inner_end, end = (
        edge + shift for edge in (block.start, block.inner_start, block.inner_end, block.end)
    )
    return Block(block.name, start, inner_start, inner_end, end)

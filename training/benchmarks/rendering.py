"""What is asked in words, beside the media: one template a prompt name, the same for every benchmark and engine.

| prompt | template                                                      | asks for                            |
|--------|---------------------------------------------------------------|-------------------------------------|
| trace  | that of curation, training and inference (VideoP2R, sec. 3.2) | an observation, reasoning, <answer> |
| direct | prompts/direct.txt                                            | <answer> alone, as a baseline       |

The form of the answer is what the strict readers of answers.py take: the template's own words for the problem type,
and for kinds that curation does not know (yes or no, a line, an interval ...) a sentence of ours behind the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import as_file, files
from typing import Final

from curation.prompts import ANSWER_FORMS, Prompt, load_trace_prompt, render_trace_prompt
from curation.schema import Question
from training.benchmarks.config import PromptName
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Kind

_DIRECT: Final = "direct.txt"
_TRACE_UNSEEN: Final = "trace_unseen.txt"

_PROBLEM_TYPES: Final[Mapping[Kind, str]] = {
    "mc": "multiple choice",
    "numeric": "numerical",
    "regression": "regression",
    "ocr": "OCR",
}
_OTHER: Final = "free-form"
# Small letters: under videor1 a yes-or-no answer is right when it is the gold text.
FORM_SENTENCES: Final[Mapping[Kind, str]] = {
    "yesno": "The answer is one word in small letters: yes or no.",
    "match": "The answer is the one of these options that fits: its whole line, copied with its label.",
    "interval": "The answer is when it begins and ends, in seconds and in this form: [start, end]",
    "box": "The answer is the four corner coordinates of one box, in this form: [x1, y1, x2, y2]",
    "open": "The answer is in your own words.",
}
_OBSERVATION: Final = "Somebody who looked at it wrote down:\n"


def render_prompt(
    question: BenchmarkQuestion,
    name: PromptName,
    trace_prompt: Prompt,
    *,
    observation: str | None = None,
    has_media: bool = True,
) -> str:
    """The text that goes with the question's media.

    observation: what somebody else noticed in them, which then stands behind the question (VideoP2R's analysis of how
    far an observation is sufficient). has_media: False when the text is sent alone; no word of it then speaks of a
    video. Raises ConfigError when the trace prompt has a slot of its own.
    """
    rendered = _as_question(question, observation)
    return render_trace_prompt(_template(name, trace_prompt, has_media=has_media), rendered)


def prompt_sha256(name: PromptName, trace_prompt: Prompt) -> str:
    """Of all that decides the text besides the question: the templates and the forms of answers."""
    templates = [_template(name, trace_prompt, has_media=has_media).sha256 for has_media in (True, False)]
    parts = [templates, ANSWER_FORMS, FORM_SENTENCES, _OBSERVATION]
    return sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()


def prompt_form(name: PromptName, trace_prompt: Prompt) -> str:
    """The blocks that the prompt asks for, in order: "observation-think-answer", "think-answer", "answer"."""
    template = _template(name, trace_prompt, has_media=True)
    blocks = [block for block in ("observation", "think", "answer") if f"<{block}>" in template.text]
    return "-".join(blocks) or "no blocks"


def _as_question(question: BenchmarkQuestion, observation: str | None) -> Question:
    """Only what render_trace_prompt reads: a benchmark's gold never comes near a prompt."""
    lines = [question.text]
    if observation is not None:
        lines.append(_OBSERVATION + observation.strip())
    if question.kind in FORM_SENTENCES:
        lines.append(FORM_SENTENCES[question.kind])
    return Question(
        id=question.uid,
        problem_id=None,
        problem="\n".join(lines),
        options=question.options,
        data_type="image" if question.media.kind == "image" else "video",
        problem_type=_PROBLEM_TYPES.get(question.kind, _OTHER),
        solution="",
        path=question.media.name,
        data_source=None,
        license=None,
    )


def _template(name: PromptName, trace_prompt: Prompt, *, has_media: bool) -> Prompt:
    """`direct` speaks of no media, so it serves with and without."""
    if name == "direct":
        return _own(_DIRECT)
    return trace_prompt if has_media else _own(_TRACE_UNSEEN)


@cache
def _own(file: str) -> Prompt:
    with as_file(files("training.benchmarks.prompts").joinpath(file)) as path:
        return load_trace_prompt(path)

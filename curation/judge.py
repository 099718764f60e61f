"""The judge: does the correct answer follow from the observation alone? (VideoP2R section 3.2, step 3)

Text in, text out; no media, no network, no SDK. The same prompt verifies traces here and is the perception reward in
RL. What stands in an observation was written by a model and may be hostile: it is fenced off between lines whose nonce
it cannot know, and escaped so that no part of it, echoed back, reads as a verdict.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from curation.prompts import Prompt, render_question
from curation.schema import Question
from curation.scoring.answer_text import answer_text

JUDGE_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "judgement": {"type": "string", "enum": ["Yes", "No"]},
    },
    "required": ["explanation", "judgement"],
    "additionalProperties": False,
}

_JUDGEMENT: Final = r"judge?ment"  # in either spelling
_TAGGED: Final = re.compile(
    rf"(.*)<\s*{_JUDGEMENT}\s*>\s*(yes|no)\s*(?:\.\s*)?<\s*/\s*{_JUDGEMENT}\s*>\s*\.?", re.DOTALL | re.IGNORECASE
)
# Anything that reads like a judgement tag, well-formed or not; runs that do not are consumed, which keeps it linear.
_TAG_LIKE: Final = re.compile(rf"<[</\s]*+({_JUDGEMENT}\b)?", re.IGNORECASE)
_FENCED: Final = re.compile(r"(```+|~~~+)[ \t]*\w*[ \t]*\r?\n(.*)\n[ \t]*\1", re.DOTALL)
_VERDICT_KEY: Final = re.compile(rf"{_JUDGEMENT}|verdict", re.IGNORECASE)
_THINKING: Final = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_END_OF_THINKING: Final = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_OBJECT_START: Final = re.compile(r'\{(?=\s*")')


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sufficient` when the correct answer can be deduced from the observation; `reason` is the judge's explanation."""

    sufficient: bool
    reason: str


def render_judge_prompt(prompt: Prompt, *, data_type: str, question: str, answer: str, observation: str) -> str:
    """What the judge gets, deterministic in its contents. Raises ConfigError when the prompt has an unknown slot."""
    contents = json.dumps([data_type, question, answer, observation])
    nonce = hashlib.sha256(contents.encode("ascii")).hexdigest()[:12]
    return prompt.fill(
        data_type=data_type,
        question=_fence("QUESTION", nonce, question),
        answer=_fence("ANSWER", nonce, answer),
        observation=_fence("OBSERVATION", nonce, observation),
    )


def judge_text(prompt: Prompt, question: Question, observation: str) -> str:
    """What the judge is asked about one observation, in curation and as the perception reward alike."""
    return render_judge_prompt(
        prompt,
        data_type=question.data_type,
        question=render_question(question.problem, question.options, question.problem_type),
        answer=answer_text(question.solution),
        observation=observation,
    )


def read_verdict(reply: str, stop_reason: str | None) -> Verdict | None:
    """The verdict of one completion. A refusal is none, whatever it says."""
    return None if stop_reason == "refusal" else parse_verdict(reply)


def parse_verdict(reply: str) -> Verdict | None:
    """None when the judge did not answer in form: the row stays unscored and is counted. Never a guess.

    In form is one JSON object with the keys of JUDGE_SCHEMA and nothing around, or a text that ends with the only
    judgement tag in it. Near enough are: thinking before it (up to the last </think>), a code fence around it, yes and
    no in any case, white space and a full stop about tag and word, raw line breaks in a JSON string, and further keys
    of which none is a second verdict. Thinking that does not end is no verdict, whatever it says.
    """
    reply = reply.strip()
    if not reply.startswith("{"):
        reply = _END_OF_THINKING.split(reply)[-1].strip()
    if fenced := _FENCED.fullmatch(reply):
        reply = fenced[2].strip()
    return _parse_object(reply) if reply.startswith("{") and reply.endswith("}") else _parse_tagged(reply)


def _parse_object(reply: str) -> Verdict | None:
    try:
        pairs = json.loads(reply, object_pairs_hook=list, strict=False)
    except (ValueError, RecursionError):
        return None
    explanations = [value for key, value in pairs if key == "explanation"]
    judgements = [value for key, value in pairs if _VERDICT_KEY.search(key)]
    match explanations, judgements:
        case [str(explanation)], [str(judgement)] if "judgement" in dict(pairs):
            word = judgement.strip().removesuffix(".").strip().lower()
            return Verdict(word == "yes", _reason(explanation)) if word in ("yes", "no") else None
    return None


def _parse_tagged(reply: str) -> Verdict | None:
    match = _TAGGED.fullmatch(reply)
    if match is None or sum(map(bool, _TAG_LIKE.findall(reply))) != 2 or _THINKING.search(reply):
        return None
    return Verdict(match[2].lower() == "yes", _reason(match[1]))


def _reason(explanation: str) -> str:
    """With U+FFFD for U+0000, which no column may hold (schema.find_unstorable): a verdict is not lost for it."""
    return explanation.strip().replace("\0", "\ufffd")


def _fence(name: str, nonce: str, text: str) -> str:
    return f"<<<{name} {nonce}>>>\n{_escape(text)}\n<<<END {name} {nonce}>>>"


def _escape(text: str) -> str:
    """No angle bracket survives, so no tag and no fence; nor does the start of a JSON object."""
    return _OBJECT_START.sub("&#123;", text.replace("<", "&lt;").replace(">", "&gt;"))

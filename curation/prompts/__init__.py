"""Prompts are files; their hash is provenance. A config may point to another file.

The trace prompt is at once the generation, training and inference prompt (VideoP2R section 3.2); the judge prompt is at
once the curation judge and the perception reward (section 3.3). A slot is written {name} and filled in a single pass,
so that braces in hostile text are never filled again.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from curation.errors import ConfigError
from curation.schema import Question
from curation.scoring.choice import show_options

TRACE_PROMPT: Final = "trace.txt"
JUDGE_PROMPT: Final = "judge.txt"
_SLOT: Final = re.compile(r"\{([a-z_]+)\}")

# What a well-formed answer looks like, per problem type: the scorer in tasks.py reads exactly these forms.
ANSWER_FORMS: Final = {
    "multiple choice": "the letter of one option, and nothing else (for example: B)",
    "numerical": "one number, without a unit (for example: 42 or 3.14)",
    "OCR": "the text exactly as it can be read, and nothing else",
    "free-form": "one short sentence or phrase",
    "regression": "one number, without a unit (for example: 42 or 3.14)",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's text with its slots, and the sha256 of the file it came from."""

    text: str
    sha256: str

    @property
    def file_bytes(self) -> bytes:
        """The file again, with the byte order mark that it may have begun with."""
        plain = self.text.encode()
        return plain if hashlib.sha256(plain).hexdigest() == self.sha256 else codecs.BOM_UTF8 + plain

    def fill(self, **slots: str) -> str:
        """Raises ConfigError when the prompt has a slot that this step cannot fill."""

        def replace(match: re.Match[str]) -> str:
            if match[1] not in slots:
                raise ConfigError(f"prompt has an unknown slot {match[0]}; it may use {sorted(slots)}")
            return slots[match[1]]

        return _SLOT.sub(replace, self.text)


def load_prompt(path: Path | None, default: str, required: Sequence[str] = ("question",)) -> Prompt:
    """The prompt in `path`, or our own when there is none.

    Raises ConfigError when it cannot be read, lacks a required slot, or has a slot that our own does not have: at the
    start of a run, not after the first reply.
    """
    source = files(__package__).joinpath(default) if path is None else path
    prompt = _read(source)
    if path is not None:
        slots, known = _slots(prompt), _slots(_read(files(__package__).joinpath(default)))
        if unknown := slots - known:
            raise ConfigError(f"the prompt {path} has unknown slots {sorted(unknown)}; it may use {sorted(known)}")
        if missing := set(required) - slots:
            raise ConfigError(
                f"the prompt {path} lacks the slots {sorted(missing)}; write them as {{name}} in its text"
            )
    return prompt


def load_trace_prompt(path: Path | None) -> Prompt:
    """The prompt of generation, training and inference. Raises ConfigError."""
    return load_prompt(path, TRACE_PROMPT)


def load_judge_prompt(path: Path | None) -> Prompt:
    """The prompt of the judge. Raises ConfigError."""
    return load_prompt(path, JUDGE_PROMPT, required=("question", "answer", "observation"))


def _slots(prompt: Prompt) -> set[str]:
    return set(_SLOT.findall(prompt.text))


def _read(source: Path | Traversable) -> Prompt:
    try:
        data = source.read_bytes()
        return Prompt(data.decode("utf-8-sig"), hashlib.sha256(data).hexdigest())
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path with a null character
        raise ConfigError(
            f"cannot read the prompt {source}: {error}. Point the config to a UTF-8 text file."
        ) from error


def render_question(problem: str, options: Sequence[str], problem_type: str = "multiple choice") -> str:
    """The problem with its options, one a line, for whoever answers or judges it."""
    return "\n".join([problem, "Options:", *show_options(problem_type, options)]) if options else problem


def render_trace_prompt(prompt: Prompt, question: Question) -> str:
    """The text that a model gets beside the media of this question."""
    return prompt.fill(
        question=render_question(question.problem, question.options, question.problem_type),
        data_type=question.data_type,
        answer_form=ANSWER_FORMS[question.problem_type],
    )

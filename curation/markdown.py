"""Text from the templates in cards/: what a template prints is escaped, and a value that nobody gave is an error.

Escaping is for Markdown, so that a hostile name in the data cannot break a page. `Markdown` is printed as it is;
the filters `quoted`, `shell` and `line` give what other kinds of text need.
"""

from __future__ import annotations

import json
import re
import shlex
from importlib.resources import files
from typing import Any, Final, TypeVar

import jinja2

from curation.errors import ConfigError
from curation.report import percent, plain

MOST_CHARS: Final = 100  # of a name in a table
ValueT = TypeVar("ValueT")
MOST_PROSE: Final = 5_000
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|~$&@#!])")


class Markdown(str):
    """Text that is Markdown already: printed as it is."""


def render(template: str, **values: Any) -> str:
    """Fill `cards/TEMPLATE`. Raises ConfigError for a value that is missing, or that is no text and no number."""

    def show(value: object) -> object:
        if isinstance(value, jinja2.Undefined):
            return str(value)  # raises UndefinedError: StrictUndefined
        if isinstance(value, Markdown):
            return value
        if isinstance(value, str):
            return escape(value)
        if isinstance(value, int | float):
            return value
        raise ConfigError(f"{template} prints {value!r}, which is no text and no number.")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("cards").joinpath(name).read_text("utf-8")),
        undefined=jinja2.StrictUndefined,
        finalize=show,
        autoescape=False,  # this is Markdown: `show` escapes for it
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        count=_count, percent=_percent, quoted=_quoted, shell=_shell, line=_line, verbatim=Markdown, prose=_prose
    )
    try:
        return environment.get_template(template).render(values)
    except jinja2.UndefinedError as error:
        raise ConfigError(f"{template} needs a value that nobody gave: {error}") from error


def escape(text: str, most: int = MOST_CHARS) -> Markdown:
    """One line of plain text that no Markdown reader takes for anything else, link or mathematics included."""
    line = plain(" ".join(text.split()), most=most)
    line = _SPECIAL.sub(r"\\\1", line).replace("://", ":\\//")
    return Markdown(re.sub(r"(?i)\b(www)\.", r"\1\\.", line))


def fence(text: str, language: str) -> Markdown:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return Markdown(f"{ticks}{language}\n{text.rstrip()}\n{ticks}")


def _count(number: object) -> Markdown:
    return Markdown(f"{_given(number, int):,}")


def _percent(share: float | None) -> Markdown:
    return Markdown(percent(share))


def _quoted(text: object) -> Markdown:
    """A string as JSON, YAML and Python write it, on one line."""
    return Markdown(json.dumps(_given(text, str)))


def _shell(text: object) -> Markdown:
    """A word of a command line; one line whatever it holds, so that it stays inside its code block."""
    return Markdown(shlex.quote(plain(" ".join(_given(text, str).split()), most=MOST_PROSE)))


def _line(text: object) -> Markdown:
    """One line of a plain text file."""
    return Markdown(plain(" ".join(_given(text, str).split()), most=MOST_CHARS))


def _prose(text: object) -> Markdown:
    """Plain text of any length as one paragraph."""
    return escape(_given(text, str), most=MOST_PROSE)


def _given(value: object, expected: type[ValueT]) -> ValueT:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises UndefinedError
    if not isinstance(value, expected) or isinstance(value, bool):
        raise ConfigError(f"a card needs a value of type {expected.__name__} and got {value!r}.")
    return value

"""Which rows, in which order, which page: one frozen value that a URL can carry.

    Filter(problem_type=("OCR",), score=(0.6, None), sort="score", descending=True)
    ?type=OCR&score=0.6..&sort=-score

`from_query` undoes `to_query`. A query comes from outside: a parameter that cannot be meant is ignored and named in a
note, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from curation.report import plain

Rows = Literal["cot", "rejected", "all"]
Sort = Literal["order", "score", "observation_tokens", "think_tokens", "problem_type", "data_source"]

# What stands for a null, or for an empty list of overlaps; of overlaps a null is "unknown", for empty is a finding.
NONE: Final = "none"
ANY: Final = "any"
UNKNOWN: Final = "unknown"
MOST_TEXT: Final = 1_000  # characters of a search

_MOST: Final = 2**53  # a browser counts exactly up to here
_BETWEEN: Final = ".."
# Parameter of the URL -> field. "page" is gradio's own.
_FIELDS: Final = {
    "rows": "rows",
    "type": "problem_type",
    "data": "data_type",
    "source": "data_source",
    "by": "rejected_by",
    "verdict": "verdict",
    "flag": "flag",
    "overlap": "overlap",
    "obs": "observation_tokens",
    "think": "think_tokens",
    "score": "score",
    "q": "text",
    "p": "page",
}
_LISTS: Final = frozenset(("type", "data", "source", "by", "verdict", "flag", "overlap"))
_BOUNDS: Final = frozenset(("obs", "think", "score"))
_SORT: Final = "sort"


def whole_characters(text: Any) -> Any:
    """A text with lone surrogates, which no column can hold, replaced by U+FFFD as browsers do; all else as it is."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(whole_characters)]
Tokens = Annotated[int, Field(ge=-_MOST, le=_MOST)]
Score = Annotated[float, Field(allow_inf_nan=False)]


class Filter(BaseModel):
    """Every condition must hold; of the values of one condition, any. An empty tuple or an open bound asks nothing.

    rows: accepted, rejected or both. rejected_by: "filter:score", or a whole step, "filter:". problem_type, data_type,
    data_source, verdict: "none" finds null. overlap: a benchmark, "any", "none", or "unknown" for null.
    observation_tokens, think_tokens, score: inclusive bounds; rows without the number drop out when a bound is set.
    text: all words, in any case, each in problem, observation or think; a "quoted phrase" is kept together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Rows = "cot"
    problem_type: tuple[Text, ...] = ()
    data_type: tuple[Text, ...] = ()
    data_source: tuple[Text, ...] = ()
    rejected_by: tuple[Text, ...] = ()
    verdict: tuple[Text, ...] = ()
    flag: tuple[Text, ...] = ()
    overlap: tuple[Text, ...] = ()
    observation_tokens: tuple[Tokens | None, Tokens | None] = (None, None)
    think_tokens: tuple[Tokens | None, Tokens | None] = (None, None)
    score: tuple[Score | None, Score | None] = (None, None)
    text: Annotated[str, Field(max_length=MOST_TEXT), BeforeValidator(whole_characters)] = ""
    sort: Sort = "order"
    descending: bool = False
    page: Annotated[int, Field(ge=1, le=_MOST)] = 1

    def to_query(self) -> dict[str, str]:
        """What differs from the default, as the parameters of a URL."""
        default = Filter()
        query = {
            key: _write(key, getattr(self, name))
            for key, name in _FIELDS.items()
            if getattr(self, name) != getattr(default, name)
        }
        if self.descending or self.sort != default.sort:
            query[_SORT] = "-" * self.descending + self.sort
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, str], *, others: Collection[str] = ()) -> tuple[Filter, list[str]]:
        """The filter, and a line for what was ignored. `others`: parameters of the URL that are not the filter's."""
        fields: dict[str, Any] = {}
        notes, unknown = [], []
        for key, text in query.items():
            if key in others or str(key).startswith("__"):  # gradio's own, as __theme
                continue
            if key != _SORT and key not in _FIELDS:
                unknown.append(str(key))
                continue
            try:
                meant = _read(key, text)
                cls(**meant)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                notes.append(f"{key}={plain(str(text), 60)} was ignored: {plain(reason, 200)}.")
            else:
                fields |= meant
        if unknown:
            notes.append(f"Ignored, for there is no such parameter: {plain(', '.join(unknown), 120)}.")
        return cls(**fields), notes


def _write(key: str, value: Any) -> str:
    if key in _LISTS:
        # A comma ends with a value, so that one empty value is not the same as none.
        joined = ",".join(re.sub(r"[\\,]", r"\\\g<0>", each) for each in value)
        return joined if value[-1] else f"{joined},"
    if key in _BOUNDS:
        return _BETWEEN.join("" if bound is None else str(bound) for bound in value)
    return str(value)


def _read(key: str, text: str) -> dict[str, Any]:
    """The fields that a parameter means, not yet validated."""
    if not isinstance(text, str):
        return {_FIELDS.get(key, _SORT): text}
    if key == _SORT:
        return {"sort": text.removeprefix("-"), "descending": text.startswith("-")}
    if key in _LISTS:
        return {_FIELDS[key]: _split(text)}
    if key in _BOUNDS:
        return {_FIELDS[key]: [bound or None for bound in text.split(_BETWEEN)]}
    return {_FIELDS[key]: text}


def _split(text: str) -> list[str]:
    """Cut at the commas; a backslash makes the next character an ordinary one."""
    values: list[list[str]] = [[]]
    escaped = False
    for char in text:
        if escaped or char not in "\\,":
            values[-1].append(char)
            escaped = False
        elif char == ",":
            values.append([])
        else:
            escaped = True
    return ["".join(value) for value in (values if values[-1] else values[:-1])]

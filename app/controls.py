"""The controls of the filter, in the order in which a reader needs them; between them and a Filter, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gradio as gr

from app.filters import ANY, NONE, UNKNOWN, Filter
from app.reasons import reason_in_words
from app.rows import BROWSED, Dataset
from curation.report import plain

MOST_CHOICES: Final = 500  # the most frequent ones; any other can be given in the address
MOST_CHARS: Final = 60

_ROWS: Final = (("accepted", "cot"), ("rejected", "rejected"), ("both", "all"))
_SORTS: Final = (
    ("dataset's order", "order"),
    ("score", "score"),
    ("observation length", "observation_tokens"),
    ("think length", "think_tokens"),
    ("problem type", "problem_type"),
    ("collection", "data_source"),
)
# Field -> column, label.
_CHOICES: Final = {
    "problem_type": ("problem_type", "Problem type"),
    "data_type": ("data_type", "Image or video"),
    "data_source": ("data_source", "Collection"),
    "rejected_by": ("rejected_by", "Rejected because"),
    "verdict": ("verdict", "Verdict"),
    "flag": ("flags", "Flag"),
    "overlap": ("overlaps", "Overlap with a benchmark"),
}
_BOUNDS: Final = {
    "observation_tokens": ("Observation tokens", 0),
    "think_tokens": ("Think tokens", 0),
    "score": ("Score", 2),
}


class Controls:
    """Built inside the Blocks. `components` are the inputs, in the order in which `read` takes their values."""

    def __init__(self, dataset: Dataset) -> None:
        self._choices = {field: _choices(dataset, field) for field in _CHOICES}
        self._text = gr.Textbox(
            label="Search", placeholder='words, "a phrase"', elem_id="search", max_lines=1, info="question, trace"
        )
        self._rows = gr.Radio([*_ROWS], value="cot", label="Rows", elem_id="rows")
        self._lists = {
            field: gr.Dropdown(
                self._choices[field],
                value=[],
                multiselect=True,
                label=label,
                elem_id=f"filter-{field}",
                visible=bool(self._choices[field]),
            )
            for field, (_, label) in _CHOICES.items()
        }
        self._bounds = {}
        for field, (label, digits) in _BOUNDS.items():
            with gr.Row(elem_classes="viewer-bounds"):
                self._bounds[field] = [
                    gr.Number(
                        None,
                        label=f"{label}, {end}",
                        precision=digits or None,
                        elem_id=f"filter-{field}-{end}",
                        min_width=80,
                    )
                    for end in ("from", "to")
                ]
        self._sort = gr.Dropdown([*_SORTS], value="order", label="Sort by", elem_id="sort")
        self._descending = gr.Checkbox(False, label="highest first", elem_id="descending")

    @property
    def components(self) -> list[Any]:
        """Every control."""
        bounds = [number for pair in self._bounds.values() for number in pair]
        return [self._text, self._rows, *self._lists.values(), *bounds, self._sort, self._descending]

    @property
    def triggers(self) -> list[Any]:
        """What a person does to them; never what an answer sets, which would ask again."""
        bounds: list[Any] = [number for pair in self._bounds.values() for number in pair]
        chosen: list[Any] = [self._rows, *self._lists.values(), self._sort, self._descending]
        typed: list[Any] = [self._text, *bounds]
        return [
            *(control.input for control in chosen),
            *(control.submit for control in typed),
            *(each.blur for each in bounds),
        ]

    def read(self, values: Sequence[Any]) -> Filter:
        """The filter that the controls show; whatever is none is left out."""
        text, rows, *others = values
        num = len(_CHOICES)
        lists, bounds, (sort, descending) = others[:num], others[num : num + 6], others[num + 6 :]
        fields: dict[str, Any] = {"rows": rows or "cot", "text": (text or "").strip(), "sort": sort or "order"}
        fields |= {field: tuple(chosen or ()) for field, chosen in zip(self._lists, lists, strict=True)}
        for number, field in enumerate(self._bounds):
            pair = bounds[2 * number : 2 * number + 2]
            fields[field] = tuple(_bound(field, value) for value in pair)
        query = Filter.model_construct(**fields, descending=bool(descending)).to_query()
        return Filter.from_query(query)[0]

    def changes(self, filter: Filter, values: Sequence[Any]) -> bool:
        """Whether a person has set the controls to anything else than what they show for this filter."""
        shown = self.values(filter)
        return self.read(values) != self.read([shown[control] for control in self.components])

    @property
    def rows(self) -> Any:
        """The control that chooses between accepted and rejected rows."""
        return self._rows

    def values(self, filter: Filter) -> dict[Any, Any]:
        """What every control shows for a filter. A value that this dataset does not have cannot be shown."""
        shown: dict[Any, Any] = {
            self._text: filter.text,
            self._rows: filter.rows,
            self._sort: filter.sort,
            self._descending: filter.descending,
        }
        for field, control in self._lists.items():
            known = {value for _, value in self._choices[field]}
            shown[control] = [value for value in getattr(filter, field) if value in known]
        for field, pair in self._bounds.items():
            shown |= dict(zip(pair, getattr(filter, field), strict=True))
        return shown


def _choices(dataset: Dataset, field: str) -> list[tuple[str, str]]:
    """What can be chosen, with the number of its accepted and of its rejected rows."""
    column = _CHOICES[field][0]
    found = [value for value, _ in dataset.values(column)]
    counts = [dict(dataset.values(column, config)) for config in BROWSED]
    if field == "overlap" and any(value not in (NONE, UNKNOWN) for value in found):
        # A row may overlap with several.
        of_any = [dataset.page(Filter(rows=config, overlap=(ANY,))).num_matching for config in BROWSED]
        counts = [{ANY: count} | of for count, of in zip(of_any, counts, strict=True)]
        found = [ANY, *found]
    words = reason_in_words if field == "rejected_by" else str
    return [
        (f"{plain(words(value), MOST_CHARS)} ({_in_words(*(of.get(value, 0) for of in counts))})", value)
        for value in found[:MOST_CHOICES]
    ]


def _in_words(num_accepted: int, num_rejected: int) -> str:
    said = ((num_accepted, "accepted"), (num_rejected, "rejected"))
    return ", ".join(f"{count:,} {state}" for count, state in said if count) or "0"


def _bound(field: str, value: Any) -> int | float | None:
    if value is None:
        return None
    return float(value) if field == "score" else int(value)

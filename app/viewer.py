"""The viewer as Gradio Blocks: the filter's controls, and places for the HTML of the pages.

There is one way round: an address goes in, and what belongs to it comes out. Links and keys (keys.js) ask through the
bridge, an HTML component without a face; the controls build an address from their values. Nothing is kept in between,
so that a link, a reload and the back button all show the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import gradio as gr
from gradio.events import api as api_endpoint

from app import api
from app.address import Address
from app.calls import Asked
from app.controls import Controls
from app.filters import Filter
from app.markup import fill
from app.opened import Opened
from app.overview import render_overview
from app.pages import NOTHING_SAID, Said, Screen, show_said
from app.pages.browse import show_browse
from app.pages.compare import show_compare
from app.pages.frame import FILTERED, open_tabs, render_frame, title, version_notes
from app.pages.label import export_labels, save_label, show_label, undo_label
from app.pages.rollouts import show_rollouts
from app.pages.versions import changes_place
from curation.errors import UserError

# The bridge's own script; the rest is keys.js. A trigger carries what Python reads from the event.
_CONNECT: Final = """
(function connect() {
  if (!window.viewer) return setTimeout(connect, 10);
  watch("value", () => viewer.shown(props.value));
  viewer.connect((asked) => trigger("submit", asked));
})();
"""
_CONNECT_LABELS: Final = """
(function connect() {
  if (!window.viewer) return setTimeout(connect, 10);
  viewer.connectLabels((asked) => trigger("submit", asked));
})();
"""


class _Slots:
    """The components that an answer fills."""

    def __init__(self, sidebar: gr.Sidebar, controls: Controls) -> None:
        self.sidebar = sidebar
        self.controls = controls
        self.top = gr.HTML(elem_id="top", apply_default_css=False, js_on_load=None)
        with gr.Row(elem_id="columns"):
            self.listing = gr.HTML(elem_id="list", apply_default_css=False, js_on_load=None)
            self.main = gr.HTML(elem_id="main", apply_default_css=False, js_on_load=None)
        self.bridge = gr.HTML(elem_id="bridge", html_template="", js_on_load=_CONNECT)

    @property
    def pages(self) -> list[Any]:
        return [self.bridge, self.top, self.listing, self.main, self.sidebar]


def build_blocks(opened: Opened) -> gr.Blocks:
    """The whole interface. Without a label store nothing in it writes."""
    with gr.Blocks(title=opened.dataset.shown, analytics_enabled=False, fill_width=True) as blocks:
        with gr.Sidebar(open=False, width=270, elem_id="filters") as sidebar:
            controls = Controls(opened.dataset)
        slots = _Slots(sidebar, controls)

        def follow(event: gr.EventData) -> dict[Any, Any]:
            """A link, a key or the address bar."""
            asked = _asked(event)
            screen = show(opened, asked.query, asked.labeller)
            filled = _fill(opened, slots, screen, number=asked.number) | controls.values(screen.address.filter)
            if asked.number == 1:  # the page was loaded: where there is room, the filters are beside it
                is_filtered = screen.address.tab in FILTERED
                filled[sidebar] = gr.Sidebar(visible=is_filtered, open=asked.is_wide)
            return filled

        def filtered(state: str, *values: Any) -> Any:
            """A control of the filter."""
            before = _before(state)
            if not controls.changes(before.filter, values):
                return gr.skip()  # left again: what is open stays
            tab = before.tab if before.tab in FILTERED else "browse"
            filter, note = _widen(opened, before.filter, controls.read(values))
            screen = show(opened, Address(tab=tab, filter=filter).link(), "")
            screen = replace(screen, notes=[*screen.notes, *note])
            return _fill(opened, slots, screen, number=0) | {controls.rows: filter.rows}

        private: Mapping[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
        # Not "always_last": Gradio 6.31 asks that last time with what the first event carried. keys.js asks in turn.
        slots.bridge.submit(follow, None, [*slots.pages, *controls.components], trigger_mode="multiple", **private)
        gr.on(
            controls.triggers,
            filtered,
            [slots.bridge, *controls.components],
            [*slots.pages, controls.rows],
            trigger_mode="always_last",
            **private,
        )
        if opened.labels is not None:
            _add_labelling(opened, slots, private)
        _add_api(opened)
    built: gr.Blocks = blocks
    return built


def show(opened: Opened, query: str, labeller: str, said: Said = NOTHING_SAID) -> Screen:
    """What an address shows. A fault the user can mend is a page of its own."""
    address, notes = Address.from_query(query)
    notes += version_notes(opened, address)
    if address.tab not in open_tabs(opened):
        notes.append("This viewer is read-only: it has no page to label on.")
        address = address.changed(tab="overview")
    address = address.changed(version=opened.version)
    try:
        screen = _page(opened, address, labeller, said)
    except UserError as error:
        shown = '{}<div class="vp viewer-empty"><h3>This cannot be shown</h3><p>{}</p></div>'
        main = fill(shown, show_said(said), str(error))
        screen = Screen(address, main)
    return replace(screen, notes=[*notes, *screen.notes])


def _page(opened: Opened, address: Address, labeller: str, said: Said) -> Screen:
    match address.tab:
        case "browse":
            return show_browse(opened, address)
        case "compare":
            return show_compare(opened, address)
        case "rollouts":
            return show_rollouts(opened, address)
        case "label":
            assert opened.labels is not None
            return show_label(opened, opened.labels, address, labeller, said)
        case _:
            rows = Address(tab="browse", version=address.version)
            words = "/later/words" + Address(filter=address.filter).link()
            overview = render_overview(opened.dataset, address.filter, lambda filter: rows.link(filter=filter), words)
            return Screen(address, fill("{}{}", overview, changes_place(address) if opened.compared else ""))


def _fill(opened: Opened, slots: _Slots, screen: Screen, *, number: int) -> dict[Any, Any]:
    """What goes where. number: of the question that this answers, 0 when a control asked."""
    query = screen.address.link() if screen.address.to_query() else ""
    state = {"query": query, "number": number, "title": title(opened, screen.address)}
    is_browse = screen.address.tab == "browse"
    return {
        slots.bridge: json.dumps(state),
        slots.top: render_frame(opened, screen.address, screen.notes),
        slots.listing: gr.HTML(screen.listing, visible=is_browse),
        slots.main: gr.HTML(screen.main, elem_classes=[f"viewer-{screen.address.tab}"]),
        slots.sidebar: gr.Sidebar(visible=screen.address.tab in FILTERED),
    }


def _asked(event: gr.EventData) -> Asked:
    """What keys.js sent, as the gate let it through (calls.py)."""
    return Asked.model_validate(event._data or {})


def _before(state: str | None) -> Address:
    """The view that the bridge says is shown; it comes back from outside."""
    try:
        query = json.loads(state or "")["query"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return Address(tab="browse")
    return Address.from_query(query)[0] if isinstance(query, str) else Address(tab="browse")


def _widen(opened: Opened, before: Filter, chosen: Filter) -> tuple[Filter, list[str]]:
    """The filter, of both kinds of row where a condition that was just set holds for the other kind alone; and a note.

    Most of what can be chosen, as a reason of rejection, no accepted row has; and the list of choices counts both.
    """
    if chosen.rows == "all" or chosen.rows != before.rows or opened.dataset.page(chosen).num_matching:
        return chosen, []
    both = chosen.model_copy(update={"rows": "all"})
    if not opened.dataset.page(both).num_matching:
        return chosen, []
    kinds = {"cot": "accepted", "rejected": "rejected"}
    return both, [f"No {kinds[chosen.rows]} row matches, so accepted and rejected rows are shown."]


def _add_labelling(opened: Opened, slots: _Slots, private: Mapping[str, Any]) -> None:
    """The only event that writes."""
    store = opened.labels
    assert store is not None
    labels = gr.HTML(elem_id="labels", html_template="", js_on_load=_CONNECT_LABELS)

    def label(event: gr.EventData) -> dict[Any, Any]:
        asked = _asked(event)
        address, _ = Address.from_query(asked.query)
        try:
            match asked.label:
                case "undo":
                    said = Said(undo_label(store, asked.labeller))
                case "export":
                    said = Said(export_labels(opened, store))
                case _:
                    said = Said(save_label(opened, store, asked))
                    address = address.changed(number=None)
        except UserError as error:
            said = Said(str(error), is_fault=True)
        screen = show(opened, address.changed(tab="label").link(), asked.labeller, said)
        return _fill(opened, slots, screen, number=asked.number)

    labels.submit(label, None, slots.pages, trigger_mode="multiple", **private)


def _add_api(opened: Opened) -> None:
    """The endpoints for scripts, which only read."""

    def row(row_id: str) -> dict[str, Any]:
        """One row by its id, every column."""
        return _told(lambda: api.get_row(opened, row_id))

    def search(text: str = "", filter: str = "", page: int = 1) -> dict[str, Any]:
        """Rows whose question, observation or reasoning hold all words; filter as in the viewer's address."""
        return _told(lambda: dict(api.search(opened, text, filter, page)))

    def stats(filter: str = "") -> dict[str, Any]:
        """Counts and means over the rows that match a filter, as in the viewer's address."""
        return _told(lambda: dict(api.count(opened, filter)))

    for function in (row, search, stats):
        # gradio_client asks through the queue all the same, which else would take one call at a time.
        api_endpoint(function, api_name=function.__name__, queue=False, concurrency_limit=None)


def _told(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A fault that the caller can mend reaches him in words."""
    try:
        return ask()
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error

"""Label: a person says whether an observation suffices, blind to the judge's verdict.

A sample is drawn once for its size and seed, evenly over problem types and verdicts; its order tells nothing. A label
is saved before the next trace is shown.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import polars as pl
from markupsafe import Markup

from app.address import Address
from app.calls import Asked
from app.filters import Filter
from app.labels import LABELS, MIN_LABELS, MOST_NOTE, Label, LabelStore, clean_name, hash_observation
from app.markup import fill, join, link
from app.opened import Opened
from app.pages import NOTHING, NOTHING_SAID, Said, Screen, disabled, key_link, show_said
from app.pieces import render_trace
from app.rows import Dataset
from app.sampling import design, drawn_from, stratified_sample
from curation.agreement import how_weighted
from curation.report import percent

DEFAULT_SAMPLED: Final = 100
_WORDS: Final = {"sufficient": "Sufficient", "insufficient": "Insufficient", "cannot_tell": "Cannot tell"}
_EVERY_ROW: Final = Filter(rows="all")


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows to label, in order, by id."""

    rows: Mapping[str, Mapping[str, Any]]

    @property
    def ids(self) -> list[str]:
        """In the order in which they are labelled."""
        return list(self.rows)

    def chosen(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Those of these ids that are in it, as a label store asks for them."""
        return {row_id: self.rows[row_id] for row_id in ids if row_id in self.rows}


@lru_cache(maxsize=4)
def draw(dataset: Dataset, num: int, seed: int) -> Sample:
    """Up to `num` rows that a judge decided on; where none has, of those with an observation."""
    facts = drawn_from(dataset.facts(_EVERY_ROW))
    places = stratified_sample(facts, num, seed)
    ids = dict(zip(facts["place"], facts["id"], strict=True))
    found = dataset.by_ids([ids[place] for place in places])
    return Sample(
        {row_id: found[row_id] for row_id in (ids[place] for place in places) if found[row_id]["observation"]}
    )


@lru_cache(maxsize=4)
def _design(dataset: Dataset) -> pl.DataFrame:
    """How `draw` draws, whatever its seed: labels of several samples may be counted together."""
    return design(dataset.facts(_EVERY_ROW))


def show_label(opened: Opened, store: LabelStore, address: Address, labeller: str, said: Said = NOTHING_SAID) -> Screen:
    """The row of the sample that the address names, or the first that the labeller has not labelled."""
    num = DEFAULT_SAMPLED if address.num_sampled is None else address.num_sampled
    seed = address.seed or 0
    sample = draw(opened.dataset, num, seed)
    name = clean_name(labeller)
    mine = {label.row_id: label for label in store.current(sample.chosen) if label.labeller == name}
    ids = sample.ids
    address = address.changed(num_sampled=num, seed=seed, row_id=None, place=None)
    # A fault stands where a person looks who labels.
    head, full_head = (
        _head(name, num, seed, len(mine), len(ids), each) for each in (NOTHING_SAID if said.is_fault else said, said)
    )
    if not ids:
        return Screen(address, fill("{}{}", full_head, _nothing_to_label()))
    number = address.number
    if number is None:
        number = next((place for place, row_id in enumerate(ids, 1) if row_id not in mine), None)
        if number is None:
            done = fill(
                '<div class="vp viewer-empty"><h3>All {} are labelled</h3><p>Thank you. {}, or draw another '
                "sample with another seed.</p></div>",
                f"{len(ids):,}",
                link(address.link(number=1), "Look through your labels"),
            )
            return Screen(address, fill("{}{}{}", full_head, done, _RESULTS))
    number = min(number, len(ids))
    row_id = ids[number - 1]
    row = sample.rows[row_id]
    main = fill(
        '{}<div class="viewer-labelling" data-row="{}" data-observation="{}">{}{}{}{}</div>{}{}',
        head,
        row_id,
        hash_observation(row["observation"]),
        _moves(address, number, len(ids)),
        show_said(said) if said.is_fault else NOTHING,
        render_trace(row, blind=True),
        _buttons(mine.get(row_id)),
        _further(mine.get(row_id)),
        _RESULTS,
    )
    return Screen(address, main)


def save_label(opened: Opened, store: LabelStore, asked: Asked) -> str:
    """Keep what the page sent. Returns what to tell. Raises LabelError."""
    store.save(
        row_id=asked.row,
        dataset=f"{opened.dataset.shown}@{opened.version}",
        label=asked.label,
        labeller=asked.labeller,
        note=asked.note,
        observation_sha256=asked.observation,
    )
    return f"Saved: {_WORDS[asked.label].lower()}."


def undo_label(store: LabelStore, labeller: str) -> str:
    """Take back the labeller's last label. Returns what to tell. Raises LabelError."""
    taken = store.undo(labeller)
    return "You have no label to take back." if taken is None else f"Taken back: {_WORDS[taken.label].lower()}."


def export_labels(opened: Opened, store: LabelStore) -> str:
    """Write them beside the store. Returns what to tell. Raises LabelError."""
    path = export_path(store)
    num = store.export(path, opened.dataset.by_ids, _design(opened.dataset))
    command = shlex.join(["python", "-m", "curation", "calibrate", str(path), "--dataset", opened.dataset.shown])
    return f"Exported {num:,} labels to {path}. Measure the judge with: {command}"


def export_path(store: LabelStore) -> Path:
    """The Parquet file beside the store."""
    return store.path.with_suffix(".parquet")


def _head(name: str, num: int, seed: int, num_mine: int, num_ids: int, said: Said) -> Markup:
    share = num_mine / num_ids if num_ids else 0
    return fill(
        '<div class="vp viewer-label-head"><h2>Is the observation sufficient?</h2>'
        "<p>Decide from the observation alone, assuming nothing else, whether the gold answer can be deduced from it. "
        "You are not told what the judge said.</p>"
        '<div class="viewer-form"><label>Your name <input id="labeller" value="{name}" maxlength="40" '
        'autocomplete="nickname" placeholder="needed to save"></label>'
        '<form data-go><input type="hidden" name="tab" value="label">'
        '<label>Sample of <input name="sample" type="number" min="1" max="2000" value="{num}"></label>'
        '<label>seed <input name="seed" type="number" min="0" value="{seed}"></label><button>Draw</button></form></div>'
        '<p class="viewer-progress"><span class="vp-track" aria-hidden="true">'
        '<i class="vp-fill" style="width:{width}%"></i></span><span>{mine} of {ids} labelled by you</span></p>'
        "{said}</div>",
        name=name,
        num=str(num),
        seed=str(seed),
        width=f"{100 * share:.1f}",
        mine=f"{num_mine:,}",
        ids=f"{num_ids:,}",
        said=show_said(said),
    )


def _moves(address: Address, number: int, num_ids: int) -> Markup:
    def step(key: str, words: str, other: int) -> Markup:
        return key_link(address.changed(number=other), key, words) if 1 <= other <= num_ids else disabled(words)

    return fill(
        '<nav class="viewer-toolbar">{}{}<span class="viewer-where">{} of {}</span>{}</nav>',
        step("previous-row", "Previous", number - 1),
        step("next-row", "Next", number + 1),
        f"{number:,}",
        f"{num_ids:,}",
        link(address.link(number=None), "First unlabelled"),
    )


def _buttons(mine: Label | None) -> Markup:
    buttons = join(
        fill(
            '<button type="button" class="viewer-answer" data-label="{}" data-key="label-{}" aria-pressed="{}">'
            "<kbd>{}</kbd> {}</button>",
            label,
            key,
            "true" if mine is not None and mine.label == label else "false",
            key,
            _WORDS[label],
        )
        for key, label in enumerate(LABELS, 1)
    )
    return fill('<div class="vp viewer-answers">{}</div>', buttons)


def _further(mine: Label | None) -> Markup:
    return fill(
        '<div class="vp viewer-further"><label class="viewer-note">Note (optional, saved with the label)'
        '<textarea id="note" rows="2" maxlength="{}">{}</textarea></label>'
        '<button type="button" data-label="undo" data-key="undo"><kbd>u</kbd> Take back my last label</button></div>',
        MOST_NOTE,
        mine.note if mine else "",
    )


def show_results(opened: Opened, store: LabelStore) -> Markup:
    """How many labels there are of this dataset, and how far the judge agrees. Raises UserError."""
    rows: dict[str, dict[str, Any]] = {}

    def read_once(ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        rows.update(rows or opened.dataset.by_ids(ids))
        return rows

    current = store.current(read_once)
    counts = Counter(label.label for label in current)
    total = fill(
        "<p>{} labels of this dataset by {} people in <code>{}</code>: {}.</p>",
        f"{len(current):,}",
        len({label.labeller for label in current}),
        store.path,
        ", ".join(f"{counts[label]:,} {words.lower()}" for label, words in _WORDS.items()),
    )
    verdicts = {row_id: row["verdict"] for row_id, row in rows.items()}
    agreement = store.agreement(verdicts, read_once, _design(opened.dataset))
    if agreement is None:
        return fill(
            '{}<p class="vp-quiet">Agreement with the judge is shown from {} decided questions on.</p>',
            total,
            MIN_LABELS,
        )
    accuracy = agreement.accuracy
    return fill(
        "{}<p>The judge agrees with people on <b>{}</b> (95 % interval {} to {}), kappa {}; on {} of the {} labelled "
        "questions that both decided. Disputed {}, cannot tell {}, unscored {}. Paper: 95 % on 200 labels (VideoP2R "
        'section 3.2).</p><p class="vp-quiet">Here {}.</p>',
        total,
        percent(accuracy.share),
        percent(accuracy.low),
        percent(accuracy.high),
        "-" if agreement.kappa is None else f"{agreement.kappa:.2f}",
        accuracy.num,
        accuracy.total,
        agreement.num_disputed,
        agreement.num_cannot_tell,
        agreement.num_unscored,
        how_weighted(agreement),
    )


# Folded, for who is still labelling should not look; fetched when it is unfolded.
_RESULTS: Final = Markup(
    '<details class="vp vp-more viewer-results" data-fetch-open="/later/labels"><summary>All labels: agreement and '
    'export</summary><div class="viewer-fetched"></div>'
    '<p><button type="button" data-label="export" data-key="export">Export as Parquet</button></p></details>'
)


def _nothing_to_label() -> Markup:
    return Markup(
        '<div class="vp viewer-empty"><h3>Nothing to label</h3><p>The sample is empty: this dataset has no row with an '
        "observation, or the sample's size is zero.</p></div>"
    )

"""One row as a page: the question with its media, the three blocks of the trace, the verdict and where it comes from.

`blind=True` is for labelling: what the judge was given and nothing else, so that a label is worth something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from app.charts import MOST_TITLE, RL_WINDOWS, quiet, render_length
from app.markup import cut, fill, join, link, visible
from app.reasons import STEPS, reason_in_words
from curation.schema import INSUFFICIENT, SUFFICIENT
from curation.scoring.choice import show_options
from curation.tasks import score_answer
from curation.trace import BLOCKS

Row = Mapping[str, Any]

# A text beyond these is a box of its own, which scrolls.
LONG_CHARS: Final = 3_000
LONG_LINES: Final = 60
# Options beyond these are shown, but the gold one is not looked for: no question is like that, and it takes time.
MOST_OPTIONS: Final = 26
MOST_OPTION_CHARS: Final = 20_000
MOST_TAGS: Final = 200  # of a completion that are set off

_BLOCK_MEANING: Final = {
    "observation": "perception: what has to be seen",
    "think": "reasoning over the observation",
    "answer": "what the model answers",
}
_VERDICTS: Final = {
    SUFFICIENT: ("vp-good", "&#10003; sufficient", "the gold answer follows from the observation alone"),
    INSUFFICIENT: ("vp-bad", "&#10007; insufficient", "the gold answer does not follow from the observation alone"),
    None: ("vp-none", "&ndash; no verdict", "the judge was not asked, or gave no verdict"),
}
_FLAGS: Final = {
    "leaks_answer": "the observation gives the answer away",
    "no_opening": "a segment does not begin as the template asks",
}
_PROVENANCE: Final = {
    "id": "id",
    "problem_id": "number in the source",
    "path": "media file",
    "data_source": "collection",
    "license": "licence",
    "media_sha256": "media SHA-256",
    "media_duration_s": "media seconds",
    "media_num_frames": "media frames",
    "generator": "generator",
    "prompt_sha256": "its prompt, SHA-256",
    "judge": "judge",
    "judge_prompt_sha256": "its prompt, SHA-256",
    "attempt": "attempt",
}
# Columns that have a place of their own on the page.
_SHOWN: Final = frozenset((
    *("config", "problem", "options", "data_type", "problem_type", "solution", *BLOCKS, "score", "verdict"),
    *("verdict_reason", "observation_tokens", "think_tokens", "flags", "overlaps"),
    *("rejected_by", "detail", "completion"),
))  # fmt: skip
_GOLD: Final = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)
_TAG: Final = re.compile(rf"(</?(?:{'|'.join(BLOCKS)})>)")


def render_trace(
    row: Row, *, media_html: str = "", links: Sequence[tuple[str, str]] = (), blind: bool = False
) -> Markup:
    """The page of a row of the published schema; a column that is not there counts as null.

    media_html: trusted HTML of a player or a strip. links: (label, address) beside the title. Blind, neither is shown.
    """
    if blind:
        return _render_blind(row)
    return fill(
        '<article class="vp vp-trace">{}{}<div class="vp-columns"><div>{}{}</div><div>{}{}</div></div>{}{}</article>',
        _head(row, links),
        _rejection(row),
        render_question(row, show_answered=True),
        Markup(media_html),
        join(_block(row, name) for name in BLOCKS),
        _verdict(row),
        _completion(row),
        _provenance(row),
    )


def gold_text(solution: str) -> str:
    """The gold answer without its tags."""
    match = _GOLD.fullmatch(solution)
    return match[1].strip() if match else solution


def verdict_badge(verdict: str | None) -> Markup:
    """The verdict as a sign, a word and a colour."""
    css, words, meaning = _VERDICTS.get(verdict) or ("vp-none", visible(str(verdict)), "a verdict that is not known")
    return fill('<span class="vp-badge {}" title="{}">{}</span>', css, meaning, Markup(words))


def chips(values: Sequence[str], meanings: Mapping[str, str], css: str) -> Markup:
    """Short values in a row, each with its meaning where one is known."""
    return join(
        fill('<span class="vp-chip {}" title="{}">{}</span>', css, meanings.get(value, value), value)
        for value in values
    )


def text_box(text: str) -> Markup:
    """A text whole, in its own direction; a long one scrolls."""
    if len(text) <= LONG_CHARS and text.count("\n") <= LONG_LINES:
        return fill('<div class="vp-text" dir="auto">{}</div>', text)
    return fill(
        '<p class="vp-note">{} characters, all of them here: scroll</p>'
        '<div class="vp-text vp-long" dir="auto" tabindex="0">{}</div>',
        f"{len(text):,}",
        text,
    )


def _render_blind(row: Row) -> Markup:
    observation = row.get("observation")
    box = text_box(observation) if observation else quiet("this row has no observation to label")
    return fill(
        '<article class="vp vp-trace vp-blind">'
        '<div class="vp-pane" tabindex="0" role="group" aria-label="the question">'
        '<p class="vp-chips">{}</p>{}</div>'
        '<div class="vp-pane vp-pane-read" tabindex="0" role="group" aria-label="the observation">{}</div></article>',
        chips([row.get("data_type") or "image or video: not recorded"], {}, ""),
        render_question(row),
        _section("observation", "", box),
    )


def _head(row: Row, links: Sequence[tuple[str, str]]) -> Markup:
    is_rejected = row.get("config") == "rejected" or row.get("rejected_by") is not None
    state = ("vp-bad", "&#10007; rejected") if is_rejected else ("vp-good", "&#10003; accepted")
    kinds = [row[name] for name in ("problem_type", "data_type", "data_source") if row.get(name)]
    return fill(
        '<header class="vp-head"><p class="vp-chips"><span class="vp-badge {}">{}</span>{}{}{}</p>'
        '<p class="vp-links"><code class="vp-id">{}</code>{}</p></header>',
        state[0],
        Markup(state[1]),
        chips(kinds, {}, ""),
        chips(row.get("flags") or (), _FLAGS, "vp-flag"),
        _overlaps(row.get("overlaps")),
        row.get("id") or "no id",
        join(link(href, label) for label, href in links),
    )


def _overlaps(overlaps: Sequence[str] | None) -> Markup:
    if overlaps is None:
        return Markup('<span class="vp-chip vp-quiet">overlap with benchmarks: not computed</span>')
    named = [f"overlaps {benchmark}" for benchmark in overlaps]
    return chips(named, dict.fromkeys(named, "a benchmark shares the media or the question"), "vp-flag")


def _rejection(row: Row) -> Markup:
    rejected_by = row.get("rejected_by")
    if rejected_by is None:
        return Markup("")
    step = rejected_by.partition(":")[0]
    detail = row.get("detail")
    return fill(
        '<div class="vp-rejection"><p><b>Rejected while {}:</b> {}. <code>{}</code></p>{}{}</div>',
        STEPS.get(step, "running a step that is not known"),
        cut(reason_in_words(rejected_by), MOST_TITLE),
        cut(rejected_by, MOST_TITLE),
        text_box(rejected_by) if len(rejected_by) > MOST_TITLE else Markup(""),
        text_box(detail) if detail else Markup(""),
    )


def render_question(row: Row, *, show_answered: bool = False) -> Markup:
    """The question, its options and the gold answer; show_answered marks the option that the trace names."""
    options = list(row.get("options") or ())
    solution = row.get("solution")
    gold = None if solution is None else gold_text(solution)
    gold_places = _named(options, solution)
    answered = _named(options, row.get("answer")) if show_answered else frozenset()
    items = join(
        _option(option, is_gold=place in gold_places, is_answered=place in answered)
        for place, option in enumerate(show_options(row.get("problem_type"), options))
    )
    listed = fill('<ul class="vp-options">{}</ul>', items) if options else Markup("")
    if gold is None:
        said = quiet("gold answer: not recorded")
    else:
        said = fill('<div class="vp-gold"><b>Gold answer</b>{}</div>', text_box(gold))
        if options and not gold_places:
            said += quiet("It names none of the options.")
    problem = row.get("problem")
    asked = text_box(problem) if problem else quiet("no question was recorded")
    return fill('<section class="vp-question"><h4>Question</h4>{}{}{}</section>', asked, listed, said)


def _named(options: Sequence[str], answer: str | None) -> frozenset[int]:
    """The options that `answer` names, by the one scorer: those that would score 1 if it were the gold answer."""
    if answer is None or len(options) > MOST_OPTIONS or sum(map(len, options)) > MOST_OPTION_CHARS:
        return frozenset()
    return frozenset(
        place
        for place, option in enumerate(options)
        if score_answer("multiple choice", option, answer, options=options) == 1
    )


def _option(text: str, *, is_gold: bool, is_answered: bool) -> Markup:
    css = " ".join(["vp-is-gold"] * is_gold + ["vp-is-answered"] * is_answered)
    marks = [("vp-good", "&#10003; gold")] * is_gold
    marks += [("vp-good" if is_gold else "vp-bad", "&#9654; model&rsquo;s answer")] * is_answered
    badges = join(fill('<span class="vp-badge {}">{}</span>', color, Markup(words)) for color, words in marks)
    return fill('<li class="{}"><span dir="auto">{}</span><span class="vp-marks">{}</span></li>', css, text, badges)


def _block(row: Row, name: str) -> Markup:
    text = row.get(name)
    length = render_length(name, row.get(f"{name}_tokens"), RL_WINDOWS[name]) if name in RL_WINDOWS else Markup("")
    if text is None:
        return _section(name, "", quiet(_why_absent(row)))
    if name == "answer":
        length = _score(row.get("score"))
    return _section(name, length, text_box(text))


def _why_absent(row: Row) -> str:
    if row.get("rejected_by") is None:
        return "not recorded"
    if row.get("completion") is None:
        return "none: the row was rejected before a trace was written"
    return "none: the completion is no trace"


def _section(name: str, head: Markup | str, body: Markup) -> Markup:
    return fill(
        '<section class="vp-block vp-{}"><header><h4>{}</h4><span class="vp-meaning">{}</span></header>{}{}</section>',
        name,
        name.capitalize(),
        _BLOCK_MEANING[name],
        body,
        head,
    )


def _score(score: float | None) -> Markup:
    if score is None:
        return quiet("not scored")
    return fill(
        '<p class="vp-length"><span class="vp-track" aria-hidden="true">'
        '<i class="vp-fill vp-answer" style="width:{:.1f}%"></i></span>'
        "<span>score <b>{:.2f}</b> of 1, by the task&rsquo;s metric</span></p>",
        100 * min(max(score, 0.0), 1.0),
        score,
    )


def _verdict(row: Row) -> Markup:
    verdict, reason, judge = (row.get(name) for name in ("verdict", "verdict_reason", "judge"))
    return fill(
        '<section class="vp-verdict"><header><h4>Verdict</h4>{}<span class="vp-meaning">{}</span></header>{}</section>',
        verdict_badge(verdict),
        fill("by <bdi>{}</bdi>, from the observation alone", judge) if judge else "",
        text_box(reason) if reason else quiet(_VERDICTS[None][2] if verdict is None else "no explanation was recorded"),
    )


def _completion(row: Row) -> Markup:
    completion = row.get("completion")
    if completion is None:
        return Markup("")
    tagged = join(
        fill('<b class="vp-tag">{}</b>', piece) if number % 2 else visible(piece)
        for number, piece in enumerate(_TAG.split(completion, maxsplit=MOST_TAGS))
    )
    return fill(
        '<details class="vp-more"{}><summary>Raw completion, {} characters</summary>'
        '<div class="vp-text vp-raw vp-long" dir="auto" tabindex="0">{}</div></details>',
        Markup("" if row.get("observation") else " open"),
        f"{len(completion):,}",
        tagged,
    )


def _provenance(row: Row) -> Markup:
    further = [name for name in row if name not in _PROVENANCE and name not in _SHOWN]
    lines = [(label, row.get(name)) for name, label in _PROVENANCE.items()] + [(name, row[name]) for name in further]
    items = join(
        fill("<dt>{}</dt><dd>{}</dd>", label, quiet("not recorded") if value is None else text_box(str(value)))
        for label, value in lines
    )
    return fill('<details class="vp-more"><summary>Provenance</summary><dl>{}</dl></details>', items)

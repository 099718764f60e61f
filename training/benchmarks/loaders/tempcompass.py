"""TempCompass: short clips and five temporal aspects, asked in four ways.

A caption is judged by a model under `official`. `videor1` recasts it as the choice that the judge would make of it, so
that every row is scored by a rule; captions without that choice are left out and counted.
"""

from __future__ import annotations

import re
from typing import Final

from training.benchmarks.loaders.layout import Columns, Layout, LeftOut, Row, UnreadableGold
from training.benchmarks.loaders.media import MediaRoot, with_suffixes
from training.benchmarks.loaders.options import gold_letter, information_options, split_option_lines
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Kind, Protocol

TASKS: Final = ("multi-choice", "yes_no", "caption_matching", "captioning")
DIMENSIONS: Final = ("action", "direction", "speed", "order", "attribute_change")
NO_CHOICE: Final = "captions without mc_question"
_LABELLED: Final = re.compile(r"(?:Option|Sentence|Caption) [0-9A-Z]\b.*", re.DOTALL)


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    if row.part == "captioning" and protocol == "videor1" and not _has_choice(row):
        return LeftOut(NO_CHOICE)
    kind, text, options, answer = _ask(row, protocol)
    video = row.identifier("video_id")
    names = [name for base in ("videos/", "") for name in with_suffixes(f"{base}{video}.mp4")]
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=f"{row.part}/{row.number}",
        kind=kind,
        text=text,
        options=options,
        answer=answer,
        media=media.find(*names),
        groups={"task": row.part, "dimension": row.one_of("dim", DIMENSIONS)},
    )


def _ask(row: Row, protocol: Protocol) -> tuple[Kind, str, tuple[str, ...], str]:
    """(kind, text, options, answer)."""
    question, answer = row.text("question"), row.gold("answer")
    match row.part:
        case "yes_no":
            return "yesno", question, (), answer.lower()
        case "multi-choice":
            text, options = split_option_lines(question)
            return "mc", text, options, gold_letter(answer, options)
        case "caption_matching":
            head, lines = _split_lines(question)
            if answer not in lines:
                raise UnreadableGold(f"{answer!r} is none of its {len(lines)} lines")
            return "match", head, lines, answer
    return _recast(row) if protocol == "videor1" else ("open", question, (), answer)


def _recast(row: Row) -> tuple[Kind, str, tuple[str, ...], str]:
    """The choice behind a caption: the options of mc_question, else the row's own list of information."""
    text, options = split_option_lines(row.text("mc_question"))
    if options:
        return "mc", text, options, gold_letter(row.gold("mc_answer"), options)
    options = information_options(row.text("question"))
    return "mc", text, options, gold_letter(row.gold("answer"), options)


def _has_choice(row: Row) -> bool:
    """The official JSON has captions without the choice by which they are scored."""
    return row.values.get("mc_question") is not None and row.values.get("mc_answer") is not None


def _split_lines(question: str) -> tuple[str, tuple[str, ...]]:
    """(the head, the lines "Option 1: ..", "Sentence A: ..", "Caption B: .." to choose from)."""
    lines = [line.strip() for line in question.split("\n")]
    labelled = tuple(line for line in lines if _LABELLED.fullmatch(line))
    return "\n".join(line for line in lines if line not in labelled).strip(), labelled


LAYOUT: Final = Layout(
    name="tempcompass",
    title="TempCompass",
    repo="lmms-lab/TempCompass",
    mirrors=("lmms-eval/TempCompass",),
    licence="CC BY-NC 4.0, academic use",
    is_gated=False,
    split="test",
    parts={task: (f"{task}/test*.parquet", f"{task}.parquet") for task in TASKS},
    default_parts=TASKS,
    columns=Columns(
        frozenset(("video_id", "question", "answer", "dim")), optional=frozenset(("mc_question", "mc_answer"))
    ),
    num_rows=7_540,
    media="tempcompass_videos.zip, to videos/",
    media_bytes=418_000_000,
    read=_read,
)

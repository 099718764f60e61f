"""The authors' release as a dataset of ours: their traces in our columns, by our parser and our scorer.

`output` is the trace, and what does not parse as one is rejected with its text. `observation` and `process` repeat
parts of it, and their `answer` repeats the gold answer (README of the release): a row where one of them says something
else is flagged fields_disagree. The score is ours; a row stays whatever it is, below the paper's 0.6 with the flag
score_below_threshold. Our own flags, leaks_answer and no_opening, are set too.

`generator` is the model that the release names. verdict, judge, prompt_sha256, attempt, overlaps and media_* are null:
the release carries none of them. What `reward`, `select` and `clean_version` mean is documented nowhere: their values
are counted, never interpreted.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, tee
from pathlib import Path
from typing import Any, Final

from curation.errors import RunDirectoryError, SourceError
from curation.filters import SCORE_TOLERANCE, FilterConfig, filter_completion
from curation.journal import content_key
from curation.origin import AUTHORS_RELEASE, VIDEO_R1_DATA
from curation.provenance import Provenance, publishable
from curation.release_parts import in_order, refuse_another_file
from curation.report import Report, plain
from curation.schema import BAD_ENCODING, CONFIG_FILES, CONFIGS, Question, SourceReject, find_unstorable
from curation.scoring.answer_text import answer_text
from curation.shards import write_rows, write_split
from curation.sources import release
from curation.sources.reading import RawRecord
from curation.sources.records import questions_from_records
from curation.tasks import score_answer
from curation.tokens import CountTokens, load_token_counter
from curation.trace import Trace

SOURCE: Final = "release"
GENERATOR: Final = "Qwen/Qwen2.5-VL-72B-Instruct"  # VideoP2R section 3.2 and the README of the release
FIELDS_DISAGREE: Final = "fields_disagree"
SCORE_BELOW_THRESHOLD: Final = "score_below_threshold"
UNDOCUMENTED: Final = ("reward", "select", "clean_version")

_FILTER: Final = FilterConfig(leaks_answer="flag")
_PART_ROWS: Final = 5_000  # in memory at a time
_ONE_FILE_ROWS: Final = 100_000
_MIN_FILES: Final = 8
_VALUE_CHARS: Final = 40
_MOST_VALUES: Final = 5
_TAG: Final = re.compile(r"</?(?:observation|think|answer)>")


@dataclass(slots=True)
class Held:
    """What one file of the release held. metadata: field -> value in JSON -> number of records; undocumented."""

    num_records: int = 0
    num_questions: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    metadata: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in UNDOCUMENTED})


@dataclass(frozen=True, slots=True)
class ReleaseHeld:
    """Both files; rl is None when it was not given."""

    cot: Held
    rl: Held | None


def import_release(
    out: Path,
    cot: Sequence[Path],
    rl: Sequence[Path] = (),
    *,
    tokenizer: str | None = None,
    licenses: Mapping[str, str],
    progress: Callable[[int], None],
) -> tuple[Report, ReleaseHeld]:
    """Write their traces as the dataset folder `out`, described like ours. `progress` gets the records read since.

    Nothing stands at `out` before all of it does. Raises SourceError for parts that cannot be read or are of another
    file, ConfigError for the tokenizer, RunDirectoryError when `out` holds something.
    """
    from curation.describe import describe

    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunDirectoryError(f"{out} holds something already. Give another folder, or delete it to import again.")
    count_tokens = load_token_counter(tokenizer)
    parent = out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{out.name}.") as scratch:
        fresh = Path(scratch) / "dataset"
        held = write_configs(fresh, cot, rl, licenses=licenses, count_tokens=count_tokens, progress=progress)
        provenance = Provenance(
            source=SOURCE,
            tokenizer=publishable(tokenizer),
            config={},  # nothing was run
            media_repo=VIDEO_R1_DATA,  # their paths are relative to it
            note=describe_origin(held),
            origin=AUTHORS_RELEASE,
        )
        report = describe(fresh, provenance, num_read=_num_rows(held))
        fresh.rename(out)
    return report, held


def write_configs(
    folder: Path,
    cot: Sequence[Path],
    rl: Sequence[Path] = (),
    *,
    licenses: Mapping[str, str],
    count_tokens: CountTokens,
    progress: Callable[[int], None],
) -> ReleaseHeld:
    """The three configs of the release in `folder`, which must not exist yet.

    A CoT record becomes a row of cot or of rejected; an RL record a row of rl, or of rejected when it is no question.
    Without `rl`, config rl holds the questions of cot. Memory is bounded by a few thousand rows (and the ids that are
    kept for duplicates). Raises SourceError.
    """
    cot, rl = in_order(cot), in_order(rl)
    refuse_another_file(cot)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        parts = _Parts(Path(scratch))
        held = ReleaseHeld(
            _write_traces(cot, parts, licenses, count_tokens, progress),
            _write_questions(rl, parts, licenses, progress) if rl else None,
        )
        for config, schema in CONFIGS.items():
            taken_from = "cot" if config == "rl" and not rl else config
            num_files = _MIN_FILES if parts.num_rows[taken_from] > _ONE_FILE_ROWS else 1
            write_split(folder / CONFIG_FILES[config], parts.files[taken_from], schema, num_files=num_files)
    return held


def describe_origin(held: ReleaseHeld) -> str:
    """The note in the provenance: what these rows are, and what was found but not interpreted."""
    cot = held.cot
    parts = [
        f"Imported from the authors' data release of VideoP2R (text only, Apache-2.0): their {cot.num_records:,} CoT "
        f"records, {_rejects(cot)}.",
        "Scores and flags are by this project's rules; verdicts, prompts and attempts are null, because the release "
        "carries none.",
        f"{FIELDS_DISAGREE} ({cot.flags[FIELDS_DISAGREE]:,}): `observation`, `process` or `answer` says something else "
        "than `output` and `solution`, which were taken.",
        f"{SCORE_BELOW_THRESHOLD} ({cot.flags[SCORE_BELOW_THRESHOLD]:,}): our scorer gives less than "
        f"{_FILTER.min_score:g}; the row stays, for it is theirs.",
        _metadata("CoT", cot),
    ]
    if held.rl is None:
        parts.append("Config rl: the questions of the traces; their RL file was not imported.")
    else:
        parts.append(f"Config rl: their RL file, {held.rl.num_records:,} records, {_rejects(held.rl)}.")
        parts.append(_metadata("RL", held.rl))
    return " ".join(parts)


class _Parts:
    """Rows on their way into a config, a small file at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Path]] = {config: [] for config in CONFIGS}
        self.num_rows: Counter[str] = Counter()

    def write(self, config: str, rows: Sequence[Mapping[str, Any]]) -> None:
        path = self.folder / f"{config}.{len(self.files[config]):05d}.parquet"
        write_rows(path, rows, CONFIGS[config])
        self.files[config].append(path)
        self.num_rows[config] += len(rows)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One CoT question with what became of its completion."""

    question: Question
    completion: str | None
    trace: Trace | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()
    rejected_by: str | None = None
    detail: str | None = None


def _write_traces(
    paths: Sequence[Path],
    parts: _Parts,
    licenses: Mapping[str, str],
    count_tokens: CountTokens,
    progress: Callable[[int], None],
) -> Held:
    held = Held()
    records = _with_questions(paths, licenses, held)
    while batch := list(islice(records, _PART_ROWS)):
        rejects = [_reject_row("cot", found, record) for record, found in batch if isinstance(found, SourceReject)]
        entries = [_entry(record, found) for record, found in batch if isinstance(found, Question)]
        rows = _rows(entries, count_tokens)
        parts.write("cot", [row for row in rows if row["rejected_by"] is None])
        parts.write("rejected", [*rejects, *(row for row in rows if row["rejected_by"] is not None)])
        held.flags.update(flag for entry in entries for flag in entry.flags)
        held.reasons.update(entry.rejected_by for entry in entries if entry.rejected_by is not None)
        progress(len(batch))
    return held


def _write_questions(
    paths: Sequence[Path], parts: _Parts, licenses: Mapping[str, str], progress: Callable[[int], None]
) -> Held:
    held = Held()
    records = _with_questions(paths, licenses, held)
    while batch := list(islice(records, _PART_ROWS)):
        rejects = [_reject_row("rl", found, record) for record, found in batch if isinstance(found, SourceReject)]
        parts.write("rl", [found.as_row() for _, found in batch if isinstance(found, Question)])
        parts.write("rejected", rejects)
        progress(len(batch))
    if not held.num_questions:
        raise SourceError(f"none of the {held.num_records:,} records of {paths[0]} is a question. Give the RL parts.")
    return held


def _with_questions(
    paths: Sequence[Path], licenses: Mapping[str, str], held: Held
) -> Iterator[tuple[object, Question | SourceReject]]:
    """Each record's JSON value beside its question, or its reject; counted in `held`."""
    # The two iterators advance together, so that `tee` never holds more than one record.
    raw, again = tee(release.iter_records(paths))
    for record, found in zip(raw, questions_from_records(again, licenses), strict=True):
        value = record.value if isinstance(record, RawRecord) else None
        held.num_records += 1
        if isinstance(found, Question):
            held.num_questions += 1
        else:
            held.reasons[f"source:{found.reason}"] += 1
        if isinstance(value, Mapping):
            for name, counts in held.metadata.items():
                counts[_spelled(value[name]) if name in value else "absent"] += 1
        yield value, found


def _entry(record: object, question: Question) -> _Entry:
    """Our rules on one completion of theirs. Only the template rejects: the rest was their choice, and is flagged."""
    assert isinstance(record, Mapping)  # or it would be no question
    completion = record.get("output")
    if not isinstance(completion, str):
        detail = "no output" if completion is None else f"output must be text, got {ascii(completion)[:80]}"
        return _Entry(question, None, rejected_by="generate:no_output", detail=detail)
    if fault := find_unstorable(completion):
        return _Entry(question, None, rejected_by=BAD_ENCODING, detail=f"output: {fault}")
    filtered = filter_completion(completion, question, _FILTER)
    if filtered.trace is None:
        return _Entry(question, completion, rejected_by=filtered.rejected_by, detail=filtered.detail)
    flags = list(filtered.flags)
    if not _fields_agree(record, question, filtered.trace):
        flags.append(FIELDS_DISAGREE)
    if filtered.score is not None and filtered.score < _FILTER.min_score - SCORE_TOLERANCE:
        flags.append(SCORE_BELOW_THRESHOLD)
    return _Entry(question, completion, filtered.trace, filtered.score, tuple(flags))


def _fields_agree(record: Mapping[str, Any], question: Question, trace: Trace) -> bool:
    """Whether the fields that repeat parts of `output` and `solution` say the same; one that is absent says nothing.

    `process` is the think text, with or without the answer. `answer` is the gold answer; the trace's would do as well.
    White space and the template's tags do not count.
    """
    said = {
        name: _bare(str(record[name])) for name in ("observation", "process", "answer") if record.get(name) is not None
    }
    think, answer, gold = _bare(trace.think), _bare(trace.answer), _bare(answer_text(question.solution))
    return (
        said.get("observation") in (None, _bare(trace.observation))
        and said.get("process") in (None, think, f"{think} {answer}")
        and (
            said.get("answer") in (None, gold, answer)
            or score_answer(question.problem_type, said["answer"], question.solution, options=question.options)
            >= 1 - SCORE_TOLERANCE
        )
    )


def _bare(text: str) -> str:
    return " ".join(_TAG.sub(" ", text).split())


def _rows(entries: Sequence[_Entry], count_tokens: CountTokens) -> list[dict[str, Any]]:
    """Rows of the rejected schema, in order; a kept row has no `rejected_by`."""
    traces = [entry.trace for entry in entries if entry.trace is not None]
    observation_tokens = iter(count_tokens([trace.observation for trace in traces]))
    think_tokens = iter(count_tokens([trace.think for trace in traces]))
    return [
        entry.question.as_row()
        | {
            "observation": entry.trace.observation if entry.trace else None,
            "think": entry.trace.think if entry.trace else None,
            "answer": entry.trace.answer if entry.trace else None,
            "score": entry.score,
            "observation_tokens": next(observation_tokens) if entry.trace else None,
            "think_tokens": next(think_tokens) if entry.trace else None,
            "flags": list(entry.flags),
            "generator": GENERATOR,
            "rejected_by": entry.rejected_by,
            "detail": entry.detail,
            "completion": entry.completion if entry.rejected_by else None,
        }
        for entry in entries
    ]


def _reject_row(file: str, reject: SourceReject, record: object) -> dict[str, Any]:
    """A record that is no question, with what could be read of it; its id names file and place."""
    completion = record.get("output") if file == "cot" and isinstance(record, Mapping) else None
    return reject.as_row(content_key(SOURCE, file, reject.file, reject.record)[:16]) | {
        "completion": completion if isinstance(completion, str) and not find_unstorable(completion) else None
    }


def _num_rows(held: ReleaseHeld) -> int:
    """Rows of cot and rejected together."""
    return held.cot.num_records + (held.rl.reasons.total() if held.rl else 0)


def _spelled(value: object) -> str:
    return plain(json.dumps(value, default=str), most=_VALUE_CHARS)


def _rejects(held: Held) -> str:
    reasons = [f"{count:,} {reason}" for reason, count in held.reasons.most_common()]
    return f"{held.reasons.total():,} rejected" + (f" ({', '.join(reasons)})" if reasons else "")


def _metadata(file: str, held: Held) -> str:
    """The values of the undocumented fields, the most frequent first."""
    fields = []
    for name, counts in held.metadata.items():
        values = [f"{value} ({count:,})" for value, count in counts.most_common(_MOST_VALUES)]
        if len(counts) > _MOST_VALUES:
            values.append(f"{len(counts) - _MOST_VALUES:,} further values")
        fields.append(f"{name}: {', '.join(values) or 'none'}")
    return f"Undocumented fields of the {file} file, not interpreted: {'; '.join(fields)}."

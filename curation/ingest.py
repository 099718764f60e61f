"""Step 0: the source becomes numbered question shards, in the order of the source, once.

Broken and duplicate records are kept as rejected rows in `source.parquet`. When the source or the shard size changes,
questions may move to another shard; their journal lines then move with them, so that paid answers stay found.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from curation.answers import SENT_SUFFIX
from curation.engines.batches import outstanding_batches
from curation.errors import RunDirectoryError
from curation.journal import Journal, content_key, read_journal
from curation.rundir import RunDirectory
from curation.schema import QUESTION, REJECTED, SCHEMA_VERSION, Question, SourceReject
from curation.shards import read_rows, replace_folder, restore_folder, write_rows, write_text

# Raised by hand when a record would become another question or reject. 1 stood in no fingerprint.
SOURCE_VERSION: Final = 2
_INDEX: Final = "ingest.json"
SOURCE_REJECTS: Final = "source.parquet"


class Ingested(BaseModel):
    """What was read. `fingerprint` names the source and how it was cut."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    num_shards: int
    num_questions: int
    num_rejects: int


def ingest(
    directory: RunDirectory,
    records: Callable[[], Iterable[Question | SourceReject]],
    *,
    source_fingerprint: str,
    shard_size: int,
    progress: Callable[[int], None],
) -> Ingested:
    """Write the question shards, or find them as they are. `progress` gets the number of records read since.

    Memory is bounded by one shard (and the set of ids that the source keeps for duplicates).
    """
    fingerprint = content_key("ingest", SCHEMA_VERSION, SOURCE_VERSION, source_fingerprint, shard_size)
    by_old_rules = content_key("ingest", SCHEMA_VERSION, source_fingerprint, shard_size)
    before = read_ingested(directory)
    if before is not None and before.fingerprint == fingerprint:
        return before
    if before is not None and before.fingerprint == by_old_rules and _outstanding_batches(directory):
        return before  # the source is the same: what was paid for is collected first, as it was cut
    fresh = directory.root / "questions.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    rejects: list[SourceReject] = []
    num_shards = num_questions = 0
    questions = _questions(records(), rejects, progress)
    while shard := list(islice(questions, shard_size)):
        rows = [question.as_row() for question in shard]
        write_rows(fresh / f"{num_shards:05d}.parquet", rows, QUESTION, fingerprint=content_key(rows))
        num_shards += 1
        num_questions += len(shard)
    rejected = [reject.as_row(content_key("source", reject.file, reject.record)[:16]) for reject in rejects]
    write_rows(fresh / SOURCE_REJECTS, rejected, REJECTED)
    ingested = Ingested(
        fingerprint=fingerprint, num_shards=num_shards, num_questions=num_questions, num_rejects=len(rejects)
    )
    _refuse_outstanding_batches(directory)
    # From here to the end no index stands: whichever source a run after a kill is given, it sorts the journals again.
    (directory.questions / _INDEX).unlink(missing_ok=True)
    _move_journals(directory, fresh, num_shards)
    write_text(fresh / _INDEX, ingested.model_dump_json())
    replace_folder(fresh, directory.questions)
    return ingested


def journal_files(directory: RunDirectory) -> list[Path]:
    """The journals of answers, one a shard and step."""
    return sorted(path for path in directory.journals.glob("*.jsonl") if path.name.count(".") == 2)


def read_ingested(directory: RunDirectory) -> Ingested | None:
    """None when the questions were not ingested, or not to the end."""
    path = directory.questions / _INDEX
    return Ingested.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def read_questions(directory: RunDirectory, shard: int) -> list[Question]:
    """The questions of one shard, in order."""
    return [Question.from_row(row) for row in read_rows(directory.questions / f"{shard:05d}.parquet")]


def referenced_paths(directory: RunDirectory, num_shards: int) -> list[str]:
    """Every distinct media path, in order of first use."""
    paths: dict[str, None] = {}
    for shard in range(num_shards):
        column = pq.read_table(directory.questions / f"{shard:05d}.parquet", columns=["path"])["path"]
        paths.update(dict.fromkeys(column.to_pylist()))
    return list(paths)


def _questions(
    records: Iterable[Question | SourceReject], rejects: list[SourceReject], progress: Callable[[int], None]
) -> Iterator[Question]:
    for record in records:
        progress(1)
        if isinstance(record, SourceReject):
            rejects.append(record)
        else:
            yield record


def _refuse_outstanding_batches(directory: RunDirectory) -> None:
    """Their state belongs to a shard as it was cut when they were sent."""
    if batch_ids := _outstanding_batches(directory):
        raise RunDirectoryError(
            f"the source changed while judge batches are out ({', '.join(batch_ids)}). Run once more with the old "
            "source to collect them, or give another run_dir."
        )


def _outstanding_batches(directory: RunDirectory) -> list[str]:
    paths = sorted(directory.journals.glob("*.batches.jsonl"))
    return [batch_id for path in paths for batch_id in outstanding_batches(path)]


def _move_journals(directory: RunDirectory, fresh: Path, num_shards: int) -> None:
    """Sort every journal line into the shard that now holds its question; those of vanished questions stay too."""
    restore_folder(directory.journals)
    if not directory.journals.exists():
        return
    shard_of = {
        question_id: shard
        for shard in range(num_shards)
        for question_id in pq.read_table(fresh / f"{shard:05d}.parquet", columns=["id"])["id"].to_pylist()
    }
    moved = RunDirectory(directory.root / "moved")
    shutil.rmtree(moved.root, ignore_errors=True)
    for path in journal_files(directory):  # not the state of batches: they are all collected
        step = path.name.split(".")[1]
        for suffix in (path.suffix, SENT_SUFFIX):
            for shard, lines in _by_shard(read_journal(path.with_suffix(suffix)), shard_of).items():
                with Journal(moved.journal(shard, step).with_suffix(suffix)) as journal:
                    for line in lines:
                        journal.append(line)
    if moved.journals.exists():
        replace_folder(moved.journals, directory.journals)
    shutil.rmtree(moved.root, ignore_errors=True)


_VANISHED: Final = 99_999  # a shard number for answers whose question left the source: paid, so kept


def _by_shard(lines: Iterable[dict[str, Any]], shard_of: dict[str, int]) -> dict[int, list[dict[str, Any]]]:
    sorted_lines: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        sorted_lines.setdefault(shard_of.get(line["id"], _VANISHED), []).append(line)
    return sorted_lines

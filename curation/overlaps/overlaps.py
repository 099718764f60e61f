"""A dataset against benchmarks: read both, look for each kind of evidence, write it down, mark the rows.

annotations -> path and question evidence          checks/overlaps.parquet   every row that was looked at
benchmark media -> sha256 evidence              -> checks/overlaps.json      the report
both sides' media -> frame evidence                data/, rejected/          the column `overlaps`
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from curation.checks import write_check
from curation.decoding import DecoderPool
from curation.describe import describe, find_checks
from curation.errors import ConfigError, RunDirectoryError
from curation.facts import config_files
from curation.media import resolve_media
from curation.overlaps.apply import DETAILS_FILE, MARKED_CONFIGS, apply_overlaps, write_details
from curation.overlaps.benchmarks import Benchmark, read_benchmark
from curation.overlaps.evidence import KINDS, Questions, by_value, path_evidence, prepare, question_evidence
from curation.overlaps.frames import MAX_BITS, MIN_CHAIN, MIN_EVIDENCE, NUM_FRAMES, SAMPLING, find_same
from curation.overlaps.report import BenchmarkOverlap, Fault, FramesRule, OverlapReport, RowCount
from curation.overlaps.signatures import OWN, MediaFile, count_files, list_media, measure_files
from curation.progress import show_progress
from curation.provenance import PROVENANCE_FILE, read_provenance
from curation.rundir import RunDirectory, hold_folder
from curation.shards import write_text

CHECK: Final = "overlaps"
JOURNAL_FILE: Final = "checks/overlaps.media.jsonl"


@dataclass(frozen=True, slots=True)
class Against:
    """What to compare with. annotations and media by the benchmark's name; media_root is the dataset's own, if any."""

    annotations: Mapping[str, Sequence[Path]]
    media: Mapping[str, Path]
    media_root: Path | None

    def check(self) -> None:
        """Raises ConfigError for media of a benchmark whose annotations are not given."""
        for name in self.media:
            if name not in self.annotations:
                raise ConfigError(f"--benchmark-media names {name!r}, which no --benchmark names.")
        if self.media_root is not None and not self.media_root.is_dir():
            raise ConfigError(f"the media root {self.media_root} is no directory. Point --media-root to the media.")


def mark_overlaps(folder: Path, home: Path, against: Against, *, num_workers: int, console: Console) -> OverlapReport:
    """Look for overlaps, keep what was found below `home`/checks and fill the column of `folder`.

    Killed at any moment, it is completed by running it again: measured media are in a journal. Raises SourceError for
    annotations that cannot be read, ConfigError, RunDirectoryError.
    """
    against.check()
    benchmarks = [read_benchmark(name, paths) for name, paths in against.annotations.items()]
    # A run that goes on would replace the folder under our hands.
    with hold_folder(home if home != folder else home / "checks", "end that process"):
        rows = _read_rows(folder)
        media = asyncio.run(_measure_media(rows, home / JOURNAL_FILE, against, num_workers, console))
        report, details = compare(rows, benchmarks, media, console)
        write_details(home / DETAILS_FILE, details.iter_rows(named=True))
        apply_overlaps(folder, home / DETAILS_FILE)
        write_check(home, CHECK, folder, report)
        _describe_again(folder, home)
    return report


def _describe_again(folder: Path, home: Path) -> None:
    """Statistics and card count the column that was just filled."""
    if not (folder / PROVENANCE_FILE).exists():
        return
    described = describe(folder, read_provenance(folder), checks=find_checks(home, folder, allow_stale=True))
    if (of_run := RunDirectory(home).report).exists() and home != folder:
        write_text(of_run, described.model_dump_json(indent=2))


@dataclass(frozen=True, slots=True)
class Media:
    """Measured files by their paths: the dataset's own (null: not looked at), and those of benchmarks by name."""

    own: Mapping[str, MediaFile] | None
    benchmarks: Mapping[str, Mapping[str, MediaFile]]


def compare(
    rows: pl.DataFrame, benchmarks: Sequence[Benchmark], media: Media, console: Console
) -> tuple[OverlapReport, pl.DataFrame]:
    """The report, and the lines of checks/overlaps.parquet."""
    known = rows.filter(pl.col("id").is_not_null())
    own_questions = prepare(known["problem"])
    parts, found = [], []
    for benchmark in benchmarks:
        part, evidence = _compare_with(benchmark, known, own_questions, media, console)
        parts.append(part)
        found.append(evidence.with_columns(benchmark=pl.lit(benchmark.name)))
    evidence = pl.concat(found)
    report = OverlapReport(
        rows=_count(known, known.with_row_index("row")["row"]),
        num_without_id=rows.height - known.height,
        any=_count(known, evidence["row"]),
        frames_rule=FramesRule(
            num_frames=NUM_FRAMES, max_bits=MAX_BITS, min_chain=MIN_CHAIN, min_evidence=MIN_EVIDENCE
        ),
        own_media=None if media.own is None else count_files(media.own, with_sha256=False),
        benchmarks=tuple(parts),
    )
    return report, _details(known, evidence)


def _read_rows(folder: Path) -> pl.DataFrame:
    """Columns kept, id, media_sha256, path, data_type, problem. Raises RunDirectoryError."""
    columns = ("id", "media_sha256", "path", "data_type", "problem")
    parts = []
    for config in MARKED_CONFIGS:
        for file in config_files(folder, config):
            try:
                part = pl.from_arrow(pq.read_table(file, columns=list(columns)))
            except (OSError, pa.ArrowException) as error:
                raise RunDirectoryError(
                    f"cannot read {file}: {str(error).splitlines()[0]} Run the pipeline again to rewrite it."
                ) from error
            assert isinstance(part, pl.DataFrame)
            parts.append(part.select(pl.lit(config == "cot").alias("kept"), pl.col(*columns).cast(pl.String)))
    return pl.concat(parts)


async def _measure_media(
    rows: pl.DataFrame, journal_path: Path, against: Against, num_workers: int, console: Console
) -> Media:
    """sha256 of benchmark files; frames too when both sides' media are there."""
    listed = {name: list_media(root) for name, root in against.media.items()}
    videos = rows.filter(pl.col("data_type") == "video")["path"].drop_nulls().unique(maintain_order=True).to_list()
    compares_frames = against.media_root is not None and bool(listed)
    async with AsyncExitStack() as stack:
        pool = None
        if compares_frames:
            pool = await stack.enter_async_context(
                DecoderPool(SAMPLING.model_copy(update={"num_workers": num_workers}))
            )
        measure = partial(measure_files, journal_path=journal_path, pool=pool, num_at_once=2 * num_workers)
        own = None
        if compares_frames:
            assert against.media_root is not None
            locate = partial(resolve_media, against.media_root)
            with show_progress(console, "media", len(videos)) as advance:
                own = await measure(OWN, videos, locate=locate, with_sha256=False, progress=advance)
        measured = {}
        for name, paths in listed.items():
            with show_progress(console, name, len(paths)) as advance:
                measured[name] = await measure(
                    name, paths, locate=against.media[name].joinpath, with_sha256=True, progress=advance
                )
    return Media(own, measured)


def _compare_with(
    benchmark: Benchmark, rows: pl.DataFrame, own_questions: Questions, media: Media, console: Console
) -> tuple[BenchmarkOverlap, pl.DataFrame]:
    """One benchmark: its part of the report, and its evidence."""
    questions = prepare(pl.Series([record.question for record in benchmark.records], dtype=pl.String))
    places = pl.Series([record.place for record in benchmark.records], dtype=pl.String)
    shared = question_evidence(own_questions, questions, places)
    found = {"path": path_evidence(rows["path"], benchmark), "question": shared.evidence}
    files = media.benchmarks.get(benchmark.name)
    if files is not None:
        hashed = {file.sha256: path for path, file in reversed([*files.items()]) if file.sha256 is not None}
        found["sha256"] = by_value(rows["media_sha256"], hashed, "sha256")
        if media.own is not None:
            found["frames"] = _frame_evidence(rows, media.own, files, console)
    evidence = pl.concat(found.values())
    count = {kind: _count(rows, found[kind]["row"]) for kind in found}
    return (
        BenchmarkOverlap(
            benchmark=benchmark.name,
            num_questions=sum(record.question is not None for record in benchmark.records),
            num_short_questions=questions.num_short,
            num_videos=len({record.video for record in benchmark.records if record.video is not None}),
            unread=tuple(Fault(reason=reason, num=num) for reason, num in benchmark.unread.items()),
            media=None if files is None else count_files(files, with_sha256=True),
            path=count["path"],
            sha256=count.get("sha256"),
            frames=count.get("frames"),
            question=count["question"],
            rows=_count(rows, evidence["row"]),
            num_shared_texts=shared.num_shared_texts,
            top_shared_texts=shared.top,
        ),
        evidence,
    )


def _frame_evidence(
    rows: pl.DataFrame,
    own: Mapping[str, MediaFile],
    theirs: Mapping[str, MediaFile],
    console: Console,
) -> pl.DataFrame:
    ours, others = (
        {path: file.signature for path, file in files.items() if file.signature is not None} for files in (own, theirs)
    )
    with show_progress(console, "frames", len(ours)) as advance:
        same = find_same(ours, others, advance)
    return by_value(rows["path"], {path: matched[0] for path, matched in same.items()}, "frames")


def _count(rows: pl.DataFrame, numbers: pl.Series) -> RowCount:
    """The rows with these numbers, each once."""
    kept = rows["kept"].gather(numbers.unique())
    num_kept = int(kept.sum())
    return RowCount(num_kept=num_kept, num_rejected=kept.len() - num_kept)


def _details(rows: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """Every row, told by id and media_sha256, with its benchmarks; see apply.DETAILS."""
    order = pl.col("kind").replace_strict({kind: place for place, kind in enumerate(KINDS)}, return_dtype=pl.UInt8)
    lines = (
        evidence.sort("row", "benchmark", order)
        .group_by("row", "benchmark", maintain_order=True)
        .agg(kinds="kind", matched="matched")
    )
    return (
        rows.select("id", "media_sha256")
        .with_row_index("row")
        .join(lines, on="row", how="left", maintain_order="left_right")
        .unique(["id", "media_sha256", "benchmark"], keep="first", maintain_order=True)
        .with_columns(pl.col("kinds", "matched").fill_null([]))
        .drop("row")
    )

"""Which media files the chosen rows of a dataset ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import polars as pl

from curation.errors import ConfigError, RunDirectoryError
from curation.facts import config_files, read_footer
from curation.fetch.faults import Fault
from curation.fetch.names import composed

# What this command keeps in the media root itself.
MANIFEST: Final = "media.jsonl"
MISSING: Final = "missing.jsonl"
ARCHIVES: Final = ".archives"
LOCK: Final = ".lock"
_RESERVED: Final = frozenset((MANIFEST, MISSING, ARCHIVES, LOCK))
_COLUMNS: Final = ("id", "path", "problem_type", "data_type", "data_source")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_MAX_NAME_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that are meant; null = all. limit counts questions, in the order of the dataset."""

    problem_types: Sequence[str] | None = None
    data_types: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file below the media root and in the source, without a leading "./". sha256: null = the dataset knows none."""

    path: str
    num_questions: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """What the chosen rows ask for. row_paths: every distinct path as the rows write it. refused: by such a path."""

    num_questions: int
    row_paths: tuple[str, ...]
    files: tuple[WantedFile, ...]
    refused: dict[str, Fault]


def choose_files(folder: Path, config: str, selection: Selection) -> Choice:
    """The files of the chosen rows of one config, in order of first use.

    Hashes come from every config of the folder that has them, for the questions of `rl` carry none. Raises ConfigError
    when nothing is chosen, RunDirectoryError when the dataset cannot be read.
    """
    rows = _select(_read(folder, config, _COLUMNS), selection)
    counts = rows.group_by("path", maintain_order=True).len("num_questions")
    hashes: dict[str, set[str]] = {}
    for path, sha256 in _read_hashes(folder, config).iter_rows():
        hashes.setdefault(plain_path(path), set()).add(sha256)
    refused: dict[str, Fault] = {}
    num_questions: dict[str, int] = {}
    for row_path, number in counts.iter_rows():
        path = plain_path(row_path)
        try:
            check_path(row_path)
            if len(hashes.get(path, ())) > 1:
                raise Fault("contradiction", f"rows name {len(hashes[path])} different media_sha256 for it")
        except Fault as fault:
            refused[row_path] = fault
        else:
            num_questions[path] = num_questions.get(path, 0) + number
    files = tuple(
        WantedFile(path, number, next(iter(hashes.get(path, ())), None)) for path, number in num_questions.items()
    )
    return Choice(rows.height, tuple(counts["path"]), files, refused)


def check_path(path: str) -> None:
    """Raises Fault (refused_path) for whatever could lead out of a media root, on any system, or hit our own files."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or _DRIVE.match(parts[0]):
        raise Fault("refused_path", f"{path[:200]!r} is not a path inside a media root")
    if path.endswith("/") or any(len(part.encode("utf-8", "replace")) > _MAX_NAME_BYTES for part in parts):
        raise Fault("refused_path", f"{path[:200]!r} cannot be the name of a file")
    if parts[0] in _RESERVED:
        raise Fault("refused_path", f"{path[:200]!r} is a name that this command keeps for itself")


def plain_path(path: str) -> str:
    """Without "." and doubled slashes, its accents composed: the name below the media root."""
    return composed(str(PurePosixPath(path)))


def _select(rows: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    for column, option, chosen in (
        ("problem_type", "--type", selection.problem_types),
        ("data_type", "--data-type", selection.data_types),
        ("data_source", "--source", selection.sources),
    ):
        if chosen is None:
            continue
        known = rows[column].drop_nulls().unique().sort().to_list()
        # A source may have parts, LLaVA-Video-178K/30_60_s_youtube_v0_1, and is then meant with all of them.
        meant = {value: [name for name in known if name == value or name.startswith(f"{value}/")] for value in chosen}
        if unknown := [value for value, names in meant.items() if not names]:
            shown = ", ".join(repr(value) for value in known[:20])
            raise ConfigError(f"no row has {option} {unknown[0]!r}. The rows that are left have {shown or 'none'}.")
        rows = rows.filter(pl.col(column).is_in([name for names in meant.values() for name in names]))
    if selection.ids is not None:
        if unknown := sorted(set(selection.ids) - set(rows["id"])):
            raise ConfigError(
                f"{len(unknown)} of the ids are not among the chosen rows, the first is {unknown[0][:80]!r}. Take them "
                "out, or choose more rows."
            )
        rows = rows.filter(pl.col("id").is_in(list(selection.ids)))
    if selection.limit is not None:
        rows = rows.head(selection.limit)
    if not rows.height:
        raise ConfigError("no question is chosen. Choose more rows.")
    return rows


def _read_hashes(folder: Path, config: str) -> pl.DataFrame:
    """(path, media_sha256) of every row that has both."""
    frames = [pl.DataFrame(schema={"path": pl.String, "media_sha256": pl.String})]
    for name in {config, "cot", "rejected"} - {"rl"}:
        try:
            files = config_files(folder, name)
        except RunDirectoryError:
            continue  # this config was not downloaded, or does not exist
        frames.append(_read_files(files, ("path", "media_sha256")))
    return pl.concat(frames).drop_nulls().unique()


def _read(folder: Path, config: str, columns: Sequence[str]) -> pl.DataFrame:
    return _read_files(config_files(folder, config), columns).drop_nulls("path")


def _read_files(files: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    for file in files:
        if missing := set(columns) - set(read_footer(file).schema.to_arrow_schema().names):
            raise RunDirectoryError(f"{file} has no column {sorted(missing)}; it was written by another version.")
    try:
        scans = [pl.scan_parquet(file, glob=False, hive_partitioning=False) for file in files]
        return pl.concat([scan.select(pl.col(columns).cast(pl.String)) for scan in scans]).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunDirectoryError(f"cannot read {files[0].parent}: {str(error).splitlines()[0]}") from error

"""The published dataset on its way into training: the one revision that was asked for, and only rows that can be used.

Config `cot` is for SFT, `rl` holds the questions of RL. A row whose media is missing or unusable, or whose trace is no
trace, is left out and counted by its reason; nothing is put in its place. The order is that of the files.
"""

from __future__ import annotations

import glob
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import datasets
import fsspec  # type: ignore[import-untyped]
import pyarrow.parquet as pq

from curation.errors import ConfigError, MediaError
from curation.media import MediaRecord, load_manifest, resolve_media
from curation.schema import CONFIG_FILES, CONFIGS, DATA_TYPES, PROBLEM_TYPES, SCHEMA_VERSION
from curation.scoring.choice import MAX_OPTIONS
from curation.tasks import find_gold_fault
from curation.trace import TraceFormatError
from curation.video import VideoConfig, check_file
from training.config import DatasetConfig
from training.held_out_split import RULES_VERSION, ClipSplit, RulesVersion, tell_clips
from training.processes import Template, render_target

_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT: Final = re.compile(r"@([0-9a-f]{40})/")
_REPORT_FILE: Final = "stats/report.json"
_MANIFEST: Final = "media.jsonl"
# Added to every row: the resolved file, and the sha256 of what it holds now, null when no manifest knows it.
MEDIA_FILE: Final = "media_file"
CONTENT_SHA256: Final = "content_sha256"


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The usable rows of one config, with the columns of the published format and the two above.

    revision and commit: of the hub repository, null for a folder. left_out: reason -> number of rows.
    """

    rows: datasets.Dataset
    name: str
    config: str
    revision: str | None
    commit: str | None
    num_published: int
    left_out: Mapping[str, int]

    def describe(self) -> str:
        """One line, for logs and reports."""
        place = self.name if self.revision is None else f"{self.name}@{self.revision}"
        commit = "" if self.commit is None else f" ({self.commit[:8]})"
        text = f"{place}{commit}, config {self.config}: {len(self.rows):,} of {self.num_published:,} rows"
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.left_out.items())
        return f"{text}; left out: {reasons}" if reasons else text


def load_rows(
    config: DatasetConfig, split: Literal["cot", "rl"], video: VideoConfig, template: Template = "full"
) -> TrainingRows:
    """Load, check the format, leave out what cannot be used. template: what a trace needs the texts for.

    Raises ConfigError: dataset or revision not found, another format, no media root, no usable row.
    """
    root = config.media_root
    if not root.is_dir():
        raise ConfigError(
            f"the media root {root} is no directory. Set dataset.media_root to where the rows' paths begin."
        )
    folder = find_folder(Path(config.name))
    if folder is None:
        dataset, commit = _load_from_hub(config, split)
        _check_version(f"hf://datasets/{config.name}@{commit}/{_REPORT_FILE}", config.name)
    else:
        _check_version(str(folder / _REPORT_FILE), config.name)
        dataset, commit = _load_from_folder(folder, split), None
    _check_columns(dataset, split, config.name)

    media = _Media(root, video, _load_manifest(config))
    usable: list[int] = []
    left_out: Counter[str] = Counter()
    found: list[tuple[str | None, str | None]] = []
    for number, row in enumerate(_light_rows(dataset)):
        reason, file, sha256 = _refuse(row, template), None, None
        if reason is None:
            reason, file, sha256 = media.look_up(row)
        found.append((file, sha256))
        if reason is None:
            usable.append(number)
        else:
            left_out[reason] += 1
    counts = dict(sorted(left_out.items()))
    if not usable:
        raise ConfigError(
            f"{config.name} has no row of config {split} that can be used: {counts or 'it has no rows'}. "
            f"Check dataset.media_root ({root})."
        )
    # Added before the selection, which is a list of numbers then: the table on disk is not written again.
    for column, values in ((MEDIA_FILE, [file for file, _ in found]), (CONTENT_SHA256, [sha for _, sha in found])):
        dataset = dataset.add_column(column, values, feature=datasets.Value("string"))
    return TrainingRows(
        dataset.select(usable), config.name, split, config.revision if commit else None, commit, len(found), counts
    )


def find_folder(path: Path) -> Path | None:
    """The dataset folder that a folder is, or that a run directory holds; None when there is no folder."""
    if not path.is_dir():
        return None
    return path / "dataset" if (path / "dataset").is_dir() else path


def published_paths(config: DatasetConfig, split: Literal["cot", "rl"]) -> list[str] | None:
    """The media path of each row of a folder that has one; None where there is no such folder. Raises ConfigError."""
    folder = find_folder(Path(config.name))
    if folder is None or not (files := _files(folder, split)):
        return None
    with _one_line(f"{folder}, config {split}"):
        tables = [pq.read_table(file, columns=["path"]) for file in files]
        return [path for table in tables for path in table["path"].to_pylist() if path]


def load_split(config: DatasetConfig, share: float, rules: RulesVersion = RULES_VERSION) -> ClipSplit:
    """Return which clips of the dataset are held out. Raises ConfigError as `load_rows`.

    Both configs are read: only `cot` publishes what a clip holds, and questions of `rl` are about the same clips.
    """
    if share in (0, 1) or rules == 1:
        return ClipSplit(share, rules=rules)
    folder = find_folder(Path(config.name))
    if folder is None:
        published = [pair for split in ("cot", "rl") for pair in _media_of(_load_from_hub(config, split)[0])]
        rejected: list[tuple[str, str | None]] = []
    else:
        cot, rl, rejected = (_read_media(folder, split) for split in ("cot", "rl", "rejected"))
        published = cot + rl
    manifest = [(path, record.sha256) for path, record in _load_manifest(config).items()]
    return ClipSplit(share, tell_clips(published, [*rejected, *manifest]), rules)


def _media_of(dataset: datasets.Dataset) -> Iterator[tuple[str, str | None]]:
    light = dataset.select_columns([name for name in ("path", "media_sha256") if name in dataset.column_names])
    for batch in light.iter(batch_size=10_000):
        contents = batch.get("media_sha256", [None] * len(batch["path"]))
        yield from ((path, sha256) for path, sha256 in zip(batch["path"], contents, strict=True) if path)


def _read_media(folder: Path, split: str) -> list[tuple[str, str | None]]:
    """(path, media_sha256) of the rows of a config; empty where the folder has none."""
    found: list[tuple[str, str | None]] = []
    with _one_line(f"{folder}, config {split}"):
        for file in _files(folder, split):
            names = [name for name in ("path", "media_sha256") if name in pq.read_schema(file).names]
            for row in pq.read_table(file, columns=names).to_pylist():
                if row.get("path"):
                    found.append((row["path"], row.get("media_sha256")))
    return found


def _files(folder: Path, split: str) -> list[str]:
    stem = folder / CONFIG_FILES[split]
    return sorted(str(path) for path in stem.parent.glob(f"{stem.name}-*.parquet"))


def _load_from_folder(folder: Path, split: str) -> datasets.Dataset:
    paths = _files(folder, split)
    if not paths:
        raise ConfigError(f"{folder} has no {CONFIG_FILES[split]}-*.parquet: it is no dataset of this project.")
    with _one_line(f"{folder}, config {split}"):
        # datasets takes each name for a pattern: runs/g* would read other runs too
        return datasets.load_dataset("parquet", data_files=[glob.escape(path) for path in paths], split="train")


def _load_from_hub(config: DatasetConfig, split: str) -> tuple[datasets.Dataset, str]:
    """The rows, and the commit that the revision names now."""
    if not _REPO.fullmatch(config.name):
        raise ConfigError(
            f"{config.name} is no folder and no hub dataset. Set dataset.name to a folder or to org/name."
        )
    if config.revision is None:
        raise ConfigError(f"dataset.revision is missing. Name a tag of {config.name}, such as v1.0.0.")
    place = f"{config.name}@{config.revision}"
    with _one_line(f"{place}, config {split}"):
        # What load_dataset does, in its three steps, because the first one knows the commit.
        builder = datasets.load_dataset_builder(config.name, split, revision=config.revision)
        commits = {match[1] for file in _data_files(builder) if (match := _COMMIT.search(file))}
    if len(commits) != 1:  # without the hub, the client gives whatever it loaded last, of any revision
        raise ConfigError(
            f"cannot reach the hub to see what {place} is. Try again, or download it once and set dataset.name to "
            "that folder."
        )
    with _one_line(f"{place}, config {split}"):
        builder.download_and_prepare()
        return builder.as_dataset(split="train"), commits.pop()


def _data_files(builder: Any) -> list[str]:
    files = builder.config.data_files or {}
    return [str(file) for of_split in files.values() for file in of_split]


def _check_version(report: str, name: str) -> None:
    """A dataset without a report does not say its version; then its columns must do."""
    try:
        with fsspec.open(report, "rt", encoding="utf-8") as file:
            version = json.load(file)["schema_version"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{report} does not say the schema_version of {name}: {error!r}. Publish it again."
        ) from error
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{name} is in format version {version}, this code reads version {SCHEMA_VERSION}. Set dataset.revision to "
            "a tag of that version, or update the code."
        )


def _check_columns(dataset: datasets.Dataset, split: str, name: str) -> None:
    expected = datasets.Features.from_arrow_schema(CONFIGS[split])
    wrong = [column for column, feature in expected.items() if dataset.features.get(column) != feature]
    if wrong:
        raise ConfigError(
            f"{name}, config {split}, lacks or changes the columns {', '.join(wrong)}: it is in another format than "
            f"version {SCHEMA_VERSION}. Set dataset.revision to a tag of this version."
        )


def _load_manifest(config: DatasetConfig) -> dict[str, MediaRecord]:
    path = config.manifest or config.media_root / _MANIFEST
    if config.manifest is not None and not path.is_file():
        raise ConfigError(f"there is no media manifest {path}. Correct dataset.manifest, or leave it out.")
    return {_plain(record.path): record for record in load_manifest(path).values()}


def _plain(path: str) -> str:
    return str(PurePosixPath(path))


def _light_rows(dataset: datasets.Dataset) -> Iterator[dict[str, Any]]:
    """The columns that decide whether a row can be used, row by row."""
    wanted = {"path", "data_type", "problem_type", "problem", "options", "solution"}
    wanted |= {"observation", "think", "answer", "media_sha256"}
    light = dataset.select_columns([column for column in dataset.column_names if column in wanted])
    for batch in light.iter(batch_size=1000):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))


def _refuse(row: Mapping[str, Any], template: Template) -> str | None:
    """Why the texts of this row cannot be trained on."""
    if row["problem_type"] not in PROBLEM_TYPES:
        return "question:problem_type"
    if row["data_type"] not in DATA_TYPES:
        return "question:data_type"
    if not row["problem"]:
        return "question:problem"
    options = row["options"] or ()
    if None in options or (row["problem_type"] == "multiple choice" and not 2 <= len(options) <= MAX_OPTIONS):
        return "question:options"
    if find_gold_fault(row["problem_type"], row["solution"] or "", options):
        return "question:solution"
    if "think" in row:
        try:
            render_target(row, template)
        except TraceFormatError as error:
            return f"trace:{error.fault}"
    return None


class _Media:
    """Looks at each distinct file once."""

    def __init__(self, root: Path, video: VideoConfig, manifest: Mapping[str, MediaRecord]) -> None:
        self._root = root
        self._video = video
        self._manifest = manifest
        self._seen: dict[str, tuple[str | None, Path | None, MediaRecord | None]] = {}

    def look_up(self, row: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
        """(reason, file, sha256): why the row's media cannot be used, or where they are and what they hold."""
        path = row["path"] or ""
        if path not in self._seen:
            self._seen[path] = self._look_at(path)
        reason, file, record = self._seen[path]
        if reason is None and record is not None:
            fault = record.refuse(row["data_type"])
            claimed = row.get("media_sha256")
            if fault is not None:
                reason = f"media:{fault.reason}"
            elif claimed is not None and record.sha256 not in (None, claimed):
                reason = "media:sha256"
        if reason is not None:
            return reason, None, None
        return None, str(file), None if record is None else record.sha256

    def _look_at(self, path: str) -> tuple[str | None, Path | None, MediaRecord | None]:
        try:
            file = resolve_media(self._root, path)
            check_file(file, self._video)
            status = file.stat()
        except MediaError as fault:
            return f"media:{fault.reason}", None, None
        except OSError:  # it vanished between two looks
            return "media:missing", None, None
        record = self._manifest.get(_plain(path))
        if record is not None and (record.size_bytes, record.mtime_ns) != (status.st_size, status.st_mtime_ns):
            record = None  # it tells about a file that is no longer there
        return None, file, record


@contextmanager
def _one_line(place: str) -> Iterator[None]:
    """What the datasets library raises, in one line; its causes say more than it does."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:300] or type(cause).__name__
        raise ConfigError(
            f"cannot load the dataset {place}: {reason} Check dataset.name and dataset.revision."
        ) from error

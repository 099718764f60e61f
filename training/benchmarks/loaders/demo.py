"""The eighth benchmark, which runs everywhere: the questions of the demo world about clips that no stage trains on.

It reads any dataset of this project; which clips are held out follows from the dataset (held_out_split.py), so it must
be given the share that training held out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from curation.schema import CONFIG_FILES, DATA_TYPES, PROBLEM_TYPES, QUESTION
from curation.scoring.answer_text import answer_text
from training.benchmarks.loaders.annotations import hash_files, read_rows
from training.benchmarks.loaders.layout import BenchmarkError, Columns, LeftOut, Row
from training.benchmarks.loaders.loading import collect
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.options import gold_letter, letter_options
from training.benchmarks.question import BenchmarkQuestion, LoadedBenchmark
from training.benchmarks.scoring import Kind
from training.config import DatasetConfig
from training.data import load_split
from training.held_out_split import RULES_VERSION, ClipSplit, RulesVersion

NAME: Final = "shapes"
TITLE: Final = "the demo world"
TRAINED_ON: Final = "trained on"
_CONFIG: Final = "rl"  # the questions alone
_KINDS: Final[dict[str, Kind]] = dict(
    zip(PROBLEM_TYPES, ("mc", "numeric", "ocr", "free-form", "regression"), strict=True)
)


def load_demo(
    folder: Path, media_root: Path, *, held_out_share: float, rules: RulesVersion = RULES_VERSION
) -> LoadedBenchmark:
    """folder: a dataset folder or the run directory that holds one. held_out_share: in (0, 1], as in training; rules
    too.

    Raises BenchmarkError, and ConfigError without a media root.
    """
    if not 0 < held_out_share <= 1:
        raise BenchmarkError(f"{TITLE}: the held-out share is {held_out_share}. It lies above 0 and up to 1.")
    media = MediaRoot(media_root)
    root = folder / "dataset" if (folder / "dataset").is_dir() else folder
    stem = root / CONFIG_FILES[_CONFIG]
    paths = sorted(stem.parent.glob(f"{stem.name}-*.parquet"))
    if not paths:
        raise BenchmarkError(f"{TITLE}: {folder} has no {CONFIG_FILES[_CONFIG]}-*.parquet. Build it with make demo.")
    files = tuple((path.relative_to(root).as_posix(), path) for path in paths)
    columns = Columns(frozenset(QUESTION.names))
    rows = read_rows({_CONFIG: files}, title=TITLE, repo="this project", columns=columns)
    split = load_split(DatasetConfig(name=str(folder), media_root=media_root), held_out_share, rules)
    return collect(
        NAME,
        rows,
        lambda row: _read(row, media, split),
        title=TITLE,
        columns=columns,
        protocol="official",  # whose rules are the wider ones: a dataset of ours has golds of its own form
        revision=hash_files(files),
        num_published=None,
    )


def _read(row: Row, media: MediaRoot, split: ClipSplit) -> BenchmarkQuestion | LeftOut:
    path = row.text("path")
    if not split.holds_out(path):
        return LeftOut(TRAINED_ON)
    kind = _KINDS[row.one_of("problem_type", PROBLEM_TYPES)]
    options = letter_options(row.texts("options")) if kind == "mc" else ()
    answer = answer_text(row.text("solution"))
    found = media.find(path.removeprefix("./"))
    return BenchmarkQuestion(
        benchmark=NAME,
        uid=row.text("id"),
        kind=kind,
        text=row.text("problem"),
        options=options,
        answer=gold_letter(answer, options) if kind == "mc" else answer,
        media=replace(found, kind="image" if row.one_of("data_type", DATA_TYPES) == "image" else "video"),
        groups={"task": row.text("problem_type")} | row.optional_groups(source="data_source"),
    )

"""Video-R1 questions, from files or from the hub. Schema: paper.md section 9."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from curation.errors import SourceError
from curation.schema import SourceReject
from curation.sources.config import HubConfig
from curation.sources.reading import RawRecord, display_names, iter_parquet, iter_records, one_line

SUFFIXES: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")


def iter_files(paths: tuple[Path, ...]) -> Iterator[RawRecord | SourceReject]:
    """The records of each file, in order; every file is complete in itself. Raises SourceError."""
    for path, file in zip(paths, display_names(paths), strict=True):
        suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
        if suffix is None:
            raise SourceError(f"cannot tell the format of {path}: its name must end in one of {', '.join(SUFFIXES)}.")
        if suffix == ".parquet":
            yield from iter_parquet(path, file)
        else:
            yield from iter_records([path], [file], lines=suffix.startswith(".jsonl"))


def iter_hub(config: HubConfig) -> Iterator[RawRecord]:
    """Rows of a hub dataset, streamed at the commit that `revision` names now. Raises SourceError."""
    from datasets import load_dataset

    file = f"{config.repo}@{config.revision}/{config.split}"
    number = 0
    try:
        rows = load_dataset(
            config.repo,
            config.config,
            data_files=config.data_files,
            revision=hub_commit(config),
            split=config.split,
            streaming=True,
        )
        for row in rows:
            number += 1
            yield RawRecord(file, number, row)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"cannot read {file} after row {number}: {one_line(error)}") from error


def hub_commit(config: HubConfig) -> str:
    """The commit behind `revision`. Raises SourceError when the repository cannot be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        commit = HfApi().dataset_info(config.repo, revision=config.revision).sha
    except (HfHubHTTPError, OSError, ValueError) as error:
        remedy = "Check source.repo and source.revision, and that you are online and logged in."
        raise SourceError(f"cannot find {config.repo}@{config.revision}: {one_line(error)}. {remedy}") from error
    if commit is None:
        raise SourceError(f"the hub names no commit for {config.repo}@{config.revision}.")
    return commit

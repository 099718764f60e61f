"""Where questions come from. A source is a stream: each record becomes one question or one counted reject."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from curation.errors import SourceError
from curation.schema import Question, SourceReject
from curation.sources import release, shapes, videor1
from curation.sources.config import HubConfig, ReleaseConfig, ShapesConfig, SourceConfig, VideoR1Config
from curation.sources.reading import display_names, one_line
from curation.sources.records import questions_from_records

__all__ = [
    "HubConfig",
    "ReleaseConfig",
    "ShapesConfig",
    "SourceConfig",
    "VideoR1Config",
    "open_source",
    "source_fingerprint",
]


def open_source(config: SourceConfig) -> Iterator[Question | SourceReject]:
    """Stream the questions of a source, at most `limit` records. Raises SourceError, before or between records."""
    match config:
        case VideoR1Config():
            stream = questions_from_records(videor1.iter_files(config.paths), config.licenses)
        case HubConfig():
            stream = questions_from_records(videor1.iter_hub(config), config.licenses)
        case ReleaseConfig():
            stream = questions_from_records(release.iter_records(config.paths), config.licenses)
        case ShapesConfig():
            world = shapes.build_world(
                config.root, num_questions=config.num_questions, seed=config.seed, level=config.level
            )
            stream = questions_from_records(videor1.iter_files((world.questions,)), shapes.LICENSES)
    return itertools.islice(stream, config.limit)


def source_fingerprint(config: SourceConfig) -> str:
    """16 hex digits that change when the questions could: file contents, a hub commit, what the world is built from.

    Contents and not modification times, so that a copy on another node counts as the same input. Raises SourceError.
    """
    settings = config.model_dump(mode="json", exclude={"media_root", "media_repo", "paths", "root", "level"})
    match config:
        case VideoR1Config() | ReleaseConfig():
            names = display_names(config.paths)
            contents: object = [[name, _file_sha256(path)] for name, path in zip(names, config.paths, strict=True)]
        case HubConfig():
            contents = videor1.hub_commit(config)
        case ShapesConfig():
            contents = shapes.WORLD_VERSIONS[config.level]
    return hashlib.sha256(json.dumps([settings, contents], sort_keys=True).encode()).hexdigest()[:16]


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {one_line(error)}. Check source.paths.") from error

"""The `source:` block of a run's config: one model a kind, told apart by `kind`."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from curation.config import Config, LocalPath, expand
from curation.world.scenes import Level


def _find_files(paths: Any) -> Any:
    """One path or a list of them; a pattern such as *.json stands for the files it matches, in the order of names."""
    if not isinstance(paths, str | Path | list | tuple):
        return paths
    found: list[str] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        expanded = Path(expand(path))
        is_pattern = isinstance(path, str) and glob.has_magic(path) and not expanded.exists()
        matches = glob.iglob(str(expanded), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        found += sorted(matches) if is_pattern else [str(expanded)]
        if is_pattern and not found:
            raise ValueError(f"no file matches {path}")
    return found


Paths = Annotated[tuple[Path, ...], BeforeValidator(_find_files), Field(min_length=1)]


class _Source(Config):
    """What every kind shares."""

    limit: int | None = Field(default=None, ge=1)
    """The first records only, rejects among them; null = all."""


class _Imported(_Source):
    """Somebody else's questions. A question that `licenses` does not name has a null licence."""

    media_root: LocalPath
    """The folder that the questions' paths start at."""
    media_repo: str | None = None
    """The dataset repository on the hub that has the media; the card and `media fetch` name it."""
    licenses: Mapping[str, str] = Field(default_factory=dict)
    """Licence by data_source, or else by a folder prefix of the path ("CLEVRER", "Chart/FigureQA")."""


class VideoR1Config(_Imported):
    """Files in the Video-R1 schema: .json (one list), .jsonl, each also as .gz, and .parquet."""

    kind: Literal["videor1"]
    """Files in the Video-R1 schema."""
    paths: Paths
    """One file, a list of them, or a pattern such as data/*.json."""


class HubConfig(_Imported):
    """The same schema in a dataset on the hub, streamed."""

    kind: Literal["hub"]
    """A dataset on the hub, in the Video-R1 schema."""
    repo: str
    """org/name."""
    revision: str = "main"
    """A tag, branch or commit."""
    split: str = "train"
    """The split to read."""
    config: str | None = None
    """The config (subset) to read; null = the default one."""
    data_files: str | None = None
    """Some files of the repository only; null = as the repository says."""


class ReleaseConfig(_Imported):
    """The authors' gzip JSON parts of ONE file (CoT-162K or RL-263K), in order."""

    kind: Literal["release"]
    """The authors' released parts."""
    paths: Paths
    """The gzip JSON parts of one file, in order, or a pattern."""


class ShapesConfig(_Source):
    """The demo world, built under `root` when it is not there yet."""

    kind: Literal["shapes"]
    """The demo world of moving shapes."""
    root: LocalPath
    """The folder of the world."""
    num_questions: int = Field(default=500, ge=1)
    """How many questions it holds."""
    seed: int = Field(default=0, ge=0)
    """Another seed is another world."""
    level: Level = "full"
    """How hard it is (scenes.Level)."""

    @property
    def media_root(self) -> Path:
        """Paths of the demo world's questions start at its root."""
        return self.root


SourceConfig = Annotated[VideoR1Config | HubConfig | ReleaseConfig | ShapesConfig, Field(discriminator="kind")]

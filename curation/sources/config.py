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
    found: list[Any] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        expanded = expand(path)
        is_pattern = isinstance(path, str) and glob.has_magic(path) and not expanded.exists()
        matches = glob.iglob(str(expanded), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        found += sorted(map(Path, matches)) if is_pattern else [expanded]
        if is_pattern and not found:
            raise ValueError(f"no file matches {path}")
    return found


Paths = Annotated[tuple[Path, ...], BeforeValidator(_find_files), Field(min_length=1)]


class _Source(Config):
    """What every kind shares. `limit` counts records, rejects among them."""

    limit: int | None = Field(default=None, ge=1)


class _Imported(_Source):
    """Somebody else's questions.

    `licenses` maps a data_source, or else a folder prefix of the path ("CLEVRER", "Chart/FigureQA"), to a licence.
    A question that none of them names has a null licence. `media_repo` is the dataset repository on the hub that the
    media can be had from; the card and `media fetch` name it.
    """

    media_root: LocalPath
    media_repo: str | None = None
    licenses: Mapping[str, str] = Field(default_factory=dict)


class VideoR1Config(_Imported):
    """Files in the Video-R1 schema: .json (one list), .jsonl, each also as .gz, and .parquet."""

    kind: Literal["videor1"]
    paths: Paths


class HubConfig(_Imported):
    """The same schema in a dataset on the hub, streamed."""

    kind: Literal["hub"]
    repo: str
    revision: str = "main"
    split: str = "train"
    config: str | None = None
    data_files: str | None = None


class ReleaseConfig(_Imported):
    """The authors' gzip JSON parts of ONE file (CoT-162K or RL-263K), in order."""

    kind: Literal["release"]
    paths: Paths


class ShapesConfig(_Source):
    """The demo world, built under `root` when it is not there yet. level: scenes.Level says what each one holds."""

    kind: Literal["shapes"]
    root: LocalPath
    num_questions: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0)
    level: Level = "full"

    @property
    def media_root(self) -> Path:
        """Paths of the demo world's questions start at its root."""
        return self.root


SourceConfig = Annotated[VideoR1Config | HubConfig | ReleaseConfig | ShapesConfig, Field(discriminator="kind")]

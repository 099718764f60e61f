"""What one viewer has open: a dataset, others to compare it with, the folder of its media, and the labels.

with open_viewer("runs/demo", compare=["org/name@v1.0.0"]) as opened: ...
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from app.attempts import find_attempts
from app.labels import LabelStore
from app.rollouts import Rollouts, read_rollouts
from app.rows import BROWSED, Dataset
from app.strip import Strips
from curation.errors import ConfigError, MediaError, RunDirectoryError
from curation.locate import ROLLOUTS, LocatedDataset, locate
from curation.media import resolve_media
from curation.schema import CONFIG_FILES

Row = Mapping[str, Any]
LABELS_FILE: Final = "labels.sqlite"


@dataclass(frozen=True, slots=True)
class Variant:
    """What one of the open datasets has for a question: a row, or an attempt that its run made before (place null)."""

    dataset: Dataset
    place: int | None
    row: Row

    @property
    def name(self) -> str:
        """What tells it from the others."""
        kind = "accepted" if self.row["config"] == "cot" else "rejected"
        attempt = self.row["attempt"]
        tried = f", attempt {attempt}" if attempt is not None and (attempt > 1 or self.place is None) else ""
        return f"{self.dataset.shown}, {kind}{tried}, by {self.row['generator'] or 'an unrecorded generator'}"


@dataclass(frozen=True)
class Opened:
    """media_root null: nobody said where the media lie. labels null: read-only. rollouts null: there are none.

    version: the commit, or for a folder of this disk a fingerprint of its files; it tells an old link from a new one.
    """

    dataset: Dataset
    compared: tuple[Dataset, ...]
    media_root: Path | None
    labels: LabelStore | None
    rollouts: Rollouts | None
    version: str

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The one that is browsed, then the others."""
        return (self.dataset, *self.compared)

    @property
    def shown(self) -> str:
        """The dataset and its version, for a person."""
        return f"{self.dataset.shown} @ {self.version}"

    def row(self, config: str, row_id: str) -> dict[str, Any] | None:
        """The first row of this config and id, of the browsed dataset or else of another one."""
        if config not in BROWSED:
            return None
        for dataset in self.datasets:
            for place in dataset.places(row_id):
                row = dataset.row(place)
                if row["config"] == config:
                    return row
        return None

    def media_file(self, config: str, row_id: str) -> Path:
        """The file of a row, inside the media root. Raises MediaError: missing or outside_root."""
        row = self.row(config, row_id)
        if row is None:
            raise MediaError("missing", "this dataset has no such row")
        if not row["path"]:
            raise MediaError("missing", "the row names no media file")
        if self.media_root is None:
            raise MediaError("missing", "the viewer was not told where the media lie; start it with --media-root")
        return resolve_media(self.media_root, row["path"])

    def variants(self, row_id: str) -> list[Variant]:
        """Every row of a question, of each version that is open; then what their runs had tried before."""
        kept = [
            Variant(dataset, place, dataset.row(place)) for dataset in self.datasets for place in dataset.places(row_id)
        ]
        tried = []
        for dataset in self.datasets:
            numbers = [variant.row["attempt"] for variant in kept if variant.dataset is dataset]
            found = find_attempts(dataset.home, row_id, besides=numbers) if numbers else []
            tried += [Variant(dataset, None, row) for row in found]
        return [*kept, *tried]

    def strips(self) -> Strips:
        """The frames that the model saw; to be made in the event loop that uses it."""
        return Strips(self.dataset.shown, self.dataset.provenance, self.media_root)


def open_viewer(
    name: str,
    *,
    compare: Sequence[str] = (),
    media_root: Path | None = None,
    labels: Path | None = None,
    rollouts: str | None = None,
    read_only: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Opened:
    """Find and read everything. Raises UserError of several kinds.

    labels: by default beside a dataset of this disk. rollouts: a training run, a folder or org/name@tag; by default
    those of the dataset, if it has any.
    """
    located = locate(name, (*BROWSED, ROLLOUTS))
    others = [locate(other, BROWSED) for other in compare]
    if media_root is None:
        media_root = find_media_root(located)
    elif not media_root.is_dir():
        raise ConfigError(f"the media root {media_root} is no directory. Point --media-root to where the files are.")
    return Opened(
        dataset=Dataset.open(located, progress=progress),
        compared=tuple(Dataset.open(other, progress=progress) for other in others),
        media_root=media_root,
        labels=None if read_only else LabelStore(labels or (located.home or Path()) / LABELS_FILE),
        rollouts=read_rollouts(located.folder) if rollouts is None else _named_rollouts(rollouts),
        version=located.commit[:12] if located.commit else fingerprint(located.folder),
    )


def _named_rollouts(name: str) -> Rollouts:
    """Those that somebody asked for. Raises UserError when there are none."""
    found = read_rollouts(Path(name))  # of a run; its dataset may have others
    if found is None and (found := read_rollouts(locate(name, (ROLLOUTS,)).folder)) is None:
        raise RunDirectoryError(
            f"{name} holds no rollouts-*.parquet, nor does its folder rollouts/. Name the run directory of a training "
            "that has reached RL, or its folder rollouts/."
        )
    return found


def find_media_root(located: LocatedDataset) -> Path | None:
    """Of a run directory, the folder that its config reads the media from; null when it is not on this disk."""
    if located.home is None or located.home == located.folder:
        return None
    path = located.home / "config.yaml"
    try:
        source = yaml.safe_load(path.read_text(encoding="utf-8"))["source"]
        root = Path(source.get("media_root") or source["root"])  # the demo's questions start at its world's root
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None  # a run of another kind; its media can still be named with --media-root
    return root if root.is_dir() else None


def fingerprint(folder: Path) -> str:
    """12 hex digits that change when the rows do: over the names, sizes and footers of the Parquet files."""
    digest = hashlib.sha256()
    for path in sorted(path for config in BROWSED for path in folder.glob(f"{CONFIG_FILES[config]}-*.parquet")):
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 65_536))
            digest.update(f"{path.relative_to(folder)} {size}\n".encode() + stream.read())
    return digest.hexdigest()[:12]

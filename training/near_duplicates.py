"""How many held-out clips show what a clip shows that is trained on, though their files differ: cut or encoded again.

Told by the frame hashes that find overlaps with benchmarks (curation/overlaps/frames.py). Counted and shown, never
moved to the other side: a rule by pictures would hold out other clips with every change of the hashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console

from curation.decoding import DecoderPool
from curation.errors import RunDirectoryError
from curation.media import resolve_media
from curation.overlaps.frames import SAMPLING, Signature, find_same
from curation.overlaps.signatures import OWN, MediaFile, measure_files
from curation.progress import show_progress

NOT_COUNTED: Final = "Near duplicates of trained clips among them were not counted: run --stage split."
_NUM_EXAMPLES: Final = 20
Count = Annotated[int, Field(ge=0)]


class NearDuplicates(BaseModel):
    """evaluation/near_duplicates.json. num_compared: held-out clips whose frames can be told apart and were read.

    num_near: of these, the ones that show the same as a clip that is trained on. examples: (held out, trained on).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_held_out: Count
    num_trained: Count
    num_compared: Count
    num_near: Count
    examples: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        """One sentence, for the report, the card and the console."""
        return (
            f"{self.num_near:,} of {self.num_compared:,} held-out clips whose frames could be compared show nearly the "
            f"same as one of {self.num_trained:,} clips that are trained on; {self.num_held_out:,} clips are held out."
        )


def count_near_duplicates(
    held_out: Sequence[str], trained: Sequence[str], *, media_root: Path, folder: Path, num_workers: int
) -> NearDuplicates:
    """Compare every held-out clip with every clip that is trained on, and write folder/near_duplicates.json.

    What was measured before a kill is not measured again. Raises RunDirectoryError and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted({*held_out, *trained})
    files = asyncio.run(_measure(paths, media_root, folder / "near_duplicates.media.jsonl", num_workers))
    ours, theirs = ({path: _signature(files[path]) for path in sorted(set(side))} for side in (held_out, trained))
    compared = {path: signature for path, signature in ours.items() if signature is not None}
    same = find_same(compared, {path: signature for path, signature in theirs.items() if signature is not None})
    found = NearDuplicates(
        num_held_out=len(ours),
        num_trained=len(theirs),
        num_compared=len(compared),
        num_near=len(same),
        examples=tuple((path, others[0]) for path, others in list(same.items())[:_NUM_EXAMPLES]),
    )
    written = near_duplicates_file(folder).with_suffix(".tmp")
    written.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    written.replace(near_duplicates_file(folder))
    return found


def near_duplicates_file(folder: Path) -> Path:
    """Return where the count lies in the folder of the evaluations."""
    return folder / "near_duplicates.json"


def load_near_duplicates(folder: Path) -> NearDuplicates | None:
    """None when nobody counted. Raises RunDirectoryError."""
    path = near_duplicates_file(folder)
    if not path.is_file():
        return None
    try:
        return NearDuplicates.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunDirectoryError(f"{path} is no count of near duplicates. Delete it and count again.") from error


async def _measure(paths: Sequence[str], media_root: Path, journal: Path, num_workers: int) -> dict[str, MediaFile]:
    with show_progress(Console(stderr=True), "frame hashes", len(paths)) as progress:
        async with DecoderPool(SAMPLING.model_copy(update={"num_workers": num_workers})) as pool:
            return await measure_files(
                OWN,
                paths,
                locate=partial(resolve_media, media_root),
                journal_path=journal,
                with_sha256=False,
                pool=pool,
                num_at_once=2 * num_workers,
                progress=progress,
            )


def _signature(file: MediaFile) -> Signature | None:
    """None where the frames were not read, or too few can be told apart."""
    return file.signature if file.signature is not None and file.signature.is_comparable else None

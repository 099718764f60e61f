"""Build the demo world: real clips and pictures, questions in the Video-R1 schema, and the truth behind them.

root/media/            MP4 clips and PNG pictures, about one per 3.3 questions; some broken on purpose
root/questions.json    the questions, a JSON list
root/scenes.jsonl      one SceneRecord a question: what the scripted generator describes
root/faults.json       the media broken on purpose: {path: the reason that the pipeline should give}
root/tokenizer.json    a small byte-level BPE of this world's texts, so that token counts are real ones
root/world.json        written last: what the world was built from. Without it a world is not finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.errors import SourceError
from curation.sources.drawing import MEDIA_FAULTS, break_file, draw_scene
from curation.sources.invent import InventedMedia, invent_media, question_record
from curation.sources.invent_terse import invent_terse_media
from curation.trace import render_trace
from curation.world.scenes import Level, SceneRecord
from curation.world.traces import write_trace

# Raise one with every change that changes a built world of its level.
WORLD_VERSIONS: Final[Mapping[Level, int | str]] = {"full": 1, "terse": "terse 2"}
LICENSES: Final = {"media": "cc0-1.0"}
_PARTS: Final = ("media", "questions.json", "scenes.jsonl", "faults.json", "tokenizer.json", "world.json")
_FAULT_SHARE: Final = 0.01
_FAULTS_FROM_QUESTIONS: Final = 100  # a smaller world has no broken media
_VOCABULARY: Final = 1000
_TOKENIZER_RECORDS: Final = 500


@dataclass(frozen=True, slots=True)
class World:
    """Where the parts of a built world are."""

    root: Path
    questions: Path
    scenes: Path
    faults: Path
    tokenizer: Path


def build_world(root: Path, *, num_questions: int, seed: int, level: Level = "full") -> World:
    """Build the world, or find it as it was built. The same arguments give the same bytes.

    An unfinished or damaged world, or one of other arguments, is built again. Raises SourceError when `root` holds
    something else, or cannot be written.
    """
    world = World(root, root / "questions.json", root / "scenes.jsonl", root / "faults.json", root / "tokenizer.json")
    built_from = {"version": WORLD_VERSIONS[level], "num_questions": num_questions, "seed": seed}
    try:
        if _read_marker(root) != built_from | {"files_sha256": _listing_sha256(root)}:
            _clear(root)
            _write_world(world, _invent(num_questions, seed, level), num_questions, seed)
            marker = json.dumps(built_from | {"files_sha256": _listing_sha256(root)})
            (root / "world.json.tmp").write_text(marker, encoding="utf-8")
            (root / "world.json.tmp").replace(root / "world.json")
    except OSError as error:
        raise SourceError(f"cannot build the demo world in {root}: {error.strerror or error}.") from error
    return world


def _write_world(world: World, invented: Iterator[InventedMedia], num_questions: int, seed: int) -> None:
    paths: list[str] = []
    texts: list[str] = []
    with (
        world.questions.open("w", encoding="utf-8") as questions,
        world.scenes.open("w", encoding="utf-8") as scenes,
    ):
        number = 0
        for media in invented:
            draw_scene(media.scene, world.root / media.path)
            paths.append(media.path)
            for record in media.records:
                number += 1
                questions.write("[\n" if number == 1 else ",\n")
                json.dump(question_record(record, number, media.data_source), questions)
                scenes.write(record.model_dump_json() + "\n")
                if number <= _TOKENIZER_RECORDS:
                    texts += _texts_of(record)
        questions.write("\n]\n")
    faults = _choose_faults(paths, num_questions, random.Random(seed))
    for path, fault in faults.items():
        break_file(world.root / path, fault)
    world.faults.write_text(json.dumps(faults, indent=1), encoding="utf-8")
    _train_tokenizer(texts, world.tokenizer)


def _invent(num_questions: int, seed: int, level: Level) -> Iterator[InventedMedia]:
    return invent_media(num_questions, seed) if level == "full" else invent_terse_media(num_questions, seed)


def _choose_faults(paths: list[str], num_questions: int, rng: random.Random) -> dict[str, str]:
    """About one file in a hundred, and each kind of fault at least once."""
    if num_questions < _FAULTS_FROM_QUESTIONS:
        return {}
    clips = [path for path in paths if path.endswith(".mp4")]
    num_faults = max(len(MEDIA_FAULTS), round(_FAULT_SHARE * len(paths)))
    chosen = rng.sample(clips, min(num_faults, len(clips)))
    return {path: MEDIA_FAULTS[place % len(MEDIA_FAULTS)] for place, path in enumerate(chosen)}


def _texts_of(record: SceneRecord) -> Iterator[str]:
    yield record.problem
    yield from record.options
    yield render_trace(write_trace(record, random.Random(record.id)))


def _train_tokenizer(texts: list[str], path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=_VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))


def _read_marker(root: Path) -> Any:
    try:
        return json.loads((root / "world.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _listing_sha256(root: Path) -> str:
    """Over names and sizes of all files: a world that lost a file is not the one that was built."""
    files = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    parts = [path for path in files if path.name not in ("world.json", "world.json.tmp")]
    listing = sorted((path.relative_to(root).as_posix(), path.stat().st_size) for path in parts)
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _clear(root: Path) -> None:
    """Remove an older or unfinished world, and nothing else."""
    root.mkdir(parents=True, exist_ok=True)
    foreign = sorted(entry.name for entry in root.iterdir() if entry.name.removesuffix(".tmp") not in _PARTS)
    if foreign:
        raise SourceError(f"{root} holds {foreign[0]}, which is no part of a demo world. Give an empty source.root.")
    (root / "world.json").unlink(missing_ok=True)  # first: from here on the world is unfinished
    for entry in root.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()

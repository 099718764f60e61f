"""Invent the terse level of the demo world: clips of four frames, one to three shapes, a question or two about each.

Options stand in a fixed order, so that the letter is a function of the word: looking a word up among shuffled options
is a skill of its own, which a tiny model does not learn in minutes. What is left to learn is to see.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from curation.schema import question_id
from curation.sources.invent import InventedMedia
from curation.world.queries import KINDS, Query, queries_about, render_query
from curation.world.scenes import CANVASES, COLOURS, DIRECTIONS, FORMS, Ref, Scene, SceneRecord, Shape

_KINDS: Final = ("direction", "colour", "form", "count_video")
_QUESTIONS_PER_CLIP: Final = 2
_NUM_FRAMES: Final = 4
_MAX_SHAPES: Final = 3
_STEP_PX: Final = (10, 13)  # from the middle of its quarter to either end of a path
_JITTER_PX: Final = 5  # across that path


def invent_terse_media(num_questions: int, seed: int) -> Iterator[InventedMedia]:
    """Clips until `num_questions` questions are asked."""
    rng = random.Random(seed)
    num_asked = number = 0
    while num_asked < num_questions:
        scene = _clip(rng)
        path = f"./media/clips/{number:06d}.mp4"
        records = tuple(_ask(scene, path, min(_QUESTIONS_PER_CLIP, num_questions - num_asked), rng))
        yield InventedMedia(path, "ShapesTerse", scene, records)
        num_asked += len(records)
        number += 1


def _clip(rng: random.Random) -> Scene:
    """Shapes are told in reading order, the only order that can be seen."""
    names = rng.sample([(colour, form) for colour in COLOURS for form in FORMS], rng.randint(1, _MAX_SHAPES))
    quarters = sorted(rng.sample(range(4), len(names)))
    shapes = tuple(_shape(rng, name, quarter) for name, quarter in zip(names, quarters, strict=True))
    return Scene(data_type="video", num_frames=_NUM_FRAMES, shapes=shapes, level="terse")


def _shape(rng: random.Random, name: tuple[str, str], quarter: int) -> Shape:
    """One that never leaves its quarter, so that no two meet."""
    canvas = CANVASES["terse"]
    motion = rng.choice(DIRECTIONS)
    step_x = {"left": -1, "right": 1}.get(motion, 0) * rng.randint(*_STEP_PX)
    step_y = {"up": -1, "down": 1}.get(motion, 0) * rng.randint(*_STEP_PX)
    x = canvas.width * (1 + 2 * (quarter % 2)) // 4 + (0 if step_x else rng.randint(-_JITTER_PX, _JITTER_PX))
    y = canvas.height * (1 + 2 * (quarter // 2)) // 4 + (0 if step_y else rng.randint(-_JITTER_PX, _JITTER_PX))
    start, end = (x - step_x, y - step_y), (x + step_x, y + step_y)
    return Shape(colour=name[0], form=name[1], size="large", motion=motion, start=start, end=end)


def _ask(scene: Scene, path: str, num_wanted: int, rng: random.Random) -> Iterator[SceneRecord]:
    """Questions of different kinds; each kind is as likely as the others, however many ways it can be asked."""
    by_kind: dict[str, list[tuple[Query, str]]] = {kind: [] for kind in _KINDS}
    for query, gold in queries_about(scene):
        # All the shapes are counted: of one form there is mostly one, which would be a good guess.
        if query.kind in by_kind and (query.kind != "count_video" or query.a == Ref()):
            by_kind[query.kind].append((query, gold))
    for kind in rng.sample([kind for kind, asked in by_kind.items() if asked], num_wanted):
        yield _record(scene, path, *rng.choice(by_kind[kind]), rng)


def _record(scene: Scene, path: str, query: Query, gold: str, rng: random.Random) -> SceneRecord:
    problem = render_query(query, scene.data_type, rng.randrange(2))
    kind = KINDS[query.kind]
    problem_type = kind.problem_types[0]
    options: tuple[str, ...] = ()
    answer = gold
    if problem_type == "multiple choice":
        options = tuple(f"{chr(ord('A') + place)}. {text}" for place, text in enumerate(kind.choices))
        answer = chr(ord("A") + kind.choices.index(gold))
    return SceneRecord(
        id=question_id(path, problem, options),
        path=path,
        kind=query.kind,
        problem_type=problem_type,
        problem=problem,
        options=options,
        solution=f"<answer>{answer}</answer>",
        gold=gold,
        scene=scene,
    )

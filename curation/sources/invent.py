"""Invent scenes and questions for the demo world: a stream without end, the same for the same seed.

Shapes never overlap. A frame has four quarters; a lone shape moves inside its own, two that collide share a row or a
column, meet there and come to rest.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from curation.schema import question_id
from curation.world.queries import KINDS, Query, queries_about, render_query
from curation.world.scenes import (
    COLOURS,
    DIRECTIONS,
    FORMS,
    FPS,
    HEIGHT,
    SIZES,
    WIDTH,
    WORDS,
    Collision,
    Point,
    Ref,
    Scene,
    SceneRecord,
    Shape,
)

RADIUS_PX: Final = {"small": 9, "large": 14}
# What is wanted of each problem type; the paper's shares (section 2) with a few more regressions, to see some.
TYPE_SHARES: Final = {"multiple choice": 0.63, "free-form": 0.13, "numerical": 0.13, "OCR": 0.07, "regression": 0.04}
_GROUPS: Final = ("clip", "picture", "sign", "clip", "picture", "clip", "sign", "clip", "picture", "clip")
_FOLDERS: Final = {"clip": "clips", "picture": "pictures", "sign": "signs"}
_SOURCES: Final = {"clip": "ShapesClips", "picture": "ShapesPictures", "sign": "ShapesSigns"}
_QUARTERS: Final = ((56, 42), (168, 42), (56, 126), (168, 126))
_ROWS: Final = ((0, 1), (2, 3))
_COLUMNS: Final = ((0, 2), (1, 3))


@dataclass(frozen=True, slots=True)
class InventedMedia:
    """One media file to be drawn, and what is asked of it. `path` is relative to the world's root."""

    path: str
    data_source: str
    scene: Scene
    records: tuple[SceneRecord, ...]


def invent_media(num_questions: int, seed: int) -> Iterator[InventedMedia]:
    """Media until `num_questions` questions are asked, about 3.3 a file."""
    rng = random.Random(seed)
    asked: Counter[str] = Counter()
    number = 0
    while asked.total() < num_questions:
        group = _GROUPS[number % len(_GROUPS)]
        scene = _SCENES[group](rng)
        path = f"./media/{_FOLDERS[group]}/{number:06d}.{'mp4' if group == 'clip' else 'png'}"
        num_wanted = min(rng.choice((3, 3, 3, 4, 4)), num_questions - asked.total())
        records = tuple(_ask(scene, path, num_wanted, asked, rng))
        yield InventedMedia(path, _SOURCES[group], scene, records)
        number += 1


def question_record(record: SceneRecord, problem_id: int, data_source: str) -> dict[str, Any]:
    """The question as Video-R1 would write it (paper.md section 9)."""
    return {
        "problem_id": problem_id,
        "problem": record.problem,
        "data_type": record.scene.data_type,
        "problem_type": record.problem_type,
        "options": list(record.options),
        "solution": record.solution,
        "path": record.path,
        "data_source": data_source,
    }


def _ask(scene: Scene, path: str, num_wanted: int, asked: Counter[str], rng: random.Random) -> Iterator[SceneRecord]:
    """Ask what the problem types are most in want of; never the same thing twice."""
    open_queries = [
        (problem_type, query, gold)
        for query, gold in queries_about(scene)
        for problem_type in KINDS[query.kind].problem_types
    ]
    for _ in range(num_wanted):
        if not open_queries:
            return
        total = asked.total() + 1
        wanted = max(
            {problem_type for problem_type, _, _ in open_queries},
            key=lambda problem_type: (TYPE_SHARES[problem_type] * total - asked[problem_type], problem_type),
        )
        kinds = sorted({query.kind for problem_type, query, _ in open_queries if problem_type == wanted})
        kind = rng.choice(kinds)
        choices = [entry for entry in open_queries if entry[0] == wanted and entry[1].kind == kind]
        problem_type, query, gold = rng.choice(choices)
        open_queries = [entry for entry in open_queries if entry[1] != query]
        asked[problem_type] += 1
        yield _record(scene, path, problem_type, query, gold, rng)


def _record(scene: Scene, path: str, problem_type: str, query: Query, gold: str, rng: random.Random) -> SceneRecord:
    problem = render_query(query, scene.data_type, rng.randrange(6))
    options: tuple[str, ...] = ()
    answer = gold
    if problem_type == "multiple choice":
        texts = _option_texts(query, scene, gold, rng)
        mark = rng.choice((". ", ") "))
        options = tuple(f"{chr(ord('A') + place)}{mark}{text}" for place, text in enumerate(texts))
        answer = chr(ord("A") + texts.index(gold))
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


def _option_texts(query: Query, scene: Scene, gold: str, rng: random.Random) -> list[str]:
    """The whole vocabulary in its own order, or four of it shuffled: half of the questions each."""
    choices = list(KINDS[query.kind].choices)
    if not choices:
        present = [str(Ref(shape.colour, shape.form)) for shape in scene.shapes]
        absent = [str(Ref(colour, form)) for colour in COLOURS for form in FORMS]
        others = [name for name in present if name not in (gold, str(query.a))]
        others += rng.sample([name for name in absent if name not in present], 3)
        choices = sorted([gold, *others[:3]])
    if rng.random() < 0.5:
        return choices
    others = [text for text in choices if text != gold]
    texts = [gold, *rng.sample(others, min(3, len(others)))]
    rng.shuffle(texts)
    return texts


def _clip(rng: random.Random) -> Scene:
    num_frames = rng.randint(2 * FPS, 4 * FPS)
    names = _names(rng, rng.randint(1, 4))
    free = rng.sample(range(4), 4)
    shapes: list[Shape] = []
    collisions: list[Collision] = []
    for pair in rng.choice((_ROWS, _COLUMNS)):
        if len(names) - len(shapes) >= 2 and rng.random() < 0.45:
            place = len(shapes)
            shapes += _colliding(rng, names[place : place + 2], pair)
            touch_frame = round(num_frames * rng.uniform(0.4, 0.7))
            collisions.append(Collision(first=place, second=place + 1, time_s=touch_frame / FPS))
            free = [quarter for quarter in free if quarter not in pair]
    lone = names[len(shapes) :]
    shapes += [_lone(rng, name, _QUARTERS[quarter]) for name, quarter in zip(lone, free, strict=False)]
    return Scene(
        data_type="video", num_frames=num_frames, shapes=_with_turns(rng, shapes), collisions=tuple(collisions)
    )


def _names(rng: random.Random, num: int) -> list[tuple[str, str]]:
    return rng.sample([(colour, form) for colour in COLOURS for form in FORMS], num)


def _lone(rng: random.Random, name: tuple[str, str], quarter: Point) -> Shape:
    motion = rng.choice((*DIRECTIONS, "still"))
    step_x = {"left": -1, "right": 1}.get(motion, 0) * rng.randint(24, 34)
    step_y = {"up": -1, "down": 1}.get(motion, 0) * rng.randint(16, 22)
    x = quarter[0] + (rng.randint(-15, 15) if not step_x else 0)
    y = quarter[1] + (rng.randint(-10, 10) if not step_y else 0)
    return _shape(name, rng.choice(SIZES), motion, (x - step_x, y - step_y), (x + step_x, y + step_y))


def _colliding(rng: random.Random, names: list[tuple[str, str]], pair: tuple[int, int]) -> tuple[Shape, Shape]:
    """The first moves right (or down) until it meets the second, which comes towards it or waits."""
    in_row = pair in _ROWS
    sizes = rng.choice(SIZES), rng.choice(SIZES)
    length = WIDTH if in_row else HEIGHT
    across = _QUARTERS[pair[0]][1 if in_row else 0] + rng.randint(-8, 8)
    meet = length // 2 + rng.randint(-2, 6)
    ends = meet - RADIUS_PX[sizes[0]], meet + RADIUS_PX[sizes[1]]
    waits = rng.random() < 0.4
    starts = rng.randint(18, 24), ends[1] if waits else length - rng.randint(18, 24)
    motions = ("right", "left") if in_row else ("down", "up")

    def point(along: int) -> Point:
        return (along, across) if in_row else (across, along)

    return (
        _shape(names[0], sizes[0], motions[0], point(starts[0]), point(ends[0])),
        _shape(names[1], sizes[1], "still" if waits else motions[1], point(starts[1]), point(ends[1])),
    )


def _shape(name: tuple[str, str], size: str, motion: str, start: Point, end: Point) -> Shape:
    return Shape(colour=name[0], form=name[1], size=size, motion=motion, start=start, end=end)


def _with_turns(rng: random.Random, shapes: list[Shape]) -> tuple[Shape, ...]:
    """Some shapes take a colour that no shape of the scene begins with or takes, so that names stay clear."""
    unused = [colour for colour in COLOURS if colour not in {shape.colour for shape in shapes}]
    rng.shuffle(unused)
    return tuple(
        shape.model_copy(update={"turns": unused.pop()}) if unused and rng.random() < 0.3 else shape for shape in shapes
    )


def _picture(rng: random.Random) -> Scene:
    cells = rng.sample([(28 + 56 * column, 42 + 84 * row) for column in range(4) for row in range(2)], 6)
    shapes = []
    for name, (x, y) in zip(_names(rng, rng.randint(2, 6)), cells, strict=False):
        point = (x + rng.randint(-8, 8), y + rng.randint(-15, 15))
        shapes.append(_shape(name, rng.choice(SIZES), "still", point, point))
    return Scene(data_type="image", num_frames=1, shapes=tuple(shapes))


def _sign(rng: random.Random) -> Scene:
    words = " ".join(rng.sample(WORDS, rng.randint(1, 4)))
    return Scene(data_type="image", num_frames=1, words=words, ink=rng.choice(COLOURS))


_SCENES: Final = {"clip": _clip, "picture": _picture, "sign": _sign}

"""What a scene holds: the ground truth of one media file, and the facts that can be told about it.

Frame coordinates are pixels, x to the right and y down, of shape centres. Times are seconds from the first frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

WIDTH: Final = 224
HEIGHT: Final = 168
FPS: Final = 8
COLOURS: Final = ("red", "green", "blue", "yellow", "purple", "orange")
FORMS: Final = ("circle", "square", "triangle", "star")
SIZES: Final = ("small", "large")
DIRECTIONS: Final = ("left", "right", "up", "down")
PLACES: Final = ("upper left", "upper right", "lower left", "lower right")
# What a sign may say. Every word is upper case, and none reads like an option or a tag.
WORDS: Final = (
    *("AMBER", "BRIDGE", "CANDLE", "DESERT", "EMBER", "FOREST", "GARDEN", "HARBOUR", "ISLAND", "JACKET"),
    *("KETTLE", "LANTERN", "MARBLE", "NEEDLE", "ORCHARD", "PEBBLE", "QUARRY", "RIVER", "SILVER", "TIMBER"),
    *("UMBRELLA", "VALLEY", "WINDOW", "YARROW", "ZEPHYR", "COPPER", "MEADOW", "PILLOW", "RAVEN", "THUNDER"),
)

Point = tuple[int, int]
# full: everything that can be asked. terse: short clips of a small frame, a few kinds of questions, traces of about
# thirty words, so that a tiny model can learn this world from its pixels on a CPU.
Level = Literal["full", "terse"]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A frame in pixels, and how many of them a second has."""

    width: int
    height: int
    fps: int


CANVASES: Final[Mapping[Level, Canvas]] = {"full": Canvas(WIDTH, HEIGHT, FPS), "terse": Canvas(112, 112, 4)}


class Shape(BaseModel):
    """One shape; it goes straight from `start` to `end`. `turns` is the colour that it takes half-way through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    colour: str
    form: str
    size: str
    motion: str  # one of DIRECTIONS, or "still"
    start: Point
    end: Point
    turns: str | None = None


class Collision(BaseModel):
    """Two shapes, by their place in `Scene.shapes`, touch and come to rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    second: int
    time_s: float


class Scene(BaseModel):
    """One image or clip. Colour and form together name a shape: no two shapes share both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_type: str
    num_frames: int
    shapes: tuple[Shape, ...] = ()
    collisions: tuple[Collision, ...] = ()
    words: str | None = None
    ink: str | None = None
    level: Level = "full"

    @model_serializer(mode="wrap")
    def _leave_out_the_usual_level(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A full scene is written as it was before there were levels: the same bytes, readable by the same readers."""
        values: dict[str, Any] = write(self)
        return {name: value for name, value in values.items() if (name, value) != ("level", "full")}


class SceneRecord(BaseModel):
    """One line of scenes.jsonl: a question with the scene behind it. `gold` is the right answer in words, no letter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    path: str
    kind: str
    problem_type: str
    problem: str
    options: tuple[str, ...]
    solution: str
    gold: str
    scene: Scene


@dataclass(frozen=True, slots=True)
class Ref:
    """Words that point to shapes: a colour, a form, or both. A fact always gives both, a question may not."""

    colour: str | None = None
    form: str | None = None

    def matches(self, name: Ref) -> bool:
        """Whether `name`, which gives both, could be meant."""
        return self.colour in (None, name.colour) and self.form in (None, name.form)

    def __str__(self) -> str:
        return f"the {self.bare}"

    @property
    def bare(self) -> str:
        """Without the article, so that a plural s can follow."""
        return f"{self.colour or ''} {self.form or 'shape'}".strip()


@dataclass(frozen=True, slots=True)
class Seen:
    """A shape is there."""

    shape: Ref
    size: str
    place: str


@dataclass(frozen=True, slots=True)
class Moves:
    """Where it goes; "still" when it does not move."""

    shape: Ref
    motion: str


@dataclass(frozen=True, slots=True)
class Turns:
    """It changes its colour."""

    shape: Ref
    colour: str


@dataclass(frozen=True, slots=True)
class Touch:
    """Two shapes collide."""

    first: Ref
    second: Ref
    time_s: float


@dataclass(frozen=True, slots=True)
class Apart:
    """Two shapes never touch."""

    first: Ref
    second: Ref


@dataclass(frozen=True, slots=True)
class AllApart:
    """No two shapes touch: the clip has no collision."""


@dataclass(frozen=True, slots=True)
class Centre:
    """Where a shape's centre lies."""

    shape: Ref
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Written:
    """Words and the colour of their letters."""

    words: str
    ink: str


Fact = Seen | Moves | Turns | Touch | Apart | AllApart | Centre | Written


def name_of(shape: Shape) -> Ref:
    """A shape is called by the colour that it has in the first frame."""
    return Ref(shape.colour, shape.form)


def place_of(point: Point) -> str:
    """The quarter of the frame."""
    return f"{'upper' if point[1] < HEIGHT / 2 else 'lower'} {'left' if point[0] < WIDTH / 2 else 'right'}"


def facts_of(scene: Scene) -> tuple[Fact, ...]:
    """Everything that can be told about a scene, in telling order. On the terse level that is how each shape moves."""
    names = [name_of(shape) for shape in scene.shapes]
    if scene.level == "terse":
        return tuple(Moves(name, shape.motion) for name, shape in zip(names, scene.shapes, strict=True))
    facts: list[Fact] = [
        Seen(name, shape.size, place_of(shape.start)) for name, shape in zip(names, scene.shapes, strict=True)
    ]
    if scene.words is not None and scene.ink is not None:
        facts.append(Written(scene.words, scene.ink))
    if scene.data_type == "image":
        return (*facts, *(Centre(name, *shape.start) for name, shape in zip(names, scene.shapes, strict=True)))
    facts += [Moves(name, shape.motion) for name, shape in zip(names, scene.shapes, strict=True)]
    facts += [Turns(name, shape.turns) for name, shape in zip(names, scene.shapes, strict=True) if shape.turns]
    facts += [Touch(names[hit.first], names[hit.second], hit.time_s) for hit in scene.collisions]
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    touching = {(hit.first, hit.second) for hit in scene.collisions}
    facts += [Apart(names[a], names[b]) for a, b in pairs if (a, b) not in touching]
    if not scene.collisions and len(names) > 1:
        facts.append(AllApart())
    return tuple(facts)

"""The demo world: what its records say is what its pixels show, and a world is built once, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.errors import SourceError
from curation.schema import PROBLEM_TYPES, Question
from curation.sources import ShapesConfig, open_source, source_fingerprint
from curation.sources.drawing import MEDIA_FAULTS, RGB, draw_frame
from curation.sources.invent import RADIUS_PX, invent_media
from curation.sources.shapes import build_world
from curation.tasks import score_answer
from curation.world.language import read_facts, state
from curation.world.queries import KINDS, Query, parse_query, render_query
from curation.world.scenes import COLOURS, FORMS, FPS, HEIGHT, WIDTH, Ref, Scene, SceneRecord, facts_of

SCENES = [media.scene for media in invent_media(600, seed=5)]
RECORDS = [record for seed in (1, 2) for media in invent_media(1000, seed) for record in media.records]


def tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    build_world(root, num_questions=120, seed=3)
    return root


def position(scene: Scene, place: int, time_s: float) -> tuple[float, float]:
    shape = scene.shapes[place]
    stop_s = (scene.num_frames - 1) / FPS
    for hit in scene.collisions:
        if place in (hit.first, hit.second):
            stop_s = hit.time_s
    share = min(1.0, time_s / stop_s) if stop_s else 0.0
    (x0, y0), (x1, y1) = shape.start, shape.end
    return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


def test_shapes_touch_when_and_only_when_the_record_says_so() -> None:
    for scene in SCENES:
        for a in range(len(scene.shapes)):
            for b in range(a + 1, len(scene.shapes)):
                reach = RADIUS_PX[scene.shapes[a].size] + RADIUS_PX[scene.shapes[b].size]
                gaps = [
                    math.dist(position(scene, a, n / FPS), position(scene, b, n / FPS)) - reach
                    for n in range(scene.num_frames)
                ]
                hits = [hit for hit in scene.collisions if (hit.first, hit.second) == (a, b)]
                if not hits:
                    assert min(gaps) > 1
                else:
                    frame = round(hits[0].time_s * FPS)
                    assert 0 < frame < scene.num_frames - 1
                    assert abs(gaps[frame]) < 1e-6 < gaps[frame - 1] and gaps[-1] == gaps[frame]


def test_shapes_stay_inside_the_frame_and_no_two_share_a_name() -> None:
    for scene in SCENES:
        names = [(shape.colour, shape.form) for shape in scene.shapes]
        colours = [shape.colour for shape in scene.shapes] + [s.turns for s in scene.shapes if s.turns]
        assert len(set(names)) == len(names)
        assert all(colours.count(shape.turns) == 1 for shape in scene.shapes if shape.turns)
        for shape in scene.shapes:
            for x, y in (shape.start, shape.end):
                radius = RADIUS_PX[shape.size]
                assert radius <= x < WIDTH - radius and radius <= y < HEIGHT - radius
            moved = shape.end[0] - shape.start[0], shape.end[1] - shape.start[1]
            sign = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}[shape.motion]
            assert tuple(np.sign(moved)) == sign


def near(pixel: np.ndarray, colour: str, tolerance: int) -> bool:
    return int(np.abs(pixel.astype(int) - RGB[colour]).max()) <= tolerance


def test_pixels_of_a_decoded_file_show_what_its_record_says(world_root: Path) -> None:
    faults = json.loads((world_root / "faults.json").read_text())
    checked = Counter[str]()
    for media in invent_media(120, seed=3):
        if media.path in faults:
            continue
        if media.scene.data_type == "image":
            frames = [np.asarray(Image.open(world_root / media.path).convert("RGB"))]
        else:
            with av.open(str(world_root / media.path)) as container:
                assert container.streams.video[0].average_rate == FPS
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == media.scene.num_frames
        for shape in media.scene.shapes:
            (x0, y0), (x1, y1) = shape.start, shape.end
            assert near(frames[0][y0, x0], shape.colour, 40)
            assert near(frames[-1][y1, x1], shape.turns or shape.colour, 40)
            checked[media.scene.data_type] += 1
        if media.scene.ink:
            assert any(near(pixel, media.scene.ink, 0) for pixel in frames[0].reshape(-1, 3))
            checked["sign"] += 1
    assert min(checked.values()) > 5 and len(checked) == 3


def test_longest_sign_fits_the_frame() -> None:
    for scene in SCENES:
        if scene.words:
            edge = np.asarray(draw_frame(scene, 0)).copy()
            edge[4:-4, 4:-4] = edge[0, 0]
            assert (edge == edge[0, 0]).all()


def independent_gold(record: SceneRecord) -> str:
    """The right answer, worked out from the record in another way than the world does it."""
    scene, problem = record.scene, record.problem
    names = {f"the {shape.colour} {shape.form}": shape for shape in scene.shapes}
    asked = sorted((name for name in names if name in problem.lower()), key=problem.lower().index)
    first = names[asked[0]] if asked else None
    full = {id(shape): name for name, shape in names.items()}
    events = {}
    for hit in scene.collisions:
        a, b = scene.shapes[hit.first], scene.shapes[hit.second]
        events[id(a)], events[id(b)] = (b, hit.time_s), (a, hit.time_s)
    match record.kind:
        case "direction":
            return first.motion
        case "colour":
            return next(shape.colour for shape in scene.shapes if f"the {shape.form}" in problem)
        case "form":
            return next(shape.form for shape in scene.shapes if f"the {shape.colour} shape" in problem)
        case "final_colour":
            return first.turns
        case "partner":
            return full[id(events[id(first)][0])]
        case "touch":
            return "Yes" if id(first) in events and events[id(first)][0] is names[asked[1]] else "No"
        case "left_of":
            return "Yes" if first.start[0] < names[asked[1]].start[0] else "No"
        case "place" | "place_text":
            x, y = first.start
            place = f"{'upper' if y < 84 else 'lower'} {'left' if x < 112 else 'right'}"
            return place if record.kind == "place" else f"T{asked[0][1:]} is in the {place} part of the image."
        case "count_image" | "count_video":
            wanted = [w for w in (*COLOURS, *FORMS) if f" {w} " in f" {problem} " or f" {w}s " in f" {problem} "]
            return str(sum(all(w in (shape.colour, shape.form) for w in wanted) for shape in scene.shapes))
        case "num_moving":
            return str(sum(shape.start != shape.end for shape in scene.shapes))
        case "num_touches":
            return str(len(scene.collisions))
        case "num_words":
            return str(scene.words.count(" ") + 1)
        case "read":
            return scene.words
        case "ink":
            return scene.ink
        case "motion_text":
            ways = {"up": "moves upwards", "down": "moves downwards", "still": "stays in one place"}
            return f"T{asked[0][1:]} {ways.get(first.motion, f'moves to the {first.motion}')}."
        case "event_text" if first.turns:
            return f"T{asked[0][1:]} turns {first.turns}."
        case "event_text":
            return f"T{asked[0][1:]} collides with {full[id(events[id(first)][0])]}."
        case "distance":
            return str(round(math.dist(first.start, names[asked[1]].start)))
        case "touch_time":
            return f"{events[id(first)][1]:g}"
    raise AssertionError(record.kind)


def test_gold_answer_of_every_kind_agrees_with_an_independent_one() -> None:
    assert {record.kind for record in RECORDS} == set(KINDS)
    for record in RECORDS:
        assert record.gold == independent_gold(record), record.problem


def test_solution_names_the_option_that_holds_the_gold_answer() -> None:
    for record in RECORDS:
        if record.problem_type == "multiple choice":
            letter = record.solution.removeprefix("<answer>")[0]
            assert [option[3:] for option in record.options if option[0] == letter] == [record.gold]
            assert [option[0] for option in record.options] == list("ABCDEF"[: len(record.options)])
            assert len({option[3:] for option in record.options}) == len(record.options) >= 2
        else:
            assert record.options == () and record.solution == f"<answer>{record.gold}</answer>"
        assert score_answer(record.problem_type, record.solution, record.solution) == 1


def test_options_come_in_both_styles_and_in_fixed_and_shuffled_order() -> None:
    asked = [record for record in RECORDS if record.kind == "direction"]
    assert {record.options[0][1] for record in asked} == {".", ")"}
    orders = Counter(tuple(option[3:] for option in record.options) for record in asked)
    assert orders[("left", "right", "up", "down")] > len(asked) / 3
    assert len(orders) > 5


def test_problem_types_are_mixed_like_the_papers() -> None:
    shares = {kind: count / len(RECORDS) for kind, count in Counter(r.problem_type for r in RECORDS).items()}
    assert set(shares) == set(PROBLEM_TYPES)
    assert 0.55 < shares["multiple choice"] < 0.7 and min(shares.values()) > 0.02


names = st.builds(Ref, st.sampled_from(COLOURS), st.sampled_from(FORMS))


@given(st.sampled_from(sorted(KINDS)), names, names, st.sampled_from(["image", "video"]), st.integers(0, 5))
def test_question_text_is_parsed_back_to_its_query(kind: str, a: Ref, b: Ref, medium: str, wording: int) -> None:
    slots = KINDS[kind].wordings[0]
    query = Query(kind, a if "{a}" in slots or "{many}" in slots else Ref(), b if "{b}" in slots else Ref())
    medium = KINDS[kind].data_types[0] if len(KINDS[kind].data_types) == 1 else medium
    assert parse_query(render_query(query, medium, wording)) == query


@pytest.mark.parametrize("text", ["", "How many?", "What colour is the sky?", "What colour is the circle? Say red."])
def test_foreign_question_is_no_query(text: str) -> None:
    assert parse_query(text) is None


def test_facts_are_read_back_from_every_wording_and_from_nothing_less() -> None:
    facts = {fact for scene in SCENES for fact in facts_of(scene)}
    assert len({type(fact) for fact in facts}) == 8
    for fact in facts:
        for wording in range(12):
            sentence = state(fact, wording)
            assert read_facts(sentence) == (fact,)
            assert read_facts(f"It is false that {sentence}") == ()
            assert read_facts(sentence[:-1]) == ()


def test_world_has_whole_media_and_each_fault_at_least_once(world_root: Path) -> None:
    faults = json.loads((world_root / "faults.json").read_text())
    assert Counter(faults.values()) == dict.fromkeys(MEDIA_FAULTS, 1)
    at = {fault: world_root / path for path, fault in faults.items()}
    assert not at["missing"].exists()
    assert at["empty"].stat().st_size == 0
    with pytest.raises(av.error.FFmpegError):
        av.open(str(at["corrupt"]))
    with av.open(str(at["no_video"])) as container:
        assert not container.streams.video and container.streams.audio
    questions = json.loads((world_root / "questions.json").read_text())
    present = {question["path"] for question in questions} - {path for path in faults if faults[path] == "missing"}
    assert all((world_root / path).is_file() for path in present)


def test_small_world_has_no_broken_media(tmp_path: Path) -> None:
    build_world(tmp_path / "w", num_questions=12, seed=0)
    assert json.loads((tmp_path / "w/faults.json").read_text()) == {}


def test_source_gives_every_question_with_the_id_of_its_scene(world_root: Path) -> None:
    config = ShapesConfig(kind="shapes", root=world_root, num_questions=120, seed=3)
    stream = list(open_source(config))
    questions = [question for question in stream if isinstance(question, Question)]
    scenes = [SceneRecord.model_validate_json(line) for line in (world_root / "scenes.jsonl").read_text().splitlines()]
    assert len(stream) == len(questions) == 120
    assert [question.id for question in questions] == [scene.id for scene in scenes]
    assert len({question.id for question in questions}) == 120
    assert {question.license for question in questions} == {"cc0-1.0"}


def test_tokenizer_of_the_world_counts_real_tokens(world_root: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(world_root / "tokenizer.json"))
    text = "Based on the question, I need to notice which way the red circle goes. \u00e9\U0001f600"
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens.ids) == text
    assert 14 <= len(tokens.ids) < 40


def test_same_seed_gives_the_same_bytes_in_another_process_and_another_seed_does_not(tmp_path: Path) -> None:
    build_world(tmp_path / "a", num_questions=30, seed=1)
    program = "import sys, pathlib; from curation.sources.shapes import build_world; "
    program += "build_world(pathlib.Path(sys.argv[1]), num_questions=30, seed=1)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "b")], check=True)
    build_world(tmp_path / "c", num_questions=30, seed=2)
    assert tree(tmp_path / "a") == tree(tmp_path / "b") != tree(tmp_path / "c")


def test_finished_world_is_reused_and_an_unfinished_damaged_or_other_one_is_built_again(tmp_path: Path) -> None:
    root = tmp_path / "w"
    build_world(root, num_questions=20, seed=0)
    first = tree(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    build_world(root, num_questions=20, seed=0)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times
    (root / "world.json").unlink()
    (root / "media/left_over.mp4").write_bytes(b"x")
    build_world(root, num_questions=20, seed=0)
    assert tree(root) == first
    next((root / "media/clips").iterdir()).unlink()
    (root / "world.json.tmp").write_text("torn")
    build_world(root, num_questions=20, seed=0)
    assert tree(root) == first
    build_world(root, num_questions=10, seed=0)
    assert tree(root) != first
    assert len(json.loads((root / "questions.json").read_text())) == 10


def test_root_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(SourceError, match=r"thesis\.txt"):
        build_world(tmp_path, num_questions=10, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(SourceError, match="cannot build"):
        build_world(tmp_path / "thesis.txt", num_questions=10, seed=0)


def test_fingerprint_follows_what_the_world_is_built_from_and_not_its_place() -> None:
    def fingerprint(root: str, num_questions: int, seed: int) -> str:
        return source_fingerprint(ShapesConfig(kind="shapes", root=Path(root), num_questions=num_questions, seed=seed))

    assert fingerprint("a", 10, 0) == fingerprint("b", 10, 0)
    assert len({fingerprint("a", 10, 0), fingerprint("a", 11, 0), fingerprint("a", 10, 1)}) == 3

"""The terse level of the demo world: learnable by a tiny model, judged by the same rules; the full one is as before."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from curation.engines.scripted import Fault, write_completion
from curation.filters import FilterConfig, filter_completion
from curation.prompts import render_question
from curation.run_config import RunConfig
from curation.schema import Question
from curation.sources import ShapesConfig, open_source, source_fingerprint
from curation.sources.drawing import RGB
from curation.sources.invent import RADIUS_PX, invent_media
from curation.sources.invent_terse import invent_terse_media
from curation.sources.shapes import build_world
from curation.tasks import score_answer
from curation.trace import OBSERVATION_OPENING, THINK_OPENING, TraceFormatError, parse_trace
from curation.world.language import read_facts
from curation.world.scenes import CANVASES, Scene, SceneRecord, facts_of
from curation.world.verdicts import judge_observation

MEDIA = list(invent_terse_media(2000, seed=4))
RECORDS = [record for media in MEDIA for record in media.records]
# What the full level was before there were levels.
FULL_SCENES_SHA256 = "242066d3a5325053"
FULL_QUESTIONS_SHA256 = "a1b91e2959634344"
FULL_FINGERPRINT = "3f2a0151f42c710b"


@pytest.fixture(scope="module")
def world_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("terse")
    build_world(root, num_questions=60, seed=3, level="terse")
    return root


def completion_of(record: SceneRecord, fault: Fault | None = None) -> str:
    return write_completion(record, fault, random.Random(record.id))


def question_of(record: SceneRecord) -> Question:
    return Question(
        id=record.id,
        problem_id=1,
        problem=record.problem,
        options=record.options,
        data_type=record.scene.data_type,
        problem_type=record.problem_type,
        solution=record.solution,
        path=record.path,
        data_source="ShapesTerse",
        license=None,
    )


def test_full_worlds_keep_their_bytes_and_their_fingerprint(tmp_path: Path) -> None:
    world = build_world(tmp_path / "w", num_questions=120, seed=3)
    assert hashlib.sha256(world.scenes.read_bytes()).hexdigest().startswith(FULL_SCENES_SHA256)
    assert hashlib.sha256(world.questions.read_bytes()).hexdigest().startswith(FULL_QUESTIONS_SHA256)
    config = ShapesConfig(kind="shapes", root=tmp_path, num_questions=10, seed=0)
    assert source_fingerprint(config) == FULL_FINGERPRINT
    assert source_fingerprint(config.model_copy(update={"level": "terse"})) != FULL_FINGERPRINT


def test_scene_of_either_level_survives_its_file_and_another_level_is_an_error() -> None:
    for media in (MEDIA[0], next(invent_media(10, seed=0))):
        assert Scene.model_validate_json(media.scene.model_dump_json()) == media.scene
    assert "level" not in next(invent_media(10, seed=0)).scene.model_dump_json()
    with pytest.raises(ValidationError, match="level"):
        ShapesConfig(kind="shapes", root=Path("w"), level="chatty")


def test_one_level_is_not_taken_for_the_other(tmp_path: Path) -> None:
    world = build_world(tmp_path / "w", num_questions=10, seed=0, level="terse")
    terse = world.questions.read_bytes()
    build_world(tmp_path / "w", num_questions=10, seed=0)
    full = world.questions.read_bytes()
    build_world(tmp_path / "w", num_questions=10, seed=0, level="terse")
    assert world.questions.read_bytes() == terse != full


def test_pixels_of_a_decoded_clip_show_what_its_record_says(world_root: Path) -> None:
    canvas = CANVASES["terse"]
    for media in invent_terse_media(60, seed=3):
        with av.open(str(world_root / media.path)) as container:
            assert container.streams.video[0].average_rate == canvas.fps
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == media.scene.num_frames
        assert frames[0].shape == (canvas.height, canvas.width, 3)
        for shape in media.scene.shapes:
            for (x, y), frame in ((shape.start, frames[0]), (shape.end, frames[-1])):
                assert np.abs(frame[y, x].astype(int) - RGB[shape.colour]).max() <= 40


def test_shapes_move_as_told_within_quarters_of_their_own_and_stand_in_reading_order() -> None:
    canvas = CANVASES["terse"]
    for media in MEDIA:
        shapes = media.scene.shapes
        quarters = []
        for shape in shapes:
            radius = RADIUS_PX[shape.size]
            ends = (shape.start, shape.end)
            columns = {(x - radius >= canvas.width / 2, x + radius >= canvas.width / 2) for x, _ in ends}
            rows = {(y - radius >= canvas.height / 2, y + radius >= canvas.height / 2) for _, y in ends}
            assert len(columns) == len(rows) == 1  # it is wholly in one half, from first to last
            assert all(radius <= x < canvas.width - radius for x, _ in ends)
            assert all(radius <= y < canvas.height - radius for _, y in ends)
            quarters.append((rows.pop(), columns.pop()))
            moved = tuple(np.sign((shape.end[0] - shape.start[0], shape.end[1] - shape.start[1])))
            assert moved == {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[shape.motion]
        assert quarters == sorted(set(quarters))
        assert len({(shape.colour, shape.form) for shape in shapes}) == len(shapes)


def test_letter_is_a_function_of_the_word() -> None:
    letters = {(record.kind, record.gold, record.solution) for record in RECORDS if record.options}
    assert len(letters) == len({(kind, gold) for kind, gold, _ in letters}) == 4 + 6 + 4
    assert {record.problem_type for record in RECORDS if not record.options} == {"numerical"}


def test_no_kind_has_an_answer_that_is_a_good_guess() -> None:
    for kind, num_asked in Counter(record.kind for record in RECORDS).items():
        golds = Counter(record.gold for record in RECORDS if record.kind == kind)
        assert num_asked > 0.2 * len(RECORDS)
        assert golds.most_common(1)[0][1] < 0.4 * num_asked


def test_good_traces_pass_every_filter_and_the_judge_and_are_terse() -> None:
    for record in RECORDS:
        filtered = filter_completion(completion_of(record), question_of(record), FilterConfig())
        assert filtered.rejected_by is None and filtered.flags == () and filtered.score == 1.0
        assert filtered.trace is not None
        observation, think = filtered.trace.observation, filtered.trace.think
        assert observation.startswith(OBSERVATION_OPENING) and think.startswith(THINK_OPENING)
        assert len(f"{observation} {think}".split()) <= 60
        facts = read_facts(observation)
        assert facts and set(facts) <= set(facts_of(record.scene))
        verdict = judge_observation(render_question(record.problem, record.options), record.solution, observation)
        assert verdict is not None and verdict.sufficient


def test_observation_tells_of_every_shape_once_and_in_reading_order() -> None:
    for record in RECORDS:
        assert read_facts(parse_trace(completion_of(record)).observation) == facts_of(record.scene)


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_is_what_it_says(fault: Fault) -> None:
    for record in RECORDS[:400]:
        text = completion_of(record, fault)
        filtered = filter_completion(text, question_of(record), FilterConfig())
        match fault:
            case Fault.BROKEN_TEMPLATE:
                with pytest.raises(TraceFormatError):
                    parse_trace(text)
            case Fault.WRONG_ANSWER:
                assert score_answer(record.problem_type, parse_trace(text).answer, record.solution) < 0.6
            case Fault.LEAKED_ANSWER:
                assert filtered.rejected_by == "filter:leaks_answer"
            case Fault.INSUFFICIENT_OBSERVATION:
                assert filtered.rejected_by is None and filtered.trace is not None
                question = render_question(record.problem, record.options)
                verdict = judge_observation(question, record.solution, filtered.trace.observation)
                assert verdict is not None and not verdict.sufficient


def test_source_gives_every_question_of_the_level(world_root: Path) -> None:
    config = ShapesConfig(kind="shapes", root=world_root, num_questions=60, seed=3, level="terse")
    questions = [question for question in open_source(config) if isinstance(question, Question)]
    scenes = [SceneRecord.model_validate_json(line) for line in (world_root / "scenes.jsonl").read_text().splitlines()]
    assert [question.id for question in questions] == [scene.id for scene in scenes]
    assert len({question.id for question in questions}) == 60
    assert json.loads((world_root / "world.json").read_text())["version"] != 1


def test_config_of_the_tiny_run_is_valid_and_reads_its_own_world() -> None:
    config = RunConfig.model_validate(yaml.safe_load(Path("curation/configs/tiny.yaml").read_text()))
    assert isinstance(config.source, ShapesConfig) and config.source.level == "terse"
    assert config.generate.engine.scenes.parent == config.source.root

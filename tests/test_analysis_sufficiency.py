"""Information sufficiency: a server that answers from the facts in the prompt gives the table that was worked out."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.sources.drawing import draw_scene
from curation.sources.invent import question_record
from curation.trace import render_trace
from curation.world.language import read_facts
from curation.world.queries import derive, parse_query
from curation.world.scenes import SceneRecord
from curation.world.traces import answer_of, write_trace, wrong_value
from tests.benchmark_fixtures import write_benchmark
from tests.benchmark_fixtures.files import write_parquet
from tests.clips import write_video
from tests.demo_results import demo_records, write_demo_result
from tests.loopback import Fault, LoopbackServer, prompt_of
from tests.tiny_qwen import save_tiny_qwen
from training.benchmarks.__main__ import main
from training.benchmarks.analyses.sufficiency import CONDITIONS, conditions_of, measure_sufficiency
from training.benchmarks.analyses.written_observations import find_observation
from training.benchmarks.loaders.demo import load_demo
from training.benchmarks.protocols import ScoredRow
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.results import find_results
from training.benchmarks.scoring import Failure, RowScore

NUM: int = 20
ANALYSIS = Path("benchmark/analyses/sufficiency")
NAMES = tuple(condition.name for condition in CONDITIONS)

# Which of the 20 questions the server gets right, and why. All else is worked out from these.
BY_GUESS = {4, 9, 14, 19}  # whatever it is given
FROM_VIDEO = set(range(0, NUM, 2))
FROM_OWN = set(range(12))  # its own observations say what is needed; those of 17 to 19 are not well-formed
LACKING = {17, 18, 19}
FROM_OTHER = set(range(16))

# By hand: a right answer in the union of what is given.
RIGHT = {
    "question only": 4,  # 4 9 14 19
    "+ own observation": 14,  # 0-11, 14 19
    "+ other observation": 17,  # 0-15, 19
    "+ video": 12,  # the even ones, 9 19
    "+ video + own observation": 17,  # 0-11, 12 14 16 18, 19
    "+ video + other observation": 19,  # all but 17
}


@dataclass(frozen=True)
class Demo:
    """20 multiple-choice questions of the demo world with their media, all of them held out."""

    root: Path
    records: tuple[SceneRecord, ...]
    loaded: LoadedBenchmark

    @property
    def source(self) -> dict[str, Any]:
        """Of the config."""
        return {"annotations": str(self.root), "media_root": str(self.root / "world"), "held_out_share": 1.0}


def build_demo(root: Path) -> Demo:
    chosen: dict[str, SceneRecord] = {}
    for record in demo_records(80):
        chosen.setdefault(record.problem, record)  # the server knows a question by its problem
    records = tuple(chosen.values())[:NUM]
    rows = []
    for number, record in enumerate(records):
        draw_scene(record.scene, root / "world" / record.path)
        row = question_record(record, number, "demo")
        rows.append(row | {"id": f"{number:016x}", "license": "cc0-1.0"})
    write_parquet(root / "dataset/rl/rl-00000-of-00001.parquet", rows)
    return Demo(root, records, load_demo(root, root / "world", held_out_share=1.0))


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    return build_demo(tmp_path_factory.mktemp("demo"))


def outputs_of(demo: Demo, sufficient: set[int], lacking: set[int], seed: str) -> dict[str, str]:
    """What a model wrote with the trace prompt."""
    outputs = {}
    for number, (record, question) in enumerate(zip(demo.records, demo.loaded.questions, strict=True)):
        trace = write_trace(record, random.Random(f"{seed} {number}"), insufficient=number not in sufficient)
        text = render_trace(trace)
        outputs[question.uid] = text.replace("</observation>", "") if number in lacking else text
    return outputs


def write_runs(demo: Demo, root: Path) -> tuple[Path, Path]:
    """The run of the model that answers, and that of another one."""
    revision = demo.loaded.revision
    own, other = root / "own", root / "other"
    for run, sufficient, lacking, model in (
        (own, FROM_OWN, LACKING, "base"),
        (other, FROM_OTHER, set(), "videop2r"),
    ):
        outputs = outputs_of(demo, sufficient, lacking, model)
        write_demo_result(run, demo.loaded.questions, outputs, model=model, dataset_revision=revision)
    return own, other


def has_media(body: Mapping[str, Any]) -> bool:
    content = body["messages"][-1]["content"]
    return not isinstance(content, str) and any(part["type"] != "text" for part in content)


def answer_from_the_prompt(demo: Demo, body: Mapping[str, Any]) -> str:
    """Right exactly when the prompt holds the facts that the answer needs, or it is known for another reason."""
    prompt = prompt_of(body)
    found = [number for number, record in enumerate(demo.records) if record.problem in prompt]
    number = max(found, key=lambda one: len(demo.records[one].problem))
    record = demo.records[number]
    follows = derive(parse_query(record.problem), read_facts(prompt)) == record.gold
    is_right = follows or number in BY_GUESS or (has_media(body) and number in FROM_VIDEO)
    value = record.gold if is_right else wrong_value(record, random.Random(0))
    return f"<answer>{answer_of(record, value)}</answer>"


@pytest.fixture
def server(demo):
    with LoopbackServer(reply=lambda body: answer_from_the_prompt(demo, body)) as served:
        yield served


def command(demo: Demo | None, tmp_path: Path, url: str, *words: str, **changes: Any) -> list[str]:
    benchmark = {
        "sources": {"shapes": demo.source} if demo else {},
        "engine": {"kind": "openai", "base_url": url, "model": "base", "send": "frames"},
        "dispatch": {"max_in_flight": 4, "max_tries": 1, "backoff_s": 0.01, "server_wait_s": 0.0},
        "video": {"num_frames": 2, "max_pixels": 28 * 28 * 4, "min_pixels": 28 * 28, "num_workers": 1},
        "protocol": "official",
    } | changes
    config = {"run_dir": str(tmp_path / "own"), "model": {"name": "base"}, "benchmark": benchmark}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return ["sufficiency", str(path), *words]


def figures(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / ANALYSIS / "sufficiency.json").read_text())


def test_a_server_that_answers_from_the_facts_gives_the_table_worked_out_by_hand(demo, tmp_path, server, capsys):
    own, other = write_runs(demo, tmp_path)
    assert main(command(demo, tmp_path, server.openai_url, "--other", str(other))) == 0
    found = figures(own)
    shapes = found["by_benchmark"]["shapes"]
    assert {name: shapes[name]["share"] for name in NAMES} == pytest.approx({name: RIGHT[name] / NUM for name in NAMES})
    assert all(shapes[name]["num_questions"] == NUM for name in NAMES)
    assert shapes["question only"]["interval"] == pytest.approx([0.0807, 0.4160], abs=2e-4)  # Wilson of 4 in 20
    assert found["average"] is None  # the demo world is in no average

    assert set(shapes["question only"]["over"]) == {"+ video"}
    gain = shapes["+ own observation"]["over"]["question only"]
    assert (gain["num_higher"], gain["num_lower"]) == (10, 0)
    assert gain["difference"] == pytest.approx(0.5)
    assert gain["p_value"] == pytest.approx(2 / 2**10)  # McNemar
    assert gain["verdict"] == "higher"
    beside = shapes["+ own observation"]["over"]["+ video"]
    assert (beside["num_higher"], beside["num_lower"]) == (5, 3)  # 1 3 5 7 11; 12 16 18
    assert beside["p_value"] == pytest.approx(186 / 256)
    assert beside["verdict"] == "inside the noise"

    observers = found["benchmarks"]["shapes"]["observers"]
    assert {name: one["num_without_observation"] for name, one in observers.items()} == {"own": 3, "other": 0}
    assert [row["average"] for row in found["published"]["rows"]] == [35.1, 48.6, 55.5, 52.9, 54.9, 56.0]
    shown = " ".join(capsys.readouterr().out.split())
    assert "none that is well-formed for 3 of 20 questions" in shown
    assert "70.0 %" in shown
    assert "48.6 %" in shown  # published, and said to be
    assert "not this measurement" in shown
    folder = own / ANALYSIS
    assert (folder / "shapes.png").read_bytes().startswith(b"\x89PNG")
    assert "48.6 %" in (folder / "sufficiency.html").read_text()
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert len(lines) == 6 * NUM
    assert sum(line["score"] for line in lines) == sum(RIGHT.values())


def test_only_conditions_with_video_send_it_and_no_prompt_holds_the_gold(demo, tmp_path, server):
    _, other = write_runs(demo, tmp_path)
    assert main(command(demo, tmp_path, server.openai_url, "--other", str(other))) == 0
    bodies = [body for _, body in server.bodies]
    assert sum(has_media(body) for body in bodies) == 3 * NUM
    assert len(bodies) == 6 * NUM
    assert not any("<answer>B</answer>" in prompt_of(body) for body in bodies)


def test_without_another_model_there_are_four_conditions(demo, tmp_path, server, capsys):
    own, _ = write_runs(demo, tmp_path)
    assert main(command(demo, tmp_path, server.openai_url, "--from", str(own))) == 0
    assert list(figures(own)["by_benchmark"]["shapes"]) == [name for name in NAMES if "other" not in name]
    assert len(server.bodies) == 4 * NUM
    assert "55.5 %" in capsys.readouterr().out  # published stays beside the row that we lack


def test_what_was_answered_is_not_asked_again_after_a_stop(demo, tmp_path, server):
    own, other = write_runs(demo, tmp_path)
    words = command(demo, tmp_path, server.openai_url, "--other", str(other))
    with LoopbackServer(reply=server.reply, faults=[*[None] * 50, *[Fault(401)] * 100], port=0) as broken:
        assert main(command(demo, tmp_path, broken.openai_url, "--other", str(other))) == 2
        num_answered = sum(broken.answered.values())
    assert not (own / ANALYSIS / "sufficiency.json").exists()
    assert main(command(demo, tmp_path, server.openai_url, "--other", str(other))) == 0
    assert len(server.bodies) == 6 * NUM - num_answered
    first = figures(own)
    assert main(words) == 0
    assert len(server.bodies) == 6 * NUM - num_answered
    assert figures(own) == first


def test_a_question_without_its_video_counts_nothing_under_every_condition(tmp_path, capsys):
    demo = build_demo(tmp_path / "demo")
    lost = demo.records[4].path  # the server would guess it
    gone = {number for number, record in enumerate(demo.records) if record.path == lost}
    (tmp_path / "demo/world" / lost).unlink()
    own, other = write_runs(demo, tmp_path)
    with LoopbackServer(reply=lambda body: answer_from_the_prompt(demo, body)) as server:
        assert main(command(demo, tmp_path, server.openai_url, "--other", str(other))) == 0
        assert len(server.bodies) == 6 * (NUM - len(gone))
    shapes = figures(own)["by_benchmark"]["shapes"]
    assert all(figure["num_questions"] == NUM for figure in shapes.values())
    assert all(figure["failures"] == {"missing video": len(gone)} for figure in shapes.values())
    assert shapes["question only"]["share"] == pytest.approx(len(BY_GUESS - gone) / NUM)
    assert f"0 under every condition: {len(gone)} questions" in " ".join(capsys.readouterr().out.split())


def test_a_failed_request_stays_in_the_denominator_and_is_said(demo, tmp_path, server, capsys):
    own, _ = write_runs(demo, tmp_path)
    problem = demo.records[0].problem
    faults = lambda prompt, nth: Fault(400) if problem in prompt else None  # noqa: E731
    with LoopbackServer(reply=server.reply, faults=faults) as broken:
        assert main(command(demo, tmp_path, broken.openai_url)) == 0
    shapes = figures(own)["by_benchmark"]["shapes"]
    assert shapes["+ own observation"]["share"] == pytest.approx((RIGHT["+ own observation"] - 1) / NUM)
    assert shapes["+ own observation"]["failures"] == {"no output": 1}
    assert "1 no output; these count 0" in capsys.readouterr().out


@pytest.mark.parametrize("trap", ["no run", "same model", "other revision", "other questions"])
def test_observations_that_do_not_belong_to_the_questions_are_refused(demo, tmp_path, server, capsys, trap):
    own, other = write_runs(demo, tmp_path)
    revision = demo.loaded.revision
    outputs = outputs_of(demo, FROM_OTHER, set(), "videop2r")
    match trap:
        case "no run":
            words, said = ["--other", str(tmp_path / "absent")], "no finished result of shapes with the trace prompt"
        case "same model":
            words, said = ["--other", str(own)], "are both runs of base"
        case "other revision":
            write_demo_result(other, demo.loaded.questions, outputs, dataset_revision="another")
            words, said = ["--other", str(other)], "it is of revision another"
        case _:
            write_demo_result(other, demo.loaded.questions[1:], outputs, dataset_revision=revision)
            words, said = ["--other", str(other)], "it has no row for"
    assert main(command(demo, tmp_path, server.openai_url, *words)) == 2
    assert said in capsys.readouterr().err
    assert not server.bodies


# The parts


@pytest.mark.parametrize(
    ("output", "observation"),
    [
        ("<observation> a ball </observation> <think>t</think><answer>B</answer>", "a ball"),
        ("<observation>a ball</observation> <think>cut off", "a ball"),  # its perception is well-formed
        ("<observation>a ball <think>t</think><answer>B</answer>", None),
        ("<think>t</think><answer>B</answer>", None),
        ("B", None),
        ("", None),
    ],
)
def test_an_observation_is_what_training_takes_for_one(output, observation):
    assert find_observation(output) == observation


def test_conditions_stand_in_the_order_of_the_paper():
    assert conditions_of(("own", "other")) == CONDITIONS
    assert [condition.name for condition in conditions_of(("own",))] == [
        "question only",
        "+ own observation",
        "+ video",
        "+ video + own observation",
    ]


def rows(scores: Sequence[float], kind: str = "mc") -> list[ScoredRow]:
    failure = {0.0: Failure.UNPARSED}
    return [
        ScoredRow(f"q{number}", kind, {"task": "t"}, RowScore(score, score, "", failure.get(score)))
        for number, score in enumerate(scores)
    ]


def test_the_average_is_a_mean_of_benchmarks_and_leaves_the_demo_world_out():
    scored = {
        "mvbench": {"question only": rows([0, 0, 0, 1]), "+ video": rows([1, 1, 0, 1])},
        "video_mme": {"question only": rows([0, 1]), "+ video": rows([1, 1])},
        "shapes": {"question only": rows([1] * 9), "+ video": rows([0] * 9)},
    }
    found = measure_sufficiency(scored, "official", dict.fromkeys(scored))
    assert found.average is not None
    assert found.average["question only"].share == pytest.approx((0.25 + 0.5) / 2)
    assert found.average["+ video"].share == pytest.approx((0.75 + 1) / 2)
    assert found.average["+ video"].num_questions == 6
    gain = found.average["+ video"].over["question only"]
    assert gain.difference == pytest.approx(0.5)
    assert (gain.num_higher, gain.num_lower) == (3, 0)
    assert found.average["question only"].failures == {Failure.UNPARSED: 4}
    assert found.by_benchmark["shapes"]["+ video"].over["question only"].verdict == "lower"


def test_a_benchmark_of_which_nothing_counts_has_no_figure_and_is_in_no_average():
    scored = {
        "mmvu": {"question only": rows([1], "open"), "+ video": rows([1], "open")},  # multiple choice alone counts
        "mvbench": {"question only": rows([0, 1]), "+ video": rows([1, 1])},
    }
    found = measure_sufficiency(scored, "official", dict.fromkeys(scored))
    assert found.by_benchmark["mmvu"]["+ video"].share is None
    assert found.by_benchmark["mmvu"]["+ video"].over == {}
    assert found.average is not None
    assert found.average["+ video"].share == 1.0


def test_a_model_in_process_is_asked_the_same(demo, tmp_path):
    own, _ = write_runs(demo, tmp_path)
    folder = save_tiny_qwen(tmp_path / "tiny")
    words = command(
        demo,
        tmp_path,
        "",
        "model={name: " + str(folder) + ", dtype: float32}",
        engine={"kind": "in_process"},
        max_tokens=4,
    )
    assert main(words) == 0
    shapes = figures(own)["by_benchmark"]["shapes"]
    assert all(figure["num_questions"] == NUM for figure in shapes.values())
    lines = [json.loads(line) for line in (own / ANALYSIS / "rows.jsonl").read_text().splitlines()]
    assert len(lines) == 4 * NUM
    assert all(line["detail"] is None for line in lines)
    first = figures(own)
    assert main(words) == 0
    assert figures(own) == first


def test_a_run_and_then_its_analysis_with_a_judge_of_open_answers(tmp_path, capsys):
    clip = write_video(tmp_path / "clip.mp4", num_frames=6, size=(64, 48), fps=2)
    write_benchmark("vcr_bench", tmp_path, write_media=lambda path: shutil.copyfile(clip, path))
    written = "<observation>A lamp.</observation> <think>It is A.</think><answer>A</answer>"
    verdict = json.dumps({"explanation": "the same", "judgement": "Yes"})
    with LoopbackServer(reply=lambda body: written) as server, LoopbackServer(reply=lambda body: verdict) as judge:
        words = command(
            None,
            tmp_path,
            server.openai_url,
            sources={
                "vcr_bench": {"annotations": str(tmp_path / "hub"), "media_root": str(tmp_path / "media")},
            },
            judge={"engine": {"kind": "openai", "base_url": judge.openai_url, "model": "judge", "send": "none"}},
        )
        assert main(["run", *words[1:]]) == 0
        num_asked, num_judged = len(server.bodies), len(judge.bodies)
        assert main(words) == 0
        prompts = [prompt_of(body) for _, body in server.bodies[num_asked:]]
        assert len(judge.bodies) > num_judged
    figure = figures(tmp_path / "own")["by_benchmark"]["vcr_bench"]["+ video + own observation"]
    direct = next(result for _, result in find_results(tmp_path / "own") if result.fingerprint.prompt == "direct")
    assert figure["num_questions"] == direct.counted.num_rows
    assert figure["share"] == pytest.approx(direct.overall)
    assert len(prompts) == 4 * (direct.every.num_rows - direct.every.num_missing)
    assert sum("A lamp." in prompt for prompt in prompts) == len(prompts) / 2
    assert "open answers are scored by their text alone" not in " ".join(capsys.readouterr().out.split())


def test_with_the_reasoning_prompt_the_figure_with_the_video_is_that_of_the_run(demo, tmp_path, server):
    words = command(demo, tmp_path, server.openai_url)
    written = "<observation>I cannot see.</observation> <think>So.</think>"
    with LoopbackServer(reply=lambda body: written + answer_from_the_prompt(demo, body)) as reasoning:
        config = [words[1], f"benchmark.engine.base_url={reasoning.openai_url}"]
        assert main(["run", *config, "benchmark.prompts=[trace]"]) == 0
        assert main(["sufficiency", *config, "--prompt", "trace"]) == 0
        unseen = [prompt_of(body) for _, body in reasoning.bodies if not has_media(body)]
    (_, result), *others = find_results(tmp_path / "own")
    assert not others
    found = json.loads((tmp_path / "own/benchmark/analyses/sufficiency_trace/sufficiency.json").read_text())
    assert found["prompt"] == "trace"
    assert found["by_benchmark"]["shapes"]["+ video"]["share"] == pytest.approx(result.overall)
    assert len(unseen) == 2 * NUM
    assert all("<think>" in prompt for prompt in unseen)
    assert not any("are given the" in prompt for prompt in unseen)  # what is not sent is not spoken of

"""Held-out scores: every question counts, nothing unscored hides, and the baseline is the best constant answer."""

import dataclasses

import datasets
import pytest
import torch
import yaml
from transformers import GenerationConfig

from curation.errors import ConfigError
from curation.judge import Verdict
from curation.prompts import load_trace_prompt
from curation.video import VideoConfig
from tests.folders import kept_row, write_folder
from tests.training_world import ROOT, build_world
from training.benchmarks.loaders.demo import load_demo
from training.collate import Collator
from training.config import DatasetConfig, EvaluationConfig, ModelConfig, ScratchConfig, TrainConfig
from training.data import load_rows, load_split
from training.held_out import Prediction, count_sampled, name_kinds, predict, score_majority, split_held_out, summarise
from training.held_out_split import ClipSplit, plain_path
from training.judging import Judged
from training.models import load_model, load_processor
from training.rundir import TrainingRun, go_on_as_begun, keep_config
from training.scratch import build_model
from training.variants import apply_variant

LETTERS = ["A. left", "B. right"]


def row(number, solution, problem_type="multiple choice", options=LETTERS):
    solution = f"<answer>{solution}</answer>"
    return {"id": str(number), "problem_type": problem_type, "solution": solution, "options": options}


def prediction(number, score, *, verdict=None, well_formed=True, observation=True, kind="multiple choice"):
    return Prediction(str(number), kind, "text", well_formed, observation, "A", score, verdict, 9)


def test_the_baseline_is_the_answer_that_is_right_most_often_in_its_kind():
    rows = [row(0, "A"), row(1, "B"), row(2, "B"), row(3, "B")]
    assert score_majority(rows) == 0.75
    assert score_majority([row(0, "3", "numerical", [])] * 2 + [row(1, "4", "numerical", [])]) == pytest.approx(2 / 3)


def test_options_that_return_are_a_kind_and_others_are_their_problem_type():
    rows = [row(number, "A") for number in range(40)]
    rows += [row(99, "A", options=["A. once", "B. only"]), row(100, "3", "numerical", []), row(101, "x", "OCR", None)]
    kinds = name_kinds(rows)
    assert set(kinds[:40]) == {"multiple choice: A. left / B. right"}
    assert kinds[40:] == ["multiple choice", "numerical", "OCR"]


def test_malformed_completions_stay_in_every_denominator():
    rows = [row(number, "A") for number in range(4)]
    predictions = [
        prediction(0, 1.0, verdict="sufficient"),
        prediction(1, 1.0, verdict="insufficient"),
        prediction(2, 0.0, well_formed=False, observation=False),
        prediction(3, 0.0),  # the judge gave no verdict
    ]
    found = summarise(predictions, rows, model="m", stage="sft", is_judged=True, seconds=1.0)
    assert (found.num_questions, found.num_well_formed, found.sum_score) == (4, 3, 2.0)
    assert (found.num_judged, found.num_sufficient) == (3, 1)
    assert found.majority_score == 1.0
    unjudged = summarise([prediction(0, 1.0)], rows[:1], model="m", stage="sft", is_judged=False, seconds=1.0)
    assert unjudged.num_judged == 0
    assert unjudged.sufficient_share is None


def test_sampled_completions_are_counted_by_the_same_rules():
    predictions = [
        prediction(0, 1.0, verdict="sufficient"),
        prediction(1, 0.5, verdict="insufficient"),
        prediction(2, 0.0, well_formed=False, observation=False),
        prediction(3, 0.0),
    ]
    found = count_sampled(predictions, temperature=1.0, is_judged=True)
    assert (found.num_well_formed, found.sum_score, found.num_judged, found.num_sufficient) == (3, 1.5, 3, 1)
    assert count_sampled(predictions, temperature=1.0, is_judged=False).num_judged == 2


def test_no_clip_is_on_both_sides_of_the_split():
    rows = datasets.Dataset.from_dict({"path": [f"./clips/{number // 3}.mp4" for number in range(600)]})
    kept, out = split_held_out(rows, ClipSplit(0.25))
    assert len(kept) + len(out) == 600
    assert not set(kept["path"]) & set(out["path"])
    assert 90 < len(out) < 210
    assert len(split_held_out(rows, ClipSplit(0.0))[1]) == 0


class Echo:
    """A judge that finds the observations of one question sufficient and is silent about all others."""

    def __init__(self, question_id):
        self.question_id, self.seen = question_id, []

    def start(self, asks):
        self.seen += asks
        verdicts = [Verdict(True, "yes") if ask.question.id == self.question_id else None for ask in asks]
        return type("Pending", (), {"wait": lambda _: [Judged(one, None, False, None, 0.0) for one in verdicts]})()


def test_batches_of_any_size_give_each_row_its_own_completion_and_verdict(tmp_path):
    torch.set_num_threads(1)
    world = build_world(tmp_path / "curated", num_questions=24)
    rows = load_rows(DatasetConfig(name=str(world), media_root=world / "world"), "rl", VideoConfig(num_frames=4)).rows
    sizes = {"hidden_size": 64, "num_layers": 1, "num_heads": 2, "vision_hidden_size": 64, "vision_depth": 1}
    small = ScratchConfig(**sizes, vision_heads=2)
    texts = ["<observation>o</observation> <think>t</think><answer>A</answer>"]
    base = ModelConfig(name=str(build_model(small, texts, tmp_path / "base")), dtype="float32")
    processor, model = load_processor(base), load_model(base).eval()
    prompt = load_trace_prompt(ROOT / "training/prompts/terse.txt")
    video = VideoConfig(num_frames=4)
    collator = Collator(processor, video, prompt, with_target=False, padding_side="left")
    rows = list(rows.select(range(7)))

    def written(size, judge=None, **more):
        limits = EvaluationConfig(batch_size=size, max_completion_tokens=6)
        return predict(
            model, processor, collator, rows, limits, template="full", judge=judge, progress=lambda _: None, **more
        )

    alone, together = written(1), written(3)
    assert [entry.id for entry in alone] == [entry["id"] for entry in rows]
    assert [dataclasses.astuple(entry) for entry in alone] == [dataclasses.astuple(entry) for entry in together]
    judge = Echo(rows[0]["id"])
    written(3, judge=judge)
    assert judge.seen == []  # nothing well-formed came out of random weights, so nobody was asked
    model.generation_config = GenerationConfig(repetition_penalty=50.0)
    assert written(3) == alone  # greedy is greedy, whatever the model's own config would add
    model.generation_config = GenerationConfig(do_sample=True, top_k=1, temperature=0.1)
    assert written(3, temperature=5.0) != alone  # and sampling is from the whole distribution


def aliased_folder(folder, media_root):
    """Twelve clips, each under two names and some spellings; config rl publishes no sha256."""
    rows = []
    for number in range(12):
        sha256 = f"{number:064x}"
        for name in (f"clips/{number}.mp4", f"./clips//{number}.mp4", f"copies/of-{number}.mp4"):
            path = media_root / plain_path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            rows.append(kept_row(len(rows), path=name, media_sha256=sha256))
    return write_folder(folder, rows)


def test_training_scores_and_the_benchmark_shapes_share_one_split_by_content(tmp_path):
    root = tmp_path / "media"
    folder = aliased_folder(tmp_path / "run/dataset", root)
    dataset = DatasetConfig(name=str(tmp_path / "run"), media_root=root)
    split = load_split(dataset, 0.4)
    rows = {name: load_rows(dataset, name, VideoConfig()).rows for name in ("cot", "rl")}
    trained, scored = split_held_out(rows["cot"], split)[0], split_held_out(rows["rl"], split)[1]
    clip_of = {row["path"]: row["media_sha256"] for row in rows["cot"]}
    assert 0 < len(scored) < len(rows["rl"]) and len(trained)
    assert not {clip_of[path] for path in trained["path"]} & {clip_of[path] for path in scored["path"]}
    shapes = load_demo(folder, root, held_out_share=0.4)
    asked = {question.uid for question in shapes.questions} | {question.uid for question in shapes.missing}
    assert asked == set(scored["id"])
    first = split_held_out(rows["cot"], load_split(dataset, 0.4, 1))
    by_name = [{clip_of[path] for path in side["path"]} for side in first]
    assert by_name[0] & by_name[1]  # what the first rules did


def test_a_run_that_was_begun_with_the_first_rules_keeps_its_split_and_says_so(tmp_path):
    run = TrainingRun(tmp_path / "run")
    sections = {"dataset": {"name": "d", "media_root": "m"}, "model": {"name": "m"}}
    config = TrainConfig.model_validate({"run_dir": run.root, "evaluation": {"held_out_share": 0.2}} | sections)
    assert go_on_as_begun(run, config) == (config, ())
    begun = config.model_dump(mode="json")
    del begun["evaluation"]["rules_version"], begun["evaluation"]["seed"], begun["rl"]["scale_advantages"]
    del begun["input"]["agnostic_prompt"]
    run.root.mkdir()
    run.config.write_text(yaml.safe_dump(begun))
    resumed, notes = go_on_as_begun(run, config)
    assert resumed.evaluation.rules_version == 1
    assert len(notes) == 1 and "\n" not in notes[0] and "evaluation.rules_version = 1" in notes[0]
    keep_config(run, resumed)  # nothing else has changed
    assert go_on_as_begun(run, config)[0] == resumed
    changed = resumed.model_copy(update={"rl": resumed.rl.model_copy(update={"scale_advantages": "none"})})
    with pytest.raises(ConfigError, match=r"begun with rl\.scale_advantages = 'group', now it is 'none'"):
        keep_config(run, changed)


def test_an_agnostic_run_of_before_does_not_get_another_prompt_in_mid_training(tmp_path):
    run = TrainingRun(tmp_path / "run")
    sections = {"dataset": {"name": "d", "media_root": "m"}, "model": {"name": "m"}}
    config = apply_variant(TrainConfig.model_validate({"run_dir": run.root, "variant": "agnostic_sft"} | sections))
    begun = config.model_dump(mode="json")
    del begun["input"]["agnostic_prompt"]
    run.root.mkdir()
    run.config.write_text(yaml.safe_dump(begun))
    with pytest.raises(ConfigError, match=r"begun with input\.prompt = 'curation/prompts/trace\.txt', now it is None"):
        keep_config(run, go_on_as_begun(run, config)[0])

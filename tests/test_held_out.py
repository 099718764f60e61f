"""Held-out scores: every question counts, nothing unscored hides, and the baseline is the best constant answer."""

import dataclasses

import datasets
import pytest
import torch
from transformers import GenerationConfig

from curation.judge import Verdict
from curation.prompts import load_trace_prompt
from curation.video import VideoConfig
from tests.training_world import ROOT, build_world
from training.collate import Collator
from training.config import DatasetConfig, EvaluationConfig, ModelConfig, ScratchConfig
from training.data import load_rows
from training.held_out import Prediction, count_sampled, name_kinds, predict, score_majority, split_held_out, summarise
from training.judging import Judged
from training.models import load_model, load_processor
from training.scratch import build_model

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
    kept, out = split_held_out(rows, 0.25)
    assert len(kept) + len(out) == 600
    assert not set(kept["path"]) & set(out["path"])
    assert 90 < len(out) < 210
    assert len(split_held_out(rows, 0.0)[1]) == 0


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

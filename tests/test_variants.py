from pathlib import Path
from typing import get_args

import pytest

from curation.config import load_config
from curation.prompts import render_trace_prompt
from curation.schema import Question
from tests.clips import write_picture
from tests.tiny_qwen import save_tiny_qwen
from tests.training_runs import write_stage
from training.benchmarks.analyses.extraction import ExtractorConfig
from training.benchmarks.run_config import BenchmarkRun
from training.collate import Collator
from training.config import ModelConfig, TrainConfig, Variant
from training.described_model import write_card
from training.held_out import _read
from training.models import load_processor
from training.prompts import load_template_prompt
from training.rewards import observation_to_judge
from training.rundir import TrainingRun
from training.segments import find_segments, load_token_bytes
from training.variants import apply_variant, stages_of

ROOT = Path(__file__).parent.parent


def trace_row(folder: Path) -> dict[str, object]:
    """A row as SFT gets it; its answer is right."""
    write_picture(folder / "still.png", size=(56, 56))
    question = Question(
        id="q", problem_id=0, problem="Which colour?", options=("A. blue", "B. red"), data_type="image",
        problem_type="multiple choice", solution="<answer>B</answer>", path="still.png", data_source=None, license=None,
    )  # fmt: skip
    trace = {"observation": "a red disc", "think": "so it is red", "answer": "B"}
    return {**question.as_row(), **trace, "media_file": str(folder / "still.png"), "content_sha256": None}


def read_completion(row, processor, text, template):
    """As the held-out scores read what a model wrote."""
    ids = [*processor.tokenizer.encode(text), processor.tokenizer.eos_token_id]
    return _read(row, ids, load_token_bytes(processor.tokenizer), "kind", template)


def config(**values) -> TrainConfig:
    dataset = {"name": "runs/demo", "media_root": "runs/demo/world"}
    return TrainConfig.model_validate({"run_dir": "r", "dataset": dataset, "model": {"name": "m"}} | values)


@pytest.mark.parametrize(
    ("variant", "stages", "perception", "reasoning", "length", "separate"),
    [
        ("full", ("sft", "rl"), True, True, True, True),
        ("sft_only", ("sft",), True, True, True, True),
        ("rl_only", ("rl",), True, True, True, True),
        ("grpo", ("sft", "rl"), False, True, True, False),
        ("agnostic_sft", ("sft",), False, True, True, True),
        ("no_perception_reward", ("sft", "rl"), False, True, True, False),
        ("no_reasoning_reward", ("sft", "rl"), True, False, True, False),
        ("no_length_reward", ("sft", "rl"), True, True, False, True),
        ("no_separation", ("sft", "rl"), True, True, True, False),
    ],
)
def test_each_row_of_the_ablation_table(variant, stages, perception, reasoning, length, separate):
    applied = apply_variant(config(variant=variant))
    rewards = applied.rewards
    assert stages_of(variant) == stages
    assert (rewards.perception, rewards.reasoning, rewards.length) == (perception, reasoning, length)
    assert applied.rl.separate is separate
    assert applied.input.template == rewards.template == ("agnostic" if variant == "agnostic_sft" else "full")


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return load_processor(ModelConfig(name=str(save_tiny_qwen(tmp_path_factory.mktemp("tiny") / "model"))))


@pytest.mark.parametrize("prompts", [{}, {"prompt": "terse.txt"}, {"prompt": "terse.txt", "agnostic_prompt": "mine"}])
@pytest.mark.parametrize("variant", get_args(Variant))
def test_prompt_target_parser_card_and_scoring_are_of_one_template(variant, prompts, processor, tmp_path):
    (tmp_path / "mine").write_text("{question}\nThink first.", encoding="utf-8")
    places = {"terse.txt": ROOT / "training/prompts/terse.txt", "mine": tmp_path / "mine"}
    asked = {name: str(places[file]) for name, file in prompts.items()}
    applied = apply_variant(config(variant=variant, input=asked, model={"name": "m"}))
    template = applied.input.template
    row = trace_row(tmp_path)

    stage = tmp_path / "r" / stages_of(variant)[-1]
    (stage / "model").mkdir(parents=True)
    write_stage(stage, updates=1)
    card = write_card(applied, TrainingRun(tmp_path / "r")).read_text(encoding="utf-8")
    trained, generated = (Collator.of(applied.input, processor, for_training=is_target) for is_target in (True, False))
    prompt = processor.tokenizer.decode(trained.encode(row).prompt_ids)
    target = processor.tokenizer.decode(trained.encode(row).target_ids, skip_special_tokens=True)
    assert trained.encode(row).prompt_ids == generated.encode(row).prompt_ids
    quoted = load_template_prompt(applied.input.prompt, template)
    assert render_trace_prompt(quoted, Question.from_row(row)) in prompt
    assert quoted.text.strip() in card

    wants_observation = variant != "agnostic_sft"
    for text in (prompt, target):
        assert ("observ" in text.lower()) is wants_observation
    assert ("<observation>" in card) is ("*observation*" in card) is wants_observation
    prediction, observation = read_completion(row, processor, target, template)
    assert prediction.is_well_formed and prediction.score == 1.0
    assert (observation is not None) is wants_observation
    assert find_segments(
        processor.tokenizer.encode(target), load_token_bytes(processor.tokenizer), template
    ).lengths.answer
    rewards = applied.rewards
    assert rewards.template == template
    judged = observation_to_judge(target, problem_type="free-form", options=None, config=rewards)
    assert judged == ("a red disc" if rewards.perception else None)


def test_a_prompt_that_is_named_with_its_template_is_the_prompt():
    applied = apply_variant(config(variant="sft_only", input={"template": "agnostic", "prompt": "mine.txt"}))
    assert (applied.input.prompt, applied.rewards.template) == (Path("mine.txt"), "agnostic")
    applied = apply_variant(config(variant="agnostic_sft", input={"template": "agnostic", "prompt": "mine.txt"}))
    assert applied.input.prompt == Path("mine.txt")


def test_every_variant_stands_in_the_docstring_and_is_a_valid_config():
    import training.variants

    for variant in get_args(Variant):
        assert f"| {variant} " in training.variants.__doc__
        applied = apply_variant(config(variant=variant))
        assert TrainConfig.model_validate(applied.model_dump()) == applied
        assert apply_variant(applied) == applied


def test_a_variant_leaves_every_other_setting_alone():
    mine = config(variant="grpo", rewards={"length_bonus": 0.5}, rl={"group_size": 4, "beta": 0.1})
    applied = apply_variant(mine)
    assert (applied.rewards.length_bonus, applied.rl.group_size, applied.rl.beta) == (0.5, 4, 0.1)


OTHERS = {"benchmarks_server": BenchmarkRun, "extractor": ExtractorConfig}  # no trainings
SHIPPED = sorted((ROOT / "training/configs").glob("*.yaml"))


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem in OTHERS], ids=lambda path: path.stem)
def test_every_other_config_that_is_shipped_is_valid(path):
    load_config(OTHERS[path.stem], path)


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem not in OTHERS], ids=lambda path: path.stem)
def test_every_config_that_is_shipped_is_valid_and_fills_whole_groups(path):
    loaded = load_config(TrainConfig, path)
    num_processes = 1 if path.stem in ("tiny", "lora_1gpu") else 8
    assert loaded.rl.batch_size * loaded.rl.accumulation * num_processes % loaded.rl.group_size == 0
    assert loaded.rl.max_completion_tokens > loaded.rewards.perception_tokens[1] + loaded.rewards.reasoning_tokens[1]

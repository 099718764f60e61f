import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from pydantic import ValidationError

from tests.hub.cards import check_card
from tests.training_runs import evaluation, write_stage
from training import described_model
from training.config import TrainConfig
from training.model_card import BenchmarkScore, ModelFacts, Stage, render_model_card, write_model_card
from training.rundir import TrainingRun

SCORES = (
    BenchmarkScore(
        benchmark="MVBench", repo="OpenGVLab/MVBench", protocol="videor1", metric="accuracy", score=0.681,
        num_questions=4000,
    ),
    BenchmarkScore(
        benchmark="VSI-Bench", repo="nyu-visionx/VSI-Bench", protocol="videor1", metric="mean of MRA and accuracy",
        score=0.369, num_questions=5130,
    ),
    BenchmarkScore(
        benchmark="VSI-Bench", repo="nyu-visionx/VSI-Bench", protocol="official", metric="mean of 8 tasks", score=0.4,
        num_questions=5130,
    ),
)  # fmt: skip
FACTS = ModelFacts(
    repo="org/VideoP2R-7B",
    base_model="Qwen/Qwen2.5-VL-7B-Instruct",
    license="apache-2.0",
    dataset_repo="org/VideoP2R-CoT-162K",
    dataset_tag="v1.0.0",
    dataset_commit="ab" * 20,
    variant="full",
    template="full",
    near_duplicates="3 of 40 held-out clips show nearly the same.",
    stages=(
        Stage(name="sft", num_updates=10_129, duration_s=36_000),
        Stage(name="pa_grpo", num_updates=1000, duration_s=64_800),
    ),
    hardware="8 x A100 80 GB",
    scores=SCORES,
    config={"seed": 0, "sft": {"learning_rate": 1e-6}},
    prompt="Look at the {data_type}.\n{question}",
    code_version="videop2r-hub 0.1.0",
)


def changed(**changes):
    return ModelFacts.model_validate(FACTS.model_dump() | changes)


def test_card_loads_with_the_hubs_own_class_and_results_round_trip():
    card = ModelCard(render_model_card(FACTS))
    assert card.data.base_model == FACTS.base_model and card.data.datasets == [FACTS.dataset_repo]
    assert (card.data.library_name, card.data.license) == ("transformers", "apache-2.0")
    assert card.data.pipeline_tag == "video-text-to-text"
    found = {
        (result.dataset_type, result.dataset_config, result.metric_type): result for result in card.data.eval_results
    }
    assert len(found) == len(SCORES)
    for score in SCORES:
        result = found[score.repo, score.protocol, score.metric]
        assert isinstance(result, EvalResult)
        assert result.metric_value == score.score and result.dataset_name == score.benchmark
        assert result.dataset_revision == "v1.0.0"
        assert result.dataset_args == {
            "num_questions": score.num_questions,
            "trained_on": "org/VideoP2R-CoT-162K@v1.0.0",
        }
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()


def test_hub_accepts_the_metadata():
    assert check_card(render_model_card(FACTS)) == ([], [])


@pytest.mark.parametrize("name", ModelFacts.model_fields)
def test_any_missing_value_is_an_error(name):
    facts = FACTS.model_dump()
    del facts[name]
    with pytest.raises(ValidationError, match=name):
        ModelFacts.model_validate(facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model": " "},
        {"dataset_tag": "main"},
        {"dataset_commit": "v1.0.0"},
        {"config": {}},
        {"stages": ()},
        {"scores": (SCORES[0].model_copy(update={"score": 68.1}).model_dump(),)},
        {"scores": (SCORES[0].model_dump() | {"score": float("nan")},)},
        {"scores": (SCORES[0].model_dump() | {"num_questions": 0},)},
        {"scores": (SCORES[0].model_dump(), SCORES[0].model_dump())},
    ],
)
def test_value_that_says_nothing_or_cannot_be_is_an_error(changes):
    with pytest.raises(ValidationError):
        changed(**changes)


def test_protocols_never_share_a_table_and_every_score_names_its_questions():
    text = render_model_card(FACTS)
    first, second = text.split("Protocol `")[1:]
    assert first.startswith("videor1") and "| MVBench | accuracy | 4,000 | 68.1 | 1.4 |" in first
    assert "mean of 8 tasks" not in first and "| mean of 2 | | | 52.5 | |" in first
    assert second.startswith("official") and "| VSI-Bench | mean of 8 tasks | 5,130 | 40.0 | 1.3 |" in second
    assert "not comparable" in text
    assert "not comparable" not in render_model_card(changed(scores=[score.model_dump() for score in SCORES[:2]]))


def test_model_without_scores_says_so_and_has_no_model_index():
    text = render_model_card(changed(scores=()))
    assert "No benchmark was run." in text
    assert "model-index" not in text and ModelCard(text).data.eval_results is None


def test_dataset_is_named_by_tag_and_commit_and_the_config_is_quoted():
    text = render_model_card(FACTS)
    assert "at v1.0.0 (commit " + "ab" * 20 in text
    assert "https://huggingface.co/datasets/org/VideoP2R-CoT-162K/tree/v1.0.0" in text
    assert yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]) == FACTS.config
    assert "10,129 updates in 10.0 h; pa\\_grpo: 1,000 updates in 18.0 h" in text


def test_same_facts_give_the_same_bytes():
    assert render_model_card(FACTS) == render_model_card(changed())


def test_hostile_names_break_neither_metadata_nor_tables():
    hostile = "x | y\n---\n# <script> [a](http://evil.example) {{ 7 * 7 }} ```"
    score = SCORES[0].model_dump() | {"benchmark": hostile, "metric": hostile}
    facts = changed(
        base_model=hostile, variant=hostile, hardware=hostile, code_version=hostile, prompt=f"```\n{hostile}\n````",
        license=hostile, scores=(score,), config={"note": hostile},
    )  # fmt: skip
    text = render_model_card(facts)
    card = ModelCard(text)
    assert card.data.base_model == hostile.strip()
    assert card.data.eval_results[0].dataset_name == hostile
    body = text[text.index("# VideoP2R-7B") :]
    assert "(http://evil" not in body.split("## Run")[0] and "\n# <script>" not in body.split("## Run")[0]
    assert "| x \\| y" in body


LOCAL = {"repo": None, "base_model": None, "license": None, "scores": ()} | dict.fromkeys(
    ("dataset_repo", "dataset_tag", "dataset_commit")
)


def test_model_of_a_local_folder_says_so_and_names_no_tag():
    text = render_model_card(changed(**LOCAL))
    assert "a local folder, not a published dataset" in text and "is not published" in text
    assert "huggingface.co/datasets" not in text and "None" not in text and "v1.0.0" not in text
    card = ModelCard(text)
    assert card.data.datasets is None and card.data.base_model is None and card.data.license is None
    assert "$ vllm serve . " in text and "**License** | not stated" in text


def test_hub_accepts_the_metadata_of_a_local_model():
    errors, _ = check_card(render_model_card(changed(**LOCAL)))
    assert errors == []


def test_commit_without_a_tag_is_named_by_itself():
    text = render_model_card(changed(dataset_tag=None))
    assert f"at commit {'ab' * 20} |" in text and f"tree/{'ab' * 20}" in text
    assert ModelCard(text).data.eval_results[0].dataset_revision == "ab" * 20


@pytest.mark.parametrize(
    "changes",
    [{"dataset_repo": None}, {"dataset_commit": None}, {"dataset_repo": None, "dataset_commit": None}],
)
def test_half_a_dataset_is_an_error(changes):
    with pytest.raises(ValidationError, match="local folder"):
        changed(**changes)


def test_held_out_scores_stand_apart_from_benchmarks_with_their_intervals():
    scores = {"sft": evaluation("sft", 0.556, 0.61), "rl": evaluation("rl", 0.587, 0.684)}
    text = render_model_card(changed(**LOCAL), scores)
    section = text.split("## Held-out clips")[1].split("## Run")[0]
    assert "| Accuracy | after RL | 1,000 | 56.6 | [53.5, 59.6] |" in section
    assert "| Sufficient observations | after SFT | 970 | 61.0 | [57.9, 64.1] |" in section
    assert "question scores 27.4" in " ".join(section.split())
    assert "No benchmark was run." in text and "Held-out" not in render_model_card(FACTS)


def test_nobody_judged_is_no_line_and_never_a_zero():
    scores = evaluation("rl", 0.5, 0.5).model_copy(update={"num_judged": 0, "num_sufficient": 0})
    assert "Sufficient" not in render_model_card(FACTS, {"rl": scores})


def test_agnostic_model_claims_no_observation():
    card = render_model_card(changed(variant="sft_only", template="agnostic"))
    assert "this model writes no observation" in card
    assert "*observation*" not in card and "<observation>" not in card and "An observation is" not in card


def test_card_is_written_beside_the_weights_whole(tmp_path):
    path = write_model_card(tmp_path, FACTS)
    assert path == tmp_path / "README.md" and path.read_text() == render_model_card(FACTS)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["README.md", "positions.py"]


def test_a_checkout_that_is_not_installed_writes_a_card_without_a_version(tmp_path, monkeypatch):
    def lookup(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(described_model, "version", lookup)
    model = tmp_path / "sft/model"
    model.mkdir(parents=True)
    write_stage(tmp_path / "sft", updates=1)
    config = TrainConfig(
        run_dir=tmp_path, variant="sft_only", dataset={"name": "d", "media_root": "m"}, model={"name": "m"}
    )
    card = described_model.write_card(config, TrainingRun(tmp_path))
    assert "videop2r-hub, not installed as a package" in card.read_text(encoding="utf-8")


def test_the_positions_beside_the_weights_mend_a_stock_model(tmp_path):
    write_model_card(tmp_path, FACTS)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "from positions import use_trained_positions" in text and "needs torchvision" in text
    program = "\n".join(
        [
            "from transformers import Qwen2_5_VLModel",
            "stock = Qwen2_5_VLModel.get_rope_index",
            "from positions import use_trained_positions",
            "use_trained_positions()",
            "assert Qwen2_5_VLModel.get_rope_index is not stock",
        ]
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from pydantic import ValidationError

from tests.hub.cards import check_card
from training.model_card import BenchmarkScore, ModelFacts, Stage, render_model_card

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

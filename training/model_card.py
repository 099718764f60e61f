"""A trained model's card: README.md that names the dataset by repository, tag and commit, and every score by protocol.

The text is cards/model_card.md.j2. Every value is required: a card that leaves out what it was trained on, or how many
questions a score is over, cannot be written.
"""

from __future__ import annotations

from math import sqrt
from typing import Annotated, Any, Final, Literal, Self

import yaml
from huggingface_hub import EvalResult, ModelCardData
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

from curation.markdown import Markdown, fence, render

TEMPLATE: Final = "model_card.md.j2"
TASK: Final = "video-text-to-text"  # the hub's name for it
TAGS: Final = ("videop2r", "video", "chain-of-thought", "reasoning", "perception")
PROTOCOLS: Final = ("videor1", "official")
Z_95: Final = 1.96
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
RepoName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(_Part):
    """One stage of training, in the order in which they ran: `sft`, `pa_grpo`, ..."""

    name: Text
    num_updates: PositiveInt
    duration_s: float = Field(gt=0)


class BenchmarkScore(_Part):
    """A score in [0, 1] over `num_questions` questions. `repo` is where the benchmark lies on the hub."""

    benchmark: Text
    repo: RepoName
    protocol: Literal["videor1", "official"]
    metric: Text
    score: float = Field(ge=0, le=1)
    num_questions: PositiveInt

    @property
    def half_width(self) -> float:
        """Of the 95 % interval, as if each question were right or wrong: what sampling alone may move."""
        return Z_95 * sqrt(self.score * (1 - self.score) / self.num_questions)


class ModelFacts(_Part):
    """All that a model card says. `config` is the resolved one, without secrets and local folders; `prompt` the text
    that the model was trained with; `scores` empty = not evaluated; `license` by the hub's name."""

    repo: RepoName
    base_model: Text
    license: Text
    dataset_repo: RepoName
    dataset_tag: Annotated[str, StringConstraints(pattern=r"^v\d+\.\d+\.\d+$")]
    dataset_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    variant: Text
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    hardware: Text
    scores: tuple[BenchmarkScore, ...]
    config: dict[str, Any] = Field(min_length=1)
    prompt: Text
    code_version: Text

    @model_validator(mode="after")
    def _has_one_score_each(self) -> Self:
        named = [(score.benchmark, score.protocol, score.metric) for score in self.scores]
        if twice := {name for name in named if named.count(name) > 1}:
            raise ValueError(f"more than one score of {sorted(twice)[0]}")
        return self


def render_model_card(facts: ModelFacts) -> str:
    """README.md with the hub's metadata. Same facts, same bytes. Raises ConfigError."""
    tables = [(protocol, [score for score in facts.scores if score.protocol == protocol]) for protocol in PROTOCOLS]
    return render(
        TEMPLATE,
        front_matter=Markdown(_metadata(facts).to_yaml(line_break="\n")),
        facts=facts,
        name=facts.repo.rpartition("/")[2],
        tables=[(protocol, scores) for protocol, scores in tables if scores],
        quoted_config=fence(yaml.safe_dump(facts.config, sort_keys=False), "yaml"),
        quoted_prompt=fence(facts.prompt, "text"),
    )


def _metadata(facts: ModelFacts) -> ModelCardData:
    return ModelCardData(
        model_name=facts.repo.rpartition("/")[2],
        base_model=facts.base_model,
        base_model_relation="finetune",
        datasets=[facts.dataset_repo],
        library_name="transformers",
        pipeline_tag=TASK,
        license=facts.license,
        tags=list(TAGS),
        eval_results=[_eval_result(facts, score) for score in facts.scores] or None,
    )


def _eval_result(facts: ModelFacts, score: BenchmarkScore) -> EvalResult:
    """`dataset_revision` is the tag of the dataset that the model was trained on: it is the version a score depends on
    here, and a benchmark's own revision is part of its protocol."""
    return EvalResult(
        task_type=TASK,
        dataset_type=score.repo,
        dataset_name=score.benchmark,
        dataset_config=score.protocol,
        dataset_revision=facts.dataset_tag,
        dataset_args={"num_questions": score.num_questions, "trained_on": f"{facts.dataset_repo}@{facts.dataset_tag}"},
        metric_type=score.metric,
        metric_value=score.score,
    )

"""A trained model's card: README.md that names the dataset by repository, tag and commit, and every score by protocol.

The text is cards/model_card.md.j2. Every value is required: a card that leaves out what it was trained on, or how many
questions a score is over, cannot be written. What a local run does not have, such as a published dataset, is null, and
the card says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

import yaml
from huggingface_hub import EvalResult, ModelCardData
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

from curation.markdown import Markdown, fence, render
from curation.statistics import Z_95, wilson_interval
from training.evaluation_facts import EvaluatedStage, Evaluation
from training.measures import MODEL_TITLES, measures_of
from training.processes import Template

TEMPLATE: Final = "model_card.md.j2"
POSITIONS: Final = Path(__file__).with_name("positions.py")  # needs torch and transformers alone
TASK: Final = "video-text-to-text"  # the hub's name for it
TAGS: Final = ("videop2r", "video", "chain-of-thought", "reasoning", "perception")
PROTOCOLS: Final = ("videor1", "official")
_NOT_EVALUATED: Final[Mapping[EvaluatedStage, Evaluation]] = MappingProxyType({})
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
    """A score in [0, 1] over `num_questions` questions.

    repo: where the benchmark lies on the hub; None when it does not, or not as a whole: such a score is no metadata.
    prompt: its name. setting: how it was measured, in words; scores of different settings are in no common table.
    revision: of the benchmark. interval: 95 %. None of these four where nobody said.
    """

    benchmark: Text
    repo: RepoName | None
    protocol: Literal["videor1", "official"]
    metric: Text
    score: float = Field(ge=0, le=1)
    num_questions: PositiveInt
    prompt: Text | None = None
    setting: Text | None = None
    revision: Text | None = None
    interval: tuple[float, float] | None = None

    @property
    def half_width(self) -> float:
        """Of the 95 % interval, as if each question were right or wrong: what sampling alone may move."""
        if self.interval is not None:
            low, high = self.interval
            return (high - low) / 2
        return Z_95 * sqrt(self.score * (1 - self.score) / self.num_questions)


class ModelFacts(_Part):
    """All that a model card says. `config` is the resolved one, without secrets and local folders; `prompt` the text
    that the model was trained with and `template` what it asks for; `scores` empty = not evaluated on benchmarks;
    `license` by the hub's name; `near_duplicates` in words.

    Null: repo = not on the hub; base_model = none of the hub's; license = nobody chose one; dataset_repo and
    dataset_commit = a local folder, which nobody else can look up; dataset_tag = that, or the revision is no version.
    """

    repo: RepoName | None
    base_model: Text | None
    license: Text | None
    dataset_repo: RepoName | None
    dataset_tag: Annotated[str, StringConstraints(pattern=r"^v\d+\.\d+\.\d+$")] | None
    dataset_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None
    variant: Text
    template: Template
    near_duplicates: Text
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    hardware: Text
    scores: tuple[BenchmarkScore, ...]
    config: dict[str, Any] = Field(min_length=1)
    prompt: Text
    code_version: Text

    @property
    def name(self) -> str:
        """The title."""
        return f"VideoP2R ({self.variant}), a local model" if self.repo is None else self.repo.rpartition("/")[2]

    @property
    def dataset_revision(self) -> str | None:
        """The tag, or the commit where there is no tag."""
        return self.dataset_tag or self.dataset_commit

    @model_validator(mode="after")
    def _dataset_is_published_or_not(self) -> Self:
        if (self.dataset_repo is None) != (self.dataset_commit is None):
            raise ValueError("dataset_repo and dataset_commit are both given, or both null for a local folder")
        if self.dataset_repo is None and self.dataset_tag is not None:
            raise ValueError(f"a local folder has no tag, so dataset_tag cannot be {self.dataset_tag}")
        return self

    @model_validator(mode="after")
    def _has_one_score_each(self) -> Self:
        named = [(score.benchmark, score.protocol, score.metric, score.setting or "") for score in self.scores]
        if twice := {name for name in named if named.count(name) > 1}:
            raise ValueError(f"more than one score of {sorted(twice)[0]}")
        return self


def write_model_card(
    folder: Path, facts: ModelFacts, evaluations: Mapping[EvaluatedStage, Evaluation] = _NOT_EVALUATED
) -> Path:
    """Write README.md beside the weights, whole or not at all, and the positions that it speaks of; returns its path.

    Raises ConfigError.
    """
    if not (folder / POSITIONS.name).is_file():
        shutil.copyfile(POSITIONS, folder / POSITIONS.name)
    text = render_model_card(facts, evaluations)
    path = folder / "README.md"
    written = path.with_suffix(".tmp")
    written.write_text(text, encoding="utf-8")
    written.replace(path)
    return path


def render_model_card(facts: ModelFacts, evaluations: Mapping[EvaluatedStage, Evaluation] = _NOT_EVALUATED) -> str:
    """README.md with the hub's metadata. evaluations: on held-out clips. Same facts, same bytes. Raises ConfigError."""
    ways = dict.fromkeys((score.protocol, score.setting) for score in facts.scores)
    tables = [
        (protocol, setting, [score for score in facts.scores if (score.protocol, score.setting) == (protocol, setting)])
        for protocol, setting in sorted(ways, key=lambda way: PROTOCOLS.index(way[0]))
    ]
    return render(
        TEMPLATE,
        front_matter=Markdown(_metadata(facts).to_yaml(line_break="\n")),
        facts=facts,
        name=facts.name,
        tables=tables,
        held_out=_held_out(evaluations),
        majority=list(evaluations.values())[-1].majority_score if evaluations else None,
        quoted_config=fence(yaml.safe_dump(facts.config, sort_keys=False), "yaml"),
        quoted_prompt=fence(facts.prompt, "text"),
    )


def _held_out(evaluations: Mapping[EvaluatedStage, Evaluation]) -> list[dict[str, Any]]:
    """One line a stage and measure that was measured."""
    return [
        {"model": MODEL_TITLES[stage], "measure": measure.name, "num": number, "share": total / number, "ends": ends}
        for measure in measures_of(evaluations.values())
        for stage, evaluation in evaluations.items()
        for total, number in (measure.count(evaluation),)
        if (ends := wilson_interval(total, number)) is not None
    ]


def _metadata(facts: ModelFacts) -> ModelCardData:
    return ModelCardData(
        model_name=facts.name,
        base_model=facts.base_model,
        base_model_relation=None if facts.base_model is None else "finetune",
        datasets=None if facts.dataset_repo is None else [facts.dataset_repo],
        library_name="transformers",
        pipeline_tag=TASK,
        license=facts.license,
        tags=list(TAGS),
        eval_results=[_eval_result(facts, score, score.repo) for score in facts.scores if score.repo is not None]
        or None,
    )


def _eval_result(facts: ModelFacts, score: BenchmarkScore, repo: str) -> EvalResult:
    """`dataset_revision` is the benchmark's; where nobody said it, the tag of the dataset that the model was trained on
    is the version a score depends on here. `verified` says that the hub ran it, which it did not."""
    trained_on = "a local folder"
    if facts.dataset_repo is not None:
        trained_on = f"{facts.dataset_repo}@{facts.dataset_revision}"
    setting = {} if score.setting is None else {"setting": score.setting}
    return EvalResult(
        task_type=TASK,
        dataset_type=repo,
        dataset_name=score.benchmark,
        dataset_config=score.protocol if score.prompt is None else f"{score.protocol}, prompt {score.prompt}",
        dataset_revision=score.revision or facts.dataset_revision,
        dataset_args={"num_questions": score.num_questions, "trained_on": trained_on, **setting},
        metric_type=score.metric,
        metric_value=score.score,
        verified=False,
        source_name=None if facts.repo is None else "measured by the model's authors",
        source_url=None if facts.repo is None else f"https://huggingface.co/{facts.repo}",
    )

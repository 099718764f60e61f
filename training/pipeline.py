"""The whole of a training on one screen: dataset, SFT, PA-GRPO, held-out scores, report.

Runs in one process or in many (accelerate launch). What is done is found on disk and not done again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

from accelerate import PartialState
from rich.console import Console

from curation.engines.build import build_engine
from curation.errors import ConfigError
from curation.prompts import load_judge_prompt, render_trace_prompt
from curation.schema import Question
from training.benchmarks.config import BenchmarkConfig
from training.checkpoints import release_models
from training.comparison import print_comparison, summarise
from training.config import ModelConfig, TrainConfig, Variant
from training.data import TrainingRows, find_folder, load_rows, load_split
from training.described_model import write_card
from training.evaluation_facts import EvaluatedStage, Evaluation, load_evaluation, write_evaluation
from training.held_out import limit_questions, score_held_out, split_held_out
from training.held_out_split import ClipSplit
from training.near_duplicates import count_near_duplicates
from training.processes import render_target
from training.prompts import load_template_prompt
from training.push import push_model
from training.ranks import raised_everywhere
from training.report import write_report
from training.rundir import TrainingRun, go_on_as_begun, keep_config
from training.variants import Stage, apply_variant, stages_of

_CONFIGS: Final[tuple[Literal["cot"], Literal["rl"]]] = ("cot", "rl")


def run(config: TrainConfig, stage: str = "all") -> None:
    """Train what the variant trains, score it, and write the report. stage: only this one, of run.STAGES.

    Raises UserError subclasses, each with one line.
    """
    config, place = _open(config)
    if stage != "report":
        _check(config, place)
        _on_main_process(lambda: _prepare(config, place))
        _train(config, place, stage)
    _on_main_process(lambda: _finish(config, place))


def _train(config: TrainConfig, place: TrainingRun, stage: str) -> None:
    from training.rl import train_rl
    from training.sft import train_sft

    model = config.model
    if stage in ("all", "evaluate") and stages_of(config.variant)[0] == "rl":
        _score(config, place, model, "base")
    for name in stages_of(config.variant):
        if stage in ("all", name):
            rows = _training_rows(config, "cot" if name == "sft" else "rl")
            train = train_sft if name == "sft" else train_rl
            train(config, model, rows, place.stage(name))
            release_models()
        if stage == name:
            return
        model = _trained(config, place, name)
        if stage in ("all", "evaluate"):
            _score(config, place, model, name)


def benchmark(config: TrainConfig, *, is_dry_run: bool = False) -> None:
    """Score the model of the last finished stage on the benchmarks of the config, or say what that would take.

    The first process does it and the others return: it goes on for hours. Raises UserError subclasses.
    """
    from training.benchmarks.dry_run import print_plan
    from training.benchmarks.running import run_benchmarks

    if os.environ.get("RANK", "0") != "0":
        return
    config, place = _open(config)
    section = _benchmark_section(config)
    if not is_dry_run:
        _prepare(config, place)
    act = print_plan if is_dry_run else run_benchmarks
    act(
        place.root,
        section,
        _last_model(config, place),
        load_template_prompt(config.input.prompt, config.input.template),
    )
    if not is_dry_run:
        write_card(config, place)  # which lists the scores


def count_split(config: TrainConfig) -> None:
    """Count the held-out clips that are nearly the same as clips that are trained on. Raises UserError subclasses."""
    config, place = _open(config)
    if config.evaluation.held_out_share == 0:
        raise ConfigError("no clip is held out. Set evaluation.held_out_share, such as 0.1.")
    _prepare(config, place)
    split = _split(config)
    rows = {name: load_rows(config.dataset, name, config.input.video, config.input.template).rows for name in _CONFIGS}
    trained = [path for name in _CONFIGS for path in split_held_out(rows[name], split)[0].unique("path")]
    found = count_near_duplicates(
        split_held_out(rows["rl"], split)[1].unique("path"),
        trained,
        media_root=config.dataset.media_root,
        folder=place.evaluations,
        num_workers=config.input.video.num_workers,
    )
    Console().print(f"split    {found.describe()}", highlight=False, soft_wrap=True)


def compare(config: TrainConfig, variants: Sequence[str], seeds: Sequence[int]) -> None:
    """Train the variants from one SFT checkpoint with each seed, and print their held-out scores side by side.

    Only RL differs: its seed orders the prompts and samples the rollouts. Raises as `run`.
    """
    if unknown := [name for name in variants if name not in get_args(Variant)]:
        raise ConfigError(f"there is no variant {unknown[0]!r}. It is one of {', '.join(get_args(Variant))}.")
    if odd := [name for name in variants if name in ("rl_only", "agnostic_sft")]:
        raise ConfigError(f"variant {odd[0]} does not begin with this SFT checkpoint. Run it by itself.")
    place = TrainingRun(config.run_dir)
    run(config, "sft")
    config, _ = go_on_as_begun(place, config)
    after_sft = _trained(config, place, "sft")
    _score(config, place, after_sft, "sft")
    before = _read_score(place, "sft").model_copy(update={"stage": "base"})
    evaluations: dict[tuple[str, int], Evaluation] = {}
    for seed in seeds:
        for name in variants:
            if name == "sft_only":  # nothing of it depends on the seed
                evaluations[name, seed] = _read_score(place, "sft")
                continue
            own = TrainingRun(place.root / "compare" / f"{name}-seed{seed}")
            _on_main_process(partial(write_evaluation, own.evaluations / "base.json", before))
            branch = apply_variant(config.model_copy(update={"variant": name})).model_copy(
                update={"variant": "rl_only", "model": after_sft, "seed": seed, "run_dir": own.root}
            )
            run(branch)
            evaluations[name, seed] = _read_score(own, "rl")
    summaries = summarise(evaluations)
    _on_main_process(lambda: print_comparison(summaries, place.root / "compare"))


def push(config: TrainConfig, repo: str) -> None:
    """Upload the model of the last stage. Raises ConfigError and HubError."""
    config, place = _open(config)

    def upload() -> None:
        model = place.model(stages_of(config.variant)[-1])
        write_card(config, place, repo)
        Console().print(f"pushed   {repo}@{push_model(model, repo)}", highlight=False)

    _on_main_process(upload)


def _open(config: TrainConfig) -> tuple[TrainConfig, TrainingRun]:
    """The config with its variant applied, as its run directory goes on with it."""
    config = apply_variant(config)
    place = TrainingRun(config.run_dir)
    config, notes = go_on_as_begun(place, config)
    for note in notes if PartialState().is_main_process else ():
        Console(stderr=True).print(f"note     {note}", highlight=False, soft_wrap=True, markup=False)
    return config, place


def _check(config: TrainConfig, place: TrainingRun) -> None:
    """What would stop a later stage is said before the first one begins. Raises ConfigError."""
    from training.pa_grpo import grpo_args
    from training.sft import sft_args

    if "sft" in stages_of(config.variant):
        sft_args(config, place.stage("sft"))
    if "rl" in stages_of(config.variant):
        grpo_args(config, place.stage("rl"))
        if config.rewards.perception and config.input.template == "agnostic":
            raise ConfigError(
                "template agnostic has no observation to reward. Set rewards.perception to false, or variant to grpo."
            )
        if config.rewards.perception and config.judge is None:
            raise ConfigError("the perception reward needs a judge. Set judge.engine, or variant to grpo.")
    if config.judge is not None:
        load_judge_prompt(config.judge.prompt)
        build_engine(config.judge.engine)  # its SDK and its key are there


def _prepare(config: TrainConfig, place: TrainingRun) -> None:
    """The dataset and the first model, where the config says how to make them."""
    dataset = config.dataset
    finished = Path(dataset.name) / "report.json"  # a curation writes it last
    if dataset.curate is not None and not finished.exists():
        command = [sys.executable, "-m", "curation", "run", str(dataset.curate)]
        if subprocess.run(command, check=False).returncode != 0:
            raise ConfigError(f"{dataset.name} could not be curated. See above, then run {' '.join(command[1:])}.")
        if not finished.exists():
            raise ConfigError(f"{dataset.curate} does not make {dataset.name}. Set dataset.name to its run_dir.")
    keep_config(place, config)
    if config.model.scratch is not None and not Path(config.model.name).exists():
        _build_base(config)


def _build_base(config: TrainConfig) -> None:
    """Built beside its place and renamed: a folder that is there is whole."""
    from training.scratch import build_model

    assert config.model.scratch is not None
    prompt = load_template_prompt(config.input.prompt, config.input.template)
    texts: list[str] = []
    for row in _training_rows(config, "cot").rows:
        texts += [render_trace_prompt(prompt, Question.from_row(row)), render_target(row, config.input.template)]
    folder = Path(config.model.name)
    build_model(config.model.scratch, texts, folder.with_suffix(".tmp")).replace(folder)


def _training_rows(config: TrainConfig, split: Literal["cot", "rl"]) -> TrainingRows:
    """Without the rows of held-out clips."""
    found = load_rows(config.dataset, split, config.input.video, config.input.template)
    rows, _ = split_held_out(found.rows, _split(config))
    return replace(found, rows=rows)


def _score(config: TrainConfig, place: TrainingRun, model: ModelConfig, stage: EvaluatedStage) -> None:
    evaluation = config.evaluation
    if evaluation.held_out_share == 0 or load_evaluation(place.evaluations / f"{stage}.json") is not None:
        return
    _, rows = split_held_out(load_rows(config.dataset, "rl", config.input.video).rows, _split(config))
    score_held_out(config, model, limit_questions(rows, evaluation), stage, place.evaluations)
    release_models()


def _split(config: TrainConfig) -> ClipSplit:
    """The one split of this run, for both stages, their scores and the benchmark `shapes`."""
    evaluation = config.evaluation
    return load_split(config.dataset, evaluation.held_out_share, evaluation.rules_version)


def _trained(config: TrainConfig, place: TrainingRun, stage: Stage) -> ModelConfig:
    """The finished model of a stage. Raises ConfigError when there is none."""
    folder = place.model(stage)
    if not folder.is_dir():
        raise ConfigError(f"there is no {folder}: stage {stage} has not finished. Run it first, with --stage {stage}.")
    return config.model.model_copy(update={"name": str(folder), "revision": None, "scratch": None})


def _last_model(config: TrainConfig, place: TrainingRun) -> ModelConfig:
    """Of the last stage that has finished; the base when none has."""
    finished = [stage for stage in stages_of(config.variant) if place.model(stage).is_dir()]
    return _trained(config, place, finished[-1]) if finished else config.model


def _benchmark_section(config: TrainConfig) -> BenchmarkConfig:
    """Raises ConfigError when there is none, and when questions would be about clips that were trained on."""
    if config.benchmark is None:
        raise ConfigError(
            "the config has no section `benchmark:`, which says what to score the model on. Copy that of "
            "training/configs/tiny.yaml or benchmarks_server.yaml."
        )
    shapes = config.benchmark.sources.get("shapes")
    if shapes is not None and "shapes" in config.benchmark.chosen:
        share, rules = config.evaluation.held_out_share, config.evaluation.rules_version
        if _is_trained_on(config, shapes.annotations):
            if shapes.held_out_share != share:
                raise ConfigError(
                    f"benchmark.sources.shapes.held_out_share is {shapes.held_out_share:g}, but training holds out "
                    f"evaluation.held_out_share = {share:g} of these clips. Set it to that."
                )
            own = shapes.model_copy(update={"rules_version": rules})
            return config.benchmark.model_copy(update={"sources": {**config.benchmark.sources, "shapes": own}})
    return config.benchmark


def _is_trained_on(config: TrainConfig, annotations: str | None) -> bool:
    """Whether a dataset, by its folder or by the run directory that holds it, is that of the training."""
    if annotations is None:
        return False
    trained, asked = (find_folder(Path(name)) or Path(name) for name in (config.dataset.name, annotations))
    return trained.resolve() == asked.resolve()


def _read_score(place: TrainingRun, stage: EvaluatedStage) -> Evaluation:
    """Raises ConfigError when the config holds nothing out."""
    evaluation = load_evaluation(place.evaluations / f"{stage}.json")
    if evaluation is None:
        raise ConfigError("a comparison needs held-out scores. Set evaluation.held_out_share, such as 0.1.")
    return evaluation


def _finish(config: TrainConfig, place: TrainingRun) -> None:
    write_card(config, place)
    report = write_report(place.root)
    Console().print(f"report   {report}", highlight=False, soft_wrap=True)


def _on_main_process(act: Callable[[], object]) -> None:
    """The others wait; when it fails there, it fails everywhere."""
    with raised_everywhere():
        if PartialState().is_main_process:
            act()

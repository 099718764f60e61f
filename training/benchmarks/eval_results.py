"""Scores of benchmarks as a model card lists them; training.model_card makes the hub's EvalResult of each.

A part of a benchmark and the demo world are no benchmark of the hub's: the card's text has them, its metadata has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from training.benchmarks.fingerprint import Fingerprint
from training.benchmarks.grouping import PROMPT_TITLES
from training.benchmarks.loaders.loading import LAYOUTS
from training.benchmarks.protocols import TITLES
from training.benchmarks.results import BenchmarkResult, find_results
from training.benchmarks.tables import part_of
from training.config import ModelConfig
from training.model_card import BenchmarkScore
from training.rundir import TrainingRun
from training.variants import Stage

# How each protocol forms its figure (training.benchmarks.protocols); elsewhere it is the accuracy over all rows.
_METRICS: Final[Mapping[tuple[str, str], str]] = {
    ("vsi_bench", "videor1"): "mean of accuracy and MRA",
    ("vsi_bench", "official"): "mean of 8 tasks",
    ("mvbench", "official"): "mean of 20 tasks",
    ("tempcompass", "official"): "mean of the tasks",
    ("shapes", "videor1"): "mean score",
    ("shapes", "official"): "mean score",
}


def card_scores(results: Iterable[BenchmarkResult]) -> tuple[BenchmarkScore, ...]:
    """One a figure, by prompt and in the order of the paper's table; none where no row counts."""
    known = [result for result in results if result.benchmark in TITLES and result.overall is not None]
    return tuple(_card_score(result) for result in sorted(known, key=_order))


def scores_of_model(place: TrainingRun, stage: Stage) -> tuple[BenchmarkScore, ...]:
    """Those of the finished model of a stage that lie in its run directory; scores of other models are left.

    A server's are of this model if it serves it under the name of its folder. Raises RunDirectoryError.
    """
    # The run directory may have been moved since, so its parents are not compared.
    wanted = place.model(stage).resolve().parts[-3:]
    found = [result for _, result in find_results(place.root) if Path(result.model).resolve().parts[-3:] == wanted]
    if any(result.model_revision is not None for result in found):
        from training.benchmarks.generating import model_revision

        revision = model_revision(ModelConfig(name=str(place.model(stage))))  # it may have been trained anew since
        found = [result for result in found if result.model_revision in (None, revision)]
    return card_scores(found)


def _order(result: BenchmarkResult) -> tuple[int, str, int]:
    """Reasoning first, so that it is the card's first table."""
    prompt, prompts = result.fingerprint.prompt, list(PROMPT_TITLES)
    place = prompts.index(prompt) if prompt in prompts else len(prompts)
    return place, prompt, list(TITLES).index(result.benchmark)


def _card_score(result: BenchmarkResult) -> BenchmarkScore:
    assert result.overall is not None
    part, layout, found = part_of(result), LAYOUTS.get(result.benchmark), result.fingerprint
    return BenchmarkScore(
        benchmark=TITLES[result.benchmark] + (f" ({part})" if part else ""),
        repo=layout.repo if layout is not None and part is None else None,
        protocol=found.protocol,
        metric=_METRICS.get((result.benchmark, found.protocol), "accuracy"),
        score=result.overall,
        num_questions=result.counted.num_rows,
        prompt=found.prompt,
        setting=_setting(found),
        revision=found.dataset_revision,
        interval=result.interval,
    )


def _setting(found: Fingerprint) -> str:
    """All that a table shares (fingerprint.TABLE_WIDE) but the protocol, in words."""
    frames, decoding = found.frames, found.decoding
    prompt = PROMPT_TITLES.get(found.prompt, f"prompt {found.prompt}")
    fps = "" if frames.fps is None else f" at {frames.fps:g} a second"
    seed = "" if decoding.seed is None else f", seed {decoding.seed}"
    further = "" if decoding.further is None else f", {decoding.further}"
    shown = f"frames chosen by the server ({frames.server or 'settings not told'})"
    if frames.num_frames is not None:
        shown = f"{frames.num_frames:,} frames{fps} of {frames.min_pixels:,} to {frames.max_pixels:,} pixels"
    sampled = f"temperature {decoding.temperature:g}, top_p {decoding.top_p:g}, at most {decoding.max_tokens:,} tokens"
    return (
        f"{prompt}; {shown}, sent as {frames.sent_as}, times {frames.times}, read by {frames.reader}; "
        f"{sampled}{seed}{further}; scoring code {found.code_version}"
    )

"""Which tasks of lmms-eval 0.7.3 are whose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.benchmark_fixtures.hub_rows import MVBENCH
from training.benchmarks.loaders.videommmu import TRACKS

OUTSIDE: Final = (
    "VCR-Bench is not in lmms-eval (T1): its `vcrbench` orders clips and is another benchmark, `vcr_wiki` a third.",
    "TempCompass captioning and MMVU's open questions are a judge's matter in both, and no rule to compare.",
    "The protocol is `official`; `videor1` has no counterpart in lmms-eval (T2).",
)


@dataclass(frozen=True, slots=True)
class Task:
    """One task of lmms-eval, which is one part of a benchmark.

    name: of lmms-eval; yaml: its file below lmms_eval/tasks. part: as our loader calls it. cache: the folder below
    HF_HOME in which it looks for the media. uid: our id of a question, from its row's columns and its place `doc_id`.
    metric: the task's figure; full: what it is where every row is right.
    """

    name: str
    yaml: str
    benchmark: str
    part: str
    cache: str
    uid: str
    metric: str
    full: float = 100.0
    split: str = "test"


def _track(part: str) -> Task:
    name = part.lower()
    return Task(
        name=f"video_mmmu_{name}",
        yaml=f"videommmu/{name}.yaml",
        benchmark="videommmu",
        part=part,
        cache="video_mmmu",
        uid=f"{part}/{{id}}",
        metric="mmmu_acc",
        full=1.0,
    )


def _mvbench(part: str) -> Task:
    return Task(
        name=f"mvbench_{part}",
        yaml=f"mvbench/mvbench_{part}.yaml",
        benchmark="mvbench",
        part=part,
        cache="mvbench_video",
        uid=f"{part}/{{doc_id}}",
        metric="mvbench_accuracy",
        split="train",
    )


def _tempcompass(part: str, yaml: str) -> Task:
    return Task(
        name=f"tempcompass_{part.replace('-', '_')}",
        yaml=f"tempcompass/{yaml}.yaml",
        benchmark="tempcompass",
        part=part,
        cache="tempcompass",
        uid=f"{part}/{{doc_id}}",
        metric="avg_accuracy",
    )


TASKS: Final = (
    Task("vsibench", "vsibench/vsibench.yaml", "vsi_bench", "full", "vsibench", "{id}", "vsibench_overall", full=1.0),
    *(_track(part) for part in TRACKS),
    Task("mmvu_val", "mmvu/mmvu_val.yaml", "mmvu", "validation", "mmvu", "{id}", "accuracy", split="validation"),
    *(_mvbench(part) for part in MVBENCH),
    _tempcompass("multi-choice", "tempcompass_mc"),
    _tempcompass("yes_no", "tempcompass_yes_no"),
    _tempcompass("caption_matching", "tempcompass_caption_matching"),
    Task(
        name="videomme",
        yaml="videomme/videomme.yaml",
        benchmark="video_mme",
        part="videomme",
        cache="videomme",
        uid="{question_id}",
        metric="videomme_perception_score",
    ),
)

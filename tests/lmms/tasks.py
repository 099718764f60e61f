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
    """

    name: str
    yaml: str
    benchmark: str
    part: str
    cache: str
    uid: str
    split: str = "test"


def _track(track: str) -> Task:
    name = track.lower()
    return Task(f"video_mmmu_{name}", f"videommmu/{name}.yaml", "videommmu", track, "video_mmmu", f"{track}/{{id}}")


def _mvbench(part: str) -> Task:
    name = f"mvbench_{part}"
    return Task(name, f"mvbench/{name}.yaml", "mvbench", part, "mvbench_video", f"{part}/{{doc_id}}", "train")


def _tempcompass(part: str, yaml: str) -> Task:
    name = f"tempcompass_{part.replace('-', '_')}"
    return Task(name, f"tempcompass/{yaml}.yaml", "tempcompass", part, "tempcompass", f"{part}/{{doc_id}}")


TASKS: Final = (
    Task("vsibench", "vsibench/vsibench.yaml", "vsi_bench", "full", "vsibench", "{id}"),
    *(_track(track) for track in TRACKS),
    Task("mmvu_val", "mmvu/mmvu_val.yaml", "mmvu", "validation", "mmvu", "{id}", "validation"),
    *(_mvbench(part) for part in MVBENCH),
    _tempcompass("multi-choice", "tempcompass_mc"),
    _tempcompass("yes_no", "tempcompass_yes_no"),
    _tempcompass("caption_matching", "tempcompass_caption_matching"),
    Task("videomme", "videomme/videomme.yaml", "video_mme", "videomme", "videomme", "{question_id}"),
)

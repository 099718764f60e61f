"""The invented benchmarks as both sides load them: one folder a benchmark, and what a model wrote for every row.

    world/<benchmark>/                 the repository: Parquet, and a README whose `configs:` name the files
    world/hf_home/<cache>/             its media, one byte each: nobody decodes them
    world/run/benchmark/<benchmark>/direct/rows.parquet     our questions, the predictions, and our scores

A row is there as often as there are forms of its answer, each time with an id of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmark_fixtures import hub_rows, touch
from tests.benchmark_fixtures.files import write_parquet, write_readme
from tests.lmms.saved import save_run
from tests.lmms.tasks import TASKS, Task
from training.benchmarks.loaders.loading import load_hub
from training.benchmarks.loaders.mvbench import SOURCES
from training.benchmarks.question import BenchmarkQuestion, LoadedBenchmark
from training.benchmarks.results import ResultRow

Row = dict[str, Any]
OutputsOf = Callable[[BenchmarkQuestion, int], Mapping[str, str]]  # (question, its place) -> name -> output

BENCHMARKS: Final = tuple(dict.fromkeys(task.benchmark for task in TASKS))
MISTAGGED: Final = "VideoMMMU letters tagged open"
_FOLDERS: Final = {"Biology": "Science", "Physics": "Science", "Basic_Medical_Science": "Medicine"}
_SPEEDS: Final = [
    {"id": f"test_Physics_{number}", "question": "What is the speed, in m/s?", "options": [], "answer": answer}
    | {"question_type": "open", "image": None}
    for number, answer in ((8, "4"), (9, "1,200"), (10, "0.5"))
]


@dataclass(frozen=True, slots=True)
class Written:
    """One prediction. rule: by whose rule it is scored. form: the name of its output."""

    task: Task
    rule: str
    form: str
    row: ResultRow
    video: Path


def base_rows(task: Task) -> list[Row]:
    """The invented rows of one task that a rule scores."""
    match task.benchmark:
        case "vsi_bench":
            return hub_rows.VSI_BENCH
        case "videommmu":
            return hub_rows.VIDEOMMMU[task.part] + (_SPEEDS if task.part == "Adaptation" else [])
        case "mmvu":
            closed = [row for row in hub_rows.MMVU if row["question_type"] == "multiple-choice"]
            return [_as_mirrored(row) for row in closed]
        case "mvbench":
            return hub_rows.MVBENCH[task.part]
        case "tempcompass":
            return hub_rows.TEMPCOMPASS[task.part]
        case _:  # lmms-eval knows the published sub-categories only
            return [row | {"sub_category": "Humanity & History"} for row in hub_rows.VIDEO_MME]


def rule_of(task: Task, row: Row) -> str:
    """The name of the rule by which lmms-eval scores this row."""
    match task.benchmark:
        case "vsi_bench":
            return "VSI-Bench letters" if row["options"] else "VSI-Bench numbers"
        case "videommmu" if row["options"]:
            return "VideoMMMU letters" if row["question_type"] == "multiple-choice" else MISTAGGED
        case "tempcompass":
            return f"TempCompass {task.part}"
        case name:
            return {"videommmu": "VideoMMMU numbers", "mmvu": "MMVU", "mvbench": "MVBench", "video_mme": "Video-MME"}[
                name
            ]


def write_world(world: Path, outputs_of: OutputsOf, tasks: Sequence[Task] = TASKS) -> list[Written]:
    """Write everything for these tasks; the rows in the order of the files."""
    written: list[Written] = []
    for benchmark in dict.fromkeys(task.benchmark for task in tasks):
        own = [task for task in tasks if task.benchmark == benchmark]
        written += _write_benchmark(world, benchmark, own, outputs_of)
    return written


def _write_benchmark(world: Path, benchmark: str, tasks: Sequence[Task], outputs_of: OutputsOf) -> Iterator[Written]:
    base = {task: [_numbered(task, row, place) for place, row in enumerate(base_rows(task))] for task in tasks}
    questions = iter(_load(world, f"{benchmark}-base", benchmark, base).questions)
    forms = [
        (task, row, form, output)
        for task, rows in base.items()
        for place, row in enumerate(rows)
        for form, output in outputs_of(next(questions), place).items()
    ]
    rows = {task: [row for owner, row, _, _ in forms if owner is task] for task in tasks}
    rows = {task: [_numbered(task, row, place) for place, row in enumerate(own)] for task, own in rows.items()}
    loaded = _load(world, benchmark, benchmark, rows)
    outputs = {question.uid: output for question, (_, _, _, output) in zip(loaded.questions, forms, strict=True)}
    saved = save_run(world / "run", loaded, outputs)
    for question, row, (task, source, form, _) in zip(loaded.questions, saved, forms, strict=True):
        assert question.media.file is not None, f"{question.uid} has no video"
        yield Written(task, rule_of(task, source), form, row, question.media.file)


def _load(world: Path, name: str, benchmark: str, rows: Mapping[Task, Sequence[Row]]) -> LoadedBenchmark:
    """Write a repository with its media, and load it as we would any other."""
    hub = world / name
    files = {}
    for task, own in rows.items():
        files[task.part] = f"{task.part}/{task.split}-00000-of-00001.parquet"
        write_parquet(hub / files[task.part], own)
        for row in own:
            touch(world / "hf_home" / task.cache / _video_name(task, row))
    split, cache = next((task.split, task.cache) for task in rows)
    write_readme(hub, files, split)
    media_root = world / "hf_home" / cache
    return load_hub(benchmark, media_root, source=hub, protocol="official", parts=list(files))


def _numbered(task: Task, row: Row, number: int) -> Row:
    """The row under an id of its own, where rows have one."""
    match task.benchmark:
        case "vsi_bench":
            return row | {"id": number}
        case "videommmu":
            return row | {"id": f"{row['id'].rpartition('_')[0]}_{number}"}
        case "mmvu":
            return row | {"id": f"validation_{number}"}
        case "video_mme":
            return row | {"question_id": f"{number:03d}-1"}
        case _:
            return row


def _video_name(task: Task, row: Row) -> str:
    """Below the folder of the media, where lmms-eval looks for it."""
    match task.benchmark:
        case "vsi_bench":
            return f"{row['dataset']}/{row['scene_name']}.mp4"
        case "videommmu":
            subject = "_".join(row["id"].split("_")[1:-1])
            return f"{_FOLDERS[subject]}/{row['id']}.mp4"
        case "mmvu":
            return str(row["video_path"])
        case "mvbench":
            source = SOURCES[task.part]
            return f"{source.cut or source.whole}/{row['video']}"
        case "tempcompass":
            return f"videos/{row['video_id']}.mp4"
        case _:
            return f"data/{row['videoID']}.mp4"


def _as_mirrored(row: Row) -> Row:
    """lmms-eval reads the mirror, whose column is video_path."""
    path = row["video"].partition("/resolve/main/")[2]
    return {name: value for name, value in row.items() if name != "video"} | {"video_path": path}

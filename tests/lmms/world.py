"""The invented benchmarks as both sides load them: one folder a benchmark, and what a model wrote for every row.

    ROOT/hf_home/<cache>/                   the media, one byte each: nobody decodes them
    ROOT/<world>/<world>-<benchmark>/       the repository: Parquet, and a README whose `configs:` name the files
    ROOT/<world>/run/benchmark/<benchmark>/direct/  our questions, the predictions, and our scores

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
# (rule, question, its place in the benchmark) -> form -> output
OutputsOf = Callable[[str, BenchmarkQuestion, int], Mapping[str, str]]

HF_HOME: Final = "hf_home"
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


def hub_folder(root: Path, world: str, task: Task) -> Path:
    """The world is in its name too, by which `datasets` caches."""
    return root / world / f"{world}-{task.benchmark}"


def write_world(root: Path, world: str, outputs_of: OutputsOf) -> list[Written]:
    """Every task's rows with their outputs, in the order of the files."""
    written: list[Written] = []
    for benchmark in dict.fromkeys(task.benchmark for task in TASKS):
        tasks = [task for task in TASKS if task.benchmark == benchmark]
        written += _write_benchmark(root, world, tasks, outputs_of)
    return written


def _write_benchmark(root: Path, world: str, tasks: Sequence[Task], outputs_of: OutputsOf) -> Iterator[Written]:
    base = [(task, row) for task in tasks for row in base_rows(task)]
    asked = _load(root, f"{world}-base", base).questions
    forms = [
        (task, row, form, output)
        for place, ((task, row), question) in enumerate(zip(base, asked, strict=True))
        for form, output in outputs_of(rule_of(task, row), question, place).items()
    ]
    loaded = _load(root, world, [(task, row) for task, row, _, _ in forms])
    outputs = {question.uid: output for question, (*_, output) in zip(loaded.questions, forms, strict=True)}
    saved = save_run(root / world / "run", loaded, outputs)
    for question, row, (task, source, form, _) in zip(loaded.questions, saved, forms, strict=True):
        if question.media.file is None:
            raise FileNotFoundError(f"{question.benchmark} {question.uid}: our loader finds no {question.media.name}")
        yield Written(task, rule_of(task, source), form, row, question.media.file)


def _load(root: Path, world: str, rows: Sequence[tuple[Task, Row]]) -> LoadedBenchmark:
    """Write a repository with its media, each row under an id of its own, and load it as any other."""
    task = rows[0][0]
    hub, media_root = hub_folder(root, world, task), root / HF_HOME / task.cache
    by_task: dict[Task, list[Row]] = {}
    for owner, row in rows:
        own = by_task.setdefault(owner, [])
        own.append(_numbered(owner, row, len(own)))
        touch(media_root / _video_name(owner, own[-1]))
    files = {owner.part: f"{owner.part}/{owner.split}-00000-of-00001.parquet" for owner in by_task}
    for owner, own in by_task.items():
        write_parquet(hub / files[owner.part], own)
    write_readme(hub, files, task.split)
    return load_hub(task.benchmark, media_root, source=hub, protocol="official", parts=list(files))


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

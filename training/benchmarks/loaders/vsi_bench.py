"""VSI-Bench: spatial questions about rooms; letters, or numbers scored by mean relative accuracy."""

from __future__ import annotations

from typing import Final

from training.benchmarks.loaders.layout import Columns, Layout, LeftOut, Row
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.options import gold_letter, letter_options
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.scoring import Protocol

_DIRECTION: Final = "object_rel_direction_"
CHOICE_TASKS: Final = (
    *(f"{_DIRECTION}{level}" for level in ("easy", "medium", "hard")),
    "object_rel_distance",
    "route_planning",
    "obj_appearance_order",
)
NUMBER_TASKS: Final = ("object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation")


def _read(row: Row, media: MediaRoot, protocol: Protocol) -> BenchmarkQuestion | LeftOut:
    task = row.one_of("question_type", (*CHOICE_TASKS, *NUMBER_TASKS))
    texts = row.texts("options")
    if bool(texts) != (task in CHOICE_TASKS):
        raise row.fault(f"a question of type {task} has {len(texts)} options")
    options = letter_options(texts)
    return BenchmarkQuestion(
        benchmark=LAYOUT.name,
        uid=row.identifier("id"),
        kind="mc" if options else "regression",
        text=row.text("question"),
        options=options,
        answer=gold_letter(row.gold("ground_truth"), options) if options else row.gold("ground_truth"),
        media=media.find(f"{row.text('dataset')}/{row.text('scene_name')}.mp4"),
        groups=groups_of(task) | {"source": row.text("dataset")},
    )


def groups_of(task: str) -> dict[str, str]:
    """The three directions are tasks of their own here; a protocol may make them one."""
    level = {"difficulty": task.removeprefix(_DIRECTION)} if task.startswith(_DIRECTION) else {}
    return {"task": task} | level


LAYOUT: Final = Layout(
    name="vsi_bench",
    title="VSI-Bench",
    repo="nyu-visionx/VSI-Bench",
    mirrors=(),
    licence="apache-2.0",
    is_gated=False,
    split="test",
    # One of them is the benchmark: debiased and pruned are smaller ones.
    parts={
        "full": ("test.jsonl", "test.parquet", "test-*.parquet", "full/test*.parquet"),
        "debiased": ("test_debiased.parquet", "test_debiased.jsonl", "debiased/test*.parquet"),
        "pruned": ("test_pruned.parquet", "test_pruned.jsonl", "pruned/test*.parquet"),
    },
    default_parts=("full",),
    columns=Columns(
        frozenset(("id", "dataset", "scene_name", "question_type", "question", "ground_truth", "options")),
        optional=frozenset(("pruned",)),
    ),
    num_rows=5_130,
    media="arkitscenes.zip, scannet.zip and scannetpp.zip, each to a folder of that name",
    media_bytes=5_730_000_000,
    read=_read,
)

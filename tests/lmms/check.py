"""Do our official scores and those of lmms-eval 0.7.3 agree? Opt-in: 1.7 GB on disk, a minute to install and to run.

    make lmms-check

Invented benchmarks in the layout of the seven and predictions in every form are written to a temporary folder; our
scorer and lmms-eval's own tasks score them, offline. Where the rules are equal so must be the scores; every difference
stands in differences.yaml with its reason. Status 1 when one does not, or when a listed one is gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any, Final

from tests.lmms.comparison import KnownDifferences, Outcome, Pair, find_faults, listing, load_known, table
from tests.lmms.outputs import plain_outputs, varied_outputs
from tests.lmms.tasks import OUTSIDE, TASKS, Task
from tests.lmms.world import HF_HOME, Written, hub_folder, write_world
from training.benchmarks.results import ROWS, load_result, result_folder

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = ROOT / ".venv-lmms" / "bin" / "python"
KNOWN: Final = Path(__file__).with_name("differences.yaml")
READERS: Final = ("stock", "answer_tag")
WORLDS: Final = {"plain": plain_outputs, "varied": varied_outputs}
_WHOLE: Final = ("vsi_bench", "mmvu", "video_mme")  # one task is the benchmark


def main() -> int:
    """0 when both agree but for what is listed."""
    if not PYTHON.is_file():
        print(f"there is no {PYTHON.relative_to(ROOT)}; run `make lmms-check`, which makes it.")
        return 2
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        written = {world: write_world(root, world, outputs_of) for world, outputs_of in WORLDS.items()}
        scores = run_reference(root)
        faults = [fault for world in WORLDS for fault in other_videos(world, written[world], scores)]
        figures = list(compare_figures(root, scores))
    known = load_known(KNOWN)
    plain, varied = (list(make_pairs(world, written[world], scores)) for world in WORLDS)
    faults += [f"plain: {fault}" for fault in find_faults(plain, known.model_copy(update={"differences": {}}))]
    faults += [f"figure: {line}" for line, is_equal in figures if not is_equal]
    faults += find_faults(varied, known)
    print("\n".join(report(plain, varied, [line for line, _ in figures], known, faults)))
    return 1 if faults else 0


def report(
    plain: Sequence[Pair],
    varied: Sequence[Pair],
    figures: Sequence[str],
    known: KnownDifferences,
    faults: Sequence[str],
) -> Iterator[str]:
    """Lines for people."""
    num_equal = sum(pair.outcome is Outcome.EQUAL for pair in plain)
    yield "The same predictions, scored by ours (official) and by lmms-eval 0.7.3"
    yield ""
    yield f"Plain answers: {num_equal} of {len(plain)} rows are equal. The tasks' figures:"
    yield from (f"    {line}" for line in figures)
    yield ""
    yield "Answers in every form (reader: stock is lmms-eval as it is, answer_tag reads our <answer> first):"
    yield from table(varied, known)
    yield ""
    yield "Differences by reason, with the forms of the answer (and rows):"
    yield from listing(known)
    yield ""
    yield from OUTSIDE
    yield ""
    yield f"FAULTS: {len(faults)}" if faults else "Every difference is listed, and every listed one occurs."
    yield from faults


def run_reference(root: Path) -> dict[str, Any]:
    """lmms-eval's scores. Raises SystemExit with the end of its log when it fails."""
    plan = [
        {
            "world": world,
            "task": task.name,
            "yaml": task.yaml,
            "uid": task.uid,
            "metric": task.metric,
            "dataset_path": str(hub_folder(root, world, task)),
            "rows": str(result_folder(root / world / "run", task.benchmark, "direct") / ROWS),
        }
        for world in WORLDS
        for task in TASKS
    ]
    (root / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    places = {"HF_HOME": str(root / HF_HOME), "PYTHONPATH": str(ROOT)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "LMMS_", "OPENAI_"))}
    done = subprocess.run(
        [PYTHON, "-m", "tests.lmms.reference", root / "plan.json", root / "scores.json"],
        cwd=root,
        env=kept | offline | places,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout[-4_000:]}\nlmms-eval failed; its log ends above.")
    scores: dict[str, Any] = json.loads((root / "scores.json").read_text(encoding="utf-8"))
    return scores


def make_pairs(world: str, written: Sequence[Written], scores: Mapping[str, Any]) -> Iterator[Pair]:
    """Ours beside theirs. Through `answer_tag` only what has a tag: it leaves everything else as it is."""
    theirs = {(row["task"], row["filter"], row["uid"]): row for row in scores["rows"] if row["world"] == world}
    for one in written:
        output = one.row.output or ""
        for reader in READERS if "<" in output else READERS[:1]:
            row = theirs[one.task.name, reader, one.row.id]
            yield Pair(
                rule=one.rule,
                reader=reader,
                form=one.form,
                uid=f"{one.task.benchmark} {one.row.id}",
                gold=one.row.gold,
                output=output,
                ours=one.row.score,
                theirs=row["score"],
                why=row["why"],
            )


def other_videos(world: str, written: Sequence[Written], scores: Mapping[str, Any]) -> Iterator[str]:
    """Questions for which lmms-eval would show another file than we."""
    shown = {(row["task"], row["uid"]): row["video"] for row in scores["rows"] if row["world"] == world}
    for one in written:
        if Path(shown[one.task.name, one.row.id]) != one.video:
            yield f"{one.task.name} {one.row.id}: ours shows {one.video}, theirs {shown[one.task.name, one.row.id]}"


def compare_figures(root: Path, scores: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """(a line, whether both are equal) of each task's plain answers, where only the way to the figure could differ."""
    theirs = {
        row["task"]: row["figure"] for row in scores["figures"] if (row["world"], row["filter"]) == ("plain", "stock")
    }
    for task in TASKS:
        ours, other = our_figure(root, task), theirs[task.name] / task.full
        is_equal = isclose(ours, other, abs_tol=1e-5)  # theirs are rounded
        yield f"{task.name:32} ours {100 * ours:6.2f}  theirs {100 * other:6.2f}", is_equal


def our_figure(root: Path, task: Task) -> float:
    """The benchmark's overall, or the mean of the one task. Raises LookupError where there is none."""
    result = load_result(result_folder(root / "plain" / "run", task.benchmark, "direct"))
    if result is None:
        raise LookupError(f"{task.benchmark} has no score")
    name = task.part.lower() if task.benchmark == "videommmu" else task.part
    figure = result.overall if task.benchmark in _WHOLE else result.groups["task"][name].mean
    if figure is None:
        raise LookupError(f"{task.name} has no figure")
    return figure


if __name__ == "__main__":
    sys.exit(main())

"""Score saved predictions by lmms-eval's own tasks. Runs in .venv-lmms, offline; started by check.py.

    python -m tests.lmms.reference PLAN.json SCORES.json

The plan says which tasks extend which of lmms-eval's files, and where the predictions lie. Two ways to read an output:

    stock        as lmms-eval's command line does: thinking between <think> tags is cut out, the rest is the answer
    answer_tag   our passage (official_passage) is cut out first, so that only the rules differ

TempCompass asks GPT-3.5 wherever its rules do not match (T8). Here a server on loopback stands in, so that these rows
can be told: they have no score.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import yaml

from training.benchmarks.answers import official_passage

# As lmms-eval's command line sets it; a library call does not.
_REASONING_TAGS: Final = [["<think>", "</think>"], ["<analysis>", "</analysis>"]]
FILTERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "stock": {
        "reasoning_tags": _REASONING_TAGS,
        "filter_list": [{"name": "stock", "filter": [{"function": "take_first"}]}],
    },
    "answer_tag": {
        "filter_list": [{"name": "answer_tag", "filter": [{"function": "answer_tag"}, {"function": "take_first"}]}]
    },
}
_JUDGE_REPLY: Final = {"choices": [{"message": {"content": "Incorrect"}}]}


class _Judge(BaseHTTPRequestHandler):
    """Replies to everything; what it says is never used."""

    def do_POST(self) -> None:
        body = json.dumps(_JUDGE_REPLY).encode()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def judge_on_loopback() -> Iterator[None]:
    """lmms-eval reads its address when a task is imported."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Judge) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ |= {
            "API_TYPE": "openai",
            "OPENAI_API_URL": f"http://127.0.0.1:{server.server_address[1]}",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        try:
            yield
        finally:
            server.shutdown()


def task_name(world: str, filter_name: str, task: str) -> str:
    """Of our extension of a task."""
    return f"{world}_{filter_name}_{task}"


def write_yamls(folder: Path, lmms_tasks: Path, plan: Sequence[Mapping[str, str]]) -> None:
    """One YAML a task and filter, which extends lmms-eval's own."""
    folder.mkdir(parents=True)
    for entry in plan:
        for filter_name, changes in FILTERS.items():
            name = task_name(entry["world"], filter_name, entry["task"])
            settings = {
                "include": str(lmms_tasks / entry["yaml"]),
                "task": name,
                "dataset_path": entry["dataset_path"],
                "output_type": "generate_until",  # the index looks for it before it follows `include`
            }
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings | changes), encoding="utf-8")


def read_outputs(rows: Path) -> dict[str, str]:
    """id -> output, of a run's rows.parquet."""
    table = pq.read_table(rows, columns=["id", "output"])
    return dict(zip(table["id"].to_pylist(), table["output"].to_pylist(), strict=True))


def row_score(task: str, logged: Mapping[str, Any]) -> tuple[float | None, str]:
    """(score in [0, 1], "") of one logged row; (None, why) where it has none."""
    if task == "vsibench":
        doc = logged["vsibench_overall"]
        return float(doc["accuracy"] if "accuracy" in doc else doc["MRA:.5:.95:.05"]), ""
    if task == "videomme":
        return float(logged["videomme_perception_score"]["score"]), ""
    if task == "mmvu_val":
        return float(logged["accuracy"]["correct"]), ""
    if task.startswith("mvbench_"):
        found = logged["mvbench_accuracy"]
        return (None, "left out") if found["pred_answer"] == "" else (float(found["score"]), "")
    if task.startswith("tempcompass_"):
        found = logged["avg_accuracy"]
        return (float(found["rating"]), "") if found["match_success"] else (None, "judged")
    from lmms_eval.tasks.videommmu.utils import evaluate_videommmu

    found = logged["mmmu_acc"]
    if found["parsed_pred"] == "API Error":
        return None, "left out"
    return float(evaluate_videommmu([found])[1]["acc"]), ""


def evaluate(plan: Sequence[Mapping[str, str]], yamls: Path) -> dict[str, Any]:
    """The scores of every row and the figure of every task, as lmms-eval makes them."""
    import lmms_eval
    from lmms_eval import evaluator
    from lmms_eval.api.filter import Filter
    from lmms_eval.api.model import lmms
    from lmms_eval.filters import FILTER_REGISTRY
    from lmms_eval.tasks import TaskManager

    class AnswerTag(Filter):
        def apply(self, resps: Any, docs: Any) -> Any:
            return [[official_passage(output) for output in outputs] for outputs in resps]

    entries = {task_name(entry["world"], name, entry["task"]): (entry, name) for entry in plan for name in FILTERS}
    outputs = {rows: read_outputs(Path(rows)) for rows in {entry["rows"] for entry in plan}}

    class Saved(lmms):
        """Says what was saved for the question."""

        is_simple = True

        def __init__(self) -> None:
            super().__init__()
            self.videos: dict[tuple[str, str], str] = {}

        def generate_until(self, requests: Any) -> list[str]:
            return [self._answer(*request.args) for request in requests]

        def _answer(self, prompt: str, _: Any, doc_to_visual: Any, doc_id: int, task: str, split: str) -> str:
            doc = self.task_dict[task][split][doc_id]
            entry, _ = entries[task]
            uid = uid_of(entry, doc, doc_id)
            (self.videos[task, uid],) = doc_to_visual(doc)
            return outputs[entry["rows"]][uid]

        def loglikelihood(self, requests: Any) -> Any:
            raise NotImplementedError("none of these tasks asks for likelihoods")

        def generate_until_multi_round(self, requests: Any) -> Any:
            raise NotImplementedError("none of these tasks has rounds")

    FILTER_REGISTRY["answer_tag"] = AnswerTag
    write_yamls(yamls, Path(lmms_eval.__file__).parent / "tasks", plan)
    model = Saved()
    manager = TaskManager("ERROR", include_path=str(yamls), include_defaults=False)
    found = evaluator.simple_evaluate(
        model=model, tasks=list(entries), task_manager=manager, bootstrap_iters=0, verbosity="ERROR"
    )
    rows, figures = [], []
    for name, (entry, filter_name) in entries.items():
        shared = {"world": entry["world"], "task": entry["task"], "filter": filter_name}
        for logged in found["samples"][name]:
            uid = uid_of(entry, logged["doc"], logged["doc_id"])
            score, why = row_score(entry["task"], logged)
            rows.append(shared | {"uid": uid, "score": score, "why": why, "video": model.videos[name, uid]})
        metrics = found["results"][name]
        figures.append(shared | {"figure": metrics[f"{entry['metric']},{filter_name}"]})
    return {"rows": rows, "figures": figures}


def uid_of(entry: Mapping[str, str], doc: Mapping[str, Any], doc_id: int) -> str:
    """Our id of a row."""
    return entry["uid"].format(**(dict(doc) | {"doc_id": doc_id}))


def main(plan_file: str, scores_file: str) -> int:
    """The plan's HF_HOME is set by who starts this: lmms-eval reads it at import."""
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    with judge_on_loopback():
        scores = evaluate(plan, Path(plan_file).parent / "yamls")
    Path(scores_file).write_text(json.dumps(scores), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

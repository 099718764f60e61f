"""The house: which room may import which. Read from the source files themselves."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("curation", "training", "app", "cards")
PUBLISHED_FORMAT = {"trace", "tasks", "schema", "judge", "engines", "video", "config", "errors", "prompts", "markdown"}
# What makes a trace worthless: training and the viewer count it in rollouts, by the rules of curation.
SHORTCUTS = {"leaks", "repetition"}
# What a reader of published datasets needs besides: how one is named and found, its statistics, its media, its labels,
# and what a word is.
READING = {"locate", "report", "media", "agreement", "decoding", "scoring", *SHORTCUTS}
# What training needs besides: how a row's path leads to a file and what was measured of it, bars, locks, what an answer
# says; for benchmarks, answers that outlive a kill, from frames that are decoded as in curation; for their analyses,
# datasets that are named, and the labels about them.
TRAINING = {"media", "journal", "budget", "progress", "rundir", "scoring", "answers", "decoding", "encoding", "gops"}
TRAINING |= {"agreement", "labelled", "locate", "statistics", "overlaps", "provenance", *SHORTCUTS}
STAGES = {"sources", "generate", "filters", "verify", "stats"}
LEAVES = {"statistics", "trace", "tasks", "schema", "errors", "judge", "prompts", "config", "journal"}
HEAVY = {
    "anthropic": {"curation/engines/anthropic.py", "curation/engines/batches.py"},
    "openai": {"curation/engines/openai.py"},
    "matplotlib": {"curation/plots.py", "training/plots.py", "training/benchmarks/report_plots.py"},
    "datasets": {
        "curation/sources/videor1.py",
        "curation/publish/readback.py",
        "training/data.py",
        "training/held_out.py",
        "training/pa_grpo.py",
        "training/sft.py",
    },
    "huggingface_hub": {
        "curation/hub.py",
        "curation/sources/videor1.py",
        "training/benchmarks/loaders/hub.py",
        "training/model_card.py",
        "training/push.py",
    },
    "decord": {"curation/video.py"},
    "torch": {
        "training/checkpoints.py",
        "training/estimate.py",
        "training/held_out.py",
        "training/ranks.py",
        "training/rl.py",
        "training/advantages.py",
        "training/benchmarks/generating.py",
        "training/benchmarks/in_process.py",
        "training/benchmarks/model_inputs.py",
        "training/segments.py",
        "training/grpo_metrics.py",
        "training/process_rollouts.py",
        "training/vision_rollouts.py",
        "training/collate.py",
        "training/positions.py",
        "training/scratch.py",
        "training/sft.py",
        "training/pa_grpo.py",
    },
    "transformers": {
        "training/benchmarks/generating.py",
        "training/estimate.py",
        "training/models.py",
        "training/held_out.py",
        "training/update_progress.py",
        "training/checkpoints.py",
        "training/rl.py",
        "training/positions.py",
        "training/scratch.py",
        "training/sft.py",
        "training/pa_grpo.py",
        "training/restore.py",
    },
    "trl": {"training/sft.py", "training/pa_grpo.py", "training/process_rollouts.py", "training/vision_rollouts.py"},
    "vllm": set(),
    "gradio": {"app/calls.py", "app/viewer.py", "app/controls.py", "app/server.py"},
    "ray": set(),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module this file names, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names
            if not all((ROOT / name.replace(".", "/")).with_suffix(".py").exists() for name in names):
                found.add(node.module or "")
    return found


def rooms(path: Path, package: str) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")}


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_rooms_import_only_what_lies_below_them(path):
    package = path.relative_to(ROOT).parts[0]
    named = {name.split(".")[0] for name in imports(path)}
    if package == "curation":
        assert not named & {"training", "app"}
    if package == "training":
        assert rooms(path, "curation") <= PUBLISHED_FORMAT | TRAINING
    if package == "app":
        assert rooms(path, "curation") <= PUBLISHED_FORMAT | READING
        assert "training" not in named


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_stages_never_import_each_other_and_leaves_no_stage(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] != "curation":
        return
    mine = parts[1]
    others = rooms(path, "curation") & (STAGES | {"pipeline", "run"})
    if mine in STAGES:
        assert others <= {mine}
    if mine in LEAVES or mine == "engines":
        assert not others


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_heavy_packages_stay_in_the_module_that_needs_them(path):
    for name in {name.split(".")[0] for name in imports(path)} & set(HEAVY):
        assert str(path.relative_to(ROOT)) in HEAVY[name], f"{path} imports {name}"


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_source_is_ascii_and_never_unpickles_or_evaluates(path):
    text = path.read_text(encoding="utf-8")
    assert text.isascii()
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec"}
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "marshal", "shelve", "dill"}


def test_no_import_cycle():
    graph = {
        module_name(path): {name for name in imports(path) if name.split(".")[0] in PACKAGES} for path in sources()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done or module not in graph:
            return
        for target in graph[module]:
            if target != module:
                visit(target, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_a_path_that_a_user_named_is_never_a_pattern():
    """polars takes `runs/g*` for every run that matches, and `a=1/` for a column."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                given = {keyword.arg for keyword in node.keywords}
                if node.func.attr in ("scan_parquet", "read_parquet"):
                    assert {"glob", "hive_partitioning"} <= given, f"{path} line {node.lineno}"
                if node.func.attr in ("read_csv", "scan_csv"):
                    assert "glob" in given, f"{path} line {node.lineno}"

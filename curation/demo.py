"""The main job on the demo world, and how well it did: the injected faults are known, so precision and recall are too.

The scripted generator does not see pixels; it writes traces from the scene record and breaks some of them on purpose.
The pipeline is not told which.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from curation.config import load_config
from curation.demo_labels import write_demo_labels
from curation.demo_outside import write_outside
from curation.engines.scripted import ScriptedConfig, injected_fault
from curation.run import run
from curation.run_config import RunConfig
from curation.sources import ShapesConfig
from curation.tables import print_funnel


@dataclass(frozen=True, slots=True)
class FaultCount:
    """What became of the rows with one injected fault; fault None = the good ones, where caught means lost."""

    fault: str | None
    num_injected: int
    num_caught: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def share_caught(self) -> float:
        """In [0, 1]."""
        return self.num_caught / self.num_injected


def demo(run_dir: Path, *, num_questions: int, seed: int, console: Console, out: Console) -> list[FaultCount]:
    """Run the demo config, print the funnel and the injected faults that were caught and missed.

    Leaves labels with known answers in `labels.parquet`, for `python -m curation calibrate`, and `outside/`, files to
    try the other commands on (demo_outside.py).
    """
    config = demo_config(run_dir, num_questions=num_questions, seed=seed)
    report = asyncio.run(run(config, console=console))
    print_funnel(report, out)
    counts = count_faults(run_dir, config)
    _print_faults(counts, out)
    assert isinstance(config.generate.engine, ScriptedConfig)
    labels = write_demo_labels(run_dir, config.generate.engine)
    write_outside(run_dir)
    out.print(f"labels   {labels}  (the scene record stands in for people)", highlight=False, soft_wrap=True)
    out.print(
        f"outside  {run_dir / 'outside'}  (a benchmark, a release, media archives: to try the other commands on)",
        highlight=False,
        soft_wrap=True,
    )
    return counts


def demo_config(run_dir: Path, *, num_questions: int, seed: int) -> RunConfig:
    """configs/demo.yaml, moved to another run directory, size and seed."""
    world = run_dir / "world"
    with as_file(files("curation.configs").joinpath("demo.yaml")) as path:
        return load_config(
            RunConfig,
            path,
            [
                f"run_dir={run_dir}",
                f"source.root={world}",
                f"source.num_questions={num_questions}",
                f"source.seed={seed}",
                f"generate.engine.scenes={world / 'scenes.jsonl'}",
                f"generate.engine.seed={seed}",
                f"tokenizer={world / 'tokenizer.json'}",
            ],
        )


def count_faults(run_dir: Path, config: RunConfig) -> list[FaultCount]:
    """Compare every row with the fault that was injected: into its media file, or else into its completion."""
    engine, source = config.generate.engine, config.source
    assert isinstance(engine, ScriptedConfig)
    assert isinstance(source, ShapesConfig)
    broken_media = json.loads((source.root / "faults.json").read_text(encoding="utf-8"))
    injected: Counter[str | None] = Counter()
    reasons: dict[str | None, Counter[str]] = {}
    for row in _rows(run_dir / "dataset"):
        fault: str | None
        if row["path"] in broken_media:
            fault = f"media file: {broken_media[row['path']]}"
        else:
            written = injected_fault(engine.seed, row["id"], row["attempt"], engine.fault_rates)
            fault = None if written is None else written.value
        injected[fault] += 1
        if row["rejected_by"] is not None:
            reasons.setdefault(fault, Counter())[row["rejected_by"]] += 1
    ordered = sorted(injected, key=lambda fault: (fault is not None, fault or ""))
    return [
        FaultCount(fault, injected[fault], sum(found.values()), tuple(found.most_common()))
        for fault in ordered
        for found in [reasons.get(fault, Counter())]
    ]


def _rows(dataset: Path) -> Iterator[dict[str, Any]]:
    columns = ["id", "path", "attempt"]
    for path in sorted(dataset.glob("data/*.parquet")):
        for row in pq.read_table(path, columns=columns).to_pylist():
            yield row | {"rejected_by": None}
    for path in sorted(dataset.glob("rejected/*.parquet")):
        yield from pq.read_table(path, columns=[*columns, "rejected_by"]).to_pylist()


def _print_faults(counts: list[FaultCount], out: Console) -> None:
    table = Table(
        title="Injected faults (known to the demo, not to the pipeline)",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("rows with", no_wrap=True)
    for column in ("written", "caught", "missed"):
        table.add_column(column, justify="right")
    table.add_column("caught by")
    for count in counts:
        reasons = ", ".join(f"{reason} {number}" for reason, number in count.reasons)
        num_left = count.num_injected - count.num_caught
        if count.fault is None:
            lost = f"lost {count.num_caught}: {reasons}" if count.num_caught else "lost 0"
            table.add_row("no fault", f"{count.num_injected}", "-", "-", f"kept {num_left}, {lost}")
        else:
            name = count.fault.replace("_", " ")
            table.add_row(name, f"{count.num_injected}", f"{count.num_caught}", f"{num_left}", reasons)
    out.print(table)

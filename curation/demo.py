"""The main job on the demo world, and how well it did: the injected faults are known, so precision and recall are too.

The scripted generator does not see pixels; it writes traces from the scene record and breaks some of them on purpose.
The pipeline is not told which.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from curation.config import load_config
from curation.engines.scripted import ScriptedConfig, injected_fault
from curation.run import run
from curation.run_config import RunConfig
from curation.tables import print_funnel


@dataclass(frozen=True, slots=True)
class FaultCount:
    """What became of the traces with one injected fault; fault None = the good traces, where caught means lost."""

    fault: str | None
    num_injected: int
    num_caught: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def share_caught(self) -> float:
        """In [0, 1]."""
        return self.num_caught / self.num_injected


def demo(run_dir: Path, *, num_questions: int, seed: int, console: Console, out: Console) -> list[FaultCount]:
    """Run the demo config, print the funnel and the injected faults that were caught and missed."""
    config = demo_config(run_dir, num_questions=num_questions, seed=seed)
    report = asyncio.run(run(config, console=console))
    print_funnel(report, out)
    counts = count_faults(run_dir / "dataset", config)
    _print_faults(counts, out)
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


def count_faults(dataset: Path, config: RunConfig) -> list[FaultCount]:
    """Compare every row that has a completion with the fault that was injected into it."""
    engine = config.generate.engine
    assert isinstance(engine, ScriptedConfig)
    injected: Counter[str | None] = Counter()
    reasons: dict[str | None, Counter[str]] = {}
    for row in _judged_rows(dataset):
        fault = injected_fault(engine.seed, row["id"], row["attempt"], engine.fault_rates)
        injected[fault] += 1
        if row["rejected_by"] is not None:
            reasons.setdefault(fault, Counter())[row["rejected_by"]] += 1
    ordered = sorted(injected, key=lambda fault: (fault is not None, fault or ""))
    return [
        FaultCount(fault, injected[fault], sum(found.values()), tuple(found.most_common()))
        for fault in ordered
        for found in [reasons.get(fault, Counter())]
    ]


def _judged_rows(dataset: Path) -> Iterator[dict[str, Any]]:
    """Rows that have a completion; source and media rejects have none."""
    for path in sorted(dataset.glob("data/*.parquet")):
        for row in pq.read_table(path, columns=["id", "attempt"]).to_pylist():
            yield row | {"rejected_by": None}
    for path in sorted(dataset.glob("rejected/*.parquet")):
        for row in pq.read_table(path, columns=["id", "attempt", "rejected_by"]).to_pylist():
            if row["attempt"] is not None:
                yield row


def _print_faults(counts: list[FaultCount], out: Console) -> None:
    table = Table(title="Injected faults (known to the demo, not to the pipeline)", title_justify="left")
    table.add_column("trace")
    for column in ("written", "caught", "missed"):
        table.add_column(column, justify="right")
    table.add_column("caught by")
    for count in counts:
        reasons = ", ".join(f"{reason} {number}" for reason, number in count.reasons)
        num_left = count.num_injected - count.num_caught
        if count.fault is None:
            table.add_row(
                "good", f"{count.num_injected}", "-", "-", f"kept {num_left}, lost {count.num_caught} {reasons}"
            )
        else:
            name = count.fault.replace("_", " ")
            table.add_row(name, f"{count.num_injected}", f"{count.num_caught}", f"{num_left}", reasons)
    out.print(table)

"""What publishing a folder would change on the hub, file by file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from curation.hub import RemoteFile, file_sha256
from curation.publish.folder import is_ours

Action = Literal["add", "change", "delete", "keep"]


@dataclass(frozen=True, slots=True)
class Step:
    """One file. upload_bytes: what has to travel; nothing for content that the hub has under another name."""

    path: str
    action: Action
    num_bytes: int
    upload_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Every file of the version and every one that goes."""

    steps: tuple[Step, ...]

    @property
    def is_done(self) -> bool:
        """The hub has exactly this folder already."""
        return all(step.action == "keep" for step in self.steps)

    def paths(self, *actions: Action) -> list[str]:
        """The files with one of these actions."""
        return [step.path for step in self.steps if step.action in actions]


def make_plan(local: Mapping[str, Path], remote: Mapping[str, RemoteFile], known: Iterable[RemoteFile] = ()) -> Plan:
    """Compare a folder with a revision; `known` are further files whose content the hub has."""
    stored = {file.sha256 for file in (*remote.values(), *known)}
    steps = []
    for path, file in sorted(local.items()):
        num_bytes = file.stat().st_size
        there = remote.get(path)
        if there is not None and there.is_same(file):
            steps.append(Step(path, "keep", num_bytes, 0))
            continue
        is_stored = path.endswith(".parquet") and file_sha256(file) in stored
        steps.append(Step(path, "add" if there is None else "change", num_bytes, 0 if is_stored else num_bytes))
    gone = sorted(path for path in remote if is_ours(path) and path not in local)
    steps += [Step(path, "delete", remote[path].size_bytes, 0) for path in gone]
    return Plan(tuple(steps))


def print_plan(plan: Plan, console: Console) -> None:
    """Every file that changes, and what stays in one line."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("file", "left"), ("", "left"), ("size", "right"), ("upload", "right")):
        table.add_column(name, justify=justify, no_wrap=name != "file", overflow="fold")  # type: ignore[arg-type]
    for step in plan.steps:
        if step.action != "keep":
            upload = shown_bytes(step.upload_bytes) if step.upload_bytes else "-"
            table.add_row(step.path, step.action, shown_bytes(step.num_bytes), upload)
    num_kept = len(plan.paths("keep"))
    if len(plan.steps) > num_kept:
        console.print(table)
    total = sum(step.upload_bytes for step in plan.steps)
    console.print(f"{num_kept} files stay as they are; {shown_bytes(total)} to upload", highlight=False)


def shown_bytes(num_bytes: int) -> str:
    """`12.3 MB`."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError

"""How far a stage is: a bar with the numbers that matter on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import PrinterCallback, TrainerCallback

_LOG_EVERY_S: Final = 30.0
# The name under which it is logged -> what is shown.
_SHOWN: Final = {
    "perception/reward": "P",
    "reasoning/reward": "R",
    "perception/accuracy": "sufficient",
    "reasoning/accuracy": "accuracy",
    "kl": "KL",
}


class UpdateProgress(TrainerCallback):
    """In the place of transformers' own, which print every number of every update. Silent beside the main process."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._numbers = ""
        self._began_s = self._said_s = 0.0

    @classmethod
    def install(cls, trainer: Any, stage: str) -> None:
        """trainer: made with disable_tqdm."""
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(cls(stage))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show where it begins, which after a kill is not at 0."""
        self._began_s = self._said_s = time.monotonic()
        if state.is_world_process_zero and self._console.is_terminal:
            columns = [TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
            numbers = TextColumn("{task.fields[numbers]}")
            self._bar = Progress(*columns, TimeRemainingColumn(), numbers, console=self._console)
            self._bar.start()
            self._task = self._bar.add_task(self._stage, total=state.max_steps, completed=state.global_step, numbers="")

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Remember the numbers."""
        known = {shown: (logs or {}).get(name) for name, shown in _SHOWN.items()}
        if known["R"] is None and known["P"] is None:
            known = {"loss": (logs or {}).get("loss")}
        if any(value is not None for value in known.values()):
            self._numbers = "  ".join(
                f"{name} {float(value):.3g}" for name, value in known.items() if value is not None
            )
        if self._bar is not None:
            self._bar.update(self._task, numbers=self._numbers)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One update is done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)
        elif state.is_world_process_zero and time.monotonic() - self._said_s > _LOG_EVERY_S:
            self._said_s = time.monotonic()
            self._say(state, " ...")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last word."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif state.is_world_process_zero:
            self._say(state, "")

    def _say(self, state: Any, end: str) -> None:
        spent_s = time.monotonic() - self._began_s
        line = f"{self._stage:<10} {state.global_step}/{state.max_steps}  {spent_s:.0f} s  {self._numbers}{end}"
        self._console.print(line, highlight=False, soft_wrap=True)

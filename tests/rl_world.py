"""A small world for the RL tests: a tiny Qwen2.5-VL, clips of different length and a picture, scripted rollouts.

Scripted completions are keyed by the number of the generation and the place among all processes' rollouts, so that a
run on two processes gets what the same run on one does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
from trl import GRPOConfig

from curation.judge import Verdict
from curation.prompts import Prompt
from curation.schema import Question
from curation.video import VideoConfig
from tests.clips import write_picture, write_video
from tests.tiny_qwen import save_tiny_qwen
from training.collate import Collator
from training.config import ModelConfig
from training.judging import JudgeAsk, Judged
from training.models import Processor, load_model, load_processor

PROMPT = Prompt("{{question}} {{answer_form}}", "0" * 64)
GOOD = "<observation>{}</observation> <think>so it is {}</think><answer>{}</answer>"
# One group of four and another: good, bad, malformed, cut off, empty, out of order.
SCRIPT = (
    GOOD.format("a red circle moves left", "red", "B"),
    GOOD.format("a blue square", "blue, as the square is", "A"),
    "<observation>a red circle</observation> and then nothing",
    "no tags at all",
    "<think>first</think><observation>then</observation><answer>B</answer>",
    GOOD.format("a green ball and a red one move", "green", "B"),
    "<observation>a</observation><observation>b</observation> <think>c</think><answer>B</answer>",
    "<answer>B</answer>",
)


def build_world(folder: Path) -> Path:
    """Model and media. Clips of 4, 6 and 2 frames at different rates, and a picture; all sizes differ."""
    save_tiny_qwen(folder / "model")
    write_video(folder / "long.mp4", num_frames=24, size=(112, 84), fps=12)
    write_video(folder / "short.mp4", num_frames=3, size=(56, 84), fps=1)
    write_video(folder / "slow.mp4", num_frames=8, size=(84, 56), fps=2)
    write_picture(folder / "still.png", size=(84, 112))
    return folder


def rows_of(folder: Path, media: Sequence[str] = ("long.mp4", "still.png", "short.mp4", "slow.mp4"), copies: int = 1):
    rows = []
    for copy in range(copies):
        for number, name in enumerate(media):
            question = Question(
                id=f"q{copy}-{number}",
                problem_id=number,
                problem=f"Which colour {'moves ' * number}?",
                options=("A. blue", "B. red"),
                data_type="image" if name.endswith("png") else "video",
                problem_type="multiple choice",
                solution="<answer>B</answer>",
                path=name,
                data_source=None,
                license=None,
            )
            rows.append({**question.as_row(), "media_file": str(folder / name), "content_sha256": None})
    return datasets.Dataset.from_list(rows)


def load_world(folder: Path) -> tuple[Any, Processor]:
    config = ModelConfig(name=str(folder / "model"), dtype="float32")
    return load_model(config), load_processor(config)


def collator_of(processor: Processor) -> Collator:
    video = VideoConfig(num_frames=6, max_pixels=112 * 112, min_pixels=0)
    return Collator(processor, video, PROMPT, with_target=False, padding_side="left")


def plain_args(folder: Path, **changes: Any) -> GRPOConfig:
    """Plain GRPO on one CPU thread: 4 rollouts a prompt, two prompts an update."""
    fields = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "max_steps": 4,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 24,
        "loss_type": "grpo",
        "beta": 0.04,
        "use_bias_correction_kl": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    return GRPOConfig(**(fields | changes))


def script_generation(trainer: Any, texts: Sequence[str] = SCRIPT) -> None:
    """Let `trainer` sample these texts, another order each generation, each with its end of turn."""
    tokenizer = trainer._tokenizer
    completions = [[*tokenizer.encode(text), tokenizer.eos_token_id] for text in texts]
    seen = [0]

    def generate(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        first = trainer.accelerator.process_index * len(prompt_ids) + 3 * seen[0]
        seen[0] += 1
        return [list(completions[(first + place) % len(completions)]) for place in range(len(prompt_ids))], None

    trainer._generate_single_turn = generate


class ScriptedJudge:
    """Sufficient when the observation says so; `null` masks. `asks` are all it was asked, in order."""

    def __init__(self, sufficient: Callable[[str], bool | None] = lambda text: bool(re.search("red", text))) -> None:
        self.sufficient = sufficient
        self.asks: list[JudgeAsk] = []
        self.events: list[str] = []

    def start(self, asks: Sequence[JudgeAsk]) -> ScriptedJudge._Pending:
        self.asks += asks
        self.events.append("start")
        return self._Pending(self, list(asks))

    class _Pending:
        def __init__(self, judge: ScriptedJudge, asks: list[JudgeAsk]) -> None:
            self.judge, self.asks = judge, asks

        def wait(self) -> list[Judged]:
            self.judge.events.append("wait")
            found = [self.judge.sufficient(ask.observation) for ask in self.asks]
            return [
                Judged(None, "time-out", False, None, 0.0)
                if sufficient is None
                else Judged(Verdict(sufficient, "because"), None, False, 0.5, 0.01)
                for sufficient in found
            ]


def logged(trainer: Any, name: str) -> list[float]:
    """The values of one metric over the steps that have it."""
    return [entry[name] for entry in trainer.state.log_history if entry.get(name) is not None]

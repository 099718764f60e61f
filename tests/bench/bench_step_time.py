"""What PA-GRPO adds to an update of stock GRPO: the time of a step with the same model, prompts and rollouts.

    python tests/bench/bench_step_time.py [--updates 120] [--rollouts 8] [--words 300]

Text prompts, because stock TRL knows no videos, and scripted completions of the length of real traces, because samples
would differ. Both trainers live in one process and take turns, update by update, so that another load of the machine
hits both: what is compared is pairs of neighbours, half of them with the other trainer first. PA-GRPO finds segments,
scores both processes, asks a judge that answers at once, lays its advantages on tokens and logs its metrics; stock GRPO
scores the answers with the same metric.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from curation.tasks import score_answer
from tests.rl_world import GOOD, ScriptedJudge, load_world, plain_args, rows_of, script_generation
from tests.tiny_qwen import save_tiny_qwen
from training.process_rollouts import ProcessGRPOTrainer
from training.rewards import RewardConfig

LIMIT: Final = 1.03
# Whether stock is built first and steps first; each round has new trainers, which lie elsewhere in memory.
ORDERS: Final = (True, False, False, True)
NUM_WARM: Final = 3  # updates that allocate; not counted
WORDS: Final = ("a", "red", "circle", "moves", "left", "and", "the", "blue", "square", "so", "it", "is", "notice")


Seconds = list[tuple[float, float]]


class Turns(TrainerCallback):
    """An update begins when the other trainer's has ended, its log written. seconds: by the clock and of CPU, each."""

    def __init__(self, mine: threading.Semaphore, other: threading.Semaphore) -> None:
        self.mine, self.other = mine, other
        self.begin = (0.0, 0.0)
        self.seconds: list[tuple[float, float]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.mine.acquire()
        self.begin = time.perf_counter(), time.thread_time()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self.seconds.append((time.perf_counter() - self.begin[0], time.thread_time() - self.begin[1]))
            self.other.release()


def main(argv: Sequence[str] | None = None) -> int:
    """0 when the median ratio is within the limit, 1 when it is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=120, help="pairs of updates, half in each order (default: 120)")
    parser.add_argument("--rollouts", type=int, default=8, help="rollouts an update, all of one prompt (default: 8)")
    parser.add_argument("--words", type=int, default=300, help="words of a completion, about (default: 300)")
    args = parser.parse_args(argv)

    warnings.simplefilter("ignore")
    num_updates = args.updates // len(ORDERS) + NUM_WARM
    rounds = []
    for is_stock_first in ORDERS:
        with tempfile.TemporaryDirectory() as folder:
            num_tokens, stock, ours = measure(Path(folder), num_updates, args.rollouts, args.words, is_stock_first)
        rounds.append((stock, ours))
    print(f"{len(ORDERS) * len(ours)} pairs of updates, {args.rollouts} rollouts of {num_tokens:.0f} tokens each")
    found = []
    for place, name in enumerate(("by the clock", "of CPU")):
        ratios = [[mine[place] / theirs[place] for theirs, mine in zip(*pair, strict=True)] for pair in rounds]
        stock_s, ours_s = (
            statistics.median(pair[place] for run in runs for pair in run) for runs in zip(*rounds, strict=True)
        )
        found.append(balanced(ratios))
        low, high = interval(ratios, random.Random(0))
        print(
            f"seconds {name:12}  stock {stock_s:.4f}  PA-GRPO {ours_s:.4f}  ratio {found[-1]:.4f} "
            f"(95 % interval {low:.4f} to {high:.4f})"
        )
    return 0 if found[0] <= LIMIT else 1


def measure(
    folder: Path, updates: int, rollouts: int, words: int, is_stock_first: bool
) -> tuple[float, Seconds, Seconds]:
    """Mean tokens of a completion, and the seconds of each update of both trainers."""
    save_tiny_qwen(folder / "model")
    texts = completions(words, rollouts, random.Random(0))
    first, second = threading.Semaphore(1), threading.Semaphore(0)
    kinds = (GRPOTrainer, ProcessGRPOTrainer) if is_stock_first else (ProcessGRPOTrainer, GRPOTrainer)
    turns = dict(zip(kinds, (Turns(first, second), Turns(second, first)), strict=True))
    trainers = {kind: build(kind, folder, updates, texts, turns[kind]) for kind in kinds}
    threads = [threading.Thread(target=train, args=(trainer,), daemon=True) for trainer in trainers.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    num_tokens = trainers[ProcessGRPOTrainer].state.log_history[0]["tokens/completion"]
    return num_tokens, turns[GRPOTrainer].seconds[NUM_WARM:], turns[ProcessGRPOTrainer].seconds[NUM_WARM:]


def train(trainer: Any) -> None:
    torch.set_num_threads(1)  # counts for the thread that says it
    trainer.train()


def build(kind: type[GRPOTrainer], folder: Path, updates: int, texts: Sequence[str], callback: Turns) -> Any:
    model, processor = load_world(folder)
    rows = rows_of(folder, ["clip.mp4"], copies=updates)
    rows = rows.add_column("prompt", [f"{problem} Options: A. blue B. red" for problem in rows["problem"]])
    options: dict[str, Any] = {"reward_funcs": accuracy}
    if kind is not GRPOTrainer:
        options = {"rewards": RewardConfig(), "judge": ScriptedJudge()}
    args = plain_args(
        folder / kind.__name__,
        max_steps=updates,
        per_device_train_batch_size=len(texts),
        num_generations=len(texts),
        max_completion_length=2048,
    )
    trainer = kind(
        model=model,
        args=args,
        train_dataset=rows,
        processing_class=processor.tokenizer,
        callbacks=[callback],
        **options,
    )
    trainer.remove_callback(PrinterCallback)
    script_generation(trainer, texts)
    return trainer


def accuracy(completions: Sequence[str], **columns: Any) -> list[float]:
    """The metric of the answer, by which both trainers pay."""
    questions = zip(columns["problem_type"], columns["solution"], columns["options"], strict=True)
    return [
        score_answer(kind, text.rpartition("<answer>")[2].removesuffix("</answer>"), solution, options=options)
        for text, (kind, solution, options) in zip(completions, questions, strict=True)
    ]


def completions(words: int, count: int, chance: random.Random) -> list[str]:
    """Traces with a third of their words in the observation, as the length windows of the paper have them."""

    def some(number: int) -> str:
        return " ".join(chance.choices(WORDS, k=number))

    return [GOOD.format(some(words // 3), some(2 * words // 3), chance.choice("AB")) for _ in range(count)]


def balanced(rounds: Sequence[Sequence[float]]) -> float:
    """The mean of the rounds' medians: who was built first is up to 5 % slower, stock against stock too."""
    return statistics.geometric_mean(statistics.median(ratios) for ratios in rounds)


def interval(rounds: Sequence[Sequence[float]], chance: random.Random) -> tuple[float, float]:
    """95 %, by resampling the pairs of each round."""
    found = sorted(balanced([chance.choices(ratios, k=len(ratios)) for ratios in rounds]) for _ in range(2000))
    return found[50], found[1949]


if __name__ == "__main__":
    sys.exit(main())

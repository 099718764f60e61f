"""What a slow judge adds to an update: PA-GRPO with a judge of 2 s latency against one that answers in no time.

    python tests/bench/bench_judge_overlap.py [--num-rollouts 32] [--updates 6]

One run of the real trainer on a tiny Qwen2.5-VL with clips and a picture; completions are scripted, each observation is
new, so that nothing is cached. Updates alternate between the two judges: the real RewardJudge over HTTP, whose server
is a process of its own, and one that says yes at once. The reference's log-prob pass is repeated until that phase has
lasted its 2 s. What the judge's thread computes meanwhile is time that the passes did not have, so its CPU seconds are
added to the slow judge's updates. Accepted: at most 10 % more. On a machine that is busy with other work the medians
tell of that work; the best update of each kind is then the better witness.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BOUND = 0.10
TEXT = (
    "<observation>rollout {number}: a red circle moves left</observation> <think>so it is red</think><answer>B</answer>"
)


@dataclass(frozen=True)
class Update:
    """Seconds of one update: by the clock, and of CPU in the judge's thread."""

    wall_s: float
    judge_cpu_s: float


def say_yes(_: Mapping[str, Any]) -> str:
    """What the judge's server replies."""
    return json.dumps({"explanation": "it is named", "judgement": "Yes"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-rollouts", type=int, default=32, help="of an update, in groups of 8; each is judged")
    parser.add_argument("--updates", type=int, default=6, help="with each of the two judges, after two that warm up")
    parser.add_argument("--latency-s", type=float, default=2.0)
    parser.add_argument("--log-probs-s", type=float, default=2.0)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "tests.loopback", "--latency-s", str(arguments.latency_s), "--no-record"]
    server = subprocess.Popen(
        [*command, "--reply", "tests.bench.bench_judge_overlap:say_yes"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), url, arguments)
    finally:
        server.terminate()
        server.wait(10)


def measure(folder: Path, url: str, arguments: argparse.Namespace) -> None:
    """Train, and print the seconds of both kinds of update."""
    import torch
    from transformers import PrinterCallback

    from curation.judge import Verdict
    from tests.rl_world import build_world, collator_of, load_world, plain_args, rows_of
    from training.config import JudgeConfig
    from training.judging import JudgeAsk, Judged, ObservationJudge, PendingVerdicts, RewardJudge
    from training.pa_grpo import PAGRPOTrainer
    from training.rewards import RewardConfig

    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)

    class Instant:
        """Says yes; `wait` has nothing to wait for."""

        def start(self, asks: Sequence[JudgeAsk]) -> PendingVerdicts:
            self.judged = [Judged(Verdict(True, "it is named"), None, False, 0.0, 0.0) for _ in asks]
            return self

        def wait(self) -> list[Judged]:
            return self.judged

    class Alternating:
        """Slow at even updates."""

        def __init__(self, slow: ObservationJudge) -> None:
            self.judges = (slow, Instant())
            self.num_started = 0

        def start(self, asks: Sequence[JudgeAsk]) -> PendingVerdicts:
            assert len(asks) == arguments.num_rollouts
            self.num_started += 1
            return self.judges[(self.num_started - 1) % 2].start(asks)

    class Timed(PAGRPOTrainer):
        """Samples what it is told, and spends its seconds on the log-probs of the reference."""

        num_sampled = 0

        def _generate_single_turn(self, prompt_ids: Any, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
            first, self.num_sampled = self.num_sampled, self.num_sampled + len(prompt_ids)
            texts = [TEXT.format(number=first + place) for place in range(len(prompt_ids))]
            return [[*self._tokenizer.encode(text), self._tokenizer.eos_token_id] for text in texts], None

        def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
            began_s = time.perf_counter()
            scored = super()._get_per_token_logps_and_entropies(*args, **options)
            while not torch.is_grad_enabled() and time.perf_counter() - began_s < arguments.log_probs_s:
                super()._get_per_token_logps_and_entropies(*args, **options)
            return scored

        def training_step(self, *args: Any, **options: Any) -> Any:
            began_s, cpu_s = time.perf_counter(), judge_cpu_s()
            loss = super().training_step(*args, **options)
            updates.append(Update(time.perf_counter() - began_s, judge_cpu_s() - cpu_s))
            return loss

    def judge_cpu_s() -> float:
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "judge")
        assert thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))

    updates: list[Update] = []
    build_world(folder)
    model, processor = load_world(folder)
    num_updates = 2 * (arguments.updates + 1)
    args = plain_args(
        folder / "out",
        per_device_train_batch_size=arguments.num_rollouts,
        num_generations=8,
        max_steps=num_updates,
    )
    engine = {"kind": "openai", "base_url": f"{url}/v1", "model": "loopback-model", "send": "none"}
    with RewardJudge(JudgeConfig.model_validate({"engine": engine}), folder / "judge", 0) as judge:
        trainer = Timed(
            model=model,
            args=args,
            rows=rows_of(folder, copies=-(-arguments.num_rollouts // 8)),
            processor=processor,
            collator=collator_of(processor),
            rewards=RewardConfig(perception_tokens=(1, 99), reasoning_tokens=(1, 99)),
            judge=Alternating(judge),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    log = [entry for entry in trainer.state.log_history if "time/judge_wait_s" in entry]
    assert len(log) == len(updates) == num_updates
    assert all(entry["judge/null_share"] == entry["judge/cached_share"] == 0 for entry in log)
    report(log, updates, arguments)


def report(log: Sequence[Mapping[str, float]], updates: Sequence[Update], arguments: argparse.Namespace) -> None:
    """What an update costs with either judge, and the difference."""
    print(
        f"{arguments.num_rollouts} rollouts an update, all judged; judge {arguments.latency_s:g} s; log-probs "
        f"{arguments.log_probs_s:g} s; medians of {arguments.updates} updates"
    )
    totals = []
    for name, first in (("judge over HTTP", 2), ("instant judge", 3)):
        mine, told = updates[first::2], log[first::2]
        totals.append([update.wall_s + update.judge_cpu_s for update in mine])
        print(
            f"{name:<16} {statistics.median(update.wall_s for update in mine):6.3f} s an update   log-probs "
            f"{statistics.median(entry['time/log_probs_s'] for entry in told):.3f} s   waiting for the judge "
            f"{statistics.median(entry['time/judge_wait_s'] for entry in told):.3f} s   CPU of the judge's thread "
            f"{statistics.median(update.judge_cpu_s for update in mine):.3f} s"
        )
    slow, instant = totals
    for name, choose in (("medians", statistics.median), ("best of each", min)):
        added = choose(slow) / choose(instant) - 1
        print(
            f"the slow judge adds {added:+6.1%} by the {name} ({'within' if added <= BOUND else 'ABOVE'} {BOUND:.0%})"
        )


if __name__ == "__main__":
    main()

"""Run directories of trainings that never took place: the files that the report reads, with numbers like real ones."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from training.data_facts import DataFacts, write_data_facts
from training.evaluation_facts import Evaluation, KindScore, write_evaluation

COMMIT: Final = "ab" * 20
CONFIG: Final[Mapping[str, Any]] = {
    "run_dir": "runs/made-up",
    "variant": "full",
    "dataset": {"name": "org/VideoP2R-CoT-162K", "revision": "v1.0.0", "media_root": "media"},
    "model": {"name": "Qwen/Qwen2.5-VL-7B-Instruct"},
    "rl": {"max_updates": 1000},
    "evaluation": {"held_out_share": 0.01},
}


def write_config(run_dir: Path, **changes: Any) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))


def write_metrics(folder: Path, lines: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_stage(folder: Path, **changes: Any) -> None:
    facts = {
        "updates": 1000,
        "seconds": 64_812.0,
        "num_rows": 56_000,
        "num_tokens": 151_000_000,
        "seconds_by_phase": {"generate": 30_000.0, "log_probs": 9_000.0, "judge_wait": 3_100.0, "train": 22_000.0},
        "peak_memory_bytes": 71 * 2**30,
        "hardware": "8 x NVIDIA A100-SXM4-80GB",
    }
    (folder / "stage.json").write_text(json.dumps(facts | changes))


def sft_lines(num_updates: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {
            "step": step,
            "epoch": step / num_updates,
            "loss": 0.55 + 0.9 * math.exp(-step / (0.12 * num_updates)) + draw.gauss(0, 0.05),
            "mean_token_accuracy": 0.83 - 0.2 * math.exp(-step / (0.12 * num_updates)) + draw.gauss(0, 0.01),
            "grad_norm": 1.4 + math.exp(-step / 60) * 6 + abs(draw.gauss(0, 0.4)),
            "learning_rate": 1e-6 * 0.5 * (1 + math.cos(math.pi * step / num_updates)),
            "entropy": 0.6 + draw.gauss(0, 0.02),
            "num_tokens": 16 * 2900 * step,
        }
        for step in range(1, num_updates + 1)
    ]


def rl_lines(num_updates: int, most: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    lines = []
    for step in range(1, num_updates + 1):
        gain = 1 - math.exp(-step / (0.4 * most))
        line: dict[str, Any] = {"step": step, "epoch": step / most}
        accuracy = {"perception": 0.58 + 0.17 * gain, "reasoning": 0.52 + 0.13 * gain}
        tokens = {"perception": 170 + 60 * gain, "reasoning": 260 + 120 * gain}
        for process, mean in accuracy.items():
            right = min(1.0, max(0.0, mean + draw.gauss(0, 0.07)))
            form = min(1.0, 0.95 + 0.045 * gain + draw.gauss(0, 0.01))
            bonus = 0.2 * right * min(1.0, 0.4 + 0.5 * gain + draw.gauss(0, 0.05))
            line |= {
                f"{process}/accuracy": right,
                f"{process}/format": form,
                f"{process}/length": bonus,
                f"{process}/reward": right + form + bonus,
                f"{process}/tokens": tokens[process] + draw.gauss(0, 12),
                f"{process}/advantage_std": 0.78 - 0.2 * gain + draw.gauss(0, 0.05),
                f"{process}/masked": max(0.0, draw.gauss(0.012, 0.012)) if process == "perception" else 0.0,
                f"{process}/clip_ratio": 0.0,
                f"{process}/repetition": abs(0.02 * gain + draw.gauss(0, 0.01)),
            }
        line |= {
            "collapse/perception": min(1.0, max(0.0, 0.34 + 0.2 * gain + draw.gauss(0, 0.12))),
            "collapse/reasoning": min(1.0, max(0.0, 0.28 + 0.22 * gain + draw.gauss(0, 0.12))),
            "collapse/grpo": min(1.0, max(0.0, 0.12 + 0.15 * gain + draw.gauss(0, 0.09))),
            "perception/leaks": max(0.0, 0.03 * gain + draw.gauss(0, 0.01)),
            "kl": 0.0004 + 0.03 * gain + abs(draw.gauss(0, 0.004)),
            "loss": 0.0012 * gain + draw.gauss(0, 0.02),
            "entropy": 0.7 - 0.25 * gain + draw.gauss(0, 0.03),
            "grad_norm": 0.9 + abs(draw.gauss(0, 0.25)),
            "learning_rate": 1e-6 * 0.5 * (1 + math.cos(math.pi * step / most)),
            "judge/latency_s": 1.6 + abs(draw.gauss(0, 0.5)) + (9 if step % 211 == 0 else 0),
            "judge/null_share": max(0.0, draw.gauss(0.012, 0.012)),
            "judge/cached_share": max(0.0, draw.gauss(0.03, 0.02)),
            "judge/cost_usd": 0.0059 + draw.gauss(0, 0.0006),
            "time/generate_s": 29 + 8 * gain + draw.gauss(0, 2),
            "time/log_probs_s": 8.8 + draw.gauss(0, 0.4),
            "time/judge_wait_s": abs(draw.gauss(0.2, 0.4)) + (6 if step % 211 == 0 else 0),
            "tokens/completion": 460 + 170 * gain + draw.gauss(0, 25),
            "completions/clipped_ratio": max(0.0, draw.gauss(0.02, 0.015)),
            "num_tokens": 56 * 2700 * step,
        }
        lines.append(line)
    return lines


def evaluation(stage: str, accuracy: float, sufficient: float, *, num_questions: int = 1000) -> Evaluation:
    kinds = {"multiple choice": (0.7, 0.31, 0.02), "numerical": (0.25, 0.22, -0.1), "free-form": (0.05, 0.04, -0.2)}
    counts = {kind: round(num_questions * share) for kind, (share, _, _) in kinds.items()}
    scores = tuple(
        KindScore(
            kind=kind,
            num_questions=counts[kind],
            sum_score=max(0.0, accuracy + shift) * counts[kind],
            majority_score=majority,
        )
        for kind, (_, majority, shift) in kinds.items()
    )
    num_judged = round(0.97 * num_questions)
    return Evaluation(
        model=f"runs/made-up/{stage}/model",
        stage=stage,
        num_questions=sum(counts.values()),
        num_well_formed=round(0.985 * num_questions),
        sum_score=sum(score.sum_score for score in scores),
        num_judged=num_judged,
        num_sufficient=round(sufficient * num_judged),
        by_kind=scores,
        majority_score=sum(score.majority_score * score.num_questions for score in scores) / num_questions,
        seconds=812.4,
    )


def write_run(run_dir: Path, *, num_sft: int = 600, num_rl: int = 1000) -> Path:
    """A finished run of `full`; with num_rl below 1,000 the RL stage is in progress, with 0 it has not begun."""
    write_config(run_dir)
    data = {"name": "org/VideoP2R-CoT-162K", "revision": "v1.0.0", "commit": COMMIT}
    write_metrics(run_dir / "sft", sft_lines(num_sft))
    write_stage(run_dir / "sft", updates=num_sft, seconds=35_940.0, num_rows=160_182, seconds_by_phase={})
    left_out = {"missing": 112, "corrupt": 3}
    used = DataFacts(
        **data, config="cot", num_published=162_062, num_used=160_182, num_held_out=1765, left_out=left_out
    )
    write_data_facts(run_dir / "sft", used)
    write_evaluation(run_dir / "evaluation" / "sft.json", evaluation("sft", 0.556, 0.61))
    if num_rl:
        write_metrics(run_dir / "rl", rl_lines(num_rl))
        used = DataFacts(**data, config="rl", num_published=260_000, num_used=257_300, num_held_out=2700, left_out={})
        write_data_facts(run_dir / "rl", used)
    if num_rl >= 1000:
        write_stage(run_dir / "rl", updates=num_rl)
        write_evaluation(run_dir / "evaluation" / "rl.json", evaluation("rl", 0.587, 0.684))
        (run_dir / "rollouts").mkdir()
        for step in (1, 2, 3):
            (run_dir / "rollouts" / f"rollouts-{step:06d}.parquet").touch()
    return run_dir

"""What the report draws: one panel a question about the training, each with its metrics, unit and meaning.

Metrics are named as the trainers log them (pa_grpo.py; loss, kl, entropy and the like are TRL's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.config import TrainConfig
from training.variants import Stage

# As the viewer colours the segments of a trace (app/style.css).
PERCEPTION: Final = "#0b7285"
REASONING: Final = "#7048c6"
BOTH: Final = "#b45309"
PLAIN: Final = "#4866b8"
SHARE: Final = "%"  # of a metric that is logged as a share in [0, 1] and shown in percent


@dataclass(frozen=True, slots=True)
class Line:
    """One curve. metric: its name in metrics.jsonl."""

    metric: str
    label: str
    colour: str


@dataclass(frozen=True, slots=True)
class Band:
    """A window of values that the reward pays for, ends included, in the unit of the panel."""

    low: float
    high: float
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """unit: of the values, on the axis; `%` shows shares. most: where the axis ends at least; null = at the values.

    is_rare: not every run logs it, so that its absence is not worth a word.
    """

    name: str
    title: str
    unit: str
    meaning: str
    lines: tuple[Line, ...]
    most: float | None = None
    bands: tuple[Band, ...] = ()
    is_rare: bool = False


def panels_of(stage: Stage, config: TrainConfig | None) -> tuple[Panel, ...]:
    """The panels of a stage, in reading order. config: for the windows; without it they are not shaded."""
    return _SFT if stage == "sft" else (*_REWARDS, *_lengths(config), *_LEARNING, *_JUDGE, *_PACE)


def _both(part: str) -> tuple[Line, ...]:
    return (
        Line(f"perception/{part}", "perception", PERCEPTION),
        Line(f"reasoning/{part}", "reasoning", REASONING),
    )


def _lengths(config: TrainConfig | None) -> tuple[Panel, ...]:
    windows: list[str] = []
    bands: list[Band] = []
    cap = "tags included."
    if config is not None:
        cap = f"tags included; sampling stops at {config.rl.max_completion_tokens:,}."
        rewards = config.rewards
        for name, (low, high), colour, is_paid in (
            ("perception", rewards.perception_tokens, PERCEPTION, rewards.perception and rewards.length),
            ("reasoning", rewards.reasoning_tokens, REASONING, rewards.reasoning and rewards.length),
        ):
            if is_paid:
                windows.append(f"{name} {low} to {high}")
                bands.append(Band(low, high, colour))
    paid = f" Shaded: what the length reward pays for, {', '.join(windows)}." if windows else ""
    return (
        Panel(
            "tokens",
            "Segment lengths",
            "tokens",
            f"Mean length of each well-formed segment.{paid}",
            _both("tokens"),
            bands=tuple(bands),
        ),
        Panel(
            "completion_tokens",
            "Completion length",
            "tokens",
            f"Mean length of a whole completion, {cap}",
            (Line("tokens/completion", "completion", PLAIN),),
        ),
        Panel(
            "truncated",
            "Completions cut off",
            SHARE,
            "Share of completions that reached the limit before their end.",
            (Line("completions/clipped_ratio", "cut off", PLAIN),),
            is_rare=True,
        ),
    )


def _optimiser(stage: str) -> tuple[Panel, ...]:
    return (
        Panel(
            f"{stage}_learning_rate",
            "Learning rate",
            "per update",
            "As the schedule set it.",
            (Line("learning_rate", "learning rate", PLAIN),),
        ),
        Panel(
            f"{stage}_grad_norm",
            "Gradient norm",
            "norm",
            "Before clipping.",
            (Line("grad_norm", "gradient", PLAIN),),
            is_rare=True,
        ),
        Panel(
            f"{stage}_entropy",
            "Entropy",
            "nats a token",
            "How undecided the policy is; a fall to 0 ends exploration.",
            (Line("entropy", "entropy", PLAIN),),
            is_rare=True,
        ),
    )


_SFT: Final = (
    Panel(
        "sft_loss",
        "Loss",
        "nats a token",
        "Cross entropy on the tokens of the trace.",
        (Line("loss", "loss", PLAIN),),
    ),
    Panel(
        "sft_token_accuracy",
        "Tokens predicted right",
        SHARE,
        "Share of the trace's tokens that the model puts first.",
        (Line("mean_token_accuracy", "tokens", PLAIN),),
        is_rare=True,
    ),
    *_optimiser("sft"),
)
_REWARDS: Final = (
    Panel("reward", "Reward", "reward", "Sum of accuracy, format and length, at most 2.2.", _both("reward")),
    Panel(
        "accuracy",
        "Accuracy reward",
        SHARE,
        "Perception: observations judged sufficient. Reasoning: the score of the answer.",
        _both("accuracy"),
        most=1.0,
    ),
    Panel("format", "Format reward", SHARE, "Share of well-formed segments.", _both("format"), most=1.0),
    Panel(
        "length",
        "Length reward",
        "reward",
        "Paid where a segment is right, well-formed and within its window.",
        _both("length"),
    ),
    Panel(
        "leaks",
        "Observations that give the answer away",
        SHARE,
        "Share of well-formed observations; their accuracy is 0 where rewards.leaks_answer is zero.",
        (Line("perception/leaks", "perception", PERCEPTION),),
    ),
    Panel(
        "repetition",
        "Repetition",
        SHARE,
        "Mean share of a segment's words inside an 8-gram that occurred before; above rewards.max_repetition, where "
        "that is set, it earns no length reward.",
        _both("repetition"),
    ),
    Panel(
        "advantage_std",
        "Spread of advantages",
        "standard deviation",
        "1 where the rewards of every group differ; nothing is learned at 0.",
        _both("advantage_std"),
    ),
    Panel(
        "collapse",
        "Advantage collapse",
        SHARE,
        "Share of groups whose rewards are all equal. GRPO's is that of the summed reward.",
        (
            Line("collapse/perception", "perception", PERCEPTION),
            Line("collapse/reasoning", "reasoning", REASONING),
            Line("collapse/grpo", "GRPO", BOTH),
        ),
        most=1.0,
    ),
    Panel(
        "masked",
        "Masked",
        SHARE,
        "Share of rollouts left out of their group, because the judge gave no verdict.",
        _both("masked"),
    ),
)
_LEARNING: Final = (
    Panel(
        "kl",
        "Distance from the SFT model",
        "KL, nats a token",
        "Estimated on the sampled tokens.",
        (Line("kl", "KL", PLAIN),),
    ),
    Panel(
        "clip_ratio",
        "Clipped",
        SHARE,
        "Share of tokens whose probability ratio was clipped; 0 while each set of rollouts is used once.",
        _both("clip_ratio"),
    ),
    Panel("rl_loss", "Loss", "objective", "Says little by itself: watch the rewards.", (Line("loss", "loss", PLAIN),)),
    *_optimiser("rl"),
)
_JUDGE: Final = (
    Panel(
        "judge_latency",
        "Judge: latency",
        "s",
        "Mean time from the request to the verdict.",
        (Line("judge/latency_s", "latency", PLAIN),),
    ),
    Panel(
        "judge_shares",
        "Judge: no verdict, and cached",
        SHARE,
        "Share of observations without a verdict, and of those known from before.",
        (Line("judge/null_share", "no verdict", BOTH), Line("judge/cached_share", "cached", PLAIN)),
        most=1.0,
    ),
    Panel(
        "judge_cost",
        "Judge: cost",
        "USD an update",
        "By the prices in the config.",
        (Line("judge/cost_usd", "cost", PLAIN),),
    ),
)
_PACE: Final = (
    Panel(
        "pace",
        "Time of an update",
        "s",
        "Where the time goes; the wait for the judge is what its overlap does not hide.",
        (
            Line("time/generate_s", "generation", PLAIN),
            Line("time/log_probs_s", "log-probs", PERCEPTION),
            Line("time/judge_wait_s", "waiting for the judge", BOTH),
        ),
    ),
)

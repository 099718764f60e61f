"""GRPO with two rewards: perception is paid on the observation's tokens, reasoning on those of think and answer.

One generation on TRL 1.16, ours marked *:

    rows -> completions -> * segments found, judge asked -> log-probs of policy and reference
         -> * verdicts awaited, both rewards, gathered -> * advantages of each process, laid on its tokens -> loss

The judge answers while the log-probs are computed. The loss is TRL's own: it takes advantages of shape (B, T). What TRL
itself logs as the reward is the sum of both, which is what plain GRPO would pay.

Names end in the axes of their tensor: B completions, T tokens, C columns of the table of rewards.
"""
# ruff: noqa: N806

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from curation.errors import ConfigError
from curation.schema import Question
from training.advantages import Normalization, Scale, process_advantages, token_advantages
from training.grpo_metrics import (
    PROCESSES,
    TOTAL,
    column,
    judge_counts,
    judge_metrics,
    reward_table,
    rollout_metrics,
    segment_means,
    segment_sums,
)
from training.judging import JudgeAsk, Judged, ObservationJudge, PendingVerdicts
from training.processes import split_processes
from training.ranks import raised_everywhere
from training.rewards import RewardConfig, RolloutReward, observation_to_judge, reward_rollout
from training.sampled import Rollout, Rollouts
from training.segments import Segments, find_segments, lay_masks, load_token_bytes
from training.shortcuts import Shortcuts, find_shortcuts


@dataclass(slots=True)
class _Generation:
    """One generation of this process, as far as it has come. asked: the places of the rollouts the judge sees."""

    rows: Sequence[Mapping[str, Any]]
    segments: list[Segments]
    asked: list[int]
    pending: PendingVerdicts | None
    generate_s: float
    finished_at: float
    log_probs_s: float = 0.0
    judge_wait_s: float = 0.0
    judged: Sequence[Judged | None] = ()
    rewards: Sequence[RolloutReward] = ()

    @property
    def completion_tokens(self) -> list[int]:
        """One a rollout."""
        return [len(segments.is_perception) for segments in self.segments]


class ProcessGRPOTrainer(GRPOTrainer):
    """GRPOTrainer whose rows are questions of the published format.

    judge: may be None when perception is not rewarded. separate: False gives all tokens the advantage of the summed
    reward. scale: of the advantages. on_rollouts: gets the Rollouts of every generation, on the main process; give it
    on all or on none. Raises ConfigError when a judge is missing, or where the tokenizer is not byte-level.
    """

    def __init__(
        self,
        *,
        rewards: RewardConfig,
        judge: ObservationJudge | None,
        normalization: Normalization = "completion",
        separate: bool = True,
        scale: Scale = "group",
        on_rollouts: Callable[[Rollouts], None] | None = None,
        **options: Any,
    ) -> None:
        if rewards.perception and judge is None:
            raise ConfigError("the perception reward needs a judge. Add the section judge, or set variant to grpo.")
        self._reward_config = rewards
        self._judge = judge
        self._normalization: Normalization = normalization
        self._separate = separate
        self._scale: Scale = scale
        self._on_rollouts = on_rollouts
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._generation: _Generation | None = None
        self._table_BC = torch.empty(0)
        self._policy_logps_BT = torch.empty(0)
        super().__init__(reward_funcs=total, **options)
        self._token_bytes = load_token_bytes(self._tokenizer)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = inputs
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        generation = self._finished_generation()
        masks = lay_masks(generation.segments, scored["completion_mask"])
        perception_B, reasoning_B = self._advantages()
        first = self.accelerator.process_index * len(inputs)
        mine = slice(first, first + len(inputs))
        scored["advantages"] = token_advantages(perception_B[mine], reasoning_B[mine], masks, self._normalization)
        scored["perception_mask"] = masks.perception_BT
        advantages = dict(zip(PROCESSES, (perception_B, reasoning_B), strict=True))
        self._log_generation(generation, advantages)
        if self._on_rollouts is not None:
            rollouts = self._gather_rollouts(generation, advantages)
            with raised_everywhere():
                if self.accelerator.is_main_process:
                    self._on_rollouts(rollouts)
        return scored

    def _generate(self, prompts: list[Any]) -> Any:
        begin = self._now()
        with self.accelerator.autocast():  # samples in the precision that is scored in; TRL would take the weights'
            generated = super()._generate(prompts)
        finished_at = self._now()
        completion_ids = generated[1]
        template = self._reward_config.template
        segments = [find_segments(ids, self._token_bytes, template) for ids in completion_ids]
        asks = {
            place: JudgeAsk(Question.from_row(row), observation)
            for place, (row, found) in enumerate(zip(self._rows, segments, strict=True))
            if (observation := self._observation_to_judge(row, found)) is not None
        }
        pending = self._judge.start(list(asks.values())) if self._judge is not None and asks else None
        self._generation = _Generation(self._rows, segments, list(asks), pending, finished_at - begin, finished_at)
        return generated

    def _observation_to_judge(self, row: Mapping[str, Any], found: Segments) -> str | None:
        return observation_to_judge(
            found.text, problem_type=row["problem_type"], options=row["options"], config=self._reward_config
        )

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        """(all completions, 1): the summed reward. In TRL's place, which prints every masked row with its columns."""
        generation = self._finished_generation()
        begin = self._now()
        generation.log_probs_s = begin - generation.finished_at
        judged: list[Judged | None] = [None] * len(generation.rows)
        with raised_everywhere():
            if generation.pending is not None:
                for place, entry in zip(generation.asked, generation.pending.wait(), strict=True):
                    judged[place] = entry
        generation.judge_wait_s = time.perf_counter() - begin
        generation.judged = judged
        generation.rewards = self._reward(generation.rows, generation.segments, judged)
        shortcuts = self._find_shortcuts(generation.rows, generation.segments)
        device = self.accelerator.device
        table = reward_table(generation.rewards, shortcuts, generation.completion_tokens, device)
        self._table_BC = self.accelerator.gather(table)
        return column(self._table_BC, TOTAL).unsqueeze(1)

    def _reward(
        self, rows: Sequence[Mapping[str, Any]], segments: Sequence[Segments], judged: Sequence[Judged | None]
    ) -> list[RolloutReward]:
        return [
            reward_rollout(
                found.text,
                problem_type=row["problem_type"],
                solution=row["solution"],
                options=row["options"],
                verdict=None if entry is None else entry.verdict,
                lengths=found.lengths,
                config=self._reward_config,
            )
            for row, found, entry in zip(rows, segments, judged, strict=True)
        ]

    def _find_shortcuts(self, rows: Sequence[Mapping[str, Any]], segments: Sequence[Segments]) -> list[Shortcuts]:
        template = self._reward_config.template
        return [
            find_shortcuts(found.text, split_processes(found.text, template), row["problem_type"], row["options"])
            for row, found in zip(rows, segments, strict=True)
        ]

    def _advantages(self) -> tuple[Tensor, Tensor]:
        """(all completions,) each."""
        config = self._reward_config
        perception_B, reasoning_B = (column(self._table_BC, f"{process}/reward") for process in PROCESSES)
        return process_advantages(
            perception_B if config.perception else None,
            reasoning_B if config.reasoning else None,
            self._group_size(),
            separate=self._separate,
            scale=self._scale,
        )

    # The loss is TRL's; beside it stand its clipping and its KL, per process.

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        scored = super()._get_per_token_logps_and_entropies(*args, **options)
        if torch.is_grad_enabled():  # the policy's: the others are computed without
            self._policy_logps_BT = scored[0].detach()
        return scored

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            values = self._token_values(inputs)
            perception_BT = inputs["perception_mask"]
            reasoning_BT = inputs["completion_mask"].bool() & ~perception_BT
            sums = segment_sums(values, dict(zip(PROCESSES, (perception_BT, reasoning_BT), strict=True)))
            totals = self.accelerator.reduce(sums, reduction="sum")
        self._log_numbers(segment_means(totals, list(values), PROCESSES))
        return loss

    def _token_values(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """(B, T): whether the clip of eq. 6 stops a token's gradient, and its KL where there is a reference."""
        logps_BT, advantages_BT = self._policy_logps_BT, inputs["advantages"]
        old_BT = inputs.get("old_per_token_logps")
        ratio_BT = torch.ones_like(logps_BT) if old_BT is None else (logps_BT - old_BT).exp()
        if self.loss_type == "cispo":  # which bounds the weight from above alone
            clipped_BT = (ratio_BT > self.epsilon_high) & (advantages_BT > 0)
        else:
            too_low_BT = (ratio_BT < 1 - self.epsilon_low) & (advantages_BT < 0)
            too_high_BT = (ratio_BT > 1 + self.epsilon_high) & (advantages_BT > 0)
            clipped_BT = too_low_BT | too_high_BT
        values = {"clip_ratio": clipped_BT}
        if "ref_per_token_logps" in inputs:
            distance_BT = inputs["ref_per_token_logps"] - logps_BT
            values["kl"] = distance_BT.exp() - distance_BT - 1
        return values

    # What is told

    def _log_generation(self, generation: _Generation, advantages: Mapping[str, Tensor]) -> None:
        self._log_numbers(rollout_metrics(self._table_BC, advantages, self._group_size()))
        device = self.accelerator.device
        if self._judge is not None:
            known = [entry for entry in generation.judged if entry is not None]
            self._log_numbers(judge_metrics(self.accelerator.gather(judge_counts(known, device))))
        seconds = {
            "time/generate_s": generation.generate_s,
            "time/log_probs_s": generation.log_probs_s,
            "time/judge_wait_s": generation.judge_wait_s,
        }
        means = self.accelerator.reduce(torch.tensor(list(seconds.values()), device=device), reduction="mean")
        self._log_numbers(dict(zip(seconds, means.tolist(), strict=True)))

    def _log_numbers(self, numbers: Mapping[str, float]) -> None:
        metrics = self._metrics["train" if self._is_training() else "eval"]
        for name, value in numbers.items():
            metrics[name].append(value)

    def _gather_rollouts(self, generation: _Generation, advantages: Mapping[str, Tensor]) -> Rollouts:
        """Of all processes, which all have to call it."""
        mine = [
            Rollout(
                group=0,
                number=0,
                question_id=row["id"],
                completion=found.text,
                judged=judged,
                reward=reward,
                perception_advantage=None,
                reasoning_advantage=None,
                lengths=found.lengths,
                completion_tokens=len(found.is_perception),
            )
            for row, found, judged, reward in zip(
                generation.rows, generation.segments, generation.judged, generation.rewards, strict=True
            )
        ]
        shares = {
            f"{process}_advantage": advantages[process].masked_fill(self._unpaid(process), torch.nan).tolist()
            for process in PROCESSES
        }
        rows = []
        for place, rollout in enumerate(gather_object(mine)):
            group, number = divmod(place, self._group_size())
            paid = {name: None if values[place] != values[place] else values[place] for name, values in shares.items()}
            rows.append(replace(rollout, group=group, number=number, **paid))
        return Rollouts(self.state.global_step + 1, tuple(rows))

    def _unpaid(self, process: str) -> Tensor:
        """(all completions,): where no reward stands behind the advantage of this process."""
        return column(self._table_BC, f"{process}/reward" if self._separate else TOTAL).isnan()

    def _finished_generation(self) -> _Generation:
        assert self._generation is not None, "TRL scores before it generates"
        return self._generation

    def _group_size(self) -> int:
        size: Any = self.num_generations if self._is_training() else self.num_generations_eval
        return int(size)

    def _is_training(self) -> bool:
        model: Any = self.model
        return bool(model.training)

    def _now(self) -> float:
        """Seconds, when what was sent to the GPU is done."""
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def total(**_: Any) -> list[float | None]:
    """The name under which TRL logs the summed reward; `ProcessGRPOTrainer._calculate_rewards` stands in for it."""
    raise NotImplementedError("the rewards of a rollout are computed by ProcessGRPOTrainer._calculate_rewards")

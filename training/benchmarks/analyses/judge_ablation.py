"""How much does the choice of the judge matter? Judges side by side on the same observations (VideoP2R section 3.2).

Each judge by itself: how often it finds an observation sufficient and how often it gives no verdict, and against labels
where there are any. Two judges: how often they agree, by more than chance (Cohen's kappa), and whether one is stricter
(McNemar's exact test). On the rollouts of a training also what training would see: the perception reward and the
collapse of its groups, computed as in training from each judge's verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from curation.judge import Verdict
from curation.schema import INSUFFICIENT, SUFFICIENT
from curation.statistics import mcnemar_exact, wilson_interval
from training.advantages import Collapse, measure_collapse, stack_rewards
from training.benchmarks.analyses.agreement import Agreement, measure_agreement
from training.benchmarks.analyses.asking_judges import JudgeReplies
from training.benchmarks.analyses.observations import Observations, ObservedRollout
from training.benchmarks.statistics import bootstrap_interval
from training.rewards import RewardConfig, reward_rollout

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RewardEffect:
    """What training would see. mean_reward: of the scored rollouts, at most 2.2; null without one."""

    num_rollouts: int
    num_scored: int
    mean_reward: float | None
    collapse: Collapse


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """Verdicts against labels. num_lenient: sufficient where the label says insufficient; num_strict: the reverse."""

    agreement: Agreement
    num_lenient: int
    num_strict: int


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """One judge. num_asked: observations; unscored: why some have no verdict, with their number."""

    name: str
    num_asked: int
    num_sufficient: int
    num_insufficient: int
    unscored: Mapping[str, int]
    spent_usd: float
    provenance: Mapping[str, Any]
    labels: LabelAgreement | None
    reward: RewardEffect | None

    @property
    def num_verdicts(self) -> int:
        """The others are null, and in no share but their own."""
        return self.num_sufficient + self.num_insufficient


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two judges on the observations that both decided.

    num_only_first, num_only_second: sufficient to one of them alone. p_value: of equal strictness. reward_difference:
    second minus first, the mean over groups of the rollouts that both score; interval: 95 %, over groups.
    """

    first: str
    second: str
    agreement: Agreement
    num_both_sufficient: int
    num_only_first: int
    num_only_second: int
    num_both_insufficient: int
    p_value: float
    reward_difference: float | None
    reward_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Ablation:
    """num_all: what the observations were drawn from (Observations)."""

    source: str
    num_observations: int
    num_all: int
    num_labels: int
    num_groups: int
    judges: tuple[JudgeSummary, ...]
    pairs: tuple[JudgePair, ...]
    problems: tuple[str, ...]


def measure_ablation(observations: Observations, replies: Sequence[JudgeReplies]) -> Ablation:
    """All judges, and every two of them."""
    rewards = {each.name: _perception_rewards(observations, each.verdicts) for each in replies}
    return Ablation(
        source=observations.source,
        num_observations=len(observations.asks),
        num_all=observations.num_all,
        num_labels=len(observations.labels),
        num_groups=len(observations.groups),
        judges=tuple(_summarise(each, observations, rewards[each.name]) for each in replies),
        pairs=tuple(
            _compare(first, second, rewards[first.name], rewards[second.name])
            for first, second in combinations(replies, 2)
        ),
        problems=observations.problems,
    )


def share_sufficient(judge: JudgeSummary) -> tuple[float | None, Interval | None]:
    """Of its verdicts, with Wilson's 95 % interval."""
    return _share(judge.num_sufficient, judge.num_verdicts)


def share_null(judge: JudgeSummary) -> float:
    """Of what it was asked."""
    return (judge.num_asked - judge.num_verdicts) / judge.num_asked


def share_agreed(agreement: Agreement) -> tuple[float | None, Interval | None]:
    """With Wilson's 95 % interval."""
    return _share(agreement.num_equal, agreement.num)


def share_collapsed(effect: RewardEffect) -> tuple[float | None, Interval | None]:
    """Of its groups, with Wilson's 95 % interval."""
    return _share(effect.collapse.num_collapsed, effect.collapse.num_groups)


def as_record(found: Ablation) -> dict[str, Any]:
    """For JSON: all counts, and the shares with their intervals."""
    record = asdict(found)
    for judge, written in zip(found.judges, record["judges"], strict=True):
        written["sufficient"], written["sufficient_interval"] = share_sufficient(judge)
        written["null_share"] = share_null(judge)
        if judge.labels is not None:
            written["labels"]["share"], written["labels"]["interval"] = share_agreed(judge.labels.agreement)
        if judge.reward is not None:
            written["reward"]["collapsed"], written["reward"]["collapsed_interval"] = share_collapsed(judge.reward)
    for pair, written in zip(found.pairs, record["pairs"], strict=True):
        written["agreed"], written["agreed_interval"] = share_agreed(pair.agreement)
    return record


def _summarise(
    replies: JudgeReplies, observations: Observations, rewards: Sequence[Sequence[float | None]]
) -> JudgeSummary:
    counts = Counter(replies.verdicts.values())
    return JudgeSummary(
        name=replies.name,
        num_asked=len(replies.verdicts),
        num_sufficient=counts[SUFFICIENT],
        num_insufficient=counts[INSUFFICIENT],
        unscored=dict(sorted(Counter(replies.unscored.values()).items())),
        spent_usd=replies.spent_usd,
        provenance=replies.provenance,
        labels=_against_labels(replies.verdicts, observations.labels) if observations.labels else None,
        reward=_effect(rewards) if rewards else None,
    )


def _against_labels(verdicts: Mapping[str, str | None], labels: Mapping[str, str]) -> LabelAgreement:
    pairs = [(label, verdict) for key, label in labels.items() if (verdict := verdicts.get(key)) is not None]
    counts = Counter(pairs)
    return LabelAgreement(measure_agreement(pairs), counts[INSUFFICIENT, SUFFICIENT], counts[SUFFICIENT, INSUFFICIENT])


def _compare(
    first: JudgeReplies,
    second: JudgeReplies,
    rewards_first: Sequence[Sequence[float | None]],
    rewards_second: Sequence[Sequence[float | None]],
) -> JudgePair:
    pairs = [
        (ours, theirs)
        for key, ours in first.verdicts.items()
        if ours is not None and (theirs := second.verdicts.get(key)) is not None
    ]
    counts = Counter(pairs)
    only_first, only_second = counts[SUFFICIENT, INSUFFICIENT], counts[INSUFFICIENT, SUFFICIENT]
    differences = _group_differences(rewards_first, rewards_second)
    return JudgePair(
        first=first.name,
        second=second.name,
        agreement=measure_agreement(pairs),
        num_both_sufficient=counts[SUFFICIENT, SUFFICIENT],
        num_only_first=only_first,
        num_only_second=only_second,
        num_both_insufficient=counts[INSUFFICIENT, INSUFFICIENT],
        p_value=mcnemar_exact(only_first, only_second),
        reward_difference=fmean(differences) if differences else None,
        reward_interval=bootstrap_interval(differences, seed=0) if differences else None,
    )


def _perception_rewards(observations: Observations, verdicts: Mapping[str, str | None]) -> list[list[float | None]]:
    """R_P of every rollout, group by group; null where the judge gave no verdict."""
    config = observations.rewards
    if config is None:
        return []
    return [[_perception_reward(rollout, verdicts, config) for rollout in group] for group in observations.groups]


def _perception_reward(
    rollout: ObservedRollout, verdicts: Mapping[str, str | None], config: RewardConfig
) -> float | None:
    word = None if rollout.key is None else verdicts[rollout.key]
    question = rollout.question
    reward = reward_rollout(
        rollout.completion,
        problem_type=question.problem_type,
        solution=question.solution,
        options=question.options,
        verdict=None if word is None else Verdict(word == SUFFICIENT, ""),
        lengths=rollout.lengths,
        config=config,
    ).perception
    return None if reward is None else reward.total


def _effect(rewards: Sequence[Sequence[float | None]]) -> RewardEffect:
    scored = [reward for group in rewards for reward in group if reward is not None]
    collapses = [measure_collapse(stack_rewards(group), len(group)) for group in rewards]
    return RewardEffect(
        num_rollouts=sum(map(len, rewards)),
        num_scored=len(scored),
        mean_reward=fmean(scored) if scored else None,
        collapse=Collapse(sum(each.num_groups for each in collapses), sum(each.num_collapsed for each in collapses)),
    )


def _group_differences(
    first: Sequence[Sequence[float | None]], second: Sequence[Sequence[float | None]]
) -> list[float]:
    """One a group in which both score a rollout."""
    found = []
    for ours, theirs in zip(first, second, strict=True):
        both = [
            right - left for left, right in zip(ours, theirs, strict=True) if left is not None and right is not None
        ]
        found += [fmean(both)] if both else []
    return found


def _share(num: int, total: int) -> tuple[float | None, Interval | None]:
    return (num / total if total else None), wilson_interval(num, total)

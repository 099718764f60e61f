"""Rollouts as pages: a list of groups with the spread of their rewards, and one group completion by completion.

Both processes stand side by side everywhere, since that is what PA-GRPO tells apart. Null is a dash, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final, TypeGuard

from markupsafe import Markup

from app.charts import MOST_TITLE
from app.markup import cut, fill, join
from app.rollouts import MOST_ROLLOUTS, Group, GroupPage, GroupSummary, Reward, Rollout, Spread
from app.tables_html import render_table
from app.trace_html import Row, text_box, verdict_badge
from curation.leaks import find_leak
from curation.repetition import repetition
from curation.trace import BLOCKS

MOST_REWARD: Final = 2.2  # accuracy 1, format 1, length 0.2 (VideoP2R, section 3.3)


def render_group_page(page: GroupPage, link: Callable[[GroupSummary], str]) -> Markup:
    """The groups of a page as a table. link: the address of a group."""
    if not page.groups:
        return Markup('<p class="vp vp-quiet">There is no group.</p>')
    rows = [
        (
            fill('<a data-go href="{}"><bdi dir="auto">{}</bdi></a>', link(group), name_group(group)),
            _count(group.step),
            _spread(group.perception),
            _spread(group.reasoning),
            f"{group.num_rollouts:,}",
            _count(group.num_malformed),
            _count(group.num_masked),
        )
        for group in page.groups
    ]
    headings = ("group", "step", "perception reward", "reasoning reward", "rollouts", "malformed", "no verdict")
    return fill('<div class="vp vp-groups">{}</div>', render_table(headings, rows))


def name_group(summary: GroupSummary) -> str:
    """Its name and step: the same question is sampled again at a later one."""
    name = cut(summary.name, MOST_TITLE) if summary.name else "a group without a name"
    return name if summary.step is None else f"{name}, step {summary.step:,}"


def render_group(group: Group, question: Row | None = None) -> Markup:
    """One group: who sampled it, its rewards and advantages in a table, then each completion.

    question: that it answers, without which nobody can say whether an observation gives the answer away.
    """
    summary = group.summary
    source = "@".join(part for part in (group.dataset_repo, group.dataset_tag or group.dataset_commit) if part)
    words = [f"{summary.num_rollouts:,} rollouts", summary.model, source]
    left_out = (
        fill(
            '<p class="vp-note">{} more are in the files; the first {} are shown.</p>',
            group.num_left_out,
            MOST_ROLLOUTS,
        )
        if group.num_left_out
        else Markup("")
    )
    return fill(
        '<article class="vp vp-group"><h3 dir="auto">{}</h3><p class="vp-quiet">{}</p>{}{}{}{}{}</article>',
        name_group(summary),
        " - ".join(word for word in words if word),
        _collapse(summary),
        _rewards(group),
        _shortcuts(group.rollouts, question),
        left_out,
        join(_completion(rollout, question, is_open=place == 0) for place, rollout in enumerate(group.rollouts)),
    )


def _collapse(summary: GroupSummary) -> Markup:
    """Whether a process learns nothing from this group: all of its advantages are zero."""
    collapsed = [
        name
        for name, spread in (("perception", summary.perception), ("reasoning", summary.reasoning))
        if spread.is_collapsed
    ]
    if not collapsed:
        return Markup("")
    words = " and ".join(collapsed)
    return fill(
        '<p class="vp-note">All {} rewards of this group are equal: it teaches that process nothing.</p>', words
    )


def _rewards(group: Group) -> Markup:
    headings = (
        "rollout",
        *(f"{process} {part}" for process in ("P", "R") for part in ("acc", "form", "len", "reward", "adv")),
    )
    rows = [
        (
            _name(rollout),
            *(_number(part) for reward in (rollout.perception, rollout.reasoning) for part in _parts(reward)),
        )
        for rollout in group.rollouts
    ]
    note = Markup(
        '<p class="vp-note">P: perception (observation). R: reasoning (think and answer). reward = acc + form + len, '
        "adv: the advantage within the group. A dash is masked or not recorded.</p>"
    )
    return render_table(headings, rows) + note


def _parts(reward: Reward) -> tuple[float | None, ...]:
    return (reward.accuracy, reward.format, reward.length, reward.total, reward.advantage)


def _shortcuts(rollouts: Sequence[Rollout], question: Row | None) -> Markup:
    """How often they give the answer away and repeat themselves, over those whose texts are recorded."""
    observations = [rollout.observation for rollout in rollouts if rollout.observation is not None]
    words = []
    if observations and _is_judgeable(question):
        num_leaks = sum(_leak(observation, question) is not None for observation in observations)
        words.append(f"{num_leaks:,} of {len(observations):,} observations give the answer away.")
    elif observations:
        words.append("Whether observations give the answer away is not known without the question.")
    perception, reasoning = (_mean(shares) for shares in zip(*map(_repetitions, rollouts), strict=True))
    if perception is not None or reasoning is not None:
        means = f"perception {_percent(perception)}, reasoning {_percent(reasoning)}"
        words.append(f"Words that repeat earlier ones, on average: {means}.")
    return fill('<p class="vp-note">{}</p>', " ".join(words)) if words else Markup("")


def _is_judgeable(question: Row | None) -> TypeGuard[Row]:
    """Which rules of leaks count depends on the problem type."""
    return question is not None and question.get("problem_type") is not None


def _leak(observation: str | None, question: Row | None) -> str | None:
    """The words that give the answer away; null also where nobody can say."""
    if observation is None or not _is_judgeable(question):
        return None
    return find_leak(observation, question["problem_type"], question.get("options") or ())


def _repetitions(rollout: Rollout) -> tuple[float | None, float | None]:
    """The share of repeated words in the observation, and in think and answer together, as training counts them."""
    reasoning = None if rollout.think is None or rollout.answer is None else f"{rollout.think} {rollout.answer}"
    return (
        None if rollout.observation is None else repetition(rollout.observation),
        None if reasoning is None else repetition(reasoning),
    )


def _completion(rollout: Rollout, question: Row | None, *, is_open: bool) -> Markup:
    if rollout.is_malformed or rollout.observation is None:
        fault = "It misses the template." if rollout.is_malformed else "Its blocks were not recorded."
        body = fill('<p class="vp-note">{}</p>{}', fault, text_box(rollout.completion or "no text was recorded"))
    else:
        texts = ((name, getattr(rollout, name) or "") for name in BLOCKS)
        body = join(
            fill('<section class="vp-block vp-{}"><h4>{}</h4>{}</section>', name, name, text_box(text))
            for name, text in texts
        )
    if (leak := _leak(rollout.observation, question)) is not None:
        body = fill('<p class="vp-note">The observation gives the answer away: {}</p>{}', leak, body)
    repeated = "repeated words: perception {}, reasoning {}".format(*map(_percent, _repetitions(rollout)))
    perception, reasoning = (_number(reward.advantage) for reward in (rollout.perception, rollout.reasoning))
    advantages = f"advantage: perception {perception}, reasoning {reasoning}"
    return fill(
        '<details class="vp-rollout"{}><summary>{} {} <span class="vp-quiet">{}; {}; {}</span></summary>{}</details>',
        Markup(" open" if is_open else ""),
        _name(rollout),
        verdict_badge(rollout.verdict),
        advantages,
        _lengths(rollout),
        repeated,
        body,
    )


def _lengths(rollout: Rollout) -> str:
    lengths = (rollout.observation_tokens, rollout.think_tokens, rollout.answer_tokens)
    return "tokens " + " + ".join(_count(length) for length in lengths) + f" of {_count(rollout.completion_tokens)}"


def _name(rollout: Rollout) -> str:
    return "rollout" if rollout.number is None else f"rollout {rollout.number}"


def _spread(spread: Spread) -> Markup:
    """From the lowest to the highest reward of the group, as a bar and as numbers."""
    if spread.low is None or spread.high is None or spread.mean is None:
        return Markup('<span class="vp-quiet">not recorded</span>')
    low, high = (100 * min(max(edge / MOST_REWARD, 0), 1) for edge in (spread.low, spread.high))
    return fill(
        '<span class="vp-track" aria-hidden="true"><i class="vp-band" style="left:{:.1f}%;width:{:.1f}%"></i></span>'
        "<span>{}&ndash;{}, mean {}{}</span>",
        low,
        max(high - low, 1),
        _number(spread.low),
        _number(spread.high),
        _number(spread.mean),
        " (collapsed)" if spread.is_collapsed else "",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return fmean(known) if known else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"

"""Judges by name, and what they say: the judge of training itself, asked about observations that are there already.

Every reply is in a journal before anybody sees it, found by all that it depends on: nothing is paid twice, whatever a
judge is called and however many observations are drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from curation.budget import Price
from curation.config import load_config
from curation.engines.config import identity, model_name
from curation.errors import ConfigError, FatalEngineError
from curation.journal import content_key, read_journal
from curation.prompts import load_judge_prompt
from curation.schema import INSUFFICIENT, SUFFICIENT
from training.config import JudgeConfig
from training.judging import JudgeAsk, Judged, RewardJudge

RECORDED: Final = "recorded"  # the verdicts that stand beside the observations; nobody is asked
_AT_ONCE: Final = 64  # like an update of training, which waits for its verdicts together
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_NEVER: Final = 10**9


class JudgeFile(JudgeConfig):
    """A judge's YAML file: the section `judge` of a training, or a file of curation/configs with its `prices`."""

    prices: Mapping[str, Price] = Field(default_factory=dict)

    def as_judge(self) -> JudgeConfig:
        """The section, with the price of its model where the file names one."""
        values = self.model_dump(exclude={"prices"})
        if (price := self.prices.get(model_name(self.engine))) is not None:
            values |= {"input_usd_per_mtok": price.input, "output_usd_per_mtok": price.output}
        return JudgeConfig.model_validate(values)


@dataclass(frozen=True, slots=True)
class NamedJudge:
    """A judge as the command line names it; config null = the recorded verdicts."""

    name: str
    config: JudgeConfig | None


@dataclass(frozen=True, slots=True)
class JudgeReplies:
    """What one judge said. verdicts: key -> sufficient, insufficient or null. unscored: key -> why there is none.

    spent_usd: on everything in this judge's journal so far. provenance: what it was asked with.
    """

    name: str
    verdicts: Mapping[str, str | None]
    unscored: Mapping[str, str]
    spent_usd: float
    provenance: Mapping[str, Any]


def parse_judges(texts: list[str]) -> list[NamedJudge]:
    """Each `recorded` or NAME=FILE.yaml, two at least, with different names. Raises ConfigError."""
    judges = [_parse(text) for text in texts]
    names = [judge.name for judge in judges]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--judge names {twice[0]!r} more than once; give every judge a name of its own.")
    if len(judges) < 2:
        raise ConfigError(f"an ablation compares judges: give --judge at least twice, {RECORDED} may be one of them.")
    return judges


def recorded_replies(recorded: Mapping[str, str], asks: Mapping[str, JudgeAsk]) -> JudgeReplies:
    """The verdicts that are there already. Raises ConfigError when there are none."""
    if not recorded:
        raise ConfigError(
            "no verdict stands beside these observations; name judges to ask with --judge NAME=FILE.yaml."
        )
    unscored = {key: "not recorded" for key in asks if key not in recorded}
    return JudgeReplies(RECORDED, {key: recorded.get(key) for key in asks}, unscored, 0.0, {})


def ask_judge(
    name: str, config: JudgeConfig, asks: Mapping[str, JudgeAsk], journals: Path, *, progress: Callable[[int], None]
) -> JudgeReplies:
    """Ask, `_AT_ONCE` observations together; what was replied before is not asked again.

    Raises ConfigError, BudgetExceeded, and FatalEngineError when the judge gives no verdict at all.
    """
    folder = journals / content_key("judge-ablation", identity(config.engine))[:16]
    verdicts: dict[str, str | None] = {}
    unscored: dict[str, str] = {}
    # An ablation has no updates to count: what follows stops it when nobody answers.
    patient = config.model_copy(update={"stop_after_failed_updates": _NEVER})
    keys = iter(asks)
    with RewardJudge(patient, folder, rank=0) as judge:
        while chunk := list(islice(keys, _AT_ONCE)):
            judged = judge.start([asks[key] for key in chunk]).wait()
            for key, one in zip(chunk, judged, strict=True):
                verdicts[key] = _word(one)
                if one.verdict is None:
                    unscored[key] = str(one.detail).partition(":")[0]
            _check_alive(name, judged, len(verdicts) - len(unscored))
            progress(len(chunk))
    return JudgeReplies(
        name=name,
        verdicts=verdicts,
        unscored=unscored,
        spent_usd=sum(entry["cost_usd"] for path in folder.glob("*.jsonl") for entry in read_journal(path)),
        provenance={
            "engine": identity(config.engine),
            "prompt_sha256": load_judge_prompt(config.prompt).sha256,
            "tries": config.tries,
            "temperature": config.temperature,
            "max_tokens": config.max_tokens,
            "structured": config.structured,
        },
    )


def _parse(text: str) -> NamedJudge:
    if text == RECORDED:
        return NamedJudge(RECORDED, None)
    name, _, file = text.partition("=")
    if not file or name == RECORDED or not _NAME.fullmatch(name):
        raise ConfigError(
            f"--judge reads {RECORDED} or NAME=FILE.yaml, with a NAME of its own out of letters, digits, . _ and -; "
            f"not {text!r:.100}"
        )
    return NamedJudge(name, load_config(JudgeFile, Path(file)).as_judge())


def _check_alive(name: str, judged: list[Judged], num_verdicts: int) -> None:
    """A whole round without a verdict, or none at all yet, is a judge that cannot be compared."""
    if any(one.verdict is not None for one in judged) or (num_verdicts and len(judged) < _AT_ONCE):
        return
    why = " ".join(str(judged[-1].detail).split()).rstrip(".")
    raise FatalEngineError(
        f"judge {name} gave no verdict on {len(judged):,} observations in a row: {why}. Mend its server or its file "
        "and run the same command again; nothing that was paid is asked again."
    )


def _word(judged: Judged) -> str | None:
    if judged.verdict is None:
        return None
    return SUFFICIENT if judged.verdict.sufficient else INSUFFICIENT

"""Ask judges about the labelled questions, and measure how far they agree with the labels.

A live judge is defined like the one of a run: the same prompt, parser, engines, dispatcher, tries, prices and budget.
Only questions that the labellers decided are asked. Every answer is in `checks/calibrate/*.jsonl` before the next is
awaited, under a key that hashes all it depends on, so that nothing paid is lost or asked again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import Field
from rich.console import Console

from curation.answers import Caller, read_spent_usd
from curation.budget import Budget, Price, load_prices, price_for_budget
from curation.calibration import RECORDED, Calibration, JudgeVerdicts, decided_labels, measure_calibration
from curation.checks import write_check
from curation.config import load_config
from curation.describe import refresh_card
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, identity
from curation.engines.dispatch import Limiter
from curation.engines.trial import Trial
from curation.errors import ConfigError, RunDirectoryError
from curation.journal import content_key
from curation.labelled import LabelFile, LabelledQuestion, load_label_file
from curation.locate import LocatedDataset
from curation.progress import show_progress
from curation.prompts import load_judge_prompt
from curation.rundir import hold_folder
from curation.verify import Verification, Verifier, VerifyConfig

CHECK: Final = "agreement"  # checks/agreement.json
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_VERDICT_COLUMNS: Final = {"id": pl.String, "verdict": pl.String, "unscored": pl.String}


class JudgeConfig(VerifyConfig):
    """A judge's YAML file: the section `verify` of a run, and prices that the shipped table lacks."""

    prices: dict[str, Price] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NamedJudge:
    """A judge as the command line names it; config null = the verdicts that the dataset holds."""

    name: str
    config: JudgeConfig | None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """spent_usd: what all answers of these judges have cost so far. check: where the result lies for the card."""

    calibration: Calibration
    spent_usd: float
    check: Path | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a judge gets to see of a labelled trace."""

    observation: str


@dataclass(frozen=True, slots=True)
class _LiveJudge:
    name: str
    verifier: Verifier
    journal: Path


def parse_judge(text: str) -> NamedJudge:
    """`recorded`, or NAME=FILE.yaml. Raises ConfigError."""
    if text == RECORDED:
        return NamedJudge(RECORDED, None)
    name, _, file = text.partition("=")
    if not file or name == RECORDED or not _NAME.fullmatch(name):
        raise ConfigError(
            f"--judge reads {RECORDED} or NAME=FILE.yaml, with a NAME of its own out of letters, digits, . _ and -; "
            f"not {text!r:.100}"
        )
    return NamedJudge(name, load_config(JudgeConfig, Path(file)))


def calibrate(
    labels: Path,
    dataset: LocatedDataset | None,
    judges: Sequence[NamedJudge],
    *,
    budget_usd: float | None = None,
    retry_failed: bool = False,
    console: Console,
) -> Calibrated:
    """Measure `judges` on the labels; with a local dataset the result is kept for its card.

    Raises ConfigError, SourceError, RunDirectoryError, BudgetExceeded and FatalEngineError; answers are kept then too.
    """
    _check_judges(judges, dataset)
    label_file = load_label_file(labels, dataset.folder if dataset is not None else None)
    home = dataset.home if dataset is not None and dataset.home is not None else labels.absolute().parent
    verdicts: dict[str, JudgeVerdicts] = {}
    spent_usd = 0.0
    if any(judge.config is None for judge in judges):
        verdicts[RECORDED] = recorded_verdicts(label_file.questions)
    if live := {judge.name: judge.config for judge in judges if judge.config is not None}:
        asking = _ask_all(live, label_file, home / "checks" / "calibrate", budget_usd, retry_failed, console)
        asked, spent_usd = asyncio.run(asking)
        verdicts |= asked
    calibration = measure_calibration(
        label_file.labels,
        {question_id: known.question.problem_type for question_id, known in label_file.questions.items()},
        [verdicts[judge.name] for judge in judges],
        labels_file=label_file.name,
        labels_sha256=label_file.sha256,
        num_outdated=label_file.num_outdated,
    )
    check = None
    if dataset is not None and dataset.home is not None:
        check = write_check(dataset.home, CHECK, dataset.folder, calibration)
        refresh_card(dataset.folder, dataset.home)
    return Calibrated(calibration, spent_usd, check)


def recorded_verdicts(questions: Mapping[str, LabelledQuestion]) -> JudgeVerdicts:
    """What the dataset says, with the models and prompts that it names."""
    rows = []
    for question_id, known in questions.items():
        why = "no verdict" if known.recorded_judge else "not judged" if known.observation else "no observation"
        rows.append((question_id, known.recorded_verdict, None if known.recorded_verdict else why))
    return JudgeVerdicts(
        RECORDED,
        tuple(sorted({known.recorded_judge for known in questions.values() if known.recorded_judge})),
        tuple(sorted({known.recorded_prompt_sha256 for known in questions.values() if known.recorded_prompt_sha256})),
        pl.DataFrame(rows, schema=_VERDICT_COLUMNS, orient="row"),
    )


def _check_judges(judges: Sequence[NamedJudge], dataset: LocatedDataset | None) -> None:
    names = [judge.name for judge in judges]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"--judge names {sorted(twice)} more than once; give every judge a name of its own.")
    if RECORDED in names and dataset is None:
        raise ConfigError(
            "recorded verdicts stand in a dataset: name it with --dataset, or a judge to ask with --judge NAME=FILE."
        )


async def _ask_all(
    configs: Mapping[str, JudgeConfig],
    label_file: LabelFile,
    folder: Path,
    budget_usd: float | None,
    retry_failed: bool,
    console: Console,
) -> tuple[dict[str, JudgeVerdicts], float]:
    """One judge after the other; what is wrong with any of them comes out before the first is asked."""
    async with AsyncExitStack() as stack:
        _lock(folder, stack)
        judges = _open_judges(configs, folder, budget_usd, stack)
        decided = decided_labels(label_file.labels)
        observed = {
            question_id: (known.question, _Seen(known.observation))
            for question_id, known in label_file.questions.items()
            if question_id in decided and known.observation is not None
        }
        found: dict[str, JudgeVerdicts] = {}
        for judge in judges:
            with show_progress(console, judge.name, len(observed)) as advance:
                verifications = await judge.verifier.verify(
                    observed, 1, judge.journal, retry_failed=retry_failed, progress=advance
                )
            found[judge.name] = _live_verdicts(judge, label_file.questions, verifications)
        return found, sum(read_spent_usd(path) for path in {judge.journal for judge in judges})


def _open_judges(
    configs: Mapping[str, JudgeConfig], folder: Path, budget_usd: float | None, stack: AsyncExitStack
) -> list[_LiveJudge]:
    """Engines that are closed with the stack, on one budget. Raises ConfigError."""
    prompts = {name: load_judge_prompt(config.prompt) for name, config in configs.items()}
    journals = {name: folder / f"{_judge_key(config, prompts[name].sha256)}.jsonl" for name, config in configs.items()}
    budget = Budget(budget_usd, sum(read_spent_usd(path) for path in set(journals.values())))
    judges = []
    for name, config in configs.items():
        price = price_for_budget(config.engine, load_prices(config.prices).models, budget_usd)
        engine = build_engine(config.engine)
        stack.push_async_callback(engine.close)
        batches = config.engine.batches if isinstance(config.engine, AnthropicConfig) else None
        limiter = Limiter(config.dispatch.max_in_flight)
        trial = Trial(config.dispatch.stop_after_unusable, what=f"the judge {name}")
        caller = Caller(engine, limiter, config.dispatch, budget, price, batches, trial)
        judges.append(_LiveJudge(name, Verifier(config, prompts[name], caller), journals[name]))
    return judges


def _judge_key(config: JudgeConfig, prompt_sha256: str) -> str:
    """Names a judge's journal, 16 hex digits; what is in it is found by keys of its own."""
    sampling = (config.max_tokens, config.temperature, config.retry_temperature, config.structured)
    return content_key("calibrate", identity(config.engine), prompt_sha256, *sampling)[:16]


def _lock(folder: Path, stack: AsyncExitStack) -> None:
    """Two commands at a time would pay twice. Raises RunDirectoryError."""
    try:
        stack.enter_context(hold_folder(folder, "end that process"))
    except PermissionError as error:
        raise RunDirectoryError(
            f"cannot write {folder}: {error.strerror}. Answers are kept there; copy the labels to a folder of yours."
        ) from error


def _live_verdicts(
    judge: _LiveJudge, questions: Mapping[str, LabelledQuestion], verifications: Mapping[str, Verification]
) -> JudgeVerdicts:
    rows: list[tuple[str, str | None, str | None]] = []
    for question_id, known in questions.items():
        verification = verifications.get(question_id)
        if verification is None:
            rows.append((question_id, None, "no observation" if known.observation is None else "not asked"))
        else:
            why = None if verification.detail is None else verification.detail.partition(":")[0]
            rows.append((question_id, verification.verdict, why))
    verifier = judge.verifier
    return JudgeVerdicts(
        judge.name,
        (verifier.caller.engine.model,),
        (verifier.prompt.sha256,),
        pl.DataFrame(rows, schema=_VERDICT_COLUMNS, orient="row"),
    )

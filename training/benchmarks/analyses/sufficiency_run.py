"""Ask a model under every condition of the sufficiency analysis. Killed, it goes on where it was.

analyses/sufficiency/<benchmark>.jsonl          every answer, found again by what it depends on
analyses/sufficiency/<benchmark>.judge.jsonl    every verdict on an open answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from curation.errors import ConfigError
from curation.progress import show_progress
from curation.prompts import Prompt
from training.benchmarks.analyses.sufficiency import Condition, Observer, ask_under, conditions_of
from training.benchmarks.analyses.written_observations import WrittenObservations, read_observations
from training.benchmarks.answering import Answerer, BenchmarkAnswer
from training.benchmarks.config import BenchmarkConfig, PromptName
from training.benchmarks.open_judge import judge_open_answers
from training.benchmarks.planning import judge_of
from training.benchmarks.protocols import ScoredRow, score_questions
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.scoring import Reply
from training.benchmarks.sources import load_benchmark


@dataclass(frozen=True, slots=True)
class Observed:
    """One benchmark and what each observer wrote for its questions."""

    loaded: LoadedBenchmark
    observations: Mapping[Observer, WrittenObservations]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Those that can be asked."""
        return conditions_of(tuple(self.observations))


@dataclass(frozen=True, slots=True)
class Answered:
    """One benchmark under every condition. rows, answers: by the condition's name; answers further by question.

    judge: who judged its open answers; None where it has none, or nobody did.
    """

    observed: Observed
    rows: Mapping[str, Sequence[ScoredRow]]
    answers: Mapping[str, Mapping[str, BenchmarkAnswer]]
    judge: str | None


def load_observed(config: BenchmarkConfig, runs: Mapping[Observer, Path]) -> list[Observed]:
    """Every chosen benchmark with the observations in `runs`.

    Raises UserError subclasses; RunDirectoryError when a run did not finish a benchmark, or asked other questions,
    ConfigError when "other" is a run of the same model, which would be no other.
    """
    found = []
    for name in config.chosen:
        loaded = load_benchmark(name, config.sources[name], config.protocol, max_questions=config.max_questions)
        observations = {observer: read_observations(run_dir, loaded) for observer, run_dir in runs.items()}
        names = {(one.result.model, one.result.model_revision) for one in observations.values()}
        if len(names) < len(observations):
            raise ConfigError(
                f"--from and --other are both runs of {observations['own'].result.model}. Give --other a run of "
                "another model, or leave it out."
            )
        found.append(Observed(loaded, observations))
    return found


def answer_conditions(
    observed: Observed,
    config: BenchmarkConfig,
    answerer: Answerer,
    prompt: PromptName,
    trace_prompt: Prompt,
    folder: Path,
    console: Console,
) -> Answered:
    """Ask, judge and score one benchmark under each of its conditions. Raises UserError subclasses."""
    name = observed.loaded.benchmark
    rows: dict[str, list[ScoredRow]] = {}
    answers: dict[str, dict[str, BenchmarkAnswer]] = {}
    for number, condition in enumerate(observed.conditions, start=1):
        asks = ask_under(condition, observed.loaded, observed.observations, prompt, trace_prompt)
        with show_progress(console, f"{name} {number}/{len(observed.conditions)}", len(asks)) as advance:
            found = answerer.answer(asks, folder / f"{name}.jsonl", progress=advance, retry_failed=True)
        outputs = {uid: answer.text for uid, answer in found.items()}
        journal = folder / f"{name}.judge.jsonl"
        verdicts = judge_open_answers(config, observed.loaded.questions, outputs, journal, console)
        replies = {
            uid: Reply(answer.text, is_judged=uid in verdicts, verdict=verdicts.get(uid))
            for uid, answer in found.items()
        }
        answers[condition.name] = found
        rows[condition.name] = score_questions(observed.loaded.questions, replies, config.protocol)
    return Answered(observed, rows, answers, judge_of(observed.loaded, config))

"""Does the answer follow from the thinking? (VideoP2R section 4, think-answer mismatch)

Of each multiple-choice question: the option that the think text settles on, beside the letter of the answer block. Two
readers say what the text settles on: a rule (conclusion.py), always; a model (extraction.py), where one is named. Each
question has one outcome per reader, and the mismatch is the share of `different` among `same` and `different`: where
the text settles on nothing or the answer names no option there is nothing to compare, and it is counted apart. The
paper does not say on which side it counts its "No"; `rate_with_undecided` counts them as mismatches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from curation.errors import RunDirectoryError
from curation.statistics import wilson_interval
from training.benchmarks.analyses.agreement import Agreement, measure_agreement
from training.benchmarks.analyses.conclusion import settled_option
from training.benchmarks.analyses.extraction import UNDECIDED, Thought
from training.benchmarks.answers import official_passage, read_letter
from training.benchmarks.config import PromptName
from training.benchmarks.fingerprint import same_table
from training.benchmarks.loaders import demo
from training.benchmarks.protocols import TITLES
from training.benchmarks.results import BenchmarkResult, ResultRow, find_results, read_rows
from training.processes import split_processes


class Outcome(StrEnum):
    """What one reader makes of one question; the first that holds."""

    NO_OUTPUT = "no output"  # the video is missing, or the engine brought nothing
    NO_THINK = "no think"  # think and answer are not in the template
    UNPARSED = "unparsed answer"  # the answer block names no option
    UNREAD = "unread"  # the extractor failed, or gave no reply in form
    UNDECIDED = "undecided"  # the think text settles on no option: "No"
    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class ThinkRow:
    """One question. think: null where the output is not in form. answer: a letter, null where it names no option.

    rule, model: what the think text settles on, a letter or UNDECIDED; null without a think, and `model` also when it
    was not asked or gave no reply in form. detail: why it did not.
    """

    benchmark: str
    id: str
    question: str
    options: tuple[str, ...]
    has_output: bool
    think: str | None
    answer: str | None
    rule: str | None
    model: str | None = None
    detail: str | None = None

    @property
    def uid(self) -> str:
        """Unique in a run."""
        return f"{self.benchmark}:{self.id}"


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcomes of some questions by one reader; they add up to num_rows."""

    num_rows: int
    outcomes: Mapping[Outcome, int]

    @property
    def num_compared(self) -> int:
        """Questions with an option in both think and answer."""
        return self.outcomes[Outcome.SAME] + self.outcomes[Outcome.DIFFERENT]

    @property
    def rate(self) -> float | None:
        """The mismatch, in [0, 1]; None when nothing was compared."""
        return self.outcomes[Outcome.DIFFERENT] / self.num_compared if self.num_compared else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the rate."""
        return wilson_interval(self.outcomes[Outcome.DIFFERENT], self.num_compared)

    @property
    def rate_with_undecided(self) -> float | None:
        """The mismatch where a text that settles on nothing disagrees with its answer, whatever that is."""
        num_undecided = self.outcomes[Outcome.UNDECIDED]
        num = self.num_compared + num_undecided
        return (self.outcomes[Outcome.DIFFERENT] + num_undecided) / num if num else None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """by_benchmark: benchmark -> reader ("rule", "model") -> its tally.

    pooled: the same over all rows of all benchmarks but the demo world; None where these are fewer than two.
    agreement: of the two readers on what think texts settle on, "No" included; None without a model.
    """

    by_benchmark: Mapping[str, Mapping[str, Tally]]
    pooled: Mapping[str, Tally] | None
    agreement: Agreement | None


def load_thinking(run_dir: Path, prompt: PromptName) -> tuple[list[BenchmarkResult], list[ThinkRow]]:
    """The finished results of a run with one prompt, and their multiple-choice rows, read by the rule.

    Raises RunDirectoryError when there is none of either, MixedFingerprints when they were not made in one way.
    """
    order = list(TITLES)
    found = [(folder, result) for folder, result in find_results(run_dir) if result.fingerprint.prompt == prompt]
    found.sort(key=lambda one: order.index(one[1].benchmark) if one[1].benchmark in order else len(order))
    if not found:
        raise RunDirectoryError(
            f"{run_dir} has no finished result with the prompt {prompt!r}. Make it with python -m training.benchmarks "
            "run CONFIG."
        )
    same_table(result.fingerprint for _, result in found)
    results = [result for _, result in found]
    if len(models := {result.model for result in results}) > 1:
        raise RunDirectoryError(f"the results in {run_dir} are of several models, {', '.join(sorted(models))}.")
    rows = [_read(result.benchmark, row) for folder, result in found for row in read_rows(folder) if row.kind == "mc"]
    if not rows:
        raise RunDirectoryError(
            f"no question in {run_dir} is multiple choice, so no think text has an option to settle on."
        )
    return results, rows


def thoughts_of(rows: Iterable[ThinkRow]) -> list[Thought]:
    """What an extractor is asked about: every think text, also where the answer cannot be read."""
    return [Thought(row.uid, row.question, row.options, row.think) for row in rows if row.think is not None]


def judge(row: ThinkRow, settled: str | None) -> Outcome:
    """The outcome by one reader, who says `settled`."""
    if not row.has_output:
        return Outcome.NO_OUTPUT
    if row.think is None:
        return Outcome.NO_THINK
    if row.answer is None:
        return Outcome.UNPARSED
    if settled is None:
        return Outcome.UNREAD
    if settled == UNDECIDED:
        return Outcome.UNDECIDED
    return Outcome.SAME if settled == row.answer else Outcome.DIFFERENT


def measure_mismatch(rows: Sequence[ThinkRow], *, has_model: bool) -> Mismatch:
    """Count, by benchmark and pooled. has_model: whether a model read the think texts as well."""
    by_benchmark: dict[str, list[ThinkRow]] = {}
    for row in rows:
        by_benchmark.setdefault(row.benchmark, []).append(row)
    pairs = [(row.rule, row.model) for row in rows if row.rule is not None and row.model is not None]
    others = [name for name in by_benchmark if name != demo.NAME]
    return Mismatch(
        {name: _tallies(found, has_model) for name, found in by_benchmark.items()},
        _tallies([row for name in others for row in by_benchmark[name]], has_model) if len(others) > 1 else None,
        measure_agreement(pairs) if has_model else None,
    )


def _read(benchmark: str, row: ResultRow) -> ThinkRow:
    output = row.output or ""
    block = split_processes(output).think
    think = None if block is None else output[block.inner_start : block.inner_end].strip()
    return ThinkRow(
        benchmark=benchmark,
        id=row.id,
        question=row.question,
        options=row.options,
        has_output=bool(output.strip()),
        think=think,
        answer=None if think is None else read_letter(official_passage(output), row.options),
        rule=None if think is None else settled_option(think, row.options) or UNDECIDED,
    )


def _tallies(rows: Sequence[ThinkRow], has_model: bool) -> dict[str, Tally]:
    readers: dict[str, Callable[[ThinkRow], str | None]] = {"rule": lambda row: row.rule}
    if has_model:
        readers["model"] = lambda row: row.model
    return {name: _tally(judge(row, read(row)) for row in rows) for name, read in readers.items()}


def _tally(outcomes: Iterable[Outcome]) -> Tally:
    counts = Counter(outcomes)
    return Tally(counts.total(), {outcome: counts[outcome] for outcome in Outcome})

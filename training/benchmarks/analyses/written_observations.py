"""The observations that a model wrote for the questions of a benchmark, from the finished rows of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.errors import RunDirectoryError
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.results import BenchmarkResult, load_result, read_rows, result_folder
from training.processes import split_processes


@dataclass(frozen=True, slots=True)
class WrittenObservations:
    """One run over one benchmark. by_uid: each question's observation; null where none was well-formed."""

    result: BenchmarkResult
    by_uid: Mapping[str, str | None]

    @property
    def num_lacking(self) -> int:
        """Questions without a well-formed observation."""
        return sum(observation is None for observation in self.by_uid.values())


def read_observations(run_dir: Path, loaded: LoadedBenchmark) -> WrittenObservations:
    """Of each question of `loaded`, from the run's results with the trace prompt.

    Raises RunDirectoryError when the run did not finish this benchmark or answered other questions.
    """
    folder = result_folder(run_dir, loaded.benchmark, "trace")
    result = load_result(folder)
    if result is None:
        raise RunDirectoryError(
            f"{run_dir} has no finished result of {loaded.benchmark} with the trace prompt, so there are no "
            "observations. Make it with python -m training.benchmarks run CONFIG, or leave this benchmark out with "
            "benchmark.names=[...]."
        )
    outputs = {row.id: row.output for row in read_rows(folder)}
    lacking = [question.uid for question in loaded.questions if question.uid not in outputs]
    if lacking or result.fingerprint.dataset_revision != loaded.revision:
        what = f"has no row for {lacking[0]!r}" if lacking else f"is of revision {result.fingerprint.dataset_revision}"
        raise RunDirectoryError(
            f"{run_dir} was run over other questions of {loaded.benchmark}: it {what}, and the config asks for "
            f"{len(loaded.questions):,} questions of revision {loaded.revision}. Give both the same section benchmark."
        )
    return WrittenObservations(
        result, {question.uid: find_observation(outputs[question.uid] or "") for question in loaded.questions}
    )


def find_observation(output: str) -> str | None:
    """The text of a well-formed observation block, by the parser of training; None without one. Never raises."""
    block = split_processes(output).observation
    return None if block is None else output[block.inner_start : block.inner_end].strip()

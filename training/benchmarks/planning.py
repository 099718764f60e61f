"""What a run is about to do: every benchmark loaded, its media hashed, and what is finished already."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.errors import ConfigError
from curation.progress import show_progress
from curation.prompts import Prompt
from training.benchmarks.config import BenchmarkConfig, PromptName
from training.benchmarks.file_hashes import FileHashes, total_bytes
from training.benchmarks.fingerprint import Fingerprint, differences
from training.benchmarks.identity import hash_all_media, make_fingerprint, media_files
from training.benchmarks.open_judge import judge_name
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.results import FOLDER, SCORE, BenchmarkResult, load_result, result_folder
from training.benchmarks.sources import load_benchmark

_NAMED: Final = 3  # missing files that are named


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """One benchmark with one prompt, and where its result goes."""

    loaded: LoadedBenchmark
    prompt: PromptName
    fingerprint: Fingerprint
    folder: Path

    @property
    def title(self) -> str:
        """For bars."""
        return f"{self.loaded.benchmark} {self.prompt}"


def load_all(config: BenchmarkConfig) -> list[LoadedBenchmark]:
    """The chosen benchmarks, in the order of the table. Raises BenchmarkError, HubError and ConfigError."""
    return [
        load_benchmark(name, config.sources[name], config.protocol, max_questions=config.max_questions)
        for name in config.chosen
    ]


def plan_tasks(run_dir: Path, config: BenchmarkConfig, trace_prompt: Prompt, console: Console) -> list[BenchmarkTask]:
    """Every benchmark with every prompt. What is missing is said on `console`. Raises as `load_all`."""
    tasks = []
    for loaded in load_all(config):
        for line in describe(loaded):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        media_sha256 = _hash_media(loaded, config.sources[loaded.benchmark].media_root, run_dir / FOLDER, console)
        tasks += [
            BenchmarkTask(
                loaded,
                prompt,
                make_fingerprint(
                    loaded,
                    prompt,
                    config,
                    trace_prompt=trace_prompt,
                    media_sha256=media_sha256,
                    judge=judge_of(loaded, config),
                ),
                result_folder(run_dir, loaded.benchmark, prompt),
            )
            for prompt in config.prompts
        ]
    return tasks


def judge_of(loaded: LoadedBenchmark, config: BenchmarkConfig) -> str | None:
    """Who judges this benchmark's open answers; None where it has none, so that a judge changes nothing there."""
    has_open = any(question.kind == "open" for question in loaded.questions)
    return judge_name(config.judge) if config.judge is not None and has_open else None


def find_finished(task: BenchmarkTask, model: str, model_revision: str | None) -> BenchmarkResult | None:
    """The result, if it is finished. Raises ConfigError for one of another model, or made in another way."""
    found = load_result(task.folder)
    if found is None:
        return None
    changed = differences(found.fingerprint, task.fingerprint)
    before, now = (found.model, found.model_revision), (model, model_revision)
    if _is_other(before, now):
        changed = {"model": (_at(*before), _at(*now))} | changed
    if not changed:
        return found
    raise ConfigError(
        f"{task.folder} was scored with {name_change(changed)}. Set run_dir to another folder, or "
        f"delete {task.folder / SCORE} to score it anew; an answer that would be the same is not asked for again."
    )


def name_change(changed: Mapping[str, tuple[object, object]]) -> str:
    """The first of `differences` in words, and how many more there are."""
    field, (before, now) = next(iter(changed.items()))
    more = f" and {len(changed) - 1} more differ" if len(changed) > 1 else ""
    return f"{field} = {_shorten(before)}, now it is {_shorten(now)}{more}"


def describe(loaded: LoadedBenchmark) -> Iterator[str]:
    """What was loaded, and the first files that are missing."""
    yield loaded.describe()
    if names := list(loaded.missing_media):
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        yield f"  not there: {', '.join(names[:_NAMED])}{more}"


def _hash_media(loaded: LoadedBenchmark, media_root: Path, otherwise: Path, console: Console) -> str:
    hashes = FileHashes(media_root, otherwise)
    files = list(media_files(loaded.questions))
    if not (unread := hashes.unread(files)):
        return hash_all_media(loaded.questions, hashes.hash_all(files))
    with show_progress(console, f"{loaded.benchmark} media", total_bytes(unread), in_bytes=True) as advance:
        return hash_all_media(loaded.questions, hashes.hash_all(files, advance))


def _is_other(before: tuple[str, str | None], now: tuple[str, str | None]) -> bool:
    """By revision where both have one, because a folder may have been moved; else by name."""
    place = 1 if before[1] is not None and now[1] is not None else 0
    return before[place] != now[place]


def _shorten(value: object) -> str:
    """A hash by its first digits."""
    return re.sub(r"\b[0-9a-f]{64}\b", lambda found: found[0][:12], str(value))


def _at(name: str, revision: str | None) -> str:
    return name if revision is None else f"{name} at {revision[:18]}"

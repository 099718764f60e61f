"""`--dry-run`: what a run over benchmarks fetches, asks and lasts, before anything is fetched or asked.

The hub is asked what lies there, and nothing is downloaded. A time is only ever that of a finished result; where there
is none it is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from curation.engines.config import OpenAIConfig
from curation.errors import HubError, UserError
from curation.prompts import Prompt
from training.benchmarks.answering import engine_frames
from training.benchmarks.config import BenchmarkConfig, BenchmarkSource, PromptName
from training.benchmarks.file_hashes import total_bytes
from training.benchmarks.fingerprint import differences
from training.benchmarks.identity import make_fingerprint, media_files
from training.benchmarks.loaders.hub import HubFacts, hub_facts
from training.benchmarks.loaders.layout import Layout
from training.benchmarks.loaders.loading import LAYOUTS
from training.benchmarks.planning import describe, judge_of, name_change
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.results import FOLDER, BenchmarkResult, find_results
from training.benchmarks.sources import hub_place, is_on_hub, load_benchmark
from training.config import ModelConfig
from training.report_words import DASH, duration

_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class PlannedBenchmark:
    """What is known of one benchmark before it is run.

    layout: None for the demo world. loaded: where its annotations are on this machine. facts: where they are on the hub
    and it answered. fault: what was wrong with either.
    """

    name: str
    source: BenchmarkSource
    layout: Layout | None
    loaded: LoadedBenchmark | None = None
    facts: HubFacts | None = None
    fault: UserError | None = None

    @property
    def is_unreachable(self) -> bool:
        """Whether the hub did not answer at all."""
        return isinstance(self.fault, HubError) and self.fault.reason == "unreachable"


def print_plan(
    run_dir: Path,
    config: BenchmarkConfig,
    model: ModelConfig,
    trace_prompt: Prompt,
    *,
    console: Console | None = None,
) -> None:
    """Print it as two tables and notes. What cannot be read or reached is a note too. Raises RunDirectoryError."""
    console = console or Console()
    planned = [plan_benchmark(name, config) for name in config.chosen]
    engine, frames = config.engine, engine_frames(config)
    scored = f"{engine.model} at {engine.base_url}" if isinstance(engine, OpenAIConfig) else f"{model.name}, in process"
    seen = f"chosen by the server ({frames.server})"
    if frames.max_pixels is not None:
        seen = f"up to {frames.num_frames} of {frames.max_pixels:,} pixels"
    results = [found for _, found in find_results(run_dir)]
    changed = _changed(planned, config, results, trace_prompt)
    for line in (
        f"model    {scored}",
        f"frames   {seen}, sent as {frames.sent_as}",
        f"results  {run_dir / FOLDER}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_fetch_table(planned))
    console.print(_question_table(planned, config, results, changed))
    for line in (*_notes(planned, config, results), *changed.values()):
        console.print(line, highlight=False, markup=False)


def plan_benchmark(name: str, config: BenchmarkConfig) -> PlannedBenchmark:
    """Look at it without fetching anything."""
    source, layout = config.sources[name], LAYOUTS.get(name)
    try:
        if layout is not None and is_on_hub(name, source):
            return PlannedBenchmark(name, source, layout, facts=hub_facts(layout, *hub_place(source)))
        loaded = load_benchmark(name, source, config.protocol, max_questions=config.max_questions)
        return PlannedBenchmark(name, source, layout, loaded=loaded)
    except UserError as error:
        return PlannedBenchmark(name, source, layout, fault=error)


def _fetch_table(planned: Sequence[PlannedBenchmark]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="To be fetched (nothing is fetched now)", title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    table.add_column("annotations", overflow="fold")
    for heading in ("bytes", "media"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("terms")
    for found in planned:
        table.add_row(found.name, *_fetched(found))
    return table


def _fetched(found: PlannedBenchmark) -> tuple[str, str, str, str]:
    """(where the annotations are, their bytes, those of the media, terms)."""
    layout, facts = found.layout, found.facts
    if layout is None or not is_on_hub(found.name, found.source):
        terms = "made by this project" if layout is None else layout.licence
        return str(found.source.annotations), "here", DASH, terms
    repo, revision = hub_place(found.source)
    is_gated = facts.is_gated if facts is not None else layout.is_gated
    return (
        f"{repo or layout.repo}@{facts.commit[:8] if facts is not None else revision}",
        _bytes(facts.annotation_bytes if facts is not None else None),
        _bytes(facts.media_bytes if facts is not None else layout.media_bytes),
        f"GATED; {layout.licence}" if is_gated else layout.licence,
    )


def _changed(
    planned: Sequence[PlannedBenchmark],
    config: BenchmarkConfig,
    results: Sequence[BenchmarkResult],
    trace_prompt: Prompt,
) -> dict[tuple[str, str], str]:
    """(benchmark, prompt) of finished results that a run would refuse, and why; but for media, which are not read."""
    loaded = {found.name: found.loaded for found in planned if found.loaded is not None}
    changed: dict[tuple[str, str], str] = {}
    for result in results:
        name, prompt, media = result.benchmark, result.fingerprint.prompt, result.fingerprint.media_sha256
        if name in loaded and prompt in config.prompts:
            judge = judge_of(loaded[name], config)
            now = make_fingerprint(
                loaded[name], prompt, config, trace_prompt=trace_prompt, media_sha256=media, judge=judge
            )
            if found := differences(result.fingerprint, now):
                changed[name, prompt] = f"{name}, {prompt} was scored with {name_change(found)}: set another run_dir."
    return changed


def _question_table(
    planned: Sequence[PlannedBenchmark],
    config: BenchmarkConfig,
    results: Sequence[BenchmarkResult],
    changed: Collection[tuple[str, str]],
) -> Table:
    table = Table(box=SIMPLE_HEAD, title="To be asked, with each prompt", title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    for heading in ("questions", "without media", "media here", *(f"time, {prompt}" for prompt in config.prompts)):
        table.add_column(heading, justify="right")
    all_s: list[float | None] = []
    done = {(result.benchmark, result.fingerprint.prompt) for result in results} - set(changed)
    for found in planned:
        times = []
        for prompt in config.prompts:
            is_done = (found.name, prompt) in done
            seconds = 0.0 if is_done else estimate_seconds(found, prompt, config, results)
            all_s.append(seconds)
            times.append("finished" if is_done else _UNKNOWN if seconds is None else duration(seconds))
        table.add_row(found.name, *_counts(found, config), *times)
    known_s = [seconds for seconds in all_s if seconds is not None]
    total = _UNKNOWN if len(known_s) < len(all_s) else duration(fsum(known_s)) if any(known_s) else "finished"
    table.add_section()
    table.add_row("all", *[""] * (2 + len(config.prompts)), total, style="bold")
    return table


def _counts(found: PlannedBenchmark, config: BenchmarkConfig) -> tuple[str, str, str]:
    """(questions to ask, those without their media, which are not asked; bytes of the media that are there)."""
    num_asked = num_to_ask(found, config)
    asked = _UNKNOWN if num_asked is None else f"{num_asked:,}"
    if found.loaded is not None:
        return asked, f"{len(found.loaded.missing):,}", decimal(total_bytes(media_files(found.loaded.questions)))
    return asked if num_asked is None else f"{asked} published", _UNKNOWN, _UNKNOWN


def estimate_seconds(
    found: PlannedBenchmark, prompt: PromptName, config: BenchmarkConfig, results: Sequence[BenchmarkResult]
) -> float | None:
    """At the speed of finished results with the same prompt, frames, decoding and engine; None when there is none."""
    frames = engine_frames(config)
    alike = [
        one
        for one in results
        if (one.fingerprint.prompt, one.fingerprint.frames, one.engine) == (prompt, frames, config.engine.kind)
        and one.fingerprint.decoding.max_tokens == config.max_tokens
    ]
    num_asked = sum(one.every.num_rows - one.every.num_missing for one in alike)
    num_questions = num_to_ask(found, config)
    if num_questions is None or not num_asked:
        return None
    return fsum(one.seconds for one in alike) / num_asked * num_questions


def num_to_ask(found: PlannedBenchmark, config: BenchmarkConfig) -> int | None:
    """Questions whose media are here; where the annotations are not, what the protocol asks of the published rows.

    None where that is not known: of the demo world, of parts of a benchmark, and of a source that cannot be read.
    """
    if found.loaded is not None:
        return len(found.loaded.questions) - len(found.loaded.missing)
    layout, parts = found.layout, found.source.parts
    if layout is None or not is_on_hub(found.name, found.source):
        return None
    if parts is not None and set(parts) != set(layout.default_parts):
        return None
    num_asked = layout.num_asked.get(config.protocol, layout.num_rows)
    return min(num_asked, config.max_questions or num_asked)


def _notes(
    planned: Sequence[PlannedBenchmark], config: BenchmarkConfig, results: Sequence[BenchmarkResult]
) -> Iterator[str]:
    if results:
        yield f"A time is at the speed of the {len(results)} results that are finished; other videos may take longer."
    else:
        yield "No result is finished here, so nothing is known of the time. A trial: benchmark.max_questions=50."
    unreachable = [found for found in planned if found.is_unreachable]
    if unreachable:
        names = ", ".join(found.name for found in unreachable)
        yield f"Not known of {names}: {unreachable[0].fault} Gates and media bytes are as their pages said."
    for found in planned:
        if found.fault is not None and not found.is_unreachable:
            yield str(found.fault)
        if found.loaded is not None:
            yield from describe(found.loaded)
    for found in planned:
        if found.layout is not None and not found.source.media_root.is_dir():
            yield f"Media to unpack below {found.source.media_root}, which is not there yet: {found.layout.media}."
    if config.judge is None and config.protocol == "official":
        yield "No judge is configured: open answers score by their text alone."


def _bytes(count: int | None) -> str:
    return _UNKNOWN if count is None else decimal(count)

"""A whole run: lock the directory, ingest, look at the media, work off the shards, write the dataset and its report."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from rich.console import Console

from curation.answers import Caller, read_spent_usd
from curation.budget import Budget, load_prices, price_for_budget
from curation.config import dump_config
from curation.decoding import DecoderPool
from curation.describe import describe, find_checks
from curation.draining import drained_when_told
from curation.encoding import MediaEncoder
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, OpenAIConfig
from curation.engines.dispatch import Limiter
from curation.engines.trial import Trial
from curation.errors import BudgetExceeded, ConfigError, RunDirectoryError
from curation.generate import Generator
from curation.ingest import SOURCE_REJECTS, Ingested, ingest, journal_files, referenced_paths
from curation.media import MediaRecord, build_manifest
from curation.overlaps.apply import DETAILS_FILE, apply_overlaps
from curation.pipeline import Stages, run_shard, shard_file
from curation.progress import show_progress
from curation.prompts import load_judge_prompt, load_trace_prompt
from curation.provenance import Provenance, publishable
from curation.report import Report
from curation.run_config import RunConfig
from curation.rundir import RunDirectory
from curation.schema import CONFIG_FILES, CONFIGS
from curation.shards import replace_folder, write_split, write_text
from curation.sources import ShapesConfig, open_source, source_fingerprint
from curation.tokens import load_token_counter
from curation.verify import Verifier

_SHOWN_EVERY_S: Final = 5.0


async def run(config: RunConfig, *, console: Console, retry_failed: bool = False) -> Report:
    """Run, or go on where an earlier run stopped. Everything that a UserError names can be mended and run again."""
    directory = RunDirectory(config.run_dir)
    _refuse_foreign(directory)
    with directory.lock():
        write_text(directory.config, dump_config(config))
        async with AsyncExitStack() as stack:
            # Prompts, keys, prices and the tokenizer first: what is wrong there should not come out after hours of
            # hashing videos.
            trace_prompt = load_trace_prompt(config.generate.prompt)
            judge_prompt = load_judge_prompt(config.verify.prompt)
            generator, judge = await _open_callers(directory, config, stack)
            if isinstance(config.source, ShapesConfig):  # which writes the world's tokenizer with its questions
                ingested = _ingest(directory, config, console)
                count_tokens = load_token_counter(config.tokenizer)
            else:
                count_tokens = load_token_counter(config.tokenizer)
                ingested = _ingest(directory, config, console)
            pool = await stack.enter_async_context(DecoderPool(config.video))
            media = await _measure_media(directory, ingested, config, pool, console)
            engine = config.generate.engine
            encoder = MediaEncoder(pool, engine.image_mime if isinstance(engine, OpenAIConfig) else "image/jpeg")
            stack.push_async_callback(encoder.close)
            stages = Stages(
                Generator(config.generate, config.video, trace_prompt, config.source.media_root, encoder, generator),
                config.filter,
                Verifier(config.verify, judge_prompt, judge),
                media,
                count_tokens,
                config.tokenizer,
                retry_failed,
            )
            await _run_shards(directory, ingested, config, stages, console)
        return _write_dataset(directory, ingested, config, stages)


def _refuse_foreign(directory: RunDirectory) -> None:
    known = directory.config.exists() or directory.questions.exists()
    if directory.root.exists() and any(directory.root.iterdir()) and not known:
        if {entry.name for entry in directory.root.iterdir()} == {".lock"}:
            return
        raise RunDirectoryError(f"{directory.root} holds something else than a run. Give an empty run_dir.")


def _ingest(directory: RunDirectory, config: RunConfig, console: Console) -> Ingested:
    with show_progress(console, "questions") as advance:
        return ingest(
            directory,
            lambda: open_source(config.source),
            source_fingerprint=source_fingerprint(config.source),
            shard_size=config.shard_size,
            progress=advance,
        )


async def _measure_media(
    directory: RunDirectory, ingested: Ingested, config: RunConfig, pool: DecoderPool, console: Console
) -> Mapping[str, MediaRecord]:
    paths = referenced_paths(directory, ingested.num_shards)
    with show_progress(console, "media", len(paths)) as advance:
        num_done = 0

        def advance_to(total_done: int) -> None:
            nonlocal num_done
            advance(total_done - num_done)
            num_done = total_done

        media = await build_manifest(
            paths, root=config.source.media_root, pool=pool, manifest_path=directory.media, progress=advance_to
        )
    if media and all(record.reason in ("missing", "outside_root") for record in media.values()):
        raise ConfigError(
            f"none of the {len(media):,} media files is in {config.source.media_root}, {next(iter(media))!r} among "
            "them. Check source.media_root."
        )
    return media


async def _open_callers(directory: RunDirectory, config: RunConfig, stack: AsyncExitStack) -> tuple[Caller, Caller]:
    """The generator's and the judge's engine, closed with the stack, on one budget. Raises ConfigError.

    A run that was finished once may have nothing to ask: it needs no key until it does.
    """
    prices = load_prices(config.prices).models
    budget = Budget(config.budget_usd, spent_usd(directory))
    callers = []
    for name, section in (("generate", config.generate), ("verify", config.verify)):
        price = price_for_budget(section.engine, prices, config.budget_usd)
        engine = build_engine(section.engine, lazily=directory.report.exists())
        stack.push_async_callback(engine.close)
        batches = section.engine.batches if isinstance(section.engine, AnthropicConfig) else None
        limiter = Limiter(section.dispatch.max_in_flight)
        trial = Trial(
            section.dispatch.stop_after_unusable,
            what=f"{name}: {engine.model}",
            key=f"{name}.dispatch.stop_after_unusable",
        )
        callers.append(Caller(engine, limiter, section.dispatch, budget, price, batches, trial))
    generator, judge = callers
    return generator, judge


def spent_usd(directory: RunDirectory) -> float:
    """What every journalled answer of this run has cost, and what was in flight when a run of it was killed."""
    return sum(read_spent_usd(path) for path in journal_files(directory))


async def _run_shards(
    directory: RunDirectory, ingested: Ingested, config: RunConfig, stages: Stages, console: Console
) -> None:
    """Work off the shards, `open_shards` at a time. After an error no new shard is begun, and those that are open end
    by themselves: what is in flight is paid and belongs into the journal."""
    shards = iter(range(ingested.num_shards))
    failures: list[Exception] = []
    callers = stages.generator.caller, stages.verifier.caller

    async def work() -> None:
        for shard in shards:
            if failures:
                return
            try:
                await run_shard(directory, shard, stages, advance)
            except Exception as error:  # noqa: BLE001 - raised below, once the other shards have ended
                failures.append(error)

    async def keep_shown() -> None:
        while True:
            await asyncio.sleep(_SHOWN_EVERY_S)
            advance(0)

    def note() -> str | None:
        told = [stages.shares.describe(), *(caller.out.describe() for caller in callers)]
        return "; ".join(line for line in told if line) or None

    with (
        show_progress(console, "traces", ingested.num_questions, note=note) as advance,
        drained_when_told([caller.limiter for caller in callers], console),
    ):
        showing = asyncio.create_task(keep_shown())
        try:
            await asyncio.gather(*(work() for _ in range(config.open_shards)))
        finally:
            showing.cancel()
        if failures:
            raise _as_it_ended(failures[0], callers[0].budget)


def _as_it_ended(failure: Exception, budget: Budget) -> Exception:
    """What the shard that met its end first could not know: what the others spent until theirs."""
    return BudgetExceeded(budget.describe_stop()) if isinstance(failure, BudgetExceeded) else failure


def _write_dataset(directory: RunDirectory, ingested: Ingested, config: RunConfig, stages: Stages) -> Report:
    """Join the shards into dataset/, measure it, and describe it: plots, card, report.json."""
    fresh = directory.root / "dataset.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    num_files = 8 if ingested.num_questions > 100_000 else 1
    for name, schema in CONFIGS.items():
        parts = [shard_file(directory, shard, name) for shard in range(ingested.num_shards)]
        if name == "rejected":
            parts.insert(0, directory.questions / SOURCE_REJECTS)
        write_split(fresh / CONFIG_FILES[name], parts, schema, num_files=num_files)
    for name, prompt in (("trace", stages.generator.prompt), ("judge", stages.verifier.prompt)):
        path = fresh / "prompts" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(prompt.file_bytes)
    if (marks := directory.root / DETAILS_FILE).exists():
        apply_overlaps(fresh, marks)
    report = describe(
        fresh,
        _provenance(config),
        checks=find_checks(directory.root, fresh, allow_stale=True),
        num_read=ingested.num_questions + ingested.num_rejects,
    )
    write_text(directory.report, report.model_dump_json(indent=2))
    replace_folder(fresh, directory.dataset)
    return report


def _provenance(config: RunConfig) -> Provenance:
    source = config.source
    return Provenance(
        source=source.kind,
        tokenizer=publishable(config.tokenizer),
        config=publishable(config.model_dump(mode="json")),
        media_repo=None if isinstance(source, ShapesConfig) else source.media_repo,
    )

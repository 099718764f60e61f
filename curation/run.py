"""A whole run: lock the directory, ingest, look at the media, work off the shards, write the dataset and its report."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console

from curation.answers import Caller
from curation.budget import FREE, Budget, Price, load_prices
from curation.card import write_card
from curation.config import dump_config
from curation.decoding import DecoderPool
from curation.engines.base import Engine
from curation.engines.build import build_engine
from curation.engines.config import AnthropicConfig, DispatchConfig, EngineConfig
from curation.engines.dispatch import Limiter
from curation.engines.scripted import ScriptedConfig, ScriptedJudgeConfig
from curation.errors import ConfigError, RunDirectoryError
from curation.generate import Generator, MediaEncoder
from curation.ingest import SOURCE_REJECTS, Ingested, ingest, referenced_paths
from curation.journal import read_journal
from curation.media import MediaRecord, build_manifest
from curation.pipeline import Stages, run_shard, shard_file
from curation.plots import write_plots
from curation.progress import show_progress
from curation.prompts import load_judge_prompt, load_trace_prompt
from curation.report import Report
from curation.run_config import RunConfig
from curation.rundir import RunDirectory
from curation.schema import CONFIG_FILES, CONFIGS
from curation.shards import replace_folder, write_split, write_text
from curation.sources import open_source, source_fingerprint
from curation.stats import measure
from curation.tokens import load_token_counter
from curation.verify import Verifier


async def run(config: RunConfig, *, console: Console, retry_failed: bool = False) -> Report:
    """Run, or go on where an earlier run stopped. Everything that a UserError names can be mended and run again."""
    directory = RunDirectory(config.run_dir)
    _refuse_foreign(directory)
    with directory.lock():
        write_text(directory.config, dump_config(config))
        with show_progress(console, "questions") as advance:
            ingested = ingest(
                directory,
                lambda: open_source(config.source),
                source_fingerprint=source_fingerprint(config.source),
                shard_size=config.shard_size,
                progress=advance,
            )
        async with DecoderPool(config.video) as pool:
            media = await _measure_media(directory, ingested, config, pool, console)
            async with _open_stages(directory, config, media, pool, retry_failed) as stages:
                await _run_shards(directory, ingested, config, stages, console)
                provenance = _provenance(config, stages)
        return _write_dataset(directory, ingested, provenance)


def _refuse_foreign(directory: RunDirectory) -> None:
    known = directory.config.exists() or directory.questions.exists()
    if directory.root.exists() and any(directory.root.iterdir()) and not known:
        if {entry.name for entry in directory.root.iterdir()} == {".lock"}:
            return
        raise RunDirectoryError(f"{directory.root} holds something else than a run. Give an empty run_dir.")


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

        return await build_manifest(
            paths, root=config.source.media_root, pool=pool, manifest_path=directory.media, progress=advance_to
        )


@asynccontextmanager
async def _open_stages(
    directory: RunDirectory,
    config: RunConfig,
    media: Mapping[str, MediaRecord],
    pool: DecoderPool,
    retry_failed: bool,
) -> AsyncIterator[Stages]:
    """Build both engines and what surrounds them; close them however the run ends."""
    prices = load_prices(config.prices).models
    budget = Budget(config.budget_usd, spent_usd(directory))
    generator_price = price_of(config.generate.engine, prices, config.budget_usd)
    judge_price = price_of(config.verify.engine, prices, config.budget_usd)
    trace_prompt = load_trace_prompt(config.generate.prompt)
    judge_prompt = load_judge_prompt(config.verify.prompt)
    count_tokens = load_token_counter(config.tokenizer)
    generator_engine = build_engine(config.generate.engine)
    try:
        judge_engine = build_engine(config.verify.engine)
        try:
            mime = getattr(config.generate.engine, "image_mime", "image/jpeg")
            encoder = MediaEncoder(pool, mime)
            judge_caller = _caller(judge_engine, config.verify.engine, config.verify.dispatch, budget, judge_price)
            yield Stages(
                generator=Generator(
                    config.generate,
                    config.video,
                    trace_prompt,
                    generator_engine,
                    config.source.media_root,
                    encoder,
                ),
                generator_caller=_caller(
                    generator_engine, config.generate.engine, config.generate.dispatch, budget, generator_price
                ),
                filter=config.filter,
                verifier=Verifier(config.verify, judge_prompt, judge_caller),
                media=media,
                count_tokens=count_tokens,
                tokenizer=config.tokenizer,
                retry_failed=retry_failed,
            )
        finally:
            await judge_engine.close()
    finally:
        await generator_engine.close()


def _caller(engine: Engine, config: EngineConfig, dispatch: DispatchConfig, budget: Budget, price: Price) -> Caller:
    batches = config.batches if isinstance(config, AnthropicConfig) else None
    return Caller(engine, Limiter(dispatch.max_in_flight), dispatch, budget, price, batches)


def price_of(engine: EngineConfig, prices: Mapping[str, Price], budget_usd: float | None) -> Price:
    """Raises ConfigError when a budget is set and this model's price is not known: null is not zero."""
    if isinstance(engine, ScriptedConfig | ScriptedJudgeConfig):
        return FREE
    price = prices.get(engine.model)
    if price is None and budget_usd is not None:
        raise ConfigError(
            f"budget_usd is set, but the price of {engine.model!r} is not known. Add it: prices: "
            f"{{{engine.model}: {{input: 0, output: 0}}}} (US dollars per million tokens; 0 for your own server)."
        )
    return price or FREE


def spent_usd(directory: RunDirectory) -> float:
    """What every journalled answer of this run has cost."""
    journals = directory.journals.glob("*.jsonl") if directory.journals.exists() else ()
    return sum(entry.get("cost_usd") or 0.0 for path in journals for entry in read_journal(path))


async def _run_shards(
    directory: RunDirectory, ingested: Ingested, config: RunConfig, stages: Stages, console: Console
) -> None:
    """Work off the shards, `open_shards` at a time. After an error no new shard is begun, and those that are open end
    by themselves: what is in flight is paid and belongs into the journal."""
    shards = iter(range(ingested.num_shards))
    failures: list[Exception] = []

    async def work() -> None:
        for shard in shards:
            if failures:
                return
            try:
                await run_shard(directory, shard, stages, advance)
            except Exception as error:  # noqa: BLE001 - raised below, once the other shards have ended
                failures.append(error)

    with show_progress(console, "traces", ingested.num_questions) as advance:
        await asyncio.gather(*(work() for _ in range(config.open_shards)))
    if failures:
        raise failures[0]


def _write_dataset(directory: RunDirectory, ingested: Ingested, provenance: Mapping[str, Any]) -> Report:
    """Join the shards into dataset/, measure it, and describe it: plots, card, report.json."""
    fresh = directory.root / "dataset.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    num_files = 8 if ingested.num_questions > 100_000 else 1
    for name, schema in CONFIGS.items():
        parts = [shard_file(directory, shard, name) for shard in range(ingested.num_shards)]
        if name == "rejected":
            parts.insert(0, directory.questions / SOURCE_REJECTS)
        write_split(fresh / CONFIG_FILES[name], parts, schema, num_files=num_files)
    report = measure(fresh)
    write_plots(report, fresh / "plots")
    write_card(fresh, report, provenance)
    write_text(directory.report, report.model_dump_json(indent=2))
    replace_folder(fresh, directory.dataset)
    return report


def _provenance(config: RunConfig, stages: Stages) -> dict[str, Any]:
    return {
        "source": config.source.kind,
        "generator": stages.generator.engine.model,
        "prompt_sha256": stages.generator.prompt.sha256,
        "judge": stages.verifier.caller.engine.model,
        "judge_prompt_sha256": stages.verifier.prompt.sha256,
        "tokenizer": config.tokenizer,
        "config": _publishable(config.model_dump(mode="json")),
    }


def _publishable(section: Any) -> Any:
    """Without the addresses of servers: they are nobody's business and change no answer."""
    if not isinstance(section, dict):
        return section
    return {key: _publishable(value) for key, value in section.items() if key not in ("base_url", "api_key_env")}

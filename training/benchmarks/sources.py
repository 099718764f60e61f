"""From the config's word for a benchmark to its questions: a folder, a file of Video-R1, the hub, or the demo world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from curation.errors import ConfigError
from training.benchmarks.config import BenchmarkSource
from training.benchmarks.loaders import demo
from training.benchmarks.loaders.demo import load_demo
from training.benchmarks.loaders.loading import load_hub
from training.benchmarks.loaders.videor1_json import load_videor1
from training.benchmarks.question import LoadedBenchmark
from training.benchmarks.scoring import Protocol

BEYOND_LIMIT: Final = "beyond max_questions"
_MAIN: Final = "main"


def load_benchmark(
    name: str, source: BenchmarkSource, protocol: Protocol, *, max_questions: int | None = None
) -> LoadedBenchmark:
    """The questions to ask, in the order of the files; those beyond max_questions are counted in `left_out`.

    Raises BenchmarkError, HubError and ConfigError.
    """
    _check(name, source)
    loaded = _load(name, source, protocol)
    num_beyond = 0 if max_questions is None else max(0, len(loaded.questions) - max_questions)
    if not num_beyond:
        return loaded
    return replace(
        loaded,
        questions=loaded.questions[:max_questions],
        left_out={**loaded.left_out, BEYOND_LIMIT: num_beyond},
    )


def hub_place(source: BenchmarkSource) -> tuple[str | None, str]:
    """(repository, revision); None is the benchmark's own. Raises ConfigError when two revisions are named."""
    if source.annotations is None:
        return None, source.revision
    repo, at, revision = source.annotations.partition("@")
    if at and source.revision not in (_MAIN, revision):
        raise ConfigError(f"{source.annotations} and revision {source.revision!r} name two revisions. Remove one.")
    return repo, revision if at else source.revision


def is_on_hub(name: str, source: BenchmarkSource) -> bool:
    """Whether the annotations are fetched: they are no folder, no evaluation file of Video-R1 and no demo world."""
    return name != demo.NAME and not _is_videor1(source) and not _is_folder(source)


def _check(name: str, source: BenchmarkSource) -> None:
    """No key is passed over in silence. Raises ConfigError."""
    if source.revision != _MAIN and not is_on_hub(name, source):
        raise ConfigError(
            f"sources.{name}.revision is {source.revision!r}, but {source.annotations} is on this machine and has no "
            "revisions. Remove it."
        )
    if source.parts is not None and (name == demo.NAME or _is_videor1(source)):
        raise ConfigError(
            f"sources.{name}.parts names configs of the hub, and {source.annotations} has none. Remove it."
        )


def _load(name: str, source: BenchmarkSource, protocol: Protocol) -> LoadedBenchmark:
    if name == demo.NAME:
        if source.annotations is None:
            raise ConfigError(
                f"benchmark {name!r} is on no hub. Set sources.{name}.annotations to a dataset of ours, such as the "
                "run directory of a curation."
            )
        return load_demo(
            Path(source.annotations),
            source.media_root,
            held_out_share=source.held_out_share,
            rules=source.rules_version,
        )
    if _is_videor1(source):
        return load_videor1(name, Path(str(source.annotations)), source.media_root, protocol=protocol)
    # A folder may have an @ in its name.
    repo, revision = (source.annotations, _MAIN) if _is_folder(source) else hub_place(source)
    return load_hub(name, source.media_root, protocol=protocol, source=repo, revision=revision, parts=source.parts)


def _is_videor1(source: BenchmarkSource) -> bool:
    return source.annotations is not None and source.annotations.endswith(".json")


def _is_folder(source: BenchmarkSource) -> bool:
    return source.annotations is not None and Path(source.annotations).is_dir()

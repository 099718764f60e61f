"""The scores of run directories as entries of the report's tables, each model under a name of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

import yaml

from curation.errors import RunDirectoryError
from training.benchmarks.grouping import Entry, Group, group_entries, shown
from training.benchmarks.published import PublishedRow
from training.benchmarks.results import BenchmarkResult, find_results, read_rows
from training.benchmarks.statistics import effective_number
from training.benchmarks.tables import published_reference
from training.config import Variant
from training.variants import stages_of

# Below compare/ every config says rl_only, since it begins with a finished SFT; the folder says what it is.
_BRANCH: Final = re.compile(r"(?P<variant>\w+)-seed\d+")
_MOST_CHARS: Final = 48


@dataclass(frozen=True, slots=True)
class Source:
    """One score, where it lies and whose it is. run: its run directory as it was named."""

    run: Path
    folder: Path
    entry: Entry

    @property
    def result(self) -> BenchmarkResult:
        """As it stands in score.json."""
        return self.entry.result


@dataclass(frozen=True, slots=True)
class ReportScores:
    """All that a report shows. own: of the run itself; others: of those beside it. reference: gaps are taken to it."""

    own: tuple[Source, ...]
    others: tuple[Source, ...]
    groups: tuple[Group, ...]
    reference: PublishedRow


def load_scores(run_dir: Path, against: Sequence[Path], published: str | None) -> ReportScores:
    """Raises RunDirectoryError as `load_sources`, and ConfigError for a published row that is not there."""
    reference = published_reference(published)
    sources = load_sources((run_dir, *against))
    own = tuple(source for source in sources if source.run.resolve() == run_dir.resolve())
    return ReportScores(
        own=own,
        others=tuple(source for source in sources if source not in own),
        groups=tuple(group_entries([source.entry for source in sources])),
        reference=reference,
    )


def load_sources(run_dirs: Sequence[Path]) -> list[Source]:
    """Every finished score of the run directories, each directory once.

    Raises RunDirectoryError for a directory without any, and for files that are none of ours.
    """
    found: list[tuple[Path, Path, BenchmarkResult]] = []
    for run_dir in {path.resolve(): path for path in reversed(run_dirs)}.values():
        results = find_results(run_dir)
        if not results:
            raise RunDirectoryError(
                f"{run_dir} has no finished benchmark. Run one first: python -m training.benchmarks run CONFIG."
            )
        found = [*((run_dir, folder, result) for folder, result in results), *found]
    names = _model_names([(run_dir, result) for run_dir, _, result in found])
    return [
        Source(
            run_dir,
            folder,
            Entry(
                model=names[_identity(run_dir, result)],
                variant=variant_of(run_dir, result.model),
                num_effective=effective_number([row.weight for row in read_rows(folder)]),
                result=result,
            ),
        )
        for run_dir, folder, result in found
    ]


def variant_of(run_dir: Path, model: str) -> str | None:
    """The row of the ablations that a model is of: the last one that this run directory trained; else None."""
    try:
        values: Any = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    named = values.get("variant") if isinstance(values, dict) else None
    known = get_args(Variant)
    if named not in known or Path(model).parts[-2:] != (stages_of(cast("Variant", named))[-1], "model"):
        return None
    branch = _BRANCH.fullmatch(run_dir.resolve().name)
    if run_dir.resolve().parent.name == "compare" and branch is not None and branch["variant"] in known:
        return branch["variant"]
    return str(named)


def _identity(run_dir: Path, result: BenchmarkResult) -> tuple[Path, str, str | None]:
    return run_dir, result.model, result.model_revision


def _model_names(found: Sequence[tuple[Path, BenchmarkResult]]) -> dict[tuple[Path, str, str | None], str]:
    """A hub name as it is, of a folder its last parts; where two are called the same, the run directory tells."""
    plain = {_identity(run_dir, result): _short(result.model) for run_dir, result in found}
    counts = Counter(plain.values())
    names: dict[tuple[Path, str, str | None], str] = {}
    for (run_dir, model, revision), name in plain.items():
        wanted = name if counts[name] == 1 else f"{name} ({shown(run_dir.resolve().name)})"
        number = 1
        while (unique := wanted if number == 1 else f"{wanted} #{number}") in names.values():
            number += 1
        names[run_dir, model, revision] = unique
    return names


def _short(model: str) -> str:
    is_folder = Path(model).is_absolute() or model.count("/") > 1
    return shown("/".join(Path(model).parts[-3:]) if is_folder else model, most=_MOST_CHARS)

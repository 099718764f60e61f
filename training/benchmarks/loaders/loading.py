"""Load a benchmark from its layout on the hub: from a local snapshot, or from the hub itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from training.benchmarks.loaders import mmvu, mvbench, tempcompass, vcr_bench, video_mme, videommmu, vsi_bench
from training.benchmarks.loaders.annotations import read_rows
from training.benchmarks.loaders.layout import BenchmarkError, Columns, Layout, LeftOut, Row, UnreadableGold
from training.benchmarks.loaders.media import MediaRoot
from training.benchmarks.loaders.snapshot import read_folder
from training.benchmarks.question import BenchmarkQuestion, LoadedBenchmark
from training.benchmarks.scoring import Protocol, Reply, check_gold, score_reply

_MODULES: Final = (vsi_bench, videommmu, mmvu, vcr_bench, mvbench, tempcompass, video_mme)  # as in the paper's table
LAYOUTS: Final[Mapping[str, Layout]] = {module.LAYOUT.name: module.LAYOUT for module in _MODULES}
UNREADABLE_GOLD: Final = "unreadable gold"
_MAX_UNREADABLE: Final = 0.01  # of the rows; more of them is a layout that was misread


def layout_of(name: str) -> Layout:
    """Raises BenchmarkError for a benchmark that there is not."""
    if name not in LAYOUTS:
        raise BenchmarkError(f"there is no benchmark {name!r}; there are {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def load_hub(
    name: str,
    media_root: Path,
    *,
    protocol: Protocol,
    source: str | Path | None = None,
    revision: str = "main",
    parts: Sequence[str] | None = None,
) -> LoadedBenchmark:
    """The questions that `protocol` asks, in the order of the files.

    source: a folder with a copy of the repository, or org/name; None is the benchmark's own. parts: some of its
    configs (one of VSI-Bench's: full, debiased, pruned); None is the benchmark as it is reported.
    Raises BenchmarkError, HubError, and ConfigError without a media root.
    """
    layout = layout_of(name)
    media = MediaRoot(media_root)
    wanted = tuple(dict.fromkeys(parts)) if parts is not None else layout.default_parts
    repo = str(source or layout.repo)
    if source is not None and Path(source).is_dir():
        snapshot = read_folder(layout, Path(source), wanted)
    else:
        from training.benchmarks.loaders.hub import fetch

        snapshot = fetch(layout, repo, revision, wanted)
    rows = read_rows(snapshot.files, title=layout.title, repo=layout.repo, columns=layout.columns)
    return collect(
        name,
        rows,
        lambda row: layout.read(row, media, protocol),
        title=layout.title,
        columns=layout.columns,
        protocol=protocol,
        revision=snapshot.revision,
        num_published=layout.num_rows,  # of some of its parts too: they are not the benchmark
    )


def collect(
    name: str,
    rows: Iterable[Row],
    read: Callable[[Row], BenchmarkQuestion | LeftOut],
    *,
    title: str,
    columns: Columns,
    protocol: Protocol,
    revision: str,
    num_published: int | None,
) -> LoadedBenchmark:
    """Read every row; one that is left out has a reason. Raises BenchmarkError.

    A gold that no answer could meet is left out too, unless so many are that the rows must have been misread. Columns
    that are not known are noted.
    """
    questions: dict[str, BenchmarkQuestion] = {}
    left_out: Counter[str] = Counter()
    unreadable: list[BenchmarkError] = []
    extra: set[str] = set()
    num_rows = 0
    for num_rows, row in enumerate(rows, start=1):  # noqa: B007
        extra |= row.values.keys() - columns.known
        try:
            question = read(row)
            if isinstance(question, BenchmarkQuestion):
                _check(question, protocol)
        except UnreadableGold as fault:
            unreadable.append(row.fault(str(fault)))
            left_out[UNREADABLE_GOLD] += 1
            continue
        if isinstance(question, LeftOut):
            left_out[question.reason] += 1
        elif question.uid in questions:
            raise row.fault(f"the id {question.uid!r} occurs twice")
        else:
            questions[question.uid] = question
    if len(unreadable) > _MAX_UNREADABLE * num_rows:
        raise BenchmarkError(f"{unreadable[0]} ({len(unreadable):,} of {num_rows:,} rows have such a gold.)")
    if not questions:
        raise BenchmarkError(f"{title} has no question for this protocol: {dict(left_out)} of {num_rows:,} rows.")
    return LoadedBenchmark(
        name, revision, tuple(questions.values()), dict(left_out), num_published, tuple(sorted(extra))
    )


def _check(question: BenchmarkQuestion, protocol: Protocol) -> None:
    """Raises UnreadableGold when even the gold itself would be wrong."""
    gold = question.gold
    try:
        check_gold(gold)
    except ValueError as error:
        raise UnreadableGold(str(error)) from error
    if not any(score_reply(gold, Reply(answer), protocol).score for answer in gold.alternatives):
        raise UnreadableGold(f"no answer meets {gold.answer!r} under {protocol}")

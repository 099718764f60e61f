"""What a run over one benchmark leaves behind: a row a question (rows.parquet) and the figure (score.json).

    benchmark/<benchmark>/<prompt>/journal.jsonl    every answer, as it came; what resuming reads
    benchmark/<benchmark>/<prompt>/rows.parquet     every question with its answer and score
    benchmark/<benchmark>/<prompt>/score.json       the figure, with the fingerprint of how it was made

score.json is written last: where it stands, the run over this benchmark is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from curation.errors import RunDirectoryError
from training.benchmarks.fingerprint import Fingerprint

ROWS: Final = "rows.parquet"
SCORE: Final = "score.json"
JOURNAL: Final = "journal.jsonl"
FOLDER: Final = "benchmark"  # of a run directory

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One question of a benchmark with what became of it.

    groups: name -> value, such as {"task": "object_counting", "duration": "short"}. output: null when the engine
    brought none; stop_reason: then null too. failure: of Failure, null for an answer in form. passage: where the
    answer was read. verdict: of the judge of open answers. weight: in the overall; 0 is outside it.
    detail: what the engine said of a failure of its own. num_tokens: of the output; null where the server does not say.
    """

    id: str
    kind: str
    question: str
    options: tuple[str, ...]
    gold: str
    groups: Mapping[str, str]
    media: str
    output: str | None
    stop_reason: str | None
    num_tokens: int | None
    passage: str | None
    score: float
    lenient: float
    failure: str | None
    detail: str | None
    verdict: bool | None
    weight: float


class GroupScore(_Part):
    """Some rows, each once. sum_score and sum_lenient: of scores in [0, 1]."""

    num_rows: NonNegativeInt
    num_parsed: NonNegativeInt
    num_missing: NonNegativeInt
    failures: Mapping[str, NonNegativeInt]
    sum_score: NonNegativeFloat
    sum_lenient: NonNegativeFloat

    @property
    def mean(self) -> float | None:
        """In [0, 1], over all rows; None without rows."""
        return self.sum_score / self.num_rows if self.num_rows else None


class ShownMedia(_Part):
    """What the questions showed otherwise than one whole video: a part of a longer one, a further picture beside it."""

    num_parts: NonNegativeInt
    num_pictures: NonNegativeInt


class BenchmarkResult(_Part):
    """score.json. model: folder or hub name; model_revision: its commit or a hash, null where a server hides it.

    engine: "in_process" or "openai". overall, lenient, interval: by the protocol, in [0, 1]; None when no row counts.
    counted, every: the rows of the overall, and all. groups: group -> value -> its rows ("kind" is one of them).
    num_published: rows the benchmark is said to have. left_out: reason -> rows that are not asked.
    shown, prompt_form: as `rendering.prompt_form` says; null in results of the first version.
    seconds: of the engine, over all sessions. source: what `LoadedBenchmark.describe` says.
    """

    benchmark: Name
    model: Name
    model_revision: str | None
    engine: Name
    fingerprint: Fingerprint
    overall: Share | None
    lenient: Share | None
    interval: tuple[Share, Share] | None
    counted: GroupScore
    every: GroupScore
    groups: Mapping[str, Mapping[str, GroupScore]]
    macro: Mapping[str, Share]
    num_published: NonNegativeInt | None
    left_out: Mapping[str, NonNegativeInt]
    seconds: NonNegativeFloat
    source: str
    shown: ShownMedia | None = None
    prompt_form: Name | None = None


_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string()), nullable=False),
        pa.field("gold", pa.string(), nullable=False),
        pa.field("groups", pa.string(), nullable=False),  # JSON: names differ by benchmark
        pa.field("media", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("stop_reason", pa.string()),
        pa.field("num_tokens", pa.int32()),
        pa.field("passage", pa.string()),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("lenient", pa.float64(), nullable=False),
        pa.field("failure", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("verdict", pa.bool_()),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)


def result_folder(run_dir: Path, benchmark: str, prompt: str) -> Path:
    """Where one benchmark's result with one prompt lies in a run directory."""
    return run_dir / FOLDER / benchmark / prompt


def write_result(folder: Path, result: BenchmarkResult, rows: Sequence[ResultRow]) -> None:
    """Both files, each renamed into place whole, the score last."""
    folder.mkdir(parents=True, exist_ok=True)
    values = [asdict(row) | {"groups": json.dumps(dict(row.groups), sort_keys=True)} for row in rows]
    written = folder / f"{ROWS}.tmp"
    pq.write_table(pa.Table.from_pylist(values, schema=_SCHEMA), written, compression="zstd")
    written.replace(folder / ROWS)
    written = folder / f"{SCORE}.tmp"
    written.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    written.replace(folder / SCORE)


def load_result(folder: Path) -> BenchmarkResult | None:
    """None where the run has not finished. Raises RunDirectoryError for a file that is none of ours."""
    path = folder / SCORE
    if not path.is_file():
        return None
    try:
        return BenchmarkResult.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunDirectoryError(
            f"{path} is no score of a benchmark ({error.errors()[0]['msg']}). Delete its folder and run it again."
        ) from error


def find_results(run_dir: Path) -> list[tuple[Path, BenchmarkResult]]:
    """Every finished result of a run directory with its folder, sorted by folder. Raises RunDirectoryError."""
    folders = sorted(path.parent for path in (run_dir / FOLDER).glob(f"*/*/{SCORE}"))
    return [(folder, found) for folder in folders if (found := load_result(folder)) is not None]


def read_rows(folder: Path) -> list[ResultRow]:
    """Raises RunDirectoryError when there is no such file, or one that is none of ours."""
    path = folder / ROWS
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}. Run the benchmark stage first.") from error
    if not table.schema.equals(_SCHEMA):
        raise RunDirectoryError(f"{path} has other columns than rows of a benchmark. Run the benchmark stage again.")
    return [_row(values) for values in table.to_pylist()]


def _row(values: dict[str, Any]) -> ResultRow:
    values |= {"groups": json.loads(values["groups"]), "options": tuple(values["options"])}
    return ResultRow(**{field.name: values[field.name] for field in fields(ResultRow)})

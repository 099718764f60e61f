"""Dataset folders of the published size with texts as long and as repetitive as real ones, for benches.

    python tests/bench/folders_162k.py FOLDER [--num-rows 162000] [--seed 0] [--changed 0.01]

Words follow Zipf's law over a vocabulary of 20,000; a trace has about 430 words, a row about 3 KB. The rejected rows
are 100/162 of the kept ones and carry their completion; `rl` holds every question whose media can be used. The same
arguments give the same rows; another `changed` gives the same questions, that share of them with another trace.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.schema import CONFIG_FILES, CONFIGS, question_id

VOCABULARY: Final = 20_000
BLOCK_ROWS: Final = 10_000
NUM_FILES: Final = 4
REJECTED_PER_KEPT: Final = 100 / 162
TYPE_MIX: Final = {"multiple choice": 0.827, "numerical": 0.122, "OCR": 0.025, "free-form": 0.022, "regression": 0.004}
REASONS: Final = {
    "filter:score": 0.6,
    "filter:format": 0.1,
    "filter:leaks_answer": 0.05,
    "verify:insufficient": 0.22,
    "media:missing": 0.03,
}
SOURCES: Final = ("CLEVRER", "LLaVA-Video-178K", "PerceptionTest", "STAR", "NeXT-QA", "TextOCR", "GQA", "CLEVR")
SEGMENT_WORDS: Final = {"observation": (190, 40), "think": (240, 60)}  # mean, deviation
OPENINGS: Final = {
    "observation": "Based on the question, I need to notice ",
    "think": "Based on the observations, ",
}


def write_realistic_folder(folder: Path, *, num_rows: int, seed: int, changed: float = 0.0) -> None:
    """Write cot (`num_rows`), rejected and rl. `changed` is the share of the traces that a newer generator wrote."""
    vocabulary = make_vocabulary(np.random.default_rng(seed))
    num_rejected = round(num_rows * REJECTED_PER_KEPT)
    counts = {"cot": num_rows, "rejected": num_rejected}
    writers = {config: _Writer(folder, config, counts.get(config, num_rows + num_rejected)) for config in CONFIGS}
    first = 0
    for config, count in counts.items():
        for start in range(0, count, BLOCK_ROWS):
            size = min(BLOCK_ROWS, count - start)
            columns = make_rows(vocabulary, seed, first, size, changed=changed, rejected=config == "rejected")
            table = pa.table(columns)
            writers[config].write(table)
            usable = (
                table if config == "cot" else table.filter(pc.invert(pc.equal(table["rejected_by"], "media:missing")))
            )
            writers["rl"].write(usable)
            first += size
    for writer in writers.values():
        writer.close()


def make_vocabulary(random: np.random.Generator) -> pa.Array:
    """Made-up words, the frequent ones short."""
    ranks = np.arange(1, VOCABULARY + 1)
    lengths = 1 + (0.45 * np.log2(ranks)).astype(int) + random.integers(0, 3, VOCABULARY)
    letters = random.choice(list("etaoinshrdlucmfwypvbgk"), lengths.sum(), p=_zipf(22))
    ends = np.cumsum(lengths)
    text = "".join(letters)
    return pa.array([text[end - length : end] for end, length in zip(ends, lengths, strict=True)])


def make_texts(random: np.random.Generator, vocabulary: pa.Array, num_words: np.ndarray) -> pa.Array:
    """One text of so many words a row."""
    words = vocabulary.take(pa.array(np.searchsorted(_CUMULATED, random.random(num_words.sum()))))
    offsets = pa.array(np.concatenate([[0], np.cumsum(num_words)]), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, words), " ")


def make_rows(
    vocabulary: pa.Array, seed: int, first: int, num_rows: int, *, changed: float, rejected: bool
) -> dict[str, Any]:
    """The columns of rows first .. first + num_rows - 1 of all questions."""
    random = np.random.default_rng([seed, first])
    kinds = random.choice(list(TYPE_MIX), num_rows, p=list(TYPE_MIX.values()))
    sources = random.choice(SOURCES, num_rows, p=_zipf(len(SOURCES)))
    paths = [f"./{source}/clips/{first + place // 2:07d}.mp4" for place, source in enumerate(sources)]
    problems = pc.binary_join_element_wise(make_texts(random, vocabulary, random.integers(8, 26, num_rows)), "?", "")
    choices = make_texts(random, vocabulary, random.integers(1, 5, 4 * num_rows)).to_pylist()
    options = [
        [f"{letter}. {choice}" for letter, choice in zip("ABCD", choices[4 * place : 4 * place + 4], strict=True)]
        if kind == "multiple choice"
        else []
        for place, kind in enumerate(kinds)
    ]
    answers = random.choice(list("ABCD"), num_rows)
    columns: dict[str, Any] = {
        "id": [question_id(*each) for each in zip(paths, problems.to_pylist(), options, strict=True)],
        "problem_id": np.arange(first, first + num_rows),
        "problem": problems,
        "options": pa.array(options, pa.list_(pa.string())),
        "data_type": ["video"] * num_rows,
        "problem_type": pa.array(kinds),
        "solution": [f"<answer>{answer}</answer>" for answer in answers],
        "path": paths,
        "data_source": pa.array(sources),
        "license": ["cc-by-4.0"] * num_rows,
        "score": np.ones(num_rows),
        "verdict": ["sufficient"] * num_rows,
        "verdict_reason": make_texts(random, vocabulary, random.integers(10, 30, num_rows)),
        "flags": pa.array([[]] * num_rows, pa.list_(pa.string())),
        "overlaps": pa.nulls(num_rows, pa.list_(pa.string())),
        "media_sha256": [random.bytes(32).hex() for _ in range(num_rows)],
        "media_duration_s": np.round(random.gamma(3, 8, num_rows), 2),
        "media_num_frames": random.integers(30, 3000, num_rows),
        "prompt_sha256": ["7f" * 32] * num_rows,
        "judge": ["judge-1"] * num_rows,
        "judge_prompt_sha256": ["f8" * 32] * num_rows,
        "attempt": np.ones(num_rows, int),
        "answer": pa.array(answers),
    }
    newer = random.random(num_rows) < changed  # drawn last: the questions do not depend on it
    columns |= _traces(vocabulary, [seed, first, 1], num_rows, newer)
    if rejected:
        columns |= _rejection(random, columns, num_rows)
    return columns


def _traces(vocabulary: pa.Array, seed: list[int], num_rows: int, newer: np.ndarray) -> dict[str, Any]:
    """Both segments, of the first generator or of the newer one."""
    generators = pa.array(np.where(newer, "org/generator-2", "org/generator-1"))
    columns: dict[str, Any] = {"generator": generators}
    older, later = np.random.default_rng([*seed, 1]), np.random.default_rng([*seed, 2])
    for segment, (mean, deviation) in SEGMENT_WORDS.items():
        num_words = older.normal(mean, deviation, num_rows).astype(int).clip(20, 600)
        texts = make_texts(older, vocabulary, num_words)
        # The newer texts are drawn for all rows, so that a larger share changes further rows and no others.
        if newer.any():
            other_words = later.normal(mean, deviation, num_rows).astype(int).clip(20, 600)
            texts = pc.if_else(pa.array(newer), make_texts(later, vocabulary, other_words), texts)
            num_words = np.where(newer, other_words, num_words)
        columns[segment] = pc.binary_join_element_wise(OPENINGS[segment], texts, "")
        columns[f"{segment}_tokens"] = (num_words * 1.3).astype(int)
    return columns


def _rejection(random: np.random.Generator, columns: Mapping[str, Any], num_rows: int) -> dict[str, Any]:
    """What a rejected row has beyond a kept one; where the media are missing there is no trace, and no verdict."""
    reasons = pa.array(random.choice(list(REASONS), num_rows, p=list(REASONS.values())))
    no_trace = pc.equal(reasons, "media:missing")
    no_verdict = pc.invert(pc.starts_with(reasons, "verify:"))
    completion = pc.binary_join_element_wise(
        "<observation>", columns["observation"], "</observation> <think>", columns["think"], "</think>",
        "<answer>", columns["answer"], "</answer>", "",
    )  # fmt: skip
    traced = ("observation", "think", "answer", "score", "observation_tokens", "think_tokens", "generator", "attempt")
    judged = ("verdict", "verdict_reason", "judge", "judge_prompt_sha256")
    return {
        **{name: _null_where(no_trace, columns[name]) for name in (*traced, "prompt_sha256", "media_sha256")},
        **{name: _null_where(no_verdict, columns[name]) for name in judged},
        "rejected_by": reasons,
        "detail": _null_where(pc.invert(no_verdict), ["the task metric is below the threshold"] * num_rows),
        "completion": _null_where(no_trace, completion),
    }


def _null_where(mask: pa.Array, values: Any) -> pa.Array:
    array = pa.array(values)
    return pc.if_else(mask, pa.scalar(None, array.type), array)


def _zipf(num_ranks: int) -> np.ndarray:
    weights = 1 / np.arange(1, num_ranks + 1)
    return weights / weights.sum()


_CUMULATED: Final = np.cumsum(_zipf(VOCABULARY))[:-1]


class _Writer:
    """The files of one config, as curation/shards.py writes them."""

    def __init__(self, folder: Path, config: str, num_rows: int) -> None:
        self._paths = self._name(folder / CONFIG_FILES[config])
        self._schema = CONFIGS[config]
        self._rows_per_file = -(-num_rows // NUM_FILES)
        self._num_left = 0
        self._writer: pq.ParquetWriter | None = None
        self._open()

    @staticmethod
    def _name(stem: Path) -> Iterator[Path]:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for number in range(NUM_FILES):
            yield stem.with_name(f"{stem.name}-{number:05d}-of-{NUM_FILES:05d}.parquet")

    def _open(self) -> None:
        self.close()
        self._num_left = self._rows_per_file
        self._writer = pq.ParquetWriter(
            next(self._paths),
            self._schema,
            compression="zstd",
            write_page_index=True,
            use_content_defined_chunking=True,
        )

    def write(self, table: pa.Table) -> None:
        table = table.select(self._schema.names).cast(self._schema)
        while table.num_rows:
            if not self._num_left:
                self._open()
            self._writer.write_table(table.slice(0, self._num_left))
            num_written = min(self._num_left, table.num_rows)
            self._num_left -= num_written
            table = table.slice(num_written)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num-rows", type=int, default=162_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--changed", type=float, default=0.0, help="share of the traces, 0 to 1")
    args = parser.parse_args()
    write_realistic_folder(args.folder, num_rows=args.num_rows, seed=args.seed, changed=args.changed)


if __name__ == "__main__":
    main()

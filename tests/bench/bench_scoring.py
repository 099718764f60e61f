"""How much faster the answers of a whole run are scored than by the straightforward loop.

The answers are generated: the type mix of VideoP2R section 2, words by Zipf's law, free-form answers of 5 to 40 words,
about a third of all answers right, a third nearly right, a third wrong. The straightforward loop builds a RougeScorer
per call and has a word error rate in plain Python; it scores every answer too, nothing is scaled. All scores must agree
to 1e-9.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import accumulate
from typing import Final

from rouge_score.rouge_scorer import RougeScorer

from curation.tasks import score_answer

TYPE_MIX: Final = {
    "multiple choice": 168_769,
    "free-form": 38_722,
    "numerical": 34_354,
    "OCR": 15_886,
    "regression": 5_340,
}
VOCABULARY: Final = 20_000  # words; the stems of English descriptions are fewer
TOLERANCE: Final = 1e-9
CHUNK: Final = 8_192  # answers a task of the pool
EXAMPLE: Final = "example: .venv/bin/python tests/bench/bench_scoring.py --num-answers 20000"

Row = tuple[str, str, str, tuple[str, ...]]  # problem type, answer, solution, options


def main(argv: Sequence[str] | None = None) -> int:
    """0 when the scores agree, 1 when they do not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=EXAMPLE)
    parser.add_argument("--num-answers", type=int, default=260_000, help="answers to score (default: 260000)")
    parser.add_argument("--processes", type=int, default=2, help="processes of the pool (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    rows = make_rows(args.num_answers, random.Random(args.seed))
    print(f"{len(rows):,} answers: " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares(rows).items()))
    # The pool comes first: it forks before this process has any stem in its cache.
    pooled, pooled_s = timed(lambda: score_in_pool(rows, args.processes))
    ours, ours_s = timed(lambda: score_rows(rows))
    plain, plain_s = timed(lambda: [straightforward(*row) for row in rows])

    print(f"straightforward loop   {plain_s:8.2f} s")
    print(f"ours, one process      {ours_s:8.2f} s   {plain_s / ours_s:5.1f}x")
    print(f"ours, {args.processes} processes      {pooled_s:8.2f} s   {plain_s / pooled_s:5.1f}x with its start")
    worst = max(abs(a - b) for a, b in zip(ours, plain, strict=True))
    print(f"largest difference     {worst:.1e}; pool and process agree: {pooled == ours}")
    return 0 if worst <= TOLERANCE and pooled == ours else 1


def timed(work: Callable[[], list[float]]) -> tuple[list[float], float]:
    started = time.perf_counter()
    scores = work()
    return scores, time.perf_counter() - started


def score_rows(rows: Sequence[Row]) -> list[float]:
    return [score_answer(kind, answer, solution, options=options) for kind, answer, solution, options in rows]


def score_in_pool(rows: Sequence[Row], num_processes: int) -> list[float]:
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with ProcessPoolExecutor(num_processes) as pool:
        return [score for scores in pool.map(score_rows, chunks) for score in scores]


# --- the straightforward loop -----------------------------------------------------------------------------------------


def straightforward(kind: str, answer: str, solution: str, options: tuple[str, ...]) -> float:
    gold = solution.removeprefix("<answer>").removesuffix("</answer>").strip()
    if kind == "multiple choice":
        return float(answer.strip(" .()")[:1].upper() == gold)
    if kind == "numerical":
        return float(float(answer.replace(",", "")) == float(gold.replace(",", "")))
    if kind == "regression":
        given, wanted = float(answer.replace(",", "")), float(gold.replace(",", ""))
        return max(0.0, 1 - abs(given - wanted) / abs(wanted))
    if kind == "OCR":
        return max(0.0, 1 - word_error_rate(gold.split(), answer.split()))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = scorer.score(gold, answer)
    return sum(score.fmeasure for score in scores.values()) / 3


def word_error_rate(wanted: list[str], given: list[str]) -> float:
    table = [[i + j if i * j == 0 else 0 for j in range(len(given) + 1)] for i in range(len(wanted) + 1)]
    for i, left in enumerate(wanted, 1):
        for j, right in enumerate(given, 1):
            changed = table[i - 1][j - 1] + (left != right)
            table[i][j] = min(changed, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table[-1][-1] / max(1, len(wanted))


# --- the answers ------------------------------------------------------------------------------------------------------


def make_rows(num_answers: int, rng: random.Random) -> list[Row]:
    words = list(make_words(rng))
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    kinds = rng.choices(list(TYPE_MIX), weights=list(TYPE_MIX.values()), k=num_answers)

    def phrase(least: int, most: int) -> list[str]:
        return rng.choices(words, cum_weights=weights, k=rng.randint(least, most))

    def variant(gold: list[str], other: list[str]) -> list[str]:
        """Right, nearly right or wrong."""
        case = rng.randrange(3)
        if case == 0:
            return gold
        if case == 2:
            return other
        return [rng.choice(other) if rng.random() < 0.2 else word for word in gold if rng.random() > 0.1] or other

    def make_row(kind: str) -> Row:
        if kind == "multiple choice":
            options = tuple(f"{letter}. {' '.join(phrase(1, 6))}" for letter in "ABCD")
            gold, given = rng.choice("ABCD"), rng.choice(options)
            return (
                kind,
                rng.choice([gold, f"{gold}.", f"({gold})", given, given[0]]),
                f"<answer>{gold}</answer>",
                options,
            )
        if kind in ("numerical", "regression"):
            gold_value = rng.choice([rng.randint(1, 5_000), round(rng.uniform(0.1, 500), 2)])
            given_value = rng.choice([gold_value, float(gold_value), round(gold_value * rng.uniform(0.5, 1.5), 2)])
            return kind, f"{given_value:,}", f"<answer>{gold_value}</answer>", ()
        least, most = (5, 40) if kind == "free-form" else (1, 30)
        gold_words = phrase(least, most)
        answer, gold = (" ".join(text) for text in (variant(gold_words, phrase(least, most)), gold_words))
        if kind == "free-form":
            answer, gold = f"{answer.capitalize()}.", f"{gold.capitalize()}."
        return kind, answer, f"<answer>{gold}</answer>", ()

    return [make_row(kind) for kind in kinds]


def make_words(rng: random.Random) -> Iterator[str]:
    """Pronounceable words with English endings, so that the stemmer has work to do."""
    endings = ["", "", "", "s", "ed", "ing", "ly", "tion", "ness", "ment", "er", "able"]
    for _ in range(VOCABULARY):
        syllables = (rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
        yield "".join(syllables) + rng.choice("nrtsdl") + rng.choice(endings)


def shares(rows: Sequence[Row]) -> dict[str, float]:
    return {kind: sum(row[0] == kind for row in rows) / len(rows) for kind in TYPE_MIX}


if __name__ == "__main__":
    sys.exit(main())

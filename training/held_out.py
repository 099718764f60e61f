"""How good a model is on questions about clips that no stage trains on: the same prompt, scorer and judge, greedy.

Every question stays in the denominator: a completion that misses the template answers nothing and scores 0, and is
counted as malformed. The judge sees well-formed observations only, as for the rewards: another one is not sufficient,
and one without a verdict is in no share.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from rich.console import Console
from torch import Tensor
from transformers import GenerationConfig
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from curation.progress import show_progress
from curation.schema import INSUFFICIENT, SUFFICIENT, Question
from curation.tasks import score_answer
from curation.trace import Block
from training.collate import Collator
from training.config import EvaluationConfig, ModelConfig, TrainConfig
from training.evaluation_facts import (
    EvaluatedStage,
    Evaluation,
    KindScore,
    SampledScores,
    load_evaluation,
    write_evaluation,
)
from training.held_out_split import ClipSplit, choose_questions
from training.judging import JudgeAsk, ObservationJudge, PendingVerdicts, RewardJudge
from training.models import Processor, load_model, load_processor
from training.processes import Template, split_processes
from training.ranks import raised_everywhere
from training.segments import TokenBytes, load_token_bytes

# A set of options that this share of the questions has, such as left / right / up / down, is a kind of its own.
_KIND_SHARE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model wrote to one question. score in [0, 1]; verdict null = not judged, or no verdict."""

    id: str
    kind: str
    completion: str
    is_well_formed: bool
    has_observation: bool
    answer: str | None
    score: float
    verdict: str | None
    num_tokens: int


def split_held_out(rows: datasets.Dataset, split: ClipSplit) -> tuple[datasets.Dataset, datasets.Dataset]:
    """(rows to train on, held-out rows), by clip."""
    held_out = [split.holds_out(path) for path in rows["path"]]
    kept, out = (
        rows.select([number for number, is_out in enumerate(held_out) if is_out == wanted]) for wanted in (False, True)
    )
    return kept, out


def limit_questions(rows: datasets.Dataset, config: EvaluationConfig) -> datasets.Dataset:
    """At most max_questions of the held-out rows: of all problem types, or with the first rules the first ones."""
    if config.max_questions is None or len(rows) <= config.max_questions:
        return rows
    if config.rules_version == 1:
        return rows.select(range(config.max_questions))
    light = list(rows.select_columns(["id", "problem_type"]))
    return rows.select(choose_questions(light, config.max_questions, config.seed))


def score_held_out(
    config: TrainConfig, base: ModelConfig, rows: datasets.Dataset, stage: EvaluatedStage, folder: Path
) -> Evaluation:
    """Score the model on `rows`, each process its share of them; writes folder/{stage}.json and .parquet.

    Returns what is there when it was scored before. Raises UserError subclasses.
    """
    path = folder / f"{stage}.json"
    if (found := load_evaluation(path)) is not None:
        return found
    state = PartialState()
    # Or each process would load a part of the model, and wait for the others at each token.
    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
    began_s = time.monotonic()
    processor, model = load_processor(base), load_model(base).to(state.device).eval()
    template = config.input.template
    collator = Collator.of(config.input, processor)
    mine = list(range(state.process_index, len(rows), state.num_processes))
    console = Console(stderr=True, quiet=not state.is_main_process)
    sample_at = config.evaluation.sample_at
    temperatures = (0.0,) if sample_at is None else (0.0, sample_at)
    with (
        raised_everywhere(),
        RewardJudge(config.judge, folder / "judge", state.process_index, state.num_processes)
        if config.judge
        else nullcontext() as judge,
        show_progress(console, f"score {stage}", len(temperatures) * len(mine)) as progress,
    ):
        torch.manual_seed(state.process_index)  # the evaluation's own, whatever the seed of the training
        taken = [
            predict(
                model,
                processor,
                collator,
                rows.select(mine),
                config.evaluation,
                template=template,
                judge=judge,
                progress=progress,
                temperature=temperature,
            )
            for temperature in temperatures
        ]
    greedy, *sampled = ([prediction for _, prediction in _gather(mine, predictions)] for predictions in taken)
    evaluation = summarise(
        greedy,
        list(rows),
        model=base.name,
        stage=stage,
        is_judged=config.judge is not None,
        seconds=time.monotonic() - began_s,
    )
    if sample_at is not None:
        scores = count_sampled(sampled[0], temperature=sample_at, is_judged=config.judge is not None)
        evaluation = evaluation.model_copy(update={"sampled": scores})
    if state.is_main_process:
        write_predictions(path.with_suffix(".parquet"), greedy)
        for predictions in sampled:
            write_predictions(path.with_name(f"{stage}_sampled.parquet"), predictions)
        write_evaluation(path, evaluation)
    state.wait_for_everyone()
    return evaluation


def predict(
    model: Any,
    processor: Processor,
    collator: Collator,
    rows: Sequence[Mapping[str, Any]],
    config: EvaluationConfig,
    *,
    template: Template,
    judge: ObservationJudge | None,
    progress: Callable[[int], None],
    temperature: float = 0.0,
) -> list[Prediction]:
    """One Prediction a row, in order. collator: without target, padded on the left. temperature: 0 is greedy.

    Raises UserError for bad media.
    """
    # What our own config leaves open would be filled from the model's, such as a repetition penalty.
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    token_bytes = load_token_bytes(processor.tokenizer)
    kinds = name_kinds(rows)
    predictions: list[Prediction] = []
    asked: list[tuple[list[int], PendingVerdicts]] = []
    for start in range(0, len(rows), config.batch_size):
        batch = [rows[number] for number in range(start, min(start + config.batch_size, len(rows)))]
        completions = _generate(model, processor, collator(batch), config, temperature)
        places, asks = [], []
        for row, ids in zip(batch, completions, strict=True):
            prediction, observation = _read(row, ids, token_bytes, kinds[len(predictions)], template)
            if observation is not None:
                places.append(len(predictions))
                asks.append(JudgeAsk(Question.from_row(row), observation))
            predictions.append(prediction)
        if judge is not None and asks:  # answered while the next batch is generated
            asked.append((places, judge.start(asks)))
        progress(len(batch))
    for places, pending in asked:
        for place, judged in zip(places, pending.wait(), strict=True):
            if judged.verdict is not None:
                verdict = SUFFICIENT if judged.verdict.sufficient else INSUFFICIENT
                predictions[place] = replace(predictions[place], verdict=verdict)
    return predictions


def summarise(
    predictions: Sequence[Prediction],
    rows: Sequence[Mapping[str, Any]],
    *,
    model: str,
    stage: EvaluatedStage,
    is_judged: bool,
    seconds: float,
) -> Evaluation:
    """Counts and sums over all rows, beside what always giving a kind's most frequent answer would score.

    is_judged: whether there was a judge; then an observation that is not well-formed counts as not sufficient.
    """
    by_kind: defaultdict[str, list[tuple[Prediction, Mapping[str, Any]]]] = defaultdict(list)
    for prediction, row in zip(predictions, rows, strict=True):
        by_kind[prediction.kind].append((prediction, row))
    kinds = [
        KindScore(
            kind=kind,
            num_questions=len(found),
            sum_score=sum(prediction.score for prediction, _ in found),
            majority_score=score_majority([row for _, row in found]),
        )
        for kind, found in sorted(by_kind.items())
    ]
    num_judged, num_sufficient = _count_verdicts(predictions, is_judged=is_judged)
    return Evaluation(
        model=model,
        stage=stage,
        num_questions=len(predictions),
        num_well_formed=sum(prediction.is_well_formed for prediction in predictions),
        sum_score=sum(prediction.score for prediction in predictions),
        num_judged=num_judged,
        num_sufficient=num_sufficient,
        by_kind=tuple(kinds),
        majority_score=sum(kind.majority_score * kind.num_questions for kind in kinds) / max(1, len(predictions)),
        seconds=seconds,
    )


def count_sampled(predictions: Sequence[Prediction], *, temperature: float, is_judged: bool) -> SampledScores:
    """As `summarise` counts, of completions that were sampled."""
    num_judged, num_sufficient = _count_verdicts(predictions, is_judged=is_judged)
    return SampledScores(
        temperature=temperature,
        num_well_formed=sum(prediction.is_well_formed for prediction in predictions),
        sum_score=sum(prediction.score for prediction in predictions),
        num_judged=num_judged,
        num_sufficient=num_sufficient,
    )


def score_majority(rows: Sequence[Mapping[str, Any]]) -> float:
    """The mean score of the one answer that is right most often, in [0, 1]."""
    ((solution, _),) = Counter(row["solution"] for row in rows).most_common(1)
    scores = [
        score_answer(row["problem_type"], solution, row["solution"], options=row["options"] or ()) for row in rows
    ]
    return sum(scores) / len(scores)


def name_kinds(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is asked for, one name a row: the problem type, and the options where many questions have the same ones."""
    options = [" / ".join(row["options"] or ()) for row in rows]
    counts = Counter(options)
    least = max(2, _KIND_SHARE * len(rows))
    return [
        f"{row['problem_type']}: {text}" if text and counts[text] >= least else row["problem_type"]
        for row, text in zip(rows, options, strict=True)
    ]


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """A Parquet file, one row a Prediction."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([asdict(prediction) for prediction in predictions]), path, compression="zstd")


def _gather(mine: Sequence[int], predictions: Sequence[Prediction]) -> list[tuple[int, Prediction]]:
    """Those of every process with the place of their row, in order."""
    return sorted(gather_object(list(zip(mine, predictions, strict=True))), key=itemgetter(0))


def _count_verdicts(predictions: Sequence[Prediction], *, is_judged: bool) -> tuple[int, int]:
    """(judged, sufficient) observations; without a judge nothing is judged, with one a malformed one is."""
    verdicts = Counter(prediction.verdict for prediction in predictions)
    num_malformed = sum(is_judged and not prediction.has_observation for prediction in predictions)
    return verdicts[SUFFICIENT] + verdicts[INSUFFICIENT] + num_malformed, verdicts[SUFFICIENT]


def _generate(
    model: Any, processor: Processor, batch: dict[str, Any], config: EvaluationConfig, temperature: float
) -> Iterator[list[int]]:
    """The sampled ids of each row, up to the end of its turn."""
    inputs = {name: values.to(model.device) if isinstance(values, Tensor) else values for name, values in batch.items()}
    end = processor.tokenizer.eos_token_id
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    decoding = GenerationConfig(  # type: ignore[no-untyped-call]
        **(sampling if temperature else {"do_sample": False}),
        max_new_tokens=config.max_completion_tokens,
        suppress_tokens=list(processor.pad_ids.values()),
        eos_token_id=end,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        sequences = model.generate(**inputs, generation_config=decoding)
    for row in sequences[:, batch["input_ids"].shape[1] :].tolist():
        yield row[: row.index(end) + 1] if end in row else row


def _read(
    row: Mapping[str, Any], ids: Sequence[int], token_bytes: TokenBytes, kind: str, template: Template
) -> tuple[Prediction, str | None]:
    """The scored prediction, and the observation to be judged."""
    text = token_bytes.text(ids)
    processes = split_processes(text, template)
    answer = _inner(text, processes.answer)
    observation = _inner(text, processes.observation)
    score = 0.0
    if answer is not None:
        score = score_answer(row["problem_type"], answer, row["solution"], options=row["options"] or ())
    is_well_formed = answer is not None and (template == "agnostic" or observation is not None)
    has_observation = observation is not None
    prediction = Prediction(row["id"], kind, text, is_well_formed, has_observation, answer, score, None, len(ids))
    return prediction, observation


def _inner(text: str, block: Block | None) -> str | None:
    return None if block is None else text[block.inner_start : block.inner_end].strip()

"""Score one model on benchmarks: load, ask, judge, score, write. Every step goes on where a killed run stopped.

Answers and verdicts are journalled as they come and found again by what they depend on; a result that is finished is
not made again, and one that was made in another way is never overwritten. Questions whose video is missing are not
asked, and stay in the denominator.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console

from curation.config import dump_config
from curation.engines.build import build_engine
from curation.engines.config import OpenAIConfig
from curation.progress import show_progress
from curation.prompts import Prompt
from curation.rundir import hold_folder
from training.benchmarks.answering import Answerer, BenchmarkAnswer, BenchmarkAsk, open_answerer, read_seconds
from training.benchmarks.config import BenchmarkConfig
from training.benchmarks.open_judge import check_judge, judge_open_answers
from training.benchmarks.planning import BenchmarkTask, find_finished, plan_tasks
from training.benchmarks.protocols import TITLES, BenchmarkScore, ScoredRow, Tally, score_questions, summarise
from training.benchmarks.question import BenchmarkQuestion
from training.benchmarks.rendering import prompt_form, render_prompt
from training.benchmarks.report import print_tables, write_benchmark_report
from training.benchmarks.results import (
    FOLDER,
    JOURNAL,
    BenchmarkResult,
    GroupScore,
    ResultRow,
    ShownMedia,
    write_result,
)
from training.benchmarks.run_config import BenchmarkRun, PromptConfig
from training.benchmarks.scoring import Reply
from training.config import ModelConfig

CONFIG: Final = "config.yaml"
PROMPT: Final = "trace_prompt.txt"
JUDGE_JOURNAL: Final = "judge.jsonl"


def run_benchmarks(
    run_dir: Path,
    config: BenchmarkConfig,
    model: ModelConfig,
    trace_prompt: Prompt,
    *,
    console: Console | None = None,
    out: Console | None = None,
) -> None:
    """Score `model` on every chosen benchmark with every prompt; run_dir/benchmark gets the results and a report.

    console: for bars; out: for a line a result, then the paper's table with ours beside. Of several processes the first
    does it all and the others return at once: none waits for hours in a collective that gives up. Raises UserError
    subclasses, each with one line.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    console, out = console or Console(stderr=True), out or Console()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _say(console, "One process scores, the others return. A server, such as vLLM, would use every GPU.")
    with hold_folder(run_dir / FOLDER, "set run_dir to another folder"):
        check_engines(config)
        keep_config(run_dir, config, model, trace_prompt)
        tasks = plan_tasks(run_dir, config, trace_prompt, console)
        with open_answerer(config, model) as answerer:
            # All of them before the first is begun: what is refused should not come out after hours.
            finished = [find_finished(task, answerer.model, answerer.model_revision) for task in tasks]
            for task, result in zip(tasks, finished, strict=True):
                if result is not None:
                    _say(out, f"{summary_line(result)} (finished before)")
                else:
                    _say(out, summary_line(run_task(task, config, answerer, trace_prompt, console)))
        out.print()
        print_tables(run_dir, console=out)
        _say(out, f"report   {write_benchmark_report(run_dir)}")


def check_engines(config: BenchmarkConfig) -> None:
    """A key or a package that is not there is said before anything is loaded. Raises ConfigError."""
    if isinstance(config.engine, OpenAIConfig):
        build_engine(config.engine)
    if config.judge is not None:
        check_judge(config.judge)


def keep_config(run_dir: Path, config: BenchmarkConfig, model: ModelConfig, trace_prompt: Prompt) -> None:
    """Write what was run, as a config that runs it again, and the trace prompt that it names."""
    prompt = run_dir / FOLDER / PROMPT
    prompt.write_bytes(trace_prompt.file_bytes)
    resolved = BenchmarkRun(run_dir=run_dir, model=model, input=PromptConfig(prompt=prompt), benchmark=config)
    (run_dir / FOLDER / CONFIG).write_text(dump_config(resolved), encoding="utf-8")


def run_task(
    task: BenchmarkTask,
    config: BenchmarkConfig,
    answerer: Answerer,
    trace_prompt: Prompt,
    console: Console,
) -> BenchmarkResult:
    """Ask what was not answered yet, judge, score, and write the result."""
    questions = [question for question in task.loaded.questions if not question.is_missing]
    asks = [
        BenchmarkAsk(question.uid, render_prompt(question, task.prompt, trace_prompt), question.media)
        for question in questions
    ]
    task.folder.mkdir(parents=True, exist_ok=True)
    with show_progress(console, task.title, len(asks)) as advance:
        # A finished result is not made again, so what failed in a killed run has its last chance here.
        answers = answerer.answer(asks, task.folder / JOURNAL, progress=advance, retry_failed=True)
    if line := describe_failures(answers):
        _say(console, line)
    outputs = {uid: found.text for uid, found in answers.items()}
    verdicts = judge_open_answers(config, questions, outputs, task.folder / JUDGE_JOURNAL, console)
    rows = score_questions(
        task.loaded.questions,
        {
            uid: Reply(answer.text, is_judged=uid in verdicts, verdict=verdicts.get(uid))
            for uid, answer in answers.items()
        },
        config.protocol,
    )
    score = summarise(task.loaded.benchmark, config.protocol, rows, judge=task.fingerprint.judge)
    result = _result(task, answerer, score, prompt_form(task.prompt, trace_prompt))
    write_result(task.folder, result, _result_rows(task.loaded.questions, rows, answers, verdicts, score))
    return result


def summary_line(result: BenchmarkResult) -> str:
    """One result in a line: the figure with its interval and denominator, and what failed."""
    shown = f"{TITLES.get(result.benchmark, result.benchmark)}, {result.fingerprint.prompt}: "
    if result.overall is None or result.interval is None:
        shown += "no question counts"
    else:
        low, high = result.interval
        shown += f"{100 * result.overall:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {result.counted.num_rows:,}"
    if outside := result.every.num_rows - result.counted.num_rows:
        shown += f" ({outside:,} more do not count)"
    failed = ", ".join(f"{count:,} {failure}" for failure, count in result.every.failures.items())
    return f"{shown}; {failed}" if failed else shown


def describe_failures(answers: Mapping[str, BenchmarkAnswer]) -> str | None:
    """Why there is no output, by reason, and the first of them in full; None where all were answered."""
    failed = {uid: answer for uid, answer in answers.items() if answer.failure is not None}
    if not failed:
        return None
    counts = Counter(answer.failure for answer in failed.values())
    uid, first = next(iter(failed.items()))
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
    return f"  no output: {reasons}; the first is {uid}: {first.detail}"


def _result(task: BenchmarkTask, answerer: Answerer, score: BenchmarkScore, form: str) -> BenchmarkResult:
    return BenchmarkResult(
        benchmark=task.loaded.benchmark,
        model=answerer.model,
        model_revision=answerer.model_revision,
        engine=answerer.engine_kind,
        fingerprint=task.fingerprint,
        overall=score.overall,
        lenient=score.lenient,
        interval=score.interval,
        counted=_group(score.counted),
        every=_group(score.every),
        groups={
            name: {value: _group(found) for value, found in values.items()} for name, values in score.groups.items()
        },
        macro=score.macro,
        num_published=task.loaded.num_published,
        left_out=task.loaded.left_out,
        seconds=read_seconds(task.folder / JOURNAL),
        source=task.loaded.describe(),
        shown=_shown(task.loaded.questions),
        prompt_form=form,
    )


def _result_rows(
    questions: Sequence[BenchmarkQuestion],
    rows: Sequence[ScoredRow],
    answers: Mapping[str, BenchmarkAnswer],
    verdicts: Mapping[str, bool | None],
    score: BenchmarkScore,
) -> list[ResultRow]:
    unasked = BenchmarkAnswer(None, None, None, None, None)
    written = []
    for question, row in zip(questions, rows, strict=True):
        answer = answers.get(question.uid, unasked)
        written.append(
            ResultRow(
                id=question.uid,
                kind=question.kind,
                question=question.text,
                options=question.options,
                gold=question.answer,
                groups=question.groups,
                media=question.media.name,
                output=answer.text,
                stop_reason=answer.stop_reason,
                num_tokens=answer.num_tokens,
                passage=row.score.passage,
                score=row.score.score,
                lenient=row.score.lenient,
                failure=row.score.failure,
                detail=_detail(question, answer),
                verdict=verdicts.get(question.uid),
                weight=score.weights[question.uid],
            )
        )
    return written


def _shown(questions: Sequence[BenchmarkQuestion]) -> ShownMedia:
    media = [question.media for question in questions]
    return ShownMedia(
        num_parts=sum(found.is_part for found in media), num_pictures=sum(found.image is not None for found in media)
    )


def _detail(question: BenchmarkQuestion, answer: BenchmarkAnswer) -> str | None:
    """Why there is no output, as the loader or the engine has it."""
    if question.is_missing:
        return question.media.missing
    return None if answer.failure is None else ": ".join(filter(None, (answer.failure, answer.detail)))


def _group(found: Tally) -> GroupScore:
    return GroupScore.model_validate(asdict(found))


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)

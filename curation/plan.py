"""What a run will cost before it starts: questions, media bytes, tokens, GPU hours, judge dollars - and no call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import PositiveFloat, PositiveInt
from rich.console import Console
from rich.table import Table

from curation.budget import Price, PriceTable, known_price
from curation.config import Config
from curation.encoding import visual_tokens
from curation.engines.config import model_name
from curation.errors import MediaError
from curation.generate import GenerateConfig
from curation.media import resolve_media
from curation.prompts import Prompt, render_question, render_trace_prompt
from curation.schema import Question, SourceReject
from curation.verify import VerifyConfig
from curation.video import VideoConfig

_CHARACTERS_PER_TOKEN: Final = 4.0


class PlanAssumptions(Config):
    """YAML section `plan`: what a dry run assumes, because only a real run can measure it."""

    prefill_tokens_per_gpu_s: PositiveFloat = 3000.0
    """Prompt tokens that one GPU reads a second."""
    decode_tokens_per_gpu_s: PositiveFloat = 400.0
    """Tokens that one GPU writes a second."""
    observation_tokens: PositiveInt = 224
    """Of a trace; the middle of the paper's window (section 3.3)."""
    think_tokens: PositiveInt = 416
    """Of a trace; the middle of the paper's window (section 3.3)."""
    judge_output_tokens: PositiveInt = 150
    """Of a verdict with its short explanation."""


@dataclass(slots=True)
class Plan:
    """Totals over all questions, each asked once and judged once; tokens are estimates."""

    num_questions: int = 0
    num_rejects: int = 0
    num_media: int = 0
    num_missing_media: int = 0
    media_bytes: int = 0
    generate_input_tokens: float = 0.0
    generate_output_tokens: float = 0.0
    judge_input_tokens: float = 0.0
    judge_output_tokens: float = 0.0

    def gpu_hours(self, assumptions: PlanAssumptions) -> float:
        """Prefill and decoding of step 1, in hours of one GPU."""
        return (
            self.generate_input_tokens / assumptions.prefill_tokens_per_gpu_s
            + self.generate_output_tokens / assumptions.decode_tokens_per_gpu_s
        ) / 3600


def make_plan(
    records: Iterable[Question | SourceReject],
    *,
    media_root: Path,
    video: VideoConfig,
    trace_prompt: Prompt,
    judge_prompt: Prompt,
    assumptions: PlanAssumptions,
) -> Plan:
    """Read the source once, look each medium's size up, add up. Memory: the set of distinct paths."""
    plan = Plan()
    uses: Counter[str] = Counter()
    for record in records:
        if isinstance(record, SourceReject):
            plan.num_rejects += 1
            continue
        plan.num_questions += 1
        uses[record.path] += 1
        text = render_trace_prompt(trace_prompt, record)
        plan.generate_input_tokens += len(text) / _CHARACTERS_PER_TOKEN + visual_tokens(video, record.data_type)
        plan.generate_output_tokens += assumptions.observation_tokens + assumptions.think_tokens
        judged = len(judge_prompt.text) + len(render_question(record.problem, record.options, record.problem_type))
        plan.judge_input_tokens += judged / _CHARACTERS_PER_TOKEN + assumptions.observation_tokens
        plan.judge_output_tokens += assumptions.judge_output_tokens
    plan.num_media = len(uses)
    for path in uses:
        try:
            plan.media_bytes += resolve_media(media_root, path).stat().st_size
        except (MediaError, OSError):
            plan.num_missing_media += 1
    return plan


def print_plan(
    plan: Plan,
    console: Console,
    *,
    assumptions: PlanAssumptions,
    generate: GenerateConfig,
    verify: VerifyConfig,
    prices: PriceTable,
    budget_usd: float | None,
) -> None:
    """The plan as a table; an unknown price reads "not priced", never 0.

    Dollars are said twice: as expected, and for the case that every question takes all attempts, every observation all
    tries, and every reply is cut at max_tokens.
    """
    generator, judge = model_name(generate.engine), model_name(verify.engine)
    table = Table(title="Plan (no model is called)", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("questions", f"{plan.num_questions:,}", f"{plan.num_rejects:,} records rejected by the source")
    table.add_row("media files", f"{plan.num_media:,}", f"{plan.num_missing_media:,} missing")
    table.add_row("media bytes", f"{plan.media_bytes / 1e9:,.3f} GB", "")
    table.add_row("generate, input", f"{plan.generate_input_tokens / 1e6:,.2f} Mtok", f"{generator}, text and frames")
    table.add_row("generate, output", f"{plan.generate_output_tokens / 1e6:,.2f} Mtok", "middle of the length windows")
    table.add_row(
        "generate, GPU time",
        f"{plan.gpu_hours(assumptions):,.1f} GPU h",
        f"at {assumptions.prefill_tokens_per_gpu_s:g} in, {assumptions.decode_tokens_per_gpu_s:g} out tok/s a GPU",
    )
    table.add_row("judge, input", f"{plan.judge_input_tokens / 1e6:,.2f} Mtok", f"{judge}, every question at most")
    table.add_row("judge, output", f"{plan.judge_output_tokens / 1e6:,.2f} Mtok", "")
    price = known_price(generate.engine, prices.models)
    expected = (plan.generate_input_tokens, plan.generate_output_tokens)
    most = (
        generate.attempts * plan.generate_input_tokens,
        float(generate.attempts * plan.num_questions * generate.max_tokens),
    )
    table.add_row("generate, live", *_cost(price, generator, expected, most, prices.date))
    price = known_price(verify.engine, prices.models)
    expected = (plan.judge_input_tokens, plan.judge_output_tokens)
    tries = generate.attempts * verify.tries
    longest = plan.num_questions * max(0, generate.max_tokens - assumptions.observation_tokens)
    most = (tries * (plan.judge_input_tokens + longest), float(tries * plan.num_questions * verify.max_tokens))
    for mode, batch in (("live", False), ("batch", True)):
        table.add_row(f"judge, {mode}", *_cost(price, judge, expected, most, prices.date, batch=batch))
    table.add_row("budget", "none" if budget_usd is None else f"{budget_usd:,.2f} USD", "")
    console.print(table)


def _cost(
    price: Price | None,
    model: str,
    expected: tuple[float, float],
    most: tuple[float, float],
    date: str,
    *,
    batch: bool = False,
) -> tuple[str, str]:
    """Expected dollars, and a note with those of the worst case; tokens are (input, output)."""
    if price is None:
        return "not priced", f"add prices.{model} to the config, if it is paid by the token"
    worst = f"{price.cost_usd(*most, batch=batch):,.2f} if every try is used and cut; prices of {date}"
    return f"{price.cost_usd(*expected, batch=batch):,.2f} USD", worst

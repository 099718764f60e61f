"""Why a row was added, removed or changed, as far as the rows of both versions say it.

A row that came or went is looked for in the other configs. A changed row is held against what its columns say of their
origin (another generator, another prompt, replaced media, a corrected gold answer, ...): each such cause explains a
certain set of columns, and a row is explained only when every column that changed in it is. The causes stand in the
order of how much they explain, and a row counts for the first one that holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from curation.diff_rows import compared
from curation.schema import QUESTION, STEPS

NOT_EXPLAINED: Final = "not explained"
NO_ID: Final = "no id to follow it by"
NEW_QUESTION: Final = "new question"
NOWHERE_BEFORE: Final = "in no config before"
NOWHERE_NOW: Final = "in no config now"
CONFIG_IS_NEW: Final = "config is new"
CONFIG_IS_GONE: Final = "config is gone"

_MEDIA: Final = frozenset(("media_sha256", "media_duration_s", "media_num_frames"))
_TRACE: Final = frozenset(
    ("observation", "think", "answer", "score", "observation_tokens", "think_tokens", "flags", "completion")
)
_VERDICT: Final = frozenset(("verdict", "verdict_reason"))
_REJECTION: Final = frozenset(("rejected_by", "detail"))
_FROM_TRACE: Final = _TRACE | _VERDICT | _REJECTION
_FROM_GOLD: Final = frozenset(("score", "flags")) | _VERDICT | _REJECTION
_BEFORE_RL: Final = ("source", "media")
_UPSTREAM: Final = tuple(name for name in QUESTION.names if name not in ("id", "solution", "license"))


Frames = Mapping[str, pl.DataFrame]  # config -> its rows, as hash_rows gives them


@dataclass(frozen=True, slots=True)
class Cause:
    """`name`: text where the cause holds, null elsewhere, over a frame of changed rows. It explains these columns."""

    name: pl.Expr
    explains: frozenset[str]


def _old(name: str) -> pl.Expr:
    return pl.col(compared(name))


def _new(name: str) -> pl.Expr:
    return pl.col(compared(name) + "_right")


def has_changed(name: str) -> pl.Expr:
    """Whether a shared column differs: null is a value of its own."""
    return _old(name).ne_missing(_new(name))


def _replaced(column: str, label: str) -> pl.Expr:
    """A value that only shows that it is another one."""
    return (
        pl.when(~has_changed(column))
        .then(pl.lit(None, pl.String))
        .when(_old(column).is_null())
        .then(pl.lit(f"{label} where there was none"))
        .when(_new(column).is_null())
        .then(pl.lit(f"no {label} any more"))
        .otherwise(pl.lit(f"{label} replaced"))
    )


def _renamed(column: str, label: str) -> pl.Expr:
    """A value that has a name."""
    return (
        pl.when(_old(column).is_not_null() & _new(column).is_not_null() & has_changed(column))
        .then(pl.format(f"{label} {{}} -> {{}}", _old(column), _new(column)))
        .otherwise(_replaced(column, label))
    )


def _when(condition: pl.Expr, name: str) -> pl.Expr:
    return pl.when(condition).then(pl.lit(name))


def _any_changed(names: Collection[str]) -> pl.Expr:
    return pl.any_horizontal(*(has_changed(name) for name in names))


def _causes(columns: Collection[str]) -> list[Cause]:
    """The causes that these shared columns can show, those that explain most first."""
    ordered: list[tuple[str, pl.Expr, frozenset[str]]] = [
        ("media_sha256", _replaced("media_sha256", "media file"), _MEDIA | _FROM_TRACE | {"overlaps"}),
        ("generator", _renamed("generator", "generator"), _FROM_TRACE | {"generator", "prompt_sha256", "attempt"}),
        ("prompt_sha256", _replaced("prompt_sha256", "prompt"), _FROM_TRACE | {"prompt_sha256"}),
        ("attempt", _when(has_changed("attempt"), "another attempt"), _FROM_TRACE | {"attempt"}),
    ]
    upstream = [name for name in _UPSTREAM if name in columns]
    if upstream:
        corrected = _when(_any_changed(upstream), "question corrected upstream")
        ordered.append((upstream[0], corrected, frozenset(_UPSTREAM) | _MEDIA | _FROM_TRACE | {"overlaps"}))
    # Another rule decides: a row that now gets as far as the judge, or no longer does, has a judge for that reason.
    at_judge = _old("rejected_by").str.starts_with("verify:") & _new("rejected_by").str.starts_with("verify:")
    other_rule = pl.when(~at_judge).then(_renamed("rejected_by", "rejected by"))
    judged_anew = _VERDICT | _REJECTION
    ordered += [
        ("solution", _when(has_changed("solution"), "gold answer corrected upstream"), _FROM_GOLD | {"solution"}),
        ("rejected_by", other_rule, judged_anew),
        ("judge", _renamed("judge", "judge"), judged_anew | {"judge", "judge_prompt_sha256"}),
        (
            "judge_prompt_sha256",
            _replaced("judge_prompt_sha256", "judge prompt"),
            judged_anew | {"judge_prompt_sha256"},
        ),
        ("verdict", _verdict_appeared(), judged_anew),
        ("license", _when(has_changed("license"), "licence corrected upstream"), frozenset(("license",))),
        ("overlaps", _computed("overlaps", "overlaps computed"), frozenset(("overlaps",))),
    ]
    for name in ("observation_tokens", "think_tokens"):
        was_null = _old(name).is_null()
        ordered.append((name, pl.when(was_null).then(_computed(name, "tokens counted")), frozenset((name,))))
    return [Cause(name, explains) for needed, name, explains in ordered if needed in columns]


def _verdict_appeared() -> pl.Expr:
    """Only where one of both is null: why the same judge decides otherwise, no column says."""
    return pl.when(_old("verdict").is_null() | _new("verdict").is_null()).then(_replaced("verdict", "verdict"))


def _computed(column: str, name: str) -> pl.Expr:
    return _when(has_changed(column) & _new(column).is_not_null(), name)


def explain_changed(changed: pl.DataFrame, columns: Collection[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """(reason, explained) for each changed row, and for each column the rows where nothing explains its change.

    `changed`: the old and new values of hash_rows side by side, the new ones with `_right` after their name.
    """
    causes = {f"cause {place}": cause for place, cause in enumerate(_causes(columns))}
    held = changed.with_columns(cause.name.alias(name) for name, cause in causes.items())
    unexplained = held.select(
        pl.all_horizontal(
            has_changed(column), *(pl.col(name).is_null() for name, cause in causes.items() if column in cause.explains)
        ).alias(column)
        for column in columns
    )
    explained = ~unexplained.select(pl.any_horizontal(pl.lit(False), *columns)).to_series()
    first = pl.coalesce(*causes, pl.lit(None, pl.String))
    reasons = held.select(
        pl.when(explained).then(first).otherwise(pl.lit(NOT_EXPLAINED)).alias("reason"), explained.alias("explained")
    )
    return reasons, {column: int(unexplained[column].sum()) for column in columns}


def explain_moved(
    kind: Literal["added", "removed"], config: str, ids: pl.Series, here: Frames, there: Frames
) -> pl.DataFrame:
    """(reason, explained) for each row that only one side has: `here`, and perhaps elsewhere `there`.

    `here` and `there` are the rows of both sides by config; for removed rows `there` is the new one.
    """
    rows = pl.DataFrame({"id": ids})
    if rows.is_empty():
        return pl.DataFrame(schema={"reason": pl.String, "explained": pl.Boolean})
    elsewhere = _moved(kind, config, here, there)
    known = pl.concat([frame.select("id") for frame in there.values()]).unique().with_columns(is_known=pl.lit(True))
    found = rows.join(elsewhere, on="id", how="left", maintain_order="left")
    found = found.join(known, on="id", how="left", maintain_order="left")
    nowhere = NOWHERE_NOW
    if kind == "added":
        nowhere = NEW_QUESTION if {"cot", "rejected"} <= set(there) else NOWHERE_BEFORE
    reason = (
        pl.when(pl.col("id").is_null())
        .then(pl.lit(NO_ID))
        .when(pl.col("moved").is_not_null())
        .then("moved")
        .when(pl.col("is_known").is_null())
        .then(pl.lit(nowhere))
        .otherwise(pl.lit(NOT_EXPLAINED))
    )
    return found.select(reason=reason).with_columns(
        explained=~pl.col("reason").is_in([NO_ID, NOWHERE_BEFORE, NOWHERE_NOW, NOT_EXPLAINED])
    )


def _moved(kind: Literal["added", "removed"], config: str, here: Frames, there: Frames) -> pl.DataFrame:
    """id -> moved: where a row of `config` here stands there, and did not stand here."""
    when = "now" if kind == "removed" else "before"
    if config == "rejected":
        accepted = _only_there(["id"], "cot", here, there)
        return accepted.select("id", moved=pl.lit(f"accepted {when}"))
    reasons = _only_there(["id", "rejected_by"], "rejected", here, there).drop_nulls()
    step = pl.col("rejected_by").str.extract("^([^:]*)")
    if config == "rl":
        # What the filters and the judge reject stays a question for RL.
        reasons = reasons.filter(step.is_in(_BEFORE_RL))
    # A question that is rejected twice (its duplicate under the same id) went as far as the later step.
    reached = step.replace_strict(list(STEPS), list(range(len(STEPS))), default=-1, return_dtype=pl.Int64)
    last = reasons.sort(reached, "rejected_by", descending=[True, False]).unique(
        "id", keep="first", maintain_order=True
    )
    return last.select("id", moved=pl.format(f"rejected {when}: {{}}", "rejected_by"))


def _only_there(keys: list[str], config: str, here: Frames, there: Frames) -> pl.DataFrame:
    nothing = pl.DataFrame(schema=dict.fromkeys(keys, pl.String))
    mine, theirs = (side[config].select(keys) if config in side else nothing for side in (here, there))
    return theirs.join(mine, on=keys, how="anti").unique()

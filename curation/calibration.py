"""Judges against human labels, and against each other: is a substitute for the paper's judge good enough?

The shape of `checks/agreement.json`, and the pure measuring on top of agreement.py. Judges are compared on the
questions whose labellers decided and agree; whatever else there is, is counted apart. People are compared with each
other as well, for no judge can be asked to agree with people more than they agree among themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import polars as pl
from pydantic import BaseModel, ConfigDict, model_validator

from curation.agreement import compare, measure_agreement, one_label_per_question, with_design
from curation.report import Agreement, Reason, Share
from curation.schema import INSUFFICIENT, PROBLEM_TYPES, SUFFICIENT
from curation.statistics import mcnemar_exact

RECORDED: Final = "recorded"  # the verdicts that the dataset holds
PAPER_NUM_LABELS: Final = 200
MOST_HALF_WIDTH: Final = 0.10  # an interval wider than +-10 points cannot tell the paper's judges apart
NOISE_P: Final = 0.05
_VERDICTS: Final = (SUFFICIENT, INSUFFICIENT)


@dataclass(frozen=True, slots=True)
class PaperJudge:
    """A row of the paper's table (VideoP2R section 3.2): other questions, other people, the paper's own prompt.

    accuracy: the published share of 200 labels; its interval is ours. trained: average benchmark accuracy, in percent,
    of the model that was trained with this judge.
    """

    name: str
    accuracy: Share
    trained: float


PAPER_JUDGES: Final = tuple(
    PaperJudge(name, Share.of(num_agreeing, PAPER_NUM_LABELS), trained)
    for name, num_agreeing, trained in (
        ("Llama-3.1-8B", 164, 57.4),
        ("Llama-3.1-70B", 176, 57.6),
        ("Llama-3.1-405B", 182, 58.0),
        ("Claude 3.7 Sonnet", 190, 58.7),
    )
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TypeAgreement(_Part):
    """A judge on the labelled questions of one problem type."""

    problem_type: str
    agreement: Agreement


class JudgeAgreement(_Part):
    """One judge against the human labels.

    models: who gave the verdicts; the verdicts of a dataset may come from several. prompts_sha256: with which prompts.
    unscored: why `agreement.num_unscored` decided questions have no verdict of this judge.
    """

    name: str
    models: tuple[str, ...]
    prompts_sha256: tuple[str, ...]
    agreement: Agreement
    by_type: tuple[TypeAgreement, ...]
    unscored: tuple[Reason, ...]

    @property
    def is_imprecise(self) -> bool:
        """Too few labels: the 95 % interval is wider than +-10 points, or there is none."""
        accuracy = self.agreement.accuracy
        return accuracy.low is None or accuracy.high is None or accuracy.high - accuracy.low > 2 * MOST_HALF_WIDTH


class JudgePair(_Part):
    """Two judges on the questions that both of them and the labellers decided: the exact test of McNemar.

    p_value: the chance of a difference at least as large between equally good judges; null without such a question.
    is_noise: the difference is not significant at 5 %, shared out over all pairs that are compared (Bonferroni).
    """

    first: str
    second: str
    num_questions: int
    num_only_first_right: int
    num_only_second_right: int
    p_value: float | None
    is_noise: bool


class HumanPair(_Part):
    """Two labellers on the questions that both decided; `num_cannot_tell` more were decided by one at most."""

    first: str
    second: str
    same: Share
    kappa: float | None
    num_cannot_tell: int


class Calibration(_Part):
    """Everything that is measured on one file of labels.

    labels_file: its name, without its folder. labellers: as they named themselves, in order of appearance.
    num_labels: rows that hold a label. num_outdated: rows left out because they label another observation or answer
    than the dataset now has. num_sufficient, num_insufficient: what the labellers decided. majority: what a judge gets
    that always says the more frequent of the two. humans: all pairs of labellers pooled. Where the labels name their
    strata, every share is the dataset's (agreement.py); judge_pairs are about the labelled questions alone.
    """

    labels_file: str
    labels_sha256: str
    labellers: tuple[str, ...]
    num_labels: int
    num_outdated: int
    num_sufficient: int
    num_insufficient: int
    judges: tuple[JudgeAgreement, ...]
    judge_pairs: tuple[JudgePair, ...]
    human_pairs: tuple[HumanPair, ...]
    humans: Share
    majority: Share

    @model_validator(mode="before")
    @classmethod
    def _add_majority(cls, fields: Any) -> Any:
        """What earlier versions wrote has no majority; their labels named no strata."""
        if not isinstance(fields, dict) or "majority" in fields:
            return fields
        counts = [int(fields.get(name, 0)) for name in ("num_sufficient", "num_insufficient")]
        return fields | {"majority": Share.of(max(counts), sum(counts))}


@dataclass(frozen=True, slots=True)
class JudgeVerdicts:
    """What one judge says about every known question.

    verdicts: columns id, verdict (null = unscored), unscored (why; null where there is a verdict).
    """

    name: str
    models: tuple[str, ...]
    prompts_sha256: tuple[str, ...]
    verdicts: pl.DataFrame


def measure_calibration(
    labels: pl.DataFrame,
    problem_types: Mapping[str, str],
    judges: Sequence[JudgeVerdicts],
    *,
    labels_file: str,
    labels_sha256: str,
    num_outdated: int,
) -> Calibration:
    """Compare every judge with the labellers, with the other judges, and the labellers with each other.

    labels: as `load_labels` returns them. problem_types: of the known questions, by id.
    """
    known = labels.filter(pl.col("id").is_in(list(problem_types)))
    decided = decided_labels(known)
    human_pairs, humans = _measure_human_pairs(known)
    return Calibration(
        labels_file=labels_file,
        labels_sha256=labels_sha256,
        labellers=_labellers(labels),
        num_labels=labels["label"].count(),
        num_outdated=num_outdated,
        num_sufficient=sum(label == SUFFICIENT for label in decided.values()),
        num_insufficient=sum(label == INSUFFICIENT for label in decided.values()),
        judges=tuple(_measure_judge(judge, labels, decided, problem_types) for judge in judges),
        judge_pairs=_measure_judge_pairs(judges, decided),
        human_pairs=human_pairs,
        humans=humans,
        majority=_measure_majority(decided, known),
    )


def decided_labels(labels: pl.DataFrame) -> dict[str, str]:
    """sufficient or insufficient by id, where all labellers who decided say the same: what judges are compared on."""
    decided = one_label_per_question(labels).filter(pl.col("label").is_in(_VERDICTS))
    return dict(decided.select("id", "label").iter_rows())


def _measure_judge(
    judge: JudgeVerdicts, labels: pl.DataFrame, decided: Mapping[str, str], problem_types: Mapping[str, str]
) -> JudgeAgreement:
    by_type = []
    for problem_type in PROBLEM_TYPES:
        ids = [question_id for question_id, found in problem_types.items() if found == problem_type]
        if ids:
            of_type = pl.col("id").is_in(ids)
            agreement = measure_agreement(judge.verdicts.filter(of_type), labels.filter(of_type))
            # How much of a type is covered, the label file does not say.
            of_this = agreement.model_copy(update={"coverage": None})
            by_type.append(TypeAgreement(problem_type=problem_type, agreement=of_this))
    unscored = judge.verdicts.filter(pl.col("verdict").is_null() & pl.col("id").is_in(list(decided)))
    reasons = Counter(unscored["unscored"].to_list())
    return JudgeAgreement(
        name=judge.name,
        models=judge.models,
        prompts_sha256=judge.prompts_sha256,
        agreement=measure_agreement(judge.verdicts, labels),
        by_type=tuple(by_type),
        unscored=tuple(Reason(reason=reason, num_rows=count) for reason, count in sorted(reasons.items())),
    )


def _measure_judge_pairs(judges: Sequence[JudgeVerdicts], decided: Mapping[str, str]) -> tuple[JudgePair, ...]:
    is_right = [
        {
            question_id: verdict == decided[question_id]
            for question_id, verdict in judge.verdicts.select("id", "verdict").iter_rows()
            if verdict is not None and question_id in decided
        }
        for judge in judges
    ]
    places = list(combinations(range(len(judges)), 2))
    pairs = []
    for first, second in places:
        common = is_right[first].keys() & is_right[second].keys()
        only_first = sum(is_right[first][each] > is_right[second][each] for each in common)
        only_second = sum(is_right[first][each] < is_right[second][each] for each in common)
        p_value = mcnemar_exact(only_first, only_second) if common else None
        pairs.append(
            JudgePair(
                first=judges[first].name,
                second=judges[second].name,
                num_questions=len(common),
                num_only_first_right=only_first,
                num_only_second_right=only_second,
                p_value=p_value,
                is_noise=p_value is None or p_value >= NOISE_P / len(places),
            )
        )
    return tuple(pairs)


def _labellers(labels: pl.DataFrame) -> tuple[str, ...]:
    named: list[str] = labels.drop_nulls("label")["labeller"].drop_nulls().unique(maintain_order=True).to_list()
    return tuple(named)


def _measure_majority(decided: Mapping[str, str], labels: pl.DataFrame) -> Share:
    more = Counter(decided.values()).most_common(1)[0][0] if decided else SUFFICIENT
    frame = pl.DataFrame({"id": list(decided), "first": list(decided.values())}, schema=["id", "first"])
    questions = with_design(frame.cast(pl.String), labels).with_columns(second=pl.lit(SUFFICIENT))
    always = compare(questions).same
    return always if more == SUFFICIENT else compare(questions.with_columns(second=pl.lit(INSUFFICIENT))).same


def _measure_human_pairs(labels: pl.DataFrame) -> tuple[tuple[HumanPair, ...], Share]:
    """Every two named labellers who labelled a question in common, then all pairs pooled.

    Nobody knows whose the nameless labels are.
    """
    last = labels.drop_nulls(["label", "labeller"]).unique(["id", "labeller"], keep="last", maintain_order=True)
    names = _labellers(labels)
    places = {name: place for place, name in enumerate(names)}
    placed = last.select("id", "label", place=pl.col("labeller").replace_strict(places, return_dtype=pl.Int64))
    both = placed.join(placed, on="id", suffix="_2").filter(pl.col("place") < pl.col("place_2"))
    pairs = with_design(both.rename({"label": "first", "label_2": "second"}), labels).sort("place", "place_2")
    found = [_human_pair(names, pair) for pair in pairs.partition_by("place", "place_2", maintain_order=True)]
    return tuple(found), compare(_decided_by_both(pairs)).same


def _human_pair(names: Sequence[str], pair: pl.DataFrame) -> HumanPair:
    decided = _decided_by_both(pair)
    compared = compare(decided)
    return HumanPair(
        first=names[pair["place"][0]],
        second=names[pair["place_2"][0]],
        same=compared.same,
        kappa=compared.kappa,
        num_cannot_tell=pair.height - decided.height,
    )


def _decided_by_both(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.filter(pl.col("first").is_in(_VERDICTS) & pl.col("second").is_in(_VERDICTS))

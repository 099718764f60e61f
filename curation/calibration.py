"""Judges against human labels, and against each other: is a substitute for the paper's judge good enough?

The shape of `checks/agreement.json`, and the pure measuring on top of agreement.py. Judges are compared on the
questions whose labellers decided and agree; whatever else there is, is counted apart. People are compared with each
other as well, for no judge can be asked to agree with people more than they agree among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from curation.agreement import CANNOT_TELL, cohens_kappa, measure_agreement, one_label_per_question
from curation.report import Agreement, Reason, Share
from curation.schema import INSUFFICIENT, PROBLEM_TYPES, SUFFICIENT

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
    than the dataset now has. num_sufficient, num_insufficient: what the labellers decided; the larger share is what a
    judge gets that always says the same. humans: all pairs of labellers pooled.
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

    @property
    def majority(self) -> Share:
        """What a judge scores that gives every question the more frequent label."""
        return Share.of(max(self.num_sufficient, self.num_insufficient), self.num_sufficient + self.num_insufficient)

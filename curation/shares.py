"""What becomes of the questions of a run while it goes on: the shares that are kept, and why the others are not."""

from __future__ import annotations

from collections import Counter
from typing import Final

_KEPT: Final = "kept"
# The reasons that tell whether the models are set up right stand by themselves; the others together.
_SHOWN: Final = {"filter:format": "format", "filter:score": "score", "verify:unscored": "unscored"}
_OTHERS: Final = "other"


class Shares:
    """Counts each question once, as its last attempt ended. Questions of shards that were finished do not count."""

    def __init__(self) -> None:
        self._groups: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def filtered(self, question_id: str, rejected_by: str | None) -> None:
        """Step 2 is done with it; what it kept waits for the judge."""
        self._put(question_id, None if rejected_by is None else _SHOWN.get(rejected_by, _OTHERS))

    def judged(self, question_id: str, rejected_by: str | None) -> None:
        """So is step 3."""
        self._put(question_id, _KEPT if rejected_by is None else _SHOWN.get(rejected_by, _OTHERS))

    def describe(self) -> str | None:
        """One line; None before the first question."""
        total = self._counts.total()
        if not total:
            return None
        names = (_KEPT, *_SHOWN.values(), _OTHERS)
        return f"of {total:,}: " + ", ".join(f"{name} {self._counts[name] / total:.0%}" for name in names)

    def _put(self, question_id: str, group: str | None) -> None:
        if (before := self._groups.pop(question_id, None)) is not None:
            self._counts[before] -= 1
        if group is not None:
            self._groups[question_id] = group
            self._counts[group] += 1

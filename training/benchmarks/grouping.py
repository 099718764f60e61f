"""Which scores may share a table: those that `fingerprint.same_table` lets, each score in exactly one group.

What was made in another way gets a group of its own, which says what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from training.benchmarks.config import PROMPT_NAMES
from training.benchmarks.fingerprint import TABLE_WIDE, Fingerprint, MixedFingerprints, differences, same_table
from training.benchmarks.protocols import TITLES
from training.benchmarks.results import BenchmarkResult

DEMO: Final = "shapes"
SEVEN: Final = tuple(name for name in TITLES if name != DEMO)
PROMPT_TITLES: Final = {"trace": "reasoning prompt", "direct": "direct answer"}
_MOST_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One score. model: as the tables name it, one name a model. variant: of the ablations, None where none is known.

    num_effective: how many equally weighted questions say as much (`statistics.effective_number`).
    """

    model: str
    variant: str | None
    num_effective: int
    result: BenchmarkResult


@dataclass(frozen=True, slots=True)
class Group:
    """Scores that may stand in one table.

    absent: models without any score under this prompt, of which the table says that they were not run.
    differs: from the first group, field by field; empty for the first.
    elsewhere: (model, benchmark) under this prompt, in another group. not_run: those under other prompts only.
    number: of the groups with this prompt, such as "1 of 2"; empty for the only one.
    """

    prompt: str
    entries: tuple[Entry, ...]
    absent: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    elsewhere: frozenset[tuple[str, str]] = frozenset()
    not_run: frozenset[tuple[str, str]] = frozenset()
    number: str = ""

    @property
    def title(self) -> str:
        """The prompt in words, and which of its groups this is."""
        words = PROMPT_TITLES.get(self.prompt, f"prompt {shown(self.prompt)}")
        return f"{words} ({self.number})" if self.number else words

    @property
    def models(self) -> tuple[str, ...]:
        """Those with a score here, in order."""
        return tuple(dict.fromkeys(entry.model for entry in self.entries))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Those with a score here, in the order of the paper."""
        return tuple(sorted(dict.fromkeys(entry.result.benchmark for entry in self.entries), key=order_of))

    def find(self, model: str, benchmark: str) -> Entry | None:
        """A model's score on a benchmark; None without."""
        wanted = (model, benchmark)
        return next((entry for entry in self.entries if (entry.model, entry.result.benchmark) == wanted), None)


def group_entries(entries: Sequence[Entry]) -> list[Group]:
    """Every score in exactly one group, in the first that may hold it; the reasoning prompt, then direct answers.

    Both of these prompts have a group even where nothing was run with one, so that a lacking baseline is seen.
    """
    groups: list[list[Entry]] = []
    for entry in sorted(entries, key=lambda found: _prompt_order(found.result.fingerprint.prompt)):
        home = next((group for group in groups if _may_join(entry, group)), None)
        if home is None:
            groups.append([entry])
        else:
            home.append(entry)
    prompts = dict.fromkeys((*PROMPT_NAMES, *(group[0].result.fingerprint.prompt for group in groups)))
    formed: list[Group] = []
    for prompt in prompts:
        found = [group for group in groups if group[0].result.fingerprint.prompt == prompt] or [[]]
        with_prompt = {_place(entry) for group in found for entry in group}
        not_run = frozenset(_place(entry) for entry in entries) - with_prompt
        models = {model for model, _ in with_prompt}
        lacking = tuple(dict.fromkeys(entry.model for entry in entries if entry.model not in models))
        for number, group in enumerate(found):
            formed.append(
                Group(
                    prompt=prompt,
                    entries=tuple(group),
                    absent=() if number else lacking,
                    differs=_differs(groups[0], group) if group and group is not groups[0] else (),
                    elsewhere=frozenset(with_prompt - {_place(entry) for entry in group}),
                    not_run=not_run,
                    number=f"{number + 1} of {len(found)}" if len(found) > 1 else "",
                )
            )
    return formed


def title_of(benchmark: str) -> str:
    """As the paper writes it; an unknown one as it is named."""
    return TITLES.get(benchmark, shown(benchmark))


def order_of(benchmark: str) -> int:
    """Its place in the paper's table; unknown ones are behind."""
    names = list(TITLES)
    return names.index(benchmark) if benchmark in names else len(names)


def shown(text: str, most: int = _MOST_CHARS) -> str:
    """A name from outside on one line: no control characters, no reversed writing, cut to `most` characters."""
    line = " ".join("".join(char if char.isprintable() or char.isspace() else "?" for char in text).split())
    return line if len(line) <= most else line[: most - 3] + "..."


def _place(entry: Entry) -> tuple[str, str]:
    """What a table has room for once."""
    return entry.model, entry.result.benchmark


def _prompt_order(prompt: str) -> tuple[int, str]:
    return (PROMPT_NAMES.index(prompt), "") if prompt in PROMPT_NAMES else (len(PROMPT_NAMES), prompt)


def _may_join(entry: Entry, group: Iterable[Entry]) -> bool:
    """Whether the scores of a group may share a table with one more, which is no second score of the same thing."""
    members = list(group)
    if _place(entry) in map(_place, members):
        return False
    try:
        same_table(member.result.fingerprint for member in (*members, entry))
    except MixedFingerprints:
        return False
    return True


def _differs(first: Iterable[Entry], group: Sequence[Entry]) -> tuple[str, ...]:
    """What of this group is otherwise than in the first one, such as "frames.num_frames is 16, not 32"."""
    references: dict[str, Fingerprint] = {}
    for entry in first:
        references.setdefault(entry.result.benchmark, entry.result.fingerprint)
    any_reference = next(iter(references.values()))
    found: dict[str, None] = {}
    for entry in group:
        ours = entry.result.fingerprint
        fields = differences(any_reference, ours, TABLE_WIDE)
        found |= dict.fromkeys(
            f"{name} is {_value(value)}, not {_value(theirs)}" for name, (theirs, value) in fields.items()
        )
        if (reference := references.get(ours.benchmark)) is not None:
            title = title_of(ours.benchmark)
            found |= dict.fromkeys(
                f"{title}: {name} is {_value(value)}, not {_value(theirs)}"
                for name, (theirs, value) in differences(reference, ours).items()
                if name not in fields and not (name == "prompt_sha256" and "prompt" in fields)
            )
    return tuple(found)


def _value(value: object) -> str:
    return shown(f"{value:,}" if isinstance(value, int) else str(value), most=16)

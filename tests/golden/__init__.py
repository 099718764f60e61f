"""What the version numbers raised by hand stand for: outputs of each set of rules on fixed inputs, as JSON beside this.

A version decides that work is redone: SOURCE_VERSION questions, RULES_VERSION shards, SAMPLER_VERSION cached frames and
media manifests, SCORING_VERSION and BENCHMARKS_VERSION which results stand in one table. An output that changes without
a raise would leave old work standing as if it were new, so test_identities.py fails. After a raise,
`python -m tests.golden` writes the new outputs. Keys of paid answers have no version: they never change.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.ingest import SOURCE_VERSION
from curation.pipeline import RULES_VERSION
from curation.tasks import SCORING_VERSION
from curation.video import SAMPLER_VERSION
from tests.golden import benchmarks, keys, rules, sampler, scoring, sources
from training.benchmarks.scoring import BENCHMARKS_VERSION

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Golden:
    """version: None for what may never change. constant: where a version is raised."""

    version: int | None
    constant: str
    outputs: Callable[[], Any]


GOLDENS = {
    "keys": Golden(None, "", keys.outputs),
    "sources": Golden(SOURCE_VERSION, "SOURCE_VERSION in curation/ingest.py", sources.outputs),
    "rules": Golden(RULES_VERSION, "RULES_VERSION in curation/pipeline.py", rules.outputs),
    "scoring": Golden(SCORING_VERSION, "SCORING_VERSION in curation/tasks.py", scoring.outputs),
    "sampler": Golden(SAMPLER_VERSION, "SAMPLER_VERSION in curation/video.py", sampler.outputs),
    "benchmarks": Golden(
        BENCHMARKS_VERSION, "BENCHMARKS_VERSION in training/benchmarks/scoring.py", benchmarks.outputs
    ),
}


def load(name: str) -> dict[str, Any]:
    """The stored {"version", "outputs"}."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def compute(name: str) -> dict[str, Any]:
    """What the code gives now, as JSON gives it back."""
    golden = GOLDENS[name]
    return json.loads(json.dumps({"version": golden.version, "outputs": golden.outputs()}))

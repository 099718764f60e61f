"""What RL sampled, saved for reading: one Parquet file an update, in the published columns (curation.schema.ROLLOUT).

`python -m app` shows them in groups. A file is there whole or not at all; an update that a resumed run makes again
replaces its file.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curation.schema import INSUFFICIENT, ROLLOUT, SUFFICIENT
from training.judging import Judged
from training.processes import Template, split_processes
from training.rewards import ProcessReward
from training.sampled import Rollout, Rollouts

_FILE: Final = re.compile(r"rollouts-(\d{6,})\.(?:parquet|tmp)")


@dataclass(frozen=True, slots=True)
class RolloutProvenance:
    """Whose completions they are, and on which questions; null where nobody can say (a dataset in a local folder)."""

    model: str
    dataset_repo: str | None
    dataset_tag: str | None
    dataset_commit: str | None


def write_rollouts(
    folder: Path, rollouts: Rollouts, provenance: RolloutProvenance, template: Template = "full"
) -> Path:
    """Write the file of this update, and return it. Raises OSError when the disk is full; nothing is torn then."""
    rows = [_row(rollouts.step, rollout, template) | asdict(provenance) for rollout in rollouts.rows]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollouts-{rollouts.step:06d}.parquet"
    torn = path.with_suffix(".tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema=ROLLOUT), torn, compression="zstd", write_page_index=True)
    return torn.replace(path)


def drop_after(folder: Path, step: int) -> None:
    """Remove the files of later updates, and what a kill left torn: a run that goes on from `step` samples anew."""
    for path in folder.glob("rollouts-*"):
        name = _FILE.fullmatch(path.name)
        if name is not None and (int(name[1]) > step or path.suffix == ".tmp"):
            path.unlink()


def _row(step: int, rollout: Rollout, template: Template) -> dict[str, Any]:
    """All columns but those of the provenance."""
    return {
        "step": step,
        "group": f"{rollout.group:04d}",  # padded: readers sort it as text
        "rollout": rollout.number,
        "id": rollout.question_id,
        "completion": rollout.completion,
        **_texts(rollout.completion, template),
        "verdict": _verdict(rollout.judged),
        **_parts("perception", rollout.reward.perception),
        "perception_advantage": rollout.perception_advantage,
        **_parts("reasoning", rollout.reward.reasoning),
        "reasoning_advantage": rollout.reasoning_advantage,
        "observation_tokens": rollout.lengths.observation,
        "think_tokens": rollout.lengths.think,
        "answer_tokens": rollout.lengths.answer,
        "completion_tokens": rollout.completion_tokens,
    }


def _texts(completion: str, template: Template) -> dict[str, str | None]:
    """The blocks without their tags; all null where the completion misses the template."""
    found = split_processes(completion, template)
    blocks = {"observation": found.observation, "think": found.think, "answer": found.answer}
    if found.answer is None or (template == "full" and found.observation is None):
        return dict.fromkeys(blocks)
    return {
        name: None if block is None else completion[block.inner_start : block.inner_end].strip()
        for name, block in blocks.items()
    }


def _verdict(judged: Judged | None) -> str | None:
    if judged is None or judged.verdict is None:
        return None
    return SUFFICIENT if judged.verdict.sufficient else INSUFFICIENT


def _parts(process: str, reward: ProcessReward | None) -> dict[str, float | None]:
    """Null where the process is not rewarded, or masked."""
    return {
        f"{process}_accuracy": None if reward is None else reward.accuracy,
        f"{process}_format": None if reward is None else reward.format,
        f"{process}_length": None if reward is None else reward.length,
        f"{process}_reward": None if reward is None else reward.total,
    }

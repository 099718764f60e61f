"""The loaded model: prompts in, tokens out, sampled as the request says and as nothing else does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.utils.hub import cached_file, extract_commit_hash

from training.benchmarks.model_inputs import Prepared, stack
from training.config import ModelConfig
from training.models import Processor, load_model

# Of a folder, what decides an answer; a card may be written anew.
_IDENTIFYING: Final = frozenset((".safetensors", ".bin", ".json", ".jinja", ".txt", ".model"))


@dataclass(frozen=True, slots=True)
class Sampling:
    """temperature 0 is greedy, whatever top_p is."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Generated:
    """num_tokens: the end of turn included. is_ended: False when it was cut."""

    text: str
    num_tokens: int
    is_ended: bool


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """end_ids: the tokens that end a turn, those of the model's own generation config included."""

    model: Any
    processor: Processor
    end_ids: tuple[int, ...]

    @classmethod
    def load(cls, config: ModelConfig, processor: Processor) -> Self:
        """On the GPU, if there is one. Raises ConfigError as `load_model`."""
        model = load_model(config).to("cuda" if torch.cuda.is_available() else "cpu").eval()
        own_ends = model.generation_config.eos_token_id
        own_ends = own_ends if isinstance(own_ends, list) else [] if own_ends is None else [own_ends]
        end_ids = tuple(sorted({processor.tokenizer.eos_token_id, *own_ends}))
        # transformers fills what a request leaves open from here; a released model has a repetition penalty in it.
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        return cls(model, processor, end_ids)

    def generate(
        self, prompts: Sequence[Prepared], sampling: Sampling, *, is_stopped: Callable[[], bool]
    ) -> list[Generated]:
        """In one batch. is_stopped: asked before each token; when it says so, what there is by then is returned."""
        batch = stack(prompts, self.processor)
        inputs = {
            name: values.to(self.model.device) if isinstance(values, Tensor) else values
            for name, values in batch.items()
        }
        with torch.inference_mode():
            sequences = self.model.generate(
                **inputs,
                generation_config=self._configure(sampling),
                stopping_criteria=StoppingCriteriaList([_Stopped(is_stopped)]),
            )
        return [self._read(ids) for ids in sequences[:, batch["input_ids"].shape[1] :].tolist()]

    def _configure(self, sampling: Sampling) -> GenerationConfig:
        is_greedy = sampling.temperature == 0
        how = {} if is_greedy else {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        return GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=not is_greedy,
            max_new_tokens=sampling.max_tokens,
            suppress_tokens=list(self.processor.pad_ids.values()),
            eos_token_id=list(self.end_ids),
            pad_token_id=self.processor.tokenizer.pad_token_id,
            **how,
        )

    def _read(self, ids: Sequence[int]) -> Generated:
        end = next((place for place, token in enumerate(ids) if token in self.end_ids), None)
        written = ids if end is None else ids[: end + 1]
        text: str = self.processor.tokenizer.decode(
            written, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Generated(text, len(written), end is not None)


def model_revision(config: ModelConfig) -> str | None:
    """The commit on the hub, or "sha256:" of the files of a folder, each of which is read for it."""
    folder = Path(config.name)
    if not folder.is_dir():
        known = cached_file(config.name, "config.json", revision=config.revision or "main")
        commit: str | None = extract_commit_hash(known, None)
        return commit
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _IDENTIFYING and path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


class _Stopped(StoppingCriteria):
    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((len(input_ids),), self._is_stopped(), dtype=torch.bool, device=input_ids.device)

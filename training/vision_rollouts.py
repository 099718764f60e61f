"""GRPO on pictures and clips: generation and every training forward see what their rows show.

TRL 1.16 knows pictures only. Given videos it generates with them and then, without a word, scores the completions
without. So the pixels take a way of their own here, beside TRL's, and a hook on policy and reference stops the run when
a forward lacks them.

The rows of the dataset travel through TRL as they are: its `prompt` is the row's id, which costs nothing to copy and to
log. A prompt is encoded once; its rollouts share the arrays, which stay on the CPU until a forward needs them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from curation.schema import DATA_TYPES
from training.collate import Collator, Encoded, Vision, as_clip, check_vision, stack_vision
from training.models import Processor
from training.positions import IMAGE, VIDEO

_ENCODED: Final = "encoded"  # a row's Encoded, where a worker of the DataLoader has made it
_IS_FIRST: Final = "is_first_draw"
_SECONDS: Final = "second_per_grid_ts"
_KINDS: Final = {"image": IMAGE, "video": VIDEO}


@dataclass(frozen=True, slots=True)
class PromptRows:
    """The DataLoader's collator: rows as TRL takes them, encoded. May be sent to workers.

    TRL draws the rows of a generation once for each pass over it and uses the first draw; the others are not encoded.
    """

    collator: Collator

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The rows with their prompt. Raises UserError when media cannot be decoded."""
        is_used = all(row.get(_IS_FIRST, True) for row in rows)
        encoded = encode_once(rows, self.collator) if is_used else [None] * len(rows)
        return [{**row, "prompt": row["id"], _ENCODED: entry} for row, entry in zip(rows, encoded, strict=True)]


class DrawnRows(Dataset[dict[str, Any]]):
    """Rows by their place and by whether this draw of theirs is the one that is used (`Draws`)."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, draw: tuple[int, bool]) -> dict[str, Any]:
        place, is_first = draw
        return {**self._rows[place], _IS_FIRST: is_first}


class Draws(Sampler[tuple[int, bool]]):
    """TRL's sampler, which repeats each block of `block` rows `times` times; the first time is marked."""

    def __init__(self, sampler: Any, block: int, times: int) -> None:
        self._sampler = sampler
        self._block = block
        self._times = times

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        for number, place in enumerate(self._sampler):
            yield place, number // self._block % self._times == 0

    def __len__(self) -> int:
        return len(self._sampler)


def encode_once(rows: Sequence[Mapping[str, Any]], collator: Collator) -> list[Encoded]:
    """One Encoded a row; rows of one id share it."""
    known: dict[str, Encoded] = {}
    for row in rows:
        if row["id"] not in known:
            known[row["id"]] = row.get(_ENCODED) or collator.encode(row)
    return [known[row["id"]] for row in rows]


def token_kinds(input_ids: Tensor, processor: Processor) -> Tensor:
    """mm_token_type_ids, of the same shape: what each token shows. Without it, transformers counts tokens instead."""
    kinds = torch.zeros_like(input_ids)
    for kind in DATA_TYPES:
        kinds[input_ids == processor.pad_ids[kind]] = _KINDS[kind]
    return kinds


class VisionGRPOTrainer(GRPOTrainer):
    """GRPOTrainer for rows with media. collator: made with with_target=False."""

    def __init__(
        self, *, model: Any, args: GRPOConfig, processor: Processor, collator: Collator, **options: Any
    ) -> None:
        self._processor = processor
        self._collator = collator
        self._encoded: list[Encoded] = []  # of the generation that is being made
        self._visions: list[Vision] = []  # of the rows that are being scored
        args.generation_kwargs = _suppress(_vision_tokens(model, processor), args.generation_kwargs)
        super().__init__(model=model, args=args, processing_class=processor.tokenizer, **options)
        rows: Any = PromptRows(collator)
        self.data_collator = rows
        for scored in (self.model, self.ref_model):
            if scored is not None:
                module = self.accelerator.unwrap_model(scored)
                module.register_forward_pre_hook(self._check_forward, with_kwargs=True)

    def _get_dataloader(
        self,
        dataset: Any,
        description: str,
        batch_size: int,
        sampler_fn: Any = None,
        is_training: bool = False,
        dataloader_key: str | None = None,
    ) -> Any:
        if is_training:
            arguments: Any = self.args
            block, times = arguments.generation_batch_size, arguments.steps_per_generation * self.num_iterations
            sampler_fn = functools.partial(_mark_draws, sampler_fn, block, times)
            dataset = DrawnRows(dataset)
        return super()._get_dataloader(dataset, description, batch_size, sampler_fn, is_training, dataloader_key)

    def _check_forward(self, module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        """Raises ValueError when a forward does not see the media of its rows.

        Generation encodes them before its first forward, which then holds the prompt; the others decode one token.
        """
        given = {name: value for name, value in inputs.items() if value is not None}
        input_ids, encoded = given["input_ids"], given.get("mm_encoder_outputs")
        if encoded is not None:
            held = {kind for kind in DATA_TYPES if (input_ids == self._processor.pad_ids[kind]).any()}
            if missing := held - set(encoded):
                raise ValueError(f"generation does not see the {missing.pop()} of its prompts")
        elif given.get("fused_lm_head") or input_ids.shape[1] > 1:
            check_vision(given, self._processor)
            kinds = token_kinds(input_ids, self._processor)
            if not torch.equal(given.get("mm_token_type_ids", torch.zeros_like(kinds)), kinds):
                raise ValueError("mm_token_type_ids do not mark the placeholders, so that positions would be wrong")

    # Generation

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        encoded = encode_once(inputs, self._collator)
        clips = {row: as_clip(row, self._processor) for row in encoded}
        self._encoded = [clips[row] for row in encoded]
        self._visions = [row.vision for row in self._encoded]
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        # TRL permutes and cuts lists as it does tensors, so each micro-batch meets the media of its own rows.
        scored["visions"] = self._visions
        return scored

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        prompt_ids = [list(row.prompt_ids) for row in self._encoded]
        kinds = [token_kinds(torch.tensor(ids), self._processor).tolist() for ids in prompt_ids]
        return prompt_ids, None, {**stack_vision([row.vision for row in self._encoded]), "mm_token_type_ids": kinds}

    def _prepare_input(self, data: Any) -> Any:
        prepared: Any = super()._prepare_input(data)
        if isinstance(data, Mapping) and _SECONDS in data:
            prepared[_SECONDS] = data[_SECONDS]  # with DeepSpeed rounded to the model's precision, which moves frames
        return prepared

    # Scoring: TRL only ever calls the model that it is given here, so one that has its media bound to it will do.

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if len(self._visions) != len(input_ids):
            raise ValueError(f"{len(input_ids)} rows are to be scored, but the media of {len(self._visions)} are known")
        size = batch_size or len(input_ids)
        chunks = []
        for start in range(0, len(input_ids), size):
            rows = slice(start, start + size)
            seeing = functools.partial(model, **self._look(self._visions[rows], input_ids[rows]))
            chunks.append(
                super()._get_per_token_logps_and_entropies(
                    seeing, input_ids[rows], attention_mask[rows], logits_to_keep, **options
                )
            )
        logps, entropies, aux_losses = zip(*chunks, strict=True)
        return (
            torch.cat(logps),
            None if entropies[0] is None else torch.cat(entropies),
            None if aux_losses[0] is None else torch.stack(aux_losses).mean(),
        )

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        self._visions = inputs["visions"]
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        return loss

    def _look(self, visions: Sequence[Vision], input_ids: Tensor) -> dict[str, Any]:
        """What the model takes besides the tokens, on their device."""
        fields = stack_vision(visions)
        seen = {
            name: field.to(input_ids.device) if isinstance(field, Tensor) else field for name, field in fields.items()
        }
        return seen | {"mm_token_type_ids": token_kinds(input_ids, self._processor)}


def _mark_draws(sampler_fn: Any, block: int, times: int, dataset: Any) -> Draws:
    return Draws(sampler_fn(dataset), block, times)


def _vision_tokens(model: Any, processor: Processor) -> set[int]:
    """Tokens that a completion must not hold: placeholders would ask for pixels, the other two stand around them."""
    config = model.config
    return {*processor.pad_ids.values(), config.vision_start_token_id, config.vision_end_token_id}


def _suppress(tokens: set[int], generation: Any) -> dict[str, Any]:
    kept = dict(generation or {})
    return kept | {"suppress_tokens": sorted(tokens | set(kept.get("suppress_tokens") or ()))}

"""Clips and pictures are in every forward of PA-GRPO, and a forward without them stops the run."""

import os

import numpy as np
import pytest
import torch
from transformers import Trainer
from trl import GRPOTrainer

from curation.errors import UserError
from tests.rl_world import (
    ScriptedJudge,
    build_world,
    collator_of,
    load_world,
    plain_args,
    rows_of,
    script_generation,
)
from training.collate import Collator, Vision
from training.pa_grpo import PAGRPOTrainer
from training.rewards import RewardConfig
from training.vision_rollouts import PromptRows, encode_once, token_kinds

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


def build(world, out, *, kind=PAGRPOTrainer, rows=None, **changes):
    model, processor = load_world(world)
    trainer = kind(
        model=model,
        args=plain_args(out, **changes),
        rows=rows_of(world) if rows is None else rows,
        processor=processor,
        collator=collator_of(processor),
        rewards=RewardConfig(perception_tokens=(1, 9), reasoning_tokens=(1, 9)),
        judge=ScriptedJudge(),
    )
    trainer.model.train()
    return trainer


def generation_rows(trainer, copies=2):
    """What the DataLoader would give: each row `copies` times."""
    rows = [row for row in trainer.train_dataset for _ in range(copies)]
    return trainer.data_collator(rows)


def keep_logits(trainer, monkeypatch):
    """Let generation also leave its logits: a list of (steps, B, V)."""
    generate, kept = trainer.model.generate, []

    def generating(**inputs):
        found = generate(**inputs, return_dict_in_generate=True, output_logits=True)
        kept.append(torch.stack(found.logits))
        return found.sequences

    monkeypatch.setattr(trainer.model, "generate", generating)
    return kept


def test_scored_log_probs_are_those_of_generation_for_clips_of_any_length_and_pictures(world, tmp_path, monkeypatch):
    trainer = build(
        world, tmp_path, num_generations=2, num_iterations=2, temperature=0.7, per_device_train_batch_size=8
    )
    logits = keep_logits(trainer, monkeypatch)
    scored = trainer._generate_and_score_completions(generation_rows(trainer))

    prompts = scored["prompt_mask"].sum(dim=1)
    assert prompts.unique().numel() == 4  # all prompts differ in length, so three are padded, on the left
    assert (scored["prompt_mask"][:, -1] == 1).all()
    assert {row["data_type"] for row in trainer.train_dataset} == {"image", "video"}
    assert len({vision.grid for vision in scored["visions"]}) == 4
    assert scored["visions"][0] is scored["visions"][1]  # the rollouts of a prompt share its pixels

    ids, mask = scored["completion_ids"], scored["completion_mask"].bool()
    sampled = (logits[0].transpose(0, 1) / 0.7).log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        torch.testing.assert_close(scored[name][mask], sampled[mask], rtol=0, atol=1e-4)
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, scored)
    torch.testing.assert_close(trainer._policy_logps_BT[mask], sampled[mask], rtol=0, atol=1e-4)

    trainer._visions = [
        Vision(vision.kind, np.zeros_like(vision.patches), vision.grid, vision.seconds_per_grid)
        for vision in scored["visions"]
    ]
    blind = score(trainer, scored)
    for row in range(len(ids)):
        assert (blind - sampled)[row][mask[row]].abs().max() > 1e-3


def test_completions_are_sampled_in_the_precision_that_they_are_scored_in(world, tmp_path, monkeypatch):
    """float32 weights that compute in bfloat16: TRL itself would generate in float32."""
    trainer = build(world, tmp_path, bf16=True)
    precisions = []
    trainer.model.model.language_model.layers[0].mlp.register_forward_hook(
        lambda module, inputs, output: precisions.append(output.dtype)
    )
    trainer._generate_and_score_completions(generation_rows(trainer))
    assert trainer.model.dtype == torch.float32
    assert set(precisions) == {torch.bfloat16}


def score(trainer, scored):
    ids = torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1)
    attention = torch.cat([scored["prompt_mask"], scored["completion_mask"]], dim=1)
    with torch.no_grad():
        return trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, attention, scored["completion_ids"].shape[1]
        )[0]


@pytest.mark.parametrize("size", [1, 3, 8])
def test_scoring_in_chunks_gives_each_row_its_own_media(world, tmp_path, size):
    trainer = build(world, tmp_path, num_generations=2)
    script_generation(trainer)
    scored = trainer._generate_and_score_completions(generation_rows(trainer))
    ids = torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1)
    attention = torch.cat([scored["prompt_mask"], scored["completion_mask"]], dim=1)
    with torch.no_grad():
        found = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, attention, scored["completion_ids"].shape[1], batch_size=size
        )[0]
    mask = scored["completion_mask"].bool()
    torch.testing.assert_close(found[mask], score(trainer, scored)[mask], rtol=0, atol=1e-5)


def test_every_forward_of_a_run_has_the_pixels_of_its_rows(world, tmp_path):
    changes = {"num_iterations": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}
    trainer = build(world, tmp_path, num_generations=2, **changes)
    script_generation(trainer)
    seen = []

    def spy(name):
        def look(module, args, inputs):
            pixels = [inputs[field] for field in ("pixel_values", "pixel_values_videos") if field in inputs]
            pads = trainer._processor.pad_ids.values()
            num_pads = sum(int((inputs["input_ids"] == pad).sum()) for pad in pads)
            merged = trainer._processor.layout.merge_size**2
            assert num_pads > 0
            assert sum(len(field) for field in pixels) == num_pads * merged
            seen.append("policy" if torch.is_grad_enabled() else name)

        return look

    trainer.model.register_forward_pre_hook(spy("old"), with_kwargs=True)
    trainer.ref_model.register_forward_pre_hook(spy("reference"), with_kwargs=True)
    trainer.train()
    # Two generations of eight rollouts, each scored in two chunks and trained on twice, in two micro-batches.
    assert {name: seen.count(name) for name in seen} == {"old": 4, "reference": 4, "policy": 8}


class Forgetful(PAGRPOTrainer):
    """Scores as stock TRL does: without the video."""

    def _look(self, visions, input_ids):
        return {}


class Misplacing(PAGRPOTrainer):
    """Gives rows each other's media."""

    def _look(self, visions, input_ids):
        return super()._look(visions[::-1], input_ids)


class Untimed(PAGRPOTrainer):
    """Counts tokens instead of moments."""

    def _look(self, visions, input_ids):
        fields = super()._look(visions, input_ids)
        del fields["mm_token_type_ids"]
        return fields


@pytest.mark.parametrize(
    ("kind", "complaint"), [(Forgetful, "placeholders"), (Misplacing, "placeholders"), (Untimed, "mm_token_type_ids")]
)
@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_a_training_forward_without_its_video_stops_the_run(world, tmp_path, kind, complaint, beta):
    trainer = build(world, tmp_path, kind=kind, num_generations=2, beta=beta)
    script_generation(trainer)
    with pytest.raises(ValueError, match=complaint):
        trainer.train()


class Undelivered(PAGRPOTrainer):
    """Generates without the pixels."""

    def _tokenize_prompts(self, prompts):
        ids, images, fields = super()._tokenize_prompts(prompts)
        return ids, images, {"mm_token_type_ids": fields["mm_token_type_ids"]}


def test_a_generation_without_its_video_stops_the_run(world, tmp_path):
    with pytest.raises(ValueError, match="does not see the"):
        build(world, tmp_path, kind=Undelivered, num_generations=2).train()


def test_vision_tokens_are_never_sampled(world, tmp_path):
    trainer = build(world, tmp_path, generation_kwargs={"suppress_tokens": [7]})
    ids = trainer._tokenizer.convert_tokens_to_ids(
        ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    )
    assert trainer.generation_config.suppress_tokens == sorted({7, *ids})
    assert trainer.generation_kwargs["suppress_tokens"] == sorted({7, *ids})
    with torch.no_grad():
        trainer.model.lm_head.weight[ids] += 100 * trainer.model.lm_head.weight.mean(dim=0).sign()
    for row in trainer._generate_and_score_completions(generation_rows(trainer, 4))["completion_ids"].tolist():
        assert not set(row) & set(ids)


def test_trls_own_scoring_which_drops_videos_without_a_word_is_stopped(world, tmp_path):
    trainer = build(world, tmp_path, num_generations=2)
    script_generation(trainer)
    scored = trainer._generate_and_score_completions(generation_rows(trainer))
    ids = torch.cat([scored["prompt_ids"], scored["completion_ids"]], dim=1)
    attention = torch.cat([scored["prompt_mask"], scored["completion_mask"]], dim=1)
    with pytest.raises(ValueError, match="placeholders"):
        GRPOTrainer._get_per_token_logps_and_entropies(
            trainer, trainer.model, ids, attention, scored["completion_ids"].shape[1]
        )


def test_a_prompt_is_decoded_once_for_all_of_its_rollouts(world):
    _, processor = load_world(world)
    collator = collator_of(processor)
    rows = [row for row in rows_of(world) for _ in range(3)]
    calls = []

    class Counting:
        def encode(self, row):
            calls.append(row["id"])
            return collator.encode(row)

    encoded = encode_once(rows, Counting())
    assert calls == [row["id"] for row in rows_of(world)]
    assert encoded[0] is encoded[2]
    prompts = PromptRows(Counting())(rows)
    assert [row["prompt"] for row in prompts] == [row["id"] for row in rows]
    assert len(calls) == 8
    encode_once(prompts, Counting())
    assert len(calls) == 8  # a worker has done it
    repeated = [row | {"is_first_draw": False} for row in rows]
    assert PromptRows(Counting())(repeated)[0]["encoded"] is None


@pytest.mark.parametrize(("accumulation", "iterations"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_each_clip_of_a_generation_is_decoded_once_and_in_a_worker(
    world, tmp_path, accumulation, iterations, monkeypatch
):
    log, encode = tmp_path / "decoded", Collator.encode

    def logging(collator, row):
        with log.open("a") as file:
            file.write(f"{os.getpid()} {row['id']}\n")
        return encode(collator, row)

    monkeypatch.setattr(Collator, "encode", logging)
    num_generations = 2
    trainer = build(
        world,
        tmp_path,
        gradient_accumulation_steps=accumulation,
        per_device_train_batch_size=8 // accumulation,
        num_iterations=iterations,
        max_steps=num_generations * iterations,
        dataloader_num_workers=1,
    )
    script_generation(trainer)
    trainer.train()
    decoded = [line.split() for line in log.read_text().splitlines()]
    assert str(os.getpid()) not in {process for process, _ in decoded}
    ids = [name for _, name in decoded]
    assert len(ids) >= 2 * num_generations  # prefetching may go on to the next one
    assert sorted(ids[:4]) == sorted(rows_of(world)["id"])  # an epoch, each clip once


def test_workers_of_the_loader_give_the_same_run(world, tmp_path):
    losses = []
    for workers in (0, 1):
        trainer = build(world, tmp_path, max_steps=2, dataloader_num_workers=workers)
        script_generation(trainer)
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


def test_a_clip_that_breaks_after_the_start_stops_the_run_with_its_name(world, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    rows = rows_of(world).map(lambda row: {"media_file": str(broken)} if row["path"] == "slow.mp4" else row)
    with pytest.raises(UserError, match=r"slow\.mp4"):
        build(world, tmp_path, rows=rows).train()


def test_seconds_of_a_clip_are_not_rounded_on_their_way_into_generation(world, tmp_path, monkeypatch):
    """With DeepSpeed, transformers gives every float tensor the model's precision."""

    def rounding(trainer, inputs):
        return {
            name: field.bfloat16() if torch.is_tensor(field) and field.is_floating_point() else field
            for name, field in inputs.items()
        }

    monkeypatch.setattr(Trainer, "_prepare_input", rounding)
    seconds = torch.tensor([0.1234567891234], dtype=torch.float64)
    prepared = build(world, tmp_path)._prepare_input({"second_per_grid_ts": seconds, "pixel_values": torch.ones(2)})
    assert prepared["second_per_grid_ts"] is seconds
    assert prepared["pixel_values"].dtype == torch.bfloat16


def test_token_kinds_mark_pictures_and_clips(world):
    _, processor = load_world(world)
    ids = torch.tensor([[5, processor.pad_ids["image"], 6], [processor.pad_ids["video"], 5, 6]])
    assert token_kinds(ids, processor).tolist() == [[0, 1, 0], [2, 0, 0]]

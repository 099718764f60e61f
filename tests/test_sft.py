"""SFT learns from the answer's tokens and from what every row shows; an update is one whatever it is cut into."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import Qwen2_5_VLForConditionalGeneration
from trl.trainer.sft_config import SFTConfig

from curation.errors import ConfigError, UserError
from tests import clips
from tests.launches import TORCHRUN, launched, wait
from tests.rl_world import build_world, load_world
from tests.sft_world import logged, sft_config, shared, trace_rows, training_rows
from training.checkpoints import StageCallback, load_stage
from training.collate import IGNORED
from training.data_facts import load_data_facts
from training.models import load_trainable
from training.sft import build_sft_trainer, sft_args, train_sft

LIMIT_S = 240  # of one launch
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return build_world(tmp_path_factory.mktemp("world"))


def build(config, rows, folder, **options):
    """A trainer as `train_sft` builds it."""
    _, processor = load_world(Path(config.dataset.media_root))
    model = load_trainable(config.model, has_adapter=config.lora is not None)
    return build_sft_trainer(config, rows, model, processor, sft_args(config, folder), **options)


def losses_of(trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def train(config, rows) -> Path:
    """The stage's folder."""
    train_sft(config, config.model, rows, config.run_dir / "sft")
    return config.run_dir / "sft"


def plain(folder: Path):
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)


@pytest.mark.parametrize("template", ["full", "agnostic"])
def test_the_loss_falls(world, tmp_path, template):
    config = sft_config(world, tmp_path, max_updates=40, batch_size=4, learning_rate=3e-3, checkpoint_every=100)
    config = config.model_copy(update={"input": config.input.model_copy(update={"template": template})})
    losses = logged(train(config, training_rows(trace_rows(world))))
    assert losses[40] < 0.5 * losses[1]


def test_rows_that_were_left_out_are_counted(world, tmp_path):
    rows = training_rows(trace_rows(world), media_missing=3)
    folder = train(sft_config(world, tmp_path, max_updates=1), rows)
    facts = load_data_facts(folder)
    assert (facts.num_published, facts.num_used, dict(facts.left_out)) == (11, 8, {"media_missing": 3})
    assert load_stage(folder).num_rows == 8


def test_an_update_is_a_mean_over_its_tokens_however_it_is_cut_into_passes(world, tmp_path):
    """Rows differ in length; a mean of each pass's mean would weigh the tokens of short answers more."""
    rows = trace_rows(world)
    found = []
    for batch_size in (4, 1):
        config = sft_config(
            world,
            tmp_path,
            max_updates=2,
            batch_size=batch_size,
            accumulation=4 // batch_size,
            learning_rate=0.1,
            trainer_args={"optim": "sgd", "gradient_checkpointing": False},
        )
        trainer = build(config, rows, tmp_path / str(batch_size))
        trainer.train()
        found.append((losses_of(trainer), trainer.model.state_dict()))
    (losses, weights), (other_losses, other_weights) = found
    assert other_losses == pytest.approx(losses, abs=1e-5)
    assert all(torch.allclose(other_weights[name], weights[name], atol=1e-6) for name in weights)


def test_the_loss_is_the_mean_over_the_answers_of_all_rows(world, tmp_path):
    rows = trace_rows(world, copies=1)
    trainer = build(sft_config(world, tmp_path, max_updates=1, batch_size=4), rows, tmp_path)
    batch = trainer.data_collator(list(rows))
    with torch.no_grad():
        log_probs = trainer.model(**batch).logits[:, :-1].log_softmax(-1)
    labels = batch["labels"][:, 1:]
    kept = labels != IGNORED
    expected = -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0][kept].mean()
    trainer.train()
    assert losses_of(trainer)[0] == pytest.approx(expected.item(), abs=1e-4)


def test_two_processes_train_as_one(world, tmp_path):
    log = tmp_path / "log"
    with launched([*TORCHRUN, "tests.sft_world", str(world), str(tmp_path / "two"), "two"], log) as process:
        one = train(shared(world, tmp_path / "one", 1), training_rows(trace_rows(world)))
        wait(process, log, LIMIT_S)
    two = tmp_path / "two" / "sft"
    losses, others = logged(one), logged(two)
    assert others == pytest.approx(losses, abs=1e-5)
    assert logged(one, "num_tokens") == logged(two, "num_tokens")
    found, expected = plain(two / "model").state_dict(), plain(one / "model").state_dict()
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
    assert load_stage(two).hardware == "2 x CPU"


def test_every_forward_sees_every_rows_media(world, tmp_path):
    rows = trace_rows(world)
    trainer = build(sft_config(world, tmp_path, max_updates=2, batch_size=4), rows, tmp_path)
    seen = []

    def watch(_, args, inputs):
        grids = inputs["video_grid_thw"]  # of the picture too
        seen.append((len(inputs["input_ids"]), len(grids)))
        assert len(inputs["pixel_values_videos"]) == grids.prod(dim=1).sum()
        assert len(inputs["second_per_grid_ts"]) == len(grids)
        assert "mm_token_type_ids" in inputs
        assert not {"pixel_values", "image_grid_thw"} & inputs.keys()

    trainer.train_dataset = rows.select([0, 1, 2, 3])
    trainer.model.register_forward_pre_hook(watch, with_kwargs=True)
    trainer.train()
    assert seen == [(4, 4)] * 2


def test_a_forward_without_its_media_stops_the_run(world, tmp_path):
    trainer = build(sft_config(world, tmp_path, max_updates=1), trace_rows(world).select([0, 2]), tmp_path)
    collate = trainer.data_collator
    trainer.data_collator = lambda rows: {
        name: value for name, value in collate(rows).items() if name not in ("pixel_values_videos", "video_grid_thw")
    }
    with pytest.raises(ValueError, match="placeholders, but the grids"):
        trainer.train()


def test_other_pixels_give_another_loss(world, tmp_path, monkeypatch):
    """They would not if the clip were silently absent from training."""
    rows = trace_rows(world).select([0])
    draw = clips.draw_frame
    monkeypatch.setattr(clips, "draw_frame", lambda number, size: 255 - draw(number, size))
    other = clips.write_video(tmp_path / "long.mp4", num_frames=24, size=(112, 84), fps=12)
    losses = []
    for path in (rows[0]["media_file"], str(other)):
        own = rows.map(lambda _, path=path: {"media_file": path})
        trainer = build(sft_config(world, tmp_path, max_updates=1, batch_size=1), own, tmp_path / "out")
        trainer.train()
        losses += losses_of(trainer)
    assert abs(losses[0] - losses[1]) > 1e-4


def test_an_adapter_is_trained_in_the_language_model_and_merged_into_a_plain_one(world, tmp_path):
    config = sft_config(world, tmp_path, lora={"rank": 4, "alpha": 32}, max_updates=6, learning_rate=1e-2)
    rows = trace_rows(world)
    folder = train(config, training_rows(rows))
    base, merged = plain(world / "model"), plain(folder / "model")
    changed = {name for name, value in base.state_dict().items() if not torch.equal(value, merged.state_dict()[name])}
    assert changed
    assert all("language_model" in name and "_proj" in name for name in changed)
    assert {name.split(".")[-2] for name in changed} == set(config.lora.modules)
    adapted = PeftModel.from_pretrained(plain(world / "model"), folder / "adapter").eval()
    batch = build(sft_config(world, tmp_path / "x"), rows, tmp_path / "x").data_collator(list(rows))
    with torch.no_grad():
        assert torch.allclose(merged(**batch).logits, adapted(**batch).logits, atol=1e-4)
    assert not [name for name in (folder / "model").iterdir() if "adapter" in name.name]


def test_a_resumed_adapter_goes_on_as_if_nothing_had_happened(world, tmp_path):
    """Its dropout too, which is drawn from the random state of the checkpoint."""
    config = sft_config(world, tmp_path, lora={"rank": 4, "dropout": 0.3}, max_updates=6, learning_rate=1e-2)
    found = []
    for checkpoint in (None, str(tmp_path / "checkpoints" / "checkpoint-4")):
        trainer = build(config, trace_rows(world), tmp_path)
        trainer.train(resume_from_checkpoint=checkpoint)
        counts = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
        found.append((losses_of(trainer), counts, trainer.model.state_dict()))
    assert found[0][:2] == found[1][:2]
    assert all(torch.equal(found[1][2][name], value) for name, value in found[0][2].items())


def test_resuming_behind_the_last_update_takes_no_more(world, tmp_path):
    config = sft_config(world, tmp_path, max_updates=2)
    trainer = build(config, trace_rows(world), tmp_path)
    trainer.train()
    again = build(config, trace_rows(world), tmp_path)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoints" / "checkpoint-2"))
    assert again.state.global_step == 2
    expected = trainer.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.model.state_dict().items())


@pytest.mark.parametrize("lora", [None, {"rank": 4, "dropout": 0.0}])
def test_gradient_checkpointing_changes_memory_and_not_the_updates(world, tmp_path, lora):
    found = []
    for on in (False, True):
        more = {"optim": "sgd", "gradient_checkpointing": on}
        config = sft_config(world, tmp_path, lora=lora, max_updates=2, learning_rate=0.1, trainer_args=more)
        trainer = build(config, trace_rows(world), tmp_path / str(on))
        trainer.train()
        found.append(losses_of(trainer))
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_the_model_is_saved_in_the_dtype_of_the_config_though_its_weights_were_trained_in_float32(world, tmp_path):
    config = sft_config(world, tmp_path, max_updates=1)
    config = config.model_copy(update={"model": config.model.model_copy(update={"dtype": "bfloat16"})})
    assert sft_args(config, tmp_path).bf16
    trainer = build(config, trace_rows(world), tmp_path)
    assert trainer.model.dtype == torch.float32
    folder = train(config, training_rows(trace_rows(world)))
    assert json.loads((folder / "model" / "config.json").read_text())["dtype"] == "bfloat16"
    assert {value.dtype for value in plain(folder / "model").parameters()} == {torch.bfloat16}


def test_a_loss_that_is_no_number_is_null_in_the_log_not_the_mean_of_others(world, tmp_path):
    callback = StageCallback(tmp_path)
    trainer = build(sft_config(world, tmp_path, max_updates=2), trace_rows(world), tmp_path, callbacks=[callback])
    with torch.no_grad():
        trainer.model.model.language_model.norm.weight.fill_(float("nan"))
    trainer.train()
    assert logged(tmp_path) == {1: None, 2: None}


def test_media_that_vanish_during_training_are_one_line(world, tmp_path):
    rows = trace_rows(world).map(lambda row: row | {"media_file": "/nowhere/" + row["path"]})
    trainer = build(sft_config(world, tmp_path, max_updates=1, num_workers=1), rows, tmp_path)
    with pytest.raises(UserError) as caught:
        trainer.train()
    assert "\n" not in str(caught.value)
    assert "(missing)" in str(caught.value)


def test_what_the_paper_leaves_open_is_that_of_video_r1(world, tmp_path):
    args = sft_args(sft_config(world, tmp_path, trainer_args={}), tmp_path)
    assert (args.lr_scheduler_type, args.weight_decay, args.max_grad_norm) == ("cosine", 0.01, 5.0)
    assert (args.gradient_checkpointing, args.num_train_epochs, args.seed) == (True, 1.0, 0)
    assert args.output_dir == str(tmp_path / "checkpoints")
    mine = {"max_grad_norm": 1.0, "warmup_steps": 5}
    args = sft_args(sft_config(world, tmp_path, trainer_args=mine), tmp_path)
    assert (args.max_grad_norm, args.warmup_steps, args.weight_decay) == (1.0, 5, 0.01)


@pytest.mark.parametrize(
    ("trainer_args", "told"),
    [
        ({"learning_rat": 1}, "sft.trainer_args.learning_rat is no field of TRL's SFTConfig"),
        ({"optim": "nothing"}, "section sft cannot be run: nothing is not a valid OptimizerNames"),
        ({"packing": True}, "sft.trainer_args.packing must stay False"),
        ({"max_length": 512}, "sft.trainer_args.max_length must stay None"),
        ({"remove_unused_columns": True}, "must stay False"),
        ({"accelerator_config": {"split_batches": True}}, "sft.trainer_args.accelerator_config must stay"),
        ({"save_steps": "often"}, "save_steps"),
    ],
)
def test_trainer_args_that_cannot_be_are_one_line(world, tmp_path, trainer_args, told):
    with pytest.raises((ConfigError, ValueError)) as caught:
        sft_args(sft_config(world, tmp_path, trainer_args=trainer_args), tmp_path)
    assert told in str(caught.value)


def test_what_trl_refuses_later_is_one_line_too(world, tmp_path):
    config = sft_config(world, tmp_path, trainer_args={"fsdp_config": {"no_such_key": 1}, "fsdp": True})
    with pytest.raises(ConfigError, match="section sft cannot be run:") as caught:
        build(config, trace_rows(world), tmp_path)
    assert "\n" not in str(caught.value)


def test_several_gpus_in_one_process_are_refused_because_torch_would_cut_batches_in_two(world, tmp_path, monkeypatch):
    monkeypatch.setattr(SFTConfig, "n_gpu", 8)
    with pytest.raises(ConfigError, match=r"8 GPUs are visible to one process\. Start one process for each"):
        sft_args(sft_config(world, tmp_path), tmp_path)

"""transformers resumes a Qwen2.5-VL without reading its weights; ours reads them all, in SFT as in RL."""

import pytest
import torch
from transformers import Trainer

from tests.rl_world import build_world, load_world, rows_of
from training.config import TrainConfig
from training.restore import RestoringTrainer
from training.sft import build_sft_trainer, sft_args

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


def test_sft_resumed_from_a_checkpoint_equals_an_uninterrupted_run(world, tmp_path):
    (tmp_path / "prompt.txt").write_text("{question} {answer_form}")
    stage = {"max_updates": 4, "batch_size": 4, "accumulation": 1, "checkpoint_every": 2, "num_workers": 0}
    config = TrainConfig.model_validate(
        {
            "run_dir": tmp_path,
            "dataset": {"name": "org/name", "media_root": world},
            "model": {"name": str(world / "model"), "dtype": "float32"},
            "input": {
                "prompt": tmp_path / "prompt.txt",
                "video": {"num_frames": 4, "max_pixels": 112 * 112, "min_pixels": 0},
            },
            "sft": stage | {"learning_rate": 1e-3},
        }
    )
    rows = rows_of(world, copies=4)
    for name, text in (("observation", "a red circle"), ("think", "it moves"), ("answer", "B")):
        rows = rows.add_column(name, [text] * len(rows))

    def losses(checkpoint=None):
        trainer = build_sft_trainer(config, rows, *load_world(world), sft_args(config, tmp_path))
        trainer.train(resume_from_checkpoint=checkpoint)
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    whole = losses()
    assert losses(str(tmp_path / "checkpoints" / "checkpoint-2")) == whole
    assert len(whole) == 4


def test_transformers_own_way_still_leaves_the_weights_unread(world, tmp_path):
    """When this fails, transformers was corrected, and training/restore.py can go."""
    model, _ = load_world(world)
    with torch.no_grad():
        model.lm_head.weight.fill_(0.5)
        model.model.visual.merger.mlp[0].weight.fill_(0.5)
    model.save_pretrained(tmp_path / "checkpoint")
    for kind, is_read in ((Trainer, False), (RestoringTrainer, True)):
        fresh, _ = load_world(world)
        kind(model=fresh)._load_from_checkpoint(str(tmp_path / "checkpoint"))
        assert bool((fresh.model.visual.merger.mlp[0].weight == 0.5).all()) is is_read
        assert bool((fresh.lm_head.weight == 0.5).all()) is is_read

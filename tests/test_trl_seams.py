"""The private methods of TRL 1.16 that PA-GRPO overrides or relies on, as they were when it was written.

A failure here means that TRL was updated. Read the new method beside ours (training/process_rollouts.py,
training/vision_rollouts.py), correct ours, run tests/test_equivalence.py and tests/test_pa_grpo*.py, then change the
table.
"""

import inspect

import pytest
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from training.pa_grpo import PAGRPOTrainer
from training.process_rollouts import ProcessGRPOTrainer
from training.vision_rollouts import VisionGRPOTrainer

SCORED = "model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss"
SEAMS = {
    "_generate": "prompts",
    "_tokenize_prompts": "prompts",
    "_generate_single_turn": "prompt_ids, images, multimodal_fields, num_generations, has_tool_images",
    "_generate_and_score_completions": "inputs",
    "_calculate_rewards": "inputs, prompts, completions, completion_ids_list",
    "_compute_loss": "model, inputs",
    "_get_dataloader": "dataset, description, batch_size, sampler_fn, is_training, dataloader_key",
    "_get_train_sampler": "dataset",
    "_prepare_input": "data",
    "_prepare_inputs": "generation_batch",
}
WHAT_TO_DO = "TRL was updated: see the docstring of tests/test_trl_seams.py"


def parameters(method) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


@pytest.mark.parametrize("name", SEAMS)
def test_the_seam_has_the_signature_that_it_was_overridden_with(name):
    assert ", ".join(parameters(getattr(GRPOTrainer, name))) == SEAMS[name], WHAT_TO_DO


def test_scoring_begins_with_the_parameters_that_are_passed_on_by_place():
    assert ", ".join(parameters(GRPOTrainer._get_per_token_logps_and_entropies)).startswith(SCORED), WHAT_TO_DO


@pytest.mark.parametrize("kind", [ProcessGRPOTrainer, VisionGRPOTrainer, PAGRPOTrainer])
def test_everything_private_that_is_overridden_is_in_the_table(kind):
    own = {"_get_per_token_logps_and_entropies"} | set(SEAMS)
    overridden = {name for name in vars(kind) if callable(vars(kind)[name]) and hasattr(GRPOTrainer, name)}
    assert {name for name in overridden if not name.startswith("__")} <= own


@pytest.mark.parametrize(
    ("method", "source"),
    [
        # Advantages of a subclass may be (B, T).
        (GRPOTrainer._compute_loss, 'advantages = inputs["advantages"]'),
        (GRPOTrainer._compute_loss, "if advantages.dim() == 1:"),
        # The model that is passed in is called, and nothing else is done to it.
        (
            GRPOTrainer._get_per_token_logps_and_entropies,
            "outputs = model(**model_inputs, labels=labels, fused_lm_head=True)",
        ),
        # The completions are the second of what generation returns, rewards are gathered, the mask keeps its name.
        (GRPOTrainer._generate, "return prompt_ids, completion_ids,"),
        (GRPOTrainer._calculate_rewards, "rewards_per_func = gather(rewards_per_func)"),
        (GRPOTrainer._generate_and_score_completions, '"completion_mask": completion_mask,'),
        (GRPOTrainer._generate_and_score_completions, 'output["old_per_token_logps"] = old_per_token_logps'),
        (GRPOTrainer._generate_and_score_completions, 'output["ref_per_token_logps"] = ref_per_token_logps'),
        # Lists of an output are permuted and cut as tensors are.
        (GRPOTrainer._prepare_inputs, "shuffle_sequence_dict(generation_batch)"),
        (grpo_trainer.shuffle_sequence_dict, "return [v[i] for i in permutation]"),
        (grpo_trainer.split_tensor_dict, "isinstance(tensor, list)"),
        # Generation goes through the inputs that keep the seconds of a clip.
        (GRPOTrainer._generate_single_turn, "super()._prepare_inputs(generate_inputs)"),
        (Trainer._prepare_inputs, "self._prepare_input(inputs)"),
    ],
)
def test_what_is_relied_on_stands_in_the_source(method, source):
    assert source in inspect.getsource(method), WHAT_TO_DO


def test_defaults_that_grpo_args_sets_still_exist():
    from training.pa_grpo import _OPTIMISER, _PLAIN_GRPO

    assert {*_PLAIN_GRPO, *_OPTIMISER} <= {*inspect.signature(GRPOConfig).parameters}, WHAT_TO_DO
